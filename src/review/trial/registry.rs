//! The consent registry of a test run: it knows what the case in hand says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use super::case::KnownConsent;
use crate::ask::{Ask, BreakerSettings, Breakers, Question, RemoteError, Reply};
use crate::config::Judging;
use crate::consent::ConsentKind;
use crate::moment::Moment;
use crate::terms::{MemberPointers, Reading};

/// Answers by path; nothing if the registry is out of order.
#[derive(Debug, Default)]
pub(super) struct TrialRegistry(Mutex<Option<HashMap<String, String>>>);

#[async_trait]
impl Ask for TrialRegistry {
    async fn ask(&self, question: Question<'_>) -> Result<Reply, RemoteError> {
        let path = question.segments().join("/");
        let (status, text) = match &*self.0.lock() {
            None => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
            Some(known) => match known.get(&path) {
                Some(body) => (StatusCode::OK, body.clone()),
                None => (StatusCode::NOT_FOUND, String::new()),
            },
        };
        Ok(Reply::json(status, text))
    }
}

impl TrialRegistry {
    /// Answers this from now on.
    pub(super) fn tell(&self, consents: Option<&[KnownConsent]>) {
        let told = |consents: &[KnownConsent]| {
            let of = |consent: &KnownConsent| {
                let (id, body) = (consent.id.clone(), describe(consent));
                let path = move |kind: &ConsentKind| match kind {
                    ConsentKind::Consent => format!("consents/{id}"),
                    ConsentKind::Enrollment => format!("enrollments/{id}"),
                };
                consent.kinds.iter().map(move |kind| (path(kind), body.clone()))
            };
            consents.iter().flat_map(of).collect()
        };
        *self.0.lock() = consents.map(told);
    }
}

/// How the gateway asks it.
pub(super) fn stage(registry: &Arc<TrialRegistry>, settings: &Judging) -> crate::consent::Registry {
    let reading = |kind| Reading {
        kind,
        members: MemberPointers::of(kind),
        states: settings.consent_rules.states(),
        missing_expiration: settings.missing_expiration,
    };
    // It never opens: a case in which the registry fails says nothing of the next one.
    let settings = BreakerSettings { failures: u64::MAX, open_for: Duration::ZERO };
    let breakers = Breakers::new(settings, Moment::now, Arc::new(|_| ()));
    let [consents, enrollments] = [ConsentKind::Consent, ConsentKind::Enrollment].map(reading);
    crate::consent::Registry::new(registry.clone(), breakers, consents, enrollments)
}

fn describe(consent: &KnownConsent) -> String {
    let data = json!({
        "consentId": consent.id,
        "enrollmentId": consent.id,
        "status": consent.status,
        "permissions": consent.permissions,
        "expirationDateTime": consent.expires.format(&Rfc3339).unwrap_or_default(),
        "clientId": consent.client_id,
    });
    json!({"data": data}).to_string()
}
