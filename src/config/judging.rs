//! What of a configuration decides on requests beside its policies, for tests of policies: `[limits]`,
//! `[identity]`, the bounds of `[http]` and the rules of `[consent]`.
//!
//! Nothing else of the file is read: whoever tests policies need not have the gateway's certificates.

use std::path::Path;

use super::consent::read_judging;
use super::document::{Document, Mistake, Mistakes, Table};
use super::identity::read_profile;
use super::traffic::{self, LimitSettings};
use crate::consent::Rules;
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
    pub consent_rules: Rules,
    /// What a consent without expiration means.
    pub missing_expiration: MissingExpiration,
}

impl Judging {
    /// What a configuration says.
    pub fn of(path: &Path) -> Result<Self, Vec<Mistake>> {
        let mistakes = Mistakes::default();
        let document = Document::read(path, &mistakes);
        let settings = document.and_then(|document| document.with_root(|root| Self::read(&root)));
        let concerns = |mistake: &Mistake| {
            let table = mistake.key.split('.').next().unwrap_or_default();
            // Of `[consent]` only some keys are read here.
            let is_rule = table == "consent" && !mistake.text.starts_with("is an unknown key");
            table.is_empty() || is_rule || TABLES.contains(&table)
        };
        let all = mistakes.take().into_iter().filter(concerns);
        let errors: Vec<Mistake> = all.filter(Mistake::prevents_loading).collect();
        settings.filter(|_| errors.is_empty()).ok_or(errors)
    }

    /// The defaults: the legal floors.
    pub fn defaults() -> Self {
        Document::with_nothing(|root| Self::read(&root))
    }

    fn read(root: &Table<'_>) -> Self {
        let http = traffic::read_http(root);
        let (consent_rules, missing_expiration) = read_judging(root);
        Self {
            consent_rules,
            missing_expiration,
            quotas: traffic::read_quotas(root),
            profile: read_profile(root),
            max_fields: http.wire.head.fields,
            max_body: http.max_body,
            json: http.json,
        }
    }

    /// Limits that have counted nothing yet.
    pub fn limits(&self) -> Limits {
        self.quotas.limits()
    }
}
