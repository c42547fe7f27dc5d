//! Revisions: how what is kept of a consent ends.
//!
//! One set for the life of the process: a request that began under one configuration ends what another
//! one keeps.

use std::sync::atomic::{AtomicU64, Ordering};

use super::ConsentDigest;

/// A revision number per consent. Consents that share a slot share the number: advancing one costs
/// the other a lookup, nothing else.
pub struct Revisions {
    slots: Box<[AtomicU64]>,
}

const SLOTS: u64 = 4096;

impl Default for Revisions {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Revisions {
    fn slot(&self, id: &ConsentDigest) -> Option<&AtomicU64> {
        self.slots.get(usize::try_from(id.prefix() % SLOTS).unwrap_or(0))
    }

    pub(super) fn of(&self, id: &ConsentDigest) -> u64 {
        self.slot(id).map_or(0, |slot| slot.load(Ordering::Acquire))
    }

    pub(super) fn advance(&self, id: &ConsentDigest) {
        if let Some(slot) = self.slot(id) {
            slot.fetch_add(1, Ordering::AcqRel);
        }
    }
}
