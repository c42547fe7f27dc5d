//! Requests over HTTP/1.1 and mTLS.

use std::time::Instant;

use portaria::lab::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Outcome, Until};
use crate::target::Target;

const MOST_FIELDS: usize = 48;

pub(super) async fn keep_asking(target: Target, until: Until) -> Result<Outcome> {
    let mut outcome = Outcome::new()?;
    let mut connection = Connection::open(&target).await?;
    let mut request = Vec::new();
    while until.goes_on() {
        let began = Instant::now();
        connection.ask(target.next(&mut request)).await?;
        outcome.note(began)?;
    }
    Ok(outcome)
}

pub(super) async fn keep_connecting(target: Target, until: Until) -> Result<Outcome> {
    let mut outcome = Outcome::new()?;
    let mut request = Vec::new();
    while until.goes_on() {
        let began = Instant::now();
        Connection::open(&target).await?.ask(target.next(&mut request)).await?;
        outcome.note(began)?;
    }
    Ok(outcome)
}

/// A connection over mTLS.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(target: &Target) -> Result<Self> {
        let stream = connect(target, false).await?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Asks, and takes the whole answer; an error if it is neither 200 nor 201.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<()> {
        match self.status_of(request).await? {
            200 | 201 => Ok(()),
            status => {
                let shown = String::from_utf8_lossy(&self.buffer);
                Err(format!("an answer is {status}: {shown}").into())
            }
        }
    }

    /// Asks, takes the whole answer and gives its status.
    pub(crate) async fn status_of(&mut self, request: &[u8]) -> Result<u16> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        let (status, whole) = loop {
            self.read().await?;
            if let Some(head) = read_head(&self.buffer)? {
                break head;
            }
        };
        while self.buffer.len() < whole {
            self.read().await?;
        }
        Ok(status)
    }

    async fn read(&mut self) -> Result<()> {
        self.buffer.reserve(4096);
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err("the proxy ended the connection".into()),
            _ => Ok(()),
        }
    }
}

/// Status, and length of head and body.
fn read_head(buffer: &[u8]) -> Result<Option<(u16, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut answer = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head) = answer.parse(buffer)? else { return Ok(None) };
    let length = answer.headers.iter().find(|f| f.name.eq_ignore_ascii_case("content-length"));
    let length = length.ok_or("an answer without length")?;
    let length: usize = std::str::from_utf8(length.value)?.parse()?;
    Ok(Some((answer.code.ok_or("an answer without status")?, head + length)))
}

/// Shakes hands for a version of HTTP.
pub(super) async fn connect(target: &Target, is_http2: bool) -> Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(target.address).await?;
    tcp.set_nodelay(true)?;
    let tls = if is_http2 { &target.tls_http2 } else { &target.tls };
    Ok(TlsConnector::from(tls.clone()).connect(target.name.clone(), tcp).await?)
}
