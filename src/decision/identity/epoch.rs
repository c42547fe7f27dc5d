//! Numbers that tell one state of trust from the next, in the whole process.

use std::sync::atomic::{AtomicU64, Ordering};

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A number that is greater than all before.
pub(super) fn next() -> u64 {
    // Relaxed: the numbers differ whatever the order; who stores one publishes what belongs to it.
    NEXT.fetch_add(1, Ordering::Relaxed)
}
