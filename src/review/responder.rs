//! A service of a run without a gateway: it answers on a loopback address what is in hand, so that the gateway's
//! own clients ask and read as they do in service.

use std::sync::Arc;

use http::StatusCode;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

/// Bytes of a request: nobody but the gateway's own clients asks.
const LONGEST: usize = 256 * 1024;

/// What a service knows.
pub(super) trait Service: Send + 'static {
    /// Answers a request for a path. JSON.
    fn answer(&mut self, path: &str) -> (StatusCode, String);
}

/// A service that answers.
pub(super) struct Responder<S> {
    service: Arc<Mutex<S>>,
    url: Url,
    task: JoinHandle<()>,
}

impl<S> Drop for Responder<S> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<S: Service> Responder<S> {
    /// Starts to answer.
    pub(super) async fn start(service: S) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let url = Url::parse(&url).map_err(std::io::Error::other)?;
        let service = Arc::new(Mutex::new(service));
        let shared = service.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Ok(Self { service, url, task })
    }

    /// Where it answers.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Looks at what it knows, or changes it.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut S) -> T) -> T {
        look(&mut self.service.lock())
    }
}

/// One connection: a request with its body, again and again.
async fn serve<S: Service>(mut stream: TcpStream, service: Arc<Mutex<S>>) {
    let mut received = Vec::new();
    let mut buffer = [0; 2048];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        received.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if received.len() > LONGEST {
            return;
        }
        let Some(target) = complete(&received) else {
            continue;
        };
        let (status, body) = service.lock().answer(&target);
        received.clear();
        let (length, status) = (body.len(), status.as_u16());
        let head = format!(
            "HTTP/1.1 {status} .\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        if stream.write_all((head + &body).as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The target of a request that is here as a whole.
fn complete(received: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(received);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("content-length");
        is_it.then(|| value.trim().parse::<usize>().ok())?
    });
    let is_whole = body.len() >= length.unwrap_or_default();
    is_whole.then(|| head.split(' ').nth(1).unwrap_or_default().to_owned())
}
