//! `[token]`: which tokens are accepted, and how they are verified.

use std::path::PathBuf;
use std::time::Duration;

use super::carried;
use super::consent::ConsentSettings;
use super::document::{Located, Table};
use super::issuers::{self, Common, IssuerSettings};
use super::services::{self, IntrospectionSettings};
use crate::consent::ConsentPreset;
use crate::last_good;
use crate::token::claims;
use crate::token::{Algorithm, ClaimRules, KEEP_INACTIVE, SignedRules, TokenLimits};

const MISSING_TABLE: &str = "is missing, accepted: a table";
const ALGORITHMS: &str = "one or more of \"PS256\", \"PS384\", \"PS512\", \"ES256\"";
const TYPES: &str = "one or more types such as \"at+jwt\" and \"JWT\"; \"\" for tokens without typ";

/// What `[token]` says.
#[derive(Debug, PartialEq)]
pub struct TokenSettings {
    /// What claims are held against.
    pub rules: ClaimRules,
    /// What signed tokens are held against.
    pub signed_rules: SignedRules,
    /// What is remembered, and how long.
    pub limits: TokenLimits,
    /// The authorization servers.
    pub issuers: Vec<IssuerSettings>,
    /// Who says whether an opaque token holds.
    pub introspection: Option<IntrospectionSettings>,
}

/// Reads `[token]`.
pub(super) fn read_tokens(
    root: &Table<'_>,
    consent: Option<&ConsentSettings>,
) -> Option<TokenSettings> {
    let Some(table) = root.table("token") else {
        if !root.has("token") {
            root.place("token").reject(MISSING_TABLE);
        }
        return None;
    };
    let carrying = carried::read_carrying(&table, consent);
    let mut limits = read_limits(&table);
    let signed_rules = read_signed_rules(&table);
    let directory = read_directory(&table);
    let introspection = read_introspection(&table);
    let has_introspection = table.has("introspection");
    let algorithms = &signed_rules.algorithms;
    let common = Common { algorithms, directory: directory.as_deref(), has_introspection };
    let issuers = issuers::read(&table, &common);
    let preset = consent.map(|consent| consent.preset).unwrap_or_default();
    let rules = read_rules(&table, issuers.as_deref(), preset);
    let (issuers, rules, introspection) = (issuers?, rules?, introspection?);
    if let Some(introspection) = &introspection {
        limits.keep_inactive = introspection.keep_inactive;
    }
    let require_token_type = introspection.as_ref().is_some_and(|i| i.require_token_type);
    let rules = ClaimRules { carrying: carrying?, require_token_type, ..rules };
    Some(TokenSettings { rules, signed_rules, limits, issuers, introspection })
}

/// Nothing if it is wrong, nothing inside if it is not there.
fn read_introspection(table: &Table<'_>) -> Option<Option<IntrospectionSettings>> {
    match table.table("introspection") {
        Some(table) => services::read_introspection(&table).map(Some),
        None => (!table.has("introspection")).then_some(None),
    }
}

fn read_rules(
    table: &Table<'_>,
    issuers: Option<&[IssuerSettings]>,
    preset: ConsentPreset,
) -> Option<ClaimRules> {
    let audiences = read_audiences(table);
    let longest_lifetime = read_longest_lifetime(table, preset);
    let consent_scope_prefix = read_prefix(table, "consent_scope_prefix", "a consent");
    let enrollment_scope_prefix = read_prefix(table, "enrollment_scope_prefix", "an enrollment");
    let consent_claim = table.parsed(
        "consent_claim",
        "the name of a claim that names a consent and nothing else",
        |text| (!text.is_empty() && !claims::is_known(text)).then(|| text.to_owned()),
    );
    let leeway = table.duration_or_default("leeway").as_secs();
    let grant = table.word_or_default("user_token");
    let participant = table.word_or_default("participant_claims");
    let percent_encoded_scopes = table.flag("percent_encoded_scopes");
    let accept_top_level_thumbprint = table.flag("accept_top_level_thumbprint");
    Some(ClaimRules {
        issuers: issuers?.iter().map(|issuer| issuer.name.clone()).collect(),
        audiences: audiences?.value,
        leeway,
        longest_lifetime: longest_lifetime.map(|longest| longest.as_secs()),
        require_token_type: false,
        percent_encoded_scopes,
        accept_top_level_thumbprint,
        participant,
        consent_scope_prefix,
        enrollment_scope_prefix,
        consent_claim: consent_claim.map(|claim| claim.value),
        grant,
        carrying: None,
    })
}

/// How long a token may live: what the ecosystem says, unless the operator raises it.
fn read_longest_lifetime(table: &Table<'_>, preset: ConsentPreset) -> Option<Duration> {
    let default = preset.longest_token_lifetime();
    let Some(longest) = table.duration_or_word("longest_lifetime") else {
        return Some(default);
    };
    if longest.value.is_none_or(|value| value > default) {
        let (most, name) = (default.as_secs() / 60, preset.name());
        longest.place.warn(format!(
            "is above the {most}m that access tokens live at most ({name}): a refresh token that passes for \
             one lives as long"
        ));
    }
    longest.value
}

/// The beginning of the scopes that name something.
fn read_prefix(table: &Table<'_>, key: &'static str, what: &str) -> String {
    let accepted = format!("the beginning of a scope that names {what}, up to its colon");
    let prefix = table.parsed(key, &accepted, |text| {
        (text.len() > 1 && text.ends_with(':')).then(|| text.to_owned())
    });
    prefix.map_or_else(|| table.default_text(key), |prefix| prefix.value)
}

fn read_audiences(table: &Table<'_>) -> Option<Located<Vec<String>>> {
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
    audiences
}

fn read_signed_rules(table: &Table<'_>) -> SignedRules {
    let algorithms = table.strings("algorithms", ALGORITHMS).map(|names| {
        let parsed = names.value.iter().map(|name| Algorithm::parse(name));
        let parsed: Option<Vec<Algorithm>> = parsed.collect();
        parsed.filter(|algorithms| !algorithms.is_empty()).unwrap_or_else(|| {
            names
                .place
                .reject(format!("names no algorithm or another one, accepted: {ALGORITHMS}"));
            Vec::new()
        })
    });
    let types = table.strings("types", TYPES).map(|types| {
        if types.value.is_empty() || types.value.iter().any(|name| name.contains('/')) {
            types.place.reject(format!("is empty or names a whole media type, accepted: {TYPES}"));
        }
        types.value
    });
    SignedRules {
        algorithms: algorithms.unwrap_or_else(|| vec![Algorithm::Ps256]),
        types: types.unwrap_or_else(|| vec!["at+jwt".to_owned(), "JWT".to_owned()]),
    }
}

/// Where key sets are kept for the next start.
fn read_directory(table: &Table<'_>) -> Option<PathBuf> {
    let accepted = "a directory that the gateway, and not everybody, may write to";
    let text = table.string("directory", accepted)?;
    let directory = table.directory().join(&text.value);
    let shown = directory.display();
    let fault = match last_good::is_writable(&directory) {
        Err(error) => Some(format!("cannot be written to ({error})")),
        // Whoever may write there says whose tokens are good at the next start.
        Ok(()) if last_good::is_open_to_everybody(&directory).unwrap_or(true) => {
            Some("can be written to by everybody on the machine".to_owned())
        }
        Ok(()) => None,
    };
    if let Some(fault) = fault {
        text.place.reject(format!("{shown} {fault}, accepted: {accepted}"));
    }
    Some(directory)
}

fn read_limits(table: &Table<'_>) -> TokenLimits {
    TokenLimits {
        longest: usize::try_from(table.size_or_default("max_size")).unwrap_or(usize::MAX),
        cached: table.count("cache_capacity"),
        introspection_max_age: table.duration_or_default("introspection_max_age"),
        keep_inactive: KEEP_INACTIVE,
    }
}
