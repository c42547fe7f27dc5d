//! What is said of services in the log and in metrics.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::ask::{BreakerWitness, RemoteError};
use crate::report::Metrics;

/// What is said of the breaker of a service.
#[derive(Clone, Copy)]
pub(super) struct BreakerWords {
    /// Its name in metrics.
    pub(super) service: &'static str,
    /// When it opens.
    pub(super) opened: &'static str,
    /// When it closes.
    pub(super) closed: &'static str,
}

impl BreakerWords {
    /// Says it in the log, and in a metric.
    pub(super) fn witness(self, metrics: &Metrics) -> BreakerWitness {
        let open = metrics.services().open_breakers(self.service);
        Arc::new(move |is_open| {
            if is_open {
                open.inc();
                tracing::warn!("{}", self.opened);
            } else {
                open.dec();
                tracing::info!("{}", self.closed);
            }
        })
    }
}

/// Says why a service does not answer: once for each cause, until it answers or the cause is another.
pub(super) struct Causes {
    what: &'static str,
    last: Mutex<Option<RemoteError>>,
}

impl Causes {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, last: Mutex::default() }
    }

    /// Takes the outcome of a question; nothing, if it was answered.
    pub(super) fn note(&self, cause: Option<RemoteError>) {
        // That it is left alone says its breaker.
        if cause == Some(RemoteError::LeftAlone) {
            return;
        }
        let before = std::mem::replace(&mut *self.last.lock(), cause);
        if let Some(error) = cause.filter(|_| before != cause) {
            let hint = match error {
                RemoteError::Status(status) if matches!(status.as_u16(), 401 | 403) => {
                    "it does not accept who the gateway says it is"
                }
                _ => "",
            };
            tracing::warn!(%error, hint, "{}", self.what);
        }
    }
}
