//! `[token.consent]`: how a token carries the terms of its consent.

use super::consent::ConsentSettings;
use super::document::Table;
use crate::consent::ConsentSource;
use crate::terms::{Carrying, DetailsType};
use crate::token::claims;

const POINTER: &str = "a JSON pointer (RFC 6901) such as \"/permissions\"";

/// Reads `[token.consent]`, which there is exactly when `consent` says that tokens tell of their consents;
/// nothing at all if it is wrong.
pub(super) fn read_carrying(
    token: &Table<'_>,
    consent: Option<&ConsentSettings>,
) -> Option<Option<Carrying>> {
    let by_token = consent.is_some_and(|consent| consent.teller == ConsentSource::Token);
    let Some(table) = token.table("consent") else {
        if by_token && !token.has("consent") {
            let text = "is missing with consent.source = \"token\", accepted: a table";
            token.place("consent").reject(text);
        }
        return (!by_token && !token.has("consent")).then_some(None);
    };
    // What `[consent]` itself has wrong is told there.
    let consent = consent?;
    if !by_token {
        token.place("consent").reject("has no effect, accepted: with consent.source = \"token\"");
    }
    let details = table.parsed("details_type", "the type of an element", is_given);
    let member = table.parsed("details_type_member", "the name of a member", is_given);
    if let (None, Some(member)) = (&details, &member) {
        member.place.reject("has no effect without details_type, accepted: with it");
    }
    let has_details = details.is_some();
    let id = read_pointer(&table, "id", has_details);
    let permissions = read_required(&table, "permissions", has_details, POINTER);
    let implied =
        format!("{POINTER}, or \"implied\": a token is only issued under an AUTHORISED consent");
    let status = read_required(&table, "status", has_details, &implied);
    let (states, missing_expiration) = consent.states_and_missing_expiration();
    Some(Some(Carrying {
        details: details.map(|details| DetailsType {
            member: member
                .map_or_else(|| table.default_text("details_type_member"), |member| member.value),
            value: details.value,
        }),
        id,
        status: Some(status?).filter(|status| status != IMPLIED),
        permissions: permissions?,
        expiration: read_pointer(&table, "expiration", has_details),
        client_id: read_pointer(&table, "client_id", has_details),
        states,
        missing_expiration,
    }))
}

const IMPLIED: &str = "implied";

fn is_given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn read_pointer(table: &Table<'_>, key: &'static str, in_details: bool) -> Option<String> {
    Some(table.parsed(key, POINTER, |text| pointer(text, in_details))?.value)
}

fn read_required(
    table: &Table<'_>,
    key: &'static str,
    in_details: bool,
    accepted: &str,
) -> Option<String> {
    let is_status = key == "status";
    let parse = |text: &str| match text {
        IMPLIED if is_status => Some(text.to_owned()),
        _ => pointer(text, in_details),
    };
    Some(table.required_parsed(key, accepted, parse)?.value)
}

/// A pointer into the details, or to a claim that has no meaning of its own.
fn pointer(text: &str, in_details: bool) -> Option<String> {
    let first = text.strip_prefix('/')?.split('/').next()?;
    (in_details || !claims::is_known(first)).then(|| text.to_owned())
}
