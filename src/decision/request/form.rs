//! The form of a request: every question that is put to the fields of its head. Here is the room for another.
//!
//! Takes the parts of a head ([`HeadParts`]) and what it is held against. Gives nothing; refuses with the fact that is wrong.
//! Whatever the route, a head has one plausible host, no look-alike of a framing field, no upgrade, no unknown
//! expectation, and announces no body that is too long; a route asks for media and a key besides.
//!
//! Leaves to others: how a head is read from the wire (`listener`), the target ([`super::target`]), what the media fields
//! say ([`super::media`]), the interaction id (`interaction`), the version (`version`), the token (`token`).

use std::net::Ipv6Addr;

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};

use super::media::{self, Media};
use super::{RequestError, framing};

/// The head of a request as it arrived.
#[derive(Clone, Copy)]
pub struct HeadParts<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as it stands in the target.
    pub path: &'a str,
    /// The query.
    pub query: Option<&'a str>,
    /// The authority of the target, if it has one.
    pub authority: Option<&'a str>,
    /// The protocol version.
    pub version: Version,
    /// The fields.
    pub fields: &'a HeaderMap,
    /// Whether a body follows.
    pub has_body: bool,
    /// A fault found on the wire, before there were fields to look at.
    pub wire_fault: Option<RequestError>,
}

/// Says nothing of what the caller sent: the fields carry its token, the path may carry a policy id.
impl fmt::Debug for HeadParts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeadParts").field("version", &self.version).finish_non_exhaustive()
    }
}

/// What a head is held against, whatever its route.
#[derive(Clone, Copy, Debug)]
pub struct HeadBounds {
    /// Fields.
    pub fields: usize,
    /// Bytes of the body.
    pub body: u64,
}

impl HeadParts<'_> {
    /// Whether it asks of nothing in particular: `OPTIONS *`.
    pub fn is_greeting(&self) -> bool {
        *self.method == Method::OPTIONS && self.path == "*"
    }

    /// Requires what every request has. `server_name` is the host that the connection was made for, if it was.
    ///
    /// # Errors
    ///
    /// The first of these, each a refusal: the fault of the wire, [`RequestError::TooManyFields`], what
    /// [`check_fields`] finds, [`RequestError::BodyTooLarge`] if a longer body is declared.
    pub fn is_well_formed(
        &self,
        most: HeadBounds,
        server_name: Option<&str>,
    ) -> Result<(), RequestError> {
        // Whatever else is wrong: where the wire itself was in doubt, the fields may be another request's.
        self.wire_fault.map_or(Ok(()), Err)?;
        // HTTP/1 has counted lines; HTTP/2's are counted here, with each crumb of a cookie.
        if self.fields.len() > most.fields {
            return Err(RequestError::TooManyFields);
        }
        check_fields(self.version, self.authority, server_name, self.fields)?;
        self.announces_at_most(most.body)
    }

    /// Requires that the caller takes what is answered here, and writes what is read here.
    ///
    /// # Errors
    ///
    /// [`RequestError::NotAcceptable`] or [`RequestError::UnsupportedMedia`], both refusals (RFC 9110
    /// sections 15.5.7 and 15.5.16).
    pub fn is_spoken_here(&self, media: Media) -> Result<(), RequestError> {
        media::check_accepted(self.fields)?;
        media::check_content(self.fields, self.has_body, media)
    }

    /// A declared length that is too long is refused before the body is asked for.
    ///
    /// # Errors
    ///
    /// [`RequestError::BodyTooLarge`], a refusal, if Content-Length is a greater number (RFC 9110 section
    /// 15.5.14).
    pub fn announces_at_most(&self, bytes: u64) -> Result<(), RequestError> {
        let declared = self.fields.get(header::CONTENT_LENGTH);
        // What is no number was refused as the head was read, over HTTP/2 by the library.
        let length = declared.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        match length {
            Some(length) if length > bytes => Err(RequestError::BodyTooLarge),
            _ => Ok(()),
        }
    }

    /// Requires the key by which an operation can be asked for twice.
    ///
    /// # Errors
    ///
    /// As [`check_idempotency_key`].
    pub fn is_repeatable(&self) -> Result<(), RequestError> {
        check_idempotency_key(self.fields)
    }
}

const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Judges the fields that matter whatever the protocol version: exactly one plausible host, no
/// look-alike of a framing field, no upgrade, no unknown expectation.
///
/// # Errors
///
/// The first fault, a refusal: `Host`, `Misdirected`, `Lookalike`, `Upgrade`, over HTTP/2 `TransferCoding`,
/// `Length` or `FieldName` (RFC 9113 section 8.2), `Expectation`, all of [`RequestError`].
pub fn check_fields(
    version: Version,
    authority: Option<&str>,
    server_name: Option<&str>,
    headers: &HeaderMap,
) -> Result<(), RequestError> {
    let host = check_host(authority, headers)?;
    if server_name.is_some_and(|name| !is_same_host(host, name)) {
        return Err(RequestError::Misdirected);
    }
    // Over HTTP/2 for the first time: underscores are legal there, and a CGI-like backend reads HTTP/1.
    if headers.keys().any(|name| framing::is_lookalike(name.as_str())) {
        return Err(RequestError::Lookalike);
    }
    // HTTP/2 has no connection-level fields (RFC 9113 section 8.2.2): h2 refuses them itself.
    if headers.contains_key(header::UPGRADE) || headers.contains_key(HTTP2_SETTINGS) {
        return Err(RequestError::Upgrade);
    }
    if version == Version::HTTP_2 {
        check_fields_of_http2(headers)?;
    }
    // RFC 9110 section 10.1.1 has 417 for it; the one expectation that exists has no case. Each line, for a list may
    // come in several.
    let is_met = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    match headers.get_all(header::EXPECT).iter().all(is_met) {
        true => Ok(()),
        false => Err(RequestError::Expectation),
    }
}

/// What a head of HTTP/1 is refused for as it is read, and the library lets pass: whoever reads the fields behind the
/// gateway reads them from lines (RFC 9113 section 8.2.1).
fn check_fields_of_http2(headers: &HeaderMap) -> Result<(), RequestError> {
    // RFC 9113 section 8.2.2 forbids it: behind the gateway it would frame the body.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(RequestError::TransferCoding);
    }
    // The library takes two that are equal, and passes on both.
    if headers.get_all(header::CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(RequestError::Length);
    }
    let is_blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
    let has_outer_blanks = |value: &HeaderValue| {
        is_blank(value.as_bytes().first()) || is_blank(value.as_bytes().last())
    };
    match headers.values().any(has_outer_blanks) {
        true => Err(RequestError::FieldName),
        false => Ok(()),
    }
}

/// One host, from the Host field or the target's authority; if both stand, they agree (RFC 9112
/// section 3.2, RFC 9113 section 8.3.1).
fn check_host<'a>(
    authority: Option<&'a str>,
    headers: &'a HeaderMap,
) -> Result<&'a [u8], RequestError> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().map(|value| value.as_bytes());
    if hosts.next().is_some() {
        return Err(RequestError::Host);
    }
    let agreed = match (host, authority) {
        // RFC 9113 section 8.3.1: with both, a gateway and a backend could serve two sites.
        (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority.as_bytes()) => None,
        (host, authority) => host.or(authority.map(str::as_bytes)),
    };
    agreed.filter(|host| is_host(host)).ok_or(RequestError::Host)
}

/// Whether a request's host is the one that its connection was made for, ports aside: by that name the
/// handshake chose what the gateway presents (RFC 9110 section 7.4).
fn is_same_host(host: &[u8], server_name: &str) -> bool {
    // The last colon, and none within brackets: an IPv6 literal has some of its own.
    let name = match host.iter().rposition(|b| *b == b':') {
        Some(colon) if !host.ends_with(b"]") => host.get(..colon).unwrap_or_default(),
        _ => host,
    };
    // An absolute name is the same host; SNI has it without the dot (RFC 6066 section 3).
    let name = name.strip_suffix(b".").unwrap_or(name);
    name.eq_ignore_ascii_case(server_name.as_bytes())
}

/// `host [ ":" port ]`, with the characters of a registered name or an IP literal.
pub(super) fn is_host(value: &[u8]) -> bool {
    // No percent-encoding and no sub-delims, which RFC 3986 allows and DNS does not; internal names have
    // underscores.
    let in_host = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let (host, port) = match value.iter().rposition(|b| *b == b':') {
        Some(_) if value.ends_with(b"]") => (value, &b""[..]),
        Some(colon) => match value.split_at_checked(colon) {
            Some((host, rest)) => (host, rest.get(1..).unwrap_or_default()),
            None => return false,
        },
        None => (value, &b""[..]),
    };
    let literal = host.strip_prefix(b"[").and_then(|h| h.strip_suffix(b"]"));
    let host_fits = match literal {
        // RFC 3986 section 3.2.2; other versions of IP and zones name nobody here.
        Some(address) => {
            std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
        }
        None => host.iter().all(in_host),
    };
    !host.is_empty()
        // As long as a name of DNS may be (RFC 1035 section 2.3.4).
        && value.len() <= 255
        && host_fits
        && port.len() <= 5
        && port.iter().all(u8::is_ascii_digit)
        // RFC 3986 section 3.2.3 allows an empty port, which two readers may complete differently.
        && !value.ends_with(b":")
}

/// The field that makes an initiation safe to repeat.
pub const IDEMPOTENCY_KEY: &str = "x-idempotency-key";

/// Requires one key of the published pattern `^(?!\s)(.*)(\S)$`, at most 40 characters. The pattern
/// needs look-around, hence by hand.
///
/// # Errors
///
/// [`RequestError::IdempotencyKeyMissing`] without the field, [`RequestError::IdempotencyKeyMalformed`] if it
/// stands twice or is not of the pattern. Both are refusals.
pub fn check_idempotency_key(headers: &HeaderMap) -> Result<(), RequestError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let value = values.next().ok_or(RequestError::IdempotencyKeyMissing)?.as_bytes();
    let blank = |b: Option<&u8>| b.is_none_or(u8::is_ascii_whitespace);
    let well_formed = values.next().is_none()
        // Bytes and characters are the same: what is not ASCII is refused.
        && value.len() <= 40
        && value.is_ascii()
        && !blank(value.first())
        && !blank(value.last());
    if well_formed { Ok(()) } else { Err(RequestError::IdempotencyKeyMalformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn a_host_is_one_name_with_an_optional_port() {
        for good in ["api.local", "api.local:8443", "127.0.0.1:1", "[::1]", "[::1]:443"] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in ["", "a,b", "a b", "a:", ":80", "a:b", "a:123456", "a/b", "a@b", "[::1", "[x]"] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn every_single_fault_of_the_fields_is_refused() {
        let check = |fields: &[(&'static str, &str)]| {
            check_fields(Version::HTTP_11, None, None, &headers(fields))
        };
        assert_eq!(check(&[("host", "a"), ("expect", "100-Continue")]), Ok(()));
        for (fields, error) in [
            (vec![], RequestError::Host),
            (vec![("host", "a"), ("host", "a")], RequestError::Host),
            (vec![("host", "a"), ("transfer_encoding", "chunked")], RequestError::Lookalike),
            (vec![("host", "a"), ("content_length", "5")], RequestError::Lookalike),
            (vec![("host", "a"), ("upgrade", "websocket")], RequestError::Upgrade),
            (vec![("host", "a"), ("http2-settings", "AAMAAABk")], RequestError::Upgrade),
            (vec![("host", "a"), ("expect", "200-ok")], RequestError::Expectation),
        ] {
            assert_eq!(check(&fields), Err(error), "{fields:?}");
        }
        for (fields, error) in [
            (vec![("host", "a"), ("transfer-encoding", "chunked")], RequestError::TransferCoding),
            (
                vec![("host", "a"), ("content-length", "0"), ("content-length", "0")],
                RequestError::Length,
            ),
            (vec![("host", "a"), ("x-a", " b")], RequestError::FieldName),
            (vec![("host", "a"), ("x-a", "b\t")], RequestError::FieldName),
        ] {
            let checked = check_fields(Version::HTTP_2, None, None, &headers(&fields));
            assert_eq!(checked, Err(error), "{fields:?}");
        }
        let contradicted =
            check_fields(Version::HTTP_2, Some("b"), None, &headers(&[("host", "a")]));
        assert_eq!(contradicted, Err(RequestError::Host));
    }

    #[test]
    fn an_idempotency_key_stands_once_without_outer_blanks() {
        let check = |values: &[&str]| {
            let fields: Vec<_> = values.iter().map(|v| (IDEMPOTENCY_KEY, *v)).collect();
            check_idempotency_key(&headers(&fields))
        };
        let longest = "k".repeat(40);
        let too_long = "k".repeat(41);
        for good in ["k", "a b", longest.as_str()] {
            assert_eq!(check(&[good]), Ok(()), "{good}");
        }
        assert_eq!(check(&[]), Err(RequestError::IdempotencyKeyMissing));
        for bad in [vec![""], vec![" k"], vec!["k "], vec![too_long.as_str()], vec!["a", "b"]] {
            assert_eq!(check(&bad), Err(RequestError::IdempotencyKeyMalformed), "{bad:?}");
        }
    }
}
