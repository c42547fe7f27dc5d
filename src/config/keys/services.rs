//! The keys of config.toml that name the services which say whether a token and a consent hold.

use super::configuration::{FILE, NAME};
use super::kind::Kind::{
    self, Duration, Flag, Form, Number, Size, Table, Tables, Text, Texts, WordOrDuration,
};
use super::kind::{ANY, up_to};
use super::{Absent, Key, absent, default, optional, required, within, word};
use crate::config::words::{DefaultKeyword, Keyword};
use crate::consent::{ConsentPreset, ConsentSource};
use crate::route::PriorityClass;
use crate::token::{Algorithm, GrantRule, ParticipantRule};

const URL: Kind = Form("https?://.+");
const POINTER: Kind = Form("/.*");

/// `[token]`.
pub(super) fn token() -> Vec<Key> {
    let mut keys = within("token", of_tokens());
    keys.extend(within("token", of_claims()));
    keys.extend(within("token", of_memory_and_servers()));
    keys.extend(jwks());
    keys.extend(introspection());
    keys.extend(carried());
    keys
}

/// By what a token is judged.
fn of_tokens() -> [Key; 6] {
    let algorithms = Kind::SomeOf(Algorithm::ALL.map(Algorithm::name).to_vec());
    [
        required("audiences", Texts, "aud must contain one of them"),
        default("algorithms", algorithms, "[\"PS256\"]", "of signed tokens"),
        default(
            "types",
            Texts,
            "[\"at+jwt\", \"JWT\"]",
            "typ of signed tokens; \"\" for tokens without",
        ),
        default("max_size", Size(ANY), "8KiB", "of a token"),
        optional(
            "longest_lifetime",
            WordOrDuration("any", ANY),
            "from iat to exp, and without exp none is short enough",
        )
        // 300 to 900 s (Open Finance Brasil security profile 5.2.2 item 13).
        .with(Absent::IsOfPreset("15m")),
        default("leeway", Duration(up_to("60s")), "5s", "by which nbf and iat may lie ahead"),
    ]
}

/// How its claims are understood.
fn of_claims() -> [Key; 7] {
    [
        default(
            "consent_scope_prefix",
            Form(".+:"),
            "consent:",
            "the scope that names the consent",
        ),
        default(
            "enrollment_scope_prefix",
            Form(".+:"),
            "enrollment:",
            "the scope that names the enrollment (Open Finance)",
        ),
        absent("consent_claim", Text, "a scope names it", "a claim that names it instead"),
        word::<GrantRule>("user_token", "how a customer's token is told"),
        default(
            "percent_encoded_scopes",
            Flag,
            "false",
            "whether %20 separates scopes as a blank does",
        ),
        default(
            "accept_top_level_thumbprint",
            Flag,
            "false",
            "whether x5t#S256 binds beside cnf as it does within",
        ),
        word::<ParticipantRule>(
            "participant_claims",
            "whether org_id and software_id must be the certificate's",
        ),
    ]
}

/// What is remembered of tokens, and who says whether they hold.
fn of_memory_and_servers() -> [Key; 8] {
    [
        absent(
            "directory",
            FILE,
            "nowhere",
            "where the last good key sets are kept for the next start",
        ),
        default(
            "cache_capacity",
            Number(1, 10_000_000),
            "100000",
            "verified tokens of up to 1 KiB; a longer one counts as several",
        ),
        default(
            "introspection_max_age",
            Duration(up_to("5m")),
            "30s",
            "how long an answer about an opaque token is kept",
        ),
        required("issuers", Tables, "the authorization servers"),
        required("issuers[].issuer", Text, "the exact iss of its tokens"),
        optional("issuers[].jwks", Table, "its keys, for signed tokens: url, discovery or file"),
        optional("introspection", Table, "opaque tokens (RFC 7662)"),
        optional(
            "consent",
            Table,
            "with consent.source = \"token\": how a token says what its consent permits",
        ),
    ]
}

fn jwks() -> Vec<Key> {
    let own = [
        optional("url", URL, "the authorization server's jwks_uri"),
        optional("discovery", Flag, "instead of url: the issuer's metadata says where (RFC 8414)"),
        optional("file", FILE, "instead of url and trust_anchors: a JSON Web Key Set"),
        default(
            "refresh_interval",
            Duration(up_to("1h")),
            "5m",
            "how long a removed key goes on working",
        ),
        default(
            "stale_for",
            Duration(up_to("1d")),
            "1h",
            "how long the last good set counts; then 503",
        ),
        default(
            "lookup_cooldown",
            Duration(up_to("5m")),
            "1s",
            "between two lookups of keys that the set lacks",
        ),
    ];
    let mut keys = within("token.issuers[].jwks", own);
    keys.extend(within("token.issuers[].jwks", endpoint()));
    keys
}

fn introspection() -> Vec<Key> {
    let client_auth =
        Kind::OneOf(vec!["client_secret_basic", "private_key_jwt", "tls_client_auth"]);
    let own = [
        required("url", URL, "the introspection endpoint"),
        required("client_auth", client_auth, "how the gateway proves who it is"),
        required("client_id", Text, "the gateway's client id"),
        optional("client_secret_file", FILE, "with client_secret_basic"),
        optional(
            "signing_key",
            FILE,
            "with private_key_jwt: an RSA key of at least 2048 bits, for PS256",
        ),
        optional(
            "signing_key_id",
            Text,
            "its kid in the key set that the authorization server knows",
        ),
        optional("assertion_audience", Text, "with private_key_jwt: whom the assertions are for"),
        default(
            "require_token_type",
            Flag,
            "false",
            "whether an answer without token_type is refused: docs/tokens.md",
        ),
        default(
            "keep_inactive",
            Duration(up_to("60s")),
            "5s",
            "how long it is known that a token does not hold",
        ),
    ];
    let mut keys = within("token.introspection", own);
    keys.extend(within("token.introspection", breaker()));
    keys.extend(within("token.introspection", endpoint()));
    keys
}

/// `[token.consent]`.
fn carried() -> Vec<Key> {
    let own = [
        absent(
            "details_type",
            Text,
            "pointers lead into the claims themselves",
            "of the element of authorization_details (RFC 9396) that pointers lead into",
        ),
        default("details_type_member", Text, "type", "the element's member that says it"),
        absent("id", POINTER, "a scope or consent_claim names the consent", "the consent's id"),
        required(
            "status",
            Form("/.*|implied"),
            "or \"implied\": a token is only issued under an AUTHORISED consent",
        ),
        required("permissions", POINTER, "what it permits"),
        absent("expiration", POINTER, "the consent ends with the token", "when it ends"),
        absent("client_id", POINTER, "it is the token's", "whose it is"),
    ];
    within("token.consent", own)
}

/// `[consent]`.
pub(super) fn consent() -> Vec<Key> {
    let mut keys = within("consent", of_answers());
    keys.extend(within("consent", consent_rules()));
    keys.extend(within("consent", breaker()));
    keys.extend(within("consent", stale_for()));
    keys.extend(within("consent", webhook()));
    keys.extend(within("consent", members()));
    keys.extend(within("consent", endpoint()));
    keys
}

fn of_answers() -> [Key; 6] {
    [
        word::<ConsentSource>(
            "source",
            "who says what a consent permits. With \"token\" ([token.consent]) a registry is needed only where \
             a path names a consent of the caller's (consent_parameter)",
        ),
        optional("registry", URL, "asked GET {registry}/consents/{consentId}"),
        default(
            "keep",
            Duration(up_to("5m")),
            "5s",
            "how long an answer is kept, unless something that passes through the gateway may have changed \
             the consent",
        ),
        default(
            "keep_unknown",
            Duration(up_to("60s")),
            "5s",
            "how long it is known that there is no such consent",
        ),
        default(
            "cache_capacity",
            Number(1, 10_000_000),
            "100000",
            "consents of up to 1 KiB; a longer one counts as several",
        ),
        default(
            "remember_ended",
            // As long as an access token of the profile lives.
            Duration(up_to("1d")),
            "15m",
            "how long a consent that was consumed or deleted here stays so, though the registry may learn of \
             it late",
        ),
    ]
}

fn consent_rules() -> [Key; 6] {
    let preset = ConsentPreset::DEFAULT;
    let rules = preset.rules();
    [
        word::<ConsentPreset>("preset", "the rules of the ecosystem; those below are opin-v3's"),
        optional(
            "authorisation_window",
            WordOrDuration("none", ANY),
            "a consent that awaits longer is REJECTED",
        )
        .with(Absent::IsOfPreset("60m")),
        of_preset(
            "missing_expiration",
            preset.missing_expiration(),
            "what a consent without expiration means",
        ),
        of_preset(
            "consumed_after",
            rules.consumption,
            "the answers that consume an initiation's consent",
        ),
        of_preset(
            "renamed_permissions",
            rules.renamed,
            "whether names count that the other version of the API uses",
        ),
        of_preset(
            "lapsed_initiation",
            rules.initiation_lapse,
            "what an initiation is told without a consent in force: 403, or 401",
        ),
    ]
}

/// A word that is the preset's where nothing is said.
fn of_preset<T: Keyword>(path: &str, of_opin: T, says: &'static str) -> Key {
    optional(path, Kind::words::<T>(), says).with(Absent::IsOfPreset(of_opin.word()))
}

/// When a service is left alone for a while.
fn breaker() -> [Key; 3] {
    [
        optional(
            "breaker",
            Table,
            "about whose tokens or consents it fails repeatedly, for them the service is left alone for a \
             while: 503 at once",
        ),
        default("breaker.failures", Number(1, 1000), "5", "in a row"),
        default("breaker.open_for", Duration(up_to("5m")), "5s", "then one question tries"),
    ]
}

fn stale_for() -> Vec<Key> {
    let table = optional(
        "stale_for",
        Table,
        "what an outage of the registry means to the routes of each class: \"refuse\", or for how long beyond \
         keep an answer that was AUTHORISED does",
    );
    let of_class = |class: PriorityClass| {
        let path = format!("stale_for.{}", class.as_str());
        default(&path, WordOrDuration("refuse", up_to("1h")), "refuse", "routes of this class")
    };
    std::iter::once(table).chain(PriorityClass::ALL.map(of_class)).collect()
}

fn webhook() -> [Key; 6] {
    [
        optional(
            "webhook",
            Table,
            "where the registry says that a consent has changed: a POST of a compact JWS",
        ),
        required("webhook.listener", NAME, "the name of a listener"),
        required("webhook.path", Form("(/[A-Za-z0-9._~-]+)+"), "without parameters"),
        optional("webhook.keys", FILE, "a JSON Web Key Set, for PS256; or"),
        optional("webhook.secret_file", FILE, "a secret of at least 32 bytes, for HS256"),
        default(
            "webhook.claim",
            Text,
            "consentId",
            "names the consent; iat and jti are required too",
        ),
    ]
}

fn members() -> Vec<Key> {
    let table = optional("members", Table, "JSON pointers into the registry's answer");
    let own = [
        ("id", "/data/consentId", "the consent's id"),
        ("enrollment_id", "/data/enrollmentId", "of GET {registry}/enrollments/{enrollmentId}"),
        ("status", "/data/status", "its state"),
        ("permissions", "/data/permissions", "what it permits"),
        ("expiration", "/data/expirationDateTime", "when it ends"),
        (
            "created",
            "/data/creationDateTime",
            "may be absent: then there is no window of authorisation",
        ),
        ("client_id", "/data/clientId", "whose it is"),
    ];
    let linked = absent(
        "members.linked",
        POINTER,
        "/data/journey/linkId with preset \"ofb\", nowhere with others",
        "the consent that shares its fate",
    );
    let own = own
        .map(|(name, pointer, says)| default(&format!("members.{name}"), POINTER, pointer, says));
    std::iter::once(table).chain(own).chain([linked]).collect()
}

/// How a service is reached, beside its URL.
fn endpoint() -> [Key; 4] {
    [
        optional("trust_anchors", FILE, "PEM: what its certificate must lead to; with https://"),
        optional(
            "certificate",
            FILE,
            "PEM: the gateway's own towards it, if it asks for one; then its intermediates",
        ),
        optional("private_key", FILE, "PEM: its unencrypted key"),
        default("timeout", Duration(up_to("30s")), "2s", "first byte sent to last byte received"),
    ]
}
