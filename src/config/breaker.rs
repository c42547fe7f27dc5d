//! `breaker` of a service: when it is left alone, and for how long.

use std::time::Duration;

use super::document::Table;
use crate::ask::BreakerSettings;

/// Unless configured.
pub(super) const DEFAULT: BreakerSettings =
    BreakerSettings { failures: 5, open_for: Duration::from_secs(5) };

/// Reads the table `breaker` of a service's table.
pub(super) fn read(table: &Table<'_>) -> BreakerSettings {
    let table = table.table_or_none("breaker");
    BreakerSettings {
        failures: table.count("failures"),
        open_for: table.duration_or_default("open_for"),
    }
}
