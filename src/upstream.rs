//! The upstream: which server of the legacy backend gets the request.
//!
//! Gives a server of an upstream, in turn, leaving out servers that failed several times in a row (passive ejection) as long as another
//! is left. Connections to servers are [lines](mod@line), over TLS where it is configured ([`tls`]); those that wait for the
//! next exchange are in a [`pool`]. Leaves to others: what is sent, and for how long an answer is awaited.

pub mod line;
pub mod pool;
pub mod tls;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use rustls::pki_types::CertificateDer;

use crate::headers::caller::Passing;
use crate::links::PublicUrl;
use crate::moment::Moment;

/// How the servers of an upstream are spoken to over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The name that their certificates must carry.
    pub server_name: String,
    /// The roots that their certificates must lead to.
    pub trust_anchors: Vec<CertificateDer<'static>>,
}

/// What the configuration says of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// Its name, in policies and logs.
    pub name: String,
    /// Its servers, at least one.
    pub servers: Vec<SocketAddr>,
    /// TLS towards the servers; plain HTTP without.
    pub tls: Option<UpstreamTls>,
    /// The Host field that the servers get; the caller's without.
    pub host: Option<HeaderValue>,
    /// What callers know it by: links in its answers are rewritten to it.
    pub public_url: Option<PublicUrl>,
    /// What of a caller's fields the servers get.
    pub passing: Passing,
    /// Whether callers get the cookies that the servers set.
    pub keeps_cookies: bool,
    /// Whether an error that is no JSON becomes the ecosystem's.
    pub replaces_errors: bool,
    /// The names of the servers, as they are configured: hosts that callers must not see.
    pub server_names: Vec<String>,
    /// Time to a connection, TLS included.
    pub connect_timeout: Duration,
    /// Longest silence before or within an answer.
    pub first_byte_timeout: Duration,
    /// From the permit to the end of the answer.
    pub total_timeout: Duration,
    /// How long an unused connection is kept. Shorter than the server's own patience, or the server
    /// closes connections under requests.
    pub idle_timeout: Duration,
    /// Failures in a row after which a server is left out.
    pub eject_after: u32,
    /// For how long it is left out.
    pub eject_for: Duration,
}

impl UpstreamSettings {
    /// Whether a host, ports aside, is one by which the servers know themselves.
    pub fn is_internal(&self, host: &str) -> bool {
        let host = without_port(host);
        let own = self.host.as_ref().and_then(|host| host.to_str().ok());
        let by_tls = self.tls.as_ref().map(|tls| tls.server_name.as_str());
        let names = self.server_names.iter().map(String::as_str).chain(own).chain(by_tls);
        names.into_iter().any(|name| without_port(name).eq_ignore_ascii_case(host))
            || self.servers.iter().any(|server| is_address(host, server.ip()))
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The colons within brackets are an address' of IPv6.
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

fn is_address(host: &str, address: IpAddr) -> bool {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.parse().is_ok_and(|host: IpAddr| host == address)
}

/// One upstream and how its servers do.
pub struct Upstream {
    settings: UpstreamSettings,
    servers: Vec<Server>,
    turn: AtomicUsize,
}

struct Server {
    chosen: Arc<Chosen>,
    failures: AtomicU32,
    /// Nanoseconds on the monotonic clock until which the server is left out.
    ejected_until: AtomicU64,
}

/// A server that was chosen for a request.
#[derive(Debug)]
pub struct Chosen {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its place among the upstream's servers.
    pub place: usize,
    /// How it is spoken to.
    tls: Option<tls::ServerTls>,
    /// For how long a connection to it may wait.
    idle_timeout: Duration,
    /// By which its connections are kept apart from others: no two servers of the process have one number, and a
    /// reload makes new ones, for it may change whom an address stands for.
    number: u64,
}

static NUMBERS: AtomicU64 = AtomicU64::new(0);

impl Upstream {
    /// An upstream whose servers are all in good standing.
    pub fn new(settings: UpstreamSettings) -> Result<Self, tls::ClientError> {
        let tls = settings.tls.as_ref().map(tls::ServerTls::new).transpose()?;
        let server = |(place, address): (usize, &SocketAddr)| Server {
            chosen: Arc::new(Chosen {
                address: *address,
                place,
                tls: tls.clone(),
                idle_timeout: settings.idle_timeout,
                number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            }),
            failures: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
        };
        let servers = settings.servers.iter().enumerate().map(server).collect();
        Ok(Self { settings, servers, turn: AtomicUsize::new(0) })
    }

    /// The settings.
    pub fn settings(&self) -> &UpstreamSettings {
        &self.settings
    }

    /// The next server in turn, not `tried` again if there is another.
    pub fn choose(&self, tried: Option<usize>, now: Moment) -> Option<Arc<Chosen>> {
        let count = self.servers.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = || (0..count).map(|step| first.wrapping_add(step) % count);
        let stands = |server: &usize| {
            Some(*server) != tried && self.servers.get(*server).is_some_and(|s| s.stands(now))
        };
        let other = |server: &usize| Some(*server) != tried;
        // Where all are left out, one is asked all the same: an outage of all is no reason to stop trying.
        let server = in_turn().find(stands).or_else(|| in_turn().find(other));
        let server = server.or_else(|| in_turn().next())?;
        Some(self.servers.get(server)?.chosen.clone())
    }

    /// Notes that a server gave no usable answer.
    pub fn note_failure(&self, server: usize, now: Moment) {
        let Some(server) = self.servers.get(server) else {
            return;
        };
        let failures = server.failures.fetch_add(1, Ordering::Relaxed) + 1;
        // Not set back when its time is over: a server that comes back and fails once is left out again.
        if failures >= self.settings.eject_after {
            let until = now.since_start() + self.settings.eject_for;
            // Until it answers again it is said once.
            if server.ejected_until.swap(nanoseconds(until), Ordering::Relaxed) == 0 {
                let (upstream, server) = (&self.settings.name, server.chosen.address);
                tracing::warn!(upstream, %server, failures, "a server of the upstream is left out");
            }
        }
    }

    /// Notes that a server answered.
    pub fn note_answer(&self, server: usize) {
        let Some(server) = self.servers.get(server) else {
            return;
        };
        // Written only when there is something to write: servers in good standing share no cache line.
        if server.failures.load(Ordering::Relaxed) != 0 {
            server.failures.store(0, Ordering::Relaxed);
            if server.ejected_until.swap(0, Ordering::Relaxed) != 0 {
                let (upstream, server) = (&self.settings.name, server.chosen.address);
                tracing::info!(upstream, %server, "a server of the upstream answers again");
            }
        }
    }
}

impl Server {
    fn stands(&self, now: Moment) -> bool {
        self.ejected_until.load(Ordering::Relaxed) <= nanoseconds(now.since_start())
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// All upstreams, in the order that routes refer to.
#[derive(Clone)]
pub struct Upstreams(Arc<[Upstream]>);

impl Upstreams {
    /// Collects them.
    pub fn new(upstreams: Vec<Upstream>) -> Self {
        Self(upstreams.into())
    }

    /// One of them.
    pub fn get(&self, index: usize) -> Option<&Upstream> {
        self.0.get(index)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn upstream(ports: &[u16]) -> Upstream {
        let settings = UpstreamSettings {
            name: "legacy".into(),
            servers: ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect(),
            tls: None,
            public_url: None,
            host: None,
            passing: Passing::default(),
            keeps_cookies: false,
            replaces_errors: true,
            server_names: Vec::new(),
            connect_timeout: Duration::from_secs(1),
            first_byte_timeout: Duration::from_secs(1),
            total_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(1),
            eject_after: 2,
            eject_for: Duration::from_secs(10),
        };
        Upstream::new(settings).unwrap()
    }

    #[test]
    fn the_servers_are_known_by_their_names_and_addresses() {
        let mut settings = upstream(&[9000]).settings().clone();
        settings.host = Some(HeaderValue::from_static("legacy.internal:8080"));
        settings.server_names = vec!["app-1.internal:9000".into()];
        for host in ["legacy.internal", "LEGACY.internal:1", "app-1.internal", "127.0.0.1:9000"] {
            assert!(settings.is_internal(host), "{host}");
        }
        for host in ["client.example", "legacy.internal.example", "[::1]:9000", ""] {
            assert!(!settings.is_internal(host), "{host}");
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(seconds), SystemTime::UNIX_EPOCH)
    }

    fn turns(upstream: &Upstream, now: Moment) -> Vec<usize> {
        (0..4).map(|_| upstream.choose(None, now).unwrap().place).collect()
    }

    #[test]
    fn servers_take_turns() {
        assert_eq!(turns(&upstream(&[1, 2]), at(0)), [0, 1, 0, 1]);
    }

    #[test]
    fn a_server_that_fails_repeatedly_is_left_out_for_a_while() {
        let upstream = upstream(&[1, 2]);
        upstream.note_failure(0, at(0));
        assert_eq!(turns(&upstream, at(0)), [0, 1, 0, 1]);
        upstream.note_failure(0, at(0));
        assert_eq!(turns(&upstream, at(9)), [1, 1, 1, 1]);
        assert_eq!(turns(&upstream, at(10)), [0, 1, 0, 1]);
        upstream.note_failure(0, at(10));
        upstream.note_answer(0);
        assert_eq!(turns(&upstream, at(10)), [0, 1, 0, 1]);
    }

    #[test]
    fn the_last_server_is_never_left_out() {
        let upstream = upstream(&[1]);
        for _ in 0..5 {
            upstream.note_failure(0, at(0));
        }
        assert_eq!(turns(&upstream, at(0)), [0, 0, 0, 0]);
    }

    #[test]
    fn a_retry_goes_to_another_server() {
        let upstream = upstream(&[1, 2]);
        assert!((0..4).all(|_| upstream.choose(Some(0), at(0)).unwrap().place == 1));
    }
}
