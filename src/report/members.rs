//! The members of a JSON object, written one after the other.
//!
//! A line for every exchange is written while it is served: into a buffer that is there, from values most of which
//! need no escape.

use std::cell::Cell;
use std::fmt::Display;
use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use http::HeaderValue;

use super::access_log::timestamp;
use crate::address::text;
use crate::moment::Moment;
use crate::pseudonym;

/// An object that is being written. Each member brings the comma that follows it.
pub(super) struct MemberWriter<'a>(&'a mut Vec<u8>);

/// The name of a member, as it is written with the quote that begins a text: `name!` makes one.
#[derive(Clone, Copy)]
pub(super) struct MemberName(pub(super) &'static str);

/// The name of a member, which needs no escape.
macro_rules! name {
    ($name:literal) => {
        $crate::report::members::MemberName(concat!("\"", $name, "\":\""))
    };
}
pub(super) use name;

thread_local! {
    /// The second that was written last, and its text to the point before its fraction.
    static SECOND: Cell<Option<(u64, [u8; 20])>> = const { Cell::new(None) };
}

impl<'a> MemberWriter<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self(out)
    }

    pub(super) fn end(self) {
        if self.0.last() == Some(&b',') {
            self.0.pop();
        }
        self.0.extend_from_slice(b"}\n");
    }

    #[inline]
    fn name(&mut self, MemberName(name): MemberName) {
        let name = name.strip_suffix('"').unwrap_or(name);
        self.0.extend_from_slice(name.as_bytes());
    }

    /// A text that needs no escape.
    #[inline]
    fn plain(&mut self, MemberName(name): MemberName, text: &[u8]) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(text);
        self.0.extend_from_slice(b"\",");
    }

    /// A text.
    #[inline]
    pub(super) fn text(&mut self, name: MemberName, text: &str) {
        if is_plain(text.as_bytes()) {
            self.plain(name, text.as_bytes());
        } else {
            self.escaped(name, text);
        }
    }

    #[cold]
    fn escaped(&mut self, name: MemberName, text: &str) {
        self.name(name);
        // A vector takes everything.
        let _ = serde_json::to_writer(&mut *self.0, text);
        self.0.push(b',');
    }

    /// A text of the gateway's own, which needs no escape.
    #[inline]
    pub(super) fn word(&mut self, name: MemberName, word: &'static str) {
        debug_assert!(is_plain(word.as_bytes()), "{word} is to be escaped");
        self.plain(name, word.as_bytes());
    }

    /// A text, if there is one.
    #[inline]
    pub(super) fn some(&mut self, name: MemberName, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// A text, or null.
    #[inline]
    pub(super) fn or_null(&mut self, name: MemberName, text: Option<&str>) {
        match text {
            Some(text) => self.text(name, text),
            None => {
                self.name(name);
                self.0.extend_from_slice(b"null,");
            }
        }
    }

    /// What the value of a field says, if it is text.
    #[inline]
    pub(super) fn value(&mut self, name: MemberName, value: &HeaderValue) {
        if is_plain(value.as_bytes()) {
            self.plain(name, value.as_bytes());
        } else {
            self.odd_value(name, value);
        }
    }

    #[cold]
    fn odd_value(&mut self, name: MemberName, value: &HeaderValue) {
        // Bytes that are no text have no place in JSON; the member is left out.
        if let Ok(text) = value.to_str() {
            self.escaped(name, text);
        }
    }

    /// What something shows itself as.
    pub(super) fn shown(&mut self, name: MemberName, value: impl Display) {
        let before = self.0.len();
        self.0.extend_from_slice(name.0.as_bytes());
        let begin = self.0.len();
        // A vector takes everything.
        let _ = write!(self.0, "{value}");
        let written = self.0.get(begin..).unwrap_or_default();
        if is_plain(written) {
            self.0.extend_from_slice(b"\",");
        } else {
            let text = String::from_utf8_lossy(written).into_owned();
            self.0.truncate(before);
            self.escaped(name, &text);
        }
    }

    /// An address.
    pub(super) fn address(&mut self, name: MemberName, address: IpAddr) {
        self.0.extend_from_slice(name.0.as_bytes());
        text::push(self.0, address);
        self.0.extend_from_slice(b"\",");
    }

    /// A number.
    #[inline]
    pub(super) fn number(&mut self, name: MemberName, number: u64) {
        self.name(name);
        self.0.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        self.0.push(b',');
    }

    /// Microseconds.
    #[inline]
    pub(super) fn time(&mut self, name: MemberName, time: Duration) {
        let seconds = time.as_secs().saturating_mul(1_000_000);
        self.number(name, seconds.saturating_add(time.subsec_micros().into()));
    }

    /// The pseudonym of an id, if there is one.
    pub(super) fn pseudonym(&mut self, name: MemberName, id: Option<&HeaderValue>) {
        if let Some(id) = id {
            self.plain(name, &pseudonym::digits(id.as_bytes()));
        }
    }

    /// A point in time, to the millisecond.
    pub(super) fn timestamp(&mut self, name: MemberName, moment: Moment) {
        self.0.extend_from_slice(name.0.as_bytes());
        let second = moment.unix_seconds();
        match SECOND.get() {
            Some((known, text)) if known == second => self.0.extend_from_slice(&text),
            _ => {
                let text = timestamp(moment);
                // Without `123Z`.
                let text = text.as_bytes().get(..text.len().saturating_sub(4)).unwrap_or_default();
                self.0.extend_from_slice(text);
                // A text of another length, as of the year 10000, is made anew each time.
                SECOND.set(text.try_into().ok().map(|text| (second, text)));
            }
        }
        let millis = moment.since_epoch().subsec_millis();
        let digit = |number: u32| b'0' + u8::try_from(number % 10).unwrap_or(0);
        let [hundreds, tens, ones] = [digit(millis / 100), digit(millis / 10), digit(millis)];
        self.0.extend_from_slice(&[hundreds, tens, ones, b'Z', b'"', b',']);
    }
}

/// Whether a text stands in JSON as it is. Looks at eight bytes at once, some of them twice where they do not come out
/// even; of what is not ASCII it does not say.
fn is_plain(text: &[u8]) -> bool {
    if let Some(last) = text.last_chunk::<8>() {
        let (words, _) = text.as_chunks::<8>();
        return words.iter().all(|word| are_plain(*word)) && are_plain(*last);
    }
    match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        (Some([a, b, c, d]), Some([e, f, g, h])) => are_plain([*a, *b, *c, *d, *e, *f, *g, *h]),
        _ => text.iter().all(|byte| are_plain([*byte; 8])),
    }
}

/// Whether each of eight bytes is printed as ASCII, and neither a quote nor a backslash. The first bit of each byte of
/// a word is set where that byte is not.
#[inline]
fn are_plain(bytes: [u8; 8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const FIRST_BITS: u64 = ONES << 7;
    let word = u64::from_ne_bytes(bytes);
    // A byte that borrows from the one before it, or carries over to it, is not plain itself.
    let less_than = |word: u64, least: u8| word.wrapping_sub(ONES * u64::from(least)) & !word;
    let equal_to = |byte: u8| less_than(word ^ (ONES * u64::from(byte)), 1);
    let beyond_tilde = word | word.wrapping_add(ONES);
    let odd = less_than(word, b' ') | equal_to(b'"') | equal_to(b'\\') | beyond_tilde;
    odd & FIRST_BITS == 0
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_json() {
        let mut out = Vec::new();
        let mut object = MemberWriter::begin(&mut out);
        object.text(name!("a"), "plain");
        object.text(name!("b"), "a\"b\\c\nd\u{e9}");
        object.some(name!("c"), None);
        object.or_null(name!("d"), None);
        object.shown(name!("e"), "x\ty");
        object.shown(name!("f"), 7);
        object.number(name!("g"), 12);
        object.time(name!("h"), Duration::from_millis(2));
        object.pseudonym(name!("i"), Some(&HeaderValue::from_static("id")));
        object.value(name!("j"), &HeaderValue::from_static("a\t\"b"));
        object.value(name!("k"), &HeaderValue::from_bytes(b"\xe9").unwrap());
        object.word(name!("l"), "word");
        object.end();
        let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let expected = serde_json::json!({
            "a": "plain", "b": "a\"b\\c\nd\u{e9}", "d": null, "e": "x\ty", "f": "7", "g": 12, "h": 2000,
            "i": pseudonym::of("id"), "j": "a\t\"b", "l": "word",
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
            let mut object = MemberWriter::begin(&mut out);
            object.timestamp(name!("t"), at(millis));
            object.end();
            let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(read["t"], timestamp(at(millis)), "{millis}");
        }
    }

    /// What a member of this text is, to the byte.
    fn written(text: &str) -> String {
        let mut out = Vec::new();
        let mut object = MemberWriter::begin(&mut out);
        object.text(name!("t"), text);
        object.shown(name!("s"), text);
        object.end();
        String::from_utf8(out).unwrap()
    }

    fn expected(text: &str) -> String {
        let text = serde_json::to_string(text).unwrap();
        format!("{{\"t\":{text},\"s\":{text}}}\n")
    }

    #[test]
    fn each_character_is_written_as_serde_writes_it_wherever_it_stands() {
        let awkward = ['\u{80}', '\u{e9}', '\u{2028}', '\u{2029}', '\u{feff}', '\u{10ffff}'];
        for character in ('\0'..='\u{7f}').chain(awkward) {
            // Shorter and longer than what is looked at at once.
            for length in 0..40 {
                for place in 0..=length {
                    let text: String =
                        (0..=length).map(|at| if at == place { character } else { 'x' }).collect();
                    assert_eq!(written(&text), expected(&text), "{character:?} at {place}");
                }
            }
        }
        assert_eq!(written(""), expected(""));
    }

    proptest! {
        #[test]
        fn a_text_is_written_as_serde_writes_it(text in any::<String>(), plain in "[ -~]{0,60}") {
            prop_assert_eq!(written(&text), expected(&text));
            prop_assert_eq!(written(&plain), expected(&plain));
        }

        #[test]
        fn a_value_is_written_if_it_is_text(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
            let mut out = Vec::new();
            let mut object = MemberWriter::begin(&mut out);
            object.value(name!("t"), &value);
            object.end();
            let member = value.to_str().ok().map(|text| serde_json::to_string(text).unwrap());
            let member = member.map_or_else(String::new, |text| format!("\"t\":{text}"));
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{{{member}}}\n"));
        }
    }
}
