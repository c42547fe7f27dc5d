//! The request target as one canonical path.
//!
//! Gives the path in the form that is routed AND forwarded: double slashes merged (the official test
//! client sends them), one at the end left out (some participants registered base paths that have it, and
//! conformance tools append to them), percent-encoded unreserved characters decoded, hexadecimal in upper case. What
//! could name another resource to another reader is refused: dot segments, backslashes, NUL and
//! control characters, plain or encoded, once or twice; invalid UTF-8. An encoded slash stays encoded:
//! a consent id is a URN and may contain one (RFC 3986 section 6.2.2, OPIN consents pattern).

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;
use thiserror::Error;

use crate::http1::line::{ByteSet, byte_set};

/// Why a target is not one canonical path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TargetError {
    /// Not an absolute path.
    #[error("not an absolute path")]
    Form,
    /// A character that RFC 3986 does not allow there.
    #[error("a character that may not stand in a URI")]
    Character,
    /// `%` without two hexadecimal digits.
    #[error("an incomplete percent-encoding")]
    Encoding,
    /// `.` or `..` as a segment, plain or encoded.
    #[error("a dot segment")]
    DotSegment,
    /// A backslash, NUL or control character, encoded once or twice.
    #[error("an encoded control character, backslash or encoded encoding")]
    Disguise,
    /// The decoded path is not UTF-8.
    #[error("the decoded path is not UTF-8")]
    Utf8,
}

/// A canonical path and the query as it arrived.
#[derive(Clone, PartialEq, Eq)]
pub struct Target<'a> {
    path: Cow<'a, str>,
    query: Option<&'a str>,
}

/// Says nothing: the path may carry a policy id or a consent id.
impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Target(..)")
    }
}

impl<'a> Target<'a> {
    /// Judges a path and a query.
    ///
    /// # Errors
    ///
    /// Any of [`TargetError`], a refusal: the path is none ([`TargetError::Form`]), or could name another
    /// resource to another reader. In the query only characters are judged ([`TargetError::Character`]).
    pub fn parse(path: &'a str, query: Option<&'a str>) -> Result<Self, TargetError> {
        if !path.starts_with('/') {
            return Err(TargetError::Form);
        }
        // Again for HTTP/2, whose library is content with more; for HTTP/1 it was judged as it was read.
        if !IN_PATH.has_all(path.as_bytes()) {
            return Err(TargetError::Character);
        }
        if query.is_some_and(|query| !IN_QUERY.has_all(query.as_bytes())) {
            return Err(TargetError::Character);
        }
        let path = if is_plain(path) { Cow::Borrowed(path) } else { Cow::Owned(canonical(path)?) };
        Ok(Self { path, query })
    }

    /// The canonical path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query without its question mark.
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// Whether path and query are the ones that arrived.
    pub fn is_as_received(&self) -> bool {
        matches!(self.path, Cow::Borrowed(_))
    }
}

/// Judges the characters of a path and its query, as they stand in a request line.
pub(super) fn check_characters(target: &[u8]) -> Result<(), TargetError> {
    let question = memchr::memchr(b'?', target).unwrap_or(target.len());
    let (path, query) = target.split_at_checked(question).unwrap_or((target, b""));
    // The question mark may stand in a query, too.
    let fits = IN_PATH.has_all(path) && IN_QUERY.has_all(query);
    if fits { Ok(()) } else { Err(TargetError::Character) }
}

static IN_PATH: ByteSet = byte_set!(may_stand_in_path);
static IN_QUERY: ByteSet = byte_set!(may_stand_in_query);

/// `pchar`, `/` and `%` of RFC 3986 section 3.3.
const fn may_stand_in_path(byte: u8) -> bool {
    is_unreserved(byte) || matches!(byte, b'!' | b'$'..=b',' | b'/' | b':' | b';' | b'=' | b'@')
}

/// What RFC 3986 section 3.4 allows, and the brackets and pipes that clients send unencoded.
const fn may_stand_in_query(byte: u8) -> bool {
    may_stand_in_path(byte) || matches!(byte, b'?' | b'[' | b']' | b'|')
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Nothing to decode, merge or refuse: the common case, which costs no allocation.
fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    let ends_in_slash = bytes.len() > 1 && bytes.ends_with(b"/");
    memchr::memchr(b'%', bytes).is_none() && !ends_in_slash && !has_odd_segment(bytes)
}

/// Whether a segment is empty, or begins as a dot segment or a parameter does.
fn has_odd_segment(path: &[u8]) -> bool {
    let next = path.get(1..).unwrap_or_default();
    // A fold rather than `any`, so that the compiler can use vector instructions.
    let is_odd = |(a, b): (&u8, &u8)| (*a == b'/') & matches!(*b, b'/' | b'.' | b';');
    path.iter().zip(next).map(is_odd).fold(false, |any, odd| any | odd)
}

fn canonical(path: &str) -> Result<String, TargetError> {
    let mut canonical = String::with_capacity(path.len());
    // Merged, as the official test client writes `quote-auto//v1` and tools append a slash (decision 13).
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        canonical.push('/');
        push_segment(&mut canonical, segment)?;
    }
    if canonical.is_empty() {
        canonical.push('/');
    }
    Ok(canonical)
}

fn push_segment(canonical: &mut String, segment: &str) -> Result<(), TargetError> {
    // Once, as a backend would: what would still be encoded then is looked at below.
    let decoded = percent_decode_str(segment).decode_utf8().map_err(|_| TargetError::Utf8)?;
    // An encoded slash ends a segment for a backend that decodes first.
    if decoded.split('/').any(is_dots) {
        return Err(TargetError::DotSegment);
    }
    // A backslash is a slash on some systems, a control character ends a string or a log line in others.
    if decoded.contains(|c: char| c.is_control() || c == '\\') || hides_an_encoding(&decoded) {
        return Err(TargetError::Disguise);
    }
    let mut rest = segment;
    while let Some((plain, encoded)) = rest.split_once('%') {
        canonical.push_str(plain);
        let digits = encoded.get(..2).ok_or(TargetError::Encoding)?;
        let byte = hexadecimal(digits).ok_or(TargetError::Encoding)?;
        // RFC 3986 section 6.2.2.2: encoded or not they are the same, and rules of routes compare texts.
        if is_unreserved(byte) {
            canonical.push(char::from(byte));
        } else {
            // Reserved ones stay encoded: `%2F` within a consent id is no separator.
            canonical.push('%');
            canonical.push_str(&digits.to_ascii_uppercase());
        }
        rest = encoded.get(2..).unwrap_or_default();
    }
    canonical.push_str(rest);
    Ok(())
}

/// `.` or `..`, or what becomes one of them or nothing in a servlet container, which takes path
/// parameters (`;...`) away before it resolves segments.
fn is_dots(part: &str) -> bool {
    match part.split_once(';') {
        None => matches!(part, "." | ".."),
        // A segment of parameters alone becomes an empty one, and two slashes one: another depth.
        Some((name, _)) => matches!(name, "" | "." | ".."),
    }
}

/// `%2e`, `%2f`, `%5c`, `%3b` or a control character behind a second layer of encoding.
fn hides_an_encoding(decoded: &str) -> bool {
    decoded.split('%').skip(1).any(|after| {
        after
            .get(..2)
            .and_then(hexadecimal)
            .is_some_and(|b| b.is_ascii_control() || b"./\\%;".contains(&b))
    })
}

/// Two hexadecimal digits; no sign, which `from_str_radix` alone would take.
fn hexadecimal(digits: &str) -> Option<u8> {
    let all_digits = digits.bytes().all(|b| b.is_ascii_hexdigit());
    if all_digits { u8::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> Result<String, TargetError> {
        Target::parse(text, None).map(|target| target.path().to_owned())
    }

    #[test]
    fn equivalent_paths_have_one_form() {
        for (given, canonical) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a//b", "/a/b"),
            ("//a///b/", "/a/b"),
            ("/a/", "/a"),
            ("/a//", "/a"),
            ("//", "/"),
            ("/x%2F", "/x%2F"),
            ("/x%2F/", "/x%2F"),
            ("/%61%2D%7e", "/a-~"),
            ("/urn%3aopin%3A1", "/urn%3Aopin%3A1"),
            ("/x%2fy", "/x%2Fy"),
            ("/urn:opin:1", "/urn:opin:1"),
            ("/100%25", "/100%25"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a...b/.well-known", "/a...b/.well-known"),
        ] {
            assert_eq!(path(given).as_deref(), Ok(canonical), "{given}");
        }
    }

    #[test]
    fn every_disguise_is_refused() {
        use TargetError as E;
        for (given, error) in [
            ("a", E::Form),
            ("*", E::Form),
            ("", E::Form),
            ("/a b", E::Character),
            ("/a\\b", E::Character),
            ("/a#b", E::Character),
            ("/a\"b", E::Character),
            ("/é", E::Character),
            ("/%", E::Encoding),
            ("/%4", E::Encoding),
            ("/%zz", E::Encoding),
            ("/%+1", E::Encoding),
            ("/a/../b", E::DotSegment),
            ("/a/./b", E::DotSegment),
            ("/..", E::DotSegment),
            ("/%2e%2e/b", E::DotSegment),
            ("/.%2E/b", E::DotSegment),
            ("/x%2f..%2fy", E::DotSegment),
            ("/a/..;/b", E::DotSegment),
            ("/a/..;x=1", E::DotSegment),
            ("/a/.;/b", E::DotSegment),
            ("/a/;x/b", E::DotSegment),
            ("/a/;", E::DotSegment),
            ("/a/%2e%2e;/b", E::DotSegment),
            ("/a/..%3bx/b", E::DotSegment),
            ("/x%2f..;y%2fz", E::DotSegment),
            ("/%00", E::Disguise),
            ("/a%0d%0ab", E::Disguise),
            ("/%7f", E::Disguise),
            ("/a%5cb", E::Disguise),
            ("/%252e%252e/b", E::Disguise),
            ("/%252f", E::Disguise),
            // Decoded twice, its parameters taken away, it is `..`.
            ("/a/..%253b/b", E::Disguise),
            ("/a/x%253By", E::Disguise),
            ("/%2500", E::Disguise),
            ("/%ff", E::Utf8),
            ("/%c3%28", E::Utf8),
        ] {
            assert_eq!(path(given), Err(error), "{given}");
        }
    }

    #[test]
    fn a_query_is_kept_as_it_arrived_or_refused() {
        assert_eq!(
            Target::parse("/a", Some("page=1&x=%2f")).unwrap().query(),
            Some("page=1&x=%2f")
        );
        for bad in ["a b", "a\\b", "a#b", "é", "a\u{1}"] {
            assert_eq!(Target::parse("/a", Some(bad)), Err(TargetError::Character), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_stable(given in "/[a-zA-Z0-9%./~:-]{0,40}") {
            if let Ok(once) = path(&given) {
                prop_assert_eq!(path(&once), Ok(once.clone()));
                prop_assert!(!once.contains("//"));
                prop_assert!(once == "/" || !once.ends_with('/'));
            }
        }
    }
}
