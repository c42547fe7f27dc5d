//! `breaker` of a service: when it is left alone, and for how long.

use std::time::Duration;

use super::document::Table;
use super::services::{FIVE_MINUTES, read_age};
use crate::remote::BreakerSettings;

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
