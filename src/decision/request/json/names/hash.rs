//! The hash of a name.
//!
//! The multilinear hash: the sum of the name's words, each times its own key of 128 bits, of which the upper half
//! is taken. Of a random key two names have one hash with a probability of 2^-64, whoever chooses them (Lemire and
//! Kaser, "Strongly universal string hashing is fast", 2014). That is all that is asked here: no caller learns
//! of a hash. It costs two multiplications for eight bytes, none of which waits for another. There are keys
//! for 64 bytes; of what comes before in a longer name, SipHash makes one word more.

use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::LazyLock;

use crate::request::json::text;

/// Words of eight bytes that have a key.
const WORDS: usize = 8;
/// Bytes that have a key.
pub(super) const AT_ONCE: usize = 8 * WORDS;

static KEY: LazyLock<HashKey> = LazyLock::new(HashKey::new);

/// The process's own.
pub(super) fn key() -> &'static HashKey {
    &KEY
}

/// What hashes that of a name which has no key.
pub(super) type Long = <RandomState as BuildHasher>::Hasher;

/// A random number for all that is multiplied, and one more.
pub(super) struct HashKey {
    start: u128,
    words: [u128; WORDS],
    before: u128,
    length: u128,
    long: RandomState,
}

impl HashKey {
    fn new() -> Self {
        // SipHash under a random key as the source of randomness: no dependency, and it need not be a
        // cipher's.
        let random = RandomState::new();
        let number = |name: &str, at: usize| {
            let half = |half: u8| u128::from(random.hash_one((name, at, half)));
            half(0) << 64 | half(1)
        };
        Self {
            start: number("start", 0),
            words: std::array::from_fn(|at| number("word", at)),
            before: number("before", 0),
            length: number("length", 0),
            // Another key than the one that made the numbers above, so that neither tells of the other.
            long: RandomState::new(),
        }
    }

    /// The hash of the string at the beginning of `rest`, and what comes after its quote: if that is here, nothing
    /// before it stands for something else, and it is shorter than what is hashed at once.
    #[inline]
    pub(super) fn quoted<'a>(&self, mut rest: &'a [u8]) -> Option<(u64, &'a [u8])> {
        let mut sum = self.start;
        let mut length = 0;
        for key in &self.words {
            let (eight, after) = text::eight(rest)?;
            let plain = text::plain(eight);
            let word = text::first(eight, plain);
            sum = sum.wrapping_add(key.wrapping_mul(u128::from(word)));
            // Hashed, too: zeros fill the last word, and `\u0000` is a byte that a name may have.
            length += u64::from(plain);
            if plain < 8 {
                // Anything else that is not plain (an escape, a byte of UTF-8) is read in parts.
                let [b'"', after @ ..] = text::after(rest, plain) else { return None };
                return Some((self.end(sum, length), after));
            }
            rest = after;
        }
        None
    }

    /// For a name that is longer.
    pub(super) fn long(&self) -> Long {
        self.long.build_hasher()
    }

    /// The hash of a name whose last bytes are given, with zero behind the end, and the hash of what comes before.
    pub(super) fn last(&self, before: u64, bytes: &[u8; AT_ONCE], length: u64) -> u64 {
        let (words, _) = bytes.as_chunks();
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        let products = words.zip(&self.words).map(|(word, key)| key.wrapping_mul(u128::from(word)));
        let start = self.start.wrapping_add(self.before.wrapping_mul(u128::from(before)));
        self.end(products.fold(start, u128::wrapping_add), length)
    }

    fn end(&self, sum: u128, length: u64) -> u64 {
        let sum = sum.wrapping_add(self.length.wrapping_mul(u128::from(length)));
        // The upper half: of the lower bits of such a sum the proof says nothing.
        u64::try_from(sum >> 64).unwrap_or_default()
    }
}

/// The place of a hash in an index: nobody knows one, so it needs no other hash.
pub(super) type ByItself = BuildHasherDefault<Itself>;

#[derive(Default)]
pub(super) struct Itself(u64);

impl Hasher for Itself {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
