//! The consent registry of a test run: it knows what the case in hand says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use percent_encoding::percent_decode_str;
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use super::case::KnownConsent;
use crate::config::Judging;
use crate::consent::ConsentKind;
use crate::moment::Moment;
use crate::remote::{BreakerSettings, Breakers, Endpoint, Remote};
use crate::review::responder::{Responder, Service};
use crate::terms::{Members, Reading};

/// Longer than a busy machine lets a loopback address wait: running out of it would fail a case.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers by decoded path; nothing if the registry is out of order.
#[derive(Default)]
pub(super) struct Registry(Option<HashMap<String, String>>);

impl Service for Registry {
    fn answer(&mut self, path: &str) -> (StatusCode, String) {
        let path = percent_decode_str(path).decode_utf8_lossy();
        match &self.0 {
            None => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
            Some(known) => match known.get(&*path) {
                Some(body) => (StatusCode::OK, body.clone()),
                None => (StatusCode::NOT_FOUND, String::new()),
            },
        }
    }
}

impl Registry {
    /// Answers this from now on.
    pub(super) fn tell(&mut self, consents: Option<&[KnownConsent]>) {
        let told = |consents: &[KnownConsent]| {
            let of = |consent: &KnownConsent| {
                let (id, body) = (consent.id.clone(), describe(consent));
                let path = move |kind: &ConsentKind| match kind {
                    ConsentKind::Consent => format!("/consents/{id}"),
                    ConsentKind::Enrollment => format!("/enrollments/{id}"),
                };
                consent.kinds.iter().map(move |kind| (path(kind), body.clone()))
            };
            consents.iter().flat_map(of).collect()
        };
        self.0 = consents.map(told);
    }
}

/// The gateway's client of it.
pub(super) fn client(registry: &Responder<Registry>) -> std::io::Result<Remote> {
    let endpoint = Endpoint { url: registry.url().clone(), tls: None, timeout: PATIENCE };
    Remote::new(endpoint).map_err(std::io::Error::other)
}

/// How the gateway asks it.
pub(super) fn stage(remote: &Remote, settings: &Judging) -> crate::consent::Registry {
    let reading = |kind| Reading {
        kind,
        members: Members::of(kind),
        states: settings.consent_rules.states(),
        missing_expiration: settings.missing_expiration,
    };
    // It never opens: a case in which the registry fails says nothing of the next one.
    let settings = BreakerSettings { failures: u64::MAX, open_for: Duration::ZERO };
    let breakers = Breakers::new(settings, Moment::now, Arc::new(|_| ()));
    let [consents, enrollments] = [ConsentKind::Consent, ConsentKind::Enrollment].map(reading);
    crate::consent::Registry::new(remote.clone(), breakers, consents, enrollments)
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
