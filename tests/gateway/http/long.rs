//! Long content: whole, whatever it comes in and however it is taken, and never more than a piece of it in hand.

use rustix::net::sockopt::set_socket_recv_buffer_size;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::frames::resident;
use super::*;

const PIECE: usize = 64 * 1024;
const CALLERS: usize = 60;

/// Content that shows where it is wrong: what repeats in it is as long as no buffer.
fn content(size: usize) -> Vec<u8> {
    let part: Vec<u8> = (0..1999).flat_map(|n| format!("{n:05}").into_bytes()).collect();
    let mut content = part.repeat(size / part.len() + 1);
    content.truncate(size);
    content
}

/// Answers with `n` bytes of content, after `tag` bytes of fields, framed as `do` says: whole, or in chunks of so many bytes.
async fn long(mut link: Link) {
    while let Some(asked) = link.request().await {
        let (what, size) = (asked.parameter("do"), asked.parameter("n").parse().unwrap_or(0));
        if what.is_empty() {
            link.answer(&asked).await;
            continue;
        }
        let fields = match asked.parameter("tag").parse::<usize>() {
            Ok(bytes) => format!("x-much: {}\r\n", "m".repeat(bytes)),
            Err(_) => String::new(),
        };
        let (framing, chunk) = match what {
            "close" => (String::new(), 0),
            "length" => (format!("content-length: {size}\r\n"), 0),
            chunk => ("transfer-encoding: chunked\r\n".to_owned(), chunk.parse().unwrap()),
        };
        let mut answer = format!("HTTP/1.1 200 OK\r\n{fields}{framing}\r\n").into_bytes();
        match chunk {
            0 => answer.extend(content(size)),
            chunk => {
                for part in content(size).chunks(chunk) {
                    answer.extend(format!("{:x}\r\n", part.len()).into_bytes());
                    answer.extend([part, b"\r\n"].concat());
                }
                answer.extend(b"0\r\n\r\n");
            }
        }
        if !link.send(answer).await || what == "close" {
            return;
        }
    }
}

fn patient(config: String) -> String {
    let patient = config.swap("timeout = \"500ms\"", "timeout = \"60s\"");
    patient.swap("total_timeout = \"1s\"", "total_timeout = \"60s\"")
        + "\n[limits]\nglobal = { requests = 1000000, per = \"1s\" }\n\
           per_address = { requests = 1000000, per = \"1s\" }\n"
}

fn target(what: &str, size: usize, fields: usize) -> String {
    format!("{THINGS}?do={what}&n={size}&tag={fields}")
}

#[tokio::test]
async fn a_long_answer_is_whole_whatever_it_comes_in() {
    let pki = pki();
    let plain = Scripted::start(long).await;
    let secured = Scripted::start_with(Some(&pki.server), long).await;
    let labs = [plain.lab(patient).await, secured.lab_over(Some(&pki.root.pem()), patient).await];
    // Around what is gathered, what is read at once, and what a piece is; and with long heads before.
    for size in [1000, 16_000, 16 * 1024, PIECE - 300, PIECE, PIECE + 1, 2 * PIECE, 1_000_003] {
        for (what, fields) in [
            ("length", 0),
            ("length", 7_000),
            // As many frames over HTTP/2 are more than some clients bear.
            ("7", 0),
            ("700", 0),
            ("40000", 0),
            ("900000", 7_000),
            ("close", 0),
        ] {
            // Without a farewell of TLS, the end of a connection is no end of an answer.
            let labs = if what == "close" { &labs[..1] } else { &labs[..] };
            for lab in labs {
                let target = target(what, size, fields);
                let answer = lab.http1().await.exchange(&Request::get(&target).to_bytes()).await;
                let answer = answer.unwrap_or_else(|error| panic!("{target}: {error}"));
                assert!(answer.body == content(size), "{target}: {}", answer.body.len());
                let uri = format!("https://localhost{target}");
                let over_http2 = http::Request::get(uri).body(()).unwrap();
                let answer = lab.http2().await.exchange(over_http2, bytes::Bytes::new()).await;
                assert!(answer.unwrap().body == content(size), "{target} over HTTP/2");
            }
        }
    }
    for lab in &labs {
        lab.assert_unpoisoned("long answers").await;
    }
}

/// Asks on a connection that has less room for what is not read yet than the answer is long.
async fn ask(lab: &Lab, target: &str, version: &str) -> TlsStream<TcpStream> {
    let mut stream = lab.connector(Some(&lab.pki.one)).tls().await.unwrap();
    set_socket_recv_buffer_size(stream.get_ref().0, 256 * 1024).unwrap();
    let request =
        format!("GET {target} HTTP/{version}\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// The kernel takes a part of what is written, at another byte each time.
#[tokio::test]
async fn a_long_answer_is_whole_however_slowly_it_is_taken() {
    let backend = Scripted::start(long).await;
    let lab = backend.lab(patient).await;
    let size = 8_000_000;
    for (what, version) in [("length", "1.1"), ("100000", "1.1"), ("100000", "1.0")] {
        let mut stream = ask(&lab, &target(what, size, 0), version).await;
        let mut answer = Vec::new();
        let mut part = vec![0; 1009];
        loop {
            match stream.read(&mut part).await.unwrap() {
                0 => break,
                read => answer.extend_from_slice(&part[..read]),
            }
            tokio::task::yield_now().await;
        }
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let body = answer.split_off(head);
        let is_chunked = String::from_utf8(answer).unwrap().contains("chunked");
        assert_eq!(is_chunked, what != "length" && version == "1.1");
        let body = if is_chunked { unchunked(&body) } else { body };
        assert!(body == content(size), "{what} {version}: {}", body.len());
    }
    lab.assert_unpoisoned("slow readers").await;
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = std::str::from_utf8(&body[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        body = &body[end + 2..];
        content.extend_from_slice(&body[..size]);
        assert_eq!(&body[size..size + 2], b"\r\n");
        body = &body[size + 2..];
        if size == 0 {
            assert!(body.is_empty());
            return content;
        }
    }
}

/// Whoever takes nothing holds a piece, whether TLS has it or it is still as it came, and no more.
#[tokio::test]
async fn callers_that_take_nothing_hold_one_piece_each() {
    let backend = Scripted::start(long).await;
    let lab = backend.lab(patient).await;
    // What the gateway needs for its connections is there before.
    let mut idle = Vec::new();
    for _ in 0..CALLERS {
        let mut connection = lab.http1().await;
        connection.exchange(&Request::get(&target("length", 1, 0)).to_bytes()).await.unwrap();
        idle.push(connection);
    }
    let before = resident(&lab);
    for connection in &mut idle {
        connection.send(&Request::get(&target("length", 16 << 20, 0)).to_bytes()).await.unwrap();
    }
    eventually("all are asked", || async { backend.asked().len() >= 2 * CALLERS }).await;
    lab.assert_unpoisoned("callers that take nothing").await;
    let grown = resident(&lab).saturating_sub(before);
    // What TLS holds of a piece, and no other that was read meanwhile.
    assert!(grown < CALLERS * 100, "{grown} KiB");
}

/// Gives the body back; the first time that `tag` is asked with `again`, it breaks off when it has all of it.
async fn echo(mut link: Link, broken: std::sync::Arc<std::sync::Mutex<Vec<String>>>) {
    while let Some(asked) = link.head().await {
        let mut body = Vec::new();
        while body.len() < asked.length {
            let part = link.some().await;
            assert!(!part.is_empty(), "half of a body: {asked:?}");
            body.extend(part);
        }
        let tag = asked.parameter("tag").to_owned();
        let is_first = asked.parameter("do") == "again" && {
            let mut broken = broken.lock().unwrap();
            let is_first = !broken.contains(&tag);
            broken.push(tag);
            is_first
        };
        if is_first {
            return;
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        link.send([head.into_bytes(), body].concat()).await;
    }
}

/// In one piece, which is sent from where it lies, or in several; once, or again after a server that broke off.
#[tokio::test]
async fn a_body_is_whole_whatever_it_came_in_and_so_it_is_when_it_is_sent_again() {
    let pki = pki();
    let broken = std::sync::Arc::<std::sync::Mutex<Vec<String>>>::default();
    let does = move |link| echo(link, broken.clone());
    let plain = Scripted::start(does.clone()).await;
    let secured = Scripted::start_with(Some(&pki.server), does).await;
    let labs = [plain.lab(patient).await, secured.lab_over(Some(&pki.root.pem()), patient).await];
    for (number, lab) in labs.iter().enumerate() {
        for (size, parts) in [(7, 1), (4_000, 1), (4_000, 2), (4_000, 9), (60_000, 1), (200_000, 3)]
        {
            let body = format!("[\"{}\"]", String::from_utf8(content(size - 4)).unwrap());
            let part = size.div_ceil(parts);
            for (is_chunked, what) in [(false, ""), (false, "again"), (true, ""), (true, "again")] {
                // A long one must have a length, and is not kept.
                if size > PIECE && (is_chunked || what == "again") {
                    continue;
                }
                let tag = format!("{number}-{size}-{parts}-{is_chunked}");
                let request =
                    Scripted::request("PUT", what, &tag).with("Content-Type", "application/json");
                let head = String::from_utf8(request.to_bytes()).unwrap();
                let framing = match is_chunked {
                    true => "Transfer-Encoding: chunked".to_owned(),
                    false => format!("Content-Length: {size}"),
                };
                let mut connection = lab.http1().await;
                let head = head.swap("\r\n\r\n", &format!("\r\n{framing}\r\n\r\n"));
                connection.send(head.as_bytes()).await.unwrap();
                for part in body.as_bytes().chunks(part) {
                    let part = match is_chunked {
                        true => {
                            [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat()
                        }
                        false => part.to_vec(),
                    };
                    connection.send(&part).await.unwrap();
                }
                let end: &[u8] = if is_chunked { b"0\r\n\r\n" } else { b"" };
                connection.send(end).await.unwrap();
                let answer = connection.receive(false).await.unwrap();
                assert_eq!(
                    (answer.status.as_u16(), answer.body == body),
                    (200, true),
                    "{tag} {what}"
                );
                let uri = format!("https://localhost{THINGS}?do={what}&tag={tag}-h2");
                let put = http::Request::put(uri).header("content-type", "application/json");
                let put = put.header("content-length", size).body(()).unwrap();
                let answer = lab.http2().await.exchange(put, body.clone().into()).await.unwrap();
                assert!(answer.body == body, "{tag} {what} over HTTP/2");
            }
        }
    }
}

/// The backend begins to answer, and then neither takes what is still sent nor says more: its time is over like any
/// other's, and it is its fault.
#[tokio::test]
async fn a_backend_that_answers_early_and_then_stalls_is_given_up() {
    let backend = Scripted::start(|mut link| async move {
        let Some(asked) = link.head().await else { return };
        if asked.parameter("do") == "stall" {
            link.receive(10).await;
            link.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12").await;
            std::future::pending::<()>().await;
        }
        link.receive(asked.length).await;
        link.answer(&asked).await;
    })
    .await;
    let lab = backend
        .lab(|config| {
            let config = config.swap("body_timeout = \"500ms\"", "body_timeout = \"60s\"");
            let config = config.swap("[http]", "[http]\nmax_body_size = \"64MiB\"");
            config + "\n[limits]\nglobal = { requests = 1000, per = \"1s\" }\n"
        })
        .await;
    let mut connection = lab.http1().await;
    let length = 64 * 1024 * 1024;
    let head = format!(
        "POST {THINGS}?do=stall&tag= HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    );
    connection.send(head.as_bytes()).await.unwrap();
    // More than all buffers on the way take: the gateway is left with what the backend does not.
    let piece = vec![b'1'; 1024 * 1024];
    while connection.send(&piece).await.is_ok() {}
    let is_over = || async { !lab.gateway.access_log().is_empty() };
    eventually("it is given up", is_over).await;
    assert_eq!(lab.gateway.access_log()[0]["portaria.outcome"], "interrupted");
    assert_eq!(lab.metric("portaria_client_aborts_total").await, 0.0);
}

/// A caller that takes its time over its body takes nothing from what the backend has to answer it.
#[tokio::test]
async fn a_slow_upload_uses_up_none_of_the_backends_time() {
    let backend = Scripted::start(|mut link| async move {
        while let Some(asked) = link.head().await {
            // Longer than the whole answer may take, while more is sent than the way there holds.
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            link.receive(asked.length).await;
            link.answer(&asked).await;
        }
    })
    .await;
    let lab = backend
        .lab(|config| {
            let config =
                patient(config).swap("total_timeout = \"60s\"", "total_timeout = \"100ms\"");
            config.swap("[http]", "[http]\nmax_body_size = \"64MiB\"")
        })
        .await;
    let mut connection = lab.http1().await;
    let long = Scripted::request("POST", "", "slow").content(&"1".repeat(32 * 1024 * 1024));
    let answer = connection.exchange(&long.to_bytes()).await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.json()["tag"]), (200, &"slow".into()));
}
