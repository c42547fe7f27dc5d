//! The head of a request, whichever version of HTTP it came over: what the stages judge, and what the backend is told.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};

use super::RequestError;
use super::form;
use super::framing::{self, HeadLimits};
use crate::http1::body::Framing;
use crate::http1::line::{Minor, Span};

/// What a request asks for of which nothing can be made out: logged as `_OTHER`.
const UNKNOWN: &str = "UNKNOWN";

/// A head.
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The version.
    pub version: Version,
    /// The authority of the target, if it has one beside Host.
    pub authority: Option<Bytes>,
    /// The fields.
    pub fields: HeaderMap,
    /// Path and query, as they arrived.
    target: Bytes,
    path: usize,
}

/// Says nothing of what the caller sent: the fields carry its token, the path may carry a policy id.
impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead").field("version", &self.version).finish_non_exhaustive()
    }
}

impl RequestHead {
    /// A head of these parts; `target` is path and query.
    pub fn new(method: Method, version: Version, target: Bytes, fields: HeaderMap) -> Self {
        // The first one: further ones belong to the query (RFC 3986 section 3.4).
        let path = memchr::memchr(b'?', &target).unwrap_or(target.len());
        Self { method, version, authority: None, fields, target, path }
    }

    /// The path as it stands in the target.
    pub fn path(&self) -> &str {
        self.text(0, self.path)
    }

    /// The query.
    pub fn query(&self) -> Option<&str> {
        (self.path < self.target.len()).then(|| self.text(self.path + 1, self.target.len()))
    }

    /// What is judged is printable ASCII; anything else is no path at all.
    fn text(&self, start: usize, end: usize) -> &str {
        let part = self.target.get(start..end).unwrap_or_default();
        std::str::from_utf8(part).unwrap_or_default()
    }

    /// The authority of the target, if it has one.
    pub fn authority(&self) -> Option<&str> {
        // Of HTTP/2 alone, whose library has parsed it: ASCII, and no default.
        self.authority.as_ref().map(|authority| std::str::from_utf8(authority).unwrap_or_default())
    }

    /// The host that is asked for. The target's authority goes first (RFC 9113 section 8.3.1); where both stand, they
    /// agree, or the request is refused.
    pub fn host(&self) -> Option<&[u8]> {
        let host = || self.fields.get(header::HOST).map(HeaderValue::as_bytes);
        self.authority.as_deref().or_else(host)
    }

    /// What of it is judged, with what its connection knows besides.
    pub fn judged(&self, has_body: bool, wire_fault: Option<RequestError>) -> form::HeadParts<'_> {
        form::HeadParts {
            method: &self.method,
            path: self.path(),
            query: self.query(),
            authority: self.authority(),
            version: self.version,
            fields: &self.fields,
            has_body,
            wire_fault,
        }
    }

    /// Whether it declares a length.
    pub fn declares_length(&self) -> bool {
        self.fields.contains_key(header::CONTENT_LENGTH)
    }

    /// The length that it declares, if it is one number. HTTP/1 requests declare one or none.
    pub fn declared_length(&self) -> Option<u64> {
        let value = self.fields.get(header::CONTENT_LENGTH)?;
        crate::http1::line::parse_length(value.as_bytes())
    }

    /// Reads a whole head of HTTP/1, which ends in its empty line.
    ///
    /// # Errors
    ///
    /// What [`framing::check_head`] finds, a refusal. What that lets pass, the library takes.
    pub fn read(head: Bytes, limits: &HeadLimits) -> Result<(Self, Framing), RequestError> {
        // Room for most heads, so that the map does not grow; more are admitted.
        let mut fields = HeaderMap::with_capacity(24);
        let mut is_named = true;
        let outline = framing::check_head(&head, limits, |name, value| {
            match (name_of(name), value_of(&head, value)) {
                (Some(name), Some(value)) => {
                    fields.append(name, value);
                }
                // Never met, for the check of the head is stricter than the library; refused if it is.
                _ => is_named = false,
            }
        })?;
        if !is_named {
            return Err(RequestError::FieldName);
        }
        // A token, as was checked; the library takes the same.
        let method = Method::from_bytes(outline.method.of(&head));
        let method = method.map_err(|_| RequestError::RequestLine)?;
        let version = match outline.minor {
            Minor::Zero => Version::HTTP_10,
            Minor::One => Version::HTTP_11,
        };
        let Span { start, length } = outline.target;
        let target = head.slice(start..start + length);
        Ok((Self::new(method, version, target, fields), outline.framing))
    }

    /// What can be made out of a request that is none: what was asked for, so that it is counted and logged as that;
    /// the interaction id, so that the answer can echo it; and whom it came from, so that a load balancer is not held
    /// to what passes through it.
    pub fn made_out(received: &[u8], fault: RequestError) -> Self {
        use RequestError as E;
        let (method, target) = asked_for(received).unwrap_or((UNKNOWN.as_bytes(), None));
        let mut fields = HeaderMap::new();
        let name = crate::interaction::FIELD;
        // What is echoed from a head that nobody could read must not be more than an id's characters.
        let is_id = |b: &u8| b.is_ascii_alphanumeric() || b"-: ".contains(b);
        if let Some(line) = field_lines(received).find(|line| is_field(line, name.as_str())) {
            append(&mut fields, name, Some(line).filter(|line| line.iter().all(is_id)));
        }
        // A head that is cut, or whose lines end in doubt, may lack what the balancer added.
        let is_whole =
            !matches!(fault, E::Line | E::RequestLine | E::HeadTooLarge | E::HeadTimeout);
        let is_address = |b: &u8| b.is_ascii_alphanumeric() || b"-.:,[] ".contains(b);
        let name = crate::address::FORWARDED_FOR;
        for line in field_lines(received).filter(|line| is_whole && is_field(line, name.as_str())) {
            // A line that a caller began with anything goes on with what the balancer added: what is no address's
            // becomes a character that none has, and ends the trail there as it does in a good head.
            let plain = |b: &u8| if is_address(b) { *b } else { b'-' };
            let line: Vec<u8> = line.iter().map(plain).collect();
            append(&mut fields, name.clone(), Some(&line));
        }
        // `asked_for` gives letters alone, so that the default is never met.
        let method = Method::from_bytes(method).unwrap_or(Method::GET);
        let target = target.unwrap_or(b"/");
        Self::new(method, Version::HTTP_11, BytesMut::from(target).freeze(), fields)
    }
}

/// The names that the ecosystem's clients send and the `http` crate does not know: each other one is a text of its own.
static KNOWN: [HeaderName; 6] = [
    crate::interaction::FIELD,
    HeaderName::from_static("x-v"),
    HeaderName::from_static("x-idempotency-key"),
    HeaderName::from_static("x-fapi-auth-date"),
    HeaderName::from_static("x-fapi-customer-ip-address"),
    HeaderName::from_static("x-customer-user-agent"),
];

fn name_of(name: &[u8]) -> Option<HeaderName> {
    if let [b'x' | b'X', b'-', ..] = name {
        let is_it = |known: &&HeaderName| known.as_str().as_bytes().eq_ignore_ascii_case(name);
        if let Some(known) = KNOWN.iter().find(is_it) {
            return Some(known.clone());
        }
    }
    HeaderName::from_bytes(name).ok()
}

fn value_of(head: &Bytes, Span { start, length }: Span) -> Option<HeaderValue> {
    let end = start.checked_add(length).filter(|end| *end <= head.len())?;
    // Shares the bytes of the head: no copy of each value, and each value keeps all of the head alive.
    HeaderValue::from_maybe_shared(head.slice(start..end)).ok()
}

fn append(fields: &mut HeaderMap, name: HeaderName, line: Option<&[u8]>) {
    let value = line.and_then(|line| line.get(name.as_str().len() + 1..));
    if let Some(value) = value.and_then(|v| HeaderValue::from_bytes(v.trim_ascii()).ok()) {
        fields.append(name, value);
    }
}

/// The fields of a head of which nothing is known, without the request line.
fn field_lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    // By bare line feeds, too: the head may be refused for them.
    head.split(|b| *b == b'\n').skip(1).map(|line| line.trim_ascii_end()).filter(|l| !l.is_empty())
}

fn is_field(line: &[u8], name: &str) -> bool {
    let of_name = line.get(..name.len()).unwrap_or_default();
    of_name.eq_ignore_ascii_case(name.as_bytes()) && line.get(name.len()) == Some(&b':')
}

/// The method of a request line, and its target if that is a path. Nothing if the line itself is in doubt.
fn asked_for(received: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let end = memchr::memmem::find(received, b"\r\n")?;
    let line = received.get(..end)?;
    let mut parts = line.split(|b| *b == b' ');
    let (method, target, version) = (parts.next()?, parts.next()?, parts.next()?);
    // Letters, not tokens: of a broken line no odd name must reach logs and metrics.
    let is_method = method.iter().all(u8::is_ascii_alphabetic) && (1..=32).contains(&method.len());
    if !is_method || !version.starts_with(b"HTTP/") || parts.next().is_some() {
        return None;
    }
    let is_path = |target: &&[u8]| {
        target.starts_with(b"/") && super::target::check_characters(target).is_ok()
    };
    // An absolute URI is left out: whether its host was Host's nobody has judged.
    Some((method, Some(target).filter(is_path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { size: 1000, fields: 10 };

    #[test]
    fn a_head_is_its_parts() {
        let text = b"POST https://b/a/c?d=%2f&e HTTP/1.1\r\nHost: b\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 007\r\n\r\n";
        let (head, framing) = RequestHead::read(Bytes::from_static(text), &LIMITS).unwrap();
        assert_eq!((head.path(), head.query()), ("/a/c", Some("d=%2f&e")));
        assert_eq!((head.method, framing), (Method::POST, Framing::Length(7)));
        assert_eq!(head.fields.get_all("x-a").iter().count(), 2);
        let text = Bytes::from_static(b"GET /a? HTTP/1.0\r\nHost: b\r\n\r\n");
        let (head, _) = RequestHead::read(text, &LIMITS).unwrap();
        assert_eq!((head.path(), head.query(), head.version), ("/a", Some(""), Version::HTTP_10));
        assert_eq!(head.declared_length(), None);
    }

    #[test]
    fn what_was_asked_for_is_made_out() {
        let asked = |received: &[u8]| {
            let head = RequestHead::made_out(received, RequestError::Chunk);
            format!("{} {}{}", head.method, head.path(), head.query().map_or("", |_| "?"))
        };
        assert_eq!(asked(b"POST /a?b HTTP/1.1\r\nx: y\r\n\r\n"), "POST /a?");
        assert_eq!(asked(b"HEAD /a HTTP/1.1\r\n"), "HEAD /a");
        assert_eq!(asked(b"POST http://b/a HTTP/1.1\r\n"), "POST /");
        assert_eq!(asked(b"GET /a\x01 HTTP/1.1\r\n"), "GET /");
        assert_eq!(asked(b"CONNECT b:1 HTTP/1.1\r\n"), "CONNECT /");
        for doubtful in [&b"GET /a"[..], b"\r\n", b"G T\r\n", b"G\xff /a HTTP/1.1\r\n"] {
            assert_eq!(asked(doubtful), "UNKNOWN /");
        }
    }

    #[test]
    fn of_what_is_none_the_interaction_id_is_kept_and_nothing_else() {
        let received = b"GET /a\x01 HTTP/1.1\r\nX-Fapi-Interaction-Id: abc-1\r\nHost: b\r\n\r\n";
        let head = RequestHead::made_out(received, RequestError::Host);
        assert_eq!(head.fields.get("x-fapi-interaction-id").unwrap(), "abc-1");
        assert_eq!(head.fields.len(), 1);
        let forged = b"GET / HTTP/1.1\r\nx-fapi-interaction-id: a\x01b\r\n\r\n";
        assert!(RequestHead::made_out(forged, RequestError::Line).fields.is_empty());
        let hops = b"GET / HTTP/1.1\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";
        assert_eq!(RequestHead::made_out(hops, RequestError::Host).fields.len(), 1);
        assert!(RequestHead::made_out(hops, RequestError::Line).fields.is_empty());
    }
}
