//! What is in force, and how a reload replaces it: everything at once, or nothing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use tracing::level_filters::LevelFilter;

use super::StartError;
use super::lists::{Begun, Lists};
use crate::address::Networks;
use crate::admin::{Purge, Readiness};
use crate::assembly::{self, Configuration, Kept, ListenerConfiguration};
use crate::config::{LogSettings, ServerSettings};
use crate::course::Serving;
use crate::digest::Digest;
use crate::idempotency::Idempotency;
use crate::listener::tls::Acceptor;
use crate::listener::{Guests, WireLimits};
use crate::moment::Moment;
use crate::report::{ApplicationLog, Metrics};
use crate::route::Exposure;
use crate::services::key_sets;
use crate::token::IssuerKeys;
use crate::token::Tokens;

/// How long a start, or a reload, waits for lists that it does not have yet.
pub(super) const FIRST_LISTS_WITHIN: Duration = Duration::from_secs(5);

/// The configuration in force.
pub(super) struct Live {
    pub(super) path: PathBuf,
    metrics: Arc<Metrics>,
    log: ApplicationLog,
    pub(super) serving: Arc<ArcSwap<Serving>>,
    pub(super) wire: Arc<ArcSwap<WireLimits>>,
    pub(super) listeners: Vec<LiveListener>,
    pub(super) fixed: Fixed,
    pub(super) guests: Arc<Guests>,
    lists: Lists,
    kept: Mutex<Kept>,
}

/// A listener, and what is in force of its connections.
pub(super) struct LiveListener {
    pub(super) name: Arc<str>,
    pub(super) position: usize,
    pub(super) exposure: Exposure,
    pub(super) acceptor: Arc<ArcSwap<Acceptor>>,
    pub(super) balancers: Arc<ArcSwapOption<Networks>>,
    /// Whose X-Forwarded-For is believed.
    pub(super) hops: Arc<ArcSwapOption<Networks>>,
}

/// What only a restart can change.
#[derive(PartialEq)]
pub(super) struct Fixed {
    pub(super) server: ServerSettings,
    /// But for its level.
    pub(super) log: LogSettings,
    pub(super) admin: SocketAddr,
    /// Name, address and kind.
    pub(super) listeners: Vec<(String, SocketAddr, Exposure)>,
}

impl Live {
    pub(super) fn new(
        path: PathBuf,
        configuration: Configuration,
        log: ApplicationLog,
        metrics: Arc<Metrics>,
        lists: Lists,
    ) -> Self {
        let fixed = fixed(&configuration);
        note_certificates(&metrics, &configuration.listeners);
        let connections = metrics.connections().clone();
        let guests = Arc::new(Guests::new(configuration.connections, connections));
        let live = |(position, listener): (usize, ListenerConfiguration)| LiveListener {
            name: listener.name.into(),
            position,
            exposure: listener.exposure,
            acceptor: Arc::new(ArcSwap::new(listener.acceptor)),
            balancers: Arc::new(ArcSwapOption::from_pointee(listener.balancers)),
            hops: Arc::new(ArcSwapOption::from_pointee(listener.forwarded_for)),
        };
        Self {
            path,
            metrics,
            log,
            serving: Arc::new(ArcSwap::from_pointee(configuration.serving)),
            wire: Arc::new(ArcSwap::from_pointee(configuration.wire)),
            listeners: configuration.listeners.into_iter().enumerate().map(live).collect(),
            fixed,
            guests,
            lists,
            kept: Mutex::new(configuration.kept),
        }
    }

    /// Reads the configuration again. What is in force stays if anything is wrong with the new one, and
    /// the log says what.
    pub(super) async fn reload(&self) {
        let taken = self.take_over().await;
        self.metrics.note_reload(taken);
        if taken {
            self.metrics.note_configuration(Moment::now());
            tracing::info!("configuration reloaded");
        } else {
            tracing::error!("configuration not reloaded: the one in force stays");
        }
    }

    async fn take_over(&self) -> bool {
        // A block, for the lock must be gone before anything is awaited.
        let loaded = {
            let kept = self.kept.lock();
            assembly::load(&self.path, &self.metrics, Some(&kept))
        };
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(mistakes) => {
                super::log_mistakes(&mistakes);
                return false;
            }
        };
        super::log_mistakes(&loaded.warnings);
        let configuration = loaded.configuration;
        // Before anything is opened or asked: what is refused leaves no trace.
        if fixed(&configuration) != self.fixed {
            tracing::error!(
                "addresses, names and client_auth of listeners, [server], [admin] and [log] (but for \
                 its level) can only change with a restart"
            );
            return false;
        }
        if let Some(idempotency) = &configuration.serving.idempotency
            && !is_open(idempotency).await
        {
            return false;
        }
        if !self.read_key_sets(&configuration.serving.admission.tokens).await {
            return false;
        }
        let begun = self.lists.begin(&configuration.listeners, FIRST_LISTS_WITHIN).await;
        let lacking = begun.lacking(&configuration.listeners);
        if !lacking.is_empty() {
            let points = lacking.join(", ");
            tracing::error!(points, "the new distribution points gave no revocation list");
            return false;
        }
        let lost = self.lists.lost(&configuration.listeners);
        if !lost.is_empty() {
            let authorities = lost.join("; ");
            tracing::error!(
                authorities,
                "no revocation list in force of these authorities: their certificates would be refused"
            );
            return false;
        }
        self.swap(configuration, begun);
        true
    }

    /// The listeners are the same in number, name and order: `fixed` was compared.
    fn swap(&self, configuration: Configuration, begun: Begun) {
        note_certificates(&self.metrics, &configuration.listeners);
        self.log.set_level(configuration.log.level);
        self.lists.put_in_force(&configuration.listeners, begun);
        for (live, listener) in self.listeners.iter().zip(configuration.listeners) {
            // First, so that whom the new acceptor admits is not held against the old trust.
            if let Some(clients) = listener.clients {
                clients.domain.replace(clients.trust);
            }
            live.acceptor.store(listener.acceptor);
            live.balancers.store(listener.balancers.map(Arc::new));
            live.hops.store(listener.forwarded_for.map(Arc::new));
        }
        self.guests.set(configuration.connections);
        self.wire.store(Arc::new(configuration.wire));
        *self.kept.lock() = configuration.kept;
        let before = self.serving.swap(Arc::new(configuration.serving));
        let now_known = &self.serving.load_full().admission.tokens;
        for keys in before.admission.tokens.issuers().keys() {
            let issuer = keys.issuer();
            if now_known.issuers().find(issuer).is_none() {
                self.metrics.key_sets().forget(issuer);
            }
        }
    }

    /// Tells the metrics how many revoked tokens are remembered.
    pub(super) fn note_revoked_tokens(&self, tokens: &Tokens) {
        self.metrics.services().note_revoked_tokens(tokens.revoked().count());
    }

    /// Tells the metrics how the store of idempotent answers does.
    pub(super) fn note_idempotency(&self, idempotency: Option<&Idempotency>) {
        let standing = idempotency.map(Idempotency::standing);
        self.metrics.note_idempotency(standing.unwrap_or_default());
    }

    /// Reads what requests cannot be decided without.
    pub(super) async fn get_ready(&self) -> Result<(), StartError> {
        let tokens = self.serving.load_full().admission.tokens.clone();
        key_sets::read_all(&tokens, Moment::now()).await;
        let missing = self.missing();
        match missing.is_empty() {
            true => Ok(()),
            false => Err(StartError::Unready(missing.join(", "))),
        }
    }

    /// Reads all key sets: settings that did not change may name one that did. An issuer that is new must have
    /// one; those that are in force already go on as they stand.
    async fn read_key_sets(&self, tokens: &Tokens) -> bool {
        let now = Moment::now();
        key_sets::read_all(tokens, now).await;
        let before = self.serving.load_full();
        let is_new = |keys: &&Arc<dyn IssuerKeys>| {
            let mut known = before.admission.tokens.issuers().keys();
            !known.any(|known| Arc::ptr_eq(known, keys))
        };
        let mut lacking = tokens.issuers().keys().filter(is_new);
        let lacking = lacking.find(|keys| !keys.is_ready(now));
        if let Some(keys) = lacking {
            tracing::error!(issuer = keys.issuer(), "the new key set cannot be read");
        }
        lacking.is_none()
    }
}

impl Readiness for Live {
    fn missing(&self) -> Vec<&'static str> {
        let serving = self.serving.load();
        let has_keys = serving.admission.tokens.is_ready(Moment::now());
        let idempotency = serving.idempotency.as_ref();
        let all = [
            ("token.issuers", has_keys),
            ("revocation", self.lists.are_complete()),
            ("idempotency", idempotency.is_none_or(|stage| stage.keeper().is_well())),
        ];
        all.into_iter().filter(|(_, is_there)| !is_there).map(|(name, _)| name).collect()
    }
}

/// Opens the store, if it is another than before, beside the threads that wait for nothing.
async fn is_open(idempotency: &Arc<Idempotency>) -> bool {
    let keeper = idempotency.keeper().clone();
    match tokio::task::spawn_blocking(move || keeper.open()).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::error!("idempotency.directory: {error}");
            false
        }
        // It panicked, and the hook has said where.
        Err(_) => false,
    }
}

impl Purge for Live {
    fn purge_token(&self, token: Digest) {
        self.serving.load().admission.tokens.purge(token, Moment::now());
    }

    fn purge_consent(&self, id: Digest) {
        self.serving.load().admission.consents.purge(id, Moment::now());
        self.metrics.services().consent_purges("admin").inc();
    }
}

/// Tells the metrics when the certificates in force end.
fn note_certificates(metrics: &Metrics, listeners: &[ListenerConfiguration]) {
    metrics.forget_certificates();
    for listener in listeners {
        if let Some(expiry) = listener.expiry {
            metrics.note_certificate(&listener.name, "server", expiry);
        }
        let Some(clients) = &listener.clients else {
            continue;
        };
        let anchors = &clients.trust.verifier.paths().anchors;
        if let Some(expiry) = anchors.earliest_expiry() {
            metrics.note_certificate(&listener.name, "trust_anchor", expiry);
        }
    }
}

pub(super) fn fixed(configuration: &Configuration) -> Fixed {
    let facts = |listener: &ListenerConfiguration| {
        (listener.name.clone(), listener.address, listener.exposure)
    };
    Fixed {
        server: configuration.server.clone(),
        // The level may change, so it is the same for all here.
        log: LogSettings { level: LevelFilter::INFO, ..configuration.log },
        admin: configuration.admin,
        listeners: configuration.listeners.iter().map(facts).collect(),
    }
}
