//! The value of an attribute: its text, if it is a string, and its DER.

use std::fmt;

use icu_normalizer::ComposingNormalizerBorrowed;
use x509_parser::der_parser::asn1_rs::{Any, FromDer, Tag, ToDer};

/// A value. What was read from plain text has no DER; what is no string has no text.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum AttributeValue {
    Plain(String),
    Encoded { der: Vec<u8>, text: Option<String> },
}

impl AttributeValue {
    /// The value in a certificate.
    pub(super) fn of(any: &Any<'_>) -> Self {
        // Writing back what was just read cannot fail.
        Self::Encoded { der: any.to_der_vec().unwrap_or_default(), text: text_of(any) }
    }

    /// One whole DER value.
    pub(super) fn decode(der: Vec<u8>) -> Option<Self> {
        let (rest, any) = Any::from_der(&der).ok()?;
        let (is_whole, text) = (rest.is_empty(), text_of(&any));
        is_whole.then_some(Self::Encoded { text, der })
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Plain(text) => Some(text),
            Self::Encoded { text, .. } => text.as_deref(),
        }
    }

    /// caseIgnoreMatch for strings; other values must be the same.
    pub(super) fn matches(&self, other: &Self) -> bool {
        match (self.text(), other.text()) {
            // DER of both kinds of string compares as text: PrintableString and UTF8String may name one
            // organisation.
            (Some(ours), Some(theirs)) => {
                prepare(ours).is_some_and(|ours| prepare(theirs) == Some(ours))
            }
            _ => self == other,
        }
    }

    /// After a keyword: escaped text, or DER if it is no string.
    pub(super) fn write_text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => escape(text, f),
            None => self.write_der(f),
        }
    }

    /// After a dotted OID: DER, if it is known.
    pub(super) fn write_der(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => escape(text, f),
            Self::Encoded { der, .. } => {
                f.write_str("#")?;
                der.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

fn text_of(any: &Any<'_>) -> Option<String> {
    let bytes = any.data;
    match any.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString => {
            std::str::from_utf8(bytes).ok().map(str::to_owned)
        }
        Tag::BmpString => {
            let units = bytes.chunks_exact(2);
            let is_whole = units.remainder().is_empty();
            // Two bytes each: the conversion cannot fail, and an odd byte at the end is asked for below.
            let units = units.filter_map(|unit| unit.try_into().ok().map(u16::from_be_bytes));
            char::decode_utf16(units).collect::<Result<_, _>>().ok().filter(|_| is_whole)
        }
        // What a TeletexString means is disputed; it is compared as it is.
        _ => None,
    }
}

/// RFC 4514 section 2.4, and control characters too, which a terminal would obey.
fn escape(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let last = text.char_indices().next_back().map(|(at, _)| at);
    for (at, character) in text.char_indices() {
        let is_edge = at == 0 || Some(at) == last;
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => write!(f, "\\{character}")?,
            ' ' if is_edge => f.write_str("\\ ")?,
            '#' if at == 0 => f.write_str("\\#")?,
            c if c.is_control() => {
                c.encode_utf8(&mut [0; 4])
                    .bytes()
                    .try_for_each(|byte| write!(f, "\\{byte:02x}"))?;
            }
            c => write!(f, "{c}")?,
        }
    }
    Ok(())
}

/// RFC 4518: mapped, normalised (NFKC), case folded, blanks that mean nothing taken away. Nothing comes of
/// a string with characters that are prohibited, so that it matches none.
fn prepare(text: &str) -> Option<String> {
    let mapped: String = text.chars().filter_map(mapped).collect();
    // Up and down again, character by character: SS is what ß folds to, and a final sigma is one.
    let folded = mapped.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    let folded: String = folded.collect();
    // NFKC makes capitals of some signs (U+2121 is TEL), hence folded again after it.
    let normal = ComposingNormalizerBorrowed::new_nfkc().normalize(&folded);
    let again = normal.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    let normal: String = again.collect();
    if normal.chars().any(is_prohibited) {
        return None;
    }
    // RFC 4518 section 2.6.1: how many blanks stand somewhere means nothing.
    Some(normal.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "))
}

/// Section 2.2: some characters become a blank, some vanish.
fn mapped(character: char) -> Option<char> {
    match character {
        '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | '\u{85}' => Some(' '),
        '\u{a0}'
        | '\u{1680}'
        | '\u{2000}'..='\u{200a}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{202f}'
        | '\u{205f}'
        | '\u{3000}' => Some(' '),
        '\u{ad}'
        | '\u{34f}'
        | '\u{1806}'
        | '\u{180b}'..='\u{180d}'
        | '\u{200b}'..='\u{200d}'
        | '\u{2060}'
        | '\u{feff}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{fffc}' => None,
        c => Some(c),
    }
}

/// Section 2.4, and what changes only how a text looks: two names that differ must not look alike by it.
fn is_prohibited(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{fffd}' | '\u{e000}'..='\u{f8ff}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{206f}' | '\u{f0000}'..='\u{10ffff}')
}
