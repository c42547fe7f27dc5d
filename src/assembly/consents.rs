//! The consents: who tells of them, and what is kept of it.

use std::sync::Arc;

use super::Assembler;
use super::witnesses::{BreakerWords, Causes};
use crate::ask::Breakers;
use crate::config::{ConsentSettings, EndpointSettings, WebhookSettings};
use crate::consent::{Consents, Events, Registry, RegistryNotice, RegistryWitness};
use crate::moment::Moment;
use crate::report::Metrics;

const BREAKER: BreakerWords = BreakerWords {
    service: "consent_registry",
    opened: "the consent registry failed repeatedly and is left alone for a while, as far as one client asks",
    closed: "the consent registry is asked again",
};

impl Assembler<'_> {
    /// The stage that the same settings built before, or a new one that knows the same changes.
    pub(super) fn consents(
        &self,
        settings: ConsentSettings,
    ) -> Option<(ConsentSettings, Arc<Consents>)> {
        if let Some(kept) = self.before.filter(|kept| kept.consent.0 == settings) {
            return Some((settings, kept.consent.1.clone()));
        }
        let registry = match &settings.registry {
            Some(endpoint) => Some((self.registry(&settings, endpoint)?, witness(self.metrics))),
            None => None,
        };
        // Whatever changed: what ended must not come back with a reload (decision 5).
        let changes = self.before.map(|kept| kept.consent.1.changes()).unwrap_or_default();
        let (teller, rules, memory) = (settings.teller, settings.rules, settings.memory);
        let taken = settings.webhook.as_ref().and_then(|webhook| self.events(webhook));
        let stage = Consents::new(registry, teller, rules, memory, changes).taking(taken);
        Some((settings, Arc::new(stage)))
    }

    fn registry(
        &self,
        settings: &ConsentSettings,
        endpoint: &EndpointSettings,
    ) -> Option<Registry> {
        let breakers = Breakers::new(settings.breaker, Moment::now, BREAKER.witness(self.metrics));
        let (consents, enrollments) = (settings.consents.clone(), settings.enrollments.clone());
        Some(Registry::new(self.service(endpoint)?, breakers, consents, enrollments))
    }

    fn events(&self, webhook: &WebhookSettings) -> Option<Events> {
        let purges = self.metrics.services().consent_purges("event");
        let witness = Arc::new(move || purges.inc());
        Some(Events { key: webhook.key()?, claim: webhook.claim.clone(), witness })
    }
}

/// Counts what is told of the registry.
fn witness(metrics: &Metrics) -> RegistryWitness {
    let [answered, unknown, failed] =
        ["answered", "unknown", "failed"].map(|result| metrics.services().consent_lookups(result));
    let stale = metrics.services().stale_consents();
    let causes = Causes::new("the consent registry gave no answer that decides");
    Arc::new(move |notice| match notice {
        RegistryNotice::Answered => {
            causes.note(None);
            answered.inc();
        }
        RegistryNotice::Unknown => {
            causes.note(None);
            unknown.inc();
        }
        RegistryNotice::Failed(error) => {
            causes.note(Some(error));
            failed.inc();
        }
        // No cause: the failure before it has told that.
        RegistryNotice::Stale => stale.inc(),
    })
}
