//! The seam between a stage and another service: a question, and who answers it.
//!
//! In service it is a client of the gateway that answers, over the network. Where nobody is to be asked, as in a
//! test of policies or where it is explained what would become of a request, it is what was given.

pub mod breaker;
pub mod breakers;
mod fault;

use std::fmt;

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use thiserror::Error;
use url::Url;

pub use breaker::{Breaker, BreakerSettings, BreakerWitness};
pub use breakers::Breakers;
pub use fault::ConnectFault;

/// Bytes of an answer.
pub const LONGEST_ANSWER: usize = 256 * 1024;

/// Who answers.
#[async_trait]
pub trait Ask: fmt::Debug + Send + Sync {
    /// Answers a question.
    ///
    /// # Errors
    ///
    /// Why there is no answer within the bounds. It means "cannot decide", never "no".
    async fn ask(&self, question: Question<'_>) -> Result<Reply, RemoteError>;
}

/// What is asked of a service. It may carry a token or name a consent, so that it cannot be printed.
#[derive(Clone)]
pub struct Question<'a> {
    /// Where it is asked.
    pub place: AskedAt<'a>,
    /// What is asked.
    pub what: QuestionKind<'a>,
    /// Bytes of an answer.
    pub most: usize,
}

/// Where it is asked.
#[derive(Clone)]
pub enum AskedAt<'a> {
    /// At the endpoint, or at a path below it whose segments are not encoded yet.
    Below(&'a [&'a str]),
    /// Elsewhere, by the same client.
    At(Url),
}

/// What is asked.
#[derive(Clone)]
pub enum QuestionKind<'a> {
    /// GET of JSON.
    Json,
    /// GET, unless it is the version that is known.
    Document(Option<HeaderValue>),
    /// POST of a form, with `client_secret_basic` if a client id and secret are given.
    Form(String, Option<(&'a str, &'a str)>),
}

impl<'a> Question<'a> {
    /// GET of JSON at the endpoint, or at a path below it whose segments are encoded on the way.
    pub fn get(segments: &'a [&'a str]) -> Self {
        Self { place: AskedAt::Below(segments), what: QuestionKind::Json, most: LONGEST_ANSWER }
    }

    /// GET of JSON at another URL.
    pub fn get_at(url: Url) -> Self {
        Self { place: AskedAt::At(url), ..Self::get(&[]) }
    }

    /// POST of a form, with `client_secret_basic` if a client id and secret are given.
    pub fn form(form: String, basic: Option<(&'a str, &'a str)>) -> Self {
        Self { what: QuestionKind::Form(form, basic), ..Self::get(&[]) }
    }

    /// GET of a document of at most so many bytes, unless it is still the version that is `known`. By
    /// entity tag only: times of servers that share an address differ, and would hide a newer version.
    pub fn document(known: Option<HeaderValue>, most: usize) -> Self {
        Self { what: QuestionKind::Document(known), most, ..Self::get(&[]) }
    }

    /// The path below the endpoint, a segment after the other; none if it is asked elsewhere.
    pub fn segments(&self) -> &'a [&'a str] {
        match self.place {
            AskedAt::Below(segments) => segments,
            AskedAt::At(_) => &[],
        }
    }
}

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
