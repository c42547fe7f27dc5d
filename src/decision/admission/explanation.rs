//! What a refused request was held against.
//!
//! Worked out when a request is refused, from what the stages keep anyway: nothing is asked of anybody
//! for it, and a request that is admitted pays for none of it but two readings of a clock. Ids of consents
//! and clients, and thumbprints, appear as pseudonyms; tokens, certificates and paths not at all.

use std::time::Duration;

use serde::Serialize;

use super::{Admission, Arriving};
use crate::consent::{ConsentError, ConsentKind};
use crate::limits::{Crowded, LimitExceeded};
use crate::moment::{Moment, Stopwatch};
use crate::pseudonym;
use crate::refusal::Refusal;
use crate::route::{Access, Route};
use crate::scope::ScopeError;
use crate::terms::Terms;
use crate::token::{Grant, TokenError, VerifiedToken};

/// Two things that had to fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// What was compared.
    pub what: &'static str,
    /// What the gateway asks for.
    pub wanted: String,
    /// What it found.
    pub found: String,
}

/// Microseconds that the stages took. Those before the token ask nobody and take a few together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StageTimes {
    /// limits, request, identity and route.
    pub local_us: u64,
    /// token and scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_us: Option<u64>,
    /// consent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent_us: Option<u64>,
}

/// Why a request was refused, in more detail than its code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What did not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared: Option<Comparison>,
    /// How long it took to find out.
    pub times: StageTimes,
}

impl StageTimes {
    fn of(watch: &Stopwatch) -> Self {
        let [local, token, consent] = watch.parts().map(|part| part.map(micros));
        Self { local_us: local.unwrap_or_default(), token_us: token, consent_us: consent }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Admission {
    /// Explains a refusal of [`Admission::admit`].
    pub async fn explain(
        &self,
        request: &Arriving<'_>,
        refusal: &Refusal,
        now: Moment,
    ) -> Explanation {
        let times = StageTimes::of(&request.watch);
        let compared = match refusal {
            Refusal::Limits(exceeded) => Some(quota(exceeded)),
            Refusal::Crowded(crowded) => Some(ceiling(*crowded)),
            Refusal::Token(error) => self.explain_token(request, *error, now).await,
            Refusal::Scope(ScopeError::Insufficient) => self.explain_scope(request).await,
            Refusal::Consent(error) => self.explain_consent(request, *error, now).await,
            Refusal::Request(_)
            | Refusal::Identity(_)
            | Refusal::Interaction(_)
            | Refusal::Route(_)
            | Refusal::Version(_)
            | Refusal::Parameter(_)
            | Refusal::Idempotency(_)
            | Refusal::Upstream(_)
            | Refusal::Event(_)
            | Refusal::Internal => None,
        };
        Explanation { compared, times }
    }

    async fn explain_token(
        &self,
        request: &Arriving<'_>,
        error: TokenError,
        now: Moment,
    ) -> Option<Comparison> {
        // Only these two are about a token that verified; of any other nothing is known that could be shown.
        if !matches!(error, TokenError::OtherCertificate | TokenError::Grant) {
            return None;
        }
        let token = self.tokens.recall(request.head.fields).await?;
        match error {
            TokenError::OtherCertificate => {
                let participant = request.peer.participant(now).ok()?;
                let wanted = pseudonym::of(&participant.thumbprint().to_text());
                let found = pseudonym::of(&token.thumbprint().to_text());
                Some(Comparison { what: "thumbprint of the certificate", wanted, found })
            }
            TokenError::Grant => {
                let (wanted, found) = match token.grant() {
                    Grant::Client => ("a customer's", "the client's own"),
                    Grant::User => ("the client's own", "a customer's"),
                };
                Some(compare("grant", wanted, found))
            }
            _ => None,
        }
    }

    async fn explain_scope(&self, request: &Arriving<'_>) -> Option<Comparison> {
        let token = self.tokens.recall(request.head.fields).await?;
        scope(request.route.as_deref()?, &token)
    }

    async fn explain_consent(
        &self,
        request: &Arriving<'_>,
        error: ConsentError,
        now: Moment,
    ) -> Option<Comparison> {
        let token = self.tokens.recall(request.head.fields).await?;
        let inquiry = request.route.as_deref()?.asks.inquiry;
        let consent = self.consents.recall(&token, inquiry, now).await;
        match error {
            ConsentError::NotAuthorised { status, .. } => {
                Some(compare("status of the consent", "AUTHORISED", &status.to_string()))
            }
            ConsentError::Permission => permission(request.route.as_deref()?, &*consent?),
            ConsentError::OtherClient => {
                let wanted = pseudonym::of(token.client_id().reveal());
                let found = pseudonym::of(&consent?.client_id);
                Some(Comparison { what: "client of the consent", wanted, found })
            }
            ConsentError::Unnamed
            | ConsentError::OtherConsent
            | ConsentError::Unknown
            | ConsentError::Expired { .. }
            | ConsentError::Registry(_)
            | ConsentError::NotCarried
            | ConsentError::Outdated
            | ConsentError::NoRegistry => consent_named(&token, inquiry.kind),
        }
    }
}

fn compare(what: &'static str, wanted: &str, found: &str) -> Comparison {
    Comparison { what, wanted: shown(wanted), found: shown(found) }
}

/// Characters of what is shown.
const LONGEST: usize = 1000;

/// Cut, and without what a terminal would obey: what is found may come from a registry.
fn shown(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
    plain.take(LONGEST).collect()
}

fn ceiling(crowded: Crowded) -> Comparison {
    let wanted = format!("{} under way at a time", crowded.ceiling);
    Comparison { what: "requests under way", wanted, found: "one more".to_owned() }
}

fn quota(exceeded: &LimitExceeded) -> Comparison {
    let standing = exceeded.standing;
    let wanted = format!("{} requests in {} s", standing.limit, standing.window_seconds);
    let found =
        format!("{} left, {} ms to wait", standing.remaining, exceeded.retry_after.as_millis());
    Comparison { what: "quota", wanted, found }
}

pub(super) fn scope(route: &Route, token: &VerifiedToken) -> Option<Comparison> {
    let wanted = match &route.asks.access {
        Access::Client { scope } | Access::Consented { scope, .. } => scope.as_str(),
        Access::Open | Access::Certificate | Access::Event => return None,
    };
    let found: Vec<String> = token.scopes().iter().map(shown_scope).collect();
    Some(compare("scope", wanted, &found.join(" ")))
}

pub(super) fn permission(route: &Route, consent: &Terms) -> Option<Comparison> {
    let Access::Consented { permission, .. } = &route.asks.access else {
        return None;
    };
    let found: Vec<&str> = consent.permissions.iter().collect();
    Some(compare("permission", permission.as_str(), &found.join(" ")))
}

fn consent_named(token: &VerifiedToken, kind: ConsentKind) -> Option<Comparison> {
    let named = token.consent(kind);
    let found = named.map_or_else(|| "none".to_owned(), |id| pseudonym::of(id.reveal()));
    Some(Comparison { what: "consent of the token", wanted: "one that permits".to_owned(), found })
}

/// A scope may name a consent.
fn shown_scope(scope: &str) -> String {
    match scope.split_once(':') {
        Some((kind, id)) => format!("{kind}:{}", pseudonym::of(id)),
        None => scope.to_owned(),
    }
}
