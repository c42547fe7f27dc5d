//! A line of the access log, as far as it tells of a decision.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// What is read of a line.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    event: String,
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

    /// The code of the refusal. What went on in shadow mode was refused by the rules, which are what is
    /// compared, even if no backend answered it.
    pub(super) fn code(&self) -> Option<&str> {
        let own = self.code.as_deref().filter(|code| !code.starts_with("upstream_"));
        own.or(self.shadow_code.as_deref()).or(self.code.as_deref())
    }

    /// How far the request came.
    pub(super) fn end(&self) -> End<'_> {
        let code = match (self.code(), &self.route) {
            (Some(code), _) => code,
            (None, Some(_)) => return End::Admitted,
            (None, None) => return End::Undecided,
        };
        let stage = code.split('_').next().unwrap_or_default();
        match (stage, code) {
            ("upstream", _) => End::Admitted,
            (_, "route_not_yet_available" | "route_retired") => End::At(Stage::Lifetime, code),
            ("route", _) => End::NoRoute,
            ("version", _) => End::At(Stage::Version, code),
            ("parameters", _) => End::At(Stage::Parameters, code),
            (_, "request_not_acceptable" | "request_media_type") => End::At(Stage::Media, code),
            (_, "request_idempotency_key_missing" | "request_idempotency_key_malformed") => {
                End::At(Stage::Idempotency, code)
            }
            (_, "identity_untrusted") => End::Anyway,
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
