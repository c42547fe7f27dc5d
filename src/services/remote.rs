//! The client of a service: one endpoint, its anchors and its deadline.
//!
//! Takes a URL, anchors and a deadline; gives a bounded answer or one of a few named faults. Never
//! follows a redirect, never trusts a root that the configuration does not name, never waits longer
//! than the deadline, never keeps more than the bound.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use http::{StatusCode, header};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use url::Url;

use super::connect;
use crate::ask::{Ask, AskedAt, Question, QuestionKind, RemoteError, Reply};

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
        RemoteError::Connect(connect::fault_of(&error))
    } else {
        RemoteError::Broken
    }
}
