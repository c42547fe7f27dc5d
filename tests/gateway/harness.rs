//! Starts the gateway and everything around it, and checks what every answer must carry.

mod balancer;
mod gateway;
mod key_server;
pub mod list;
mod pki;
mod point;
mod request;
mod rewrite;
pub mod scripted;
mod verdict;

use std::future::Future;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use portaria::lab::authorization::{AuthorizationServer, GATEWAY_SECRET, Signer, TokenContent};
use portaria::lab::backend::{Backend, Recorded};
use portaria::lab::client::{Connector, Http1Client, Http2Client, Response};
use portaria::lab::consents::Store;
use portaria::lab::http::Service;
use portaria::lab::pki::Identity;
use tempfile::TempDir;

pub use balancer::{Balancer, Pace, connect_from};
pub use gateway::Gateway;
pub use key_server::{Answering, KEY_SET, KeyServer};
pub use pki::{Pki, pki};
pub use point::{DistributionPoint, Serving};
pub use request::{INTERACTION_ID, Request, assert_common_fields, assert_refused};
pub use rewrite::Rewrite;
pub use verdict::verdict;

pub const CLIENT_ONE: &str = "client-one";
pub const CLIENT_TWO: &str = "client-two";
pub const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Everything that a test needs.
pub struct Lab {
    pub pki: &'static Pki,
    pub consents: Store,
    pub authorization: AuthorizationServer,
    pub backend: Backend,
    pub gateway: Gateway,
    pub directory: TempDir,
    pub config: String,
    /// Where revocation lists are, if there are any.
    pub lists: Option<TempDir>,
    _authorization: Service,
    registry: Option<Service>,
}

/// A lab with the default configuration.
pub async fn lab() -> Lab {
    lab_with(|config| config).await
}

/// A lab whose configuration was changed.
pub async fn lab_with(change: impl FnOnce(String) -> String) -> Lab {
    let pki = pki();
    let consents = Store::default();
    let signer = Signer::new("key-1", &pki.signer_pem).unwrap();
    let authorization = AuthorizationServer::new(signer, consents.clone());
    let backend = Backend::start(LOOPBACK, consents.clone(), true).await.unwrap();
    let as_service = authorization.serve(LOOPBACK, None).await.unwrap();
    let registry = consents.serve(LOOPBACK).await.unwrap();
    let directory = private_directory();
    write_files(directory.path(), pki, &authorization);
    let config =
        change(default_config(backend.address, as_service.address, registry.address, &policies()));
    std::fs::write(directory.path().join("config.toml"), &config).unwrap();
    let gateway = Gateway::start(&directory.path().join("config.toml")).await;
    Lab {
        pki,
        consents,
        authorization,
        backend,
        gateway,
        directory,
        config,
        lists: None,
        _authorization: as_service,
        registry: Some(registry),
    }
}

/// The policies of the repository.
pub fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")
}

/// Writes the files that the default configuration names.
pub fn write_files(directory: &Path, pki: &Pki, authorization: &AuthorizationServer) {
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
    write("server.pem", &pki.server.chain_pem);
    let write_secret = |name: &str, text: &str| {
        portaria::lab::directory::write_secret(&directory.join(name), text).unwrap();
    };
    write_secret("server.key", &pki.server.key_pem);
    write("roots.pem", &pki.root.pem());
    write("jwks.json", &authorization.signer().jwks().to_string());
    write_secret("secret", GATEWAY_SECRET);
    write_secret("as-secret", "portaria-secret");
}

pub fn default_config(
    backend: SocketAddr,
    authorization: SocketAddr,
    registry: SocketAddr,
    policies: &Path,
) -> String {
    let policies = policies.display();
    format!(
        r#"
[server]
threads = 1
drain_timeout = "5s"
upgrade_socket = "upgrade.sock"

[admin]
address = "127.0.0.1:0"

[[listeners]]
name = "mtls"
address = "127.0.0.1:0"
client_auth = "required"
certificate = "server.pem"
private_key = "server.key"
trust_anchors = "roots.pem"

[[listeners]]
name = "public"
address = "127.0.0.1:0"
client_auth = "none"
certificate = "server.pem"
private_key = "server.key"

[http]
head_timeout = "500ms"
body_timeout = "500ms"
handshake_timeout = "500ms"

[policies]
directory = "{policies}"

[[upstreams]]
name = "legacy"
servers = ["{backend}"]
first_byte_timeout = "500ms"
total_timeout = "1s"

[token]
audiences = ["https://api.portaria-lab.example"]

[[token.issuers]]
issuer = "https://as.portaria-lab.example"

[token.issuers.jwks]
file = "jwks.json"

[token.introspection]
url = "http://{authorization}/introspect"
client_auth = "client_secret_basic"
client_id = "portaria"
client_secret_file = "secret"

[consent]
registry = "http://{registry}"
keep = "5m"
"#
    )
}

impl Lab {
    /// How to reach the mTLS listener with a certificate.
    pub fn connector(&self, identity: Option<&Identity>) -> Connector {
        self.connector_to("mtls", identity)
    }

    pub fn connector_to(&self, listener: &str, identity: Option<&Identity>) -> Connector {
        let address = self.gateway.address(listener);
        Connector::new(address, self.pki.root.certificate(), identity).unwrap()
    }

    /// An HTTP/1 connection of participant one.
    pub async fn http1(&self) -> Http1Client {
        self.connector(Some(&self.pki.one)).http1().await.unwrap()
    }

    /// An HTTP/2 connection of participant one.
    pub async fn http2(&self) -> Http2Client {
        self.connector(Some(&self.pki.one)).http2().await.unwrap()
    }

    /// Sends a request of participant one on a connection of its own.
    pub async fn send(&self, request: &Request) -> Response {
        let response = self.http1().await.exchange(&request.to_bytes()).await.unwrap();
        assert_common_fields(&response);
        response
    }

    /// A token of participant one's own.
    pub fn client_token(&self, scope: &str) -> String {
        self.authorization.issue_signed(&self.client_grant(scope)).unwrap()
    }

    pub fn client_grant(&self, scope: &str) -> TokenContent {
        TokenContent {
            client_id: CLIENT_ONE.into(),
            scope: scope.into(),
            subject: None,
            thumbprint: self.pki.one.thumbprint(),
            lifetime: 900,
        }
    }

    /// A customer's token for participant one, under a consent.
    pub fn user_token(&self, scope: &str, consent: &str) -> String {
        self.authorization.issue_signed(&self.user_grant(scope, consent)).unwrap()
    }

    pub fn user_grant(&self, scope: &str, consent: &str) -> TokenContent {
        TokenContent {
            scope: format!("openid consent:{consent} {scope}"),
            subject: Some("customer".into()),
            ..self.client_grant("")
        }
    }

    /// An AUTHORISED consent of client one.
    pub fn consent(&self, permissions: &[&str]) -> String {
        self.consents.create(CLIENT_ONE, permissions, "AUTHORISED")
    }

    /// What reached the backend.
    pub fn recorded(&self) -> Vec<Recorded> {
        self.backend.recorded()
    }

    /// The last request that reached the backend.
    pub fn last_recorded(&self) -> Recorded {
        self.recorded().pop().expect("the backend recorded nothing")
    }

    /// The backend recorded nothing at all.
    pub fn assert_untouched(&self) {
        let targets: Vec<String> = self.recorded().into_iter().map(|r| r.target).collect();
        assert!(targets.is_empty(), "the backend recorded {targets:?}");
    }

    /// Takes the consent registry away.
    pub fn stop_registry(&mut self) {
        self.registry = None;
    }

    /// Changes the configuration file, without reloading it.
    pub fn rewrite_config(&self, change: impl FnOnce(String) -> String) {
        let path = self.directory.path().join("config.toml");
        std::fs::write(path, change(self.config.clone())).unwrap();
    }

    /// What Prometheus would scrape.
    pub async fn metrics(&self) -> String {
        self.gateway.admin("/metrics").await.1
    }

    /// Waits until a metric has a value: a sample is taken after its answer is written.
    pub async fn expect_metric(&self, series: &str, value: f64) {
        let (start, within) = (Instant::now(), Duration::from_secs(30));
        loop {
            let found = self.metric(series).await;
            if found == value {
                return;
            }
            assert!(start.elapsed() < within, "{series} is {found}, not {value}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The value of one metric; zero if it has none yet.
    pub async fn metric(&self, series: &str) -> f64 {
        let metrics = self.metrics().await;
        let line = metrics
            .lines()
            .find(|line| line.strip_prefix(series).is_some_and(|r| r.starts_with(' ')));
        line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

/// A directory that nobody else can look into.
pub fn private_directory() -> TempDir {
    let private = std::fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().permissions(private).tempdir().unwrap()
}

/// An address that was free just now.
pub fn free_address() -> SocketAddr {
    std::net::TcpListener::bind(LOOPBACK).unwrap().local_addr().unwrap()
}

/// Waits until something holds, for thirty seconds at most.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
