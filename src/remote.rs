//! The services that portaria asks: key sets, introspection, the consent registry.
//!
//! Takes a URL, anchors and a deadline; gives a bounded answer or one of a few named faults. Never
//! follows a redirect, never trusts a root that the configuration does not name, never waits longer
//! than the deadline, never keeps more than the bound. A fault here means "cannot decide", never "no".

pub mod breaker;

use std::fmt;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};
use thiserror::Error;
use url::Url;

pub use breaker::{Breaker, BreakerSettings, BreakerWitness};

/// Why a service gave no usable answer. No variant carries the URL: it may name a consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RemoteError {
    /// The client could not be built from the TLS configuration.
    #[error("the client cannot be built")]
    Client,
    /// No connection.
    #[error("no connection")]
    Connect,
    /// No complete answer before the deadline.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke.
    #[error("the connection broke")]
    Broken,
    /// The answer is longer than the bound.
    #[error("the answer is too long")]
    TooLong,
    /// A status that answers nothing.
    #[error("status {0}")]
    Status(StatusCode),
    /// The answer is not what the standard describes.
    #[error("the answer is malformed")]
    Malformed,
    /// The answer is not JSON.
    #[error("the answer is not application/json")]
    MediaType,
    /// It failed repeatedly, and is not asked for a while.
    #[error("it failed repeatedly and is left alone for a while")]
    LeftAlone,
}

impl RemoteError {
    /// Whether the service could not be asked, or said so itself; not that it was and gave an answer of
    /// no use.
    pub fn is_outage(self) -> bool {
        match self {
            Self::Connect | Self::Timeout | Self::Broken | Self::LeftAlone => true,
            Self::Status(status) => {
                status.is_server_error() || matches!(status.as_u16(), 408 | 429)
            }
            Self::Client | Self::TooLong | Self::Malformed | Self::MediaType => false,
        }
    }
}

/// How to reach a service.
#[derive(Clone)]
pub struct Endpoint {
    /// Where it is.
    pub url: Url,
    /// Anchors and client certificate for `https`; nothing for `http`.
    pub tls: Option<rustls::ClientConfig>,
    /// From the look for its address to the last byte received.
    pub timeout: Duration,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// A client of one service.
#[derive(Clone)]
pub struct Remote {
    client: Client,
    url: Url,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remote")
    }
}

/// An answer within the bound.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Whether it says that it is JSON.
    pub is_json: bool,
    /// The body.
    pub body: Vec<u8>,
}

const LONGEST_ANSWER: usize = 256 * 1024;

impl Remote {
    /// A client for an endpoint.
    pub fn new(endpoint: Endpoint) -> Result<Self, RemoteError> {
        let builder = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(endpoint.timeout)
            .connect_timeout(endpoint.timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(32)
            .user_agent(concat!("portaria/", env!("CARGO_PKG_VERSION")));
        let tls = endpoint.tls.map_or_else(no_trust, Ok)?;
        let client =
            builder.tls_backend_preconfigured(tls).build().map_err(|_| RemoteError::Client)?;
        Ok(Self { client, url: endpoint.url })
    }

    /// GET of the endpoint, or of a path below it whose segments are encoded here.
    pub async fn get(&self, segments: &[&str]) -> Result<Answer, RemoteError> {
        let mut url = self.url.clone();
        if !segments.is_empty() {
            let mut path = url.path_segments_mut().map_err(|()| RemoteError::Client)?;
            path.pop_if_empty().extend(segments);
        }
        self.send(self.client.get(url)).await
    }

    /// POST of a form, with client_secret_basic if a client id and secret are given.
    pub async fn post_form(
        &self,
        form: String,
        basic: Option<(&str, &str)>,
    ) -> Result<Answer, RemoteError> {
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        if let Some((id, secret)) = basic {
            request = request.basic_auth(id, Some(secret));
        }
        self.send(request).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer, RemoteError> {
        let request = request.header(http::header::ACCEPT, "application/json");
        let mut response = request.send().await.map_err(named)?;
        let status = response.status();
        let is_json = response.headers().get(CONTENT_TYPE).is_some_and(is_json);
        let body = read_bounded(&mut response).await?;
        Ok(Answer { status, is_json, body })
    }
}

/// For an `http` endpoint: a TLS configuration that trusts nobody, so that nothing on the way can turn
/// the request into an `https` one to an unknown party.
fn no_trust() -> Result<rustls::ClientConfig, RemoteError> {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(|b| b.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
        .map_err(|_| RemoteError::Client)
}

async fn read_bounded(response: &mut Response) -> Result<Vec<u8>, RemoteError> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(named)? {
        if body.len() + piece.len() > LONGEST_ANSWER {
            return Err(RemoteError::TooLong);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// `application/json`, or a type whose suffix says that it is JSON (RFC 6839).
fn is_json(content_type: &HeaderValue) -> bool {
    let text = content_type.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = essence.strip_prefix("application/");
    subtype.is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

fn named(error: reqwest::Error) -> RemoteError {
    if error.is_timeout() {
        RemoteError::Timeout
    } else if error.is_connect() {
        RemoteError::Connect
    } else {
        RemoteError::Broken
    }
}
