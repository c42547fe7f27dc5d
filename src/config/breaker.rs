//! `breaker` of a service: when it is left alone, and for how long.

use std::sync::Arc;
use std::time::Duration;

use super::document::Table;
use super::services::{FIVE_MINUTES, read_age};
use crate::remote::{BreakerSettings, BreakerWitness};
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
