//! The keys of `[[listeners]]`.

use super::configuration::{FILE, IP_AND_PORT, NAME};
use super::kind::Kind::{self, Duration, Table, Tables, Texts, WordOrDuration};
use super::kind::{between, up_to};
use super::{Acts, Key, absent, acting, default, optional, required, within};
use crate::listener::parameters;

/// Every key of a listener, a table before what stands in it.
pub(super) fn keys() -> Vec<Key> {
    [listeners(), tls(), trust(), networks()].into_iter().flatten().collect()
}

fn listeners() -> Vec<Key> {
    let fixed = [
        required("name", NAME, "its name in logs and metrics"),
        required("address", IP_AND_PORT, "\"IP:port\""),
        required(
            "client_auth",
            Kind::words::<crate::route::Exposure>(),
            "whether a client certificate is needed; or \"none\": only open routes exist",
        ),
    ];
    let own = [
        required("certificate", FILE, "PEM: the server certificate, then its intermediates"),
        required("private_key", FILE, "PEM: its unencrypted key"),
        optional(
            "additional_certificates",
            Tables,
            "for other hosts, by SNI; the listener's own is for the rest",
        ),
        required("additional_certificates[].certificate", FILE, "PEM: as the listener's own"),
        required("additional_certificates[].private_key", FILE, "PEM: its unencrypted key"),
        optional(
            "tls",
            Table,
            "a preset; or versions = [\"1.3\"], cipher_suites = [], groups = []",
        ),
    ];
    let own = acting(Acts::NewConnections, own);
    within("listeners[]", acting(Acts::Restart, fixed).chain(own))
}

fn tls() -> Vec<Key> {
    let (suites, groups) = (parameters::suite_names(), parameters::group_names());
    let of_preset = "the preset's";
    let own = [
        default("preset", Kind::OneOf(vec!["fapi-br"]), "fapi-br", "where nothing else is said"),
        absent("versions", Kind::SomeOf(vec!["1.2", "1.3"]), of_preset, "versions of TLS"),
        absent("cipher_suites", Kind::SomeOf(suites), of_preset, "in the order of preference"),
        absent("groups", Kind::SomeOf(groups), of_preset, "in the order of preference"),
    ];
    within("listeners[].tls", acting(Acts::NewConnections, own))
}

/// Whom a listener believes.
fn trust() -> Vec<Key> {
    let missing = Kind::OneOf(vec!["refuse", "allow"]);
    let own = [
        optional(
            "trust_anchors",
            FILE,
            "PEM: self-signed roots only, for clients send their intermediates; needed with client_auth = \
             \"required\"",
        ),
        absent(
            "revocation",
            Table,
            "nobody is looked up",
            "lists in which every certificate of a path is looked up",
        ),
        optional("revocation.lists", Texts, "files, PEM or DER; judged as fetched ones are"),
        optional(
            "revocation.distribution_points",
            Texts,
            "URLs: what is fetched, and nothing else is",
        ),
        optional(
            "revocation.issuers",
            FILE,
            "PEM: whose lists are accepted, and needed, beside the anchors'",
        ),
        optional("revocation.directory", FILE, "where fetched lists are kept for the next start"),
        default(
            "revocation.refresh",
            Duration(between("1s", "1d")),
            "1h",
            "between two fetches, at most",
        ),
        default("revocation.timeout", Duration(up_to("5m")), "30s", "of one fetch"),
        optional("revocation.trust_anchors", FILE, "PEM: with https:// points"),
        default(
            "revocation.missing",
            missing,
            "refuse",
            "whether each anchor and issuer needs a list; or \"allow\": none does",
        ),
        default(
            "revocation.expired",
            WordOrDuration("refuse", up_to("7d")),
            "refuse",
            "for how long an expired list still counts",
        ),
    ];
    within("listeners[]", own)
}

fn networks() -> Vec<Key> {
    let own = [
        optional(
            "proxy_protocol",
            Table,
            "connections from there must begin with a PROXY protocol header",
        ),
        required("proxy_protocol.from", Texts, "networks such as \"10.0.0.0/8\""),
        optional("forwarded_for", Table, "whose X-Forwarded-For tells a request's client"),
        required("forwarded_for.from", Texts, "networks such as \"10.0.0.0/8\""),
    ];
    within("listeners[]", acting(Acts::NewConnections, own))
}
