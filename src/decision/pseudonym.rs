//! Pseudonyms of what is personal: the same in the access log and in decision records.
//!
//! Keyed anew in each process: a pseudonym links what one run said of a consent or a client, and nothing
//! else. What it stands for cannot be found from it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The pseudonym of an id.
pub fn of(id: &str) -> String {
    String::from_utf8_lossy(&digits(id.as_bytes())).into_owned()
}

/// The pseudonym of an id, in hexadecimal digits.
pub fn digits(id: &[u8]) -> [u8; 16] {
    let hash = hash(id);
    let mut digits = [0; 16];
    let (high, low) = digits.split_at_mut(8);
    high.copy_from_slice(&eight_digits(hash >> 32));
    low.copy_from_slice(&eight_digits(hash & 0xffff_ffff));
    digits
}

/// The digits of a number of 32 bits, all eight at once.
fn eight_digits(number: u64) -> [u8; 8] {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // One byte for each.
    let digits = (number | (number << 16)) & 0x0000_ffff_0000_ffff;
    let digits = (digits | (digits << 8)) & 0x00ff_00ff_00ff_00ff;
    let digits = (digits | (digits << 4)) & (ONES * 0xf);
    let is_letter = ((digits + ONES * 6) >> 4) & ONES;
    (digits + ONES * u64::from(b'0') + is_letter * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

fn hash(id: &[u8]) -> u64 {
    let mut hasher = KEY.build_hasher();
    // An id is all that is hashed: nothing says where it ends.
    hasher.write(id);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_is_a_hash_in_sixteen_digits() {
        for id in (0..100).map(|id| format!("client-{id}")) {
            assert_eq!(of(&id), format!("{:016x}", hash(id.as_bytes())));
            assert_eq!(of(&id).as_bytes(), digits(id.as_bytes()));
        }
    }
}
