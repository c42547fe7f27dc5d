//! What is smaller than a string and larger than a byte, byte by byte: for a piece can end in it.

use crate::request::RequestError;

/// Where in it the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fragment {
    /// After a backslash: whether in a name, here as in the next two.
    Escape(bool),
    /// After `\u`: digits to come.
    Hex(bool, u8),
    /// In a character of several bytes: how many are to come, and the bounds of the next.
    Utf8(bool, u8, u8, u8),
    /// In `true`, `false` or `null`: what is to come.
    Literal(&'static [u8]),
    /// In a number.
    Number(Number),
    /// What comes after a refusal changes nothing.
    Refused(RequestError),
}

impl Fragment {
    /// What in a text does not stand for itself begins.
    pub(super) fn begin(is_name: bool, byte: u8) -> Result<Self, RequestError> {
        match byte {
            b'\\' => Ok(Self::Escape(is_name)),
            // The well-formed sequences of RFC 3629 section 4.
            0xC2..=0xDF => Ok(Self::Utf8(is_name, 1, 0x80, 0xBF)),
            // From 0xA0 on: what is below would spell a shorter character in three bytes.
            0xE0 => Ok(Self::Utf8(is_name, 2, 0xA0, 0xBF)),
            // Up to 0x9F: above are halves of surrogate pairs, which UTF-8 does not have.
            0xED => Ok(Self::Utf8(is_name, 2, 0x80, 0x9F)),
            0xE1..=0xEF => Ok(Self::Utf8(is_name, 2, 0x80, 0xBF)),
            0xF0 => Ok(Self::Utf8(is_name, 3, 0x90, 0xBF)),
            0xF1..=0xF3 => Ok(Self::Utf8(is_name, 3, 0x80, 0xBF)),
            // Up to U+10FFFF.
            0xF4 => Ok(Self::Utf8(is_name, 3, 0x80, 0x8F)),
            _ => Err(RequestError::JsonMalformed),
        }
    }

    /// What is to come after the next byte of an escape, a character or a literal, if anything.
    pub(super) fn next(self, byte: u8) -> Result<Option<Self>, RequestError> {
        match (self, byte) {
            (Self::Escape(is_name), b'u') => Ok(Some(Self::Hex(is_name, 4))),
            // RFC 8259 section 7 has no others; lenient readers take `\'` and `\x`, each in its own way.
            (Self::Escape(_), b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(None),
            (Self::Hex(is_name, left), _) if byte.is_ascii_hexdigit() => {
                Ok((left > 1).then_some(Self::Hex(is_name, left - 1)))
            }
            (Self::Utf8(is_name, left, low, high), _) if (low..=high).contains(&byte) => {
                Ok((left > 1).then_some(Self::Utf8(is_name, left - 1, 0x80, 0xBF)))
            }
            (Self::Literal([next, rest @ ..]), _) if *next == byte => {
                Ok((!rest.is_empty()).then_some(Self::Literal(rest)))
            }
            _ => Err(RequestError::JsonMalformed),
        }
    }
}

/// Where in a number the last byte stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl Number {
    /// After the first byte of a number.
    pub(super) fn begin(byte: u8) -> Self {
        match byte {
            b'-' => Self::Minus,
            b'0' => Self::Zero,
            _ => Self::Whole,
        }
    }

    /// After the next byte, if it belongs to the number.
    pub(super) fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            // No digit follows a zero (RFC 8259 section 6): some readers take 010 for eight.
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

    /// Whether the number may be all of it.
    pub(super) fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Whole | Self::Fraction | Self::Power)
    }
}
