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

use criterion::{Criterion, Throughput};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use portaria::admission::{Admission, Arriving};
use portaria::assembly::Configuration;
use portaria::consent::{ConsentKind, ConsentUse, Inquiry, Need, Permission};
use portaria::identity::{
    FetchedList, Leniency, ListIssuers, Participant, PathRules, PathVerifier, Peer, Preset,
    Revocation, RevocationList, Thumbprint, TrustAnchors,
};
use portaria::interaction::Interaction;
use portaria::lab::Result;
use portaria::lab::authorization::{AUDIENCE, ISSUER, Signer, TokenContent};
use portaria::lab::bad_tokens::{self, BadToken, Material};
use portaria::lab::consents::{Store, StoredConsent};
use portaria::lab::pki::{CertificationAuthority, ClientSubject, Identity, rsa_key};
use portaria::moment::{Moment, Stopwatch};
use portaria::report::Metrics;
use portaria::request::Target;
use portaria::request::form::{HeadParts, check_fields};
use portaria::request::framing::{HeadLimits, check_head};
use portaria::request::json::{JsonBounds, JsonCheck};
use portaria::route::{Door, Exposure, Published, Route, Routes, Template};
use portaria::scope::Scope;
use portaria::token::claims::{ClaimRules, Claims, ClaimsSource, GrantRule, ParticipantRule};
use portaria::token::jwks::KeySet;
use portaria::token::jwt::Parts;
use portaria::token::{Algorithm, VerifiedToken};
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
    first_seen: FirstSeen,
    bad: Vec<BadToken>,
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
    json_bodies(&mut criterion)?;
    local_stages(&mut criterion, &case)?;
    among_routes(&mut criterion, &case)?;
    token_stages(&mut criterion, &case)?;
    whole(&mut criterion, &case)?;
    criterion.final_summary();
    Ok(())
}

/// What a handshake asks of a chain, without and with revocation lists. The signature over a list is
/// verified once, so a long one costs no more than a short one.
fn shared(lists: Vec<RevocationList>) -> Vec<Arc<RevocationList>> {
    lists.into_iter().map(Arc::new).collect()
}

fn identity_stages(criterion: &mut Criterion) -> Result<()> {
    let root = CertificationAuthority::root("bench root", rsa_key()?)?;
    let issuing = root.issuing("bench SSL", rsa_key()?)?;
    let client = issuing.client(&rsa_key()?, &ClientSubject::default())?;
    let stranger = CertificationAuthority::root("maze 0", rsa_key()?)?;
    let lost = stranger.client(&rsa_key()?, &ClientSubject::default())?;
    let maze: Vec<_> =
        lost.chain.iter().take(1).cloned().chain(CertificationAuthority::maze(3, 3)?).collect();
    let paths = path_verifier(&root)?;
    measure(criterion, "identity: a stranger's maze", || {
        paths.verify(black_box(&maze), UnixTime::now()).err()
    })?;
    let of_root = root.revocation_list(1, &[], -3600, 86_400)?;
    measure_lists(criterion, "chain", None, &client, &root)?;
    for entries in [10, 50_000, 200_000] {
        let long = issuing.long_revocation_list(entries, -3600, 86_400)?;
        let began = Instant::now();
        let mut lists = RevocationList::read_all(of_root.as_bytes(), "root")?;
        lists.extend(RevocationList::read_all(long.as_bytes(), "issuing")?);
        println!("a list of {entries} is read in {:?}", began.elapsed());
        let revocation = Revocation::new(shared(lists), Leniency::Refuse, Leniency::Refuse);
        let name = format!("chain, list of {entries}");
        measure_lists(criterion, &name, Some(revocation), &client, &root)?;
        let issuers = [root.certificate(), issuing.certificate()];
        let issuers = ListIssuers::new(&issuers, &[]).map_err(|_| "not an authority")?;
        let began = Instant::now();
        let fetched = issuers.read(long.as_bytes(), "point")?;
        println!("a fetched list of {entries} is verified and read in {:?}", began.elapsed());
        let lists = RevocationList::read_all(of_root.as_bytes(), "root")?;
        let revocation = Revocation::new(shared(lists), Leniency::Refuse, Leniency::Refuse)
            .with_fetched(vec![Arc::new(FetchedList::new(Some(fetched)))]);
        let name = format!("chain, fetched list of {entries}");
        measure_lists(criterion, &name, Some(revocation), &client, &root)?;
    }
    Ok(())
}

fn measure_lists(
    criterion: &mut Criterion,
    name: &str,
    revocation: Option<Revocation>,
    client: &Identity,
    root: &CertificationAuthority,
) -> Result<()> {
    let paths = PathVerifier { revocation: revocation.map(Arc::new), ..path_verifier(root)? };
    measure(criterion, &format!("identity: {name}"), || {
        paths.verify(black_box(&client.chain), UnixTime::now()).ok()
    })
}

fn request_stages(criterion: &mut Criterion, case: &Case) -> Result<()> {
    measure(criterion, "request: head", || {
        check_head(black_box(&case.head), &HEAD_LIMITS, |_, _| {}).ok()
    })?;
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

/// Bodies of JSON, judged in pieces as TLS records bring them.
fn json_bodies(criterion: &mut Criterion) -> Result<()> {
    const RECORD: usize = 16 * 1024;
    let bounds = JsonBounds { depth: 64, members: 100_000 };
    let judge = |body: &[u8]| {
        let mut check = JsonCheck::new(bounds);
        body.chunks(RECORD).try_for_each(|piece| check.take(piece))?;
        check.finish()
    };
    let mut group = criterion.benchmark_group("request: JSON");
    for (name, size) in [("4 KB", 4 * 1024), ("1 MB", 1024 * 1024)] {
        let body = quotation(size);
        judge(&body).map_err(|error| format!("a body of {name} is refused: {error}"))?;
        group.throughput(Throughput::BytesDecimal(body.len().try_into()?));
        group.bench_function(name, |bencher| bencher.iter(|| judge(black_box(&body))));
    }
    group.finish();
    Ok(())
}

/// What a client asks an insurer's price for, of about so many bytes: names and texts are short, as in all of the
/// ecosystem's bodies.
fn quotation(size: usize) -> Vec<u8> {
    const CUSTOMER: &str = r#"{"data":{"consentId":"urn:insurer:d78fc4e5-37ca-4da3-adf2-9b082bf92280","expirationDateTime":"2026-05-21T08:30:00Z","quoteCustomer":{"identificationData":{"updateDateTime":"2026-05-21T08:30:00Z","personalId":"578-psd-71md6971kjh-2d414","brandName":"Organização A","civilName":"Juan Kaique Cláudio Fernandes","cpfNumber":"00000000000","hasBrazilianNationality":false},"qualificationData":{"pepIdentification":"NAO_EXPOSTO","lifePensionPlans":"SIM","monthlyIncome":{"amount":100000.04,"currency":"BRL"}}},"coverages":["#;
    const COVERAGE: &str = r#"{"branch":"0111","code":"CASCO_COMPREENSIVA","description":"Colisão, \"incêndio\" e roubo","internalCode":"0001","permissionSeparateQuotation":true,"limit":{"amount":"62500.67","unitType":"MONETARIO","unit":{"code":"R$","description":"BRL"}},"franchise":{"type":"REDUZIDA","days":10,"factor":0.75},"isDeductible":false,"observation":null}"#;
    let count = size.saturating_sub(CUSTOMER.len()) / (COVERAGE.len() + 1);
    format!("{CUSTOMER}{}]}}}}", vec![COVERAGE; count].join(",")).into_bytes()
}

fn local_stages(criterion: &mut Criterion, case: &Case) -> Result<()> {
    let (admission, now) = (case.admission(), Moment::now());
    measure(criterion, "route", || {
        admission.routes.find(&Method::GET, black_box(PATH), DOOR, now).ok()
    })?;
    measure(criterion, "limits (with the clock)", || {
        admission.limits.admit(black_box(ADDRESS), Moment::now()).ok()
    })
}

/// Ten lookups in tables of ten routes, of about the whole catalogue and of ten times as many: what finding a
/// route costs must not depend on how many there are.
fn among_routes(criterion: &mut Criterion, case: &Case) -> Result<()> {
    let (catalogue, now) = (case.admission().routes.all(), Moment::now());
    let position = catalogue
        .iter()
        .position(|route| &*route.published.label == PATH)
        .ok_or("no such route")?;
    let few: Vec<&Route> =
        catalogue.iter().cycle().skip(position).take(10).map(AsRef::as_ref).collect();
    let wanted: Vec<(Method, String)> = few
        .iter()
        .map(|route| (route.published.method.clone(), a_path(&route.published.label)))
        .collect();
    for count in [10, 270, 2700] {
        let others = catalogue
            .iter()
            .filter(|route| !few.iter().any(|few| few.published.label == route.published.label));
        let others: Vec<Route> = others.map(|route| route.as_ref().clone()).collect();
        let mut routes: Vec<Route> = few.iter().map(|route| (*route).clone()).collect();
        // The same catalogue again and again, each time under other names.
        for copy in 0.. {
            if routes.len() >= count {
                break;
            }
            routes.extend(others.iter().map(|route| renamed(route, copy)));
        }
        routes.truncate(count);
        let table = Routes::new(routes, Vec::new())?;
        let name = format!("route: ten lookups among {count}");
        measure(criterion, &name, || {
            wanted.iter().try_for_each(|(method, path)| {
                black_box(table.find(method, black_box(path), DOOR, now).ok()?);
                Some(())
            })
        })?;
    }
    Ok(())
}

/// A path that a template matches.
fn a_path(template: &str) -> String {
    let segment =
        |segment: &str| if segment.starts_with('{') { "111111" } else { segment }.to_owned();
    template.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// A route of another API, `insurance-auto-3` instead of `insurance-auto`; the route itself for copy 0.
fn renamed(route: &Route, copy: usize) -> Route {
    let mut segments: Vec<String> = route.published.label.split('/').map(str::to_owned).collect();
    if let (Some(api), 1..) = (segments.get_mut(2), copy) {
        *api = format!("{api}-{copy}");
    }
    let label = segments.join("/");
    let template = Template::parse(&label).unwrap_or_else(|_| route.published.template.clone());
    let published = Published { template, label: label.into(), ..route.published.clone() };
    Route { published, ..route.clone() }
}

fn token_stages(criterion: &mut Criterion, case: &Case) -> Result<()> {
    let (admission, now) = (case.admission(), Moment::now());
    let participant = case.peer.participant(now)?;
    measure(criterion, "token: first seen (PS256)", || {
        case.first_seen.judge(black_box(&case.token), now)
    })?;
    dearest_refusal(case, now)?;
    measure(criterion, "token: known", || {
        at_once(admission.tokens.admit(black_box(&case.headers), participant, now))
    })?;
    let bound = at_once(admission.tokens.admit(&case.headers, participant, now))
        .ok_or("the token is refused")?;
    let scope = Scope::new(SCOPE).ok_or("not a scope")?;
    measure(criterion, "scope", || bound.token().scopes().require(black_box(&scope)).ok())?;
    let permission = Permission::new(PERMISSION).ok_or("not a permission")?;
    let inquiry = Inquiry { kind: ConsentKind::Consent, stale_for: None };
    let need = Need {
        inquiry,
        permission: &permission,
        to: ConsentUse::Read,
        in_path: None,
        is_borne: false,
    };
    measure(criterion, "consent: known", || {
        at_once(admission.consents.admit(black_box(&bound), &need, now))
    })
}

/// How much the dearest of the bad tokens costs beside a good one that is not known: an attack on the processor
/// would use it. Of many short rounds the quickest counts: the others measure who else is at work.
fn dearest_refusal(case: &Case, now: Moment) -> Result<()> {
    const ROUNDS: u32 = 50;
    const TIMES: u32 = 10;
    let quickest = |token: &str| {
        let round = || {
            let began = Instant::now();
            (0..TIMES).for_each(|_| drop(black_box(case.first_seen.judge(black_box(token), now))));
            began.elapsed() / TIMES
        };
        (0..ROUNDS).map(|_| round()).min().unwrap_or_default()
    };
    let is_good = |token: &str| case.first_seen.judge(token, now).is_some();
    let good = quickest(&case.token);
    // What is too long is refused before, what is bound to another certificate afterwards.
    let elsewhere = ["token_too_long", "token_other_certificate"];
    let refused_here = |bad: &&BadToken| !elsewhere.contains(&bad.code);
    if let Some(bad) = case.bad.iter().filter(refused_here).find(|bad| is_good(&bad.text)) {
        return Err(format!("admitted: {}", bad.fault).into());
    }
    let judged = case.bad.iter().map(|bad| (quickest(&bad.text), &bad.fault));
    let (dearest, fault) = judged.max().ok_or("no bad tokens")?;
    let ratio = dearest.as_secs_f64() / good.as_secs_f64();
    let count = case.bad.len();
    println!("token: of {count} bad ones the dearest costs {ratio:.2} of a good one ({fault})");
    Ok(())
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

/// What a token meets that is not known yet.
struct FirstSeen {
    keys: KeySet,
    types: [String; 2],
    rules: ClaimRules,
}

impl FirstSeen {
    fn new(signer: &Signer) -> Result<Self> {
        let keys = KeySet::parse(signer.jwks().to_string().as_bytes(), &[Algorithm::Ps256])?;
        let rules = ClaimRules {
            issuers: vec![ISSUER.into()],
            audiences: vec![AUDIENCE.into()],
            leeway: 5,
            longest_lifetime: Some(900),
            require_token_type: false,
            percent_encoded_scopes: false,
            accept_top_level_thumbprint: false,
            participant: ParticipantRule::Ignore,
            consent_scope_prefix: "consent:".into(),
            enrollment_scope_prefix: "enrollment:".into(),
            consent_claim: None,
            grant: GrantRule::ConsentOrSubject,
            carrying: None,
        };
        Ok(Self { keys, types: ["at+jwt".into(), "JWT".into()], rules })
    }

    fn judge(&self, token: &str, now: Moment) -> Option<VerifiedToken> {
        let parts = Parts::split(token)?;
        let header = parts.header().ok()?;
        let algorithm = header.algorithm(&[Algorithm::Ps256]).ok()?;
        header.require_type(&self.types).ok()?;
        let claims = Claims::parse(&parts.payload().ok()?, &self.rules).ok()?;
        parts.verify(self.keys.find(header.kid())?.key(algorithm).ok()?, algorithm).ok()?;
        claims.judge(ClaimsSource::Jwt, &self.rules, now).ok()
    }
}

impl Case {
    async fn prepare() -> Result<Self> {
        let root = CertificationAuthority::root("bench root", rsa_key()?)?;
        let issuing = root.issuing("bench SSL", rsa_key()?)?;
        let server = issuing.server(&rsa_key()?, -3600, 86_400)?;
        let client = issuing.client(&rsa_key()?, &ClientSubject::default())?;
        let signer = Signer::new("bench", &rsa_key()?.serialize_pem())?;
        let consents = Store::default();
        consents.put(CONSENT, consent());
        let registry = consents.serve(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let configuration = configure(&root, &server, &signer, registry.address)?;
        let token = signer.sign(&signer.header(), &grant(&client).claims())?;
        let peer = Peer::from(participant(&root, &client)?);
        let first_seen = FirstSeen::new(&signer)?;
        let bad = bad_tokens::all(&Material {
            signer: signer.clone(),
            stranger: Signer::new("bench", &rsa_key()?.serialize_pem())?,
            claims: grant(&client).claims(),
            other: Thumbprint::of_certificate(&root.certificate()),
        })?;
        let (headers, head) = request(&token)?;
        let case = Self { configuration, first_seen, bad, token, peer, headers, head };
        // The one lookup. The registry goes away with the end of this function.
        let mut interaction = Interaction::read(&case.headers);
        let mut arriving = case.arriving(&mut interaction);
        let admitted = case.admission().admit(&mut arriving, Moment::now()).await;
        admitted.map_err(|refused| format!("refused: {}", refused.refusal.code()))?;
        Ok(case)
    }

    fn admission(&self) -> &Admission {
        &self.configuration.serving.admission
    }

    fn arriving<'a>(&'a self, interaction: &'a mut Interaction) -> Arriving<'a> {
        Arriving {
            head: HeadParts {
                method: &Method::GET,
                path: PATH,
                query: None,
                authority: None,
                version: Version::HTTP_11,
                fields: &self.headers,
                has_body: false,
                wire_fault: None,
            },
            address: ADDRESS,
            peer: &self.peer,
            door: DOOR,
            interaction,
            route: None,
            watch: Stopwatch::start(),
            may_repeat: false,
        }
    }
}

fn path_verifier(root: &CertificationAuthority) -> Result<PathVerifier> {
    Ok(PathVerifier {
        anchors: TrustAnchors::new(vec![root.certificate()])?,
        rules: PathRules::OF_LISTENERS,
        revocation: None,
        algorithms: portaria::listener::tls::provider().signature_verification_algorithms,
    })
}

fn participant(root: &CertificationAuthority, client: &Identity) -> Result<Participant> {
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

fn consent() -> StoredConsent {
    StoredConsent {
        status: "AUTHORISED".into(),
        permissions: vec!["RESOURCES_READ".into(), PERMISSION.into()],
        client_id: "bench".into(),
        expiration: Some("2300-01-01T00:00:00Z".into()),
        ..StoredConsent::default()
    }
}

fn grant(client: &Identity) -> TokenContent {
    TokenContent {
        client_id: "bench".into(),
        scope: format!("openid consent:{CONSENT} {SCOPE}"),
        subject: Some("customer".into()),
        thumbprint: client.thumbprint(),
        lifetime: 900,
    }
}

fn configure(
    root: &CertificationAuthority,
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
    let loaded = portaria::assembly::load(&file, &Metrics::new()?, None);
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
audiences = ["{AUDIENCE}"]
[[token.issuers]]
issuer = "{ISSUER}"
jwks = {{ file = "jwks.json" }}
[consent]
registry = "http://{registry}"
keep = "5m"
[limits]
global = {{ requests = 4000000000, per = "1s" }}
per_address = {{ requests = 4000000000, per = "1s" }}
"#
    )
}
