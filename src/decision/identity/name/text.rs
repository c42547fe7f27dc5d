//! Reading a distinguished name from text (RFC 4514 section 3).

use super::value::AttributeValue;
use super::{Attribute, KEYWORDS, Name, NameError};

pub(super) fn parse(text: &str) -> Result<Name, NameError> {
    let mut reader = NameReader { text, at: 0 };
    let mut parts = Vec::new();
    reader.skip_blanks();
    if reader.rest().is_empty() {
        return Ok(Name { parts });
    }
    let mut part = Vec::new();
    loop {
        part.push(reader.attribute()?);
        match reader.next() {
            None => break,
            Some('+') => {}
            // RFC 2253 also had semicolons.
            Some(_) => parts.push(std::mem::take(&mut part)),
        }
    }
    parts.push(part);
    Ok(Name { parts })
}

struct NameReader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> NameReader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn skip_blanks(&mut self) {
        let blanks = self.rest().len() - self.rest().trim_start_matches(' ').len();
        self.at += blanks;
    }

    fn fault<T>(at: usize, what: &'static str) -> Result<T, NameError> {
        Err(NameError { at, what })
    }

    fn attribute(&mut self) -> Result<Attribute, NameError> {
        self.skip_blanks();
        let from = self.at;
        let Some(length) = self.rest().find('=') else {
            return Self::fault(self.text.len(), "an attribute has no =");
        };
        let kind = self.rest().get(..length).unwrap_or_default().trim_end_matches(' ');
        let Some(oid) = oid_of(kind) else {
            return Self::fault(from, "no known name of an attribute and no dotted OID");
        };
        self.at += length + 1;
        self.skip_blanks();
        let value = match self.peek() {
            Some('#') => self.encoded()?,
            Some('"') => self.quoted()?,
            _ => self.plain()?,
        };
        Ok(Attribute { oid, value })
    }

    /// `#` and DER in hexadecimal.
    fn encoded(&mut self) -> Result<AttributeValue, NameError> {
        let from = self.at;
        let length = self.rest().find([',', '+', ';']).unwrap_or(self.rest().len());
        let digits = self.rest().get(1..length).unwrap_or_default().trim_end_matches(' ');
        self.at += length;
        let value = from_hexadecimal(digits).and_then(AttributeValue::decode);
        value.map_or_else(|| Self::fault(from, "not one DER value in hexadecimal"), Ok)
    }

    /// `"text"`, as RFC 2253 had it.
    fn quoted(&mut self) -> Result<AttributeValue, NameError> {
        let from = self.at;
        self.next();
        let mut bytes = Vec::new();
        loop {
            match self.peek() {
                None => return Self::fault(from, "a quotation has no end"),
                Some('"') => break,
                Some(_) => self.character(&mut bytes)?,
            }
        }
        self.next();
        self.skip_blanks();
        if !matches!(self.peek(), None | Some(',' | '+' | ';')) {
            return Self::fault(self.at, "text after a quotation");
        }
        Self::text(from, bytes)
    }

    fn plain(&mut self) -> Result<AttributeValue, NameError> {
        let from = self.at;
        let mut bytes = Vec::new();
        // Bytes up to the last one that is no blank, or is an escaped one.
        let mut kept = 0;
        while let Some(next) = self.peek() {
            match next {
                ',' | '+' | ';' => break,
                // RFC 4514 section 3: left unescaped, two readers end the value at two places.
                '"' | '<' | '>' => return Self::fault(self.at, "a character that must be escaped"),
                _ => self.character(&mut bytes)?,
            }
            if next != ' ' {
                kept = bytes.len();
            }
        }
        bytes.truncate(kept);
        Self::text(from, bytes)
    }

    /// One character, or one escaped: `\,` or a byte as `\2c`.
    fn character(&mut self, bytes: &mut Vec<u8>) -> Result<(), NameError> {
        let from = self.at;
        let Some(character) = self.next() else {
            return Ok(());
        };
        if character != '\\' {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(());
        }
        // Hexadecimal first, as RFC 4514 section 3 reads `\2c`; no escaped character is a hexadecimal digit.
        let byte = self.rest().get(..2).and_then(from_hexadecimal);
        match (byte, self.peek()) {
            (Some(byte), _) => {
                self.at += 2;
                bytes.extend(byte);
            }
            (None, Some(c)) if " \"#+,;<=>\\".contains(c) => {
                self.at += 1;
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return Self::fault(from, "an escape of nothing that is escaped"),
        }
        Ok(())
    }

    fn text(from: usize, bytes: Vec<u8>) -> Result<AttributeValue, NameError> {
        // Only now: a character may be escaped byte by byte (`\c3\a9`).
        let text = String::from_utf8(bytes);
        text.map_or_else(|_| Self::fault(from, "not UTF-8"), |text| Ok(AttributeValue::Plain(text)))
    }
}

fn oid_of(kind: &str) -> Option<String> {
    let known = KEYWORDS.iter().find(|(keyword, _)| keyword.eq_ignore_ascii_case(kind));
    if let Some((_, oid)) = known {
        return Some((*oid).to_owned());
    }
    // openssl and RFC 2253 write it; the standard says without.
    let dotted = kind.strip_prefix("OID.").or(kind.strip_prefix("oid.")).unwrap_or(kind);
    let is_arc = |arc: &str| !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit());
    (dotted.contains('.') && dotted.split('.').all(is_arc)).then(|| dotted.to_owned())
}

fn from_hexadecimal(digits: &str) -> Option<Vec<u8>> {
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) || !digits.len().is_multiple_of(2) {
        return None;
    }
    // All ASCII by now: no cut falls into a character.
    let pairs = (0..digits.len()).step_by(2).filter_map(|at| digits.get(at..at + 2));
    pairs.map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}
