//! `[token]`: the services that say whether a token holds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::consent::ConsentSettings;
use super::document::Table;
use super::endpoint::{self, EndpointSettings, Needs};
use super::{Kept, carried};
use super::{pem, values};
use crate::token::claims::{self, ClaimRules, GrantRule};
use crate::token::introspection::{ClientAuthentication, Introspector};
use crate::token::jwks::{Jwks, KeySet, Origin};
use crate::token::{TokenLimits, Tokens};

pub(super) const ONE_MINUTE: (Duration, &str) = (Duration::from_secs(60), "60s");
pub(super) const FIVE_MINUTES: (Duration, &str) = (Duration::from_secs(300), "5m");
pub(super) const ONE_HOUR: (Duration, &str) = (Duration::from_secs(3600), "1h");
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
    consent: Option<&ConsentSettings>,
    before: Option<&Kept>,
) -> Option<(TokenSettings, Arc<Tokens>)> {
    let Some(table) = root.table("token") else {
        if !root.has("token") {
            root.place("token").reject(MISSING_TABLE);
        }
        return None;
    };
    let carrying = carried::read_carrying(&table, consent);
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
    let rules = ClaimRules { carrying: carrying?, ..rules? };
    let settings = TokenSettings { rules, limits, jwks, introspection, refresh };
    if let Some(kept) = before.filter(|kept| kept.token.0 == settings) {
        return Some((settings, kept.token.1.clone()));
    }
    let tokens = Tokens::new(settings.rules.clone(), limits, jwks_stage, introspector);
    Some((settings, Arc::new(tokens)))
}

fn read_rules(table: &Table<'_>) -> Option<ClaimRules> {
    let is_given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let issuer = table.required_parsed("issuer", "the exact iss of access tokens", is_given);
    let accepted = "one or more audiences that access tokens are meant for";
    let audiences = table.strings("audiences", accepted);
    match &audiences {
        Some(list) if list.value.iter().any(String::is_empty) => {
            list.place.reject(format!("has an empty audience, accepted: {accepted}"));
        }
        Some(list) if list.value.is_empty() => {
            list.place.reject(format!("is empty, accepted: {accepted}"));
        }
        None if !table.has("audiences") => {
            table.place("audiences").reject(format!("is missing, accepted: {accepted}"));
        }
        Some(_) | None => {}
    }
    let leeway = read_age(table, "leeway", ONE_MINUTE);
    let consent_prefix = read_prefix(table, "consent_scope_prefix", "a consent", "consent:");
    let enrollment_prefix =
        read_prefix(table, "enrollment_scope_prefix", "an enrollment", "enrollment:");
    let consent_claim = table.parsed(
        "consent_claim",
        "the name of a claim that names a consent and nothing else",
        |text| (!text.is_empty() && !claims::is_known(text)).then(|| text.to_owned()),
    );
    let grant = table.parsed(
        "user_token",
        "\"consent_or_subject\", \"subject_present\" or \"consent\"",
        |text| match text {
            "consent_or_subject" => Some(GrantRule::ConsentOrSubject),
            "subject_present" => Some(GrantRule::SubjectPresent),
            "consent" => Some(GrantRule::Consent),
            _ => None,
        },
    );
    Some(ClaimRules {
        issuer: issuer?.value,
        audiences: audiences?.value,
        leeway: leeway.map_or(5, |leeway| leeway.as_secs()),
        consent_scope_prefix: consent_prefix,
        enrollment_scope_prefix: enrollment_prefix,
        consent_claim: consent_claim.map(|claim| claim.value),
        grant: grant.map_or(GrantRule::ConsentOrSubject, |grant| grant.value),
        carrying: None,
    })
}

/// The beginning of the scopes that name something.
fn read_prefix(table: &Table<'_>, key: &'static str, what: &str, default: &str) -> String {
    let accepted = format!("the beginning of a scope that names {what}, up to its colon");
    let prefix = table.parsed(key, &accepted, |text| {
        (text.len() > 1 && text.ends_with(':')).then(|| text.to_owned())
    });
    prefix.map_or_else(|| default.to_owned(), |prefix| prefix.value)
}

fn read_limits(table: &Table<'_>) -> TokenLimits {
    let longest = table.parsed("max_size", values::SIZE, values::size);
    let longest = longest.and_then(|size| usize::try_from(size.value).ok());
    let max_age = read_age(table, "introspection_max_age", FIVE_MINUTES);
    TokenLimits {
        longest: longest.unwrap_or(8 * 1024),
        cached: table.number("cache_capacity", 1, 10_000_000).unwrap_or(100_000),
        introspection_max_age: max_age.unwrap_or(Duration::from_secs(30)),
    }
}

type Read<S, B> = Option<Option<(S, B)>>;

/// Reads `[token.jwks]`: nothing if it is not there, nothing inside if it is wrong.
fn read_jwks(token: &Table<'_>) -> (Read<JwksSettings, Jwks>, Duration) {
    let default_refresh = Duration::from_secs(300);
    let Some(table) = token.table("jwks") else {
        return (token.has("jwks").then_some(None), default_refresh);
    };
    let refresh = read_age(&table, "refresh_interval", ONE_HOUR).unwrap_or(default_refresh);
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
    let (endpoint, place) =
        endpoint::read(table, "url", Needs { encryption: true, ..Needs::default() })?;
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
