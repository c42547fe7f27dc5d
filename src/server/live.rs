//! What is in force, and how a reload replaces it: everything at once, or nothing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;

use crate::address::Networks;
use crate::config::{
    self, Configuration, Kept, ListenerConfiguration, LogSettings, ServerSettings,
};
use crate::exchange::Serving;
use crate::idempotency::Idempotency;
use crate::listener::WireLimits;
use crate::listener::tls::Acceptor;
use crate::moment::Moment;
use crate::report::Metrics;
use crate::report::admin::Readiness;
use crate::route::Exposure;
use crate::token::jwks::KeySetError;

/// The configuration in force.
pub(super) struct Live {
    path: PathBuf,
    metrics: Arc<Metrics>,
    pub(super) serving: Arc<ArcSwap<Serving>>,
    pub(super) wire: Arc<ArcSwap<WireLimits>>,
    pub(super) slots: Vec<Slot>,
    pub(super) fixed: Fixed,
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
    pub(super) fn new(path: PathBuf, configuration: Configuration, metrics: Arc<Metrics>) -> Self {
        let fixed = fixed(&configuration);
        note_trust(&metrics, &configuration.listeners);
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
            kept: Mutex::new(configuration.kept),
        }
    }

    /// How often the key set is read again.
    pub(super) fn key_set_refresh(&self) -> std::time::Duration {
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
        if let Some(idempotency) = &configuration.serving.idempotency
            && !is_open(idempotency).await
        {
            return false;
        }
        // Settings that did not change may name a key set that did.
        let tokens = &configuration.serving.admission.tokens;
        let refreshed = tokens.refresh_keys().await;
        if let (false, Err(error)) = (tokens.is_ready(), &refreshed) {
            tracing::error!(%error, "the new key set cannot be read");
            return false;
        }
        self.note_key_set_refresh(&refreshed);
        self.swap(configuration);
        true
    }

    /// The listeners are the same in number, name and order: `fixed` was compared.
    fn swap(&self, configuration: Configuration) {
        note_trust(&self.metrics, &configuration.listeners);
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

    /// Tells the metrics how the store of idempotent answers does.
    pub(super) fn note_idempotency(&self, idempotency: Option<&Idempotency>) {
        let standing = idempotency.map(Idempotency::standing);
        self.metrics.note_idempotency(standing.unwrap_or_default());
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
        let tokens = &self.serving.load().admission.tokens;
        if tokens.is_ready() { Vec::new() } else { vec!["token.jwks"] }
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
        Err(_) => false,
    }
}

/// Tells the metrics when what is in force ends.
fn note_trust(metrics: &Metrics, listeners: &[ListenerConfiguration]) {
    metrics.forget_trust();
    for listener in listeners {
        if let Some(expiry) = listener.expiry {
            metrics.note_certificate(&listener.name, "server", expiry);
        }
        let Some(clients) = &listener.clients else {
            continue;
        };
        let paths = clients.trust.verifier.paths();
        if let Some(expiry) = paths.anchors.earliest_expiry() {
            metrics.note_certificate(&listener.name, "trust_anchor", expiry);
        }
        let lists = paths.revocation.iter().flat_map(|revocation| revocation.lists());
        lists.for_each(|list| metrics.note_list(&listener.name, list));
    }
}

fn fixed(configuration: &Configuration) -> Fixed {
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
