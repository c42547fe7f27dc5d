//! The services that say whether an opaque token (`[token.introspection]`) and a consent (`[consent]`) hold.

use std::sync::Arc;
use std::time::Duration;

use super::Kept;
use super::document::{Place, Table};
use super::endpoint::{self, EndpointSettings, Needs};
use super::{pem, values};
use crate::consent::{Consents, Members, MissingExpiration, Registry};
use crate::token::introspection::{ClientAuthentication, Introspector};

pub(super) const FIVE_MINUTES: (Duration, &str) = (Duration::from_secs(300), "5m");

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

/// What `[consent]` says.
#[derive(PartialEq)]
pub(super) struct ConsentSettings {
    registry: Option<EndpointSettings>,
    members: Members,
    missing_expiration: MissingExpiration,
    keep: Duration,
    capacity: u64,
}

/// Reads `[consent]` and builds the stage, or keeps the one that the same settings built before. Without
/// the table there is no registry: routes that need a consent cannot be decided, which is reported where
/// such routes are configured.
pub(super) fn read_consents(
    root: &Table<'_>,
    before: Option<&Kept>,
) -> Option<(ConsentSettings, Arc<Consents>)> {
    let mut settings = ConsentSettings {
        registry: None,
        members: Members::default(),
        missing_expiration: MissingExpiration::Refuse,
        keep: Duration::from_secs(5),
        capacity: 100_000,
    };
    let mut registry = None;
    if let Some(table) = root.table("consent") {
        settings.members =
            table.table("members").map_or_else(Members::default, |t| read_members(&t));
        settings.keep = read_age(&table, "keep", FIVE_MINUTES).unwrap_or(settings.keep);
        settings.missing_expiration = read_missing_expiration(&table);
        settings.capacity =
            table.number("cache_capacity", 1, 10_000_000).unwrap_or(settings.capacity);
        let (endpoint, place): (EndpointSettings, Place) =
            endpoint::read(&table, "registry", Needs::default())?;
        let (members, missing) = (settings.members.clone(), settings.missing_expiration);
        registry = Some(Registry::new(endpoint.remote(&place)?, members, missing));
        settings.registry = Some(endpoint);
    } else if root.has("consent") {
        return None;
    }
    if let Some(kept) = before.filter(|kept| kept.consent.0 == settings) {
        return Some((settings, kept.consent.1.clone()));
    }
    let revisions = before.map(|kept| kept.consent.1.revisions()).unwrap_or_default();
    let consents = Consents::new(registry, settings.keep, settings.capacity, revisions);
    Some((settings, Arc::new(consents)))
}

impl ConsentSettings {
    /// Whether a registry is configured.
    pub(super) fn has_registry(&self) -> bool {
        self.registry.is_some()
    }
}

fn read_missing_expiration(table: &Table<'_>) -> MissingExpiration {
    let accepted = "\"refuse\" or \"never_expires\"";
    let read = table.parsed("missing_expiration", accepted, |text| match text {
        "refuse" => Some(MissingExpiration::Refuse),
        "never_expires" => Some(MissingExpiration::NeverExpires),
        _ => None,
    });
    read.map_or(MissingExpiration::Refuse, |read| read.value)
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

fn read_members(table: &Table<'_>) -> Members {
    let accepted = "a JSON pointer (RFC 6901) such as \"/data/status\"";
    let is_pointer = |text: &str| text.starts_with('/').then(|| text.to_owned());
    let defaults = Members::default();
    let pointer = |key, default| {
        table.parsed(key, accepted, is_pointer).map_or(default, |pointer| pointer.value)
    };
    Members {
        id: pointer("id", defaults.id),
        status: pointer("status", defaults.status),
        permissions: pointer("permissions", defaults.permissions),
        expiration: pointer("expiration", defaults.expiration),
        client_id: pointer("client_id", defaults.client_id),
    }
}
