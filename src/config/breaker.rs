//! `breaker` of a service: when it is left alone, and for how long.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::document::Table;
use super::services::{FIVE_MINUTES, read_age};
use crate::remote::{BreakerSettings, BreakerWitness, RemoteError};
use crate::report::Metrics;

/// Unless configured.
pub(super) const DEFAULT: BreakerSettings =
    BreakerSettings { failures: 5, open_for: Duration::from_secs(5) };

/// Reads the table `breaker` of a service's table.
pub(super) fn read(table: &Table<'_>) -> BreakerSettings {
    let Some(table) = table.table("breaker") else {
        return DEFAULT;
    };
    BreakerSettings {
        failures: table.number("failures", 1, 1000).unwrap_or(DEFAULT.failures),
        open_for: read_age(&table, "open_for", FIVE_MINUTES).unwrap_or(DEFAULT.open_for),
    }
}

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
