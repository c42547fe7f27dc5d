//! The head of an HTTP/1 request, byte by byte: line endings, field lines, and how long the body is.
//!
//! Looks at the raw bytes because a parser has already forgiven what matters here: pingora drops
//! Content-Length beside Transfer-Encoding, accepts bare LF and percent-encodes control characters.
//! Standard: RFC 9112 sections 2.2, 3, 5, 6.

use super::target::{self, TargetError};
use super::{RequestError, is_host};
use crate::http1::body::Framing;
use crate::http1::line::{self, Lines, Minor, Span, is_token};

/// What the head of a request says, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outline {
    /// How the body ends.
    pub framing: Framing,
    /// The method.
    pub method: Span,
    /// The target from its path on: scheme and authority of an absolute-form say what Host says.
    pub target: Span,
    /// The version.
    pub minor: Minor,
}

/// Bounds of a request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes from the first of the request line to the empty line.
    pub size: usize,
    /// Field lines.
    pub fields: usize,
}

/// Judges a whole head, which ends in its empty line, and gives each field of it.
///
/// # Errors
///
/// The first fault, a refusal: `HeadTooLarge`, `Line`, `RequestLine`, `TooManyFields`, `Folded`, `FieldName`,
/// `Lookalike`, `Length`, `TransferCoding`, `Host`, or `Target` with a form or a character that no path has,
/// all of [`RequestError`]. `field` may have been called by then.
pub fn check_head<'a>(
    head: &'a [u8],
    limits: &HeadLimits,
    mut field: impl FnMut(&'a [u8], Span),
) -> Result<Outline, RequestError> {
    // First: everything below takes time for each byte.
    if head.len() > limits.size {
        return Err(RequestError::HeadTooLarge);
    }
    // Before lines are split: a bare CR or LF would be the end of a line to another reader (RFC 9112 section
    // 2.2).
    if !line::are_sound(head) {
        return Err(RequestError::Line);
    }
    let mut lines = Lines::of(head);
    let first = lines.next().map_or(&b""[..], |(_, line)| line);
    let (method, target, minor) = split_request_line(first)?;
    let mut host = None;
    let mut lengths = Lengths::default();
    let mut fields = 0;
    for (start, line) in lines.take_while(|(_, line)| !line.is_empty()) {
        fields += 1;
        if fields > limits.fields {
            return Err(RequestError::TooManyFields);
        }
        let (name, value) = split_field(line)?;
        field(name, line::span_in(start, line, value));
        lengths.note(name, value)?;
        // Even the same one twice: a list of hosts is read from either end (RFC 9112 section 3.2).
        if name.eq_ignore_ascii_case(b"host") && host.replace(value).is_some() {
            return Err(RequestError::Host);
        }
    }
    // In HTTP/1.0 too, where it may be absent: some backend would choose a site of its own.
    let host = host.filter(|host| is_host(host)).ok_or(RequestError::Host)?;
    let prefix = check_target(method, target, host)?;
    let target =
        Span { start: method.len() + 1 + prefix, length: target.len().saturating_sub(prefix) };
    let method = Span { start: 0, length: method.len() };
    Ok(Outline { framing: lengths.conclude(minor)?, method, target, minor })
}

/// A path, an absolute URI of the host that the Host field names or, with OPTIONS, an asterisk (RFC 9112 section
/// 3.2). Returns the length of what stands before the path.
fn check_target(method: &[u8], target: &[u8], host: &[u8]) -> Result<usize, RequestError> {
    // CONNECT's authority gets no such exception: it never is a path here (RFC 9112 section 3.2.3).
    if method == b"OPTIONS" && target == b"*" {
        return Ok(0);
    }
    // A scheme has no case (RFC 3986 section 3.1).
    let after_scheme = [&b"https://"[..], b"http://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let path = match after_scheme {
        None => target,
        Some(rest) => {
            // `http://host?query` has no path: a path of `/` would have to be written for it (RFC 9112
            // section 3.2.1).
            let slash = memchr::memchr(b'/', rest).ok_or(RequestError::RequestLine)?;
            let (authority, path) =
                rest.split_at_checked(slash).ok_or(RequestError::RequestLine)?;
            // Userinfo and another spelling of a port are others: a backend gets one host, and must not
            // choose.
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

fn split_request_line(line: &[u8]) -> Result<(&[u8], &[u8], Minor), RequestError> {
    // One blank and no more: section 3 lets recipients take any whitespace, and each takes another.
    let mut parts = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(RequestError::RequestLine);
    };
    // No byte from 0x80 on: what it would decode to is each reader's own.
    let printable = |b: &u8| (0x21..=0x7e).contains(b);
    // A method is a name in logs and metrics; the longest that is registered has 17 bytes.
    if !is_token(method) || method.len() > 32 || target.is_empty() || !target.iter().all(printable)
    {
        return Err(RequestError::RequestLine);
    }
    match version {
        b"HTTP/1.1" => Ok((method, target, Minor::One)),
        b"HTTP/1.0" => Ok((method, target, Minor::Zero)),
        // HTTP/2.0 in a line, HTTP/0.9 and lower case among them.
        _ => Err(RequestError::RequestLine),
    }
}

fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), RequestError> {
    // Refused and not joined, as RFC 9112 section 5.2 lets a server: a backend might not join it.
    if line.first().is_some_and(|b| matches!(b, b' ' | b'\t')) {
        return Err(RequestError::Folded);
    }
    line::split_field(line).ok_or(RequestError::FieldName)
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
        // Compared with underscores folded: a backend that reads names so would see a second length.
        if is_named(name, b"content-length") {
            if name.contains(&b'_') {
                return Err(RequestError::Lookalike);
            }
            // No list of equal ones, which RFC 9110 section 8.6 would let a recipient mend: another reader
            // may take the first digits.
            let length = line::parse_length(value).ok_or(RequestError::Length)?;
            if self.length.replace(length).is_some() {
                return Err(RequestError::Length);
            }
        } else if is_named(name, b"transfer-encoding") {
            if name.contains(&b'_') {
                return Err(RequestError::Lookalike);
            }
            // Exactly this: of `gzip, chunked` or a coding it does not know a backend may read no body, or
            // all that comes.
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(RequestError::TransferCoding);
            }
            self.chunked = true;
        }
        Ok(())
    }

    fn conclude(self, version: Minor) -> Result<Framing, RequestError> {
        match (self.chunked, self.length) {
            // RFC 9112 section 6.1: refused, though section 6.3 lets chunks count. This is how requests are
            // smuggled.
            (true, Some(_)) => Err(RequestError::Length),
            // RFC 9112 section 6.1 has such framing treated as faulty.
            (true, None) if version == Minor::Zero => Err(RequestError::TransferCoding),
            (true, None) => Ok(Framing::Chunked),
            // RFC 9112 section 6.3: a request without either has no body, unlike an answer.
            (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { size: 256, fields: 5 };

    fn outline(head: &str) -> Result<Outline, RequestError> {
        check_head(head.as_bytes(), &LIMITS, |_, _| {})
    }

    /// Adds the Host that the table leaves out.
    fn check(head: &str) -> Result<Framing, RequestError> {
        let with_host = match head.contains("Host:") {
            true => head.to_owned(),
            false => head.replacen("\r\n", "\r\nHost: a\r\n", 1),
        };
        outline(&with_host).map(|head| head.framing)
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
            assert_eq!(outline(&head), Err(E::Host), "{host}");
        }
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(256));
        assert_eq!(check(&long), Err(E::HeadTooLarge));
    }

    #[test]
    fn a_target_in_absolute_form_must_name_the_host() {
        let target = |target: &str| {
            let head = format!("GET {target} HTTP/1.1\r\nHost: b:8443\r\n\r\n");
            outline(&head).map(|outline| {
                String::from_utf8(outline.target.of(head.as_bytes()).to_vec()).unwrap()
            })
        };
        assert_eq!(target("/a?b=c").as_deref(), Ok("/a?b=c"));
        for absolute in ["https://B:8443/a", "HTTPS://b:8443/a", "http://b:8443/a"] {
            assert_eq!(target(absolute).as_deref(), Ok("/a"), "{absolute}");
        }
        assert_eq!(target("https://other/a"), Err(RequestError::Host));
        assert_eq!(target("https://b:8443"), Err(RequestError::RequestLine));
        for form in ["*", "b:8443", "a", "ftp://b:8443/a"] {
            assert_eq!(target(form), Err(RequestError::Target(TargetError::Form)), "{form}");
        }
        let options = "OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n";
        let target_of_options = outline(options).map(|head| head.target);
        assert_eq!(target_of_options, Ok(Span { start: 8, length: 1 }));
        assert_eq!(target("/a#b"), Err(RequestError::Target(TargetError::Character)));
    }

    #[test]
    fn every_field_is_given_as_it_stands() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nX-B:\t c d \r\nE:\r\n\r\n";
        let mut fields = Vec::new();
        let outline = check_head(head, &LIMITS, |name, value| fields.push((name, value.of(head))));
        assert_eq!(outline.map(|outline| outline.method.of(head)), Ok(&b"GET"[..]));
        let expected: [(&[u8], &[u8]); 3] = [(b"Host", b"a"), (b"X-B", b"c d"), (b"E", b"")];
        assert_eq!(fields, expected);
    }
}
