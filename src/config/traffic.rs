//! `[http]`, `[limits]` and `[[upstreams]]`: what may come in, how much, and where it goes.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::ceilings::{read_ceilings, warn_below_quota};
use super::document::{Located, Spot, Table};
use super::{pem, values};
use crate::headers::caller::{self, ForwardedCertificate, Passing};
use crate::limits::{Ceilings, Limits, Quota};
use crate::links::PublicUrl;
use crate::listener::WireLimits;
use crate::request::framing::HeadLimits;
use crate::request::json::JsonBounds;
use crate::upstream::{UpstreamSettings, UpstreamTls};

const PUBLIC_URL: &str = "an https:// URL without a path";

/// What `[http]` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// Bounds of a connection.
    pub wire: WireLimits,
    /// End of the head to the end of the body.
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
    let table = root.table("http");
    let table = table.as_ref();
    let duration = |key, default| {
        let read = table.and_then(|t| t.parsed(key, values::DURATION, values::duration));
        read.map_or(Duration::from_secs(default), |read| read.value)
    };
    let size = |key, default| {
        let read = table.and_then(|t| t.parsed(key, values::SIZE, values::size));
        read.map_or(default, |read| read.value)
    };
    let body_timeout = duration("body_timeout", 30);
    let write_timeout = duration("write_timeout", 30);
    let head_size = usize::try_from(size("max_head_size", 16 * 1024)).unwrap_or(usize::MAX);
    // Every field is judged, and is a place in a map.
    let fields = table.and_then(|t| t.number("max_fields", 1, 256)).unwrap_or(64);
    HttpSettings {
        wire: WireLimits {
            handshake_timeout: duration("handshake_timeout", 10),
            idle_timeout: read_idle_timeout(table),
            head_timeout: duration("head_timeout", 10),
            body_timeout,
            write_timeout,
            exchange_timeout: duration("exchange_timeout", 120),
            head: HeadLimits { size: head_size, fields: usize::try_from(fields).unwrap_or(64) },
        },
        body_timeout,
        write_timeout,
        max_body: size("max_body_size", 1024 * 1024),
        json: read_json(table),
    }
}

/// No body of the ecosystem has a tenth of these.
fn read_json(table: Option<&Table<'_>>) -> JsonBounds {
    let bound = |key, most, default| {
        let read = table.and_then(|table| table.number(key, 1, u64::from(most)));
        read.and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
    };
    JsonBounds {
        depth: bound("max_json_depth", JsonBounds::DEEPEST, 64),
        members: bound("max_json_members", 10_000_000, 100_000),
    }
}

/// A connection whose certificate is no longer trusted is refused at its next request; one that sends none
/// must not stay.
fn read_idle_timeout(table: Option<&Table<'_>>) -> Duration {
    let longest = Duration::from_secs(60);
    let accepted = "a duration above zero and up to 60s";
    let read = table.and_then(|table| {
        let fits = |text: &str| values::duration(text).filter(|time| *time <= longest);
        table.parsed("idle_timeout", accepted, fits)
    });
    read.map_or(longest, |read| read.value)
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
    let quota = |key, requests, seconds| {
        let floor = Quota { requests, per: Duration::from_secs(seconds) };
        table.as_ref().and_then(|t| t.table(key)).map_or(floor, |t| read_quota(&t, floor))
    };
    let three_hundred = NonZeroU32::MIN.saturating_add(299);
    let five_hundred = NonZeroU32::MIN.saturating_add(499);
    let (connections, under_way) = read_ceilings(table.as_ref());
    let address = quota("per_address", five_hundred, 60);
    // A quota above the floor is the operator's own: only the floor is owed to whoever comes at once.
    let owed = address.requests.min(five_hundred).get();
    warn_below_quota(&root.place("limits"), under_way, owed);
    LimitSettings { connections, under_way, everyone: quota("global", three_hundred, 1), address }
}

fn read_quota(table: &Table<'_>, floor: Quota) -> Quota {
    let requests = table.number("requests", 1, u64::from(u32::MAX));
    let per = table.parsed("per", values::DURATION, values::duration);
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
    let tables = root.tables("upstreams");
    if tables.is_empty() && !root.has("upstreams") {
        root.place("upstreams").reject("is missing, accepted: at least one [[upstreams]] table");
    }
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
    let duration = |key, default| {
        let read = table.parsed(key, values::DURATION, values::duration);
        read.map_or(default, |read| read.value)
    };
    let seconds = Duration::from_secs;
    let name = table.required_parsed("name", values::NAME, values::name);
    let servers = read_servers(table);
    let tls = table.table("tls").map(|table| read_tls(&table));
    let host = table.parsed("host", "a host name", |text| HeaderValue::from_str(text).ok());
    let public_url = table.parsed("public_url", PUBLIC_URL, public_url);
    let connect_timeout = duration("connect_timeout", seconds(2));
    let first_byte_timeout = duration("first_byte_timeout", seconds(10));
    let total_timeout = duration("total_timeout", seconds(30));
    let idle_timeout = duration("idle_timeout", seconds(30));
    let passing = read_passing(table);
    let keeps_cookies = reads_cookies(table);
    let errors = table.parsed("error_bodies", "\"ecosystem\" or \"backend\"", |text| match text {
        "ecosystem" => Some(true),
        "backend" => Some(false),
        _ => None,
    });
    let replaces_errors = errors.is_none_or(|errors| errors.value);
    let eject_after = table.number("eject_after", 1, 1000).unwrap_or(3);
    let eject_for = duration("eject_for", seconds(10));
    let Located { value: servers, place } = servers?;
    let settings = UpstreamSettings {
        name: name?.value,
        servers: Vec::new(),
        server_names: servers.clone(),
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
        eject_after: u32::try_from(eject_after).unwrap_or(3),
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
    let authorization = table.boolean("forward_authorization").unwrap_or(false);
    let certificate =
        table.parsed("forward_certificate", "\"none\", \"end_entity\" or \"chain\"", |text| {
            match text {
                "none" => Some(ForwardedCertificate::Nothing),
                "end_entity" => Some(ForwardedCertificate::EndEntity),
                "chain" => Some(ForwardedCertificate::Chain),
                _ => None,
            }
        });
    let certificate = certificate.map_or(ForwardedCertificate::Nothing, |found| found.value);
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
        let parts = text.rsplit_once(':');
        parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
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
