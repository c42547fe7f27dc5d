//! The head of an HTTP/1 request, byte by byte: line endings, field lines, and how long the body is.
//!
//! Looks at the raw bytes because a parser has already forgiven what matters here: pingora drops
//! Content-Length beside Transfer-Encoding, accepts bare LF and percent-encodes control characters.
//! Standard: RFC 9112 sections 2.2, 3, 5, 6.

use super::target::{self, TargetError};
use super::{RequestError, is_host};

/// How the body of a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After this many bytes; zero where nothing is declared.
    Length(u64),
    /// After the last chunk.
    Chunked,
}

/// What the head of a request says of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How the body ends.
    pub framing: Framing,
    /// The scheme and authority of a target in absolute-form: `https://host` before its path.
    pub absolute: Option<Span>,
}

/// A part of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub start: usize,
    /// How long it is.
    pub length: usize,
}

/// Bounds of a request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes from the first of the request line to the empty line.
    pub size: usize,
    /// Field lines.
    pub fields: usize,
}

/// Judges a whole head, which ends in its empty line.
pub fn check_head(head: &[u8], limits: &HeadLimits) -> Result<Head, RequestError> {
    if head.len() > limits.size {
        return Err(RequestError::HeadTooLarge);
    }
    check_line_endings(head)?;
    let mut lines = Lines(head);
    let (method, target, version) = split_request_line(lines.next().unwrap_or_default())?;
    let mut host = None;
    let mut lengths = Lengths::default();
    let mut fields = 0;
    for line in lines.take_while(|line| !line.is_empty()) {
        fields += 1;
        if fields > limits.fields {
            return Err(RequestError::TooManyFields);
        }
        let (name, value) = split_field(line)?;
        lengths.note(name, value)?;
        if name.eq_ignore_ascii_case(b"host") && host.replace(value).is_some() {
            return Err(RequestError::Host);
        }
    }
    let host = host.filter(|host| is_host(host)).ok_or(RequestError::Host)?;
    let prefix = check_target(method, target, host)?;
    let start = method.len() + 1;
    let absolute = (prefix > 0).then_some(Span { start, length: prefix });
    Ok(Head { framing: lengths.conclude(version)?, absolute })
}

/// A path, an absolute URI of the host that the Host field names or, with OPTIONS, an asterisk (RFC 9112 section
/// 3.2). Returns the length of what stands before the path.
fn check_target(method: &[u8], target: &[u8], host: &[u8]) -> Result<usize, RequestError> {
    if method == b"OPTIONS" && target == b"*" {
        return Ok(0);
    }
    let after_scheme =
        [&b"https://"[..], b"http://"].iter().find_map(|scheme| target.strip_prefix(*scheme));
    let path = match after_scheme {
        None => target,
        Some(rest) => {
            let slash = memchr::memchr(b'/', rest).ok_or(RequestError::RequestLine)?;
            let (authority, path) =
                rest.split_at_checked(slash).ok_or(RequestError::RequestLine)?;
            if !authority.eq_ignore_ascii_case(host) {
                return Err(RequestError::Host);
            }
            path
        }
    };
    if !path.starts_with(b"/") {
        return Err(RequestError::Target(TargetError::Form));
    }
    target::check_characters(path).map_err(RequestError::Target)?;
    Ok(target.len() - path.len())
}

/// Every line ends in CRLF, and no other control character but the tab stands anywhere.
fn check_line_endings(head: &[u8]) -> Result<(), RequestError> {
    let is_control = |b: &u8| ((*b < 0x20) & (*b != b'\t')) | (*b == 0x7f);
    // Counted in bytes, a piece at a time, so that the compiler can use vector instructions.
    let count = |piece: &[u8]| piece.iter().fold(0_u8, |n, b| n + u8::from(is_control(b)));
    let controls: usize = head.chunks(128).map(|piece| usize::from(count(piece))).sum();
    let mut line_endings = 0;
    for position in memchr::memchr_iter(b'\n', head) {
        if position.checked_sub(1).and_then(|before| head.get(before)) != Some(&b'\r') {
            return Err(RequestError::Line);
        }
        line_endings += 1;
    }
    if controls == 2 * line_endings { Ok(()) } else { Err(RequestError::Line) }
}

/// The lines of a head whose line endings were judged, without their CRLF.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(b'\r', self.0)?;
        let line = self.0.get(..end)?;
        self.0 = self.0.get(end + 2..)?;
        Some(line)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Minor {
    Zero,
    One,
}

fn split_request_line(line: &[u8]) -> Result<(&[u8], &[u8], Minor), RequestError> {
    let mut parts = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(RequestError::RequestLine);
    };
    let printable = |b: &u8| (0x21..=0x7e).contains(b);
    if !is_token(method) || method.len() > 32 || target.is_empty() || !target.iter().all(printable)
    {
        return Err(RequestError::RequestLine);
    }
    match version {
        b"HTTP/1.1" => Ok((method, target, Minor::One)),
        b"HTTP/1.0" => Ok((method, target, Minor::Zero)),
        _ => Err(RequestError::RequestLine),
    }
}

fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), RequestError> {
    if line.first().is_some_and(|b| matches!(b, b' ' | b'\t')) {
        return Err(RequestError::Folded);
    }
    let colon = memchr::memchr(b':', line).ok_or(RequestError::FieldName)?;
    let (name, rest) = line.split_at_checked(colon).ok_or(RequestError::FieldName)?;
    if !is_token(name) {
        return Err(RequestError::FieldName);
    }
    Ok((name, rest.get(1..).unwrap_or_default().trim_ascii()))
}

/// `token` of RFC 9110 section 5.6.2.
fn is_token(bytes: &[u8]) -> bool {
    let in_token = |b: &u8| {
        b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            )
    };
    !bytes.is_empty() && bytes.iter().all(in_token)
}

/// Whether a field's name is a framing field's with underscores for hyphens: CGI-like backends read
/// both as one variable.
pub fn is_lookalike(name: &str) -> bool {
    let name = name.as_bytes();
    (is_named(name, b"content-length") || is_named(name, b"transfer-encoding"))
        && name.contains(&b'_')
}

/// Compares with case and underscores folded.
fn is_named(name: &[u8], field: &[u8]) -> bool {
    let fold = |b: &u8| {
        if *b == b'_' { b'-' } else { b.to_ascii_lowercase() }
    };
    name.len() == field.len() && name.iter().map(fold).eq(field.iter().copied())
}

#[derive(Default)]
struct Lengths {
    length: Option<u64>,
    chunked: bool,
}

impl Lengths {
    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), RequestError> {
        if is_named(name, b"content-length") {
            if name.contains(&b'_') {
                return Err(RequestError::Lookalike);
            }
            let length = parse_length(value).ok_or(RequestError::Length)?;
            if self.length.replace(length).is_some() {
                return Err(RequestError::Length);
            }
        } else if is_named(name, b"transfer-encoding") {
            if name.contains(&b'_') {
                return Err(RequestError::Lookalike);
            }
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(RequestError::TransferCoding);
            }
            self.chunked = true;
        }
        Ok(())
    }

    fn conclude(self, version: Minor) -> Result<Framing, RequestError> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(RequestError::Length),
            (true, None) if version == Minor::Zero => Err(RequestError::TransferCoding),
            (true, None) => Ok(Framing::Chunked),
            (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
        }
    }
}

/// Digits only: no sign, no list, no blank, at most 18 of them.
fn parse_length(value: &[u8]) -> Option<u64> {
    let fits = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    fits.then(|| value.iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { size: 256, fields: 5 };

    /// Adds the Host that the table leaves out.
    fn check(head: &str) -> Result<Framing, RequestError> {
        let with_host = match head.contains("Host:") {
            true => head.to_owned(),
            false => head.replacen("\r\n", "\r\nHost: a\r\n", 1),
        };
        check_head(with_host.as_bytes(), &LIMITS).map(|head| head.framing)
    }

    #[test]
    fn well_formed_heads_state_their_framing() {
        for (head, framing) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Framing::Length(0)),
            ("POST /a HTTP/1.1\r\nContent-Length: 12\r\n\r\n", Framing::Length(12)),
            ("POST /a HTTP/1.1\r\nContent-Length:\t0012 \r\n\r\n", Framing::Length(12)),
            ("POST /a HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n", Framing::Chunked),
            ("GET / HTTP/1.0\r\n\r\n", Framing::Length(0)),
        ] {
            assert_eq!(check(head), Ok(framing), "{head:?}");
        }
    }

    #[test]
    fn every_single_fault_is_refused() {
        use RequestError as E;
        for (head, error) in [
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", E::Line),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", E::Line),
            ("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", E::Line),
            ("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", E::Line),
            ("GET /\u{7f} HTTP/1.1\r\n\r\n", E::Line),
            ("GET  / HTTP/1.1\r\n\r\n", E::RequestLine),
            ("GET /a b HTTP/1.1\r\n\r\n", E::RequestLine),
            ("GET /\u{e9} HTTP/1.1\r\n\r\n", E::RequestLine),
            ("G@T / HTTP/1.1\r\n\r\n", E::RequestLine),
            ("GET / HTTP/1.2\r\n\r\n", E::RequestLine),
            ("GET / http/1.1\r\n\r\n", E::RequestLine),
            ("GET /\r\n\r\n", E::RequestLine),
            ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", E::Folded),
            ("GET / HTTP/1.1\r\nA : b\r\n\r\n", E::FieldName),
            ("GET / HTTP/1.1\r\n: b\r\n\r\n", E::FieldName),
            ("GET / HTTP/1.1\r\nnothing\r\n\r\n", E::FieldName),
            ("GET / HTTP/1.1\r\nA:\r\nB:\r\nC:\r\nD:\r\nE:\r\n\r\n", E::TooManyFields),
            ("POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n", E::Length),
            ("POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n", E::Length),
            ("POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", E::Length),
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", E::Length),
            (
                "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                E::Length,
            ),
            ("POST / HTTP/1.1\r\nContent_Length: 5\r\n\r\n", E::Lookalike),
            ("POST / HTTP/1.1\r\nTransfer_Encoding: chunked\r\n\r\n", E::Lookalike),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", E::TransferCoding),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                E::TransferCoding,
            ),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", E::TransferCoding),
        ] {
            assert_eq!(check(head), Err(error), "{head:?}");
        }
        for host in ["Host: b\r\nHost: b", "Host: b, b", "Host:", "Host: a b", "Host: u@b", "X: b"]
        {
            let head = format!("GET / HTTP/1.1\r\n{host}\r\n\r\n");
            assert_eq!(check_head(head.as_bytes(), &LIMITS), Err(E::Host), "{host}");
        }
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(256));
        assert_eq!(check(&long), Err(E::HeadTooLarge));
    }

    #[test]
    fn a_target_in_absolute_form_must_name_the_host() {
        let head = |target: &str| {
            let head = format!("GET {target} HTTP/1.1\r\nHost: b:8443\r\n\r\n");
            check_head(head.as_bytes(), &LIMITS).map(|head| head.absolute)
        };
        assert_eq!(head("/a?b=c"), Ok(None));
        assert_eq!(head("https://B:8443/a"), Ok(Some(Span { start: 4, length: 14 })));
        assert_eq!(head("https://other/a"), Err(RequestError::Host));
        assert_eq!(head("https://b:8443"), Err(RequestError::RequestLine));
        for form in ["*", "b:8443", "a", "ftp://b:8443/a"] {
            assert_eq!(head(form), Err(RequestError::Target(TargetError::Form)), "{form}");
        }
        let options = b"OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n";
        assert_eq!(check_head(options, &LIMITS).map(|head| head.absolute), Ok(None));
        assert_eq!(head("/a#b"), Err(RequestError::Target(TargetError::Character)));
    }
}
