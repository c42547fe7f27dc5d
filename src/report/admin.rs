//! The admin endpoint, on a loopback listener of its own: `/metrics`, `/healthz`, `/readyz`,
//! `/version`, `/decisions/{interaction id}`, `/consents/{digest}`,
//! `/tokens/{digest}`.
//!
//! `/healthz` says that the process lives; `/readyz` says whether requests can be decided, and names
//! what is missing. DELETE of a consent ends what is kept of it, DELETE of a token refuses it from now on; the
//! SHA-256 of the id or of the token names it, for ids are personal, tokens secret, and paths end up in logs. Whether anything was kept is not told.
//!
//! A browser on the same machine reaches a loopback address too, on behalf of whatever page it shows. So the host
//! must be one that no page can come from (DNS rebinding): a loopback address or `localhost`. And what changes
//! something asks for a field that no form can send, and that no script may without asking first (CORS).

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use http::uri::Authority;
use http::{Method, Response, StatusCode, header};
use pingora::apps::http_app::ServeHttp;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;

use super::{Report, build};
use crate::digest::Digest;
use crate::moment::Moment;

/// The field of a request that changes something; its value does not matter.
const INTENDED: &str = "x-portaria-admin";

/// Where the last refusals are found, by interaction id.
pub const DECISIONS: &str = "/decisions/";

/// What the gateway still lacks.
pub trait Readiness: Send + Sync {
    /// The names of what is missing; nothing when requests can be decided.
    fn missing(&self) -> Vec<&'static str>;
}

/// What an operator can end.
pub trait Purge: Send + Sync {
    /// Ends what is kept of a consent.
    fn purge_consent(&self, id: Digest);

    /// Refuses a token from now on.
    fn purge_token(&self, token: Digest);
}

/// The endpoint.
pub struct Admin {
    /// What is reported.
    pub report: Arc<Report>,
    /// What is missing.
    pub readiness: Arc<dyn Readiness>,
    /// What an operator can end.
    pub purge: Arc<dyn Purge>,
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let head = session.req_header();
        let path = head.uri.path();
        if !is_for_this_machine(head) {
            let accepted = "accepted: a Host that is a loopback address or localhost\n";
            return text(StatusCode::MISDIRECTED_REQUEST, "text/plain", accepted.to_owned());
        }
        let is_intended = head.headers.contains_key(INTENDED);
        if let Some(digest) = path.strip_prefix("/consents/") {
            return purge(&head.method, is_intended, digest, |id| self.purge.purge_consent(id));
        }
        if let Some(digest) = path.strip_prefix("/tokens/") {
            return purge(&head.method, is_intended, digest, |t| self.purge.purge_token(t));
        }
        if head.method != Method::GET {
            return not_allowed("GET");
        }
        self.shown(path)
    }
}

impl Admin {
    /// What a GET shows.
    fn shown(&self, path: &str) -> Response<Vec<u8>> {
        match path {
            "/metrics" => {
                let dropped = self.report.dropped_lines();
                let times = &self.report.times;
                let scraped = self.report.metrics.scrape(times, dropped, Moment::now());
                text(StatusCode::OK, "text/plain; version=0.0.4", scraped)
            }
            "/healthz" => json(StatusCode::OK, &serde_json::json!({"status": "alive"})),
            "/readyz" => self.ready(),
            "/version" => json(
                StatusCode::OK,
                &serde_json::json!({
                    "version": build::VERSION, "commit": build::COMMIT, "commit_date": build::COMMIT_DATE,
                }),
            ),
            path if path.starts_with(DECISIONS) => self.decisions(path),
            _ => text(StatusCode::NOT_FOUND, "text/plain", "not found\n".to_owned()),
        }
    }

    /// An endpoint that reports, and asks one thing what is missing and what can be ended.
    pub fn new<T: Readiness + Purge + 'static>(report: Arc<Report>, live: &Arc<T>) -> Self {
        Self { report, readiness: live.clone(), purge: live.clone() }
    }

    fn decisions(&self, path: &str) -> Response<Vec<u8>> {
        let id = path.strip_prefix(DECISIONS).unwrap_or_default();
        match self.report.refusal_log.of(id) {
            Some(found) => text(StatusCode::OK, "application/json", found),
            None => json(StatusCode::NOT_FOUND, &serde_json::json!([])),
        }
    }

    fn ready(&self) -> Response<Vec<u8>> {
        let missing = self.readiness.missing();
        let (status, word) = match missing.is_empty() {
            true => (StatusCode::OK, "ready"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        };
        json(status, &serde_json::json!({"status": word, "missing": missing}))
    }
}

/// Whether a request's one host, in the field and in the target, names a loopback interface, with or without a
/// port: a tunnel may bring another one.
fn is_for_this_machine(head: &RequestHeader) -> bool {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    let hosts = [first.map(|host| host.as_bytes()), authority];
    let is_local = |host: &[u8]| {
        let host = std::str::from_utf8(host).ok().and_then(|text| text.parse::<Authority>().ok());
        host.is_some_and(|host| !host.as_str().contains('@') && is_loopback(host.host()))
    };
    second.is_none()
        && hosts.iter().any(Option::is_some)
        && hosts.into_iter().flatten().all(is_local)
}

fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match address.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

fn purge(
    method: &Method,
    is_intended: bool,
    digest: &str,
    end: impl FnOnce(Digest),
) -> Response<Vec<u8>> {
    if method != Method::DELETE {
        return not_allowed("DELETE");
    }
    if !is_intended {
        let accepted = format!("accepted: the field {INTENDED}, with any value\n");
        return text(StatusCode::FORBIDDEN, "text/plain", accepted);
    }
    let Some(digest) = Digest::parse(digest) else {
        let accepted = "accepted: a SHA-256 in 64 hexadecimal digits\n";
        return text(StatusCode::BAD_REQUEST, "text/plain", accepted.to_owned());
    };
    end(digest);
    let mut response = Response::new(Vec::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn not_allowed(allowed: &'static str) -> Response<Vec<u8>> {
    let mut response =
        text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", format!("{allowed} only\n"));
    response.headers_mut().insert(header::ALLOW, http::HeaderValue::from_static(allowed));
    response
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Vec<u8>> {
    text(status, "application/json", value.to_string())
}

fn text(status: StatusCode, content_type: &'static str, body: String) -> Response<Vec<u8>> {
    let mut response = Response::new(body.into_bytes());
    *response.status_mut() = status;
    let length = response.body().len().into();
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    fields.insert(header::CONTENT_LENGTH, length);
    response
}
