//! HTTP/2 as frames: what the library lets pass and must be refused, and what it must never hold.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Fields, pseudo-fields first.
type Fields = Vec<(&'static str, &'static str)>;
type Tls = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection of frames.
struct Frames {
    stream: Tls,
    buffer: Vec<u8>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields without compression (RFC 7541 section 6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).unwrap();
        assert!(length < 127);
        [&[length], text.as_bytes()].concat()
    };
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

impl Frames {
    async fn connect(lab: &Lab, settings: &[(u16, u32)]) -> Self {
        let connector = lab.connector_to("public", None);
        let connector = connector.adjust(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
        let mut stream = connector.tls().await.unwrap();
        let settings: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        let begin =
            [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &settings)].concat();
        stream.write_all(&begin).await.unwrap();
        Self { stream, buffer: Vec::new() }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn ask(&mut self, stream: u32, fields: &[(&str, &str)], flags: u8) {
        let fields = block(fields);
        self.send(&frame(HEADERS, flags | END_HEADERS, stream, &fields)).await;
    }

    /// The next frame; nothing at the end.
    async fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        loop {
            if let [high, middle, low, kind, flags, a, b, c, d, ..] = self.buffer[..] {
                let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap();
                if self.buffer.len() >= 9 + length {
                    let payload = self.buffer.drain(..9 + length).skip(9).collect();
                    return Some((kind, flags, u32::from_be_bytes([a, b, c, d]), payload));
                }
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(read) if read > 0 => {}
                _ => return None,
            }
        }
    }

    /// Reads until a stream has an answer, or is over.
    async fn answer(&mut self, of: u32) -> Option<Vec<u8>> {
        while let Some((kind, flags, stream, payload)) = self.next().await {
            if kind == SETTINGS && flags == 0 {
                self.send(&frame(SETTINGS, 1, 0, &[])).await;
            }
            match kind {
                HEADERS if stream == of => return Some(payload),
                RESET if stream == of => return None,
                GOAWAY => return None,
                _ => {}
            }
        }
        None
    }
}

fn good(target: &str) -> Vec<(&'static str, &str)> {
    vec![(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", target)]
}

/// What two readers could understand differently is refused, by an answer of the gateway's that is logged as one.
#[tokio::test]
async fn what_the_library_lets_pass_is_refused_here() {
    let backend = Scripted::start(|mut link| async move {
        while let Some(asked) = link.request().await {
            link.answer(&asked).await;
        }
    })
    .await;
    let lab = backend.lab(|config| config).await;
    let target = format!("{THINGS}?do=&tag=1");
    let with = |name: &'static str, value: &'static str| {
        let mut fields = good(&target);
        match fields.iter_mut().find(|(n, _)| *n == name && n.starts_with(':')) {
            Some(field) => field.1 = value,
            None => fields.push((name, value)),
        }
        fields
    };
    let without = |name: &str| {
        let mut fields = good(&target);
        fields.retain(|(n, _)| *n != name);
        fields
    };
    let and = |mut fields: Vec<(&'static str, &'static str)>,
               more: &[(&'static str, &'static str)]| {
        fields.extend(more);
        fields
    };
    let leak = |fields: Vec<(&'static str, &str)>| -> Fields {
        fields.into_iter().map(|(n, v)| (n, &*v.to_owned().leak())).collect()
    };
    let cases: Vec<(&str, Fields, u64)> = vec![
        ("a blank before a value", leak(with("x-a", " b")), 400),
        ("a blank behind a value", leak(with("x-a", "b\t")), 400),
        ("a host beside another", leak(with("host", "other")), 400),
        ("two hosts", and(leak(with("host", "localhost")), &[("host", "localhost")]), 400),
        (
            "two hosts and no authority",
            and(leak(without(":authority")), &[("host", "localhost"), ("host", "localhost")]),
            400,
        ),
        ("userinfo", leak(with(":authority", "user@localhost")), 400),
        ("no host at all", leak(without(":authority")), 400),
        ("an asterisk", leak(with(":path", "*")), 400),
        ("another scheme", leak(with(":scheme", "gopher")), 400),
        ("no scheme", leak(with(":scheme", "")), 400),
        ("settings of another version", leak(with("http2-settings", "AAMAAABk")), 400),
        ("two lengths", and(leak(with("content-length", "0")), &[("content-length", "0")]), 400),
        ("a method in lower case", leak(with(":method", "get")), 405),
        ("CONNECT", vec![(":method", "CONNECT"), (":authority", "localhost:1")], 400),
        ("a disguised path", leak(with(":path", "/open-insurance/demo/v1/x/../things")), 400),
    ];
    for (number, (what, fields, status)) in cases.into_iter().enumerate() {
        let mut connection = Frames::connect(&lab, &[]).await;
        connection.ask(1, &fields, END_STREAM).await;
        assert!(connection.answer(1).await.is_some(), "{what}: no answer");
        eventually("its line", || async { lab.gateway.access_log().len() == number + 1 }).await;
        let line = &lab.gateway.access_log()[number];
        assert_eq!(line["http.response.status_code"], status, "{what}: {line}");
        assert!(backend.asked().is_empty(), "{what} reached the backend");
        // The connection goes on.
    }
    let mut connection = Frames::connect(&lab, &[]).await;
    connection.ask(1, &with("x-a", "b"), END_STREAM).await;
    assert!(connection.answer(1).await.is_some());
    // An authority is Host enough, and stands once.
    eventually("it is asked", || async { backend.asked().len() == 1 }).await;
    assert_eq!(backend.asked()[0].field("host"), Some("localhost"));
    // So is Host alone, of a request that was one of HTTP/1 before (RFC 9113 section 8.3.1).
    let mut translated = without(":authority");
    translated.push(("host", "localhost"));
    connection.ask(3, &translated, END_STREAM).await;
    assert!(connection.answer(3).await.is_some());
    eventually("it is asked again", || async { backend.asked().len() == 2 }).await;
    assert_eq!(backend.asked()[1].field("host"), Some("localhost"));
    lab.assert_unpoisoned("frames").await;
}

/// What nobody has asked for is no request; what is unknown is passed over.
#[tokio::test]
async fn grease_is_passed_over() {
    let backend = Scripted::start(|mut link| async move {
        while let Some(asked) = link.request().await {
            link.answer(&asked).await;
        }
    })
    .await;
    let lab = backend.lab(|config| config).await;
    let mut connection = Frames::connect(&lab, &[(0x0a0a, 1)]).await;
    connection.send(&frame(0x0b, 0xff, 0, b"grease")).await;
    let target = format!("{THINGS}?do=&tag=1");
    connection.ask(1, &good(&target), END_STREAM).await;
    assert!(connection.answer(1).await.is_some());
    // A body of nothing, in pieces of nothing, is none.
    connection.ask(3, &good(&target), 0).await;
    connection.send(&frame(DATA, 0, 3, &[])).await;
    connection.send(&frame(DATA, END_STREAM, 3, &[])).await;
    assert!(connection.answer(3).await.is_some());
    eventually("both are asked", || async { backend.asked().len() == 2 }).await;
    assert!(backend.asked().iter().all(|asked| asked.length == 0));
    // Of pieces, the empty ones say nothing.
    let post: Vec<_> = good(&target)
        .into_iter()
        .map(|(name, value)| (name, if name == ":method" { "POST" } else { value }))
        .chain([("content-type", "application/json")])
        .collect();
    connection.ask(5, &post, 0).await;
    for (flags, piece) in [(0, ""), (0, "[123]"), (0, ""), (END_STREAM, "")] {
        connection.send(&frame(DATA, flags, 5, piece.as_bytes())).await;
    }
    assert!(connection.answer(5).await.is_some());
    assert_eq!(backend.asked()[2].length, 5);
    // More than was declared, and less, is whole to no server.
    for (stream, body) in [(7, "[1234]"), (9, "[12]")] {
        let declared: Vec<_> = post.iter().copied().chain([("content-length", "5")]).collect();
        connection.ask(stream, &declared, 0).await;
        connection.send(&frame(DATA, END_STREAM, stream, body.as_bytes())).await;
        connection.answer(stream).await;
    }
    lab.assert_unpoisoned("lengths").await;
    assert!(backend.asked().iter().all(|asked| asked.length == 0 || asked.length == 5));
    assert_eq!(backend.asked().iter().filter(|asked| asked.method == "POST").count(), 1);
}

/// The memory of a process, in KiB.
pub(super) fn resident(lab: &Lab) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", lab.gateway.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn big(mut link: Link) {
    let answer =
        [b"HTTP/1.1 200 OK\r\ncontent-length: 1048576\r\n\r\n".to_vec(), vec![b' '; 1 << 20]]
            .concat();
    while let Some(asked) = link.request().await {
        let sent = match asked.parameter("do") {
            "big" => link.send(&answer).await,
            _ => link.answer(&asked).await,
        };
        if !sent {
            return;
        }
    }
}

fn patient(config: String) -> String {
    // Its one thread may be busy for a while, in a build for tests.
    let patient = config.swap("timeout = \"500ms\"", "timeout = \"60s\"");
    let patient = patient.swap("total_timeout = \"1s\"", "total_timeout = \"60s\"");
    patient
        + "\n[limits]\nglobal = { requests = 1000000, per = \"1s\" }\nper_address = { requests = 1000000, per = \"1s\" }\n\
           under_way = { total = 4000, per_address = 4000, per_organisation = 4000 }\n"
}

/// Whoever grants nothing, or takes nothing, holds a piece a stream and no more.
#[tokio::test]
async fn streams_that_nobody_reads_hold_little() {
    let backend = Scripted::start(big).await;
    let lab = backend.lab(patient).await;
    lab.assert_unpoisoned("warm").await;
    let target = Scripted::get("big", "").target;
    let before = resident(&lab);
    let mut connections = Vec::new();
    // Windows of nothing; and all that there can be, with TCP's closed.
    for window in [0, i32::MAX as u32] {
        for _ in 0..5 {
            let mut connection = Frames::connect(&lab, &[(4, window)]).await;
            connection.send(&frame(WINDOW, 0, 0, &0x7fff_0000_u32.to_be_bytes())).await;
            // In one go: once it cannot write, the library reads no more.
            let fields = block(&good(&target));
            let ask = |n: u32| frame(HEADERS, END_STREAM | END_HEADERS, n * 2 + 1, &fields);
            connection.send(&(0..100).flat_map(ask).collect::<Vec<u8>>()).await;
            connections.push(connection);
        }
    }
    eventually("all are asked", || async { backend.asked().len() >= 1006 }).await;
    lab.assert_unpoisoned("streams that nobody reads").await;
    let grown = resident(&lab).saturating_sub(before);
    // 1,000 streams: a piece and a head each, and what TLS holds; 1 MiB each would be 1 GiB.
    assert!(grown < 120 * 1024, "{grown} KiB");
}

/// Both ways of taking nothing end, once, in the time that there is for it.
#[tokio::test]
async fn a_reader_over_http2_that_takes_nothing_is_gone_in_time() {
    let backend = Scripted::start(big).await;
    let lab = backend
        .lab(|config| {
            patient(config).within("[http]", "write_timeout = \"1s\"\nidle_timeout = \"1s\"")
        })
        .await;
    let open = "portaria_open_connections{listener=\"public\"}";
    for window in [0, i32::MAX as u32] {
        let mut connection = Frames::connect(&lab, &[(4, window)]).await;
        connection.send(&frame(WINDOW, 0, 0, &0x7fff_0000_u32.to_be_bytes())).await;
        let target = Scripted::get("big", "").target;
        for stream in 0..20 {
            connection.ask(stream * 2 + 1, &good(&target), END_STREAM).await;
        }
        eventually("it is asked", || async { !backend.asked().is_empty() }).await;
        let start = std::time::Instant::now();
        lab.expect_metric(open, 0.0).await;
        // Once the stall, once the farewell; never a third time.
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        drop(connection);
    }
    eventually("no server is held", || async { backend.open() <= 1 }).await;
}

/// Windows are given back for what nobody takes, too.
#[tokio::test]
async fn refused_bodies_do_not_use_a_connection_up() {
    let backend = Scripted::start(big).await;
    let lab = backend.lab(patient).await;
    let http2 = lab.http2().await;
    let body = bytes::Bytes::from(vec![b'1'; 20_000]);
    for n in 0..1_000 {
        let post = http::Request::post("https://localhost/nowhere").body(()).unwrap();
        let answer = http2.exchange(post, body.clone()).await;
        assert_eq!(answer.unwrap_or_else(|error| panic!("{n}: {error}")).status, 404);
    }
    let uri = format!("https://localhost{}", Scripted::request("POST", "", "last").target);
    let post =
        http::Request::post(uri).header("content-type", "application/json").body(()).unwrap();
    let answer = http2.exchange(post, body).await.unwrap();
    assert_eq!(answer.json()["tag"], "last");
}

/// Lengths that are announced are no memory.
#[tokio::test]
async fn nothing_is_kept_for_what_is_only_announced() {
    let backend = Scripted::start(big).await;
    let lab =
        backend.lab(|config| patient(config).within("[http]", "max_body_size = \"64MiB\"")).await;
    lab.assert_unpoisoned("warm").await;
    let before = resident(&lab);
    let mut all = Vec::new();
    for _ in 0..100 {
        let mut connection = lab.http1().await;
        let head = Scripted::request("POST", "", "")
            .with("Content-Type", "application/json")
            .with("Content-Length", "60000000");
        connection.send(&[&head.to_bytes()[..], b"\"12"].concat()).await.unwrap();
        all.push(connection);
    }
    let grown = resident(&lab).saturating_sub(before);
    assert!(grown < 100 * 128, "{grown} KiB");
}

/// A connection that ends for its manners ends when what it carries is over.
#[tokio::test]
async fn a_connection_that_is_to_end_gives_the_answers_that_are_under_way() {
    let backend = Scripted::start(|mut link| async move {
        while let Some(asked) = link.request().await {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            link.answer(&asked).await;
        }
    })
    .await;
    let lab = backend
        .lab(|config| {
            let patient = config.swap("_byte_timeout = \"500ms\"", "_byte_timeout = \"9s\"");
            let patient = patient.swap("total_timeout = \"1s\"", "total_timeout = \"9s\"");
            let patient = patient.within("[http]", "idle_timeout = \"500ms\"");
            patient + "\n[limits]\nper_address = { requests = 1, per = \"10m\" }\n"
        })
        .await;
    let http2 = lab.http2().await;
    let request = |tag: &str| {
        let uri = format!("https://localhost{}", Scripted::get("", tag).target);
        http::Request::get(uri).body(()).unwrap()
    };
    let slow = http2.exchange(request("slow"), bytes::Bytes::new());
    let rude = async {
        eventually("it is asked", || async { !backend.asked().is_empty() }).await;
        while http2.exchange(request("rude"), bytes::Bytes::new()).await.is_ok() {}
    };
    let (answer, ()) = tokio::join!(slow, rude);
    assert_eq!(answer.unwrap().json()["tag"], "slow");
    assert_eq!(backend.asked().len(), 1);
}
