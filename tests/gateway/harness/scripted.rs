//! A backend that does byte by byte what a test says, and knows on which of its connections each request came. It
//! reads strictly: what is not one canonical request ends the test.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use portaria::lab::pki::Identity;
use rustix::net::sockopt::set_socket_linger;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::server::TlsStream;

use super::{LOOPBACK, Lab, Request, Rewrite, lab_with, private_directory};

/// Open routes of every method, to which the backend does what `do` says.
pub const THINGS: &str = "/open-insurance/demo/v1/things";

/// A request as the backend got it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The connection, from 1.
    pub connection: usize,
    pub method: String,
    pub target: String,
    pub fields: Vec<(String, String)>,
    pub length: usize,
}

impl Asked {
    /// A parameter of its query.
    pub fn parameter(&self, name: &str) -> &str {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let value = fields.next().map(|(_, value)| value.as_str());
        assert!(fields.next().is_none(), "{name} stands twice: {self:?}");
        value
    }
}

enum Stream {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

/// A connection of the backend.
pub struct Link {
    pub number: usize,
    stream: Stream,
    buffer: Vec<u8>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Link {
    fn io(&mut self) -> Pin<Box<dyn Io + '_>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Box::pin(tcp),
            Stream::Secured(tls) => Box::pin(tls),
        }
    }

    pub fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Secured(tls) => tls.get_ref().0,
        }
    }

    /// The TLS connection.
    pub fn tls(&mut self) -> &mut TlsStream<TcpStream> {
        match &mut self.stream {
            Stream::Plain(_) => panic!("no TLS"),
            Stream::Secured(tls) => tls,
        }
    }

    /// The next request's head; nothing, when the connection ended.
    pub async fn head(&mut self) -> Option<Asked> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if !self.more().await {
                assert!(self.buffer.is_empty(), "half of a head: {:?}", self.buffer);
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end_matches("\r\n").split("\r\n");
        let line: Vec<&str> = lines.next().unwrap().split(' ').collect();
        let [method, target, "HTTP/1.1"] = line[..] else { panic!("no request: {head:?}") };
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("{head:?}"));
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{head:?}");
            (name.to_owned(), value.to_owned())
        });
        let mut asked = Asked {
            connection: self.number,
            method: method.to_owned(),
            target: target.to_owned(),
            fields: fields.collect(),
            length: 0,
        };
        assert_eq!(asked.field("transfer-encoding"), None);
        assert!(asked.field("host").is_some(), "{head:?}");
        asked.length = asked.field("content-length").map_or(0, |length| length.parse().unwrap());
        self.asked.lock().unwrap().push(asked.clone());
        Some(asked)
    }

    /// The next request, with its body.
    pub async fn request(&mut self) -> Option<Asked> {
        let asked = self.head().await?;
        self.receive(asked.length).await.then_some(asked)
    }

    /// So many bytes; false when the connection ended before.
    pub async fn receive(&mut self, mut bytes: usize) -> bool {
        while bytes > 0 {
            let here = bytes.min(self.buffer.len());
            self.buffer.drain(..here);
            bytes -= here;
            if bytes > 0 && !self.more().await {
                return false;
            }
        }
        true
    }

    /// What is here of what follows.
    pub async fn some(&mut self) -> Vec<u8> {
        if self.buffer.is_empty() {
            self.more().await;
        }
        std::mem::take(&mut self.buffer)
    }

    async fn more(&mut self) -> bool {
        let mut part = vec![0; 16 * 1024];
        let read = self.io().read(&mut part).await.unwrap_or(0);
        self.buffer.extend_from_slice(&part[..read]);
        read > 0
    }

    /// Whether the other side sends nothing more.
    pub async fn is_ended(&mut self) -> bool {
        self.buffer.is_empty() && !self.more().await
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let mut io = self.io();
        io.write_all(bytes.as_ref()).await.is_ok() && io.flush().await.is_ok()
    }

    /// Answers with the request's tag.
    pub async fn answer(&mut self, asked: &Asked) -> bool {
        self.send(tagged("200 OK", "", asked)).await
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        set_socket_linger(self.tcp(), Some(std::time::Duration::ZERO)).unwrap();
    }
}

trait Io: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Io for T {}

/// An answer that says to which request.
pub fn tagged(status: &str, fields: &str, asked: &Asked) -> String {
    let body = format!("{{\"tag\":\"{}\"}}", asked.parameter("tag"));
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{fields}content-length: {length}\r\n\r\n{body}"
    )
}

/// The backend.
pub struct Scripted {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
    /// Connections that are open.
    open: Arc<AtomicUsize>,
    policies: TempDir,
    task: JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scripted {
    /// A backend each of whose connections does this.
    pub async fn start<F, D>(does: F) -> Self
    where
        F: Fn(Link) -> D + Send + Sync + 'static,
        D: Future<Output = ()> + Send + 'static,
    {
        Self::start_with(None, does).await
    }

    /// The same, over TLS.
    pub async fn start_with<F, D>(identity: Option<&Identity>, does: F) -> Self
    where
        F: Fn(Link) -> D + Send + Sync + 'static,
        D: Future<Output = ()> + Send + 'static,
    {
        let acceptor = identity.map(|identity| {
            let config = rustls::ServerConfig::builder_with_provider(Arc::new(
                rustls::crypto::aws_lc_rs::default_provider(),
            ))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain.clone(), identity.key.clone_key())
            .unwrap();
            tokio_rustls::TlsAcceptor::from(Arc::new(config))
        });
        let listener = TcpListener::bind(LOOPBACK).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, connections) =
            (Arc::<Mutex<Vec<Asked>>>::default(), Arc::<AtomicUsize>::default());
        let open = Arc::<AtomicUsize>::default();
        let (records, counter, opened) = (asked.clone(), connections.clone(), open.clone());
        let task = tokio::spawn(async move {
            let mut links = tokio::task::JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                tcp.set_nodelay(true).unwrap();
                let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
                opened.fetch_add(1, Ordering::SeqCst);
                let stream = match &acceptor {
                    None => Stream::Plain(tcp),
                    Some(acceptor) => {
                        Stream::Secured(Box::new(acceptor.accept(tcp).await.unwrap()))
                    }
                };
                let link = Link { number, stream, buffer: Vec::new(), asked: records.clone() };
                let (doing, open) = (does(link), opened.clone());
                links.spawn(async move {
                    doing.await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, asked, connections, open, policies: private_directory(), task }
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// A gateway before it, with open routes of every method. Over TLS where `root` is given.
    pub async fn lab(&self, change: impl FnOnce(String) -> String) -> Lab {
        self.lab_over(None, change).await
    }

    pub async fn lab_over(&self, root: Option<&str>, change: impl FnOnce(String) -> String) -> Lab {
        let directory = self.policies.path();
        let route = |method: &str| {
            let key = match method {
                "POST" | "PUT" | "PATCH" => "idempotency_key = \"ignored\"\n",
                _ => "",
            };
            format!(
                "[[routes]]\nmethod = \"{method}\"\npath = \"/things\"\naccess = \"open\"\n{key}\
                     query = [{{ name = \"do\" }}, {{ name = \"tag\" }}, {{ name = \"n\" }}]\n\n"
            )
        };
        let routes: String = ["GET", "POST", "PUT", "PATCH", "DELETE"].map(route).concat();
        let policy = format!(
            "api = \"demo\"\nversion = \"1.0.0\"\nbase_path = \"/open-insurance/demo/v1\"\nclass = \"medium\"\n\
             interaction_id = {{ form = \"uuid\", missing = \"mint\", malformed = \"refuse\" }}\n\
             upstream = \"legacy\"\n\n{routes}"
        );
        std::fs::create_dir_all(directory.join("policies")).unwrap();
        std::fs::write(directory.join("policies/demo.toml"), policy).unwrap();
        let tls = root.map(|root| {
            std::fs::write(directory.join("root.pem"), root).unwrap();
            format!(
                "tls = {{ server_name = \"localhost\", trust_anchors = \"{}\" }}\n",
                directory.join("root.pem").display()
            )
        });
        let lab = lab_with(|config| {
            let line =
                |key: &str| config.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
            let servers = format!("servers = [\"{}\"]\n{}", self.address, tls.unwrap_or_default());
            let config = config.swap(&(line("servers = ") + "\n"), &servers);
            let own = format!("directory = \"{}\"", directory.join("policies").display());
            change(config.swap(&line("directory = "), &own))
        });
        lab.await
    }

    /// A request for something to be done.
    pub fn request(method: &str, what: &str, tag: &str) -> Request {
        Request::new(method, &format!("{THINGS}?do={what}&tag={tag}"))
    }

    pub fn get(what: &str, tag: &str) -> Request {
        Self::request("GET", what, tag)
    }
}

impl Lab {
    /// Three requests, on one connection and on others, each get their own answers.
    pub async fn assert_unpoisoned(&self, what: &str) {
        let mut connection = self.http1().await;
        for n in 0..6 {
            let tag = format!("good-{n}");
            let request = Scripted::get("", &tag).to_bytes();
            let answer = match n < 3 {
                true => connection.exchange(&request).await,
                false => self.http1().await.exchange(&request).await,
            };
            let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(
                (answer.status.as_u16(), &answer.json()["tag"]),
                (200, &tag.into()),
                "{what}"
            );
        }
    }
}
