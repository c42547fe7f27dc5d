//! Pseudonyms of what is personal: the same in the access log and in decision records.
//!
//! Keyed anew in each process: a pseudonym links what one run said of a consent or a client, and nothing
//! else. What it stands for cannot be found from it.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The pseudonym of an id.
pub fn of(id: &str) -> String {
    format!("{:016x}", KEY.hash_one(id))
}
