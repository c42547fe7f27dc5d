//! The two proxies, the backend, and how each is configured.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use portaria::identity::Rule;
use portaria::lab::Result;
use portaria::lab::authorization::{AUDIENCE, Grant, ISSUER, Signer};
use portaria::lab::consents::{Record, Store};
use portaria::lab::http::Service;
use portaria::lab::pki::{Authority, Identity, Subject, rsa_key};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::process::{Running, pinned};

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    Nginx,
    Portaria,
    /// portaria without revocation lists and profile.
    Lenient,
    /// portaria with a list of 50,000 certificates and every rule of the profile.
    Strict,
}

const LISTED: u64 = 50_000;

impl Proxy {
    pub(crate) const ALL: [Self; 2] = [Self::Nginx, Self::Portaria];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Portaria => "portaria",
            Self::Lenient => "lenient",
            Self::Strict => "strict",
        }
    }
}

/// What the load aims at.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
    pub(crate) request: Arc<[u8]>,
}

/// Everything but the proxies.
pub(crate) struct Bench {
    directory: TempDir,
    root: CertificateDer<'static>,
    client: Identity,
    token: String,
    addresses: [SocketAddr; 3],
    _backend: Running,
    _registry: Service,
}

const PATH: &str = "/open-insurance/insurance-auto/v2/insurance-auto";
const CONSENT: &str = "urn:portaria-lab:bench";
const ANSWER: &str = r#"{"data":[{"brand":"Seguradora Exemplo","companies":[{"companyName":"Seguradora Exemplo S.A.","cnpjNumber":"11222333000181","policies":[{"productName":"Auto","policyId":"111111"}]}]}],"links":{"self":"https://api.portaria-lab.example/open-insurance/insurance-auto/v2/insurance-auto"},"meta":{"totalRecords":1,"totalPages":1}}"#;

impl Bench {
    /// Writes certificates and configurations, starts backend and registry.
    pub(crate) async fn prepare() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let at = directory.path();
        let root = Authority::root("bench root", rsa_key()?)?;
        let issuing = root.issuing("bench SSL", rsa_key()?)?;
        let server = issuing.server(&rsa_key()?, -3600, 86_400)?;
        let client = issuing.client(&rsa_key()?, &Subject::default())?;
        let signer = Signer::new("bench", &rsa_key()?.serialize_pem())?;
        std::fs::write(at.join("root.pem"), root.pem())?;
        std::fs::write(at.join("server.pem"), &server.chain_pem)?;
        std::fs::write(at.join("server.key"), &server.key_pem)?;
        std::fs::write(at.join("jwks.json"), signer.jwks().to_string())?;
        let consents = Store::default();
        consents.put(CONSENT, consent());
        let addresses = [free_address()?, free_address()?, free_address()?];
        let [backend, nginx, portaria] = addresses;
        let registry = consents.serve(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        std::fs::write(at.join("backend.conf"), backend_conf(at, backend))?;
        std::fs::write(at.join("nginx.conf"), nginx_conf(at, nginx, backend))?;
        let config = portaria_conf(portaria, backend, registry.address);
        write_trust(at, &config, &root, &issuing)?;
        std::fs::write(at.join("config.toml"), config)?;
        let _backend = Running(run_nginx(1, &at.join("backend.conf"))?);
        await_listening(backend).await?;
        let token = signer.sign(&signer.header(), &grant(&client).claims())?;
        let root = root.certificate();
        Ok(Self { directory, root, client, token, addresses, _backend, _registry: registry })
    }

    /// Starts a proxy on the other core.
    pub(crate) async fn start(&self, proxy: Proxy) -> Result<Running> {
        let at = self.directory.path();
        let child = match proxy {
            Proxy::Nginx => run_nginx(0, &at.join("nginx.conf"))?,
            Proxy::Portaria | Proxy::Lenient | Proxy::Strict => {
                pinned(0, env!("CARGO_BIN_EXE_portaria"))
                    .args(["run", "-c"])
                    .arg(at.join(match proxy {
                        Proxy::Lenient => "lenient.toml",
                        Proxy::Strict => "strict.toml",
                        _ => "config.toml",
                    }))
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()?
            }
        };
        let running = Running(child);
        await_listening(self.address(proxy)).await?;
        Ok(running)
    }

    fn address(&self, proxy: Proxy) -> SocketAddr {
        let [_, nginx, portaria] = self.addresses;
        match proxy {
            Proxy::Nginx => nginx,
            Proxy::Portaria | Proxy::Lenient | Proxy::Strict => portaria,
        }
    }

    /// The same request for both: nginx passes the token on unread.
    pub(crate) fn target(&self, proxy: Proxy) -> Result<Target> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(self.client.chain.clone(), self.client.key.clone_key())?;
        tls.resumption = rustls::client::Resumption::disabled();
        let request = format!(
            "GET {PATH} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             x-fapi-interaction-id: d78fc4e5-37ca-4da3-adf2-9b082bf92280\r\n\
             accept: application/json\r\nuser-agent: bench\r\n\r\n",
            self.token
        );
        Ok(Target {
            address: self.address(proxy),
            tls: Arc::new(tls),
            name: ServerName::try_from("localhost")?,
            request: request.into_bytes().into(),
        })
    }
}

/// The same gateway, judging certificates as little and as much as it can.
fn write_trust(at: &Path, config: &str, root: &Authority, issuing: &Authority) -> Result<()> {
    let levels = |level: &str| -> String {
        Rule::ALL.iter().map(|rule| format!("{rule} = \"{level}\"\n")).collect()
    };
    let lenient = format!("{config}\n[identity.rules]\n{}", levels("off"));
    std::fs::write(at.join("lenient.toml"), lenient)?;
    std::fs::write(at.join("root.crl"), root.revocation_list(1, &[], -3600, 86_400)?)?;
    let long = issuing.long_revocation_list(LISTED, -3600, 86_400)?;
    std::fs::write(at.join("issuing.crl"), long)?;
    let anchors = "trust_anchors = \"root.pem\"";
    std::fs::write(at.join("issuing.pem"), issuing.pem())?;
    let table = "lists = [\"root.crl\", \"issuing.crl\"], issuers = \"issuing.pem\"";
    let lists = format!("{anchors}\nrevocation = {{ {table} }}");
    let strict = config.replace(anchors, &lists);
    let strict = format!("{strict}\n[identity.rules]\n{}", levels("enforce"));
    Ok(std::fs::write(at.join("strict.toml"), strict)?)
}

fn consent() -> Record {
    Record {
        status: "AUTHORISED".into(),
        permissions: vec!["RESOURCES_READ".into(), "DAMAGES_AND_PEOPLE_AUTO_READ".into()],
        client_id: "bench".into(),
        expiration: Some("2300-01-01T00:00:00Z".into()),
        ..Record::default()
    }
}

fn grant(client: &Identity) -> Grant {
    Grant {
        client_id: "bench".into(),
        scope: format!("openid consent:{CONSENT} insurance-auto"),
        subject: Some("customer".into()),
        thumbprint: client.thumbprint(),
        lifetime: 86_400,
    }
}

fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn run_nginx(core: usize, conf: &Path) -> Result<std::process::Child> {
    let mut command = pinned(core, "nginx");
    command.arg("-c").arg(conf).args(["-e", "/dev/null"]);
    Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

async fn await_listening(address: SocketAddr) -> Result<()> {
    for _ in 0..200 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Err(format!("nothing listens on {address}").into())
}

fn common_conf(at: &Path, name: &str) -> String {
    let at = at.display();
    format!(
        "worker_processes 1; daemon off; error_log /dev/null; pid {at}/{name}.pid;\n\
         worker_rlimit_nofile 10000; events {{ worker_connections 4096; }}\n"
    )
}

fn backend_conf(at: &Path, address: SocketAddr) -> String {
    format!(
        "{}http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 300s;\n\
         default_type application/json;\n\
         server {{ listen {address} backlog=4096; location / {{ return 200 '{ANSWER}'; }} }} }}\n",
        common_conf(at, "backend")
    )
}

fn nginx_conf(at: &Path, address: SocketAddr, backend: SocketAddr) -> String {
    let pki = at.display();
    format!(
        "{}http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 300s;\n\
         upstream legacy {{ server {backend}; keepalive 512; keepalive_requests 100000000; }}\n\
         server {{ listen {address} ssl http2;\n\
         ssl_certificate {pki}/server.pem; ssl_certificate_key {pki}/server.key;\n\
         ssl_client_certificate {pki}/root.pem; ssl_verify_client on; ssl_verify_depth 3;\n\
         ssl_session_tickets off; ssl_session_cache off; ssl_protocols TLSv1.2 TLSv1.3;\n\
         location / {{ proxy_pass http://legacy; proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\"; }} }} }}\n",
        common_conf(at, "nginx")
    )
}

fn portaria_conf(address: SocketAddr, backend: SocketAddr, registry: SocketAddr) -> String {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let policies = policies.display();
    format!(
        r#"
[server]
threads = 1
drain_timeout = "1s"
[admin]
address = "127.0.0.1:0"
[[listeners]]
name = "mtls"
address = "{address}"
client_auth = "required"
certificate = "server.pem"
private_key = "server.key"
trust_anchors = "root.pem"
[policies]
directory = "{policies}"
[[upstreams]]
name = "legacy"
servers = ["{backend}"]
[token]
audiences = ["{AUDIENCE}"]
longest_lifetime = "1d"
[[token.issuers]]
issuer = "{ISSUER}"
jwks = {{ file = "jwks.json" }}
[consent]
registry = "http://{registry}"
keep = "5m"
[limits]
global = {{ requests = 10000000, per = "1s" }}
per_address = {{ requests = 1000000000, per = "1m" }}
[log]
access = false
"#
    )
}
