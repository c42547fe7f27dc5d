//! Revisions: how what is kept of a consent ends.
//!
//! One set for the life of the process: a request that began under one configuration ends what another
//! one keeps.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use super::ConsentId;

/// A revision number per consent. Consents that share a slot share the number: advancing one costs
/// the other a lookup, nothing else.
pub struct Revisions {
    slots: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Default for Revisions {
    fn default() -> Self {
        Self { slots: (0..4096).map(|_| AtomicU64::new(0)).collect(), hasher: RandomState::new() }
    }
}

impl Revisions {
    fn slot(&self, id: &ConsentId) -> Option<&AtomicU64> {
        let hash = usize::try_from(self.hasher.hash_one(id) % 4096).unwrap_or(0);
        self.slots.get(hash)
    }

    pub(super) fn of(&self, id: &ConsentId) -> u64 {
        self.slot(id).map_or(0, |slot| slot.load(Ordering::Acquire))
    }

    pub(super) fn advance(&self, id: &ConsentId) {
        if let Some(slot) = self.slot(id) {
            slot.fetch_add(1, Ordering::AcqRel);
        }
    }
}
