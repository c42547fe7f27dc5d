//! The budget of a warm admitted request: how often the whole process allocates for it, TLS and runtime included. A
//! count, not a time. The gateway runs in a process of its own, this very program again, so that nothing of the
//! client, the backend or the test is counted.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what went wrong by panicking; the other process tells its count on standard output"
)]

use std::alloc::System;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use portaria::assembly::{self, Loaded};
use portaria::lab::authorization::{AUDIENCE, ISSUER, Signer, TokenContent};
use portaria::lab::backend::Backend;
use portaria::lab::client::{Connector, Response};
use portaria::lab::consents::{Store, StoredConsent};
use portaria::lab::pki::{CertificationAuthority, ClientSubject, Identity, rsa_key};
use portaria::report::Metrics;
use portaria::server::{self, Start};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations and reallocations of one request, at most; as measured when this was written.
const OF_A_GET: usize = 8;
const OF_A_POST: usize = 13;
/// The same over HTTP/2, where the library keeps its own.
const OF_A_GET_OVER_HTTP2: usize = 26;
const OF_A_POST_OVER_HTTP2: usize = 33;

/// What the process does besides, in the background, stays below one allocation a request.
const REQUESTS: usize = 1_000;
const WARM: usize = 200;

const CONFIGURATION: &str = "PORTARIA_COUNTED";
const COUNT: &str = "allocations ";
const CONSENT: &str = "urn:portaria-lab:counted";
const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
const INTERACTION_ID: &str = "d78fc4e5-37ca-4da3-adf2-9b082bf92280";

#[test]
fn a_warm_admitted_request_allocates_no_more_than_its_budget() {
    // The name of this function is an argument of the other process.
    if let Some(path) = std::env::var_os(CONFIGURATION) {
        return serve(PathBuf::from(path));
    }
    server::install_cryptography();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let lab = Lab::start().await;
        let item =
            r#"{"code":"1","amount":{"value":"1.00","unit":{"code":"R$","description":"BRL"}}}"#;
        let body = format!(r#"{{"data":{{"items":[{}]}}}}"#, vec![item; 50].join(","));
        let get = Ask { method: Method::GET, path: GET, body: "" };
        let post = Ask { method: Method::POST, path: POST, body: &body };
        for (ask, budget, over_http2) in
            [(get, OF_A_GET, OF_A_GET_OVER_HTTP2), (post, OF_A_POST, OF_A_POST_OVER_HTTP2)]
        {
            let Ask { method, .. } = &ask;
            let count = lab.allocations_of(&ask).await;
            assert!(count <= budget, "a {method} allocates {count} times, its budget is {budget}");
            let count = lab.allocations_over_http2(&ask).await;
            assert!(
                count <= over_http2,
                "a {method} over HTTP/2 allocates {count} times, its budget is {over_http2}"
            );
        }
    });
}

const GET: &str = "/open-insurance/insurance-auto/v2/insurance-auto";
const POST: &str = "/open-insurance/quote-auto/v2/lead/request";

/// A request.
struct Ask<'a> {
    method: Method,
    path: &'static str,
    body: &'a str,
}

/// The other process: the gateway, which tells its count for each line that it reads.
fn serve(path: PathBuf) {
    server::install_cryptography();
    std::thread::spawn(|| {
        for _ in std::io::stdin().lines() {
            let counted = ALLOCATOR.stats();
            println!("\n{COUNT}{}", counted.allocations + counted.reallocations);
        }
        std::process::exit(0);
    });
    let metrics = Metrics::new().unwrap();
    let Loaded { configuration, .. } = assembly::load(&path, &metrics, None).ok().unwrap();
    let (log, _flush) = server::begin_log(configuration.log.level).unwrap();
    let metrics = Arc::new(metrics);
    server::run(Start { path, upgrade: false, log, metrics, configuration }).unwrap();
}

/// The gateway with all that it needs.
struct Lab {
    gateway: Child,
    asking: ChildStdin,
    counts: Receiver<usize>,
    connector: Connector,
    customer: String,
    client: String,
    _directory: tempfile::TempDir,
    _backend: Backend,
    _registry: portaria::lab::http::Service,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.gateway.kill();
        let _ = self.gateway.wait();
    }
}

impl Lab {
    async fn start() -> Self {
        let root = CertificationAuthority::root("root", rsa_key().unwrap()).unwrap();
        let issuing = root.issuing("SSL", rsa_key().unwrap()).unwrap();
        let client = issuing.client(&rsa_key().unwrap(), &ClientSubject::default()).unwrap();
        let signer = Signer::new("key", &rsa_key().unwrap().serialize_pem()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        write_files(directory.path(), &root, &issuing, &signer);
        let consents = Store::default();
        consents.put(CONSENT, consent());
        let registry = consents.serve(LOOPBACK).await.unwrap();
        let backend = Backend::start(LOOPBACK, consents, false).await.unwrap();
        let configuration = directory.path().join("config.toml");
        std::fs::write(&configuration, text(backend.address, registry.address)).unwrap();
        let (gateway, asking, counts, address) = spawn(&configuration);
        Self {
            gateway,
            asking,
            counts,
            connector: Connector::new(address, root.certificate(), Some(&client)).unwrap(),
            customer: token(&signer, &client, Some("customer")),
            client: token(&signer, &client, None),
            _directory: directory,
            _backend: backend,
            _registry: registry,
        }
    }

    fn request(&self, ask: &Ask<'_>) -> Request<()> {
        let token = if ask.body.is_empty() { &self.customer } else { &self.client };
        let request = Request::builder()
            .method(ask.method.clone())
            .uri(format!("https://localhost{}", ask.path))
            .header("authorization", format!("Bearer {token}"))
            .header("x-fapi-interaction-id", INTERACTION_ID);
        let request = match ask.body.len() {
            0 => request,
            length => request
                .header("content-type", "application/json")
                .header("content-length", length)
                .header("x-idempotency-key", "key"),
        };
        request.body(()).unwrap()
    }

    fn bytes(&self, ask: &Ask<'_>) -> Vec<u8> {
        let request = self.request(ask);
        let fields = request.headers().iter();
        let fields = fields.map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()));
        let (method, path, fields) = (&ask.method, ask.path, fields.collect::<String>());
        format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n{}", ask.body)
            .into_bytes()
    }

    /// Of one request of many on one connection, without the first ones; of several times, the least: what the
    /// process does by a clock falls into one of them.
    async fn allocations_of(&self, ask: &Ask<'_>) -> usize {
        let mut connection = self.connector.http1().await.unwrap();
        let bytes = self.bytes(ask);
        let mut least = usize::MAX;
        for requests in [WARM, REQUESTS, REQUESTS, REQUESTS] {
            let before = self.count();
            for _ in 0..requests {
                assert_good(&connection.exchange(&bytes).await.unwrap());
            }
            least = least.min((self.count() - before) / requests);
        }
        least
    }

    async fn allocations_over_http2(&self, ask: &Ask<'_>) -> usize {
        let connection = self.connector.http2().await.unwrap();
        let body = Bytes::copy_from_slice(ask.body.as_bytes());
        let mut least = usize::MAX;
        for requests in [WARM, REQUESTS, REQUESTS, REQUESTS] {
            let before = self.count();
            for _ in 0..requests {
                let answer = connection.exchange(self.request(ask), body.clone()).await;
                assert_good(&answer.unwrap());
            }
            least = least.min((self.count() - before) / requests);
        }
        least
    }

    fn count(&self) -> usize {
        (&self.asking).write_all(b"\n").unwrap();
        self.counts.recv().unwrap()
    }
}

fn assert_good(answer: &Response) {
    let is_good = matches!(answer.status, StatusCode::OK | StatusCode::CREATED);
    assert!(is_good, "{} {:?}", answer.status, answer.body);
}

/// This program again, as the gateway; gives what it is asked through, what it tells, and where it listens.
fn spawn(configuration: &Path) -> (Child, ChildStdin, Receiver<usize>, SocketAddr) {
    let mut gateway = Command::new(std::env::current_exe().unwrap())
        .args([
            "a_warm_admitted_request_allocates_no_more_than_its_budget",
            "--exact",
            "--nocapture",
        ])
        .env(CONFIGURATION, configuration)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (counted, counts) = channel();
    let told = BufReader::new(gateway.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in told.lines().map_while(Result::ok) {
            let count = line.strip_prefix(COUNT).and_then(|count| count.parse().ok());
            if count.is_some_and(|count| counted.send(count).is_err()) {
                break;
            }
        }
    });
    let (listening, listens) = channel();
    let log = BufReader::new(gateway.stderr.take().unwrap());
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            let fields = line.get("fields");
            let of = |name| fields?.get(name)?.as_str();
            if of("message") == Some("listening") && of("listener") == Some("mtls") {
                let address = of("address").and_then(|address| address.parse().ok());
                let _ = address.map(|address| listening.send(address));
            }
        }
    });
    let address = listens.recv().unwrap_or_else(|_| panic!("the gateway does not listen"));
    let asking = gateway.stdin.take().unwrap();
    (gateway, asking, counts, address)
}

fn write_files(
    directory: &Path,
    root: &CertificationAuthority,
    issuing: &CertificationAuthority,
    signer: &Signer,
) {
    let server = issuing.server(&rsa_key().unwrap(), -3600, 86_400).unwrap();
    let write = |name: &str, text: &str| {
        portaria::lab::directory::write_secret(&directory.join(name), text).unwrap();
    };
    write("server.pem", &server.chain_pem);
    write("server.key", &server.key_pem);
    write("roots.pem", &root.pem());
    write("jwks.json", &signer.jwks().to_string());
}

fn consent() -> StoredConsent {
    let permissions = ["RESOURCES_READ", "DAMAGES_AND_PEOPLE_AUTO_READ"];
    StoredConsent {
        status: "AUTHORISED".into(),
        permissions: permissions.map(str::to_owned).to_vec(),
        client_id: "client".into(),
        expiration: Some("2300-01-01T00:00:00Z".into()),
        ..StoredConsent::default()
    }
}

fn token(signer: &Signer, client: &Identity, subject: Option<&str>) -> String {
    let scope = match subject {
        Some(_) => format!("openid consent:{CONSENT} insurance-auto"),
        None => "quote-auto-lead".to_owned(),
    };
    let grant = TokenContent {
        client_id: "client".into(),
        scope,
        subject: subject.map(str::to_owned),
        thumbprint: client.thumbprint(),
        lifetime: 600,
    };
    signer.sign(&signer.header(), &grant.claims()).unwrap()
}

/// The limits count, and are out of reach.
fn text(backend: SocketAddr, registry: SocketAddr) -> String {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let policies = policies.display();
    format!(
        r#"
[server]
threads = 1
[admin]
address = "{LOOPBACK}"
[[listeners]]
name = "mtls"
address = "{LOOPBACK}"
client_auth = "required"
certificate = "server.pem"
private_key = "server.key"
trust_anchors = "roots.pem"
[policies]
directory = "{policies}"
[[upstreams]]
name = "legacy"
servers = ["{backend}"]
[token]
audiences = ["{AUDIENCE}"]
[[token.issuers]]
issuer = "{ISSUER}"
jwks = {{ file = "jwks.json" }}
[consent]
registry = "http://{registry}"
keep = "5m"
[limits]
global = {{ requests = 10000000, per = "1s" }}
per_address = {{ requests = 10000000, per = "1m" }}
"#
    )
}
