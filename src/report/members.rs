//! The members of a JSON object, written one after the other.
//!
//! A line for every exchange is written while it is served: into a buffer that is there, from values most of which
//! need no escape.

use std::cell::RefCell;
use std::fmt::Display;
use std::io::Write;
use std::time::Duration;

use super::access_log::timestamp;
use crate::http1::line::push_decimal;
use crate::moment::Moment;
use crate::pseudonym;

/// An object that is being written.
pub(super) struct Members<'a> {
    out: &'a mut Vec<u8>,
    /// What stands before the next member.
    separator: u8,
}

thread_local! {
    /// The second that was written last, and its text to the point before its fraction.
    static SECOND: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

impl<'a> Members<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        Self { out, separator: b'{' }
    }

    pub(super) fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }

    fn name(&mut self, name: &str) {
        self.out.extend_from_slice(&[self.separator, b'"']);
        self.separator = b',';
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.string(text);
    }

    fn string(&mut self, text: &str) {
        let is_plain = |b: u8| b >= 0x20 && b != b'"' && b != b'\\';
        if text.bytes().all(is_plain) {
            self.out.push(b'"');
            self.out.extend_from_slice(text.as_bytes());
            self.out.push(b'"');
        } else {
            // A vector takes everything.
            let _ = serde_json::to_writer(&mut *self.out, text);
        }
    }

    /// A text, if there is one.
    pub(super) fn some(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// A text, or null.
    pub(super) fn or_null(&mut self, name: &str, text: Option<&str>) {
        match text {
            Some(text) => self.text(name, text),
            None => {
                self.name(name);
                self.out.extend_from_slice(b"null");
            }
        }
    }

    /// What something shows itself as.
    pub(super) fn shown(&mut self, name: &str, value: impl Display) {
        self.name(name);
        let begin = self.out.len() + 1;
        self.out.push(b'"');
        let _ = write!(self.out, "{value}");
        let is_plain = |b: &u8| *b >= 0x20 && *b != b'"' && *b != b'\\';
        let written = self.out.get(begin..).unwrap_or_default();
        if written.iter().all(is_plain) {
            self.out.push(b'"');
        } else {
            let text = String::from_utf8_lossy(written).into_owned();
            self.out.truncate(begin - 1);
            self.string(&text);
        }
    }

    /// A number.
    pub(super) fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        push_decimal(self.out, number);
    }

    /// Microseconds.
    pub(super) fn time(&mut self, name: &str, time: Duration) {
        self.number(name, u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// The pseudonym of an id, if there is one.
    pub(super) fn pseudonym(&mut self, name: &str, id: Option<&str>) {
        if let Some(id) = id {
            self.name(name);
            self.out.push(b'"');
            pseudonym::write(self.out, id);
            self.out.push(b'"');
        }
    }

    /// A point in time, to the millisecond.
    pub(super) fn timestamp(&mut self, name: &str, moment: Moment) {
        self.name(name);
        let second = moment.unix_seconds();
        SECOND.with_borrow_mut(|(known, text)| {
            if *known != second || text.is_empty() {
                *text = timestamp(moment);
                // Without `123Z`.
                text.truncate(text.len().saturating_sub(4));
                *known = second;
            }
            self.out.push(b'"');
            self.out.extend_from_slice(text.as_bytes());
        });
        let _ = write!(self.out, "{:03}Z\"", moment.since_epoch().subsec_millis());
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn what_is_written_is_json() {
        let mut out = Vec::new();
        let mut object = Members::begin(&mut out);
        object.text("a", "plain");
        object.text("b", "a\"b\\c\nd\u{e9}");
        object.some("c", None);
        object.or_null("d", None);
        object.shown("e", "x\ty");
        object.shown("f", 7);
        object.number("g", 12);
        object.time("h", Duration::from_millis(2));
        object.pseudonym("i", Some("id"));
        object.end();
        let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let expected = serde_json::json!({
            "a": "plain", "b": "a\"b\\c\nd\u{e9}", "d": null, "e": "x\ty", "f": "7", "g": 12, "h": 2000,
            "i": pseudonym::of("id"),
        });
        assert_eq!(read, expected);
        assert!(out.ends_with(b"}\n"));
    }

    #[test]
    fn a_point_in_time_is_the_same_by_way_of_what_is_kept() {
        let at =
            |millis: u64| Moment::at(Duration::ZERO, UNIX_EPOCH + Duration::from_millis(millis));
        for millis in [0, 999, 1000, 1_772_334_000_007, 1_772_334_000_123, 5] {
            let mut out = Vec::new();
            let mut object = Members::begin(&mut out);
            object.timestamp("t", at(millis));
            object.end();
            let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(read["t"], timestamp(at(millis)), "{millis}");
        }
    }
}
