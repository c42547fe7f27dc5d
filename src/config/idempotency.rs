//! `[idempotency]`: whether answers are kept for those who ask twice, where, how long, how many.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::document::{Located, Place, Table};
use super::{Kept, pem, values};
use crate::idempotency::seal::KEY_LENGTH;
use crate::idempotency::{Bounds, Idempotency, Keeper, Rules, Secrets, examine};
use crate::last_good;

const DIRECTORY: &str = "a directory of the gateway's own on a local disk";
const ONE_SECOND: Duration = Duration::from_secs(1);
const ONE_WEEK: Duration = Duration::from_secs(7 * 86_400);
/// New operations a second that a small insurer has at its busiest.
const MODEST_RATE: u64 = 10;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Reads `[idempotency]`: nothing if it is not there, nothing inside if it is wrong. The keeper of a
/// directory and its key stays, whatever else changes.
pub(super) fn read_idempotency(
    root: &Table<'_>,
    before: Option<&Kept>,
) -> Option<Option<Arc<Idempotency>>> {
    let Some(table) = root.table("idempotency") else {
        return (!root.has("idempotency")).then_some(None);
    };
    let rules = read_rules(&table);
    let directory = pem::path(&table, "directory", DIRECTORY);
    let secrets = read_secrets(&table);
    let (directory, secrets) = (directory?, secrets?);
    if table.stand_in().is_some() {
        // Nothing is carried out: the store is the running gateway's, and may be large.
        return Some(None);
    }
    let keeper = keeper(directory, secrets, before)?;
    Some(Some(Arc::new(Idempotency::new(rules, keeper))))
}

fn read_rules(table: &Table<'_>) -> Rules {
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
    Rules {
        retention,
        longest_answer: longest.map_or(64 * 1024, |longest| longest.value),
        bounds: Bounds { records, bytes: bytes.map_or(1024 * MIB, |bytes| bytes.value) },
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

fn read_secrets(table: &Table<'_>) -> Option<Secrets> {
    if !table.has("key_file") {
        return Secrets::new(None).ok();
    }
    let key: [u8; KEY_LENGTH] = pem::symmetric_key(table, "key_file")?;
    Secrets::new(Some(&key)).ok()
}

fn keeper(
    directory: Located<PathBuf>,
    secrets: Secrets,
    before: Option<&Kept>,
) -> Option<Arc<Keeper>> {
    let Located { value: directory, place } = directory;
    let kept = before.and_then(|kept| kept.idempotency.as_ref());
    if let Some(kept) = kept.filter(|kept| kept.keeper().is_of(&directory, &secrets)) {
        if !kept.keeper().is_well() {
            // Whatever ails it: who reads the configuration again is told so.
            is_usable(&directory, &secrets, &place)?;
        }
        return Some(kept.keeper().clone());
    }
    is_usable(&directory, &secrets, &place)?;
    Some(Arc::new(Keeper::new(directory, secrets)))
}

fn is_usable(directory: &Path, secrets: &Secrets, place: &Place) -> Option<()> {
    // Whoever writes there could make answers unknown, and have operations carried out again.
    if last_good::is_open_to_everybody(directory).unwrap_or(false) {
        let text = "can be written to by everybody on the machine";
        place.reject(format!("{} {text}, accepted: {DIRECTORY}", directory.display()));
        return None;
    }
    examine(directory, secrets)
        .map_err(|error| {
            let shown = directory.display();
            place.reject(format!("{shown} {error}, accepted: {DIRECTORY}, empty or with a store"));
        })
        .ok()
}
