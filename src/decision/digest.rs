//! SHA-256 digests: they name a token or a consent where the text itself must not be kept or stand; and how much room
//! what is kept under one takes.

use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use aws_lc_rs::digest::{SHA256, digest};

/// The SHA-256 of a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a text.
    pub fn of(text: &str) -> Self {
        let mut bytes = [0; 32];
        // SHA-256 has 32 bytes: the lengths are equal, and the copy cannot panic.
        bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Self(bytes)
    }

    /// Parses 64 hexadecimal digits.
    pub fn parse(hex: &str) -> Option<Self> {
        let (mut bytes, digits) = ([0; 32], hex.as_bytes());
        // Before the loop: `zip` would end with the shorter of the two, and leave zeros.
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let value = |digit: &u8| char::from(*digit).to_digit(16);
            let [high, low] = pair else { return None };
            // Two digits are 255 at most: the conversion cannot fail.
            *byte = u8::try_from(value(high)? * 16 + value(low)?).ok()?;
        }
        Some(Self(bytes))
    }

    /// Its first eight bytes: evenly spread, so that they need no further hashing.
    pub fn prefix(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.prefix());
    }
}

/// The hasher of keys that are, or begin with, a SHA-256: its first bytes are the hash.
#[derive(Default)]
pub struct PrefixHasher(u64);

impl Hasher for PrefixHasher {
    fn write(&mut self, bytes: &[u8]) {
        // For keys that are bytes; a `Digest` comes by `write_u64`.
        self.0 = bytes.iter().take(8).fold(0, |hash, byte| (hash << 8) | u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Such keys need no further hashing.
pub type Hashing = BuildHasherDefault<PrefixHasher>;

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

/// How many places of a cache something takes that is so large: one for each KiB that it begins. So a bound of places is
/// one of bytes, too, whatever other parties make long.
pub fn places(bytes: usize) -> u32 {
    // As much as a cache can count: such a thing is never kept.
    u32::try_from(1 + bytes.saturating_sub(1) / 1024).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_longer_than_a_kibibyte_takes_several_places() {
        let counted = [0, 1, 1024, 1025, 2048, 2049, 256 * 1024].map(places);
        assert_eq!(counted, [1, 1, 1, 2, 2, 3, 256]);
        assert_eq!(places(usize::MAX), u32::MAX);
    }

    #[test]
    fn a_digest_is_the_sha_256_of_the_text() {
        let hex = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
        assert_eq!(Digest::parse(hex), Some(Digest::of("foo")));
        assert_eq!(Digest::parse(&hex.to_uppercase()), Digest::parse(hex));
        for bad in
            ["", "2c", &hex[1..], &format!("{hex}0"), &hex.replace('2', "g"), &"é".repeat(32)]
        {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
    }
}
