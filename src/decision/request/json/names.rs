//! The names of the objects that are open in a body: does one stand twice?
//!
//! Of a name no more is kept than 64 bits of a keyed hash of what it says, escapes decoded (`hash`): `"a"` and
//! `"\u0061"` are one name to every reader. The key is the process's own, so that nobody can choose names that only
//! look alike here.

mod hash;
mod spelling;

use std::collections::HashSet;

use crate::request::RequestError;
use hash::{ByItself, HashKey};
use spelling::Spelling;

/// An object of so many names is searched from end to end; a larger one has an index.
const SEARCHED: usize = 32;
/// Objects that are open within each other, mostly: more are given room as they come.
const OPEN: usize = 8;
/// Names that are kept at a time: a body passes on as it comes, and what is kept of it must not be more than it.
/// Lists may be longer than that, for the objects of a list end one after the other.
pub(super) const MOST: usize = 10_000;

/// The names, and the one that is being read in parts.
#[derive(Clone)]
pub(super) struct Names {
    key: &'static HashKey,
    /// The names of the open objects that are searched, the innermost's last.
    few: Vec<u64>,
    /// The names of those that have an index, the innermost's last.
    many: Vec<HashSet<u64, ByItself>>,
    /// The objects that are open, the innermost last.
    open: Vec<ObjectNames>,
    /// How many names they have, all together.
    kept: usize,
    spelling: Spelling,
}

#[derive(Clone, Copy)]
struct ObjectNames {
    /// Where its names begin in `few`.
    begin: usize,
    /// A bit for some of a name's hash: what has another is new, and need not be searched.
    seen: u64,
    /// Whether its names are in an index.
    is_large: bool,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            key: hash::key(),
            few: Vec::new(),
            many: Vec::new(),
            open: Vec::new(),
            kept: 0,
            spelling: Spelling::default(),
        }
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}

impl Names {
    /// An object begins.
    pub(super) fn open(&mut self) {
        if self.open.capacity() == 0 {
            // Room for what a body of the ecosystem has open: it would grow four times else.
            self.few.reserve_exact(SEARCHED);
            self.open.reserve_exact(OPEN);
        }
        self.open.push(ObjectNames { begin: self.few.len(), seen: 0, is_large: false });
    }

    /// The innermost object ends.
    pub(super) fn close(&mut self) {
        let Some(object) = self.open.pop() else { return };
        self.kept = self.kept.saturating_sub(self.few.len() - object.begin);
        self.few.truncate(object.begin);
        if object.is_large {
            let names = self.many.pop().map_or(0, |index| index.len());
            self.kept = self.kept.saturating_sub(names);
        }
    }

    /// The name at the beginning, and what comes after its quote: if all of it is here, written as it is, and not long.
    #[inline]
    pub(super) fn whole<'a>(&self, rest: &'a [u8]) -> Option<(u64, &'a [u8])> {
        self.key.quoted(rest)
    }

    /// A name: it must be new in its object.
    // Once for each member: a call would cost more than what it does. The search is rare and stands apart.
    #[inline(always)]
    pub(super) fn add(&mut self, name: u64) -> Result<(), RequestError> {
        // A name stands in an object alone: the arm is never met, and refuses if it is.
        let Some(object) = self.open.last_mut() else { return Err(RequestError::JsonMalformed) };
        // Any six bits will do: nobody can choose them, for the hash is keyed.
        let bit = 1 << (name & 63);
        if object.seen & bit == 0 && self.few.len() - object.begin < SEARCHED {
            object.seen |= bit;
            self.few.push(name);
        } else {
            self.search(name)?;
        }
        self.kept += 1;
        if self.kept > MOST { Err(RequestError::JsonMembers) } else { Ok(()) }
    }

    /// A name that may be known.
    #[inline(never)]
    fn search(&mut self, name: u64) -> Result<(), RequestError> {
        let Some(object) = self.open.last_mut() else { return Err(RequestError::JsonMalformed) };
        let few = self.few.get(object.begin..).unwrap_or_default();
        let is_new = match self.many.last_mut().filter(|_| object.is_large) {
            Some(index) => index.insert(name),
            None => !few.contains(&name),
        };
        if !is_new {
            return Err(RequestError::JsonRepeated);
        }
        if !object.is_large && few.len() < SEARCHED {
            self.few.push(name);
        } else if !object.is_large {
            // Searching each of 10,000 names from end to end would take their square.
            self.many.push(few.iter().copied().chain([name]).collect());
            self.few.truncate(object.begin);
            // Nothing is new without a search any more.
            *object = ObjectNames { is_large: true, seen: u64::MAX, ..*object };
        }
        Ok(())
    }

    /// A name begins that is read in parts.
    pub(super) fn begin(&mut self) {
        // Anew: the end of a name leaves its last bytes waiting.
        self.spelling = Spelling::default();
    }

    /// The next bytes of the name, as they stand.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.spelling.bytes(bytes, self.key);
    }

    /// The letter of an escape.
    pub(super) fn escape(&mut self, letter: u8) {
        self.spelling.escape(letter, self.key);
    }

    /// A digit of a `\u` escape, the last of four or one before.
    pub(super) fn digit(&mut self, digit: u8, is_last: bool) {
        self.spelling.digit(digit, is_last, self.key);
    }

    /// The name that was read in parts ends.
    pub(super) fn end(&mut self) -> Result<(), RequestError> {
        let name = self.spelling.end(self.key);
        self.add(name)
    }
}
