//! The consent registry of a test run: it answers on a loopback address what the case in hand says, so that
//! the gateway's own client of registries asks and reads as it does in service.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

use super::case::KnownConsent;
use crate::consent::{Members, MissingExpiration, Registry};
use crate::remote::{Endpoint, Remote};

/// Longer than a busy machine lets a loopback address wait: running out of it would fail a case.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers by consent id; nothing if the registry is out of order.
type Answers = Arc<Mutex<Option<HashMap<String, String>>>>;

/// The registry.
pub(super) struct Responder {
    answers: Answers,
    remote: Remote,
    task: JoinHandle<()>,
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Responder {
    /// Starts to answer.
    pub(super) async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let url = Url::parse(&url).map_err(std::io::Error::other)?;
        let endpoint = Endpoint { url, tls: None, timeout: PATIENCE };
        let remote = Remote::new(endpoint).map_err(std::io::Error::other)?;
        let answers = Answers::default();
        let shared = answers.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Ok(Self { answers, remote, task })
    }

    /// Answers this from now on.
    pub(super) fn tell(&self, consents: Option<&[KnownConsent]>) {
        let told = |consents: &[KnownConsent]| {
            consents.iter().map(|consent| (consent.id.clone(), describe(consent))).collect()
        };
        *self.answers.lock() = consents.map(told);
    }

    /// The gateway's client of it.
    pub(super) fn client(&self) -> Registry {
        Registry::new(self.remote.clone(), Members::default(), MissingExpiration::Refuse)
    }
}

fn describe(consent: &KnownConsent) -> String {
    let data = json!({
        "consentId": consent.id,
        "status": consent.status,
        "permissions": consent.permissions,
        "expirationDateTime": consent.expires.format(&Rfc3339).unwrap_or_default(),
        "clientId": consent.client_id,
    });
    json!({"data": data}).to_string()
}

/// One connection: `GET /consents/{id}`, again and again.
async fn serve(mut stream: TcpStream, answers: Answers) {
    let mut received = Vec::new();
    let mut buffer = [0; 2048];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        received.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if !received.ends_with(b"\r\n\r\n") {
            continue;
        }
        let answer = answer(&received, &answers);
        received.clear();
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(request: &[u8], answers: &Answers) -> String {
    let head = String::from_utf8_lossy(request);
    let target = head.split(' ').nth(1).unwrap_or_default();
    let id = target.strip_prefix("/consents/").unwrap_or_default();
    let id = percent_decode_str(id).decode_utf8_lossy();
    let (status, body) = match &*answers.lock() {
        None => ("503 Service Unavailable", String::new()),
        Some(known) => match known.get(&*id) {
            Some(body) => ("200 OK", body.clone()),
            None => ("404 Not Found", String::new()),
        },
    };
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}
