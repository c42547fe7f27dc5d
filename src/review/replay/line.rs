//! A line of the access log, as far as it tells of a decision.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::IgnoredAny;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::moment::Moment;
use crate::refusal::codes::{identity, request, route};

// Codes to match on.
const NOT_YET_AVAILABLE: &str = route::NOT_YET_AVAILABLE.code;
const RETIRED: &str = route::RETIRED.code;
const NOT_ACCEPTABLE: &str = request::NOT_ACCEPTABLE.code;
const MEDIA_TYPE: &str = request::MEDIA_TYPE.code;
const KEY_MISSING: &str = request::IDEMPOTENCY_KEY_MISSING.code;
const KEY_MALFORMED: &str = request::IDEMPOTENCY_KEY_MALFORMED.code;
const UNTRUSTED: &str = identity::UNTRUSTED.code;

/// What is read of a line.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    event: String,
    timestamp: Option<String>,
    #[serde(rename = "http.request.method")]
    pub(super) method: String,
    #[serde(rename = "http.route")]
    pub(super) route: Option<String>,
    #[serde(rename = "portaria.refusal.code")]
    code: Option<String>,
    #[serde(rename = "portaria.would_refuse.code")]
    shadow_code: Option<String>,
    #[serde(rename = "portaria.interaction_id")]
    pub(super) interaction_id: String,
    #[serde(rename = "portaria.organisation_id")]
    organisation: Option<IgnoredAny>,
}

impl Line {
    /// Reads a line; anything but the line of an exchange is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let line: Self = serde_json::from_str(text).ok()?;
        (line.event == "exchange").then_some(line)
    }

    /// Whether the connection had the certificate of a participant.
    pub(super) fn has_participant(&self) -> bool {
        self.organisation.is_some()
    }

    /// When it came, if the line tells.
    pub(super) fn moment(&self) -> Option<Moment> {
        let time = OffsetDateTime::parse(self.timestamp.as_deref()?, &Rfc3339).ok()?;
        Some(Moment::at(Duration::ZERO, SystemTime::from(time)))
    }

    /// The method that routes have: a request for the fields alone is one for what has them (RFC 9110 section 9.3.2).
    pub(super) fn method_of_route(&self) -> &str {
        if self.method == "HEAD" { "GET" } else { &self.method }
    }

    /// The code of a refusal that the caller read, the backend's part apart.
    fn own_code(&self) -> Option<&str> {
        self.code.as_deref().filter(|code| !code.starts_with("upstream_"))
    }

    /// Whether it went on in shadow mode, though the rules refused it. On a day that is not known nothing is known
    /// of shadow mode: then what the rules said is compared.
    pub(super) fn is_borne(&self) -> bool {
        self.own_code().is_none() && self.shadow_code.is_some() && self.moment().is_some()
    }

    /// The code of the refusal by the rules, even if it went on and no backend answered it.
    pub(super) fn code(&self) -> Option<&str> {
        self.own_code().or(self.shadow_code.as_deref()).or(self.code.as_deref())
    }

    /// How far the request came by the rules.
    pub(super) fn end(&self) -> End<'_> {
        let code = match (self.code(), &self.route) {
            (Some(code), _) => code,
            (None, Some(_)) => return End::Admitted,
            (None, None) => return End::Undecided,
        };
        let stage = code.split('_').next().unwrap_or_default();
        match (stage, code) {
            ("upstream", _) => End::Admitted,
            (_, NOT_YET_AVAILABLE | RETIRED) => End::At(Stage::Lifetime, code),
            ("route", _) => End::NoRoute,
            ("version", _) => End::At(Stage::Version, code),
            ("parameters", _) => End::At(Stage::Parameters, code),
            (_, NOT_ACCEPTABLE | MEDIA_TYPE) => End::At(Stage::Media, code),
            (_, KEY_MISSING | KEY_MALFORMED) => End::At(Stage::Idempotency, code),
            (_, UNTRUSTED) => End::Anyway,
            ("identity" | "token" | "scope", _) => End::At(Stage::Access, code),
            ("interaction", _) => End::At(Stage::Interaction, code),
            ("consent", _) => End::At(Stage::Consent, code),
            _ => End::Anyway,
        }
    }
}

/// How far a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End<'a> {
    /// Past every stage.
    Admitted,
    /// To the stage that refused it.
    At(Stage, &'a str),
    /// No route was found.
    NoRoute,
    /// It was refused for something that policies have no part in.
    Anyway,
    /// Its caller went away before anything was decided.
    Undecided,
}

/// The stages whose decisions depend on the route, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Lifetime,
    Version,
    Media,
    /// Certificate, token, grant and scope.
    Access,
    Interaction,
    Idempotency,
    Parameters,
    Consent,
}

impl Stage {
    /// Whether shadow mode bears whatever it refuses. Of a token it bears the scope alone, of a consent what it
    /// permits the customer's client.
    pub(super) fn is_rule_of_policy(self) -> bool {
        match self {
            Self::Version | Self::Interaction | Self::Idempotency | Self::Parameters => true,
            Self::Lifetime | Self::Media | Self::Access | Self::Consent => false,
        }
    }

    pub(super) const ALL: [Self; 8] = [
        Self::Lifetime,
        Self::Version,
        Self::Media,
        Self::Access,
        Self::Interaction,
        Self::Idempotency,
        Self::Parameters,
        Self::Consent,
    ];
}
