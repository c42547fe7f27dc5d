//! The configuration: one TOML file and a directory of policies, read whole or not at all.
//!
//! `check`, `run` and a reload share one path, [`load`], which builds the real objects: what it accepts
//! will serve. It finds all mistakes at once. A reload keeps the objects whose settings did not change,
//! with their caches and counts; and keeps everything if anything is wrong.

pub mod document;
pub mod values;
mod breaker;
mod carried;
mod ceilings;
mod consent;
mod endpoint;
mod idempotency;
mod identity;
mod issuers;
mod judging;
mod listeners;
mod lists;
mod networks;
mod pem;
mod points;
mod policy;
mod server;
mod services;
mod tls;
mod token;
mod traffic;
mod trust;
mod webhook;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tracing::level_filters::LevelFilter;

use crate::admission::Admission;
use crate::consent::{Consents, Teller};
use crate::course::Serving;
use crate::idempotency::Idempotency;
use crate::identity::TrustDomain;
use crate::limits::{Ceilings, Limits};
use crate::listener::WireLimits;
use crate::listener::handover::MeetingPlace;
use crate::listener::lists::Point;
use crate::measure::Meter;
use crate::report::Metrics;
use crate::route::{Exposure, Routes};
use crate::token::Tokens;
use crate::token::jwks::KeySource;
use crate::upstream::Upstreams;
use consent::{ConsentSettings, ReadConsents};
use document::{Document, Mistakes, Table};
pub use document::{Mistake, Severity, StandIn};
use issuers::IssuerSettings;
pub use judging::Judging;
pub use listeners::ListenerConfiguration;
use points::PointSettings;
pub use policy::offline;
use token::TokenSettings;
use traffic::LimitSettings;

/// What `[server]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Threads per listener.
    pub threads: usize,
    /// How long SIGTERM waits for the exchanges under way.
    pub drain_timeout: Duration,
    /// Where a new process asks for the listening sockets.
    pub upgrade: MeetingPlace,
}

/// What `[log]` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Whether the access log is written.
    pub access: bool,
    /// The least severe level of the application log.
    pub level: LevelFilter,
    /// How many refusals are kept for `portaria explain`.
    pub decisions: usize,
}

/// Everything that a configuration makes.
pub struct Configuration {
    /// Threads, drain, upgrade.
    pub server: ServerSettings,
    /// The logs.
    pub log: LogSettings,
    /// Where metrics and health are served.
    pub admin: SocketAddr,
    /// The listeners.
    pub listeners: Vec<ListenerConfiguration>,
    /// The bounds of their connections.
    pub wire: WireLimits,
    /// How many connections there may be.
    pub connections: Ceilings,
    /// What serves requests.
    pub serving: Serving,
    /// What the next reload may keep.
    pub kept: Kept,
}

/// Stages that a reload keeps if their settings do not change.
pub struct Kept {
    limits: (LimitSettings, Arc<Limits>),
    token: (TokenSettings, Arc<Tokens>),
    consent: (ConsentSettings, Arc<Consents>),
    idempotency: Option<Arc<Idempotency>>,
    /// By the listener's name.
    domains: HashMap<String, Arc<TrustDomain>>,
    points: Vec<(PointSettings, Arc<Point>)>,
    /// The certificates that the listeners present.
    presented: Vec<CertificateDer<'static>>,
}

impl Kept {
    /// The key set that the same settings of an issuer built before.
    fn key_source(&self, settings: &IssuerSettings) -> Option<Arc<KeySource>> {
        let (before, tokens) = &self.token;
        let position = before.issuers.iter().position(|issuer| issuer == settings)?;
        tokens.issuers().at(position)?.keys.clone()
    }
}

/// A configuration that can serve, and what deserves attention in it.
pub struct Loaded {
    /// The configuration.
    pub configuration: Configuration,
    /// Warnings.
    pub warnings: Vec<Mistake>,
}

/// Loads a configuration file and its policies. `before` is what the configuration in force lets a
/// reload keep.
pub fn load(path: &Path, metrics: &Metrics, before: Option<&Kept>) -> Result<Loaded, Vec<Mistake>> {
    let mistakes = Mistakes::default();
    build(Document::read(path, &mistakes), &mistakes, metrics, before)
}

/// Loads a configuration that judges as it would in service, but for the services that it names: `stand_in`
/// is asked instead, and nobody else.
pub fn load_offline(
    path: &Path,
    metrics: &Metrics,
    stand_in: StandIn,
) -> Result<Loaded, Vec<Mistake>> {
    let mistakes = Mistakes::default();
    let document = Document::read(path, &mistakes);
    let document = document.map(|document| document.with_stand_in(stand_in));
    build(document, &mistakes, metrics, None)
}

fn build(
    document: Option<Document>,
    mistakes: &Mistakes,
    metrics: &Metrics,
    before: Option<&Kept>,
) -> Result<Loaded, Vec<Mistake>> {
    let configuration = document
        .and_then(|document| document.with_root(|root| read(&root, mistakes, metrics, before))?);
    let prevented = mistakes.prevent_loading();
    let all = mistakes.take();
    match configuration {
        Some(configuration) if !prevented => Ok(Loaded { configuration, warnings: all }),
        _ => Err(all),
    }
}

/// Where a gateway with this configuration serves metrics, health and decision records.
pub fn admin_address(path: &Path) -> Result<SocketAddr, Vec<Mistake>> {
    let mistakes = Mistakes::default();
    let document = Document::read(path, &mistakes);
    let address = document.and_then(|document| {
        document.with_root(|root| {
            let address = listeners::read_admin(&root);
            // What else the file says is of no concern here.
            if mistakes.prevent_loading() { None } else { Some(address) }
        })?
    });
    address.ok_or_else(|| mistakes.take())
}

/// Where a configuration has its policies.
pub fn policies_directory(path: &Path) -> Result<PathBuf, Vec<Mistake>> {
    let mistakes = Mistakes::default();
    let document = Document::read(path, &mistakes);
    let directory = document.and_then(|document| document.with_root(|r| policy::directory(&r))?);
    // What else the file says is of no concern here.
    let is_about_it =
        |mistake: &Mistake| mistake.key.is_empty() || mistake.key.starts_with("policies");
    let about_it = || mistakes.take().into_iter().filter(is_about_it).collect();
    directory.map(|directory| directory.value).ok_or_else(about_it)
}

fn read(
    root: &Table<'_>,
    mistakes: &Mistakes,
    metrics: &Metrics,
    before: Option<&Kept>,
) -> Option<Configuration> {
    let server = server::read_server(root);
    let log = read_log(root);
    let admin = listeners::read_admin(root);
    let (listeners, points) = listeners::read_listeners(root, metrics, before);
    let http = traffic::read_http(root);
    let limits = traffic::read_limits(root, before);
    let upstreams = traffic::read_upstreams(root);
    let mut consent = consent::read_consents(root, &listeners, metrics, before);
    let settings = consent.as_ref().map(|read| &read.settings);
    let token = token::read_tokens(root, settings, metrics, before);
    let policies = read_policies(root, consent.as_mut(), mistakes);
    let idempotency = idempotency::read_idempotency(root, before);
    let (token, consent, policies) = (token?, consent?, policies?);
    let consent = (consent.settings, consent.stage);
    let idempotency = idempotency?;
    if !mistakes.prevent_loading() {
        check_needs(&policies, &listeners, &consent.0);
        check_bodies(&policies, http.max_body);
    }
    let admission = Admission {
        routes: Arc::new(policies.routes),
        limits: limits.1.clone(),
        tokens: token.1.clone(),
        consents: consent.1.clone(),
        max_fields: http.wire.head.fields,
        max_body: http.max_body,
        json: http.json,
    };
    let serving = Serving {
        meters: meters(&admission.routes, metrics),
        idempotency: idempotency.clone(),
        admission,
        upstreams: Upstreams::new(upstreams),
        forwarded_for: listeners.iter().map(|listener| listener.forwarded_for.clone()).collect(),
        body_timeout: http.body_timeout,
    };
    let (domains, points) = (domains(&listeners), points.into_kept());
    let presented = listeners.iter().flat_map(|listener| listener.presented.clone()).collect();
    let (wire, connections) = (http.wire, limits.0.connections);
    let kept = Kept { limits, token, consent, idempotency, domains, points, presented };
    Some(Configuration { server, log, admin, listeners, wire, connections, serving, kept })
}

fn domains(listeners: &[ListenerConfiguration]) -> HashMap<String, Arc<TrustDomain>> {
    let domain_of = |listener: &ListenerConfiguration| {
        Some((listener.name.clone(), listener.clients.as_ref()?.domain.clone()))
    };
    listeners.iter().filter_map(domain_of).collect()
}

fn read_policies(
    root: &Table<'_>,
    consent: Option<&mut ReadConsents>,
    mistakes: &Mistakes,
) -> Option<policy::Policies> {
    let (stale_for, events) =
        consent.map(|read| (read.settings.stale_for(), read.events.take())).unwrap_or_default();
    let names = traffic::names_of(root, "upstreams");
    let names: Option<Vec<&str>> =
        names.as_ref().map(|names| names.iter().map(String::as_str).collect());
    policy::read_policies(root, names.as_deref(), stale_for, events, mistakes)
}

/// Policies that nothing configured can ever satisfy are mistakes.
fn check_needs(
    policies: &policy::Policies,
    listeners: &[ListenerConfiguration],
    consent: &ConsentSettings,
) {
    let needs_registry = match consent.teller() {
        Teller::Registry => policies.needs_consents.as_ref().or(policies.needs_registry.as_ref()),
        Teller::Token => policies.needs_registry.as_ref(),
    };
    if let (Some(place), false) = (needs_registry, consent.has_registry()) {
        place.reject("needs a consent registry, accepted: registry in [consent]");
    }
    let is_mutual = |listener: &ListenerConfiguration| listener.exposure == Exposure::Mutual;
    if let (Some(place), false) = (&policies.needs_certificates, listeners.iter().any(is_mutual)) {
        place.reject(
            "needs client certificates, accepted: a listener with client_auth = \"required\"",
        );
    }
}

/// What a route asks for beyond the bound of all requests would never be served.
fn check_bodies(policies: &policy::Policies, most: u64) {
    for (bytes, place) in policies.bodies.iter().filter(|(bytes, _)| *bytes > most) {
        place.reject(format!(
            "has a max_body_size of {bytes} bytes, accepted: up to the {most} of http.max_body_size"
        ));
    }
}

fn meters(routes: &Routes, metrics: &Metrics) -> Vec<Box<dyn Meter>> {
    let meter =
        |route: &Arc<crate::route::Route>| -> Box<dyn Meter> { Box::new(metrics.meter(route)) };
    routes.all().iter().map(meter).collect()
}

fn read_log(root: &Table<'_>) -> LogSettings {
    let table = root.table("log");
    let access = table.as_ref().and_then(|table| table.boolean("access")).unwrap_or(true);
    let accepted = "\"error\", \"warn\", \"info\" or \"debug\"";
    let level = table.as_ref().and_then(|table| {
        table.parsed("level", accepted, |text| match text {
            "error" => Some(LevelFilter::ERROR),
            "warn" => Some(LevelFilter::WARN),
            "info" => Some(LevelFilter::INFO),
            "debug" => Some(LevelFilter::DEBUG),
            _ => None,
        })
    });
    let level = level.map_or(LevelFilter::INFO, |level| level.value);
    let decisions = table.as_ref().and_then(|table| table.number("decisions", 0, 100_000));
    let decisions = decisions.and_then(|number| usize::try_from(number).ok()).unwrap_or(1000);
    LogSettings { access, level, decisions }
}
