//! The stages in order. Read [`Admission::admit`] aloud: it is the policy.
//!
//! Takes a request as it arrived; gives a [`Permit`], without which nothing reaches a backend, or the
//! first refusal and the [`Step`] at which it was. Cheap and local stages come before those that may ask another service, so that a
//! flood never reaches the authorization server.

mod account;
mod explanation;
mod shadow;
mod step;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::consent::{
    Consent, ConsentError, ConsentId, ConsentUse, Consents, Held, Need, SpentConsent,
};
use crate::identity::{Participant, Peer};
use crate::interaction::{Form, Interaction};
use crate::limits::{Crowded, HeldPlace, Limits, Standing};
use crate::moment::{Moment, Stopwatch};
use crate::refusal::Refusal;
use crate::request::form::{HeadBounds, HeadParts};
use crate::request::json::{JsonBounds, JsonCheck};
use crate::request::media::Media;
use crate::request::{RequestError, Target};
use crate::route::{Access, Door, FoundRoute, Route, RouteError, Routes};
use crate::token::{BoundToken, Grant, Tokens};
pub use account::Note;
pub use explanation::{Comparison, Explanation, StageTimes};
use shadow::Shadow;
pub use step::{At, Refused, Step};

/// A request as it arrived, and what the gateway knows of where it came from.
pub struct Arriving<'a> {
    /// Its head.
    pub head: HeadParts<'a>,
    /// The caller's address.
    pub address: IpAddr,
    /// The other end of the connection.
    pub peer: &'a Peer,
    /// Where it came in.
    pub door: Door,
    /// The interaction id.
    pub interaction: &'a mut Interaction,
    /// The route, as soon as it is known: refusals are counted by it.
    pub route: Option<Arc<Route>>,
    /// How long the stages take: local ones, token, consent.
    pub watch: Stopwatch,
    /// Whether answers are kept for who asks twice.
    pub may_repeat: bool,
}

impl fmt::Debug for Arriving<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arriving").field("head", &self.head).finish_non_exhaustive()
    }
}

/// Leave to reach the backend. Only [`Admission`] issues one:
///
/// ```compile_fail,E0451
/// use portaria_decision::admission::Permit;
/// fn forge(permit: Permit) -> Permit { Permit { ..permit } }
/// ```
pub struct Permit {
    route: Arc<Route>,
    token: Option<BoundToken>,
    consent: Option<Held>,
    path: Option<String>,
    standing: Standing,
    shadow: Shadow,
    /// Among the requests under way.
    _place: HeldPlace,
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("route", &self.route.published.label).finish_non_exhaustive()
    }
}

impl Permit {
    /// The route that was admitted.
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// The token, where the route needs one.
    pub fn token(&self) -> Option<&BoundToken> {
        self.token.as_ref()
    }

    /// The consent, where the route needs one.
    pub fn consent(&self) -> Option<&Consent> {
        match &self.consent {
            Some(Held::InForce(consent)) => Some(consent),
            Some(Held::Spent(_)) | None => None,
        }
    }

    /// The consent that was used up, of a request that may get no other answer than the one who used it.
    pub fn spent(&self) -> Option<&SpentConsent> {
        match &self.consent {
            Some(Held::Spent(spent)) => Some(spent),
            Some(Held::InForce(_)) | None => None,
        }
    }

    /// The id of the consent that the request is made under: of the one that was held or, in shadow mode, of
    /// the one that the token names.
    pub fn consent_id(&self) -> Option<&ConsentId> {
        match (&self.consent, &self.token) {
            (Some(Held::InForce(consent)), _) => Some(consent.id()),
            (Some(Held::Spent(spent)), _) => Some(spent.id()),
            // So that one key is never carried out twice, nor answered to another customer (decision 11).
            (None, Some(token)) if matches!(self.route.asks.access, Access::Consented { .. }) => {
                token.token().consent(self.route.asks.inquiry.kind)
            }
            (None, _) => None,
        }
    }

    /// The canonical path, where it differs from the one that arrived.
    pub fn canonical_path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// How the caller stands towards its quota.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// What the route's rules would have refused, of a route in shadow mode.
    pub fn would_refuse(&self) -> Option<&Refused> {
        self.shadow.would_refuse()
    }

    /// Whether the route is in shadow mode: what its rules ask for may be missing.
    pub fn is_in_shadow(&self) -> bool {
        self.shadow.is_on()
    }

    /// The permit, of a request that gets no earlier answer: a consent that is used up does not do then.
    ///
    /// # Errors
    ///
    /// [`Refused`] at [`Step::Consent`], if the consent was used up and the route is not in shadow mode.
    pub fn unspent(mut self) -> Result<Self, Refused> {
        // The verdict before the change: without the consent nobody could tell what it would have refused.
        let spent = self.spent().map_or(Ok(()), |spent| Err(spent.error()));
        self.shadow.take(spent.at(Step::Consent))?;
        if matches!(self.consent, Some(Held::Spent(_))) {
            // Borne in shadow mode: nothing is told of it.
            self.consent = None;
        }
        Ok(self)
    }

    /// Something is awaited: until it is judged again it is no permit.
    pub fn wait(self) -> Waiting {
        Waiting(self)
    }
}

/// A permit of which time has passed. It is one again only when it was judged again ([`Admission::confirm`]):
///
/// ```compile_fail,E0532
/// use portaria_decision::admission::{Permit, Waiting};
/// fn forge(waiting: Waiting) -> Permit { let Waiting(permit) = waiting; permit }
/// ```
#[derive(Debug)]
pub struct Waiting(Permit);

impl Waiting {
    /// The route that was admitted.
    pub fn route(&self) -> &Route {
        &self.0.route
    }
}

/// The stages, built from one configuration.
///
/// # Examples
///
/// One open route, and nobody to ask: whoever comes is admitted to it, and no other path exists.
///
/// ```
/// # use std::{error::Error, net::IpAddr, sync::Arc, time::Duration};
/// # use http::{HeaderValue, Method};
/// # use portaria_decision::{admission::*, consent::*, interaction::*, limits::*, moment::*, route::*};
/// # use portaria_decision::{identity::Peer, packs::{Floor, OPIN}, token::*};
/// # use portaria_decision::request::{RequestHead, framing::HeadLimits, json::JsonBounds, media::Media};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn Error>> {
/// let template = Template::parse("/discovery/v1/status")?;
/// let asks = Asks {
///     access: Access::Open,
/// #     interaction: InteractionRule {
/// #         form: Form::Uuid, missing: Unusable::Mint, malformed: Unusable::Mint, also: None,
/// #     },
/// #     idempotency_key: false, media: Media::Json, parameters: Default::default(), negotiated: None,
/// #     consent_parameter: None, inquiry: Inquiry { kind: ConsentKind::Consent, stale_for: None },
///     // ..
/// };
/// # let (label, method, class) = (template.to_string().into(), Method::GET, PriorityClass::High);
/// # let published = Published { api: "discovery".into(), method, template, label, class };
/// # let (lifetime, shadow) = (Lifetime::default(), ShadowMode::default());
/// # let bounds = Bounds { max_body: None, lifetime, shadow, listener: None };
/// # let (version, errors) = (HeaderValue::from_static("1.0.0"), ErrorForm::Common);
/// # let answers = Answers { version, errors, revokes_tokens: false };
/// let route = Route { index: 0, published, asks, bounds, answers, to: Destination::Upstream(0) };
/// # let quota = |floor: Floor| Quota { requests: floor.requests, per: floor.per };
/// # let rules = ClaimRules {
/// #     issuers: vec![], audiences: vec![], leeway: 5, longest_lifetime: None, require_token_type: true,
/// #     percent_encoded_scopes: false, accept_top_level_thumbprint: false, consent_claim: None,
/// #     participant: ParticipantRule::Ignore, grant: GrantRule::Consent, carrying: None,
/// #     consent_scope_prefix: "consent:".into(), enrollment_scope_prefix: "enrollment:".into(),
/// # };
/// # let signed = SignedRules { algorithms: vec![Algorithm::Ps256], types: vec!["at+jwt".into()] };
/// # let keep = Duration::from_secs(5);
/// # let (introspection_max_age, keep_inactive) = (keep, keep);
/// # let bounds = TokenLimits { longest: 8192, cached: 100, introspection_max_age, keep_inactive };
/// # let tokens = Tokens::new(rules, signed, bounds, Issuers::default(), None, Arc::default());
/// # let memory = Memory { keep, keep_unknown: keep, capacity: 100, ended: keep, stale_for: None };
/// # let (teller, rules) = (ConsentSource::Registry, ConsentPreset::OpinV3.rules());
/// # let consents = Consents::new(None, teller, rules, memory, Arc::default());
/// let admission = Admission {
///     routes: Arc::new(Routes::new(vec![route], vec![])?),
///     limits: Arc::new(Limits::new(quota(OPIN.limits.everyone), quota(OPIN.limits.address))),
///     tokens: Arc::new(tokens),
///     consents: Arc::new(consents),
/// #     max_fields: 64, max_body: 1 << 20, json: JsonBounds { depth: 32, members: 10_000 },
///     // ..
/// };
/// let mut verdicts = Vec::new();
/// for path in ["/discovery/v1/status", "/discovery/v2/status"] {
///     let wire = format!("GET {path} HTTP/1.1\r\nHost: api.example\r\n\r\n");
///     let (head, _) = RequestHead::read(wire.into(), &HeadLimits { size: 8192, fields: 64 })?;
///     let mut request = Arriving {
///         head: head.judged(false, None),
///         address: IpAddr::from([192, 0, 2, 1]),
///         peer: &Peer::Anonymous,
///         door: Door { exposure: Exposure::Public, listener: 0 },
///         interaction: &mut Interaction::read(&head.fields),
/// #         route: None, watch: Stopwatch::start(), may_repeat: false,
///         // ..
///     };
///     verdicts.push(admission.admit(&mut request, Moment::now()).await);
/// }
/// let [Ok(permit), Err(refused)] = &verdicts[..] else { panic!("{verdicts:?}") };
/// assert_eq!(&*permit.route().published.label, "/discovery/v1/status");
/// assert_eq!((refused.step, refused.refusal.code()), (Step::Route, "route_not_found"));
/// assert_eq!(refused.refusal.status(), 404);
/// # Ok(())
/// # }
/// ```
pub struct Admission {
    /// The routes.
    pub routes: Arc<Routes>,
    /// The limits.
    pub limits: Arc<Limits>,
    /// The tokens.
    pub tokens: Arc<Tokens>,
    /// The consents.
    pub consents: Arc<Consents>,
    /// Fields of a request.
    pub max_fields: usize,
    /// Bytes of a request body.
    pub max_body: u64,
    /// What a body of JSON may have.
    pub json: JsonBounds,
}

impl Admission {
    /// Bytes that a body for a route may have.
    pub fn max_body_of(&self, route: &Route) -> u64 {
        // A policy may ask for less than the configuration admits, never for more.
        route.bounds.max_body.map_or(self.max_body, |most| most.min(self.max_body))
    }

    /// What judges the body of a route as it passes, if it is one of JSON.
    pub fn json_of(&self, route: &Route) -> Option<JsonCheck> {
        (route.asks.media == Media::Json).then(|| JsonCheck::new(self.json))
    }

    /// Judges a request.
    ///
    /// # Errors
    ///
    /// [`Refused`] with the first question that was not passed, and why. [`Refusal::status`] tells a refusal
    /// from what cannot be decided now (503), [`Refusal::retry_after`] when to come again; `request.route` is
    /// set even so, if one was found.
    pub async fn admit(&self, request: &mut Arriving<'_>, now: Moment) -> Result<Permit, Refused> {
        // Looked up before anybody is counted, and told only below: a refusal over the
        // quota has its route, too.
        let target = Target::parse(request.head.path, request.head.query);
        let found = target.as_ref().map(|target| self.find(target, request, now));
        request.route = route_of(&found);
        if let Some(form) = form_of(&found, request.head.wire_fault) {
            request.interaction.suit(form);
        }
        // Before the form is judged: what is refused for free can be sent for ever (decision 4).
        let ticket = self.limits.admit(request.address, now).at(Step::Quota)?;
        // Behind the quota (decision 21): a flood beyond it takes no place from others, not for a moment.
        let place = self.place(request, now).at(Step::Quota)?;
        self.is_well_formed(request).at(Step::Head)?;
        // For each request: rustls looked at the path once, in the handshake, and its
        // revocation may be newer.
        request.peer.still_trusted(now).at(Step::Trust)?;
        // The verdict on the path waited until here: who is not trusted does not learn which paths there are.
        let found = found.map_err(|error| RequestError::Target(*error)).at(Step::Target)?;
        let found = found.at(Step::Route)?;
        found.route.bounds.lifetime.check(now).at(Step::Route)?;
        let mut shadow = Shadow::of(found.route.bounds.shadow, now);
        shadow.take(found.route.serves(request.head.fields).at(Step::Version))?;
        // Never in shadow mode: not what a policy thinks of a request, but what the gateway can read
        // (decision 11).
        is_spoken_here(&request.head, found.route).at(Step::Media)?;
        request.watch.lap();
        let token = self.token(found.route, request, &mut shadow, now).await?;
        // Behind the token, as in the OPIN mock: its filters of id and key run after that of security
        // (gateway rules, section 1).
        let rule = &found.route.asks.interaction;
        shadow.take(request.interaction.satisfies(rule).at(Step::Interaction))?;
        shadow.take(rule.require_attempt(request.head.fields).at(Step::Interaction))?;
        shadow.take(is_repeatable(&request.head, found.route).at(Step::Repetition))?;
        // Before the consent: what is refused here costs the registry no question.
        shadow.take(found.fits(request.head.query).at(Step::Parameters))?;
        request.watch.lap();
        // Where no answer is kept, a consent that was used up is good for nothing.
        let may_repeat = request.may_repeat && found.route.asks.idempotency_key;
        let consent = self.consent(&found, token.as_ref(), may_repeat, &mut shadow, now).await?;
        let route = found.route.clone();
        // Of nearly all requests none: they are written as they arrived, and copy nothing.
        let path = target.ok().filter(|t| !t.is_as_received()).map(|t| t.path().to_owned());
        let standing = ticket.standing();
        Ok(Permit { route, token, consent, path, standing, shadow, _place: place })
    }

    fn place(&self, request: &Arriving<'_>, now: Moment) -> Result<HeldPlace, Crowded> {
        // Who is no participant counts by its address; whether the route needs one is asked further on.
        let participant = request.peer.participant(now).ok();
        self.limits.enter(request.address, participant.map(Participant::organisation_id))
    }

    fn is_well_formed(&self, request: &Arriving<'_>) -> Result<(), RequestError> {
        let most = HeadBounds { fields: self.max_fields, body: self.max_body };
        request.head.is_well_formed(most, request.peer.server_name())
    }

    /// Judges `OPTIONS *`, which asks whether somebody is there (RFC 9110 section 9.3.7): what any request is
    /// judged by before its route is.
    ///
    /// # Errors
    ///
    /// [`Refused`] at [`Step::Quota`], [`Step::Head`] or [`Step::Trust`].
    pub fn greet(&self, request: &Arriving<'_>, now: Moment) -> Result<(), Refused> {
        // A ticket and no place: it is answered at once, so it is never under way beside others.
        let _ = self.limits.admit(request.address, now).at(Step::Quota)?;
        self.is_well_formed(request).at(Step::Head)?;
        request.peer.still_trusted(now).at(Step::Trust)
    }

    /// Judges again, after a body or a turn was awaited, what may have ended meanwhile: the certificate, the
    /// token, the consent. A caller that holds its last byte back gains nothing by it.
    ///
    /// # Errors
    ///
    /// [`Refused`] at [`Step::Trust`], [`Step::Participant`], [`Step::Token`] or [`Step::Consent`], where it
    /// may be that nothing can be decided now (503). If shadow mode has ended meanwhile, what it bore, at its
    /// own step.
    pub async fn confirm(
        &self,
        Waiting(permit): Waiting,
        peer: &Peer,
        now: Moment,
    ) -> Result<Permit, Refused> {
        let (mut shadow, held) =
            self.judge_again(&permit, peer, permit.spent().is_some(), now).await?;
        let consent = match held {
            Some(held) => shadow.take_consent(held)?,
            None => permit.consent,
        };
        Ok(Permit { consent, shadow, ..permit })
    }

    /// Judges again a request that gets the answer of an earlier one, which may have used the consent up.
    ///
    /// # Errors
    ///
    /// As [`Admission::confirm`]; that the consent was used up refuses nothing here.
    pub async fn confirm_repetition(
        &self,
        Waiting(permit): Waiting,
        peer: &Peer,
        now: Moment,
    ) -> Result<(), Refused> {
        let (mut shadow, held) = self.judge_again(&permit, peer, true, now).await?;
        held.map_or(Ok(()), |held| shadow.take_consent(held).map(|_| ()))
    }

    /// Requires that a permit holds to the end, of a request that a backend was told of before it was whole: what was
    /// told must not go on when it permits nothing any more.
    ///
    /// # Errors
    ///
    /// As [`Admission::confirm`]; a consent that does not hold refuses in shadow mode, too.
    pub async fn holds(&self, permit: &Permit, peer: &Peer, now: Moment) -> Result<(), Refused> {
        // Not borne in shadow mode either: the backend knows the consent's id by now, and may know only of
        // one that permits (decision 11).
        let (_, held) = self.judge_again(permit, peer, false, now).await?;
        held.map_or(Ok(()), |held| held.map(|_| ()).at(Step::Consent))
    }

    /// What the rules would refuse now, and the verdict on the consent, where there is one.
    async fn judge_again(
        &self,
        permit: &Permit,
        peer: &Peer,
        may_repeat: bool,
        now: Moment,
    ) -> Result<(Shadow, Option<Result<Held, ConsentError>>), Refused> {
        let (route, mut shadow) = (&*permit.route, permit.shadow.clone());
        // First: when the mode has ended meanwhile, the answer is the refusal that it bore,
        // not one that comes later.
        shadow.confirm(route.bounds.shadow, now)?;
        peer.still_trusted(now).at(Step::Trust)?;
        if route.asks.access.needs_participant() {
            // A certificate may end its validity between two pieces of a body.
            peer.participant(now).at(Step::Participant)?;
        }
        let Some(token) = &permit.token else {
            return Ok((shadow, None));
        };
        self.tokens.confirm(token, now).at(Step::Token)?;
        let inquiry = route.asks.inquiry;
        match (&route.asks.access, &permit.consent) {
            // Without one it would have been refused before.
            (Access::Consented { .. }, None) => {
                shadow.take(Err(Step::Consent.refuse(Refusal::Internal)))?
            }
            (Access::Consented { permission, to, .. }, Some(_)) => {
                // The path was held against the token once; neither changes while a request waits.
                let is_borne = shadow.is_on();
                let need = Need { inquiry, permission, to: *to, in_path: None, is_borne };
                return Ok((shadow, Some(self.held(token, &need, may_repeat, now).await)));
            }
            (Access::Client { .. }, Some(Held::InForce(consent))) => {
                let id = consent.id().reveal();
                self.consents.admit_owner(token, inquiry, id, now).await.at(Step::Consent)?;
            }
            (Access::Client { .. } | Access::Certificate | Access::Event | Access::Open, _) => {}
        }
        Ok((shadow, None))
    }

    fn find<'a>(
        &'a self,
        target: &'a Target<'_>,
        request: &Arriving<'_>,
        now: Moment,
    ) -> Result<FoundRoute<'a>, RouteError> {
        self.routes.find(request.head.method, target.path(), request.door, now)
    }

    /// The token that the route needs: valid, bound to this connection, of the right grant and scope.
    async fn token(
        &self,
        route: &Route,
        request: &Arriving<'_>,
        shadow: &mut Shadow,
        now: Moment,
    ) -> Result<Option<BoundToken>, Refused> {
        let (scope, grant) = match &route.asks.access {
            Access::Open | Access::Event => return Ok(None),
            Access::Certificate => {
                request.peer.participant(now).at(Step::Participant)?;
                return Ok(None);
            }
            Access::Client { scope } => (scope, Grant::Client),
            Access::Consented { scope, .. } => (scope, Grant::User),
        };
        // The certificate before the token, which must be bound to it (RFC 8705 section 3), and before
        // anybody is asked.
        let participant = request.peer.participant(now).at(Step::Participant)?;
        let token =
            self.tokens.admit(request.head.fields, participant, now).await.at(Step::Token)?;
        // Never in shadow mode: with a token of its own any client could ask for any customer's data
        // (decision 11).
        token.token().require_grant(grant).at(Step::Token)?;
        shadow.take(token.token().scopes().require(scope).at(Step::Scope))?;
        Ok(Some(token))
    }

    /// The consent that the route needs: the token's, or the one that the caller manages.
    async fn consent(
        &self,
        found: &FoundRoute<'_>,
        token: Option<&BoundToken>,
        may_repeat: bool,
        shadow: &mut Shadow,
        now: Moment,
    ) -> Result<Option<Held>, Refused> {
        let (inquiry, in_path) = (found.route.asks.inquiry, found.consent_in_path.as_deref());
        match (&found.route.asks.access, token, in_path) {
            (Access::Consented { permission, to, .. }, Some(token), in_path) => {
                let is_borne = shadow.is_on();
                let need = Need { inquiry, permission, to: *to, in_path, is_borne };
                shadow.take_consent(self.held(token, &need, may_repeat, now).await)
            }
            (Access::Client { .. }, Some(token), Some(in_path)) => {
                let consent = self.consents.admit_owner(token, inquiry, in_path, now).await;
                Ok(Some(Held::InForce(consent.at(Step::Consent)?)))
            }
            (Access::Open | Access::Certificate | Access::Event, _, _)
            | (Access::Client { .. }, Some(_), None) => Ok(None),
            // Unreachable, for `token` gives one for every route that is not open; refused all the same.
            (Access::Client { .. } | Access::Consented { .. }, None, _) => {
                Err(Step::Consent.refuse(Refusal::Internal))
            }
        }
    }

    /// The consent that the token names, in force unless the request may repeat one that used it up.
    async fn held(
        &self,
        token: &BoundToken,
        need: &Need<'_>,
        may_repeat: bool,
        now: Moment,
    ) -> Result<Held, ConsentError> {
        // Only an initiation uses a consent up; a read under a spent one has no earlier answer to get.
        if may_repeat && need.to == ConsentUse::Initiate {
            return self.consents.admit_or_spent(token, need, now).await;
        }
        self.consents.admit(token, need, now).await.map(Held::InForce)
    }
}

/// The form of interaction ids that the answer keeps to: the route's. Where nobody knows the path, the newer
/// specifications' counts, for it is one of the older ones', too. Of a request that is none the path says nothing.
fn form_of<E>(
    found: &Result<Result<FoundRoute<'_>, RouteError>, E>,
    wire_fault: Option<RequestError>,
) -> Option<Form> {
    match found {
        Ok(Ok(found)) => Some(found.route.asks.interaction.form),
        Ok(Err(RouteError::Method { form, .. })) => Some(*form),
        Ok(Err(_)) | Err(_) => wire_fault.is_none().then_some(Form::Uuid),
    }
}

/// How a route's requests are written.
fn is_spoken_here(head: &HeadParts<'_>, route: &Route) -> Result<(), RequestError> {
    head.is_spoken_here(route.asks.media)?;
    // Told by the head already: of a body that announces too much no byte is read.
    route.bounds.max_body.map_or(Ok(()), |most| head.announces_at_most(most))
}

fn is_repeatable(head: &HeadParts<'_>, route: &Route) -> Result<(), RequestError> {
    if route.asks.idempotency_key { head.is_repeatable() } else { Ok(()) }
}

fn route_of<E>(found: &Result<Result<FoundRoute<'_>, RouteError>, E>) -> Option<Arc<Route>> {
    let found = found.as_ref().ok()?.as_ref().ok()?;
    Some(found.route.clone())
}
