//! The services that portaria asks: key sets, introspection, the consent registry, revocation lists.
//!
//! Takes a URL, anchors and a deadline; gives a bounded answer or one of a few named faults. Never
//! follows a redirect, never trusts a root that the configuration does not name, never waits longer
//! than the deadline, never keeps more than the bound. A fault here means "cannot decide", never "no".

pub mod ask;
pub mod breaker;
pub mod breakers;
pub mod connect;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use thiserror::Error;
use url::Url;

pub use ask::{Ask, Question};
use ask::{AskedAt, QuestionKind};
pub use breaker::{Breaker, BreakerSettings, BreakerWitness};
pub use breakers::Breakers;
pub use connect::ConnectFault;

/// Why a service gave no usable answer. No variant carries the URL: it may name a consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RemoteError {
    /// The client could not be built from the TLS configuration.
    #[error("the client cannot be built")]
    Client,
    /// No connection.
    #[error(transparent)]
    Connect(ConnectFault),
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
            Self::Connect(_) | Self::Timeout | Self::Broken | Self::LeftAlone => true,
            Self::Status(status) => {
                status.is_server_error() || matches!(status.as_u16(), 408 | 429)
            }
            Self::Client | Self::TooLong | Self::Malformed | Self::MediaType => false,
        }
    }
}

impl RemoteError {
    /// The name in metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Connect(fault) => fault.as_str(),
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::TooLong => "too_long",
            Self::Status(_) => "status",
            Self::Malformed => "malformed",
            Self::MediaType => "media_type",
            Self::LeftAlone => "left_alone",
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
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub fields: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// An answer of JSON.
    pub fn json(status: StatusCode, text: String) -> Self {
        let media_type = HeaderValue::from_static("application/json");
        let fields = [(header::CONTENT_TYPE, media_type)].into_iter().collect();
        Self { status, fields, body: text.into_bytes() }
    }

    /// The entity tag of this version, to ask with next time (RFC 9110 section 13.1.2).
    pub fn etag(&self) -> Option<&HeaderValue> {
        self.fields.get(header::ETAG)
    }

    /// Whether it says that it is `application/json`, or a type whose suffix says so (RFC 6839).
    pub fn is_json(&self) -> bool {
        let media_type =
            self.fields.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = media_type.and_then(|text| text.split(';').next()).unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        let subtype = essence.strip_prefix("application/");
        subtype.is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
    }
}

/// Bytes of an answer.
pub const LONGEST_ANSWER: usize = 256 * 1024;
const LONGEST_CONNECT: Duration = Duration::from_secs(5);
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

impl Remote {
    /// A client for an endpoint.
    pub fn new(endpoint: Endpoint) -> Result<Self, RemoteError> {
        let builder = Client::builder()
            // A redirect would carry the token or the consent's id to whom nobody configured.
            .redirect(Policy::none())
            // The client would else obey HTTP_PROXY in the environment.
            .no_proxy()
            .timeout(endpoint.timeout)
            .connect_timeout(endpoint.timeout.min(LONGEST_CONNECT))
            .read_timeout(endpoint.timeout.min(LONGEST_SILENCE))
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(32)
            .user_agent(concat!("portaria/", env!("CARGO_PKG_VERSION")));
        // Never the client's own: it would bring the roots of the system.
        let tls = endpoint.tls.map_or_else(no_trust, Ok)?;
        let client =
            builder.tls_backend_preconfigured(tls).build().map_err(|_| RemoteError::Client)?;
        Ok(Self { client, url: endpoint.url })
    }

    fn url(&self, place: AskedAt<'_>) -> Result<Url, RemoteError> {
        let segments = match place {
            AskedAt::At(url) => return Ok(url),
            AskedAt::Below(segments) => segments,
        };
        let mut url = self.url.clone();
        if !segments.is_empty() {
            let mut path = url.path_segments_mut().map_err(|()| RemoteError::Client)?;
            // A base that ends in a slash must not get two. What would end a segment is
            // encoded: an id stays one.
            path.pop_if_empty().extend(segments);
        }
        Ok(url)
    }
}

#[async_trait]
impl Ask for Remote {
    async fn ask(&self, question: Question<'_>) -> Result<Reply, RemoteError> {
        let Question { place, what, most } = question;
        let url = self.url(place)?;
        let is_document = matches!(what, QuestionKind::Document(_));
        let mut request = match what {
            QuestionKind::Json | QuestionKind::Document(None) => self.client.get(url),
            QuestionKind::Document(Some(etag)) => {
                self.client.get(url).header(header::IF_NONE_MATCH, etag)
            }
            QuestionKind::Form(form, basic) => {
                let request = self.client.post(url).body(form);
                let request =
                    request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
                match basic {
                    Some((id, secret)) => request.basic_auth(id, Some(secret)),
                    None => request,
                }
            }
        };
        if !is_document {
            request = request.header(header::ACCEPT, "application/json");
        }
        let mut response = request.send().await.map_err(named)?;
        let status = response.status();
        // A document is large, and nobody looks into what comes in its place.
        let body = match is_document && status != StatusCode::OK {
            true => Vec::new(),
            false => read_bounded(&mut response, most).await?,
        };
        let fields = std::mem::take(response.headers_mut());
        Ok(Reply { status, fields, body })
    }
}

/// Whether a URL leads to this machine, where encryption adds nothing.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        // No other name: what it resolves to is a name server's word, and `localhost` is the machine's (RFC
        // 6761 section 6.3).
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
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

/// Counts what arrives: a declared length is a promise.
async fn read_bounded(response: &mut Response, most: usize) -> Result<Vec<u8>, RemoteError> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(named)? {
        if body.len() + piece.len() > most {
            return Err(RemoteError::TooLong);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

fn named(error: reqwest::Error) -> RemoteError {
    // First: a connection that took too long is both.
    if error.is_timeout() {
        RemoteError::Timeout
    } else if error.is_connect() {
        RemoteError::Connect(ConnectFault::of(&error))
    } else {
        RemoteError::Broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_type_that_is_json_says_so() {
        let answer = |media_type: Option<&'static str>| {
            let field =
                media_type.map(|text| (header::CONTENT_TYPE, HeaderValue::from_static(text)));
            Reply { status: StatusCode::OK, fields: field.into_iter().collect(), body: Vec::new() }
        };
        for good in ["application/json", "Application/JWK-Set+json ; charset=utf-8"] {
            assert!(answer(Some(good)).is_json(), "{good}");
        }
        for bad in ["text/html", "text/json", "application/jsonp", "application/octet-stream", ""] {
            assert!(!answer(Some(bad)).is_json(), "{bad}");
        }
        assert!(!answer(None).is_json());
    }
}
