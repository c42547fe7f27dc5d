//! What [`JsonCheck`](super::JsonCheck) decides, decided byte by byte and for nothing but clarity: tests and fuzzing
//! hold it against this. Each byte is a step from one place of the grammar to the next, and names are kept as they
//! read. No part of the gateway.

use std::collections::HashSet;

use super::{JsonBounds, names};
use crate::request::RequestError;

/// Where in the grammar the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReferencePosition {
    /// A value must begin.
    Value,
    /// After `[`: a value, or the end.
    FirstItem,
    /// After `{`: a name, or the end.
    FirstName,
    /// After a comma in an object.
    Name,
    /// After a name.
    Colon,
    /// After a value.
    After,
    /// In a string: whether it is a name.
    Text(bool),
    /// After a backslash.
    Escape(bool),
    /// After `\u`: digits to come.
    Hex(bool, u8),
    /// In a character of several bytes: how many are to come, and the bounds of the next.
    Utf8(bool, u8, u8, u8),
    /// In `true`, `false` or `null`: what is to come.
    Literal(&'static [u8]),
    /// In a number.
    Number(ReferenceNumber),
}

/// Where in a number the last byte stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReferenceNumber {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl ReferenceNumber {
    fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Minus, b'1'..=b'9') | (Self::Whole, b'0'..=b'9') => Some(Self::Whole),
            (Self::Zero | Self::Whole, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Whole | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::Sign),
            (Self::Exponent | Self::Sign | Self::Power, b'0'..=b'9') => Some(Self::Power),
            _ => None,
        }
    }

    fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Whole | Self::Fraction | Self::Power)
    }
}

/// One body.
pub struct Reference {
    bounds: JsonBounds,
    position: ReferencePosition,
    depth: u32,
    members: u32,
    /// Which of the open containers are objects, the innermost in the lowest bit.
    objects: u128,
    /// The names of each open object.
    names: Vec<HashSet<Vec<u16>>>,
    /// The name that is being read, as it is written.
    name: Vec<u8>,
}

impl Reference {
    /// Nothing of a body yet.
    pub fn new(bounds: JsonBounds) -> Self {
        Self {
            bounds,
            position: ReferencePosition::Value,
            depth: 0,
            members: 0,
            objects: 0,
            names: Vec::new(),
            name: Vec::new(),
        }
    }

    /// Judges the next piece.
    ///
    /// # Errors
    ///
    /// What [`JsonCheck::take`](super::JsonCheck::take) finds, once: what comes behind a refusal says
    /// nothing.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), RequestError> {
        piece.iter().try_for_each(|byte| self.step(*byte))
    }

    /// Requires that all is here.
    ///
    /// # Errors
    ///
    /// [`RequestError::JsonMalformed`] if the body is empty or ends within its value. A refusal of before is
    /// not kept.
    pub fn finish(&self) -> Result<(), RequestError> {
        let may_end = match self.position {
            ReferencePosition::After => true,
            ReferencePosition::Number(number) => number.may_end(),
            _ => false,
        };
        if may_end && self.depth == 0 { Ok(()) } else { Err(RequestError::JsonMalformed) }
    }

    fn step(&mut self, byte: u8) -> Result<(), RequestError> {
        self.position = match (self.position, byte) {
            (ReferencePosition::Text(true), b'"') => {
                self.end_of_name()?;
                ReferencePosition::Colon
            }
            (ReferencePosition::Text(is_name), _) => {
                self.name.push(byte);
                in_text(is_name, byte)?
            }
            (ReferencePosition::Number(number), _) => match number.next(byte) {
                Some(next) => ReferencePosition::Number(next),
                None if number.may_end() => {
                    self.position = ReferencePosition::After;
                    return self.step(byte);
                }
                None => return Err(RequestError::JsonMalformed),
            },
            (
                ReferencePosition::Escape(_)
                | ReferencePosition::Hex(..)
                | ReferencePosition::Utf8(..)
                | ReferencePosition::Literal(_),
                _,
            ) => {
                self.name.push(byte);
                in_sequence(self.position, byte)?
            }
            (position, b' ' | b'\t' | b'\n' | b'\r') => position,
            (ReferencePosition::Value, _) => self.value(byte)?,
            (ReferencePosition::FirstItem, b']') | (ReferencePosition::FirstName, b'}') => {
                self.close()
            }
            (ReferencePosition::FirstItem, _) => self.value(byte)?,
            (ReferencePosition::FirstName | ReferencePosition::Name, b'"') => {
                self.count()?;
                self.name.clear();
                ReferencePosition::Text(true)
            }
            (ReferencePosition::Colon, b':') => ReferencePosition::Value,
            (ReferencePosition::After, _) => self.after(byte)?,
            _ => return Err(RequestError::JsonMalformed),
        };
        Ok(())
    }

    /// A value begins. An item of an array is counted here, a member of an object by its name.
    fn value(&mut self, byte: u8) -> Result<ReferencePosition, RequestError> {
        if self.depth > 0 && !self.is_in_object() {
            self.count()?;
        }
        match byte {
            b'{' => self.open(true),
            b'[' => self.open(false),
            b'"' => Ok(ReferencePosition::Text(false)),
            b'-' => Ok(ReferencePosition::Number(ReferenceNumber::Minus)),
            b'0' => Ok(ReferencePosition::Number(ReferenceNumber::Zero)),
            b'1'..=b'9' => Ok(ReferencePosition::Number(ReferenceNumber::Whole)),
            b't' => Ok(ReferencePosition::Literal(b"rue")),
            b'f' => Ok(ReferencePosition::Literal(b"alse")),
            b'n' => Ok(ReferencePosition::Literal(b"ull")),
            _ => Err(RequestError::JsonMalformed),
        }
    }

    fn after(&mut self, byte: u8) -> Result<ReferencePosition, RequestError> {
        match (byte, self.depth > 0, self.is_in_object()) {
            (b',', true, true) => Ok(ReferencePosition::Name),
            (b',', true, false) => Ok(ReferencePosition::Value),
            (b'}', true, true) | (b']', true, false) => Ok(self.close()),
            _ => Err(RequestError::JsonMalformed),
        }
    }

    fn open(&mut self, is_object: bool) -> Result<ReferencePosition, RequestError> {
        if self.depth >= self.bounds.depth.min(JsonBounds::DEEPEST) {
            return Err(RequestError::JsonDepth);
        }
        self.depth += 1;
        self.objects = (self.objects << 1) | u128::from(is_object);
        if is_object {
            self.names.push(HashSet::new());
        }
        Ok(if is_object { ReferencePosition::FirstName } else { ReferencePosition::FirstItem })
    }

    fn close(&mut self) -> ReferencePosition {
        if self.is_in_object() {
            self.names.pop();
        }
        self.depth -= 1;
        self.objects >>= 1;
        ReferencePosition::After
    }

    fn end_of_name(&mut self) -> Result<(), RequestError> {
        let name = units(&self.name);
        if !self.names.last_mut().unwrap().insert(name) {
            return Err(RequestError::JsonRepeated);
        }
        let kept: usize = self.names.iter().map(HashSet::len).sum();
        if kept > names::MOST { Err(RequestError::JsonMembers) } else { Ok(()) }
    }

    fn is_in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    fn count(&mut self) -> Result<(), RequestError> {
        self.members += 1;
        if self.members > self.bounds.members { Err(RequestError::JsonMembers) } else { Ok(()) }
    }
}

fn in_text(is_name: bool, byte: u8) -> Result<ReferencePosition, RequestError> {
    match byte {
        b'"' => Ok(ReferencePosition::After),
        b'\\' => Ok(ReferencePosition::Escape(is_name)),
        0x20..=0x7F => Ok(ReferencePosition::Text(is_name)),
        // The well-formed sequences of RFC 3629 section 4.
        0xC2..=0xDF => Ok(ReferencePosition::Utf8(is_name, 1, 0x80, 0xBF)),
        0xE0 => Ok(ReferencePosition::Utf8(is_name, 2, 0xA0, 0xBF)),
        0xED => Ok(ReferencePosition::Utf8(is_name, 2, 0x80, 0x9F)),
        0xE1..=0xEF => Ok(ReferencePosition::Utf8(is_name, 2, 0x80, 0xBF)),
        0xF0 => Ok(ReferencePosition::Utf8(is_name, 3, 0x90, 0xBF)),
        0xF1..=0xF3 => Ok(ReferencePosition::Utf8(is_name, 3, 0x80, 0xBF)),
        0xF4 => Ok(ReferencePosition::Utf8(is_name, 3, 0x80, 0x8F)),
        _ => Err(RequestError::JsonMalformed),
    }
}

/// The inside of an escape, of a character of several bytes, of a literal.
fn in_sequence(position: ReferencePosition, byte: u8) -> Result<ReferencePosition, RequestError> {
    match (position, byte) {
        (ReferencePosition::Escape(is_name), b'u') => Ok(ReferencePosition::Hex(is_name, 4)),
        (
            ReferencePosition::Escape(is_name),
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
        ) => Ok(ReferencePosition::Text(is_name)),
        (ReferencePosition::Hex(is_name, 1), _) if byte.is_ascii_hexdigit() => {
            Ok(ReferencePosition::Text(is_name))
        }
        (ReferencePosition::Hex(is_name, left), _) if byte.is_ascii_hexdigit() => {
            Ok(ReferencePosition::Hex(is_name, left - 1))
        }
        (ReferencePosition::Utf8(is_name, left, low, high), _) if (low..=high).contains(&byte) => {
            Ok(match left {
                1 => ReferencePosition::Text(is_name),
                _ => ReferencePosition::Utf8(is_name, left - 1, 0x80, 0xBF),
            })
        }
        (ReferencePosition::Literal([next, rest @ ..]), _) if *next == byte => {
            Ok(if rest.is_empty() {
                ReferencePosition::After
            } else {
                ReferencePosition::Literal(rest)
            })
        }
        _ => Err(RequestError::JsonMalformed),
    }
}

/// What a name says, in code units of UTF-16: half a character can stand there too (RFC 8259 section 8.2).
fn units(name: &[u8]) -> Vec<u16> {
    let mut rest = std::str::from_utf8(name).unwrap().chars();
    let mut units = Vec::new();
    while let Some(character) = rest.next() {
        if character != '\\' {
            units.extend_from_slice(character.encode_utf16(&mut [0; 2]));
            continue;
        }
        units.push(match rest.next().unwrap() {
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'u' => {
                let digits: String = rest.by_ref().take(4).collect();
                u16::from_str_radix(&digits, 16).unwrap()
            }
            itself => itself as u16,
        });
    }
    units
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    use super::super::JsonCheck;
    use super::*;

    /// A change of a body: where, what is done there, and with which byte.
    type Change = (Index, u8, u8);

    fn characters() -> impl Strategy<Value = String> {
        let escapes = [
            "\\\"",
            "\\\\",
            "\\/",
            "\\b",
            "\\f",
            "\\n",
            "\\r",
            "\\t",
            "\\u0061",
            "\\u00E3",
            "\\u0000",
            "\\ud83d",
            "\\uDE00",
            "\\uD83D\\uDE00",
            "\\u20ac",
        ];
        prop_oneof![
            6 => "[ -!#-\\[\\]-~]{1,9}",
            1 => "[\u{7f}-\u{7ff}]{1,3}",
            1 => "[\u{800}-\u{d7ff}\u{e000}-\u{ffff}]{1,2}",
            1 => "[\u{10000}-\u{10ffff}]{1,2}",
            2 => select(escapes.to_vec()).prop_map(str::to_owned),
        ]
    }

    fn text() -> impl Strategy<Value = String> {
        vec(characters(), 0..5).prop_map(|parts| format!("\"{}\"", parts.concat()))
    }

    /// Some names often, and written in several ways.
    fn name() -> impl Strategy<Value = String> {
        let often = [
            "a",
            "\\u0061",
            "é",
            "\\u00e9",
            "😀",
            "\\ud83d\\ude00",
            "\\ud83d",
            "",
            "amount",
            "amoun\\u0074",
            "identificationData",
            "identificationDat\\u0061",
            "eightlet",
            "eightlet\\u0000",
        ];
        prop_oneof![
            4 => "[a-z]{1,2}".prop_map(|name| format!("\"{name}\"")),
            2 => select(often.to_vec()).prop_map(|name| format!("\"{name}\"")),
            2 => "[a-zA-Z]{3,24}".prop_map(|name| format!("\"{name}\"")),
            1 => (55_usize..140, "[ab]").prop_map(|(times, end)| format!("\"{}{end}\"", "n".repeat(times))),
            1 => text(),
        ]
    }

    fn blanks() -> impl Strategy<Value = String> {
        prop_oneof![8 => Just(String::new()), 1 => Just(" ".into()), 1 => "[ \t\r\n]{0,4}[ ]{0,20}"]
    }

    fn document() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            4 => text(),
            1 => select(vec!["true", "false", "null"]).prop_map(str::to_owned),
            2 => "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?",
        ];
        let leaf =
            (blanks(), leaf, blanks()).prop_map(|(before, leaf, after)| before + &leaf + &after);
        leaf.prop_recursive(6, 60, 8, |inner| {
            let member = (blanks(), name(), blanks(), inner.clone())
                .prop_map(|(before, name, after, value)| format!("{before}{name}{after}:{value}"));
            let short = (name(), select(vec!["0", "\"\"", "{}"]))
                .prop_map(|(name, value)| format!("{name}:{value}"));
            prop_oneof![
                3 => vec(inner, 0..8).prop_map(|items| format!("[{}]", items.join(","))),
                5 => vec(member, 0..8).prop_map(|members| format!("{{{}}}", members.join(","))),
                1 => vec(short, 0..50).prop_map(|members| format!(" {{{}}} ", members.join(","))),
            ]
        })
    }

    fn bounds() -> impl Strategy<Value = JsonBounds> {
        let depth = prop_oneof![1 => 0_u32..8, 3 => Just(64_u32), 1 => any::<u32>()];
        let members = prop_oneof![1 => 0_u32..50, 3 => Just(10_000_u32)];
        (depth, members).prop_map(|(depth, members)| JsonBounds { depth, members })
    }

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let byte = prop_oneof![
            select(b"[]{}:,\"\\u0e1-+.tn \xC3\xA9\n\x1F\xE0\xED\xF4\xA0\x90".to_vec()),
            any::<u8>()
        ];
        vec((any::<Index>(), 0_u8..3, byte), 0..4)
    }

    fn changed(document: &str, changes: &[Change]) -> Vec<u8> {
        let mut body = document.as_bytes().to_vec();
        for (place, what, byte) in changes {
            let place = place.index(body.len() + 1);
            if *what > 0 && place < body.len() {
                body.remove(place);
            }
            if *what < 2 {
                body.insert(place, *byte);
            }
        }
        body
    }

    /// The same verdict after each piece, and at the end. What was refused stays so.
    fn compare<'a>(
        pieces: impl Iterator<Item = &'a [u8]>,
        bounds: JsonBounds,
    ) -> Result<(), TestCaseError> {
        let (mut check, mut reference) = (JsonCheck::new(bounds), Reference::new(bounds));
        for piece in pieces {
            let judged = check.take(piece);
            prop_assert_eq!(judged, reference.take(piece));
            if judged.is_err() {
                prop_assert_eq!(check.take(b" "), judged);
                prop_assert_eq!(check.finish(), judged);
                return Ok(());
            }
            // A body may end here too.
            prop_assert_eq!(check.finish(), reference.finish());
        }
        prop_assert_eq!(check.finish(), reference.finish());
        Ok(())
    }

    proptest! {
        #[test]
        fn each_piece_is_judged_as_byte_by_byte(
            document in document(),
            changes in changes(),
            cuts in vec(any::<Index>(), 0..6),
            bounds in bounds(),
        ) {
            let body = changed(&document, &changes);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
            cuts.push(body.len());
            cuts.sort_unstable();
            let mut begin = 0;
            let pieces = cuts.iter().map(|end| &body[std::mem::replace(&mut begin, *end)..*end]);
            compare(pieces, bounds)?;
            compare([&body[..]].into_iter(), bounds)?;
            compare(body.chunks(1), bounds)?;
        }
    }
}
