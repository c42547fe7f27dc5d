//! What a caller sends before, beside and behind what it is asked for.

use std::time::Duration;

use super::*;

/// Answers, echoes what it gets as it gets it, or refuses after ten bytes.
async fn listen(mut link: Link) {
    while let Some(asked) = link.head().await {
        match asked.parameter("do") {
            "echo" => {
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                link.send(head).await;
                let mut left = asked.length;
                while left > 0 {
                    let part = link.some().await;
                    if part.is_empty() {
                        return;
                    }
                    left -= part.len();
                    link.send(format!("{:x}\r\n", part.len())).await;
                    link.send(&part).await;
                    link.send("\r\n").await;
                }
                link.send("0\r\n\r\n").await;
            }
            "too-large" => {
                link.receive(10).await;
                let body = "{\"errors\":[]}";
                link.send(format!(
                    "HTTP/1.1 413 Too Large\r\ncontent-type: application/json\r\nconnection: close\r\n\
                     content-length: {}\r\n\r\n{body}",
                    body.len()
                ))
                .await;
                // With what it did not read, the end is a reset.
                return;
            }
            _ => {
                link.receive(asked.length).await;
                link.answer(&asked).await;
            }
        }
    }
}

fn patient(config: String) -> String {
    let patient = config.swap("_byte_timeout = \"500ms\"", "_byte_timeout = \"20s\"");
    let patient = patient.swap("body_timeout = \"500ms\"", "body_timeout = \"20s\"");
    let patient =
        patient.within("[http]", "max_body_size = \"32MiB\"\nmax_json_members = 10000000");
    patient.swap("total_timeout = \"1s\"", "total_timeout = \"20s\"")
}

/// A request whose body is held back, refused or not, is one request: what follows is never another.
#[tokio::test]
async fn a_body_that_nobody_read_is_never_a_request() {
    let backend = Scripted::start(listen).await;
    let lab = backend.lab(|config| config).await;
    let smuggled = Scripted::request("GET", "", "smuggled").to_bytes();
    let length = smuggled.len();
    let refused = |framing: &str| {
        format!(
            "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
        )
    };
    for (is_small, framing, body) in [
        (true, format!("Content-Length: {length}"), smuggled.clone()),
        (true, format!("Content-Length: {length}\r\nExpect: 100-continue"), smuggled.clone()),
        (false, format!("Content-Length: {}", length * 1000), smuggled.repeat(1000)),
        (
            false,
            "Transfer-Encoding: chunked".to_owned(),
            [format!("{length:x}\r\n").as_bytes(), &smuggled, b"\r\n0\r\n\r\n"].concat(),
        ),
        (false, "Transfer-Encoding: chunked\r\nExpect: 100-continue".to_owned(), smuggled.clone()),
    ] {
        // In one go, and after the answer.
        for is_late in [false, true] {
            let before = lab.gateway.access_log().len();
            let mut connection = lab.http1().await;
            let head = refused(&framing).into_bytes();
            let answer = match is_late {
                true => {
                    connection.send(&head).await.unwrap();
                    let answer = connection.receive_head().await.unwrap();
                    let _ = connection.send(&body).await;
                    answer
                }
                false => connection.exchange(&[&head[..], &body].concat()).await.unwrap(),
            };
            assert!(answer.status.is_client_error(), "no interim answer: {answer:?}");
            let stays = answer.field("connection") == Some("keep-alive");
            // A small one that is here is taken, and the connection goes on.
            assert_eq!(stays, !is_late && is_small, "{framing}");
            if stays {
                let next =
                    connection.exchange(&Scripted::get("", "next").to_bytes()).await.unwrap();
                assert_eq!(next.json()["tag"], "next");
            } else {
                let rest = connection.receive_rest().await.unwrap();
                assert!(!String::from_utf8_lossy(&rest).contains("HTTP/1.1"), "{rest:?}");
            }
            let lines = if stays { 2 } else { 1 };
            eventually("its line", || async { lab.gateway.access_log().len() == before + lines })
                .await;
        }
    }
    assert!(backend.asked().iter().all(|asked| asked.parameter("tag") == "next"));
    lab.assert_unpoisoned("unread bodies").await;
}

/// Wherever what a caller sends is cut into reads, it says the same.
#[tokio::test]
async fn where_reads_are_cut_changes_nothing() {
    let backend = Scripted::start(listen).await;
    let lab = backend.lab(|config| config).await;
    let chunked = Scripted::request("POST", "", "1")
        .with("Content-Type", "application/json")
        .with("Transfer-Encoding", "chunked")
        .to_bytes();
    let (first, second) = (
        [&chunked[..], b"2;a=b\r\n{}\r\n0\r\nX-T: 1\r\n\r\n"].concat(),
        Scripted::get("", "2").to_bytes(),
    );
    // Some end a body with an empty line that belongs to nothing.
    let sent = [&first[..], b"\r\n", &second].concat();
    let around = first.len() - 30..first.len() + 6;
    for cut in around.chain([1, 2, sent.len() - 3, sent.len() - 2, sent.len() - 1]) {
        let mut connection = lab.http1().await;
        connection.send(&sent[..cut]).await.unwrap();
        if cut >= first.len() {
            assert_eq!(connection.receive(false).await.unwrap().json()["tag"], "1", "{cut}");
        } else {
            // So that it is read by itself.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if (first.len()..first.len() + 6).contains(&cut) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        connection.send(&sent[cut..]).await.unwrap();
        if cut < first.len() {
            assert_eq!(connection.receive(false).await.unwrap().json()["tag"], "1", "{cut}");
        }
        let answer = connection.receive(false).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.json()["tag"]), (200, &"2".into()), "{cut}");
    }
    // Byte by byte.
    let mut connection = lab.http1().await;
    for byte in sent.chunks(1) {
        connection.send(byte).await.unwrap();
    }
    for tag in ["1", "2"] {
        assert_eq!(connection.receive(false).await.unwrap().json()["tag"], tag);
    }
}

/// One exchange at a time, in order, and others of the thread are not kept waiting by it.
#[tokio::test]
async fn a_thousand_requests_in_one_go_are_answered_in_order() {
    let backend = Scripted::start(listen).await;
    let quota = "\n[limits]\nglobal = { requests = 1000000, per = \"1s\" }\n\
                 per_address = { requests = 1000000, per = \"1s\" }\n";
    let lab = backend.lab(|config| config + quota).await;
    let mut connection = lab.http1().await;
    let all: Vec<u8> =
        (0..1000).flat_map(|n| Scripted::get("", &n.to_string()).to_bytes()).collect();
    let (other, ()) = tokio::join!(
        async {
            let mut answered = 0;
            while backend.asked().len() < 1000 {
                lab.http1().await.exchange(&Scripted::get("", "other").to_bytes()).await.unwrap();
                answered += 1;
            }
            answered
        },
        async {
            connection.send(&all).await.unwrap();
            for n in 0..1000 {
                assert_eq!(connection.receive(false).await.unwrap().json()["tag"], n.to_string());
            }
        }
    );
    assert!(other > 0);
}

/// An answer is read while the request is on its way, and the request is sent while the answer is.
#[tokio::test]
async fn both_directions_go_on_at_once() {
    let backend = Scripted::start(listen).await;
    let lab = backend.lab(patient).await;
    let size = 8 * 1024 * 1024;
    let body = format!("\"{}\"", (0..size / 8).map(|n| format!("{n:08}")).collect::<String>());
    let request = Scripted::request("POST", "echo", "").content(&body).to_bytes();
    let stream = lab.connector(Some(&lab.pki.one)).tls().await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let sending = async {
        tokio::io::AsyncWriteExt::write_all(&mut writer, &request).await.unwrap();
    };
    let receiving = async {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n0\r\n\r\n") {
            let read = tokio::io::AsyncReadExt::read_buf(&mut reader, &mut answer).await.unwrap();
            assert!(read > 0, "the answer ended after {}", answer.len());
        }
        answer
    };
    let within = Duration::from_secs(60);
    let ((), answer) =
        tokio::time::timeout(within, async { tokio::join!(sending, receiving) }).await.unwrap();
    assert!(answer.len() > size);
    // Over HTTP/2, with the windows that it has.
    let uri = format!("https://localhost{}", Scripted::request("POST", "echo", "").target);
    let http2 = http::Request::post(uri)
        .header("content-type", "application/json")
        .header("content-length", body.len())
        .body(())
        .unwrap();
    let exchange = lab.http2().await.exchange(http2, body.clone().into()).await.unwrap();
    assert!(exchange.body == body.as_bytes());
    lab.assert_unpoisoned("an echo").await;
}

/// A refusal that comes before the body is sent reaches the caller, whatever becomes of the rest.
#[tokio::test]
async fn a_refusal_in_the_middle_of_an_upload_reaches_its_caller() {
    let backend = Scripted::start(listen).await;
    let lab = backend.lab(patient).await;
    let body = format!("\"{}\"", "1".repeat(1_000_000));
    for n in 0..20 {
        let request = Scripted::request("POST", "too-large", "").content(&body).to_bytes();
        let answer = lab.http1().await.exchange(&request).await.unwrap();
        assert_eq!(answer.status, 413, "{n}");
        let uri = format!("https://localhost{}", Scripted::request("POST", "too-large", "").target);
        let http2 = http::Request::post(uri)
            .header("content-type", "application/json")
            .header("content-length", body.len())
            .body(())
            .unwrap();
        let answer = lab.http2().await.exchange(http2, body.clone().into()).await.unwrap();
        assert_eq!(answer.status, 413, "{n}");
    }
    lab.assert_unpoisoned("refused uploads").await;
}

/// A slow caller holds no server, and one that is refused need not send its body.
#[tokio::test]
async fn a_slow_caller_holds_no_server() {
    let backend = Scripted::start(listen).await;
    let lab = backend.lab(patient).await;
    let mut slow = Vec::new();
    for length in [10, 70_000] {
        let mut connection = lab.http1().await;
        let head = Scripted::request("POST", "", "slow")
            .with("Content-Type", "application/json")
            .with("Content-Length", &length.to_string());
        connection.send(&[&head.to_bytes()[..], b"\"12"].concat()).await.unwrap();
        slow.push(connection);
    }
    lab.assert_unpoisoned("slow callers").await;
    assert_eq!(backend.connections(), 1);
    let mut refused = lab.http1().await;
    let head = b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(refused.exchange(head).await.unwrap().status, 404, "at once");
}

/// 100 Continue: once, when the body is really awaited, and not to who began to send or does not know it.
#[tokio::test]
async fn a_body_is_asked_for_once_and_only_if_it_is_awaited() {
    let backend = Scripted::start(listen).await;
    let lab = backend.lab(|config| config).await;
    let expecting = Scripted::request("POST", "", "e").with("Content-Type", "application/json");
    let expecting = expecting.with("Content-Length", "2").with("Expect", "100-continue");
    // Began to send.
    let mut connection = lab.http1().await;
    connection.send(&[&expecting.to_bytes()[..], b"{"].concat()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    connection.send(b"}").await.unwrap();
    assert_eq!(connection.receive_head().await.unwrap().status, 200);
    // Awaits it, and pipelines nothing.
    let mut connection = lab.http1().await;
    connection.send(&expecting.to_bytes()).await.unwrap();
    assert_eq!(connection.receive_head().await.unwrap().status, 100);
    connection.send(b"{}").await.unwrap();
    assert_eq!(connection.receive_head().await.unwrap().status, 200);
    // HTTP/1.0 does not know it.
    let mut connection = lab.http1().await;
    let old = String::from_utf8(expecting.to_bytes()).unwrap().swap("HTTP/1.1", "HTTP/1.0");
    connection.send(old.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    connection.send(b"{}").await.unwrap();
    assert_eq!(connection.receive_head().await.unwrap().status, 200);
    // Nothing to expect.
    let mut connection = lab.http1().await;
    let get = Scripted::get("", "g").with("Expect", "100-continue").to_bytes();
    connection.send(&get).await.unwrap();
    assert_eq!(connection.receive_head().await.unwrap().status, 200);
}
