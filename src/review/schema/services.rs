//! The keys of config.toml that name the services which say whether a token and a consent hold.

use super::kind::Kind::{
    self, Duration, Flag, Form, Number, Size, Table, Tables, Text, Texts, WordOrDuration,
};
use super::{Key, optional, required, within};
use crate::consent::ConsentPreset;
use crate::route::PriorityClass;
use crate::token::Algorithm;

const NAME: Kind = Form("[a-z0-9-]{1,64}");
const URL: Kind = Form("https?://.+");
const POINTER: Kind = Form("/.*");
const FILE: Kind = Text;

/// `[token]`.
pub(super) fn token() -> Vec<Key> {
    let user_tokens = Kind::OneOf(vec!["consent_or_subject", "subject_present", "consent"]);
    let algorithms = Kind::SomeOf(Algorithm::ALL.map(Algorithm::name).to_vec());
    let participant = Kind::OneOf(vec!["ignore", "if_present", "require"]);
    let own = [
        required("audiences", Texts, "aud must contain one of them."),
        optional("algorithms", algorithms, "Of signed tokens; default PS256."),
        optional("types", Texts, "typ of signed tokens; default at+jwt and JWT."),
        optional("longest_lifetime", WordOrDuration("any"), "From iat to exp; default \"15m\"."),
        optional("percent_encoded_scopes", Flag, "Whether %20 separates scopes as a blank does."),
        optional("accept_top_level_thumbprint", Flag, "Whether x5t#S256 binds outside cnf too."),
        optional("participant_claims", participant, "org_id, software_id; default \"ignore\"."),
        optional("directory", FILE, "Where the last good key sets are kept; default: nowhere."),
        optional("max_size", Size, "Default \"8KiB\"."),
        optional("leeway", Duration, "Of nbf and iat, up to 60s; default \"5s\"."),
        optional("consent_scope_prefix", Form(".+:"), "Names the consent; default \"consent:\"."),
        optional("enrollment_scope_prefix", Form(".+:"), "Names it; default \"enrollment:\"."),
        optional("consent_claim", Text, "A claim that names the consent instead."),
        optional("user_token", user_tokens, "How a customer's token is told."),
        optional(
            "cache_capacity",
            Number(1, 10_000_000),
            "Verified tokens of up to 1 KiB each, longer ones count as several; default 100000.",
        ),
        optional("introspection_max_age", Duration, "Up to 5m; default \"30s\"."),
        required("issuers", Tables, "The authorization servers."),
        required("issuers[].issuer", Text, "The exact iss of its tokens."),
        optional("issuers[].jwks", Table, "Its keys: url, discovery or file."),
        optional("introspection", Table, "Opaque tokens (RFC 7662)."),
        optional("consent", Table, "How a token says what its consent permits."),
    ];
    let mut keys = within("token", own);
    keys.extend(jwks());
    keys.extend(introspection());
    keys.extend(carried());
    keys
}

fn jwks() -> Vec<Key> {
    let own = [
        optional("url", URL, "The authorization server's jwks_uri."),
        optional("discovery", Flag, "Whether the issuer's metadata says where they are."),
        optional("file", FILE, "A JSON Web Key Set."),
        optional("refresh_interval", Duration, "Up to 1h; default \"5m\"."),
        optional("stale_for", Duration, "How long the last good set counts, up to 1d."),
        optional("lookup_cooldown", Duration, "Between two lookups, up to 5m; default \"1s\"."),
    ];
    let mut keys = within("token.issuers[].jwks", own);
    keys.extend(within("token.issuers[].jwks", endpoint()));
    keys
}

fn introspection() -> Vec<Key> {
    let client_auth =
        Kind::OneOf(vec!["client_secret_basic", "private_key_jwt", "tls_client_auth"]);
    let own = [
        required("url", URL, "The introspection endpoint."),
        required("client_auth", client_auth, "How the gateway authenticates."),
        required("client_id", Text, "The gateway's client id."),
        optional("client_secret_file", FILE, "With client_secret_basic."),
        optional("signing_key", FILE, "With private_key_jwt: an RSA key."),
        optional("signing_key_id", Text, "Its kid in the gateway's key set."),
        optional("assertion_audience", Text, "Whom the assertions are for."),
        optional("require_token_type", Flag, "Whether answers must have it; default false."),
        optional("keep_inactive", Duration, "That a token does not hold, up to 60s."),
        optional("breaker", Table, "When the server is left alone for a while."),
        optional("breaker.failures", Number(1, 1000), "In a row; default 5."),
        optional("breaker.open_for", Duration, "Up to 5m; default \"5s\"."),
    ];
    let mut keys = within("token.introspection", own);
    keys.extend(within("token.introspection", endpoint()));
    keys
}

/// `[token.consent]`.
fn carried() -> Vec<Key> {
    let own = [
        optional("details_type", Text, "Of an element of authorization_details (RFC 9396)."),
        optional("details_type_member", Text, "The member that says it; default \"type\"."),
        optional("id", POINTER, "Without, a scope or consent_claim names the consent."),
        required("permissions", POINTER, "A JSON pointer into the element or the claims."),
        required("status", Form("/.*|implied"), "Or \"implied\", if it is AUTHORISED anyway."),
        optional("expiration", POINTER, "Without, the consent ends with the token."),
        optional("client_id", POINTER, "Without, it is the token's."),
    ];
    within("token.consent", own)
}

/// `[consent]`.
pub(super) fn consent() -> Vec<Key> {
    let missing = Kind::OneOf(vec!["refuse", "never_expires"]);
    let sources = Kind::OneOf(vec!["registry", "token"]);
    let own = [
        optional("source", sources, "Who says what a consent permits; default \"registry\"."),
        optional("registry", URL, "Asked GET {registry}/consents/{consentId}."),
        optional("keep_unknown", Duration, "That there is none, up to 1m; default \"5s\"."),
        optional("remember_ended", Duration, "Up to 1d; default \"15m\"."),
        optional("keep", Duration, "How long an answer is kept, up to 5m; default \"5s\"."),
        optional("missing_expiration", missing, "A consent without one; default \"refuse\"."),
        optional(
            "cache_capacity",
            Number(1, 10_000_000),
            "Consents of up to 1 KiB each, longer ones count as several; default 100000.",
        ),
        optional("members", Table, "JSON pointers into the registry's answer."),
        optional("members.id", POINTER, "Default \"/data/consentId\"."),
        optional("members.status", POINTER, "Default \"/data/status\"."),
        optional("members.permissions", POINTER, "Default \"/data/permissions\"."),
        optional("members.expiration", POINTER, "Default \"/data/expirationDateTime\"."),
        optional("members.client_id", POINTER, "Default \"/data/clientId\"."),
        optional("members.enrollment_id", POINTER, "Default \"/data/enrollmentId\"."),
        optional("members.created", POINTER, "Default \"/data/creationDateTime\"."),
        optional("members.linked", POINTER, "The consent that shares its fate."),
    ];
    let mut keys = within("consent", own);
    keys.extend(within("consent", consent_rules()));
    keys.extend(within("consent", outage()));
    keys.extend(within("consent", webhook()));
    keys.extend(within("consent", endpoint()));
    keys
}

fn consent_rules() -> [Key; 5] {
    let presets = Kind::OneOf(ConsentPreset::ALL.map(ConsentPreset::name).to_vec());
    let consumed = Kind::OneOf(vec!["201_or_422", "201", "never"]);
    let renamed = Kind::OneOf(vec!["accept", "refuse"]);
    let lapsed = Kind::OneOf(vec!["insufficient_scope", "invalid_token"]);
    [
        optional("preset", presets, "The rules of the ecosystem; default \"opin-v3\"."),
        optional("authorisation_window", WordOrDuration("none"), "After it, REJECTED."),
        optional("consumed_after", consumed, "The answers that consume an initiation's consent."),
        optional("renamed_permissions", renamed, "Names of the API's other version."),
        optional("lapsed_initiation", lapsed, "What an initiation is told without a consent."),
    ]
}

fn outage() -> Vec<Key> {
    let mut keys = vec![
        optional("breaker", Table, "When the registry is left alone for a while."),
        optional("breaker.failures", Number(1, 1000), "In a row; default 5."),
        optional("breaker.open_for", Duration, "Up to 5m; default \"5s\"."),
        optional("stale_for", Table, "For how long an old answer does, by class, up to 1h."),
    ];
    let of_class = |class: PriorityClass| {
        let path = format!("stale_for.{}", class.as_str());
        optional(&path, WordOrDuration("refuse"), "Default \"refuse\".")
    };
    keys.extend(PriorityClass::ALL.map(of_class));
    keys
}

fn webhook() -> [Key; 6] {
    [
        optional("webhook", Table, "Where the registry says that a consent has changed."),
        required("webhook.listener", NAME, "The name of a listener."),
        required("webhook.path", Form("(/[A-Za-z0-9._~-]+)+"), "Without parameters."),
        optional("webhook.keys", FILE, "A JSON Web Key Set, for PS256."),
        optional("webhook.secret_file", FILE, "At least 32 bytes, for HS256."),
        optional("webhook.claim", Text, "Names the consent; default \"consentId\"."),
    ]
}

/// How a service is reached, beside its URL.
fn endpoint() -> [Key; 4] {
    [
        optional("trust_anchors", FILE, "PEM: what its certificate must lead to. With https."),
        optional("certificate", FILE, "PEM: the gateway's certificate towards it."),
        optional("private_key", FILE, "PEM: its key."),
        optional("timeout", Duration, "First byte sent to last byte received; default \"2s\"."),
    ]
}
