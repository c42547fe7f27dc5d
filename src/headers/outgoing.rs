//! The head of a request to a backend, written from what was judged and from nothing else: the method, the canonical
//! target, one Host, the fields that pass, what is told of the caller, one length or none.
//!
//! What is written is read by whatever stands there. So a last look is taken at each part: a byte that could end a
//! line or a part of one is refused, not repaired (RFC 9112 section 11.1).

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::caller::{self, CallerFacts, Passing};
use crate::request::RequestHead;

/// A request for a backend.
pub struct Outgoing<'a> {
    /// As it arrived.
    pub head: &'a RequestHead,
    /// The canonical path, where it differs from the one that arrived.
    pub path: Option<&'a str>,
    /// How long its body is; nothing where it has none.
    pub length: Option<u64>,
    /// The Host that its servers get, if not the caller's.
    pub host: Option<&'a HeaderValue>,
    /// What of the caller's fields they get.
    pub passing: &'a Passing,
    /// Whether its answer must not be coded.
    pub is_plain: bool,
    /// Who calls.
    pub caller: CallerFacts<'a>,
}

/// A part that would be read as something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forbidden;

/// Writes the head.
pub fn write(out: &mut Vec<u8>, request: &Outgoing<'_>) -> Result<(), Forbidden> {
    let Outgoing { head, path, length, host, passing, is_plain, caller } = request;
    out.reserve(1024);
    target(out, head, *path)?;
    let asked = head.host();
    let host = host.map(HeaderValue::as_bytes).or(asked).ok_or(Forbidden)?;
    field(out, "host", host)?;
    for (name, value) in &head.fields {
        if *is_plain && *name == header::ACCEPT_ENCODING {
            continue;
        }
        if passing.admits(name) && !is_written_here(name) {
            field(out, name.as_str(), value.as_bytes())?;
        }
    }
    if *is_plain && head.fields.contains_key(header::ACCEPT_ENCODING) {
        field(out, "accept-encoding", b"identity")?;
    }
    if passing.admits(&header::COOKIE) {
        cookies(out, &head.fields)?;
    }
    let mut told = Ok(());
    caller::tell(*caller, passing, |name, value| {
        told = told.and_then(|()| field(out, name.as_str(), value));
    });
    told?;
    if let Some(asked) = asked {
        field(out, "x-forwarded-host", asked)?;
    }
    if let Some(length) = length {
        push_length(out, *length);
    }
    // Some servers answer a HEAD with a body: kept, the connection would give it to who comes next.
    if head.method == Method::HEAD {
        field(out, "connection", b"close")?;
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn target(out: &mut Vec<u8>, head: &RequestHead, path: Option<&str>) -> Result<(), Forbidden> {
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    let begin = out.len();
    out.extend_from_slice(path.unwrap_or(head.path()).as_bytes());
    if let Some(query) = head.query() {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    let target = out.get(begin..).unwrap_or_default();
    if !target.starts_with(b"/") || !target.iter().all(|b| (0x21..=0x7e).contains(b)) {
        return Err(Forbidden);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    Ok(())
}

/// Host and length are the gateway's word, cookies are joined.
fn is_written_here(name: &HeaderName) -> bool {
    *name == header::HOST || *name == header::CONTENT_LENGTH || *name == header::COOKIE
}

/// HTTP/2 may send a cookie in crumbs; a backend of HTTP/1.1 gets one line (RFC 9113 section 8.2.3).
fn cookies(out: &mut Vec<u8>, fields: &HeaderMap) -> Result<(), Forbidden> {
    let mut crumbs = fields.get_all(header::COOKIE).iter();
    let Some(first) = crumbs.next() else { return Ok(()) };
    out.extend_from_slice(b"cookie: ");
    value(out, first.as_bytes())?;
    for crumb in crumbs {
        out.extend_from_slice(b"; ");
        value(out, crumb.as_bytes())?;
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// The names of fields are tokens by their type.
fn field(out: &mut Vec<u8>, name: &str, content: &[u8]) -> Result<(), Forbidden> {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    value(out, content)?;
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn value(out: &mut Vec<u8>, value: &[u8]) -> Result<(), Forbidden> {
    let ends = |b: &u8| matches!(b, b'\r' | b'\n' | 0);
    if value.iter().any(ends) {
        return Err(Forbidden);
    }
    out.extend_from_slice(value);
    Ok(())
}

fn push_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    crate::http1::line::push_decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_line_is_refused() {
        let mut out = Vec::new();
        assert_eq!(field(&mut out, "a", b"b\tc \xff"), Ok(()));
        assert_eq!(out, b"a: b\tc \xff\r\n");
        for bad in [&b"b\r"[..], b"b\nc", b"\0"] {
            assert_eq!(field(&mut out, "a", bad), Err(Forbidden));
        }
    }

    #[test]
    fn crumbs_are_one_cookie() {
        let mut fields = HeaderMap::new();
        for crumb in ["a=1", "b=2", "c=3"] {
            fields.append(header::COOKIE, crumb.parse().unwrap());
        }
        let mut out = Vec::new();
        cookies(&mut out, &fields).unwrap();
        assert_eq!(out, b"cookie: a=1; b=2; c=3\r\n");
    }
}
