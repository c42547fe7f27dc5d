//! A legacy backend: answers like an insurer's system, records byte by byte what reached it, and
//! misbehaves on demand.
//!
//! The query parameter `lab` asks for misbehaviour: `slow:MS`, `silent`, `status:NNN`, `malformed`,
//! `truncated`, `truncated-chunked`, `switching`, `interim`, `close`, `close-once`, `drip`, `big:BYTES`,
//! `chunked`, `echo`, `verbose` (fields that must not reach a caller, in a 100 before the answer as well).

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::Result;
use super::consents::Store;

/// A request that reached the backend.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The head, byte by byte.
    pub head: Vec<u8>,
    /// The method.
    pub method: String,
    /// The target.
    pub target: String,
    /// The fields, in their order.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Recorded {
    /// The value of a field, whatever its case.
    pub fn field(&self, name: &str) -> Option<&str> {
        let of_name = |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
        self.fields.iter().find(of_name).map(|(_, value)| value.as_str())
    }

    fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    fn demand(&self) -> Option<&str> {
        let query = self.target.split_once('?')?.1;
        query.split('&').find_map(|pair| pair.strip_prefix("lab="))
    }
}

/// The backend.
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    state: BackendState,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct BackendState {
    recorded: Arc<Mutex<Vec<Recorded>>>,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    closed_once: Arc<Mutex<HashSet<String>>>,
    consents: Store,
    records: bool,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Backend {
    /// Starts a backend that keeps its consents in `consents` and records requests if it is told to.
    pub async fn start(address: SocketAddr, consents: Store, records: bool) -> Result<Self> {
        let listener = super::bind(address).await?;
        let address = listener.local_addr()?;
        let state = BackendState {
            recorded: Arc::default(),
            connections: Arc::default(),
            requests: Arc::default(),
            closed_once: Arc::default(),
            consents,
            records,
        };
        let shared = state.clone();
        let task = tokio::spawn(async move {
            // Dropped with the task, and the connections with it: a backend that is stopped is gone.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                // Where it fails answers come later, and no test asks why.
                let _ = stream.set_nodelay(true);
                let state = shared.clone();
                state.connections.fetch_add(1, Ordering::Relaxed);
                connections.spawn(async move {
                    // A gateway that goes away is no fault of the backend.
                    let _ = serve(stream, state).await;
                });
            }
        });
        Ok(Self { address, state, task })
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// How many requests have reached it, recorded or not.
    pub fn counter(&self) -> Arc<AtomicUsize> {
        self.state.requests.clone()
    }

    /// What has reached the backend so far.
    pub fn recorded(&self) -> Vec<Recorded> {
        self.state.recorded.lock().clone()
    }
}

async fn serve(mut stream: TcpStream, state: BackendState) -> Result<()> {
    let mut buffer = Vec::new();
    loop {
        let Some(request) = receive(&mut stream, &mut buffer).await? else {
            return Ok(());
        };
        state.requests.fetch_add(1, Ordering::Relaxed);
        // Only for tests: of a lab that serves for days, it would grow for ever.
        if state.records {
            state.recorded.lock().push(request.clone());
        }
        let demand = request.demand().unwrap_or_default().to_owned();
        let first_time =
            demand == "close-once" && state.closed_once.lock().insert(request.target.clone());
        if !misbehave(&mut stream, &demand, first_time).await? {
            return Ok(());
        }
        let (status, body) = answer(&request, &demand, &state.consents);
        let verbose = fields_for(&demand, &request);
        let media = match demand.split_once(':') {
            Some(("page", _)) => "text/html",
            _ => "application/json",
        };
        if demand == "verbose" {
            let interim = "HTTP/1.1 100 Continue\r\nServer: LegacyServer/1.0\r\nx-leak: 1\r\n\r\n";
            stream.write_all(interim.as_bytes()).await?;
        }
        if demand == "chunked" {
            stream.write_all(&in_chunks(status, &body)).await?;
            continue;
        }
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} Whatever\r\ncontent-type: {media}\r\n{verbose}\
             content-length: {length}\r\n\r\n"
        );
        // RFC 9110 section 8.6: no Content-Length in a 204.
        let head = if status == 204 { head.replace("content-length: 0\r\n", "") } else { head };
        stream.write_all(&[head.as_bytes(), &body].concat()).await?;
    }
}

/// What the answer has besides.
fn fields_for(demand: &str, request: &Recorded) -> &'static str {
    match demand {
        "verbose" => {
            "Server: LegacyServer/1.0\r\nX-Powered-By: COBOL\r\nKeep-Alive: timeout=9\r\n\
             x-portaria-client-id: forged\r\nx-v: 0.0.1\r\nx-fapi-interaction-id: forged\r\n\
             Set-Cookie: JSESSIONID=1\r\n"
        }
        "elsewhere" => {
            "Location: http://legacy.internal:8080/a?b#c\r\n\
             Content-Location: https://legacy.internal/d\r\n"
        }
        "elsewhere-alike" => {
            "Location: //legacy.internal/a\r\nContent-Location: //other.example/d\r\n"
        }
        "to-the-client" => "Location: https://client.example/callback?code=1\r\n",
        "compressed" if request.field("accept-encoding") == Some("gzip") => {
            "Content-Encoding: gzip\r\n"
        }
        _ => "",
    }
}

fn in_chunks(status: u16, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} Whatever\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n{:x}\r\n",
        body.len()
    );
    [head.as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
}

/// Receives one request, or nothing when the connection ends.
async fn receive(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Option<Recorded>> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head: Vec<u8> = buffer.drain(..end).collect();
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Request::new(&mut fields);
    parsed.parse(&head)?;
    let field = |field: &httparse::Header<'_>| {
        (field.name.to_owned(), String::from_utf8_lossy(field.value).into_owned())
    };
    let mut request = Recorded {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        fields: parsed.headers.iter().map(field).collect(),
        head: head.clone(),
        body: Vec::new(),
    };
    let length = request.field("content-length").map_or(Ok(0), str::parse::<usize>)?;
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    request.body = buffer.drain(..length).collect();
    Ok(Some(request))
}

/// Does what the request demands; returns whether an answer follows.
async fn misbehave(stream: &mut TcpStream, demand: &str, first_time: bool) -> Result<bool> {
    let raw = |text: &'static str| text.as_bytes();
    match demand.split_once(':').unwrap_or((demand, "")) {
        ("slow", milliseconds) => {
            tokio::time::sleep(Duration::from_millis(milliseconds.parse()?)).await;
            return Ok(true);
        }
        ("close-once", _) => return Ok(!first_time),
        ("silent", _) => std::future::pending::<()>().await,
        ("close", _) => {}
        ("malformed", _) => stream.write_all(raw("EHLO legacy\r\n\r\n")).await?,
        ("truncated", _) => {
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
            stream.write_all(raw(head)).await?;
        }
        ("truncated-chunked", _) => {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
            stream.write_all(raw(head)).await?;
        }
        ("switching", _) => {
            let head =
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
            stream.write_all(raw(head)).await?;
            std::future::pending::<()>().await;
        }
        ("interim", _) => {
            // Far beyond the 16 that the gateway passes over (decision 24).
            for _ in 0..10_000 {
                stream.write_all(raw("HTTP/1.1 103 Early Hints\r\n\r\n")).await?;
            }
        }
        ("raw", name) => stream.write_all(raw(odd_answer(name))).await?,
        ("drip", _) => {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
            stream.write_all(raw(head)).await?;
            loop {
                stream.write_all(b" ").await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        _ => return Ok(true),
    }
    Ok(false)
}

/// Answers whose framing two readers understand differently.
fn odd_answer(name: &str) -> &'static str {
    match name {
        "two-lengths" => {
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\ncontent-length: 7\r\n\r\n{\"a\":1}"
        }
        "two-lengths-in-one" => "HTTP/1.1 200 OK\r\ncontent-length: 7, 7\r\n\r\n{\"a\":1}",
        "negative-length" => "HTTP/1.1 200 OK\r\ncontent-length: -7\r\n\r\n{\"a\":1}",
        "length-and-chunks" => {
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\ntransfer-encoding: chunked\r\n\r\n\
             7\r\n{\"a\":1}\r\n0\r\n\r\n"
        }
        "identity" => "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n{\"a\":",
        "gzip-in-chunks" => {
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n\
             7\r\n{\"a\":1}\r\n0\r\n\r\n"
        }
        "chunked-in-1.0" => {
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n0\r\n\r\n"
        }
        "no-content-in-chunks" => {
            "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        }
        "empty-page" => "HTTP/1.1 502 Bad\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n",
        "empty-page-of-zeros" => {
            "HTTP/1.1 502 Bad\r\ncontent-type: text/html\r\ncontent-length: 00\r\n\r\n"
        }
        "empty-page-in-chunks" => {
            "HTTP/1.1 502 Bad\r\ncontent-type: text/html\r\ntransfer-encoding: chunked\r\n\r\n\
             0\r\n\r\n"
        }
        "empty-page-to-the-end" => "HTTP/1.1 502 Bad\r\ncontent-type: text/html\r\n\r\n",
        "old" => {
            "HTTP/1.0 200 OK\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n{\"a\":1}"
        }
        _ => "",
    }
}

/// What the legacy system answers.
fn answer(request: &Recorded, demand: &str, consents: &Store) -> (u16, Vec<u8>) {
    if let Some(status) = demand.strip_prefix("status:").and_then(|text| text.parse().ok()) {
        return (status, json!({"errors": [], "lab": "asked for"}).to_string().into_bytes());
    }
    if let Some(status) = demand.strip_prefix("page:").and_then(|text| text.parse().ok()) {
        return (status, b"<html>at br.com.legacy.Policy.load(Policy.java:42)</html>".to_vec());
    }
    if let Some(size) = demand.strip_prefix("big:").and_then(|text| text.parse().ok()) {
        return (200, vec![b' '; size]);
    }
    if demand == "echo" {
        return (200, request.body.clone());
    }
    let path = request.path();
    if path.starts_with("/open-insurance/consents/") {
        return consent_answer(request, consents);
    }
    if path.starts_with("/open-insurance/claim-notification/") {
        let id = request.field("x-portaria-consent-id").unwrap_or_default();
        consents.set_status(id, "CONSUMED");
    }
    let status = if request.method == "POST" { 201 } else { 200 };
    let body = json!({
        "data": [{"brand": "Seguradora Exemplo", "companies": []}],
        "links": {"self": format!("https://api.portaria-lab.example{path}")},
        "meta": {"totalRecords": 1, "totalPages": 1},
    });
    (status, body.to_string().into_bytes())
}

fn consent_answer(request: &Recorded, consents: &Store) -> (u16, Vec<u8>) {
    let client = request.field("x-portaria-client-id").unwrap_or_default();
    let id = request.path().rsplit('/').next().unwrap_or_default();
    let id = percent_decode_str(id).decode_utf8_lossy().into_owned();
    match request.method.as_str() {
        "POST" => {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let permissions = body.pointer("/data/permissions").and_then(Value::as_array);
            let names: Vec<&str> =
                permissions.into_iter().flatten().filter_map(Value::as_str).collect();
            let id = consents.create(client, &names, "AWAITING_AUTHORISATION");
            let data = json!({"data": {"consentId": id, "status": "AWAITING_AUTHORISATION"}});
            (201, data.to_string().into_bytes())
        }
        "DELETE" => {
            consents.set_status(&id, "REJECTED");
            (204, Vec::new())
        }
        _ => {
            let status = consents.get(&id).map(|record| record.status);
            (200, json!({"data": {"consentId": id, "status": status}}).to_string().into_bytes())
        }
    }
}
