//! An authorization server's key set, served as well or as badly as a test wants it: one connection, one
//! answer, byte by byte.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::LOOPBACK;

/// What a path answers.
#[derive(Clone, Debug)]
pub enum Answering {
    /// A document, with more fields (each ended by CR LF).
    Json(String, &'static str),
    /// These bytes, and the end of the connection.
    Raw(Vec<u8>),
    /// A document that never ends.
    Endless,
    /// A document, one byte at a time.
    Drip(String),
    /// Half a document, and a reset.
    Reset(String),
    /// Nothing, for ever.
    Silent,
    /// A document, once the test lets it go.
    Held(String),
}

#[derive(Default)]
struct State {
    paths: HashMap<String, Answering>,
    requests: HashMap<String, usize>,
    last_body: String,
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// Stops when it is dropped.
pub struct KeyServer {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    sent: Arc<AtomicUsize>,
    release: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The path of the key set.
pub const KEY_SET: &str = "/jwks";

impl KeyServer {
    /// A server whose key set is this.
    pub async fn start(answering: Answering) -> Self {
        let listener = TcpListener::bind(LOOPBACK).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (release, released) = watch::channel(false);
        let (state, sent): (Arc<Mutex<State>>, Arc<AtomicUsize>) = Default::default();
        let (shared, count) = (state.clone(), sent.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, shared.clone(), count.clone(), released.clone()));
            }
        });
        let server = Self { address, state, sent, release, task };
        server.answer(KEY_SET, answering);
        server
    }

    /// From now on, a path answers so.
    pub fn answer(&self, path: &str, answering: Answering) {
        self.state.lock().unwrap().paths.insert(path.to_owned(), answering);
    }

    /// From now on, this is the key set.
    pub fn publish(&self, set: &serde_json::Value) {
        self.answer(KEY_SET, Answering::Json(set.to_string(), ""));
    }

    /// From now on, new connections speak TLS.
    pub fn speak_tls(&self, tls: Arc<rustls::ServerConfig>) {
        self.state.lock().unwrap().tls = Some(tls);
    }

    /// How often a path was asked for.
    pub fn requests(&self, path: &str) -> usize {
        self.state.lock().unwrap().requests.get(path).copied().unwrap_or(0)
    }

    /// The body of the last request.
    pub fn last_body(&self) -> String {
        self.state.lock().unwrap().last_body.clone()
    }

    /// Bytes of endless documents that somebody took.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Lets held documents go.
    pub fn release(&self) {
        self.release.send_replace(true);
    }

    pub fn url(&self) -> String {
        format!("http://{}{KEY_SET}", self.address)
    }
}

async fn serve(
    stream: TcpStream,
    state: Arc<Mutex<State>>,
    sent: Arc<AtomicUsize>,
    released: watch::Receiver<bool>,
) {
    let tls = state.lock().unwrap().tls.clone();
    // A gateway that refuses, or has read enough, is no fault of the test.
    if let Some(tls) = tls {
        if let Ok(mut stream) = TlsAcceptor::from(tls).accept(stream).await {
            let _ = answer(&mut stream, &state, &sent, released).await;
        }
        return;
    }
    let mut stream = stream;
    if let Ok(Ending::Reset) = answer(&mut stream, &state, &sent, released).await {
        stream.set_zero_linger().unwrap();
    }
}

/// How a connection ends.
enum Ending {
    InOrder,
    Reset,
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    state: &Mutex<State>,
    sent: &AtomicUsize,
    mut released: watch::Receiver<bool>,
) -> std::io::Result<Ending> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await?;
    let answering = {
        let mut state = state.lock().unwrap();
        *state.requests.entry(path.clone()).or_default() += 1;
        state.last_body = String::from_utf8(body).unwrap();
        state.paths.get(&path).cloned()
    };
    match answering {
        None => stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await?,
        Some(Answering::Json(body, fields)) => stream.write_all(&whole(&body, fields)).await?,
        Some(Answering::Raw(bytes)) => stream.write_all(&bytes).await?,
        Some(Answering::Endless) => endless(stream, sent).await?,
        Some(Answering::Drip(body)) => {
            for byte in whole(&body, "") {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Some(Answering::Reset(body)) => {
            let all = whole(&body, "");
            stream.write_all(&all[..all.len() / 2]).await?;
            return Ok(Ending::Reset);
        }
        Some(Answering::Silent) => std::future::pending::<()>().await,
        Some(Answering::Held(body)) => {
            let _ = released.wait_for(|released| *released).await;
            stream.write_all(&whole(&body, "")).await?;
        }
    }
    stream.shutdown().await?;
    Ok(Ending::InOrder)
}

fn whole(body: &str, fields: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {length}\r\n{fields}\r\n{body}"
    )
    .into_bytes()
}

/// 100 MB, if anybody takes them.
async fn endless<S: AsyncWrite + Unpin>(stream: &mut S, sent: &AtomicUsize) -> std::io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let chunk = [b"10000\r\n", vec![b' '; 0x1_0000].as_slice(), b"\r\n"].concat();
    for _ in 0..1600 {
        stream.write_all(&chunk).await?;
        sent.fetch_add(chunk.len(), Ordering::Relaxed);
    }
    Ok(())
}
