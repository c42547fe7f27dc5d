//! The metrics of the issuers' key sets: when each was read, what was in the way, and how often tokens name
//! keys that a set lacks.

use prometheus::{GaugeVec, IntCounterVec, Registry};

use super::metrics::{Described, counters, gauges};
use crate::moment::Moment;

const REFRESHES: Described = Described(
    "portaria_key_set_refreshes_total",
    "Reads of an issuer's key set by cause and result.",
    &["issuer", "cause", "result"],
);
const READ_AT: Described = Described(
    "portaria_key_set_read_timestamp_seconds",
    "When the key set of an issuer was last read.",
    &["issuer"],
);
const FAILED_AT: Described = Described(
    "portaria_key_set_failure_timestamp_seconds",
    "When a read of an issuer's key set last failed, by reason.",
    &["issuer", "reason"],
);
const UNKNOWN_KEYS: Described = Described(
    "portaria_unknown_keys_total",
    "Tokens of an issuer that name a key which its set lacks.",
    &["issuer"],
);

/// The handles.
#[derive(Clone)]
pub struct KeySetMetrics {
    refreshes: IntCounterVec,
    read_at: GaugeVec,
    failed_at: GaugeVec,
    unknown_keys: IntCounterVec,
}

impl KeySetMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            refreshes: counters(registry, &REFRESHES)?,
            read_at: gauges(registry, &READ_AT)?,
            failed_at: gauges(registry, &FAILED_AT)?,
            unknown_keys: counters(registry, &UNKNOWN_KEYS)?,
        })
    }

    /// Notes when the set in force was read, in seconds since 1970.
    pub fn note_in_force(&self, issuer: &str, read_at: u64) {
        self.read_at.with_label_values(&[issuer]).set(read_at as f64);
    }

    /// Notes a read.
    pub fn note_read(&self, issuer: &str, cause: &str, now: Moment) {
        self.refreshes.with_label_values(&[issuer, cause, "ok"]).inc();
        self.note_in_force(issuer, now.unix_seconds());
    }

    /// Notes a read that failed.
    pub fn note_failure(&self, issuer: &str, cause: &str, reason: &str, now: Moment) {
        self.refreshes.with_label_values(&[issuer, cause, reason]).inc();
        self.failed_at.with_label_values(&[issuer, reason]).set(now.since_epoch().as_secs_f64());
    }

    /// Notes a token that names an unknown key.
    pub fn note_unknown_key(&self, issuer: &str) {
        self.unknown_keys.with_label_values(&[issuer]).inc();
    }

    /// Forgets the set of an issuer that is no longer configured.
    pub fn forget(&self, issuer: &str) {
        // It may never have been read.
        let _ = self.read_at.remove_label_values(&[issuer]);
    }
}
