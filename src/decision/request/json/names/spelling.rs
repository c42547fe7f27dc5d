//! A name that is read in parts: because a piece of the body ends in it, it is long, or not all of it is written as
//! it is.

use std::hash::Hasher;

use super::hash::{AT_ONCE, HashKey, Long};

/// What is known of it.
#[derive(Clone)]
pub(super) struct Spelling {
    /// The hash of what does not wait any more, in a long one.
    before: Option<Long>,
    /// The last bytes, zero behind them.
    waiting: [u8; AT_ONCE],
    waits: usize,
    length: u64,
    /// The first half of a character that is escaped in two.
    surrogate: Option<u16>,
    /// The digits of an escape so far.
    digits: u16,
}

impl Default for Spelling {
    fn default() -> Self {
        Self {
            before: None,
            waiting: [0; AT_ONCE],
            waits: 0,
            length: 0,
            surrogate: None,
            digits: 0,
        }
    }
}

impl Spelling {
    /// The next bytes, as they stand.
    pub(super) fn bytes(&mut self, bytes: &[u8], key: &HashKey) {
        if !bytes.is_empty() {
            self.flush_surrogate(key);
            self.push(bytes, key);
        }
    }

    /// The letter of an escape.
    pub(super) fn escape(&mut self, letter: u8, key: &HashKey) {
        let says = match letter {
            // Its digits say the character; until then half a pair may still become a whole.
            b'u' => return,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            itself => itself,
        };
        self.bytes(&[says], key);
    }

    /// A digit of a `\u` escape, the last of four or one before.
    pub(super) fn digit(&mut self, digit: u8, is_last: bool, key: &HashKey) {
        let value = char::from(digit).to_digit(16).and_then(|value| u16::try_from(value).ok());
        // What is no hexadecimal digit is refused right after, so that its value does not matter.
        self.digits = (self.digits << 4) | value.unwrap_or_default();
        if is_last {
            let unit = std::mem::take(&mut self.digits);
            self.unit(unit, key);
        }
    }

    /// The hash of what it says.
    pub(super) fn end(&mut self, key: &HashKey) -> u64 {
        self.flush_surrogate(key);
        // Zero for a short one: such a name has the hash that it has when it is read at once.
        let before = self.before.take().map_or(0, |before| before.finish());
        key.last(before, &self.waiting, self.length)
    }

    fn push(&mut self, mut bytes: &[u8], key: &HashKey) {
        while !bytes.is_empty() {
            // Only when more comes: a name of exactly so many bytes must wait whole, as it does when read at
            // once.
            if self.waits == AT_ONCE {
                self.before.get_or_insert_with(|| key.long()).write(&self.waiting);
                self.waiting = [0; AT_ONCE];
                self.waits = 0;
            }
            let places = self.waiting.get_mut(self.waits..).unwrap_or_default();
            let pushed = places.len().min(bytes.len());
            places.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
            self.waits += pushed;
            self.length += u64::try_from(pushed).unwrap_or_default();
            bytes = bytes.get(pushed..).unwrap_or_default();
        }
    }

    /// A code unit of UTF-16, of which a character has one or two (RFC 8259 section 7).
    fn unit(&mut self, unit: u16, key: &HashKey) {
        let character = match (self.surrogate, unit) {
            (Some(high), 0xDC00..=0xDFFF) => {
                self.surrogate = None;
                char::decode_utf16([high, unit]).next().and_then(Result::ok)
            }
            (_, 0xD800..=0xDBFF) => {
                self.flush_surrogate(key);
                self.surrogate = Some(unit);
                return;
            }
            // A second half without a first comes here, too, and is no character.
            _ => {
                self.flush_surrogate(key);
                char::from_u32(u32::from(unit))
            }
        };
        match character {
            Some(character) => self.push(character.encode_utf8(&mut [0; 4]).as_bytes(), key),
            None => self.lone(unit, key),
        }
    }

    fn flush_surrogate(&mut self, key: &HashKey) {
        if let Some(unit) = self.surrogate.take() {
            self.lone(unit, key);
        }
    }

    /// Half a character: no text has it, so it is told from all others by a byte that no text has either.
    fn lone(&mut self, unit: u16, key: &HashKey) {
        let [high, low] = unit.to_be_bytes();
        self.push(&[0xFF, high, low], key);
    }
}
