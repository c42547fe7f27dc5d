//! The admin endpoints, on a loopback listener of their own: one table of what there is ([`ENDPOINTS`]).
//!
//! A browser on the same machine reaches a loopback address too, on behalf of whatever page it shows. So the host
//! must be one that no page can come from (DNS rebinding): a loopback address or `localhost`. And what changes
//! something asks for a field that no form can send, and that no script may without asking first (CORS).

mod answer;
mod consents;
pub mod decisions;
mod health;
mod metrics;
mod readiness;
mod tokens;
mod version;

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use http::uri::Authority;
use http::{Method, Response, StatusCode, header};
use pingora::apps::http_app::ServeHttp;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;

use crate::digest::Digest;
use crate::report::Report;
use answer::text;

/// The field of a request that changes something; its value does not matter.
pub const INTENDED: &str = "x-portaria-admin";

/// One endpoint.
pub struct AdminEndpoint {
    /// The one method that it has.
    pub method: Method,
    /// Where it is.
    pub path: Path,
    /// What it tells or does.
    pub says: &'static str,
    /// Who may ask it.
    pub asked_by: AskedBy,
    /// Gives the answer to a request for `rest`, which is what follows the path.
    answer: fn(admin: &Admin, rest: &str) -> Response<Vec<u8>>,
}

/// Where an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// There, and nowhere below it.
    At(&'static str),
    /// Below it: one name follows, of this kind.
    Below(&'static str, &'static str),
}

impl Path {
    /// What follows the path in a target, if it leads to the endpoint.
    fn rest(self, target: &str) -> Option<&str> {
        match self {
            Self::At(path) => (path == target).then_some(""),
            Self::Below(path, _) => target.strip_prefix(path),
        }
    }
}

/// Who may ask an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedBy {
    /// Whoever reaches the address.
    Everybody,
    /// Who sends the field [`INTENDED`] too.
    WhoMeansIt,
}

/// Every endpoint, each in a file of its own.
pub const ENDPOINTS: [AdminEndpoint; 7] = [
    metrics::ENDPOINT,
    health::ENDPOINT,
    readiness::ENDPOINT,
    version::ENDPOINT,
    decisions::ENDPOINT,
    consents::ENDPOINT,
    tokens::ENDPOINT,
];

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

/// What the endpoints tell of and act on.
pub struct Admin {
    report: Arc<Report>,
    readiness: Arc<dyn Readiness>,
    purge: Arc<dyn Purge>,
}

impl Admin {
    /// Endpoints that report, and ask one thing what is missing and what can be ended.
    pub fn new<T: Readiness + Purge + 'static>(report: Arc<Report>, live: &Arc<T>) -> Self {
        Self { report, readiness: live.clone(), purge: live.clone() }
    }

    fn answer(&self, head: &RequestHeader) -> Response<Vec<u8>> {
        // First: a page in a browser must not even learn what there is.
        if !is_for_this_machine(head) {
            let accepted = "accepted: a Host that is a loopback address or localhost\n";
            return text(StatusCode::MISDIRECTED_REQUEST, "text/plain", accepted.to_owned());
        }
        let found = ENDPOINTS
            .iter()
            .find_map(|endpoint| endpoint.path.rest(head.uri.path()).map(|rest| (endpoint, rest)));
        let Some((endpoint, rest)) = found else {
            // A slip in the path of a purge must not look like one that found nothing to end.
            if head.method != Method::GET {
                return answer::not_allowed(&Method::GET);
            }
            return text(StatusCode::NOT_FOUND, "text/plain", "not found\n".to_owned());
        };
        if endpoint.method != head.method {
            return answer::not_allowed(&endpoint.method);
        }
        // A form of a page can be sent without asking, but with no field of its own (Fetch standard, CORS).
        if endpoint.asked_by == AskedBy::WhoMeansIt && !head.headers.contains_key(INTENDED) {
            let accepted = format!("accepted: the field {INTENDED}, with any value\n");
            return text(StatusCode::FORBIDDEN, "text/plain", accepted);
        }
        (endpoint.answer)(self, rest)
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        self.answer(session.req_header())
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
        // Userinfo may look like a host, and nobody who means well sends any.
        host.is_some_and(|host| !host.as_str().contains('@') && is_loopback(host.host()))
    };
    // Of two Host fields two readers take different ones (RFC 9112 section 3.2).
    second.is_none()
        && hosts.iter().any(Option::is_some)
        && hosts.into_iter().flatten().all(is_local)
}

fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match address.parse::<IpAddr>() {
        // `::ffff:127.0.0.1` is this machine, too.
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}
