//! A line of the access log, as far as it tells of a decision.

use serde::Deserialize;
use serde::de::IgnoredAny;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::interaction::Form;
use crate::review::trial::Logged;

/// What is read of a line.
#[derive(Debug, Deserialize)]
pub(super) struct AccessLogLine {
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
    interaction_id: String,
    #[serde(rename = "portaria.organisation_id")]
    organisation: Option<IgnoredAny>,
    #[serde(rename = "portaria.outcome")]
    outcome: Option<String>,
    #[serde(rename = "portaria.upstream")]
    upstream: Option<IgnoredAny>,
}

impl AccessLogLine {
    /// Reads a line; anything but the line of an exchange is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let line: Self = serde_json::from_str(text).ok()?;
        (line.event == "exchange").then_some(line)
    }

    /// What a probe's line would say beside its verdict.
    pub(super) fn logged(&self) -> Logged {
        Logged {
            has_participant: self.organisation.is_some(),
            // What was minted is one; anything else is what was sent.
            has_uuid: Form::Uuid.admits(self.interaction_id.as_bytes()),
        }
    }

    /// When it came, if the line tells.
    pub(super) fn time(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::parse(self.timestamp.as_deref()?, &Rfc3339).ok()
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
        self.own_code().is_none() && self.shadow_code.is_some() && self.time().is_some()
    }

    /// The code of the refusal by the gateway, even if it went on and no backend answered it.
    pub(super) fn code(&self) -> Option<&str> {
        self.own_code().or(self.shadow_code.as_deref())
    }

    /// Whether anything was decided: its caller may have gone away, or the gateway ended, before a backend was asked.
    pub(super) fn is_decided(&self) -> bool {
        let broke_off = matches!(self.outcome.as_deref(), Some("client_abort" | "interrupted"));
        let went_on = self.route.is_some() && (self.upstream.is_some() || !broke_off);
        went_on || self.code.is_some() || self.shadow_code.is_some()
    }

    /// Whether it was given the answer of an earlier request.
    pub(super) fn is_repetition(&self) -> bool {
        self.outcome.as_deref() == Some("replayed")
    }
}
