//! The customer's consent: does it permit this very endpoint, now, to this client?
//!
//! Takes a bound token and what the route needs; gives a [`Consent`]. What a consent permits is told by
//! the insurer's registry, or by the token itself. Refuses a token that names no
//! consent, a consent that is unknown, another client's, not AUTHORISED, expired, or without the
//! route's permission, and a path that names another consent than the token. Cannot decide when the
//! registry gives no understood answer.
//!
//! Standard: OPIN consents API, Open Banking Brasil FAPI profile 7.1 and 7.2. Leaves to others: the
//! scope (`scope`), whether the data is covered by the consent (the backend).
//!
//! Answers of the registry are kept briefly. Whatever may change a consent and passes through the
//! gateway ends what is kept of it ([`Consents::note`]), lookups under way included, so that the
//! next request is judged on the new state. A consent that ended before the gateway's eyes stays ended,
//! though the registry may learn of it late.

pub mod aftermath;
pub mod answers;
pub mod changes;
pub mod event;
pub mod preset;
pub mod registry;
pub mod spent;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::ask::RemoteError;
use crate::moment::Moment;
pub use crate::scope::{ConsentId, ConsentKind};
use crate::terms::Terms;
pub use crate::terms::{ConsentStatus, Permission};
use crate::token::{BoundToken, ClientId, VerifiedToken};
pub use aftermath::Aftermath;
use answers::{AnswerKey, RegistryAnswers};
pub use answers::{RegistryNotice, RegistryWitness};
pub use changes::Changes;
use changes::{KnownChanges, Mark};
pub use event::{EventError, EventKey, Events};
pub use preset::{ConsentPreset, ConsentRules, Lapse};
use registry::ChosenBy;
pub use registry::Registry;
pub use spent::{Held, SpentConsent};

/// What a route does under a consent. The ecosystem answers a consent that is not AUTHORISED
/// differently for the two (OPIN mock: phase 2 and phase 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentUse {
    /// Reads the customer's data.
    Read,
    /// Initiates a service, which consumes the consent.
    Initiate,
}

/// Why a consent does not permit the request, or why the gateway cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConsentError {
    /// The token names no consent.
    #[error("the token names no consent")]
    Unnamed,
    /// The path names another consent than the token, or none that could exist.
    #[error("the path names another consent than the token")]
    OtherConsent,
    /// The registry does not know it.
    #[error("the registry does not know the consent")]
    Unknown,
    /// Another client created it.
    #[error("another client created the consent")]
    OtherClient,
    /// Its state does not admit the use.
    #[error("the consent is {status}")]
    NotAuthorised {
        /// The state it is in.
        status: ConsentStatus,
        /// What that makes of the request.
        lapse: Lapse,
    },
    /// Its expiration lies in the past.
    #[error("the consent is past its expiration")]
    Expired {
        /// What that makes of the request.
        lapse: Lapse,
    },
    /// It lacks the permission of the route.
    #[error("the consent lacks the permission of the route")]
    Permission,
    /// The registry gave no usable answer: cannot decide.
    #[error("the consent registry: {0}")]
    Registry(RemoteError),
    /// The token does not say what its consent permits.
    #[error("the token does not say what its consent permits")]
    NotCarried,
    /// The consent changed since the token was issued.
    #[error("the token was issued before its consent changed")]
    Outdated,
    /// No registry is configured: cannot decide.
    #[error("no consent registry is configured")]
    NoRegistry,
}

impl ConsentError {
    /// Whether it says that the consent is nobody's, or not the caller's, rather than what it permits.
    pub fn is_about_whose(self) -> bool {
        match self {
            Self::Unnamed | Self::OtherConsent | Self::OtherClient => true,
            Self::Unknown
            | Self::NotAuthorised { .. }
            | Self::Expired { .. }
            | Self::Permission
            | Self::Registry(_)
            | Self::NotCarried
            | Self::Outdated
            | Self::NoRegistry => false,
        }
    }
}

/// A consent that was held against the route and the client. Only [`Consents`] makes one:
///
/// ```compile_fail,E0451
/// use portaria_decision::consent::Consent;
/// fn forge(consent: Consent) -> Consent { Consent { ..consent } }
/// ```
#[derive(Clone, Debug)]
pub struct Consent {
    kind: ConsentKind,
    id: ConsentId,
    linked: Option<ConsentId>,
}

impl Consent {
    /// Its id.
    pub fn id(&self) -> &ConsentId {
        &self.id
    }
}

/// How a route asks for a consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// Which of the consents that a token may name.
    pub kind: ConsentKind,
    /// For how long an answer that is out of date may do when the registry cannot be asked.
    pub stale_for: Option<Duration>,
}

/// What a route needs of the token's consent.
#[derive(Clone, Copy, Debug)]
pub struct Need<'a> {
    /// How it asks for it.
    pub inquiry: Inquiry,
    /// The permission of the route.
    pub permission: &'a Permission,
    /// What the route does.
    pub to: ConsentUse,
    /// The consent that the path names, where the route has such a parameter.
    pub in_path: Option<&'a str>,
    /// Whether a request goes on whose consent does not permit it, as in shadow mode: then it must be certain whose
    /// it is.
    pub is_borne: bool,
}

/// Who says what a consent permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentSource {
    /// The registry.
    Registry,
    /// The token that names it.
    Token,
}

/// How long something is remembered, and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// How long an answer of the registry is kept.
    pub keep: Duration,
    /// How long it is known that the registry does not know a consent.
    pub keep_unknown: Duration,
    /// Answers that are kept, each of up to 1 KiB; a longer one counts as several.
    pub capacity: u64,
    /// How long a consent that ended is known to have ended.
    pub ended: Duration,
    /// For how long any route may want an answer that is out of date.
    pub stale_for: Option<Duration>,
}

/// Tokens that tell of their consents should live for minutes; none is expected to live longer than this.
const LONGEST_TOKEN_LIFE: Duration = Duration::from_secs(86_400);

/// The stage.
pub struct Consents {
    answers: Option<RegistryAnswers>,
    teller: ConsentSource,
    rules: ConsentRules,
    changes: Arc<Changes>,
    remember_ended: Duration,
    events: Option<Events>,
}

impl Consents {
    /// A stage that asks `registry`, or believes the token if `teller` says so, judges by `rules` and
    /// keeps what it learns as `memory` says, until `changes` end it.
    pub fn new(
        registry: Option<(Registry, RegistryWitness)>,
        teller: ConsentSource,
        rules: ConsentRules,
        memory: Memory,
        changes: Arc<Changes>,
    ) -> Self {
        let window = rules.authorisation_window;
        let answers = registry
            .map(|(registry, witness)| RegistryAnswers::new(registry, window, memory, witness));
        // A registry learns at last of what ended; a token goes on telling what held when it was issued.
        let remember_ended = match teller {
            ConsentSource::Registry => memory.ended,
            ConsentSource::Token => memory.ended.max(LONGEST_TOKEN_LIFE),
        };
        Self { answers, teller, rules, changes, remember_ended, events: None }
    }

    /// The same stage, which takes events of the registry.
    pub fn taking(self, events: Option<Events>) -> Self {
        Self { events, ..self }
    }

    fn answers(&self) -> Result<&RegistryAnswers, ConsentError> {
        self.answers.as_ref().ok_or(ConsentError::NoRegistry)
    }

    /// What is known to have changed, which the stage of the next configuration shares.
    pub fn changes(&self) -> Arc<Changes> {
        self.changes.clone()
    }

    /// Judges the consent that the token names.
    ///
    /// # Errors
    ///
    /// [`ConsentError::Registry`] and [`ConsentError::NoRegistry`] mean "cannot decide". Every other
    /// [`ConsentError`] is a refusal, and each of them can come.
    pub async fn admit(
        &self,
        token: &BoundToken,
        need: &Need<'_>,
        now: Moment,
    ) -> Result<Consent, ConsentError> {
        let (id, known) = self.named_by(token, need, now)?;
        let has_ended = self.has_not_ended(known.mark, need, token);
        if !need.is_borne {
            // Before anybody is asked: it is refused, whosever it is.
            has_ended?;
        }
        let terms = self.told(token, id, need.inquiry, known.revision, now).await?;
        // Whose it is comes first: of another client's consent not even the state is told.
        belongs_to(&terms, token.token().client_id())?;
        // A registry that learns of an end late would say that it holds (decision 5).
        has_ended?;
        self.is_authorised(&terms, need.to, now)?;
        if !terms.permissions.contain(need.permission, self.rules.renamed) {
            return Err(ConsentError::Permission);
        }
        let kind = need.inquiry.kind;
        Ok(Consent { kind, id: id.clone(), linked: terms.linked.clone() })
    }

    /// The consent that the token names, and what is known to have become of it.
    fn named_by<'a>(
        &self,
        token: &'a BoundToken,
        need: &Need<'_>,
        now: Moment,
    ) -> Result<(&'a ConsentId, KnownChanges), ConsentError> {
        let id = token.token().consent(need.inquiry.kind).ok_or(ConsentError::Unnamed)?;
        // Byte by byte: the path's was decoded once, and two spellings that mean one id are two readings.
        if need.in_path.is_some_and(|in_path| in_path != id.reveal()) {
            return Err(ConsentError::OtherConsent);
        }
        Ok((id, self.changes.of(id.digest(), now)))
    }

    /// What the registry, or the token, tells of a consent.
    async fn told(
        &self,
        token: &BoundToken,
        id: &ConsentId,
        inquiry: Inquiry,
        revision: u64,
        now: Moment,
    ) -> Result<Arc<Terms>, ConsentError> {
        if self.is_told_by_token(inquiry.kind) {
            return Ok(token.token().terms().ok_or(ConsentError::NotCarried)?.clone());
        }
        // The number before the question: what changes while that is under way makes its answer unfindable.
        let key = AnswerKey { id: id.digest(), kind: inquiry.kind, revision };
        let chosen = ChosenBy::ByToken(token.token().client_id());
        self.answers()?.of(key, id, chosen, inquiry.stale_for, now).await
    }

    /// No token tells of an enrollment.
    fn is_told_by_token(&self, kind: ConsentKind) -> bool {
        self.teller == ConsentSource::Token && kind == ConsentKind::Consent
    }

    fn has_not_ended(
        &self,
        mark: Option<Mark>,
        need: &Need<'_>,
        token: &BoundToken,
    ) -> Result<(), ConsentError> {
        let status = match mark {
            None => return Ok(()),
            Some(Mark::Consumed) => ConsentStatus::Consumed,
            Some(Mark::Rejected) => ConsentStatus::Rejected,
            // A registry says itself what holds now; a token says what held when it was issued.
            Some(Mark::Outdated { since }) => {
                // Of the same second nobody knows which came first; and a token without `iat` is never newer.
                let is_newer = token.token().issued_at().is_some_and(|issued| issued > since);
                let does = is_newer || !self.is_told_by_token(need.inquiry.kind);
                return if does { Ok(()) } else { Err(ConsentError::Outdated) };
            }
        };
        Err(ConsentError::NotAuthorised { status, lapse: self.rules.lapse(need.to) })
    }

    fn is_authorised(
        &self,
        terms: &Terms,
        to: ConsentUse,
        now: Moment,
    ) -> Result<(), ConsentError> {
        let lapse = self.rules.lapse(to);
        match terms.status_at(now, self.rules.authorisation_window) {
            ConsentStatus::Authorised if terms.has_expired(now) => {
                Err(ConsentError::Expired { lapse })
            }
            ConsentStatus::Authorised => Ok(()),
            status => Err(ConsentError::NotAuthorised { status, lapse }),
        }
    }

    /// Judges whether the caller may manage the consent that the path names: it exists and is the
    /// caller's own. Its state does not matter, a rejected consent may be read and deleted.
    ///
    /// # Errors
    ///
    /// [`ConsentError::Unknown`], also for what can be no id, or [`ConsentError::OtherClient`]: refusals.
    /// [`ConsentError::Registry`] or [`ConsentError::NoRegistry`]: cannot decide.
    pub async fn admit_owner(
        &self,
        token: &BoundToken,
        inquiry: Inquiry,
        in_path: &str,
        now: Moment,
    ) -> Result<Consent, ConsentError> {
        // What cannot be an id names no consent: the same answer as for one that does not exist.
        let id = ConsentId::new(in_path).ok_or(ConsentError::Unknown)?;
        let revision = self.changes.of(id.digest(), now).revision;
        let key = AnswerKey { id: id.digest(), kind: inquiry.kind, revision };
        let chosen = ChosenBy::ByCaller(token.token().client_id());
        let terms = self.answers()?.of(key, &id, chosen, inquiry.stale_for, now).await?;
        belongs_to(&terms, token.token().client_id())?;
        Ok(Consent { kind: key.kind, id, linked: terms.linked.clone() })
    }

    /// What is kept of the consent that a token names: for explaining a refusal, never for admitting anything.
    pub async fn recall(
        &self,
        token: &VerifiedToken,
        inquiry: Inquiry,
        now: Moment,
    ) -> Option<Arc<Terms>> {
        let kind = inquiry.kind;
        if self.is_told_by_token(kind) {
            return token.terms().cloned();
        }
        let id = token.consent(kind)?.digest();
        let revision = self.changes.of(id, now).revision;
        self.answers.as_ref()?.recall(AnswerKey { id, kind, revision }).await
    }

    /// Takes an event: what is kept of the consent that it names is ended.
    ///
    /// # Errors
    ///
    /// [`EventError::TooMany`] means "cannot decide"; every other [`EventError`] is a refusal, and each can
    /// come. Nothing was ended then.
    pub fn take_event(&self, body: &[u8], now: Moment) -> Result<(), EventError> {
        let events = self.events.as_ref().ok_or(EventError::Unwanted)?;
        self.purge(events.judge(body, &self.changes, now)?, now);
        Ok(())
    }

    /// Drops what is remembered of ended consents and of events beyond its time.
    pub fn forget_ended(&self, now: Moment) {
        self.changes.drop_old(now);
    }
}

fn belongs_to(terms: &Terms, client: &ClientId) -> Result<(), ConsentError> {
    if *terms.client_id == *client.reveal() { Ok(()) } else { Err(ConsentError::OtherClient) }
}
