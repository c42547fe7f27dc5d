//! The gateway of a test run: the stages as a configuration would build them, and a request that goes
//! through them as it does in service.
//!
//! Nothing is forged: the certificate is verified up to an anchor, the token by its signature, the consent by
//! asking a registry. What is new is only who vouches: [`TrialAuthority`] and [`TrialRegistry`].

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Version, header};
use rustls::pki_types::CertificateDer;
use thiserror::Error;

use super::authority::TrialAuthority;
use super::case::{Before, HOST, TrialCase};
use super::certificate::ClientCertificate;
use super::keys::TrialKeys;
use super::registry::{self, TrialRegistry};
use super::token::{AUDIENCE, ISSUER, Token};
use super::verdict::TrialVerdict;
use crate::admission::{Admission, Arriving, Comparison, Refused, Step};
use crate::config::Judging;
use crate::consent::{
    Aftermath, ConsentPreset, ConsentSource, ConsentUse, Consents, Memory, RegistryWitness,
};
use crate::identity::{Peer, Trust, TrustDomain};
use crate::interaction::{Form, Interaction};
use crate::limits::Limits;
use crate::moment::{Moment, Stopwatch};
use crate::refusal::Refusal;
use crate::request::form::HeadParts;
use crate::review::rehearsal::{self, MutualDoor, shake_hands};
use crate::route::{self, Access, Exposure, Route, Routes};
use crate::token::{
    Algorithm, ClaimRules, GrantRule, Issuer, Issuers, KeysInForce, ParticipantRule, SignedRules,
    TokenLimits, Tokens,
};

/// Since the start of a process that the limits count in: late enough for cases that look back.
const UPTIME: Duration = Duration::from_secs(10 * 86_400);

/// Why a test run cannot be.
#[derive(Debug, Error)]
pub enum SetUpError {
    /// No keys.
    #[error("the keys of the test run cannot be made")]
    Keys,
    /// No runtime.
    #[error("the runtime cannot start: {0}")]
    Runtime(std::io::Error),
    /// No request.
    #[error("a request of the test run cannot be written")]
    Request,
}

/// What became of a case.
#[derive(Debug)]
pub(super) struct JudgedCase {
    pub(super) verdict: TrialVerdict,
    /// What the log would say of a refusal.
    pub(super) reason: Option<String>,
    pub(super) compared: Option<Comparison>,
    pub(super) route: Option<Arc<Route>>,
    /// Whether it goes on though the rules refuse it: shadow mode.
    pub(super) goes_on: bool,
    /// At which question it was refused.
    pub(super) step: Option<Step>,
    /// What else its line in the access log would say.
    pub(super) logged: Logged,
}

/// What the access log says of a request beside its verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::review) struct Logged {
    /// Whether a participant was known by its certificate.
    pub(in crate::review) has_participant: bool,
    /// Whether the interaction id is a UUID.
    pub(in crate::review) has_uuid: bool,
}

/// The gateway.
pub(super) struct TrialGateway {
    routes: Arc<Routes>,
    settings: Judging,
    authority: TrialAuthority,
    trust: Arc<Trust>,
    domain: Arc<TrustDomain>,
    tokens: Arc<Tokens>,
    registry: Arc<TrialRegistry>,
    /// Certificates that were issued: most cases have the same.
    issued: HashMap<ClientCertificate, Chain>,
    /// Tokens that were signed, by what they say: many requests of a comparison have the same.
    signed: HashMap<(Option<CertificateDer<'static>>, String), HeaderValue>,
}

type Chain = Vec<CertificateDer<'static>>;

impl TrialGateway {
    pub(super) fn new(routes: Arc<Routes>, settings: Judging) -> Result<Self, SetUpError> {
        let organisation = &settings.profile.issuer_organisation;
        let authority = TrialAuthority::new(organisation).map_err(|_| SetUpError::Keys)?;
        let trust = authority.trust(&settings.profile).ok_or(SetUpError::Keys)?;
        let tokens = Arc::new(tokens(&authority).ok_or(SetUpError::Keys)?);
        let registry = Arc::new(TrialRegistry::default());
        let domain = Arc::new(TrustDomain::new(trust.clone()));
        let (issued, signed) = (HashMap::new(), HashMap::new());
        Ok(Self { routes, settings, authority, trust, domain, tokens, registry, issued, signed })
    }

    /// Decides by these routes from now on.
    pub(super) fn serve(&mut self, routes: &Arc<Routes>) {
        self.routes = routes.clone();
    }

    /// What requests are judged by beside policies.
    pub(super) fn settings(&self) -> &Judging {
        &self.settings
    }

    /// Judges a case. Each has limits and a memory of consents of its own.
    pub(super) async fn judge(&mut self, case: &TrialCase) -> Result<JudgedCase, SetUpError> {
        let wall = SystemTime::from(case.clock);
        let now = Moment::at(UPTIME, wall);
        let chain = self.chain(case.certificate.as_ref())?;
        let peer = match self.connect(case.exposure, &chain, now) {
            Ok(peer) => peer,
            Err(reason) => return Ok(JudgedCase::without_connection(reason)),
        };
        let mut headers = case.headers.clone();
        if let Some(token) = &case.token {
            // Beside what `headers` has of it: that two of them are refused can be a case.
            headers.append(header::AUTHORIZATION, self.bearer(token, &chain)?);
        }
        self.registry.tell(case.consents.as_deref());
        let admission = self.admission(case, wall);
        let (path, query) =
            case.path.split_once('?').map_or((case.path.as_str(), None), |(p, q)| (p, Some(q)));
        let [mut first, mut interaction] = [(); 2].map(|()| Interaction::read(&headers));
        let head = HeadParts {
            method: &case.method,
            path,
            query,
            authority: None,
            version: Version::HTTP_11,
            fields: &headers,
            has_body: case.has_body,
            wire_fault: None,
        };
        let arrive = |interaction| Arriving {
            head,
            address: case.address,
            peer: &peer,
            door: route::Door { exposure: case.exposure, listener: 0 },
            interaction,
            route: None,
            watch: Stopwatch::start(),
            may_repeat: false,
        };
        if case.before.is_created {
            create(&admission, &mut arrive(&mut first), now).await;
        }
        Ok(judge(&admission, &mut arrive(&mut interaction), now).await)
    }

    fn bearer(
        &mut self,
        token: &Token,
        chain: &[CertificateDer<'static>],
    ) -> Result<HeaderValue, SetUpError> {
        // Whose connection it is bound to, and what it says.
        let key = (chain.first().cloned(), format!("{token:?}"));
        if let Some(value) = self.signed.get(&key) {
            return Ok(value.clone());
        }
        let text = self.authority.sign(token, chain).map_err(|_| SetUpError::Keys)?;
        let value = HeaderValue::from_str(&format!("Bearer {text}"));
        let value = value.map_err(|_| SetUpError::Keys)?;
        self.signed.insert(key, value.clone());
        Ok(value)
    }

    /// What the client sends of certificates: nothing, if it has none.
    fn chain(&mut self, certificate: Option<&ClientCertificate>) -> Result<Chain, SetUpError> {
        let Some(certificate) = certificate else {
            return Ok(Vec::new());
        };
        if let Some(chain) = self.issued.get(certificate) {
            return Ok(chain.clone());
        }
        let chain = self.authority.issue(certificate).map_err(|_| SetUpError::Keys)?;
        self.issued.insert(certificate.clone(), chain.clone());
        Ok(chain)
    }

    fn connect(
        &self,
        exposure: Exposure,
        chain: &[CertificateDer<'static>],
        now: Moment,
    ) -> Result<Peer, String> {
        let door = MutualDoor { trust: &self.trust, domain: &self.domain, server_name: Some(HOST) };
        match exposure {
            Exposure::Public => Ok(Peer::Anonymous),
            Exposure::Mutual => shake_hands(&door, chain, now),
        }
    }

    fn admission(&self, case: &TrialCase, wall: SystemTime) -> Admission {
        let limits = self.settings.limits();
        count(&limits, case, wall);
        // Kept for the length of the case: a wall clock that stands still ages nothing.
        let five_seconds = Duration::from_secs(5);
        let memory = Memory {
            keep: five_seconds,
            keep_unknown: five_seconds,
            capacity: 100,
            ended: five_seconds,
            stale_for: None,
        };
        let registry: (_, RegistryWitness) =
            (registry::stage(&self.registry, &self.settings), Arc::new(|_| ()));
        let rules = self.settings.consent_rules;
        let consents =
            Consents::new(Some(registry), ConsentSource::Registry, rules, memory, Arc::default());
        Admission {
            routes: self.routes.clone(),
            limits: Arc::new(limits),
            tokens: self.tokens.clone(),
            consents: Arc::new(consents),
            max_fields: self.settings.max_fields,
            max_body: self.settings.max_body,
            json: self.settings.json,
        }
    }
}

/// Counts the requests that came before. The limits come first, so whatever they were, they counted.
fn count(limits: &Limits, case: &TrialCase, wall: SystemTime) {
    let Before { of_address, of_others, within, ago, is_created: _ } = case.before;
    let most = of_address.max(of_others);
    let began = UPTIME.saturating_sub(ago).saturating_sub(within);
    for number in 0..most {
        let now = Moment::at(began + within.mul_f64(f64::from(number) / f64::from(most)), wall);
        if number < of_address {
            // What was said of it is nobody's question: the case is about the request that comes after.
            let _ = limits.admit(case.address, now);
        }
        if number < of_others {
            let _ = limits.admit(other_address(number), now);
        }
    }
}

/// Addresses of the documentation prefix 2001:db8::/32 (RFC 3849).
fn other_address(number: u32) -> IpAddr {
    let [a, b, c, d] = number.to_be_bytes().map(u16::from);
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, a, b, c, d))
}

/// As a configuration without settings of its own has them, with the authority's keys.
fn tokens(authority: &TrialAuthority) -> Option<Tokens> {
    let rules = ClaimRules {
        issuers: vec![ISSUER.to_owned()],
        audiences: vec![AUDIENCE.to_owned()],
        leeway: 5,
        longest_lifetime: Some(ConsentPreset::default().longest_token_lifetime().as_secs()),
        require_token_type: false,
        percent_encoded_scopes: false,
        accept_top_level_thumbprint: false,
        participant: ParticipantRule::Ignore,
        consent_scope_prefix: "consent:".to_owned(),
        enrollment_scope_prefix: "enrollment:".to_owned(),
        consent_claim: None,
        grant: GrantRule::ConsentOrSubject,
        carrying: None,
    };
    let algorithms = vec![Algorithm::Ps256];
    let keys = KeysInForce { keys: authority.keys(&algorithms)?, revision: 1 };
    let keys = Arc::new(TrialKeys::new(keys));
    let issuer = Issuer { name: ISSUER.to_owned(), keys: Some(keys) };
    let signed = SignedRules { algorithms, types: vec!["at+jwt".to_owned()] };
    let limits = TokenLimits {
        longest: 8 * 1024,
        cached: 1000,
        introspection_max_age: Duration::from_secs(30),
        keep_inactive: Duration::from_secs(5),
    };
    Some(Tokens::new(rules, signed, limits, Issuers::new(vec![issuer]), None, Arc::default()))
}

/// A request like this one was admitted, and a backend answered 201.
async fn create(admission: &Admission, request: &mut Arriving<'_>, now: Moment) {
    // One that is refused reached no backend, and consumed nothing.
    let Ok(permit) = rehearsal::judge(admission, request, now).await else { return };
    if let (Access::Consented { to: ConsentUse::Initiate, .. }, Some(consent)) =
        (&permit.route().asks.access, permit.consent())
    {
        admission.consents.note(consent, Aftermath::Created, now);
    }
}

async fn judge(admission: &Admission, request: &mut Arriving<'_>, now: Moment) -> JudgedCase {
    let admitted = rehearsal::judge(admission, request, now).await;
    let route = request.route.clone();
    let logged = Logged {
        has_participant: request.peer.participant(now).is_ok(),
        has_uuid: Form::Uuid.admits(request.interaction.id().as_value().as_bytes()),
    };
    // Cases judge the rules, whether or not they are enforced yet.
    let refused = match &admitted {
        Ok(permit) => permit.would_refuse(),
        Err(refused) => Some(refused),
    };
    let Some(Refused { refusal, step }) = refused else {
        let (verdict, goes_on) = (TrialVerdict::Allow, true);
        return JudgedCase {
            verdict,
            reason: None,
            compared: None,
            route,
            goes_on,
            step: None,
            logged,
        };
    };
    let (goes_on, step) = (admitted.is_ok(), Some(*step));
    let compared = admission.explain(request, refusal, now).await.compared;
    let (verdict, reason) = (told(refusal), Some(refusal.to_string()));
    JudgedCase { verdict, reason, compared, route, goes_on, step, logged }
}

fn told(refusal: &Refusal) -> TrialVerdict {
    TrialVerdict::Refuse { status: refusal.status().as_u16(), code: refusal.code().to_owned() }
}

impl JudgedCase {
    fn without_connection(reason: String) -> Self {
        let verdict = TrialVerdict::NoHandshake { reason };
        Self {
            verdict,
            reason: None,
            compared: None,
            route: None,
            goes_on: false,
            step: None,
            logged: Logged::default(),
        }
    }
}
