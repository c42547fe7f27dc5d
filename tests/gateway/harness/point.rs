//! A distribution point that a test controls: one connection, one answer, byte by byte.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::LOOPBACK;

/// What a path answers.
#[derive(Clone, Debug)]
pub enum Serving {
    /// A document.
    Document(Vec<u8>),
    /// A document with an entity tag; who has it already is told so.
    Tagged(Vec<u8>, &'static str),
    /// These bytes, and the end of the connection.
    Raw(Vec<u8>),
    /// A document of undeclared length.
    Chunked(Vec<u8>),
    /// A document in pieces of one byte.
    Drip(Vec<u8>),
    /// Half a document, and a reset.
    Reset(Vec<u8>),
    /// Nothing, for ever.
    Silent,
}

/// Stops when it is dropped.
pub struct DistributionPoint {
    pub address: SocketAddr,
    paths: Arc<Mutex<HashMap<String, Serving>>>,
    heads: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for DistributionPoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl DistributionPoint {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(LOOPBACK).await.unwrap();
        let address = listener.local_addr().unwrap();
        let paths: Arc<Mutex<HashMap<String, Serving>>> = Arc::default();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let (serving, asked) = (paths.clone(), heads.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream, serving.clone(), asked.clone()));
            }
        });
        Self { address, paths, heads, task }
    }

    /// From now on, a path answers so.
    pub fn serve(&self, path: &str, serving: Serving) {
        self.paths.lock().unwrap().insert(path.to_owned(), serving);
    }

    /// From now on, a path has this list.
    pub fn publish(&self, path: &str, list: &str) {
        self.serve(path, Serving::Document(list.as_bytes().to_vec()));
    }

    /// The document that a path has.
    pub fn document(&self, path: &str) -> Vec<u8> {
        match self.paths.lock().unwrap().get(path) {
            Some(Serving::Document(bytes) | Serving::Tagged(bytes, _)) => bytes.clone(),
            other => panic!("{path} has no document: {other:?}"),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The heads of the requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        let line = format!("GET {path} HTTP/1.1\r\n");
        self.heads().iter().filter(|head| head.starts_with(&line)).count()
    }
}

async fn answer(
    mut stream: TcpStream,
    paths: Arc<Mutex<HashMap<String, Serving>>>,
    heads: Arc<Mutex<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    heads.lock().unwrap().push(head.clone());
    let serving = paths.lock().unwrap().get(&path).cloned();
    // A gateway that has read enough goes away: no fault of the test.
    let _ = send(stream, serving, &head).await;
}

async fn send(mut stream: TcpStream, serving: Option<Serving>, head: &str) -> std::io::Result<()> {
    let whole = |bytes: &[u8], fields: &str| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{fields}\r\n", bytes.len());
        [head.as_bytes(), bytes].concat()
    };
    match serving {
        None => {
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await?;
        }
        Some(Serving::Document(bytes)) => stream.write_all(&whole(&bytes, "")).await?,
        Some(Serving::Tagged(_, tag)) if head.contains(&format!("if-none-match: {tag}\r\n")) => {
            stream.write_all(b"HTTP/1.1 304 Not Modified\r\n\r\n").await?;
        }
        Some(Serving::Tagged(bytes, tag)) => {
            stream.write_all(&whole(&bytes, &format!("ETag: {tag}\r\n"))).await?;
        }
        Some(Serving::Raw(bytes)) => stream.write_all(&bytes).await?,
        Some(Serving::Chunked(bytes)) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
            for chunk in bytes.chunks(0x10_0000) {
                let size = format!("{:x}\r\n", chunk.len());
                stream.write_all(&[size.as_bytes(), chunk, b"\r\n"].concat()).await?;
            }
            stream.write_all(b"0\r\n\r\n").await?;
        }
        Some(Serving::Drip(bytes)) => {
            for byte in whole(&bytes, "") {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Some(Serving::Reset(bytes)) => {
            let all = whole(&bytes, "");
            stream.write_all(&all[..all.len() / 2]).await?;
            return stream.set_zero_linger();
        }
        Some(Serving::Silent) => std::future::pending::<()>().await,
    }
    stream.shutdown().await
}
