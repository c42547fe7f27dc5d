//! A client of the gateway: TLS with or without a certificate, HTTP/1 byte by byte or HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;

use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::{Buf, Bytes, BytesMut};
use rcgen::KeyPair;
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Result;
use super::pki::Identity;
use crate::http1::body::{BodyReader, Framing};

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Response {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// How to connect.
#[derive(Clone)]
pub struct Connector {
    address: SocketAddr,
    config: ClientConfig,
    server_name: ServerName<'static>,
}

impl Connector {
    /// A connector that trusts `root` and presents `identity`, whatever its certificates hold.
    pub fn new(
        address: SocketAddr,
        root: CertificateDer<'static>,
        identity: Option<&Identity>,
    ) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(root)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::ALL_VERSIONS)?
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_cert_resolver(Arc::new(OneChain::new(identity)?)),
        };
        Ok(Self { address, config, server_name: ServerName::try_from("localhost")? })
    }

    /// The same, with another TLS configuration.
    pub fn adjust(mut self, adjust: impl FnOnce(&mut ClientConfig)) -> Self {
        adjust(&mut self.config);
        self
    }

    /// The same, asking for another host (SNI).
    pub fn asking_for(mut self, host: &str) -> Result<Self> {
        self.server_name = ServerName::try_from(host.to_owned())?;
        Ok(self)
    }

    /// The TLS handshake.
    pub async fn tls(&self) -> Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await?;
        // Or Nagle's algorithm would hold back what tests send in pieces.
        tcp.set_nodelay(true)?;
        let name = self.server_name.clone();
        Ok(TlsConnector::from(Arc::new(self.config.clone())).connect(name, tcp).await?)
    }

    /// An HTTP/1 connection.
    pub async fn http1(&self) -> Result<Http1Client> {
        Ok(Http1Client { stream: self.tls().await?, buffer: BytesMut::new() })
    }

    /// An HTTP/2 connection.
    pub async fn http2(&self) -> Result<Http2Client> {
        let stream = self.clone().adjust(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
        let (sender, connection) = h2::client::handshake(stream.tls().await?).await?;
        let driver = tokio::spawn(async move {
            // How it ended, the requests on it tell.
            let _ = connection.await;
        });
        Ok(Http2Client { sender, driver })
    }
}

/// One chain for whoever asks. The library's own way to present one looks at it first; here that is the
/// gateway's task.
#[derive(Debug)]
struct OneChain(Arc<CertifiedKey>);

impl OneChain {
    fn new(identity: &Identity) -> Result<Self> {
        // A weak key does not sign here. Its certificate is judged before its signature, so any key does.
        let key = any_supported_type(&identity.key).or_else(|_| {
            let other = KeyPair::generate().map_err(|_| rustls::Error::FailedToGetRandomBytes)?;
            any_supported_type(&PrivatePkcs8KeyDer::from(other.serialize_der()).into())
        })?;
        Ok(Self(Arc::new(CertifiedKey::new(identity.chain.clone(), key))))
    }
}

impl ResolvesClientCert for OneChain {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// An HTTP/1 connection, byte by byte.
pub struct Http1Client {
    stream: TlsStream<TcpStream>,
    buffer: BytesMut,
}

impl Http1Client {
    /// Sends bytes.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// Sends a request and receives its answer, which may come before the request is sent.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Response> {
        // A refusal may come, and the connection end, before all is sent: then the answer is what counts.
        let sent = self.send(request).await;
        match (sent, self.receive(request.starts_with(b"HEAD ")).await) {
            (Err(error), Err(_)) => Err(error),
            (_, received) => received,
        }
    }

    /// Receives an answer; an error if the connection ends before it is complete.
    pub async fn receive(&mut self, to_head: bool) -> Result<Response> {
        loop {
            let mut response = self.receive_head().await?;
            if response.status.is_informational() {
                continue;
            }
            let has_body = !to_head && response.status != StatusCode::NO_CONTENT;
            if has_body {
                response.body = self.receive_body(&response.headers).await?;
            }
            return Ok(response);
        }
    }

    /// Receives everything until the other side ends the connection in order.
    pub async fn receive_rest(&mut self) -> Result<Bytes> {
        while self.stream.read_buf(&mut self.buffer).await? > 0 {}
        Ok(self.buffer.split().freeze())
    }

    /// Whether the other side ends the connection without sending anything more.
    pub async fn is_ended(&mut self) -> bool {
        self.buffer.is_empty()
            // A reset or an alert ends it as close_notify does.
            && matches!(self.stream.read_buf(&mut self.buffer).await, Ok(0) | Err(_))
    }

    async fn more(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err("the connection ended before the answer was complete".into()),
            _ => Ok(()),
        }
    }

    /// Receives the head of an answer, interim ones included.
    pub async fn receive_head(&mut self) -> Result<Response> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut head = httparse::Response::new(&mut fields);
            if let httparse::Status::Complete(length) = head.parse(&self.buffer)? {
                let mut headers = HeaderMap::new();
                for field in head.headers.iter() {
                    let name = HeaderName::from_bytes(field.name.as_bytes())?;
                    headers.append(name, HeaderValue::from_bytes(field.value)?);
                }
                let status = StatusCode::from_u16(head.code.unwrap_or_default())?;
                self.buffer.advance(length);
                return Ok(Response { status, headers, body: Bytes::new() });
            }
            self.more().await?;
        }
    }

    async fn receive_body(&mut self, headers: &HeaderMap) -> Result<Bytes> {
        if headers.get("transfer-encoding").is_some() {
            // The gateway's own reader, strict for requests: an answer of the gateway must pass it, too.
            let mut reader = BodyReader::of_request(Framing::Chunked, 64 * 1024 * 1024);
            let mut body = BytesMut::new();
            loop {
                let read = reader.read(&self.buffer).map_err(|fault| format!("{fault:?}"))?;
                self.buffer.advance(read.skip);
                body.extend_from_slice(&self.buffer.split_to(read.content));
                if reader.is_whole() {
                    return Ok(body.freeze());
                }
                if read.content == 0 {
                    self.more().await?;
                }
            }
        }
        let length = headers.get("content-length").ok_or("an answer without length")?;
        let length: usize = length.to_str()?.parse()?;
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(self.buffer.split_to(length).freeze())
    }
}

/// An HTTP/2 connection.
pub struct Http2Client {
    sender: h2::client::SendRequest<Bytes>,
    driver: tokio::task::JoinHandle<()>,
}

impl Drop for Http2Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Http2Client {
    /// Whether the connection has ended.
    pub fn is_ended(&self) -> bool {
        self.driver.is_finished()
    }

    /// Sends a request and receives its answer.
    pub async fn exchange(&self, request: ::http::Request<()>, body: Bytes) -> Result<Response> {
        self.send(request, body, true).await
    }

    /// Sends a request whose body never ends, and receives its answer.
    pub async fn exchange_endless(
        &self,
        request: ::http::Request<()>,
        part: Bytes,
    ) -> Result<Response> {
        self.send(request, part, false).await
    }

    /// Sends a request whose body comes only when its answer is here, and says whether the stream was reset for it.
    pub async fn exchange_late(
        &self,
        request: ::http::Request<()>,
        body: Bytes,
    ) -> Result<(Response, bool)> {
        let mut sender = self.sender.clone().ready().await?;
        let (response, mut stream) = sender.send_request(request, false)?;
        let response = Self::receive(response).await?;
        let half = body.len() / 2;
        let is_reset = stream.send_data(body.slice(..half), false).is_err()
            // A request of another stream, answered: whatever was said before of this one is here.
            || Self::receive(sender.ready().await?.send_request(::http::Request::new(()), true)?.0)
                .await
                .is_err()
            || stream.send_data(body.slice(half..), true).is_err();
        Ok((response, is_reset))
    }

    /// Sends a request without a body, which its head leaves open: an empty DATA frame, or trailers, end the stream.
    pub async fn exchange_open(
        &self,
        request: ::http::Request<()>,
        by_trailers: bool,
    ) -> Result<Response> {
        let mut sender = self.sender.clone().ready().await?;
        let (response, mut stream) = sender.send_request(request, false)?;
        match by_trailers {
            true => stream.send_trailers(::http::HeaderMap::new())?,
            false => stream.send_data(Bytes::new(), true)?,
        }
        Self::receive(response).await
    }

    async fn send(
        &self,
        request: ::http::Request<()>,
        body: Bytes,
        whole: bool,
    ) -> Result<Response> {
        let mut sender = self.sender.clone().ready().await?;
        let ends = whole && body.is_empty();
        let (response, mut stream) = sender.send_request(request, ends)?;
        if !ends {
            stream.send_data(body, whole)?;
        }
        Self::receive(response).await
    }

    async fn receive(response: h2::client::ResponseFuture) -> Result<Response> {
        let (head, mut receiver) = response.await?.into_parts();
        let mut body = BytesMut::new();
        while let Some(piece) = receiver.data().await {
            let piece = piece?;
            // h2 gives no room back by itself: a long answer would stop at the first window.
            receiver.flow_control().release_capacity(piece.len())?;
            body.extend_from_slice(&piece);
        }
        Ok(Response { status: head.status, headers: head.headers, body: body.freeze() })
    }
}
