//! `[idempotency]`: whether answers are kept for those who ask twice, where, how long, how many.

use std::path::PathBuf;
use std::time::Duration;

use super::document::{Located, Spot, Table};
use super::pem;
use super::secret::Secret;
use crate::idempotency::seal::KEY_LENGTH;
use crate::idempotency::{IdempotencyRules, StoreBounds};

/// What the store's directory is.
pub const DIRECTORY: &str = "a directory of the gateway's own on a local disk";
/// New operations a second that a small insurer has at its busiest.
const MODEST_RATE: u64 = 10;

/// What `[idempotency]` says.
#[derive(Debug, PartialEq)]
pub struct IdempotencySettings {
    /// What is kept, and how long.
    pub rules: IdempotencyRules,
    /// Where.
    pub directory: PathBuf,
    /// Where that stands.
    pub at: Spot,
    /// What answers are sealed with.
    pub key: Option<Secret<[u8; KEY_LENGTH]>>,
}

/// Reads `[idempotency]`: nothing if it is wrong, nothing inside if it is not there.
pub(super) fn read_idempotency(root: &Table<'_>) -> Option<Option<IdempotencySettings>> {
    let Some(table) = root.table("idempotency") else {
        return (!root.has("idempotency")).then_some(None);
    };
    let rules = read_rules(&table);
    let directory = pem::path(&table, "directory", DIRECTORY);
    let key = match table.has("key_file") {
        true => pem::symmetric_key(&table, "key_file").map(|key| Some(Secret(key))),
        false => Some(None),
    };
    let Located { value: directory, place } = directory?;
    Some(Some(IdempotencySettings { rules, directory, at: place.spot(), key: key? }))
}

fn read_rules(table: &Table<'_>) -> IdempotencyRules {
    let retention = table.duration_or_default("retention");
    let records = table.count("capacity");
    let longest = usize::try_from(table.size_or_default("max_answer_size"));
    warn_of_few(table, records, retention);
    IdempotencyRules {
        retention,
        longest_answer: longest.unwrap_or(usize::MAX),
        bounds: StoreBounds { records, bytes: table.size_or_default("max_size") },
    }
}

/// What does not fit makes room before its time: so many new operations a second fit.
fn warn_of_few(table: &Table<'_>, records: u64, retention: Duration) {
    let seconds = retention.as_secs().max(1);
    if records / seconds < MODEST_RATE {
        let needed = seconds.saturating_mul(MODEST_RATE);
        let (whole, tenth) = (records / seconds, records % seconds * 10 / seconds);
        table.place("capacity").warn(format!(
            "holds {whole}.{tenth} new operations a second for the retention of {seconds} s: {MODEST_RATE} a \
             second need a capacity of {needed}"
        ));
    }
}
