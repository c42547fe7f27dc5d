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

/// Writes the pseudonym of an id.
pub fn write(out: &mut Vec<u8>, id: &str) {
    let hash = KEY.hash_one(id);
    for place in (0..16).rev() {
        let digit = u32::try_from((hash >> (4 * place)) & 0xf).unwrap_or(0);
        out.extend(char::from_digit(digit, 16).map(|digit| u8::try_from(digit).unwrap_or(b'0')));
    }
}
