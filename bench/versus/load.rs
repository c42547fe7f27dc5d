//! The load: connections that ask, wait for the answer and ask again.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use portaria::lab::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::proxies::Target;

/// How connections are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Each carries one request after the other.
    KeepAlive,
    /// Each carries one request.
    Handshakes,
}

/// A load.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) mode: Mode,
    pub(crate) workers: usize,
    pub(crate) duration: Duration,
    pub(crate) target: Target,
}

/// What came back.
pub(crate) struct Outcome {
    pub(crate) answers: u64,
    latencies: Histogram<u64>,
}

impl Outcome {
    /// A quantile of the latency, in microseconds.
    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64
    }
}

impl Load {
    pub(crate) async fn run(self) -> Result<Outcome> {
        let duration = self.duration;
        self.run_for(duration).await
    }

    pub(crate) async fn run_for(self, duration: Duration) -> Result<Outcome> {
        let end = Instant::now() + duration;
        let mut workers = JoinSet::new();
        for _ in 0..self.workers {
            workers.spawn(work(self.target.clone(), self.mode, end));
        }
        let mut outcome = Outcome { answers: 0, latencies: Histogram::new(3)? };
        while let Some(worker) = workers.join_next().await {
            let latencies = worker??;
            outcome.answers += latencies.len();
            outcome.latencies.add(latencies)?;
        }
        Ok(outcome)
    }

    /// Opens a connection per worker, makes one request on each, and leaves them open.
    pub(crate) async fn open_idle(self) -> Result<Vec<Connection>> {
        let mut connections = Vec::new();
        for _ in 0..self.workers {
            let mut connection = Connection::open(&self.target).await?;
            connection.exchange(&self.target.request).await?;
            connections.push(connection);
        }
        Ok(connections)
    }
}

async fn work(target: Target, mode: Mode, end: Instant) -> Result<Histogram<u64>> {
    let mut latencies = Histogram::new(3)?;
    let mut kept: Option<Connection> = None;
    while Instant::now() < end {
        let began = Instant::now();
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::open(&target).await?,
        };
        connection.exchange(&target.request).await?;
        latencies.record(u64::try_from(began.elapsed().as_micros())?)?;
        if mode == Mode::KeepAlive {
            kept = Some(connection);
        }
    }
    Ok(latencies)
}

/// A connection over mTLS.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(target: &Target) -> Result<Self> {
        let tcp = TcpStream::connect(target.address).await?;
        tcp.set_nodelay(true)?;
        let connector = TlsConnector::from(target.tls.clone());
        let stream = connector.connect(target.name.clone(), tcp).await?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the proxy ended the connection".into());
            }
            if is_complete(&self.buffer)? {
                return Ok(());
            }
        }
    }
}

/// Whether the buffer holds a whole answer; an error if it is not 200.
fn is_complete(buffer: &[u8]) -> Result<bool> {
    let Some(head) = memchr::memmem::find(buffer, b"\r\n\r\n") else { return Ok(false) };
    if !buffer.starts_with(b"HTTP/1.1 200 ") {
        return Err(String::from_utf8_lossy(buffer).into_owned().into());
    }
    let fields = buffer.get(..head).unwrap_or_default().to_ascii_lowercase();
    let name = b"content-length: ";
    let value = memchr::memmem::find(&fields, name).ok_or("an answer without length")? + name.len();
    let digits = fields.get(value..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit());
    let length = digits.fold(0, |n, digit| n * 10 + usize::from(digit - b'0'));
    Ok(buffer.len() >= head + 4 + length)
}
