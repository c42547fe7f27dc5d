//! The keys of config.toml.

use super::kind::Kind::{self, Duration, Flag, Form, Number, Size, Text, Texts};
use super::kind::Kind::{Table, Tables, WordOrDuration};
use super::{Key, optional, required, services, within};
use crate::identity::{Preset, Rule};
use crate::listener::parameters;

const NAME: Kind = Form("[a-z0-9-]{1,64}");
const PUBLIC_URL: Kind = Form("https://[^/?#]+/?");
const IP_AND_PORT: Kind = Form(".+:[0-9]{1,5}");
const FILE: Kind = Text;

/// Every key, a table before what stands in it.
pub(super) fn keys() -> Vec<Key> {
    let parts = [
        tables(),
        process(),
        listeners(),
        tls(),
        trust(),
        identity(),
        http(),
        upstreams(),
        services::token(),
        services::consent(),
        limits(),
        idempotency(),
        log(),
    ];
    parts.into_iter().flatten().collect()
}

fn tables() -> Vec<Key> {
    vec![
        optional("server", Table, "Threads, drain and upgrade. Changes with a restart."),
        optional("admin", Table, "Metrics, health, decision records. Changes with a restart."),
        required("listeners", Tables, "Where the gateway listens, and to whom."),
        optional("identity", Table, "What client certificates (BRCAC) are asked for."),
        optional("http", Table, "Bounds of connections and requests."),
        required("policies", Table, "What each endpoint asks of its callers."),
        required("policies.directory", FILE, "One file per API and major version."),
        required("upstreams", Tables, "The legacy system. Policies name their upstream."),
        required("token", Table, "Access tokens: whose, and how they are verified."),
        optional("consent", Table, "Where consents are looked up."),
        optional("limits", Table, "The legal floors: less breaks them."),
        optional("idempotency", Table, "Answers that are given again to who asks twice."),
        optional("log", Table, "The logs. Changes with a restart, but for the level."),
    ]
}

fn process() -> Vec<Key> {
    vec![
        optional(
            "server.threads",
            Number(1, 1024),
            "That serve requests, of all listeners; default: one per core.",
        ),
        optional("server.drain_timeout", Duration, "For the exchanges under way; default \"10s\"."),
        optional(
            "server.upgrade_socket",
            FILE,
            "Where sockets are passed on; in a directory of mode 0700.",
        ),
        optional("admin.address", IP_AND_PORT, "Loopback; default \"127.0.0.1:9100\"."),
    ]
}

fn listeners() -> Vec<Key> {
    let client_auth = Kind::OneOf(vec!["required", "none"]);
    let own = [
        required("name", NAME, "Its name in logs and metrics."),
        required("address", IP_AND_PORT, "\"IP:port\"."),
        required("client_auth", client_auth, "With \"none\" only open routes exist."),
        required("certificate", FILE, "PEM: the server certificate, then its intermediates."),
        required("private_key", FILE, "PEM: its unencrypted key."),
        optional("additional_certificates", Tables, "For other hosts, by SNI."),
        required("additional_certificates[].certificate", FILE, "PEM."),
        required("additional_certificates[].private_key", FILE, "PEM."),
        optional("tls", Table, "A preset, or parameters of your own."),
    ];
    within("listeners[]", own)
}

fn tls() -> Vec<Key> {
    let (suites, groups) = (parameters::suite_names(), parameters::group_names());
    let own = [
        optional("preset", Kind::OneOf(vec!["fapi-br"]), "The default."),
        optional("versions", Kind::SomeOf(vec!["1.2", "1.3"]), "Versions of TLS."),
        optional("cipher_suites", Kind::SomeOf(suites), "In the order of preference."),
        optional("groups", Kind::SomeOf(groups), "In the order of preference."),
    ];
    within("listeners[].tls", own)
}

/// Whom a listener believes.
fn trust() -> Vec<Key> {
    let missing = Kind::OneOf(vec!["refuse", "allow"]);
    let own = [
        optional("trust_anchors", FILE, "PEM: self-signed roots. With client_auth = \"required\"."),
        optional("revocation", Table, "Lists that every certificate of a path is looked up in."),
        optional(
            "revocation.lists",
            Texts,
            "Files, PEM or DER, of lists that an anchor or an issuer signed.",
        ),
        optional("revocation.distribution_points", Texts, "URLs that lists are fetched from."),
        optional(
            "revocation.issuers",
            FILE,
            "PEM: whose lists count beside the anchors', and must be there.",
        ),
        optional("revocation.directory", FILE, "Where fetched lists are kept."),
        optional("revocation.refresh", Duration, "Between fetches, 1s to 1d; default \"1h\"."),
        optional("revocation.timeout", Duration, "Of one fetch, up to 5m; default \"30s\"."),
        optional("revocation.trust_anchors", FILE, "PEM. With https:// points."),
        optional("revocation.missing", missing, "An issuer without list; default \"refuse\"."),
        optional("revocation.expired", WordOrDuration("refuse"), "Up to 7d; default \"refuse\"."),
        optional("proxy_protocol", Table, "Who must begin with a PROXY protocol header."),
        required("proxy_protocol.from", Texts, "Networks such as \"10.0.0.0/8\"."),
        optional("forwarded_for", Table, "Whose X-Forwarded-For tells a request's client."),
        required("forwarded_for.from", Texts, "Networks such as \"10.0.0.0/8\"."),
    ];
    within("listeners[]", own)
}

fn identity() -> Vec<Key> {
    let presets = Preset::ALL.map(Preset::name).to_vec();
    let own = [
        optional("profile", Kind::OneOf(presets), "Default \"opin-production\"."),
        optional("organisation_prefixes", Texts, "Of organizationIdentifier, such as \"OPIBR-\"."),
        optional("longest_validity", Duration, "From notBefore to notAfter; default \"398d\"."),
        optional("rules", Table, "Single rules of the profile."),
    ];
    let level = || Kind::OneOf(vec!["enforce", "warn", "off"]);
    let rules = Rule::ALL.map(|rule| optional(rule.name(), level(), rule.asks()));
    let mut keys = within("identity", own);
    keys.extend(within("identity.rules", rules));
    keys
}

fn http() -> Vec<Key> {
    let own = [
        optional("handshake_timeout", Duration, "Default \"10s\"."),
        optional("idle_timeout", Duration, "Between two requests, up to 60s; default \"60s\"."),
        optional("head_timeout", Duration, "First to last byte of a head; default \"10s\"."),
        optional("body_timeout", Duration, "Default \"30s\"."),
        optional("write_timeout", Duration, "A caller that takes nothing is cut; default \"30s\"."),
        optional("exchange_timeout", Duration, "A whole exchange, at most; default \"2m\"."),
        optional("max_head_size", Size, "Default \"16KiB\"."),
        optional("max_fields", Number(1, 256), "Default 64."),
        optional("max_body_size", Size, "Default \"1MiB\"."),
        optional("max_json_depth", Number(1, 128), "Of a body; default 64."),
        optional("max_json_members", Number(1, 10_000_000), "Of a body; default 100000."),
    ];
    within("http", own)
}

fn upstreams() -> Vec<Key> {
    let certificates = Kind::OneOf(vec!["none", "end_entity", "chain"]);
    let bodies = Kind::OneOf(vec!["ecosystem", "backend"]);
    let own = [
        required("name", NAME, "Its name in policies."),
        required("servers", Texts, "\"host:port\", in turn."),
        optional("host", Text, "The Host that the servers get; default: the caller's."),
        optional("public_url", PUBLIC_URL, "What links in answers get; default: nothing."),
        optional("forward_authorization", Flag, "Whether they get the token; default false."),
        optional("forward_certificate", certificates, "RFC 9440; default \"none\"."),
        optional("request_fields", Texts, "Callers' fields that pass besides the usual ones."),
        optional("answer_fields", Texts, "\"set-cookie\", if callers are to get it."),
        optional("error_bodies", bodies, "Of errors that are no JSON; default \"ecosystem\"."),
        optional("tls", Table, "TLS to the servers."),
        required("tls.server_name", Text, "The name that their certificates must have."),
        required("tls.trust_anchors", FILE, "PEM."),
        optional("connect_timeout", Duration, "Default \"2s\"."),
        optional("first_byte_timeout", Duration, "Longest silence; default \"10s\"."),
        optional("total_timeout", Duration, "Default \"30s\"."),
        optional("idle_timeout", Duration, "Below the servers' own; default \"30s\"."),
        optional("eject_after", Number(1, 1000), "Failures in a row; default 3."),
        optional("eject_for", Duration, "Default \"10s\"."),
    ];
    within("upstreams[]", own)
}

fn limits() -> Vec<Key> {
    let requests = || Number(1, u64::from(u32::MAX));
    let own = [
        optional("global", Table, "All callers together; default 300 in \"1s\"."),
        required("global.requests", requests(), "So many requests."),
        required("global.per", Duration, "In so much time."),
        optional("per_address", Table, "One address; default 500 in \"1m\"."),
        required("per_address.requests", requests(), "So many requests."),
        required("per_address.per", Duration, "In so much time."),
        optional("connections", Table, "How many may be open."),
        optional("connections.total", requests(), "Default 10000, or half the descriptors."),
        optional("connections.per_address", requests(), "Default: a quarter of all."),
        optional("connections.per_organisation", requests(), "Default: a quarter of all."),
        optional("under_way", Table, "How many requests may be under way."),
        optional("under_way.total", requests(), "Default 4096, or a quarter of the descriptors."),
        optional("under_way.per_address", requests(), "Default 500, up to a quarter of all."),
        optional("under_way.per_organisation", requests(), "Default 500, up to a quarter of all."),
    ];
    within("limits", own)
}

fn idempotency() -> Vec<Key> {
    let own = [
        required("directory", FILE, "The gateway's own, on a local disk."),
        optional("key_file", FILE, "32 random bytes that seal the answers."),
        optional("retention", Duration, "Up to 7d; default \"24h\"."),
        optional("capacity", Number(1, 10_000_000), "Operations; default 1000000."),
        optional("max_size", Size, "Of the store, from 16MiB; default \"1GiB\"."),
        optional("max_answer_size", Size, "Up to 1MiB; default \"64KiB\"."),
    ];
    within("idempotency", own)
}

fn log() -> Vec<Key> {
    let levels = Kind::OneOf(vec!["error", "warn", "info", "debug"]);
    let own = [
        optional("access", Flag, "One JSON line per exchange on standard output; default true."),
        optional("decisions", Number(0, 100_000), "Refusals kept for `explain`; default 1000."),
        optional("level", levels, "Of portaria's own events; default \"info\"."),
    ];
    within("log", own)
}
