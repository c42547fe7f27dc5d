//! From settings to what serves: stages, acceptors, clients of other services.
//!
//! `check`, `run` and a reload share one path, [`load`], which builds the real objects: what it accepts will serve. A
//! reload keeps the objects whose settings did not change, with their caches and counts ([`Kept`]); and keeps everything
//! if anything is wrong. What cannot be built is a mistake of the settings, told with those that reading found.
//!
//! The one module that may import most of the others.

mod consents;
mod idempotency;
mod listeners;
mod points;
mod remotes;
mod tokens;
mod trust;
mod witnesses;

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use crate::admission::Admission;
use crate::ask::Ask;
use crate::config::{
    self, ConsentSettings, LimitSettings, LogSettings, Mistake, Mistakes, PointSettings, SERVERS,
    ServerSettings, Settings, UpstreamTable,
};
use crate::consent::Consents;
use crate::course::Serving;
use crate::idempotency::Idempotency;
use crate::identity::TrustDomain;
use crate::limits::{Ceilings, Limits};
use crate::listener::WireLimits;
use crate::measure::Meter;
use crate::report::Metrics;
use crate::route::Routes;
use crate::services::key_sets::KeySource;
use crate::services::lists::Point;
use crate::upstream::{Upstream, Upstreams};
pub use listeners::ListenerConfiguration;
use tokens::BuiltTokens;

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
    token: BuiltTokens,
    consent: (ConsentSettings, Arc<Consents>),
    idempotency: Option<Arc<Idempotency>>,
    /// By the listener's name.
    domains: HashMap<String, Arc<TrustDomain>>,
    points: Vec<(PointSettings, Arc<Point>)>,
    /// The certificates that the listeners present.
    presented: Vec<CertificateDer<'static>>,
}

impl Kept {
    /// The key sets of the issuers that have one.
    pub fn key_sets(&self) -> impl Iterator<Item = &Arc<KeySource>> {
        self.token.key_sets.iter().flatten()
    }
}

/// Who is asked instead of the services that a configuration names, so that nobody is.
pub trait StandIn {
    /// Who answers instead of the service that a table describes, such as `token.introspection`.
    fn service(&self, table: &str) -> Arc<dyn Ask>;

    /// The file whose key set every issuer has, instead of its own.
    fn key_set(&self) -> Option<&Path>;
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
    Assembler { mistakes: &mistakes, metrics, before, stand_in: None }.load(path)
}

/// Loads a configuration that judges as it would in service, but for the services that it names: `stand_in`
/// is asked instead, and nobody else.
pub fn load_offline(
    path: &Path,
    metrics: &Metrics,
    stand_in: &dyn StandIn,
) -> Result<Loaded, Vec<Mistake>> {
    let mistakes = Mistakes::default();
    Assembler { mistakes: &mistakes, metrics, before: None, stand_in: Some(stand_in) }.load(path)
}

/// What everything is assembled with.
struct Assembler<'a> {
    mistakes: &'a Mistakes,
    metrics: &'a Metrics,
    before: Option<&'a Kept>,
    stand_in: Option<&'a dyn StandIn>,
}

impl Assembler<'_> {
    fn load(&self, path: &Path) -> Result<Loaded, Vec<Mistake>> {
        let settings = config::read(path, self.mistakes);
        let configuration = settings.and_then(|settings| self.assemble(settings));
        let prevented = self.mistakes.prevent_loading();
        let all = self.mistakes.take();
        match configuration {
            Some(configuration) if !prevented => Ok(Loaded { configuration, warnings: all }),
            _ => Err(all),
        }
    }

    /// Goes as far as the settings are there, so that all mistakes are told.
    fn assemble(&self, settings: Settings) -> Option<Configuration> {
        let Settings { server, log, admin, http, .. } = settings;
        let wanted = (settings.listeners.len(), settings.upstreams.len());
        self.check_upgrade(&server);
        let (listeners, points) = self.listeners(settings.listeners, &settings.profile);
        let limits = self.limits(settings.limits);
        let upstreams = self.upstreams(settings.upstreams);
        let consent = settings.consent.and_then(|consent| self.consents(consent));
        let token = settings.token.and_then(|token| self.tokens(token));
        let idempotency = settings.idempotency.and_then(|settings| self.idempotency(settings));
        // Only here: what is missing must not keep the mistakes of the others from being told.
        let (token, consent, policies) = (token?, consent?, settings.policies?);
        let idempotency = idempotency?;
        // Policies and exchanges know both by their position.
        if (listeners.len(), upstreams.len()) != wanted {
            return None;
        }
        let admission = Admission {
            routes: Arc::new(policies.routes),
            limits: limits.1.clone(),
            tokens: token.stage.clone(),
            consents: consent.1.clone(),
            max_fields: http.wire.head.fields,
            max_body: http.max_body,
            json: http.json,
        };
        let forwarded_for = listeners.iter().map(|listener| listener.forwarded_for.clone());
        let serving = Serving {
            meters: meters(&admission.routes, self.metrics),
            idempotency: idempotency.clone(),
            admission,
            upstreams: Upstreams::new(upstreams),
            forwarded_for: forwarded_for.collect(),
            body_timeout: http.body_timeout,
        };
        let (domains, points) = (domains(&listeners), points.into_kept());
        let presented = listeners.iter().flat_map(|listener| listener.presented.clone()).collect();
        let (wire, connections) = (http.wire, limits.0.connections);
        let kept = Kept { limits, token, consent, idempotency, domains, points, presented };
        Some(Configuration { server, log, admin, listeners, wire, connections, serving, kept })
    }

    /// A gateway serves without the place of its upgrades, so that this is no mistake; and whoever only asks what would
    /// become of a request hands nothing over.
    fn check_upgrade(&self, server: &ServerSettings) {
        if self.stand_in.is_some() {
            return;
        }
        let Err(error) = server.upgrade.check() else { return };
        let path = server.upgrade.path().display();
        self.mistakes.at(&server.upgrade_at).warn(format!(
            "no upgrade is possible at {path}: {error}, accepted: a socket in a directory of mode 0700 that \
             belongs to the gateway's user"
        ));
    }

    /// The limits: those of before, with their counts, if they would be the same.
    fn limits(&self, settings: LimitSettings) -> (LimitSettings, Arc<Limits>) {
        // With their counts, or each reload would give everybody a new quota.
        let kept = self.before.filter(|kept| kept.limits.0.builds_the_same(&settings));
        let limits = kept.map(|kept| kept.limits.1.clone());
        (settings, limits.unwrap_or_else(|| Arc::new(settings.limits())))
    }

    fn upstreams(&self, tables: Vec<UpstreamTable>) -> Vec<Upstream> {
        tables.into_iter().filter_map(|table| self.upstream(table)).collect()
    }

    fn upstream(&self, table: UpstreamTable) -> Option<Upstream> {
        let UpstreamTable { mut settings, servers, servers_at, tls_at } = table;
        for text in &servers {
            match self.resolve(text) {
                Some(address) => settings.servers.push(address),
                None => self
                    .mistakes
                    .at(&servers_at)
                    .reject(format!("{text:?} names no address, accepted: {SERVERS}")),
            }
        }
        let upstream = Upstream::new(settings).map_err(|error| {
            self.mistakes.at(&tls_at).reject(format!(
                "cannot be used ({error}), accepted: a host name and certificates of authorities"
            ));
        });
        upstream.ok()
    }

    /// The address of a server; some address, if no name server is to be asked.
    fn resolve(&self, text: &str) -> Option<SocketAddr> {
        if self.stand_in.is_none() {
            // Once for a configuration: no request waits for a name server.
            return text.to_socket_addrs().ok()?.next();
        }
        let (_, port) = text.rsplit_once(':')?;
        Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?)))
    }
}

fn domains(listeners: &[ListenerConfiguration]) -> HashMap<String, Arc<TrustDomain>> {
    let domain_of = |listener: &ListenerConfiguration| {
        Some((listener.name.clone(), listener.clients.as_ref()?.domain.clone()))
    };
    listeners.iter().filter_map(domain_of).collect()
}

fn meters(routes: &Routes, metrics: &Metrics) -> Vec<Box<dyn Meter>> {
    let meter =
        |route: &Arc<crate::route::Route>| -> Box<dyn Meter> { Box::new(metrics.meter(route)) };
    routes.all().iter().map(meter).collect()
}
