//! The head of a request to a backend, written from what was judged and from nothing else: the method, the canonical
//! target, one Host, the fields that pass, what is told of the caller, one length or none.
//!
//! What is written is read by whatever stands there. So a last look is taken at all of it: where more lines came about
//! than were written, or a line has a byte that could end it, it is refused, not repaired (RFC 9112 section 11.1).

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::caller::{self, CallerFacts, Passing};
use crate::http1::line;
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
    let mut out = HeadLines::begin(out);
    out.target(head, *path)?;
    let asked = head.host();
    // Admission refuses a request without one; a line `Host:` with nothing would be
    // each server's to interpret.
    let host = host.map(HeaderValue::as_bytes).or(asked).ok_or(Forbidden)?;
    out.field("host", host);
    for (name, value) in &head.fields {
        if *is_plain && *name == header::ACCEPT_ENCODING {
            continue;
        }
        if passing.admits(name) && !is_written_here(name) {
            out.field(name.as_str(), value.as_bytes());
        }
    }
    // Not only left out: without the field any coding is acceptable (RFC 9110 section 12.5.3).
    if *is_plain {
        out.field("accept-encoding", b"identity");
    }
    if passing.admits(&header::COOKIE) {
        out.cookies(&head.fields);
    }
    caller::tell(*caller, passing, |name, value| out.field(name.as_str(), value));
    // The caller's, of which a server with a `host` of its own would else know nothing; its own
    // such field never passes.
    if let Some(asked) = asked {
        out.field("x-forwarded-host", asked);
    }
    if let Some(length) = length {
        out.length(*length);
    }
    // Some servers answer a HEAD with a body: kept, the connection would give it to who comes next.
    if head.method == Method::HEAD {
        out.field("connection", b"close");
    }
    out.end()
}

/// Host and length are the gateway's word, cookies are joined.
fn is_written_here(name: &HeaderName) -> bool {
    *name == header::HOST || *name == header::CONTENT_LENGTH || *name == header::COOKIE
}

/// The lines of a head, as they are written.
struct HeadLines<'a> {
    out: &'a mut Vec<u8>,
    begin: usize,
    written: usize,
}

impl<'a> HeadLines<'a> {
    fn begin(out: &'a mut Vec<u8>) -> Self {
        out.reserve(1024);
        let begin = out.len();
        Self { out, begin, written: 0 }
    }

    fn put(&mut self, part: &[u8]) {
        self.out.extend_from_slice(part);
    }

    fn end_line(&mut self) {
        self.put(b"\r\n");
        self.written += 1;
    }

    fn target(&mut self, head: &RequestHead, path: Option<&str>) -> Result<(), Forbidden> {
        self.put(head.method.as_str().as_bytes());
        self.put(b" ");
        let begin = self.out.len();
        self.put(path.unwrap_or(head.path()).as_bytes());
        if let Some(query) = head.query() {
            self.put(b"?");
            self.put(query.as_bytes());
        }
        let target = self.out.get(begin..).unwrap_or_default();
        // Judged before, and once more where it is written: a blank here begins another version, a line end
        // another message.
        if !target.starts_with(b"/") || !target.iter().all(|b| (0x21..=0x7e).contains(b)) {
            return Err(Forbidden);
        }
        self.put(b" HTTP/1.1");
        self.end_line();
        Ok(())
    }

    /// The names of fields are tokens by their type.
    fn field(&mut self, name: &str, value: &[u8]) {
        self.put(name.as_bytes());
        self.put(b": ");
        self.put(value);
        self.end_line();
    }

    /// HTTP/2 may send a cookie in crumbs; a backend of HTTP/1.1 gets one line (RFC 9113 section 8.2.3).
    fn cookies(&mut self, fields: &HeaderMap) {
        let mut crumbs = fields.get_all(header::COOKIE).iter();
        let Some(first) = crumbs.next() else { return };
        self.put(b"cookie: ");
        self.put(first.as_bytes());
        for crumb in crumbs {
            self.put(b"; ");
            self.put(crumb.as_bytes());
        }
        self.end_line();
    }

    fn length(&mut self, length: u64) {
        self.put(b"content-length: ");
        line::push_decimal(self.out, length);
        self.end_line();
    }

    /// Ends the head, if it is what was written and nothing else.
    fn end(mut self) -> Result<(), Forbidden> {
        self.end_line();
        let written = self.out.get(self.begin..).unwrap_or_default();
        if line::count(written) == Some(self.written) { Ok(()) } else { Err(Forbidden) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_line_is_refused() {
        let head_of = |value: &[u8]| {
            let mut out = b"before\n".to_vec();
            let mut lines = HeadLines::begin(&mut out);
            lines.field("a", value);
            lines.end().map(|()| out)
        };
        assert_eq!(head_of(b"b\tc \xff"), Ok(b"before\na: b\tc \xff\r\n\r\n".to_vec()));
        for bad in [&b"b\r"[..], b"b\nc", b"\0", b"b\r\nx: c", b"\r\n", b"\n", b"b\r\n"] {
            assert_eq!(head_of(bad), Err(Forbidden), "{bad:?}");
        }
    }

    #[test]
    fn crumbs_are_one_cookie() {
        let mut fields = HeaderMap::new();
        for crumb in ["a=1", "b=2", "c=3"] {
            fields.append(header::COOKIE, crumb.parse().unwrap());
        }
        let mut out = Vec::new();
        HeadLines::begin(&mut out).cookies(&fields);
        assert_eq!(out, b"cookie: a=1; b=2; c=3\r\n");
    }
}
