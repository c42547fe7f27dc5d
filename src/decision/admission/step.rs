//! The questions of admission, in the order in which [`super::Admission::admit`] asks them, for telling how
//! far a request came.
//!
//! Decides nothing. Whoever refuses says at which question ([`Refused`]), so that what serves keeps no trace.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::parameters::ParameterRules;
use crate::refusal::{Refusal, Stage};
use crate::route::{Access, Destination, Route};

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
    /// What may be answered, how the body is written, and how long it may be.
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
        let stage = match self {
            Self::Quota => Stage::Limits,
            Self::Head | Self::Target | Self::Media | Self::Repetition | Self::Body => {
                Stage::Request
            }
            Self::Trust | Self::Participant => Stage::Identity,
            Self::Route => Stage::Route,
            Self::Version => Stage::Version,
            Self::Parameters => Stage::Parameters,
            Self::Token => Stage::Token,
            Self::Scope => Stage::Scope,
            Self::Interaction => Stage::Interaction,
            Self::Consent | Self::Event => Stage::Consent,
            Self::Operation => Stage::Idempotency,
            Self::Upstream => Stage::Upstream,
        };
        stage.as_str()
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

    /// The refusal of a request at this question.
    pub fn refuse(self, refusal: impl Into<Refusal>) -> Refused {
        Refused { step: self, refusal: refusal.into() }
    }

    /// Whether a route asks it of its requests.
    pub fn is_asked_by(self, route: &Route) -> bool {
        match self {
            Self::Participant => route.asks.access.needs_participant(),
            Self::Token | Self::Scope => {
                matches!(route.asks.access, Access::Client { .. } | Access::Consented { .. })
            }
            Self::Repetition | Self::Operation => route.asks.idempotency_key,
            Self::Version => route.asks.negotiated.is_some(),
            Self::Parameters => route.asks.parameters != ParameterRules::default(),
            Self::Consent => match route.asks.access {
                Access::Consented { .. } => true,
                Access::Client { .. } => route.asks.consent_parameter.is_some(),
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
            Self::Event => route.to == Destination::Gateway,
            Self::Upstream => matches!(route.to, Destination::Upstream(_)),
        }
    }
}

/// A request that is not served: where it stopped, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{refusal}")]
pub struct Refused {
    /// The question that it did not pass.
    pub step: Step,
    /// The answer.
    pub refusal: Refusal,
}

/// Names the question that a stage's verdict answers.
pub trait At<T> {
    /// The verdict, of a request that is at this question.
    ///
    /// # Errors
    ///
    /// The stage's own verdict, as a [`Refused`] at this question.
    fn at(self, step: Step) -> Result<T, Refused>;
}

impl<T, E: Into<Refusal>> At<T> for Result<T, E> {
    fn at(self, step: Step) -> Result<T, Refused> {
        self.map_err(|error| step.refuse(error))
    }
}
