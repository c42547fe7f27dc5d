//! The keys of config.toml.

use tracing::level_filters::LevelFilter;

use super::kind::Kind::{self, Duration, Flag, Form, Number, Size, Text, Texts};
use super::kind::Kind::{Table, Tables};
use super::kind::{ANY, between, up_to};
use super::{
    Absent, Acts, Key, absent, acting, default, listeners, optional, required, services, within,
    word,
};
use crate::config::words::{DefaultKeyword, Keyword};
use crate::headers::caller::ForwardedCertificate;
use crate::identity::{Preset, Rule};

pub(super) const NAME: Kind = Form("[a-z0-9-]{1,64}");
const PUBLIC_URL: Kind = Form("https://[^/?#]+/?");
pub(super) const IP_AND_PORT: Kind = Form(".+:[0-9]{1,5}");
pub(super) const FILE: Kind = Text;

/// Every key, a table before what stands in it.
pub(super) fn keys() -> Vec<Key> {
    let parts = [
        tables(),
        process(),
        listeners::keys(),
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
    let restart = [
        optional("server", Table, "threads, drain and upgrade"),
        optional("admin", Table, "metrics, health, decision records"),
        optional("log", Table, "the logs"),
    ];
    let reload = [
        required("listeners", Tables, "where the gateway listens, and to whom"),
        optional("identity", Table, "what client certificates (BRCAC) are asked for"),
        optional("http", Table, "bounds of connections and requests"),
        required("policies", Table, "what each endpoint asks of its callers"),
        required("policies.directory", FILE, "one file per API and major version"),
        required("upstreams", Tables, "the legacy system; policies name their upstream"),
        required("token", Table, "access tokens: whose, and how they are verified"),
        absent("consent", Table, "no consent can be judged", "where consents are looked up"),
        optional("limits", Table, "the legal floors: less breaks them"),
        absent(
            "idempotency",
            Table,
            "every request is passed on",
            "answers that are given again to who asks twice",
        ),
    ];
    acting(Acts::Restart, restart).chain(reload).collect()
}

fn process() -> Vec<Key> {
    let own = [
        absent(
            "server.threads",
            Number(1, 1024),
            "one per core",
            "that serve requests, of all listeners",
        ),
        default(
            "server.drain_timeout",
            Duration(ANY),
            "10s",
            "SIGTERM waits this long for the exchanges under way",
        ),
        default(
            "server.upgrade_socket",
            FILE,
            "/run/portaria/upgrade.sock",
            "where `portaria upgrade` passes the sockets on; its directory must be the gateway's user's own, \
             with mode 0700",
        ),
        default(
            "admin.address",
            IP_AND_PORT,
            "127.0.0.1:9100",
            "metrics, health, purge of consents: loopback only",
        ),
    ];
    acting(Acts::Restart, own).collect()
}

fn identity() -> Vec<Key> {
    let own = [
        word::<Preset>("profile", "whose certificates: docs/trust.md"),
        absent("organisation_prefixes", Texts, "the profile's", "of organizationIdentifier"),
        // No text of the ecosystem has one: the bound of public authorities (docs/trust.md).
        default("longest_validity", Duration(ANY), "398d", "from notBefore to notAfter"),
        optional(
            "rules",
            Table,
            "single rules of the profile: refused, logged and counted, or not looked at",
        ),
    ];
    let level = || Kind::words::<crate::identity::Level>();
    let profile = Preset::DEFAULT.profile();
    let rules = Rule::ALL.map(|rule| {
        let level_of_it = Absent::IsOfPreset(profile.levels.of(rule).word());
        optional(rule.name(), level(), rule.asks()).with(level_of_it)
    });
    let mut keys = within("identity", own);
    keys.extend(within("identity.rules", rules));
    keys
}

fn http() -> Vec<Key> {
    let of_connections = [
        default("handshake_timeout", Duration(ANY), "10s", "of a connection's TLS"),
        default(
            "idle_timeout",
            // One whose certificate is no longer trusted is refused at its next request; one that sends none
            // must not stay.
            Duration(up_to("60s")),
            "60s",
            "between two requests of a connection; HTTP/2: restart",
        ),
        default("head_timeout", Duration(ANY), "10s", "first to last byte of a request's head"),
        default("body_timeout", Duration(ANY), "30s", "from when a body is awaited to its end"),
        default(
            "write_timeout",
            Duration(ANY),
            "30s",
            "a caller that takes nothing of its answer for so long is cut",
        ),
        default(
            "exchange_timeout",
            Duration(ANY),
            "2m",
            "first byte of a request to last byte of its answer, at most",
        ),
        default("max_head_size", Size(ANY), "16KiB", "of a request; HTTP/2: restart"),
        // Every field is judged, and is a place in a map.
        default("max_fields", Number(1, 256), "64", "of a request's head"),
    ];
    let of_requests = [
        default("max_body_size", Size(ANY), "1MiB", "a policy may say less for a route"),
        // No body of the ecosystem has a tenth of these.
        default(
            "max_json_depth",
            Number(1, 128),
            "64",
            "objects and arrays within each other in a body",
        ),
        default(
            "max_json_members",
            Number(1, 10_000_000),
            "100000",
            "members and items of a body, all together",
        ),
    ];
    within("http", acting(Acts::NewConnections, of_connections).chain(of_requests))
}

fn upstreams() -> Vec<Key> {
    let bodies = Kind::OneOf(vec!["ecosystem", "backend"]);
    let own = [
        required("name", NAME, "its name in policies"),
        required("servers", Texts, "\"host:port\", in turn"),
        absent("host", Text, "the caller's", "the Host that the servers get"),
        absent(
            "public_url",
            PUBLIC_URL,
            "links stay as they are",
            "links in its answers get this scheme and host",
        ),
        default("forward_authorization", Flag, "false", "whether the servers get the access token"),
        word::<ForwardedCertificate>(
            "forward_certificate",
            "whether they get the caller's: Client-Cert and -Chain (RFC 9440)",
        ),
        default(
            "request_fields",
            Texts,
            "[]",
            "callers' fields that the servers get besides the usual ones",
        ),
        default(
            "answer_fields",
            Texts,
            "[]",
            "or [\"set-cookie\"]: what callers get besides the usual fields",
        ),
        default("error_bodies", bodies, "ecosystem", "whose body an error gets that is no JSON"),
        absent("tls", Table, "plain HTTP", "TLS to the servers"),
        required("tls.server_name", Text, "the name that their certificates must have"),
        required("tls.trust_anchors", FILE, "PEM: what their certificates must lead to"),
    ];
    let mut keys = within("upstreams[]", own);
    keys.extend(within("upstreams[]", patience()));
    keys
}

/// How long the servers of an upstream may take, and how often they may fail.
fn patience() -> [Key; 6] {
    [
        default("connect_timeout", Duration(ANY), "2s", "of one server, TLS included"),
        default("first_byte_timeout", Duration(ANY), "10s", "longest silence"),
        default(
            "total_timeout",
            Duration(ANY),
            "30s",
            "of an answer, from when the server has the whole request",
        ),
        default("idle_timeout", Duration(ANY), "30s", "keep it below the servers' own"),
        default(
            "eject_after",
            Number(1, 1000),
            "3",
            "failures in a row after which a server is left out",
        ),
        default("eject_for", Duration(ANY), "10s", "how long it is left out"),
    ]
}

fn limits() -> Vec<Key> {
    let requests = || Number(1, u64::from(u32::MAX));
    let quarter = "a quarter of all";
    let own = [
        absent("global", Table, "300 in \"1s\"", "all callers together"),
        required("global.requests", requests(), "so many requests"),
        required("global.per", Duration(ANY), "in so much time"),
        absent("per_address", Table, "500 in \"1m\"", "one address"),
        required("per_address.requests", requests(), "so many requests"),
        required("per_address.per", Duration(ANY), "in so much time"),
        optional("connections", Table, "how many may be open; those beyond are closed"),
        absent(
            "connections.total",
            requests(),
            "10000, or half the descriptors (RLIMIT_NOFILE)",
            "of all callers",
        ),
        absent("connections.per_address", requests(), quarter, "of one address"),
        absent("connections.per_organisation", requests(), quarter, "of one organisation"),
        optional(
            "under_way",
            Table,
            "how many requests may be under way; those beyond are refused: 503, or 429 of one caller",
        ),
        absent(
            "under_way.total",
            requests(),
            "4096, or a quarter of the descriptors",
            "of all callers",
        ),
        absent(
            "under_way.per_address",
            requests(),
            "500, up to a quarter of all",
            "of one address",
        ),
        absent(
            "under_way.per_organisation",
            requests(),
            "500, up to a quarter of all",
            "of one organisation",
        ),
    ];
    within("limits", own)
}

fn idempotency() -> Vec<Key> {
    let own = [
        required("directory", FILE, "the gateway's own, on a local disk"),
        absent(
            "key_file",
            FILE,
            "no answer is kept, and a duplicate is refused (422)",
            "32 random bytes, raw or in base64: seals the answers",
        ),
        default(
            "retention",
            Duration(between("1s", "7d")),
            "24h",
            "how long an operation is remembered",
        ),
        default(
            "capacity",
            Number(1, 10_000_000),
            "1000000",
            "operations; when it is full, whoever has the most loses its oldest",
        ),
        default(
            "max_size",
            Size(between("16MiB", "1024GiB")),
            "1GiB",
            "of the store on disk; likewise",
        ),
        default(
            "max_answer_size",
            Size(up_to("1MiB")),
            "64KiB",
            "a longer answer is not kept, and its duplicate refused",
        ),
    ];
    within("idempotency", own)
}

fn log() -> Vec<Key> {
    let restart = [
        default("access", Flag, "true", "one JSON line per exchange on standard output"),
        default(
            "decisions",
            Number(0, 100_000),
            "1000",
            "refusals kept for `portaria explain --id`, and a quarter as many of what went on in shadow \
             mode; 0: none",
        ),
    ];
    let level =
        word::<LevelFilter>("level", "of portaria's own events, JSON lines on standard error");
    within("log", acting(Acts::Restart, restart).chain([level]))
}
