//! `[http]`, `[limits]` and `[[upstreams]]`: what may come in, how much, and where it goes.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::ceilings::{read_ceilings, warn_below_quota};
use super::document::{Located, Spot, Table};
use super::{pem, values};
use crate::headers::caller::{self, Passing};
use crate::limits::{Ceilings, Limits, Quota};
use crate::links::PublicUrl;
use crate::listener::WireLimits;
use crate::packs::{Floor, OPIN};
use crate::request::framing::HeadLimits;
use crate::request::json::JsonBounds;
use crate::upstream::{UpstreamSettings, UpstreamTls};

const PUBLIC_URL: &str = "an https:// URL without a path";

/// What `[http]` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// Bounds of a connection.
    pub wire: WireLimits,
    /// From when a body is awaited to its end.
    pub body_timeout: Duration,
    /// Longest time that a caller takes nothing of an answer.
    pub write_timeout: Duration,
    /// Bytes of a body.
    pub max_body: u64,
    /// What a body of JSON may have.
    pub json: JsonBounds,
}

/// Reads `[http]`; every key has a default.
pub(super) fn read_http(root: &Table<'_>) -> HttpSettings {
    let table = root.table_or_none("http");
    let body_timeout = table.duration_or_default("body_timeout");
    let write_timeout = table.duration_or_default("write_timeout");
    // Where `usize` is narrower, no head that could be held is longer either.
    let head_size = usize::try_from(table.size_or_default("max_head_size")).unwrap_or(usize::MAX);
    HttpSettings {
        wire: WireLimits {
            handshake_timeout: table.duration_or_default("handshake_timeout"),
            idle_timeout: table.duration_or_default("idle_timeout"),
            head_timeout: table.duration_or_default("head_timeout"),
            body_timeout,
            write_timeout,
            exchange_timeout: table.duration_or_default("exchange_timeout"),
            head: HeadLimits { size: head_size, fields: table.count("max_fields") },
        },
        body_timeout,
        write_timeout,
        max_body: table.size_or_default("max_body_size"),
        json: JsonBounds {
            depth: table.count("max_json_depth"),
            members: table.count("max_json_members"),
        },
    }
}

/// What `[limits]` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    everyone: Quota,
    address: Quota,
    under_way: Ceilings,
    /// Of the listeners, and none of the stage's.
    pub connections: Ceilings,
}

impl LimitSettings {
    /// Whether the stage would be the same.
    pub fn builds_the_same(&self, other: &Self) -> bool {
        *self == Self { connections: self.connections, ..*other }
    }

    /// Builds the stage.
    pub fn limits(&self) -> Limits {
        Limits::new(self.everyone, self.address).with_ceilings(self.under_way)
    }
}

/// Reads `[limits]`. The defaults are the legal floors; less is a warning, because it breaks them.
pub(super) fn read_limits(root: &Table<'_>) -> LimitSettings {
    let table = root.table("limits");
    let quota = |key, Floor { requests, per }| {
        let floor = Quota { requests, per };
        table.as_ref().and_then(|t| t.table(key)).map_or(floor, |t| read_quota(&t, floor))
    };
    let floors = OPIN.limits;
    let (connections, under_way) = read_ceilings(table.as_ref());
    let address = quota("per_address", floors.address);
    // A quota above the floor is the operator's own: only the floor is owed to whoever comes at once.
    let owed = address.requests.min(floors.address.requests).get();
    warn_below_quota(&root.place("limits"), under_way, owed);
    LimitSettings { connections, under_way, everyone: quota("global", floors.everyone), address }
}

fn read_quota(table: &Table<'_>, floor: Quota) -> Quota {
    let requests = table.whole("requests");
    let per = table.duration("per");
    for (key, missing) in [("requests", !table.has("requests")), ("per", !table.has("per"))] {
        if missing {
            table.place(key).reject("is missing, accepted: both requests and per");
        }
    }
    let requests = requests.and_then(|n| NonZeroU32::new(u32::try_from(n).ok()?));
    let quota = Quota {
        requests: requests.unwrap_or(floor.requests),
        per: per.map_or(floor.per, |per| per.value),
    };
    // As rates, for the legal 500 in a minute may be written as 30000 in an hour.
    let rate = |q: Quota| f64::from(q.requests.get()) / q.per.as_secs_f64();
    if rate(quota) < rate(floor) {
        let (requests, per) = (floor.requests, floor.per.as_secs());
        table
            .place("")
            .warn(format!("is below the legal floor of {requests} requests per {per} s"));
    }
    quota
}

/// The names of tables that a policy or a key may name, whatever else is wrong with those tables; nothing, if
/// some name cannot be told.
pub(super) fn names_of(root: &Table<'_>, tables: &'static str) -> Option<Vec<String>> {
    let tables = root.tables(tables);
    let name = |table: &Table<'_>| {
        table.ask_nothing_more();
        table.parsed("name", values::NAME, values::name).map(|name| name.value)
    };
    (!tables.is_empty()).then(|| tables.iter().map(name).collect())?
}

/// What an `[[upstreams]]` table says.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamTable {
    /// But for the addresses of its servers, which are names yet.
    pub settings: UpstreamSettings,
    /// Its servers, as `host:port`.
    pub servers: Vec<String>,
    /// Where they stand.
    pub servers_at: Spot,
    /// Where its TLS is configured.
    pub tls_at: Spot,
}

/// Reads `[[upstreams]]`.
pub(super) fn read_upstreams(root: &Table<'_>) -> Vec<UpstreamTable> {
    let tables = root.required_tables("upstreams", "at least one [[upstreams]] table");
    let mut names = HashSet::new();
    let mut upstreams = Vec::new();
    for table in &tables {
        let Some(upstream) = read_upstream(table) else {
            continue;
        };
        let name = &upstream.settings.name;
        if !names.insert(name.clone()) {
            let text = format!("{name:?} names two upstreams, accepted: distinct names");
            table.place("name").reject(text);
        }
        upstreams.push(upstream);
    }
    upstreams
}

fn read_upstream(table: &Table<'_>) -> Option<UpstreamTable> {
    let name = table.required_parsed("name", values::NAME, values::name);
    let servers = read_servers(table);
    let tls = table.table("tls").map(|table| read_tls(&table));
    let host = table.parsed("host", "a host name", |text| HeaderValue::from_str(text).ok());
    let public_url = table.parsed("public_url", PUBLIC_URL, public_url);
    let connect_timeout = table.duration_or_default("connect_timeout");
    let first_byte_timeout = table.duration_or_default("first_byte_timeout");
    let total_timeout = table.duration_or_default("total_timeout");
    let idle_timeout = table.duration_or_default("idle_timeout");
    let passing = read_passing(table);
    let keeps_cookies = reads_cookies(table);
    let errors = table.choice("error_bodies", |text| match text {
        "ecosystem" => Some(true),
        "backend" => Some(false),
        _ => None,
    });
    let replaces_errors = errors.is_none_or(|errors| errors.value);
    let eject_after = table.count("eject_after");
    let eject_for = table.duration_or_default("eject_for");
    let Located { value: servers, place } = servers?;
    let settings = UpstreamSettings {
        name: name?.value,
        servers: Vec::new(),
        server_names: servers.clone(),
        // No table is plain HTTP; one that is wrong must not become it.
        tls: tls.map_or(Some(None), |tls| tls.map(Some))?,
        host: host.map(|host| host.value),
        public_url: public_url.map(|url| url.value),
        passing,
        keeps_cookies,
        replaces_errors,
        connect_timeout,
        first_byte_timeout,
        total_timeout,
        idle_timeout,
        eject_after,
        eject_for,
    };
    Some(UpstreamTable {
        settings,
        servers,
        servers_at: place.spot(),
        tls_at: table.place("tls").spot(),
    })
}

/// Scheme and authority, and nothing behind them.
fn public_url(text: &str) -> Option<PublicUrl> {
    let url = values::url(text).filter(|url| url.path() == "/" && url.query().is_none())?;
    PublicUrl::new(&url.origin().ascii_serialization())
}

fn read_passing(table: &Table<'_>) -> Passing {
    let authorization = table.flag("forward_authorization");
    let certificate = table.word_or_default("forward_certificate");
    let accepted = "names of fields that do not pass anyway and that the gateway does not set";
    let Some(Located { value: texts, place }) = table.strings("request_fields", accepted) else {
        return Passing { authorization, certificate, also: Vec::new() };
    };
    let mut also = Vec::new();
    for text in &texts {
        match HeaderName::try_from(text.as_str()).ok().filter(caller::may_be_configured) {
            Some(name) => also.push(name),
            None => place.reject(format!("{text:?} cannot be passed on, accepted: {accepted}")),
        }
    }
    Passing { authorization, certificate, also }
}

/// Whether `answer_fields` names the one field that callers may get besides what they get anyway.
fn reads_cookies(table: &Table<'_>) -> bool {
    let accepted = "\"set-cookie\"";
    let Some(Located { value: names, place }) = table.strings("answer_fields", accepted) else {
        return false;
    };
    for name in names.iter().filter(|name| *name != "set-cookie") {
        place.reject(format!("{name:?} passes anyway or never, accepted: {accepted}"));
    }
    !names.is_empty()
}

/// What names the servers of an upstream.
pub const SERVERS: &str = "one or more \"host:port\"";

fn read_servers(table: &Table<'_>) -> Option<Located<Vec<String>>> {
    let Some(servers) = table.strings("servers", SERVERS) else {
        if !table.has("servers") {
            table.place("servers").reject(format!("is missing, accepted: {SERVERS}"));
        }
        return None;
    };
    if servers.value.is_empty() {
        servers.place.reject(format!("is empty, accepted: {SERVERS}"));
        return None;
    }
    let is_server = |text: &str| {
        // From the right: an IPv6 address has colons of its own.
        let parts = text.rsplit_once(':');
        // Digits alone: the library takes a plus sign, too.
        let is_port =
            |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
        parts.is_some_and(|(host, port)| !host.is_empty() && is_port(port))
    };
    let mut is_whole = true;
    for text in servers.value.iter().filter(|text| !is_server(text)) {
        servers.place.reject(format!("{text:?} names no address, accepted: {SERVERS}"));
        is_whole = false;
    }
    is_whole.then_some(servers)
}

fn read_tls(table: &Table<'_>) -> Option<UpstreamTls> {
    let server_name = table.required_parsed("server_name", "a host name", |text| {
        rustls::pki_types::ServerName::try_from(text.to_owned()).ok().map(|_| text.to_owned())
    });
    // Connections could not be made with one that cannot be parsed: none is among them.
    let trust_anchors = pem::certificates(table, "trust_anchors")?.value.ders;
    Some(UpstreamTls { server_name: server_name?.value, trust_anchors })
}
