//! What of a configuration decides on requests beside its policies, for tests of policies: `[limits]`,
//! `[identity]`, the bounds of `[http]` and the rules of `[consent]`.
//!
//! What is wrong with the rest of the file does not matter: whoever tests policies need not have the gateway's
//! certificates.

use std::path::Path;

use super::consent::{ConsentSettings, RULES};
use super::document::{Document, Mistake};
use super::traffic::LimitSettings;
use super::{identity, project, traffic};
use crate::consent::ConsentRules;
use crate::identity::Profile;
use crate::limits::Limits;
use crate::request::json::JsonBounds;
use crate::terms::MissingExpiration;

/// The tables that are read.
const TABLES: [&str; 3] = ["limits", "identity", "http"];

/// The settings.
#[derive(Clone, Debug)]
pub struct Judging {
    quotas: LimitSettings,
    /// What client certificates are asked for.
    pub profile: Profile,
    /// Fields of a request.
    pub max_fields: usize,
    /// Bytes of a request body.
    pub max_body: u64,
    /// What a body of JSON may have.
    pub json: JsonBounds,
    /// By which consents are judged.
    pub consent_rules: ConsentRules,
    /// What a consent without expiration means.
    pub missing_expiration: MissingExpiration,
}

impl Judging {
    /// What a configuration says.
    pub fn of(path: &Path) -> Result<Self, Vec<Mistake>> {
        let is_rule = |mistake: &Mistake| {
            let key = mistake.key.strip_prefix("consent.");
            mistake.key == "consent" || key.is_some_and(|key| RULES.contains(&key))
        };
        let concerns = |mistake: &Mistake| {
            is_rule(mistake) || TABLES.into_iter().any(|table| mistake.is_of(table))
        };
        project(path, concerns, |settings| {
            // Where the registry is wrong, the rules are not: they are what a file without the table has.
            let consent = settings.consent?;
            Some(Self::new(settings.limits, settings.profile, &settings.http, &consent))
        })
    }

    /// The defaults: the legal floors.
    pub fn defaults() -> Self {
        Document::with_nothing(|root| {
            let (limits, http) = (traffic::read_limits(&root), traffic::read_http(&root));
            let profile = identity::read_profile(&root);
            Self::new(limits, profile, &http, &ConsentSettings::default())
        })
    }

    fn new(
        limits: LimitSettings,
        profile: Profile,
        http: &traffic::HttpSettings,
        consent: &ConsentSettings,
    ) -> Self {
        Self {
            quotas: limits,
            profile,
            max_fields: http.wire.head.fields,
            max_body: http.max_body,
            json: http.json,
            consent_rules: consent.rules,
            missing_expiration: consent.consents.missing_expiration,
        }
    }

    /// Limits that have counted nothing yet.
    pub fn limits(&self) -> Limits {
        self.quotas.limits()
    }
}
