//! The names of the objects that are open in a body: does one stand twice?
//!
//! Of a name no more is kept than 64 bits of a keyed hash of what it says, escapes decoded: `"a"` and
//! `"\u0061"` are one name to every reader. The key is the process's own, so that nobody can choose names that only
//! look alike here.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

use crate::request::RequestError;

static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// An object of so many names is searched from end to end; a larger one has an index.
const SEARCHED: usize = 32;
/// Names that are kept at a time: a body passes on as it comes, and what is kept of it must not be more than it.
/// Lists may be longer than that, for the objects of a list end one after the other.
pub(super) const MOST: usize = 10_000;
/// Bytes that are hashed at once.
const AT_ONCE: usize = 64;

/// The names, and the one that is being read.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    open: Vec<Object>,
    /// How many names they have, all together.
    kept: usize,
    name: Option<Name>,
}

#[derive(Clone, Debug, Default)]
struct Object {
    few: Vec<u64>,
    many: HashSet<u64>,
}

#[derive(Clone)]
struct Name {
    hash: <RandomState as BuildHasher>::Hasher,
    waiting: [u8; AT_ONCE],
    length: usize,
    /// The first half of a character that is escaped in two.
    surrogate: Option<u16>,
    /// The digits of an escape so far.
    digits: u16,
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Name")
    }
}

impl Names {
    /// An object begins.
    pub(super) fn open(&mut self) {
        self.open.push(Object::default());
    }

    /// The innermost object ends.
    pub(super) fn close(&mut self) {
        let names = self.open.pop().map_or(0, |object| object.few.len() + object.many.len());
        self.kept = self.kept.saturating_sub(names);
    }

    /// A name begins.
    pub(super) fn begin(&mut self) {
        self.name = Some(Name {
            hash: KEY.build_hasher(),
            waiting: [0; AT_ONCE],
            length: 0,
            surrogate: None,
            digits: 0,
        });
    }

    /// The next byte of the name, as it stands.
    pub(super) fn byte(&mut self, byte: u8) {
        if let Some(name) = &mut self.name {
            name.flush_surrogate();
            name.push(byte);
        }
    }

    /// The letter of an escape.
    pub(super) fn escape(&mut self, letter: u8) {
        match letter {
            b'b' => self.byte(8),
            b'f' => self.byte(12),
            b'n' => self.byte(b'\n'),
            b'r' => self.byte(b'\r'),
            b't' => self.byte(b'\t'),
            b'u' => {}
            itself => self.byte(itself),
        }
    }

    /// A digit of a `\u` escape, the last of four or one before.
    pub(super) fn digit(&mut self, digit: u8, is_last: bool) {
        let Some(name) = &mut self.name else { return };
        let value = char::from(digit).to_digit(16).and_then(|value| u16::try_from(value).ok());
        name.digits = (name.digits << 4) | value.unwrap_or_default();
        if is_last {
            let unit = std::mem::take(&mut name.digits);
            name.unit(unit);
        }
    }

    /// The name ends: it must be new in its object.
    pub(super) fn end(&mut self) -> Result<(), RequestError> {
        let (Some(mut name), Some(object)) = (self.name.take(), self.open.last_mut()) else {
            return Ok(());
        };
        name.flush_surrogate();
        if !object.takes(name.finish()) {
            return Err(RequestError::JsonRepeated);
        }
        self.kept += 1;
        if self.kept > MOST { Err(RequestError::JsonMembers) } else { Ok(()) }
    }
}

impl Object {
    fn takes(&mut self, name: u64) -> bool {
        if self.few.len() < SEARCHED {
            let is_new = !self.few.contains(&name);
            self.few.push(name);
            return is_new;
        }
        !self.few.contains(&name) && self.many.insert(name)
    }
}

impl Name {
    fn push(&mut self, byte: u8) {
        if self.length == AT_ONCE {
            self.hash.write(&self.waiting);
            self.length = 0;
        }
        if let Some(place) = self.waiting.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    /// A code unit of UTF-16, of which a character has one or two (RFC 8259 section 7).
    fn unit(&mut self, unit: u16) {
        let character = match (self.surrogate, unit) {
            (Some(high), 0xDC00..=0xDFFF) => {
                self.surrogate = None;
                char::decode_utf16([high, unit]).next().and_then(Result::ok)
            }
            (_, 0xD800..=0xDBFF) => {
                self.flush_surrogate();
                self.surrogate = Some(unit);
                return;
            }
            _ => {
                self.flush_surrogate();
                char::from_u32(u32::from(unit))
            }
        };
        match character {
            Some(character) => {
                let mut buffer = [0; 4];
                character.encode_utf8(&mut buffer).bytes().for_each(|byte| self.push(byte));
            }
            None => self.lone(unit),
        }
    }

    fn flush_surrogate(&mut self) {
        if let Some(unit) = self.surrogate.take() {
            self.lone(unit);
        }
    }

    /// Half a character: no text has it, so it is told from all others by a byte that no text has either.
    fn lone(&mut self, unit: u16) {
        self.push(0xFF);
        unit.to_be_bytes().into_iter().for_each(|byte| self.push(byte));
    }

    fn finish(mut self) -> u64 {
        self.hash.write(self.waiting.get(..self.length).unwrap_or_default());
        self.hash.finish()
    }
}
