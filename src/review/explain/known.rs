//! What the services of the configuration say, as far as it was given: the registry's answer about the consent,
//! the authorization server's about the token. What was asked for and not given is remembered, for then the gateway
//! would know more than is known here.

use std::sync::Arc;

use async_trait::async_trait;
use http::StatusCode;
use parking_lot::Mutex;

use crate::ask::{Ask, Question, RemoteError, Reply};
use crate::consent::ConsentError;
use crate::refusal::Refusal;
use crate::token::TokenError;

/// What a service says.
#[derive(Clone, Debug)]
pub(super) enum GivenAnswer {
    /// This.
    Answer(String),
    /// That it knows no such thing.
    Unknown,
}

/// What is known of the services.
#[derive(Debug)]
pub(super) struct GivenAnswers {
    consent: Option<GivenAnswer>,
    introspection: Option<GivenAnswer>,
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

impl GivenAnswers {
    /// What was given.
    pub(super) fn new(consent: Option<GivenAnswer>, introspection: Option<GivenAnswer>) -> Self {
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

/// What is known, as the services of the configuration say it.
#[derive(Clone, Debug)]
pub(super) struct GivenServices(Arc<Mutex<GivenAnswers>>);

impl GivenServices {
    /// What was given.
    pub(super) fn new(known: GivenAnswers) -> Self {
        Self(Arc::new(Mutex::new(known)))
    }

    /// What a refusal depends on, if it was asked for in vain.
    pub(super) fn missing(&self, refusal: &Refusal) -> Option<Missing> {
        self.0.lock().missing(refusal)
    }

    /// The service that a table describes.
    pub(super) fn service(&self, table: &str) -> Arc<dyn Ask> {
        let missing = match table {
            "consent" => Missing::Consent,
            "token.introspection" => Missing::Introspection,
            // Of issuers there are several tables, each with its position in its key.
            _ => Missing::KeySet,
        };
        Arc::new(GivenService { known: self.clone(), missing })
    }
}

#[derive(Debug)]
struct GivenService {
    known: GivenServices,
    /// What lacks where nothing was given.
    missing: Missing,
}

#[async_trait]
impl Ask for GivenService {
    async fn ask(&self, _: Question<'_>) -> Result<Reply, RemoteError> {
        let mut known = self.known.0.lock();
        let said = match self.missing {
            Missing::Consent => known.consent.clone(),
            Missing::Introspection => known.introspection.clone(),
            Missing::KeySet => None,
        };
        let (status, text) = match said {
            Some(GivenAnswer::Answer(text)) => (StatusCode::OK, text),
            Some(GivenAnswer::Unknown) => (StatusCode::NOT_FOUND, String::new()),
            None => {
                known.missing.push(self.missing);
                (StatusCode::SERVICE_UNAVAILABLE, String::new())
            }
        };
        Ok(Reply::json(status, text))
    }
}
