//! `[token]` and `[consent]`: the services that say whether a token and a consent hold.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Kept;
use super::document::{Place, Table};
use super::endpoint::{self, EndpointSettings};
use super::{pem, values};
use crate::consent::{Consents, Members, Registry};
use crate::token::claims::{ClaimRules, GrantRule};
use crate::token::introspection::{ClientAuthentication, Introspector};
use crate::token::jwks::{Jwks, KeySet, Origin};
use crate::token::{TokenLimits, Tokens};

const MISSING_TABLE: &str = "is missing, accepted: a table";

/// What `[token]` says.
#[derive(PartialEq)]
pub(super) struct TokenSettings {
    rules: ClaimRules,
    limits: TokenLimits,
    jwks: Option<JwksSettings>,
    introspection: Option<IntrospectionSettings>,
    /// How often the key set is read again.
    pub(super) refresh: Duration,
}

#[derive(PartialEq)]
enum JwksSettings {
    File(PathBuf),
    Url(EndpointSettings),
}

#[derive(PartialEq)]
struct IntrospectionSettings {
    endpoint: EndpointSettings,
    authentication: ClientAuthentication,
}

/// Reads `[token]` and builds the stage, or keeps the one that the same settings built before.
pub(super) fn read_tokens(
    root: &Table<'_>,
    before: Option<&Kept>,
) -> Option<(TokenSettings, Arc<Tokens>)> {
    let Some(table) = root.table("token") else {
        if !root.has("token") {
            root.place("token").reject(MISSING_TABLE);
        }
        return None;
    };
    let rules = read_rules(&table);
    let limits = read_limits(&table);
    let (jwks, refresh) = read_jwks(&table);
    let introspection = table.table("introspection").map(|table| read_introspection(&table));
    if !table.has("jwks") && !table.has("introspection") {
        table
            .place("")
            .reject("can verify no token, accepted: token.jwks, token.introspection or both");
    }
    let (jwks, jwks_stage) =
        jwks.map_or(Some((None, None)), |read| read.map(|(s, j)| (Some(s), Some(j))))?;
    let (introspection, introspector) =
        introspection.map_or(Some((None, None)), |read| read.map(|(s, i)| (Some(s), Some(i))))?;
    let rules = rules?;
    let settings = TokenSettings { rules, limits, jwks, introspection, refresh };
    if let Some(kept) = before.filter(|kept| kept.token.0 == settings) {
        return Some((settings, kept.token.1.clone()));
    }
    let tokens = Tokens::new(settings.rules.clone(), limits, jwks_stage, introspector);
    Some((settings, Arc::new(tokens)))
}

fn read_rules(table: &Table<'_>) -> Option<ClaimRules> {
    let issuer = table.required("issuer", "the exact iss of access tokens");
    let accepted = "one or more audiences that access tokens are meant for";
    let audiences = table.strings("audiences", accepted);
    match &audiences {
        Some(list) if list.value.is_empty() => {
            list.place.reject(format!("is empty, accepted: {accepted}"));
        }
        None if !table.has("audiences") => {
            table.place("audiences").reject(format!("is missing, accepted: {accepted}"));
        }
        Some(_) | None => {}
    }
    let leeway = table.parsed("leeway", values::DURATION, values::duration);
    let prefix =
        table.string("consent_scope_prefix", "the beginning of a scope that names a consent");
    let consent_claim = table.string("consent_claim", "the name of a claim that names a consent");
    let grant =
        table.parsed("user_token", "\"consent_or_subject\" or \"subject_present\"", |text| {
            match text {
                "consent_or_subject" => Some(GrantRule::ConsentOrSubject),
                "subject_present" => Some(GrantRule::SubjectPresent),
                _ => None,
            }
        });
    Some(ClaimRules {
        issuer: issuer?.value,
        audiences: audiences?.value,
        leeway: leeway.map_or(5, |leeway| leeway.value.as_secs()),
        consent_scope_prefix: prefix.map_or_else(|| "consent:".to_owned(), |prefix| prefix.value),
        consent_claim: consent_claim.map(|claim| claim.value),
        grant: grant.map_or(GrantRule::ConsentOrSubject, |grant| grant.value),
    })
}

fn read_limits(table: &Table<'_>) -> TokenLimits {
    let longest = table.parsed("max_size", values::SIZE, values::size);
    let longest = longest.and_then(|size| usize::try_from(size.value).ok());
    let max_age = table.parsed("introspection_max_age", values::DURATION, values::duration);
    TokenLimits {
        longest: longest.unwrap_or(8 * 1024),
        cached: table.number("cache_capacity", 1, 10_000_000).unwrap_or(100_000),
        introspection_max_age: max_age.map_or(Duration::from_secs(30), |age| age.value),
    }
}

type Read<S, B> = Option<Option<(S, B)>>;

/// Reads `[token.jwks]`: nothing if it is not there, nothing inside if it is wrong.
fn read_jwks(token: &Table<'_>) -> (Read<JwksSettings, Jwks>, Duration) {
    let default_refresh = Duration::from_secs(300);
    let Some(table) = token.table("jwks") else {
        return (token.has("jwks").then_some(None), default_refresh);
    };
    let refresh = table.parsed("refresh_interval", values::DURATION, values::duration);
    let refresh = refresh.map_or(default_refresh, |refresh| refresh.value);
    let read = match (table.has("file"), table.has("url")) {
        (true, false) => read_jwks_file(&table),
        (false, true) => read_jwks_url(&table),
        _ => {
            table.place("").reject("has neither or both of file and url, accepted: one of them");
            None
        }
    };
    (Some(read), refresh)
}

fn read_jwks_file(table: &Table<'_>) -> Option<(JwksSettings, Jwks)> {
    let accepted = "a JSON Web Key Set with RSA keys of at least 2048 bits for PS256";
    let file = pem::path(table, "file", accepted)?;
    let json = pem::read(&file.value, &file.place, accepted)?;
    match KeySet::parse(&json) {
        Ok(keys) => {
            let jwks = Jwks::new(Origin::File(file.value.clone()));
            jwks.replace(keys);
            Some((JwksSettings::File(file.value), jwks))
        }
        Err(error) => {
            let file_name = file.value.display();
            file.place.reject(format!("{file_name} is not usable ({error}), accepted: {accepted}"));
            None
        }
    }
}

fn read_jwks_url(table: &Table<'_>) -> Option<(JwksSettings, Jwks)> {
    let (endpoint, place) = endpoint::read(table, "url", false)?;
    let remote = endpoint.remote(&place)?;
    Some((JwksSettings::Url(endpoint), Jwks::new(Origin::Url(remote))))
}

fn read_introspection(table: &Table<'_>) -> Option<(IntrospectionSettings, Introspector)> {
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
    let endpoint = endpoint::read(table, "url", by_certificate);
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
        keep: Duration::from_secs(5),
        capacity: 100_000,
    };
    let mut registry = None;
    if let Some(table) = root.table("consent") {
        settings.members =
            table.table("members").map_or_else(Members::default, |t| read_members(&t));
        let keep = table.parsed("keep", values::DURATION, values::duration);
        settings.keep = keep.map_or(settings.keep, |keep| keep.value);
        settings.capacity =
            table.number("cache_capacity", 1, 10_000_000).unwrap_or(settings.capacity);
        let (endpoint, place): (EndpointSettings, Place) =
            endpoint::read(&table, "registry", false)?;
        registry = Some(Registry::new(endpoint.remote(&place)?, settings.members.clone()));
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

fn read_members(table: &Table<'_>) -> Members {
    let accepted = "a JSON pointer (RFC 6901) such as \"/data/status\"";
    let is_pointer = |text: &str| text.starts_with('/').then(|| text.to_owned());
    let defaults = Members::default();
    let pointer = |key, default| {
        table.parsed(key, accepted, is_pointer).map_or(default, |pointer| pointer.value)
    };
    Members {
        status: pointer("status", defaults.status),
        permissions: pointer("permissions", defaults.permissions),
        expiration: pointer("expiration", defaults.expiration),
        client_id: pointer("client_id", defaults.client_id),
    }
}
