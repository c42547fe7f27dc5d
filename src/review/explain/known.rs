//! What the services of the configuration say, as far as it was given: the registry's answer about the consent,
//! the authorization server's about the token. What was asked for and not given is remembered, for then the gateway
//! would know more than is known here.

use http::StatusCode;

use crate::consent::ConsentError;
use crate::refusal::Refusal;
use crate::review::responder::Service;
use crate::token::TokenError;

/// What a service says.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// This.
    Answer(String),
    /// That it knows no such thing.
    Unknown,
}

/// What is known of the services.
#[derive(Debug)]
pub(super) struct Known {
    consent: Option<Said>,
    introspection: Option<Said>,
    /// What was asked for in vain.
    missing: Vec<Missing>,
}

/// Something that the gateway would ask for, and that was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    KeySet,
    Introspection,
    Consent,
}

impl Missing {
    /// What to do about it.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::KeySet => "the gateway would read the issuer's key set: --jwks FILE gives it",
            Self::Introspection => {
                "the gateway would ask the authorization server: --introspection FILE gives its answer"
            }
            Self::Consent => {
                "the gateway would ask the consent registry: --consent FILE gives its answer"
            }
        }
    }
}

impl Known {
    /// What was given.
    pub(super) fn new(consent: Option<Said>, introspection: Option<Said>) -> Self {
        Self { consent, introspection, missing: Vec::new() }
    }

    /// What a refusal depends on, if it was asked for in vain.
    pub(super) fn missing(&self, refusal: &Refusal) -> Option<Missing> {
        let missing = match refusal {
            Refusal::Token(TokenError::NoKeys) => Missing::KeySet,
            Refusal::Token(TokenError::Introspection(_)) => Missing::Introspection,
            Refusal::Consent(ConsentError::Registry(_)) => Missing::Consent,
            _ => return None,
        };
        self.missing.contains(&missing).then_some(missing)
    }
}

impl Service for Known {
    /// A path begins with the name of the table that describes the service.
    fn answer(&mut self, path: &str) -> (StatusCode, String) {
        let (said, missing) = if path.starts_with("/consent") {
            (&self.consent, Missing::Consent)
        } else if path.starts_with("/token.introspection") {
            (&self.introspection, Missing::Introspection)
        } else {
            (&None, Missing::KeySet)
        };
        match said {
            Some(Said::Answer(text)) => (StatusCode::OK, text.clone()),
            Some(Said::Unknown) => (StatusCode::NOT_FOUND, String::new()),
            None => {
                self.missing.push(missing);
                (StatusCode::SERVICE_UNAVAILABLE, String::new())
            }
        }
    }
}
