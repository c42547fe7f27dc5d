//! What a stage would say to a request of which only its line in the access log is known.
//!
//! A stage whose rule did not change says what it said. One whose rule did change is decided from what the
//! old verdict proves of the request; what it does not prove is not guessed.

use http::{HeaderMap, HeaderValue};

use super::line::{End, Line, Stage};
use crate::interaction::{FIELD, Form, Interaction, InteractionRule};
use crate::moment::Moment;
use crate::refusal::Refusal;
use crate::refusal::codes::{consent, interaction, request, scope, token};
use crate::route::{Access, Route};

const TOKEN_GRANT: &str = token::GRANT.code;
const INTERACTION_MISSING: &str = interaction::MISSING.code;
const OTHER_CONSENT: &str = consent::OTHER_CONSENT.code;
const PERMISSION: &str = consent::PERMISSION.code;
const SCOPE_INSUFFICIENT: &str = scope::INSUFFICIENT.code;
/// About whose consent it is: never borne.
const OF_WHOSE: [&str; 3] = [consent::UNNAMED.code, OTHER_CONSENT, consent::OTHER_CLIENT.code];

/// What a stage would say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Word {
    /// Go on.
    Pass,
    /// No, with this code if it is certain.
    Refuse(Option<String>),
    /// The log does not tell.
    Unknown(String),
    /// The log does not tell of something that shadow mode bears in any case.
    UnknownRule(String),
}

/// What a stage said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said<'a> {
    Passed,
    Refused(&'a str),
    /// That it may go on, in shadow mode, whatever the rules said.
    Borne,
    /// Nothing: the request did not come so far.
    Nothing,
}

impl Said<'_> {
    /// What a stage says again whose rule did not change.
    fn again(self, unknown: &str) -> Word {
        match self {
            Self::Passed => Word::Pass,
            Self::Refused(code) => refuse(code),
            Self::Borne => Word::UnknownRule(unknown.to_owned()),
            Self::Nothing => unknown_if(unknown),
        }
    }
}

fn refuse(code: &str) -> Word {
    Word::Refuse(Some(code.to_owned()))
}

fn unknown_if(what: &str) -> Word {
    Word::Unknown(what.to_owned())
}

/// What becomes of a request to `before` that is one to `after`, on the day on which it came.
pub(super) fn judge(line: &Line, before: &Route, after: &Route) -> Word {
    let day = line.moment();
    let bears = day.is_some_and(|day| after.bounds.shadow.is_on(day));
    for stage in Stage::ALL {
        let said = match line.end() {
            End::At(at, code) if at == stage => Said::Refused(code),
            End::At(at, _) if at < stage && line.is_borne() => Said::Borne,
            End::At(at, _) if at < stage => Said::Nothing,
            _ => Said::Passed,
        };
        let word = match stage {
            Stage::Lifetime => match day {
                Some(day) => lifetime(after, day),
                None => rule(
                    said,
                    &before.bounds.lifetime,
                    &after.bounds.lifetime,
                    "on which day it came",
                ),
            },
            Stage::Version => {
                rule(said, &before.asks.negotiated, &after.asks.negotiated, "which x-v was sent")
            }
            Stage::Parameters => rule(
                said,
                &before.asks.parameters,
                &after.asks.parameters,
                "what the path and query were",
            ),
            Stage::Media => media(said, before, after),
            Stage::Access => access(said, line, &before.asks.access, &after.asks.access),
            Stage::Interaction => interaction(said, line, before, after),
            Stage::Idempotency => idempotency(said, before, after),
            Stage::Consent => consent(said, before, after),
        };
        if word != Word::Pass && !(bears && is_borne(stage, &word, after)) {
            return word;
        }
    }
    Word::Pass
}

fn lifetime(after: &Route, day: Moment) -> Word {
    match after.bounds.lifetime.check(day) {
        Ok(()) => Word::Pass,
        Err(error) => refuse(Refusal::from(error).code()),
    }
}

/// Whether a request of which a stage says this goes on in shadow mode.
fn is_borne(stage: Stage, word: &Word, after: &Route) -> bool {
    match (stage, word) {
        (stage, _) if stage.is_rule_of_policy() => true,
        (_, Word::UnknownRule(_)) => true,
        (Stage::Access, Word::Refuse(Some(code))) => code == SCOPE_INSUFFICIENT,
        (Stage::Consent, Word::Refuse(Some(code))) => {
            is_consented(&after.asks.access) && !OF_WHOSE.contains(&code.as_str())
        }
        _ => false,
    }
}

/// A rule whose default asks nothing.
fn rule<T: Default + PartialEq>(said: Said<'_>, before: &T, after: &T, what: &str) -> Word {
    if *after == T::default() {
        Word::Pass
    } else if before == after {
        said.again(what)
    } else {
        unknown_if(what)
    }
}

fn media(said: Said<'_>, before: &Route, after: &Route) -> Word {
    let what = "what the body was written in";
    // It went on: what it was written in fitted.
    let said = if said == Said::Borne { Said::Passed } else { said };
    match said {
        Said::Refused(code) if code == request::NOT_ACCEPTABLE.code => refuse(code),
        Said::Passed
            if before.bounds.max_body != after.bounds.max_body
                && after.bounds.max_body.is_some() =>
        {
            unknown_if("how long the body was")
        }
        said if before.asks.media == after.asks.media => said.again(what),
        _ => unknown_if(what),
    }
}

/// Certificate, token, grant and scope. Permissions are the consent's.
fn access(said: Said<'_>, line: &Line, before: &Access, after: &Access) -> Word {
    if is_same_token(before, after) {
        return match (said, needs_token(after)) {
            // It went on, so certificate and token were good.
            (Said::Borne, false) => Word::Pass,
            (Said::Borne, true) => Word::UnknownRule("whether the token has the scope".to_owned()),
            (said, _) => said.again("what the token was"),
        };
    }
    if after.is_open() {
        return Word::Pass;
    }
    match said {
        Said::Refused(code) => after_refusal(code, before, after),
        Said::Passed | Said::Borne => after_passing(line, before, after),
        Said::Nothing if line.has_participant() && needs_token(after) => {
            unknown_if("what the token was")
        }
        Said::Nothing => after_passing(line, before, after),
    }
}

fn after_passing(line: &Line, before: &Access, after: &Access) -> Word {
    if !line.has_participant() {
        return Word::Refuse(None);
    }
    match (before, after) {
        (_, Access::Open | Access::Certificate | Access::Event) => Word::Pass,
        (Access::Client { .. }, Access::Consented { .. })
        | (Access::Consented { .. }, Access::Client { .. }) => refuse(TOKEN_GRANT),
        (Access::Open | Access::Certificate | Access::Event, _) => {
            unknown_if("whether there was a token")
        }
        (_, Access::Client { scope } | Access::Consented { scope, .. }) => {
            Word::UnknownRule(format!("whether the token has scope {} too", scope.as_str()))
        }
    }
}

fn after_refusal(code: &str, before: &Access, after: &Access) -> Word {
    let is_other_grant = is_consented(before) != is_consented(after);
    match (code, after) {
        (code, _) if code.starts_with("identity_") => refuse(code),
        (_, Access::Open | Access::Certificate | Access::Event) => Word::Pass,
        (TOKEN_GRANT, Access::Client { scope } | Access::Consented { scope, .. })
            if is_other_grant =>
        {
            Word::UnknownRule(format!("whether the token has scope {}", scope.as_str()))
        }
        (SCOPE_INSUFFICIENT, _) if is_other_grant => refuse(TOKEN_GRANT),
        (SCOPE_INSUFFICIENT, Access::Client { scope } | Access::Consented { scope, .. }) => {
            Word::UnknownRule(format!("whether the token has scope {}", scope.as_str()))
        }
        (code, _) => refuse(code),
    }
}

fn needs_token(access: &Access) -> bool {
    matches!(access, Access::Client { .. } | Access::Consented { .. })
}

fn is_consented(access: &Access) -> bool {
    matches!(access, Access::Consented { .. })
}

fn is_same_token(before: &Access, after: &Access) -> bool {
    match (before, after) {
        (Access::Consented { scope, .. }, Access::Consented { scope: other, .. }) => scope == other,
        (before, after) => before == after,
    }
}

/// Nothing sent, a UUID, another known form, none.
const IDS: [Option<&str>; 4] =
    [None, Some("d78fc4e5-37ca-4da3-adf2-9b082bf92280"), Some("a-1"), Some("-")];

fn interaction(said: Said<'_>, line: &Line, before: &Route, after: &Route) -> Word {
    let (before, after) = (&before.asks.interaction, &after.asks.interaction);
    let what = "which x-fapi-interaction-id was sent";
    if before == after && !matches!(said, Said::Nothing | Said::Borne) {
        return said.again(what);
    }
    // What was minted is a UUID; anything else in the log is what was sent.
    let is_uuid = Form::Uuid.admits(line.interaction_id.as_bytes());
    let could_be = |id: &Option<&'static str>| match said {
        _ if !is_uuid => *id == Some("a-1"),
        Said::Passed => passes_interaction(before, *id),
        Said::Refused(INTERACTION_MISSING) => id.is_none(),
        Said::Refused(_) => id.is_some() && !passes_interaction(before, *id),
        Said::Borne | Said::Nothing => true,
    };
    let mut verdicts =
        IDS.iter().filter(|id| could_be(id)).map(|id| passes_interaction(after, *id));
    let first = verdicts.next();
    match first {
        Some(first) if verdicts.all(|other| other == first) => match (first, said) {
            (true, _) => Word::Pass,
            (false, Said::Refused(code)) => refuse(code),
            (false, _) => Word::Refuse(None),
        },
        _ => unknown_if(what),
    }
}

/// Asks the gateway's own code.
fn passes_interaction(rule: &InteractionRule, id: Option<&'static str>) -> bool {
    let mut headers = HeaderMap::new();
    if let Some(id) = id {
        headers.insert(FIELD, HeaderValue::from_static(id));
    }
    Interaction::read(&headers).satisfies(rule).is_ok()
}

fn idempotency(said: Said<'_>, before: &Route, after: &Route) -> Word {
    let what = "whether there was an x-idempotency-key";
    match (before.asks.idempotency_key, after.asks.idempotency_key) {
        (_, false) => Word::Pass,
        (true, true) => said.again(what),
        (false, true) => unknown_if(what),
    }
}

fn consent(said: Said<'_>, before: &Route, after: &Route) -> Word {
    let parameters =
        (before.asks.consent_parameter.is_some(), after.asks.consent_parameter.is_some());
    match (&before.asks.access, &after.asks.access) {
        (_, Access::Open | Access::Certificate | Access::Event) => Word::Pass,
        (_, Access::Client { .. }) if !parameters.1 => Word::Pass,
        (Access::Client { .. }, Access::Client { .. })
            if parameters.0 && before.asks.inquiry.kind == after.asks.inquiry.kind =>
        {
            said.again("what the consent was")
        }
        (_, Access::Client { .. }) => unknown_if("whose consent the path names"),
        (Access::Consented { permission: old, .. }, Access::Consented { permission: new, .. }) => {
            let has_new = if old == new { None } else { Some(new.as_str()) };
            match before.asks.inquiry.kind == after.asks.inquiry.kind {
                true => customer(said, parameters, has_new),
                false => unknown_if("what the token's other consent is"),
            }
        }
        (_, Access::Consented { .. }) => unknown_if("what the consent was"),
    }
}

/// `other` is the permission that is asked for instead of the one that was.
fn customer(said: Said<'_>, parameters: (bool, bool), other: Option<&str>) -> Word {
    match (said, other) {
        (Said::Refused(OTHER_CONSENT), _) if !parameters.1 => unknown_if("what the consent was"),
        (Said::Refused(PERMISSION) | Said::Passed | Said::Borne, Some(permission)) => {
            Word::UnknownRule(format!("whether the consent has permission {permission}"))
        }
        (Said::Passed | Said::Borne, None) if !parameters.0 && parameters.1 => {
            unknown_if("whose consent the path names")
        }
        (said, _) => said.again("what the consent was"),
    }
}
