//! What each stage of admission costs, without sockets: the gateway's own objects, built from a
//! configuration and this repository's policies, judge one request of a participant for a customer's
//! policies, again and again.
//!
//! The registry is asked once, before anything is measured, for the consent that is then kept. Each
//! case is tried once beforehand and must admit: a bench of refusals would flatter.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use criterion::Criterion;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use portaria::admission::{Admission, Arriving};
use portaria::config::Configuration;
use portaria::config::trust;
use portaria::consent::{ConsentKind, ConsentUse, Inquiry, Need, Permission};
use portaria::identity::{
    Leniency, Participant, PathRules, PathVerifier, Peer, Preset, Revocation, TrustAnchors,
};
use portaria::interaction::Interaction;
use portaria::lab::Result;
use portaria::lab::authorization::{AUDIENCE, Grant, ISSUER, Signer};
use portaria::lab::consents::{Record, Store};
use portaria::lab::pki::{Authority, Identity, Subject, rsa_key};
use portaria::moment::Moment;
use portaria::report::Metrics;
use portaria::request::framing::{HeadLimits, check_head};
use portaria::request::{Target, check_fields};
use portaria::route::{Door, Exposure};
use portaria::scope::Scope;
use portaria::token::claims::{ClaimRules, GrantRule};
use portaria::token::jwks::KeySet;
use portaria::token::jwt::Parts;
use rustls::pki_types::UnixTime;

const PATH: &str = "/open-insurance/insurance-auto/v2/insurance-auto";
const CONSENT: &str = "urn:portaria-lab:bench";
const SCOPE: &str = "insurance-auto";
const PERMISSION: &str = "DAMAGES_AND_PEOPLE_AUTO_READ";
const DOOR: Door = Door { exposure: Exposure::Mutual, listener: 0 };
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const HEAD_LIMITS: HeadLimits = HeadLimits { size: 16 * 1024, fields: 64 };

/// One request, and the gateway that judges it.
struct Case {
    configuration: Configuration,
    keys: KeySet,
    rules: ClaimRules,
    token: String,
    peer: Peer,
    headers: HeaderMap,
    head: Vec<u8>,
}

fn main() -> Result<()> {
    portaria::server::install_cryptography();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let case = runtime.block_on(Case::prepare())?;
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    identity_stages(&mut criterion)?;
    request_stages(&mut criterion, &case)?;
    local_stages(&mut criterion, &case)?;
    token_stages(&mut criterion, &case)?;
    whole(&mut criterion, &case)?;
    criterion.final_summary();
    Ok(())
}

/// What a handshake asks of a chain, without and with revocation lists. The signature over a list is
/// verified once, so a long one costs no more than a short one.
fn identity_stages(criterion: &mut Criterion) -> Result<()> {
    let root = Authority::root("bench root", rsa_key()?)?;
    let issuing = root.issuing("bench SSL", rsa_key()?)?;
    let client = issuing.client(&rsa_key()?, &Subject::default())?;
    let stranger = Authority::root("maze 0", rsa_key()?)?;
    let lost = stranger.client(&rsa_key()?, &Subject::default())?;
    let maze: Vec<_> = lost.chain.iter().take(1).cloned().chain(Authority::maze(3, 3)?).collect();
    let paths = path_verifier(&root)?;
    measure(criterion, "identity: a stranger's maze", || {
        paths.verify(black_box(&maze), UnixTime::now()).err()
    })?;
    let of_root = root.revocation_list(1, &[], -3600, 86_400)?;
    for entries in [None, Some(10), Some(50_000), Some(200_000)] {
        let (name, revocation) = match entries {
            None => ("identity: chain".to_owned(), None),
            Some(entries) => {
                let long = issuing.long_revocation_list(entries, -3600, 86_400)?;
                let began = Instant::now();
                let mut lists = trust::parse_lists(of_root.as_bytes(), "root")?;
                lists.extend(trust::parse_lists(long.as_bytes(), "issuing")?);
                println!("a list of {entries} is read in {:?}", began.elapsed());
                let refuse = Leniency::Refuse;
                let revocation = Arc::new(Revocation::new(lists, refuse, refuse));
                (format!("identity: chain, list of {entries}"), Some(revocation))
            }
        };
        let paths = PathVerifier { revocation, ..path_verifier(&root)? };
        measure(criterion, &name, || paths.verify(black_box(&client.chain), UnixTime::now()).ok())?;
    }
    Ok(())
}

fn request_stages(criterion: &mut Criterion, case: &Case) -> Result<()> {
    measure(criterion, "request: head", || check_head(black_box(&case.head), &HEAD_LIMITS).ok())?;
    measure(criterion, "request: target", || Target::parse(black_box(PATH), None).ok())?;
    measure(criterion, "request: fields", || {
        check_fields(
            Version::HTTP_11,
            None,
            Some("api.portaria-lab.example"),
            black_box(&case.headers),
        )
        .ok()
    })?;
    measure(criterion, "interaction: read", || Some(Interaction::read(black_box(&case.headers))))
}

fn local_stages(criterion: &mut Criterion, case: &Case) -> Result<()> {
    let admission = case.admission();
    measure(criterion, "route", || {
        admission.routes.find(&Method::GET, black_box(PATH), DOOR).ok()
    })?;
    measure(criterion, "limits (with the clock)", || {
        admission.limits.admit(black_box(ADDRESS), Moment::now()).ok()
    })
}

fn token_stages(criterion: &mut Criterion, case: &Case) -> Result<()> {
    let (admission, now) = (case.admission(), Moment::now());
    let participant = case.peer.participant(now)?;
    measure(criterion, "token: first seen (PS256)", || {
        Parts::split(black_box(&case.token))?.verify(&case.keys, &case.rules, now).ok()
    })?;
    measure(criterion, "token: known", || {
        at_once(admission.tokens.admit(black_box(&case.headers), participant, now))
    })?;
    let bound = at_once(admission.tokens.admit(&case.headers, participant, now))
        .ok_or("the token is refused")?;
    let scope = Scope::new(SCOPE).ok_or("not a scope")?;
    measure(criterion, "scope", || bound.token().scopes().require(black_box(&scope)).ok())?;
    let permission = Permission::new(PERMISSION).ok_or("not a permission")?;
    let inquiry = Inquiry { kind: ConsentKind::Consent, stale_for: None };
    let need = Need { inquiry, permission: &permission, to: ConsentUse::Read, in_path: None };
    measure(criterion, "consent: known", || {
        at_once(admission.consents.admit(black_box(&bound), &need, now))
    })
}

fn whole(criterion: &mut Criterion, case: &Case) -> Result<()> {
    measure(criterion, "admission, all stages (with the clock)", || {
        let mut interaction = Interaction::read(&case.headers);
        let mut arriving = case.arriving(&mut interaction);
        at_once(case.admission().admit(black_box(&mut arriving), Moment::now()))
    })
}

/// Measures what must succeed.
fn measure<T>(criterion: &mut Criterion, name: &str, work: impl Fn() -> Option<T>) -> Result<()> {
    if work().is_none() {
        return Err(format!("{name}: refused, so there is nothing to measure").into());
    }
    criterion.bench_function(name, |bencher| bencher.iter(&work));
    Ok(())
}

/// The outcome of a stage that has no reason to wait: what it needs is known.
fn at_once<T, E>(stage: impl Future<Output = Result<T, E>>) -> Option<T> {
    match pin!(stage).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome.ok(),
        Poll::Pending => None,
    }
}

impl Case {
    async fn prepare() -> Result<Self> {
        let root = Authority::root("bench root", rsa_key()?)?;
        let issuing = root.issuing("bench SSL", rsa_key()?)?;
        let server = issuing.server(&rsa_key()?, -3600, 86_400)?;
        let client = issuing.client(&rsa_key()?, &Subject::default())?;
        let signer = Signer::new("bench", &rsa_key()?.serialize_pem())?;
        let consents = Store::default();
        consents.put(CONSENT, consent());
        let registry = consents.serve(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let configuration = configure(&root, &server, &signer, registry.address)?;
        let token = signer.sign(&signer.header(), &grant(&client).claims())?;
        let peer = Peer::from(participant(&root, &client)?);
        let keys = KeySet::parse(signer.jwks().to_string().as_bytes())?;
        let (headers, head) = request(&token)?;
        let rules = rules();
        let case = Self { configuration, keys, rules, token, peer, headers, head };
        // The one lookup. The registry goes away with the end of this function.
        let mut interaction = Interaction::read(&case.headers);
        let mut arriving = case.arriving(&mut interaction);
        let admitted = case.admission().admit(&mut arriving, Moment::now()).await;
        admitted.map_err(|refusal| format!("refused: {}", refusal.verdict().code))?;
        Ok(case)
    }

    fn admission(&self) -> &Admission {
        &self.configuration.serving.admission
    }

    fn arriving<'a>(&'a self, interaction: &'a mut Interaction) -> Arriving<'a> {
        Arriving {
            method: &Method::GET,
            path: PATH,
            query: None,
            authority: None,
            version: Version::HTTP_11,
            headers: &self.headers,
            has_body: false,
            wire_fault: None,
            address: ADDRESS,
            peer: &self.peer,
            door: DOOR,
            interaction,
            route: None,
        }
    }
}

fn path_verifier(root: &Authority) -> Result<PathVerifier> {
    Ok(PathVerifier {
        anchors: TrustAnchors::new(vec![root.certificate()])?,
        rules: PathRules::OF_LISTENERS,
        revocation: None,
        algorithms: portaria::listener::tls::provider().signature_verification_algorithms,
    })
}

fn participant(root: &Authority, client: &Identity) -> Result<Participant> {
    let paths = path_verifier(root)?;
    let path = paths.verify(&client.chain, UnixTime::now())?;
    let profile = Preset::OpinProduction.profile();
    Ok(Participant::from_verified_path(&path, &profile, |_, _| {})?)
}

/// The request as the wire has it and as the stages see it.
fn request(token: &str) -> Result<(HeaderMap, Vec<u8>)> {
    let bearer = format!("Bearer {token}");
    let fields = [
        ("host", "api.portaria-lab.example"),
        ("authorization", &bearer),
        ("x-fapi-interaction-id", "d78fc4e5-37ca-4da3-adf2-9b082bf92280"),
        ("accept", "application/json"),
        ("user-agent", "bench"),
    ];
    let mut headers = HeaderMap::new();
    let mut head = format!("GET {PATH} HTTP/1.1\r\n");
    for (name, value) in fields {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value)?);
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    Ok((headers, head.into_bytes()))
}

fn consent() -> Record {
    Record {
        status: "AUTHORISED".into(),
        permissions: vec!["RESOURCES_READ".into(), PERMISSION.into()],
        client_id: "bench".into(),
        expiration: Some("2300-01-01T00:00:00Z".into()),
        ..Record::default()
    }
}

fn grant(client: &Identity) -> Grant {
    Grant {
        client_id: "bench".into(),
        scope: format!("openid consent:{CONSENT} {SCOPE}"),
        subject: Some("customer".into()),
        thumbprint: client.thumbprint(),
        lifetime: 86_400,
    }
}

fn rules() -> ClaimRules {
    ClaimRules {
        issuer: ISSUER.into(),
        audiences: vec![AUDIENCE.into()],
        leeway: 5,
        consent_scope_prefix: "consent:".into(),
        enrollment_scope_prefix: "enrollment:".into(),
        consent_claim: None,
        grant: GrantRule::ConsentOrSubject,
        carrying: None,
    }
}

fn configure(
    root: &Authority,
    server: &Identity,
    signer: &Signer,
    registry: SocketAddr,
) -> Result<Configuration> {
    let directory = tempfile::tempdir()?;
    let at = directory.path();
    std::fs::write(at.join("root.pem"), root.pem())?;
    std::fs::write(at.join("server.pem"), &server.chain_pem)?;
    std::fs::write(at.join("server.key"), &server.key_pem)?;
    std::fs::write(at.join("jwks.json"), signer.jwks().to_string())?;
    let file = at.join("config.toml");
    std::fs::write(&file, configuration_text(registry))?;
    let loaded = portaria::config::load(&file, &Metrics::new()?, None);
    loaded.map(|loaded| loaded.configuration).map_err(|mistakes| {
        mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n").into()
    })
}

fn configuration_text(registry: SocketAddr) -> String {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let policies = policies.display();
    format!(
        r#"
[admin]
address = "127.0.0.1:0"
[[listeners]]
name = "mtls"
address = "127.0.0.1:0"
client_auth = "required"
certificate = "server.pem"
private_key = "server.key"
trust_anchors = "root.pem"
[policies]
directory = "{policies}"
[[upstreams]]
name = "legacy"
servers = ["127.0.0.1:9"]
[token]
issuer = "{ISSUER}"
audiences = ["{AUDIENCE}"]
[token.jwks]
file = "jwks.json"
[consent]
registry = "http://{registry}"
keep = "5m"
[limits]
global = {{ requests = 4000000000, per = "1s" }}
per_address = {{ requests = 4000000000, per = "1s" }}
"#
    )
}
