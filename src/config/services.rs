//! `[token.introspection]`: who says whether an opaque token holds.

use std::time::Duration;

use super::document::Table;
use super::endpoint::{self, EndpointSettings, Needs};
use super::{pem, values};
use crate::token::introspection::{ClientAuthentication, Introspector};

pub(super) const ONE_MINUTE: (Duration, &str) = (Duration::from_secs(60), "60s");
pub(super) const FIVE_MINUTES: (Duration, &str) = (Duration::from_secs(300), "5m");
pub(super) const ONE_HOUR: (Duration, &str) = (Duration::from_secs(3600), "1h");

/// What `[token.introspection]` says.
#[derive(PartialEq)]
pub(super) struct IntrospectionSettings {
    endpoint: EndpointSettings,
    authentication: ClientAuthentication,
}

/// Reads `[token.introspection]`.
pub(super) fn read_introspection(
    table: &Table<'_>,
) -> Option<(IntrospectionSettings, Introspector)> {
    let client_id = table.required("client_id", "the client id of the gateway");
    let method = table.required_parsed(
        "client_auth",
        "\"client_secret_basic\" or \"tls_client_auth\"",
        |text| match text {
            "client_secret_basic" => Some(false),
            "tls_client_auth" => Some(true),
            _ => None,
        },
    );
    let by_certificate = method.as_ref().is_some_and(|method| method.value);
    let needs = Needs { certificate: by_certificate, encryption: true };
    let endpoint = endpoint::read(table, "url", needs);
    let secret = match by_certificate {
        false if method.is_some() => Some(pem::secret(table, "client_secret_file")),
        _ => {
            reject_secret(table);
            None
        }
    };
    let (client_id, _) = (client_id?.value, method?);
    let authentication = match secret {
        Some(secret) => {
            ClientAuthentication::ClientSecretBasic { client_id, client_secret: secret? }
        }
        None => ClientAuthentication::TlsClientAuth { client_id },
    };
    let (endpoint, place) = endpoint?;
    let introspector = Introspector::new(endpoint.remote(&place)?, authentication.clone());
    Some((IntrospectionSettings { endpoint, authentication }, introspector))
}

fn reject_secret(table: &Table<'_>) {
    if table.has("client_secret_file") {
        let place = table.place("client_secret_file");
        place.reject("has no effect with tls_client_auth, accepted: client_secret_basic");
    }
}

/// How long something may be trusted without asking again: without a ceiling, a slip of the keyboard
/// would keep revoked consents and keys in force.
pub(super) fn read_age(
    table: &Table<'_>,
    key: &'static str,
    (most, text): (Duration, &str),
) -> Option<Duration> {
    let accepted = format!("a duration up to {text}");
    let within = |text: &str| values::duration(text).filter(|duration| *duration <= most);
    Some(table.parsed(key, &accepted, within)?.value)
}
