//! A registry that misbehaves in every way: bounded time, bounded memory, 503, and recovery by itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use portaria::lab::http::{Handler, Service, ServiceResponse as Served, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{PERMISSION, read};
use crate::harness::*;

type Io = std::io::Result<()>;

/// How the registry treats the gateway.
#[derive(Clone, Debug)]
pub enum Manner {
    /// As it should.
    Good,
    /// It accepts connections and says nothing.
    Silent,
    /// One byte of the head, then one more, and so on.
    DripsHead,
    /// A good head, and a body one byte at a time.
    DripsBody,
    /// A body of 100 MB whose length is declared.
    Huge,
    /// A body of 100 MB in chunks.
    HugeInChunks,
    /// 100 MB of fields.
    HugeHead,
    /// These bytes, and the end of the connection.
    Says(Vec<u8>),
    /// The connection is reset when the question is there.
    Resets,
}

/// A registry that answers for one consent, each connection once.
pub struct Hostile {
    pub address: SocketAddr,
    manner: Arc<std::sync::Mutex<Manner>>,
    asked: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub const ID: &str = "urn:x:1";
const HUGE: usize = 100_000_000;

fn description() -> String {
    serde_json::json!({"data": {
        "consentId": ID,
        "status": "AUTHORISED",
        "permissions": [PERMISSION],
        "expirationDateTime": "2200-01-01T00:00:00Z",
        "clientId": CLIENT_ONE,
    }})
    .to_string()
}

/// An HTTP answer.
pub fn answer(status: &str, content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Whatever\r\n{content_type}content-length: {length}\r\n");
    format!("{head}connection: close\r\n\r\n{body}").into_bytes()
}

pub const JSON: &str = "content-type: application/json\r\n";

impl Hostile {
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind(LOOPBACK).await.unwrap();
        let address = listener.local_addr().unwrap();
        let manner = Arc::new(std::sync::Mutex::new(manner));
        let (asked, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let shared = (manner.clone(), asked.clone(), sent.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (manner, asked, sent) = shared.clone();
                connections.spawn(async move {
                    // The gateway gives up: that is the point.
                    let _ = treat(stream, &manner, &asked, &sent).await;
                });
            }
        });
        Self { address, manner, asked, sent, task }
    }

    pub fn turn(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn treat(
    mut stream: TcpStream,
    manner: &std::sync::Mutex<Manner>,
    asked: &AtomicUsize,
    sent: &AtomicUsize,
) -> Io {
    let mut question = Vec::new();
    while !question.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut question).await? == 0 {
            return Ok(());
        }
    }
    asked.fetch_add(1, Ordering::SeqCst);
    let manner = manner.lock().unwrap().clone();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    match manner {
        Manner::Good => stream.write_all(&answer("200", JSON, &description())).await,
        Manner::Silent => std::future::pending().await,
        Manner::DripsHead => drip(&mut stream, head).await,
        Manner::DripsBody => {
            stream.write_all(format!("{head}content-length: 1000000\r\n\r\n").as_bytes()).await?;
            drip(&mut stream, &description()).await
        }
        Manner::Huge => {
            stream.write_all(format!("{head}content-length: {HUGE}\r\n\r\n").as_bytes()).await?;
            flood(&mut stream, &[b' '; 65_536], sent).await
        }
        Manner::HugeInChunks => {
            let framed = format!("{head}transfer-encoding: chunked\r\n\r\n");
            stream.write_all(framed.as_bytes()).await?;
            let chunk = [b"8000\r\n".as_slice(), &[b' '; 0x8000], b"\r\n"].concat();
            flood(&mut stream, &chunk, sent).await
        }
        Manner::HugeHead => {
            stream.write_all(head.as_bytes()).await?;
            flood(&mut stream, &format!("x-{}: y\r\n", "a".repeat(1000)).into_bytes(), sent).await
        }
        Manner::Says(bytes) => stream.write_all(&bytes).await,
        Manner::Resets =>
        {
            #[expect(deprecated, reason = "a linger of zero does not block: it resets")]
            stream.set_linger(Some(Duration::ZERO))
        }
    }
}

async fn drip(stream: &mut TcpStream, text: &str) -> Io {
    for byte in text.bytes().cycle() {
        stream.write_all(&[byte]).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn flood(stream: &mut TcpStream, piece: &[u8], sent: &AtomicUsize) -> Io {
    while sent.load(Ordering::SeqCst) < HUGE {
        stream.write_all(piece).await?;
        sent.fetch_add(piece.len(), Ordering::SeqCst);
    }
    Ok(())
}

/// For registries that do not answer; others may take their time on a busy machine.
pub const HASTY: &str = "timeout = \"300ms\"\n";

/// A lab whose registry is another one. The breaker is quick, so that the tests are.
pub async fn lab_asking(url: &str, settings: &str) -> Lab {
    let breaker = "breaker = { failures = 3, open_for = \"100ms\" }";
    let settings = format!("registry = \"{url}\"\n{settings}\n{breaker}");
    lab_with(|config| {
        let line = config.lines().find(|line| line.starts_with("registry = ")).unwrap().to_owned();
        super::patient(config).swap(&line, &settings)
    })
    .await
}

/// It is 503 as often as one asks, and 200 as soon as the registry behaves.
async fn assert_survived(manner: Manner) -> Hostile {
    let registry = Hostile::start(manner.clone()).await;
    let lab = lab_asking(&format!("http://{}", registry.address), HASTY).await;
    let request = read(&lab, ID);
    for _ in 0..4 {
        let answer = lab.send(&request).await;
        assert_refused(&answer, 503, "SERVICO_INDISPONIVEL");
    }
    lab.assert_untouched();
    assert!(registry.asked() > 0, "{manner:?}");
    registry.turn(Manner::Good);
    eventually("the registry is asked again", || async { lab.send(&request).await.status == 200 })
        .await;
    registry
}

#[tokio::test]
async fn a_silent_registry_is_not_waited_for() {
    assert_survived(Manner::Silent).await;
}

#[tokio::test]
async fn an_answer_that_drips_in_is_not_waited_for() {
    for manner in [Manner::DripsHead, Manner::DripsBody] {
        assert_survived(manner).await;
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    for manner in [Manner::Huge, Manner::HugeInChunks, Manner::HugeHead] {
        let registry = assert_survived(manner.clone()).await;
        // What the buffers of two sockets take, and not 100 MB.
        let (sent, questions) = (registry.sent.load(Ordering::SeqCst), registry.asked());
        assert!(sent / questions < HUGE / 8, "{manner:?}: {sent} bytes, {questions} questions");
    }
}

#[tokio::test]
async fn an_answer_that_is_none_decides_nothing() {
    let good = description();
    let deep = "[".repeat(100_000);
    let twice = |member: &str, value: &str| {
        good.replacen("{\"data\":{", &format!("{{\"data\":{{\"{member}\":{value},"), 1)
    };
    for bytes in [
        answer("500", JSON, &good),
        answer("502", JSON, "{}"),
        answer("503", JSON, &good),
        answer("204", JSON, ""),
        answer("202", JSON, &good),
        answer("401", JSON, &good),
        answer("403", JSON, &good),
        answer("410", JSON, &good),
        answer("429", JSON, &good),
        answer("200", "content-type: text/html\r\n", &good),
        answer("200", "content-type: application/jsonp\r\n", &good),
        answer("200", "", &good),
        answer("200", JSON, ""),
        answer("200", JSON, &good[..good.len() - 1]),
        answer("200", JSON, &format!("{good}{good}")),
        answer("200", JSON, &deep),
        answer("200", JSON, "\u{feff}"),
        answer("200", JSON, &good.swap(ID, "urn:x:2")),
        // What stands twice, two readers understand differently.
        answer("200", JSON, &twice("status", "\"REJECTED\"")),
        answer("200", JSON, &twice("clientId", "\"client-2\"")),
        answer("200", JSON, &twice("\\u0073tatus", "\"REJECTED\"")),
        answer("200", JSON, &format!("{{\"data\":{{}},{}", &good[1..])),
        [answer("200", JSON, &good).as_slice(), b""].concat()[..150].to_vec(),
        b"EHLO registry\r\n\r\n".to_vec(),
        Vec::new(),
    ] {
        assert_survived(Manner::Says(bytes)).await;
    }
    assert_survived(Manner::Resets).await;
}

#[tokio::test]
async fn a_json_type_of_its_own_is_json() {
    for content_type in
        ["application/json; charset=utf-8", "Application/JSON", "application/hal+json"]
    {
        let line = format!("content-type: {content_type}\r\n");
        let registry = Hostile::start(Manner::Says(answer("200", &line, &description()))).await;
        let lab = lab_asking(&format!("http://{}", registry.address), "").await;
        assert_eq!(lab.send(&read(&lab, ID)).await.status, 200, "{content_type}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Hostile::start(Manner::Good).await;
    for status in ["301", "302", "303", "307", "308"] {
        let location = format!("{JSON}location: http://{}/\r\n", elsewhere.address);
        assert_survived(Manner::Says(answer(status, &location, &description()))).await;
    }
    assert_eq!(elsewhere.asked(), 0);
}

#[tokio::test]
async fn a_registry_that_has_no_address_is_503() {
    let lab = lab_asking("http://registry.invalid", HASTY).await;
    for _ in 0..4 {
        assert_refused(&lab.send(&read(&lab, ID)).await, 503, "SERVICO_INDISPONIVEL");
    }
    lab.assert_untouched();
}

async fn secure(tls: Arc<rustls::ServerConfig>) -> Service {
    let handler: Handler = Arc::new(|_| {
        let body = description().into_bytes();
        Box::pin(async move { Served { status: http::StatusCode::OK, body } })
    });
    serve(LOOPBACK, Some(tls), handler).await.unwrap()
}

#[tokio::test]
async fn a_registry_without_a_certificate_that_is_trusted_is_503() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let own = write("own.pem", &pki().root.pem());
    let foreign = write("foreign.pem", &pki().other_root.pem());
    let good = secure(pki().server_tls()).await;
    let expired = secure(pki().tls_of(&pki().expired_server)).await;
    for (host, service, anchors, is_trusted) in [
        ("localhost", &good, &own, true),
        ("localhost", &good, &foreign, false),
        ("127.0.0.2", &good, &own, false),
        ("localhost", &expired, &own, false),
    ] {
        let url = format!("https://{host}:{}", service.address.port());
        let lab = lab_asking(&url, &format!("trust_anchors = \"{anchors}\"")).await;
        let answer = lab.send(&read(&lab, ID)).await;
        if is_trusted {
            assert_eq!(answer.status, 200);
        } else {
            assert_refused(&answer, 503, "SERVICO_INDISPONIVEL");
            lab.assert_untouched();
        }
    }
}
