//! What is in force, and how a reload replaces it: everything at once, or nothing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;

use super::lists::{Begun, Lists};
use crate::address::Networks;
use crate::config::{
    self, Configuration, Kept, ListenerConfiguration, LogSettings, ServerSettings,
};
use crate::exchange::Serving;
use crate::listener::WireLimits;
use crate::listener::tls::Acceptor;
use crate::moment::Moment;
use crate::report::Metrics;
use crate::report::admin::Readiness;
use crate::route::Exposure;
use crate::token::jwks::KeySetError;

/// How long a start, or a reload, waits for lists that it does not have yet.
pub(super) const FIRST_LISTS_WITHIN: Duration = Duration::from_secs(5);

/// The configuration in force.
pub(super) struct Live {
    path: PathBuf,
    metrics: Arc<Metrics>,
    pub(super) serving: Arc<ArcSwap<Serving>>,
    pub(super) wire: Arc<ArcSwap<WireLimits>>,
    pub(super) slots: Vec<Slot>,
    pub(super) fixed: Fixed,
    lists: Lists,
    kept: Mutex<Kept>,
}

/// A listener, and what is in force of its connections.
pub(super) struct Slot {
    pub(super) name: Arc<str>,
    pub(super) position: usize,
    pub(super) exposure: Exposure,
    pub(super) acceptor: Arc<ArcSwap<Acceptor>>,
    pub(super) balancers: Arc<ArcSwapOption<Networks>>,
}

/// What only a restart can change.
#[derive(PartialEq)]
pub(super) struct Fixed {
    pub(super) server: ServerSettings,
    pub(super) log: LogSettings,
    pub(super) admin: SocketAddr,
    /// Name, address and kind.
    pub(super) listeners: Vec<(String, SocketAddr, Exposure)>,
}

impl Live {
    pub(super) fn new(
        path: PathBuf,
        configuration: Configuration,
        metrics: Arc<Metrics>,
        lists: Lists,
    ) -> Self {
        let fixed = fixed(&configuration);
        note_certificates(&metrics, &configuration.listeners);
        let slot = |(position, listener): (usize, ListenerConfiguration)| Slot {
            name: listener.name.into(),
            position,
            exposure: listener.exposure,
            acceptor: Arc::new(ArcSwap::new(listener.acceptor)),
            balancers: Arc::new(ArcSwapOption::from_pointee(listener.balancers)),
        };
        Self {
            path,
            metrics,
            serving: Arc::new(ArcSwap::from_pointee(configuration.serving)),
            wire: Arc::new(ArcSwap::from_pointee(configuration.wire)),
            slots: configuration.listeners.into_iter().enumerate().map(slot).collect(),
            fixed,
            lists,
            kept: Mutex::new(configuration.kept),
        }
    }

    /// How often the key set is read again.
    pub(super) fn key_set_refresh(&self) -> Duration {
        self.kept.lock().key_set_refresh()
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
        let loaded = {
            let kept = self.kept.lock();
            config::load(&self.path, &self.metrics, Some(&kept))
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
        if fixed(&configuration) != self.fixed {
            tracing::error!(
                "addresses, names and client_auth of listeners, [server], [admin] and [log] can \
                 only change with a restart"
            );
            return false;
        }
        // Settings that did not change may name a key set that did.
        let tokens = &configuration.serving.admission.tokens;
        let refreshed = tokens.refresh_keys().await;
        if let (false, Err(error)) = (tokens.is_ready(), &refreshed) {
            tracing::error!(%error, "the new key set cannot be read");
            return false;
        }
        let begun = self.lists.begin(&configuration.listeners, FIRST_LISTS_WITHIN).await;
        let lacking = begun.lacking(&configuration.listeners);
        if !lacking.is_empty() {
            let points = lacking.join(", ");
            tracing::error!(points, "the new distribution points gave no revocation list");
            return false;
        }
        self.note_key_set_refresh(&refreshed);
        self.swap(configuration, begun);
        true
    }

    /// The listeners are the same in number, name and order: `fixed` was compared.
    fn swap(&self, configuration: Configuration, begun: Begun) {
        note_certificates(&self.metrics, &configuration.listeners);
        self.lists.put_in_force(&configuration.listeners, begun);
        for (slot, listener) in self.slots.iter().zip(configuration.listeners) {
            // First, so that whom the new acceptor admits is not held against the old trust.
            if let Some(clients) = listener.clients {
                clients.domain.replace(clients.trust);
            }
            slot.acceptor.store(listener.acceptor);
            slot.balancers.store(listener.balancers.map(Arc::new));
        }
        self.wire.store(Arc::new(configuration.wire));
        *self.kept.lock() = configuration.kept;
        self.serving.store(Arc::new(configuration.serving));
    }

    /// Counts a refresh of the key set, and says why one failed.
    pub(super) fn note_key_set_refresh(&self, refreshed: &Result<(), KeySetError>) {
        self.metrics.note_key_set_refresh(refreshed.is_ok());
        if let Err(error) = refreshed {
            tracing::warn!(%error, "the key set was not refreshed: the one in force stays");
        }
    }
}

impl Readiness for Live {
    fn missing(&self) -> Vec<&'static str> {
        let has_keys = self.serving.load().admission.tokens.is_ready();
        let all = [("token.jwks", has_keys), ("revocation", self.lists.are_complete())];
        all.into_iter().filter(|(_, is_there)| !is_there).map(|(name, _)| name).collect()
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
        log: configuration.log,
        admin: configuration.admin,
        listeners: configuration.listeners.iter().map(facts).collect(),
    }
}
