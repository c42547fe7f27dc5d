//! A small HTTP/1 server for the lab's services, plain or over TLS with optional client certificates.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use ::http::{HeaderMap, Method, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::Result;

/// A request.
pub struct ServiceRequest {
    /// The method.
    pub method: Method,
    /// The path, as it arrived.
    pub path: String,
    /// The query.
    pub query: String,
    /// The fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The client's certificate, if it presented one.
    pub certificate: Option<CertificateDer<'static>>,
}

impl ServiceRequest {
    /// The value of a form member or query parameter.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let in_query = url::form_urlencoded::parse(self.query.as_bytes());
        let in_body = url::form_urlencoded::parse(&self.body);
        in_query.chain(in_body).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

/// A JSON answer.
#[derive(Clone, Debug)]
pub struct ServiceResponse {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Vec<u8>,
}

impl ServiceResponse {
    /// An answer.
    pub fn json(status: StatusCode, body: &serde_json::Value) -> Self {
        Self { status, body: body.to_string().into_bytes() }
    }
}

type Answering = Pin<Box<dyn Future<Output = ServiceResponse> + Send>>;

/// What answers.
pub type Handler = Arc<dyn Fn(ServiceRequest) -> Answering + Send + Sync>;

/// A server that runs until it is dropped.
pub struct Service {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a server.
pub async fn serve(
    address: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    handler: Handler,
) -> Result<Service> {
    let listener = super::bind(address).await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        // Dropped with the task, and the connections with it: a service that is stopped answers nobody.
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve_connection(stream, tls.clone(), handler.clone()));
        }
    });
    Ok(Service { address, task })
}

async fn serve_connection(
    stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    handler: Handler,
) {
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve_stream(stream, None, handler).await,
        Some(config) => {
            // The client was told by an alert; its fault is not the lab's.
            let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else {
                return;
            };
            let certificate =
                stream.get_ref().1.peer_certificates().and_then(|chain| chain.first().cloned());
            serve_stream(stream, certificate, handler).await;
        }
    }
}

async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    certificate: Option<CertificateDer<'static>>,
    handler: Handler,
) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (handler, certificate) = (handler.clone(), certificate.clone());
        async move {
            let (head, body) = request.into_parts();
            let request = ServiceRequest {
                method: head.method,
                path: head.uri.path().to_owned(),
                query: head.uri.query().unwrap_or_default().to_owned(),
                headers: head.headers,
                body: body.collect().await?.to_bytes(),
                certificate,
            };
            let answer = handler(request).await;
            let mut response = hyper::Response::new(Full::new(Bytes::from(answer.body)));
            *response.status_mut() = answer.status;
            let json = ::http::HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            Ok::<_, hyper::Error>(response)
        }
    });
    // A client that goes away is no fault of the lab.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
