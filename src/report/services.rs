//! The metrics of the services that are asked about tokens and consents, and of what is remembered of their
//! answers.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::metrics::{Described, counters};

const INTROSPECTIONS: Described = Described(
    "portaria_introspections_total",
    "Questions to the authorization server about opaque tokens, by result.",
    &["result"],
);
const REVOKED_TOKENS: Described = Described(
    "portaria_revoked_tokens",
    "Tokens that are refused because they were revoked, and not expired yet.",
    &[],
);
const CONSENT_LOOKUPS: Described = Described(
    "portaria_consent_lookups_total",
    "Questions to the consent registry by result.",
    &["result"],
);
const STALE_CONSENTS: Described = Described(
    "portaria_consent_stale_answers_total",
    "Requests judged on an answer that was out of date, in an outage of the consent registry.",
    &[],
);
const CONSENT_PURGES: Described = Described(
    "portaria_consent_purges_total",
    "Orders to end what is kept of a consent, by where they came from.",
    &["by"],
);
const OPEN_BREAKERS: Described = Described(
    "portaria_open_breakers",
    "How many breakers of a service that failed repeatedly leave it alone.",
    &["service"],
);

/// The handles.
pub struct ServiceMetrics {
    introspections: IntCounterVec,
    revoked_tokens: IntGauge,
    consent_lookups: IntCounterVec,
    stale_consents: IntCounter,
    consent_purges: IntCounterVec,
    open_breakers: IntGaugeVec,
}

impl ServiceMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let this = Self {
            introspections: counters(registry, &INTROSPECTIONS)?,
            revoked_tokens: IntGauge::new(REVOKED_TOKENS.0, REVOKED_TOKENS.1)?,
            consent_lookups: counters(registry, &CONSENT_LOOKUPS)?,
            stale_consents: IntCounter::new(STALE_CONSENTS.0, STALE_CONSENTS.1)?,
            consent_purges: counters(registry, &CONSENT_PURGES)?,
            open_breakers: IntGaugeVec::new(
                Opts::new(OPEN_BREAKERS.0, OPEN_BREAKERS.1),
                OPEN_BREAKERS.2,
            )?,
        };
        registry.register(Box::new(this.revoked_tokens.clone()))?;
        registry.register(Box::new(this.stale_consents.clone()))?;
        registry.register(Box::new(this.open_breakers.clone()))?;
        Ok(this)
    }

    /// The counter of questions about opaque tokens with a result.
    pub fn introspections(&self, result: &str) -> IntCounter {
        self.introspections.with_label_values(&[result])
    }

    /// Notes how many revoked tokens are remembered.
    pub fn note_revoked_tokens(&self, count: u64) {
        self.revoked_tokens.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The counter of questions to the consent registry with a result.
    pub fn consent_lookups(&self, result: &str) -> IntCounter {
        self.consent_lookups.with_label_values(&[result])
    }

    /// The counter of requests that an answer out of date served.
    pub fn stale_consents(&self) -> IntCounter {
        self.stale_consents.clone()
    }

    /// The counter of orders from somewhere to end what is kept of a consent.
    pub fn consent_purges(&self, by: &str) -> IntCounter {
        self.consent_purges.with_label_values(&[by])
    }

    /// The gauge of a service's open breakers.
    pub fn open_breakers(&self, service: &str) -> IntGauge {
        self.open_breakers.with_label_values(&[service])
    }
}
