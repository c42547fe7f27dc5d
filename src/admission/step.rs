//! The questions of admission, in the order in which [`super::Admission::admit`] asks them, for telling how
//! far a request came.
//!
//! Decides nothing. A refusal says itself which question it answers, so that what serves keeps no trace.

use serde::{Deserialize, Serialize};

use crate::identity::IdentityError;
use crate::parameters::ParameterRules;
use crate::refusal::Refusal;
use crate::request::RequestError;
use crate::route::{Access, Route};

/// One question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// How many requests came before.
    Quota,
    /// The form of the head.
    Head,
    /// Whether the connection's certificate is trusted.
    Trust,
    /// The form of the path.
    Target,
    /// Which route it is.
    Route,
    /// Which version of it is asked for.
    Version,
    /// What may be answered, and how the body is written.
    Media,
    /// Who sends it.
    Participant,
    /// The access token.
    Token,
    /// Its scope.
    Scope,
    /// The interaction id.
    Interaction,
    /// The idempotency key.
    Repetition,
    /// What its path and query are.
    Parameters,
    /// The consent.
    Consent,
    /// The body, as it comes.
    Body,
    /// Whether the operation was carried out before.
    Operation,
    /// The consent registry's event, of the one route that takes them.
    Event,
    /// The backend's answer.
    Upstream,
}

impl Step {
    /// All, in their order.
    pub const ALL: [Self; 18] = [
        Self::Quota,
        Self::Head,
        Self::Trust,
        Self::Target,
        Self::Route,
        Self::Version,
        Self::Media,
        Self::Participant,
        Self::Token,
        Self::Scope,
        Self::Interaction,
        Self::Repetition,
        Self::Parameters,
        Self::Consent,
        Self::Body,
        Self::Operation,
        Self::Event,
        Self::Upstream,
    ];

    /// The stage that asks it.
    pub fn stage(self) -> &'static str {
        match self {
            Self::Quota => "limits",
            Self::Head | Self::Target | Self::Media | Self::Repetition | Self::Body => "request",
            Self::Trust | Self::Participant => "identity",
            Self::Route => "route",
            Self::Version => "version",
            Self::Parameters => "parameters",
            Self::Token => "token",
            Self::Scope => "scope",
            Self::Interaction => "interaction",
            Self::Consent | Self::Event => "consent",
            Self::Operation => "idempotency",
            Self::Upstream => "upstream",
        }
    }

    /// What it asks, in a word or two.
    pub fn asks(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Head => "head",
            Self::Trust => "trust",
            Self::Target => "path",
            Self::Route => "route",
            Self::Version => "version",
            Self::Parameters => "parameters",
            Self::Media => "media types",
            Self::Participant => "participant",
            Self::Token => "token",
            Self::Scope => "scope",
            Self::Interaction => "interaction id",
            Self::Repetition => "idempotency key",
            Self::Consent => "consent",
            Self::Body => "body",
            Self::Operation => "operation",
            Self::Event => "event",
            Self::Upstream => "answer",
        }
    }

    /// The question that a refusal answers; none, if it is a fault of the gateway itself. `is_admitted` tells
    /// what came after a permit.
    pub fn of(refusal: &Refusal, is_admitted: bool) -> Option<Self> {
        Some(match refusal {
            Refusal::Limits(_) | Refusal::Crowded(_) => Self::Quota,
            Refusal::Request(error) => of_request(*error, is_admitted),
            Refusal::Identity(error) => of_identity(error),
            Refusal::Interaction(_) => Self::Interaction,
            Refusal::Route(_) => Self::Route,
            Refusal::Version(_) => Self::Version,
            Refusal::Parameter(_) => Self::Parameters,
            Refusal::Token(_) => Self::Token,
            Refusal::Scope(_) => Self::Scope,
            Refusal::Consent(_) => Self::Consent,
            Refusal::Upstream(_) => Self::Upstream,
            Refusal::Idempotency(_) => Self::Operation,
            Refusal::Event(_) => Self::Event,
            Refusal::Internal => return None,
        })
    }

    /// Whether a route asks it of its requests.
    pub fn is_asked_by(self, route: &Route) -> bool {
        match self {
            Self::Participant => route.access.needs_participant(),
            Self::Token | Self::Scope => {
                matches!(route.access, Access::Client { .. } | Access::Consented { .. })
            }
            Self::Repetition | Self::Operation => route.idempotency_key,
            Self::Version => route.negotiated.is_some(),
            Self::Parameters => route.parameters != ParameterRules::default(),
            Self::Consent => match route.access {
                Access::Consented { .. } => true,
                Access::Client { .. } => route.consent_parameter.is_some(),
                Access::Open | Access::Certificate | Access::Event => false,
            },
            Self::Quota
            | Self::Head
            | Self::Trust
            | Self::Target
            | Self::Route
            | Self::Media
            | Self::Interaction
            | Self::Body => true,
            Self::Event => matches!(route.access, Access::Event),
            Self::Upstream => !matches!(route.access, Access::Event),
        }
    }
}

fn of_request(error: RequestError, is_admitted: bool) -> Step {
    use RequestError as E;
    match error {
        E::Target(_) => Step::Target,
        E::NotAcceptable | E::UnsupportedMedia => Step::Media,
        E::IdempotencyKeyMissing | E::IdempotencyKeyMalformed => Step::Repetition,
        E::Chunk
        | E::LengthRequired
        | E::BodyTimeout
        | E::BodyIncomplete
        | E::RepeatedToken
        | E::JsonMalformed
        | E::JsonDepth
        | E::JsonMembers
        | E::JsonRepeated => Step::Body,
        E::BodyTooLarge if is_admitted => Step::Body,
        E::BodyTooLarge
        | E::Line
        | E::RequestLine
        | E::Folded
        | E::FieldName
        | E::HeadTooLarge
        | E::TooManyFields
        | E::HeadTimeout
        | E::Length
        | E::TransferCoding
        | E::Lookalike
        | E::Host
        | E::Misdirected
        | E::Upgrade
        | E::Expectation => Step::Head,
    }
}

fn of_identity(error: &IdentityError) -> Step {
    match error {
        IdentityError::Expired | IdentityError::Untrusted(_) => Step::Trust,
        IdentityError::Unreadable
        | IdentityError::Organisation
        | IdentityError::SoftwareStatement
        | IdentityError::Profile(_)
        | IdentityError::Absent => Step::Participant,
    }
}
