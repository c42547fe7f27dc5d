//! `[idempotency]`: whether answers are kept for those who ask twice, where, how long, how many.

use std::path::PathBuf;
use std::time::Duration;

use super::document::{Located, Spot, Table};
use super::secret::Secret;
use super::{pem, values};
use crate::idempotency::seal::KEY_LENGTH;
use crate::idempotency::{IdempotencyRules, StoreBounds};

/// What the store's directory is.
pub const DIRECTORY: &str = "a directory of the gateway's own on a local disk";
const ONE_SECOND: Duration = Duration::from_secs(1);
const ONE_WEEK: Duration = Duration::from_secs(7 * 86_400);
/// New operations a second that a small insurer has at its busiest.
const MODEST_RATE: u64 = 10;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

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
    let accepted = "a duration from 1s to 7d";
    let fits = |text: &str| {
        values::duration(text).filter(|duration| (ONE_SECOND..=ONE_WEEK).contains(duration))
    };
    let retention = table.parsed("retention", accepted, fits);
    let records = table.number("capacity", 1, 10_000_000).unwrap_or(1_000_000);
    let accepted = "a size from 16MiB to 1024GiB";
    let fits = |text: &str| values::size(text).filter(|size| (16 * MIB..=MIB * MIB).contains(size));
    let bytes = table.parsed("max_size", accepted, fits);
    let accepted = "a size up to 1MiB";
    let fits = |text: &str| {
        let size = values::size(text).filter(|size| *size <= MIB);
        size.and_then(|size| usize::try_from(size).ok())
    };
    let longest = table.parsed("max_answer_size", accepted, fits);
    let retention = retention.map_or(Duration::from_secs(86_400), |retention| retention.value);
    warn_of_few(table, records, retention);
    IdempotencyRules {
        retention,
        longest_answer: longest.map_or(64 * 1024, |longest| longest.value),
        bounds: StoreBounds { records, bytes: bytes.map_or(1024 * MIB, |bytes| bytes.value) },
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
