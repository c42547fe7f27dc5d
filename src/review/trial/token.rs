//! What a case says of the access token.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::case::{CLIENT, TIME, parse_time};
use crate::config::document::{Located, Table};

/// The issuer of the tokens.
pub(super) const ISSUER: &str = "https://authorization.example";
/// Their audience.
pub(super) const AUDIENCE: &str = "https://gateway.example";

/// An access token before it is signed.
#[derive(Debug)]
pub(super) struct Token {
    /// Everything but the confirmation.
    pub(super) claims: Map<String, Value>,
    pub(super) bound_to: Binding,
}

/// What a token is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binding {
    /// The certificate of the connection.
    Certificate,
    /// Another one.
    Another,
    /// None.
    Nothing,
}

/// Claims that are texts.
const TEXTS: [&str; 6] = ["scope", "sub", "client_id", "azp", "iss", "aud"];
/// Claims that are times.
const TIMES: [&str; 3] = ["exp", "nbf", "iat"];

/// The claims of every good token: for this client, of now.
pub(super) fn good_claims(clock: OffsetDateTime) -> Map<String, Value> {
    let now = clock.unix_timestamp();
    let good = json!({
        "iss": ISSUER, "aud": AUDIENCE, "client_id": CLIENT, "iat": now, "nbf": now, "exp": now + 900,
    });
    good.as_object().cloned().unwrap_or_default()
}

/// Reads `token`: signed by the authorization server, for this client, of now.
pub(super) fn read_token(table: &Table<'_>, clock: OffsetDateTime) -> Option<Token> {
    let mut claims = good_claims(clock);
    for name in TEXTS {
        if let Some(text) = table.string(name, "a text") {
            claims.insert(name.to_owned(), text.value.into());
        }
    }
    for name in TIMES {
        if let Some(time) = table.parsed(name, TIME, |text| parse_time(text, clock)) {
            claims.insert(name.to_owned(), time.value.unix_timestamp().into());
        }
    }
    let accepted = "names of claims that a good token has";
    if let Some(Located { value: names, place }) = table.strings("without", accepted) {
        for name in names {
            if claims.remove(&name).is_none() {
                let known: Vec<&str> = claims.keys().map(String::as_str).collect();
                let known = known.join(", ");
                place.reject(format!("{name:?} is not there anyway, accepted: {known}"));
            }
        }
    }
    let accepted = "\"certificate\", \"another\" or \"nothing\"";
    let bound_to = table.parsed("bound_to", accepted, |text| match text {
        "certificate" => Some(Binding::Certificate),
        "another" => Some(Binding::Another),
        "nothing" => Some(Binding::Nothing),
        _ => None,
    });
    let bound_to = match bound_to {
        Some(bound_to) => bound_to.value,
        None if table.has("bound_to") => return None,
        None => Binding::Certificate,
    };
    Some(Token { claims, bound_to })
}
