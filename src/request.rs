//! The request as it stands on the wire: can it be one canonical request?
//!
//! A legacy backend must receive exactly one request for each that is admitted, and must read it as
//! the gateway read it. So everything that two parsers could read differently is refused here: line
//! endings and framing ([`framing`], [`chunked`]), the target ([`target`]), the host, look-alikes of
//! the framing fields, upgrades; and the media that OPIN does not speak ([`media`]), JSON that
//! is none, or more of it than is bounded ([`json`]).
//!
//! Standards: RFC 9110, 9112 (stricter than they ask), RFC 3986; OPIN portal, HTTP headers. Leaves to
//! others: which fields the backend is told (`headers`), whether the target exists (`route`).

pub mod framing;
pub mod chunked;
pub mod target;
pub mod media;
pub mod json;

use http::{HeaderMap, Version, header};
use thiserror::Error;

pub use framing::Framing;
pub use target::{Target, TargetError};

/// Bytes of a body that are received whole before a backend is chosen: the most that the framework keeps
/// of one. A body of undeclared length must fit.
pub const KEPT_BODY: u64 = 64 * 1024;

/// Why a request cannot be one canonical request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// A line that does not end in CRLF, or a control character.
    #[error("a line does not end in CRLF, or a control character stands in the head")]
    Line,
    /// The first line is not `method SP target SP HTTP/1.x`.
    #[error("the request line is malformed")]
    RequestLine,
    /// A field line that continues the one before it (obs-fold).
    #[error("a field line is folded")]
    Folded,
    /// A field without name, with a malformed name, or with blanks before its colon.
    #[error("a field name is malformed")]
    FieldName,
    /// The head is larger than configured.
    #[error("the head is too large")]
    HeadTooLarge,
    /// The head has more fields than configured.
    #[error("the head has too many fields")]
    TooManyFields,
    /// The head did not arrive in time.
    #[error("the head did not arrive in time")]
    HeadTimeout,
    /// More than one statement of the body's length, or one that is not a number.
    #[error("the body's length is ambiguous")]
    Length,
    /// A transfer coding other than chunked, or one in HTTP/1.0.
    #[error("the transfer coding is not supported")]
    TransferCoding,
    /// A field name that a backend could take for a framing field.
    #[error("a field looks like a framing field")]
    Lookalike,
    /// The chunked body is malformed.
    #[error("the chunked body is malformed")]
    Chunk,
    /// Host is missing, repeated or malformed, or contradicts the target.
    #[error("the host is missing, repeated, malformed or contradicted")]
    Host,
    /// The host is not the one that the connection was made for (SNI).
    #[error("the host is not the one that the connection was made for")]
    Misdirected,
    /// The target is not one canonical path.
    #[error("the target is not canonical: {0}")]
    Target(TargetError),
    /// The request asks for another protocol.
    #[error("protocol upgrades are not supported")]
    Upgrade,
    /// An expectation other than 100-continue.
    #[error("the expectation is not supported")]
    Expectation,
    /// No media type or charset that the gateway speaks is acceptable to the caller.
    #[error("the caller accepts neither application/json nor utf-8")]
    NotAcceptable,
    /// The body's media type, charset or content coding is not supported.
    #[error("the body is not application/json in utf-8")]
    UnsupportedMedia,
    /// The body is larger than the route admits.
    #[error("the body is too large")]
    BodyTooLarge,
    /// A body of undeclared length is longer than what the gateway keeps.
    #[error("a long body needs a declared length")]
    LengthRequired,
    /// A form that revokes a token has more than one.
    #[error("the form has more than one token")]
    RepeatedToken,
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    BodyTimeout,
    /// The body ended before its declared length, or bytes arrived after its end.
    #[error("the body is incomplete, or followed by bytes that belong to no request")]
    BodyIncomplete,
    /// The body is no JSON.
    #[error("the body is no JSON")]
    JsonMalformed,
    /// The body is nested deeper than configured.
    #[error("the body is nested too deep")]
    JsonDepth,
    /// The body has more members and items than configured.
    #[error("the body has too many members")]
    JsonMembers,
    /// A name stands twice in an object of the body.
    #[error("a name stands twice in an object of the body")]
    JsonRepeated,
    /// The route requires an idempotency key and the request has none.
    #[error("x-idempotency-key is missing")]
    IdempotencyKeyMissing,
    /// The idempotency key is malformed or repeated.
    #[error("x-idempotency-key is malformed or repeated")]
    IdempotencyKeyMalformed,
}

/// Judges the fields that matter whatever the protocol version: exactly one plausible host, no
/// look-alike of a framing field, no upgrade, no unknown expectation.
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
    if headers.keys().any(|name| framing::is_lookalike(name.as_str())) {
        return Err(RequestError::Lookalike);
    }
    // HTTP/2 has no connection-level fields (RFC 9113 section 8.2.2): h2 refuses them itself.
    if headers.contains_key(header::UPGRADE) || headers.contains_key("http2-settings") {
        return Err(RequestError::Upgrade);
    }
    if version == Version::HTTP_2 && headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(RequestError::TransferCoding);
    }
    match headers.get(header::EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Err(RequestError::Expectation)
        }
        _ => Ok(()),
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
        (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority.as_bytes()) => None,
        (host, authority) => host.or(authority.map(str::as_bytes)),
    };
    agreed.filter(|host| is_host(host)).ok_or(RequestError::Host)
}

/// Whether a request's host is the one that its connection was made for, ports aside: by that name the
/// handshake chose what the gateway presents (RFC 9110 section 7.4).
fn is_same_host(host: &[u8], server_name: &str) -> bool {
    let name = match host.iter().rposition(|b| *b == b':') {
        Some(colon) if !host.ends_with(b"]") => host.get(..colon).unwrap_or_default(),
        _ => host,
    };
    let name = name.strip_suffix(b".").unwrap_or(name);
    name.eq_ignore_ascii_case(server_name.as_bytes())
}

/// `host [ ":" port ]`, with the characters of a registered name or an IP literal.
fn is_host(value: &[u8]) -> bool {
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
        Some(address) => address.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')),
        None => host.iter().all(in_host),
    };
    !host.is_empty()
        && value.len() <= 255
        && host_fits
        && port.len() <= 5
        && port.iter().all(u8::is_ascii_digit)
        && !value.ends_with(b":")
}

/// The field that makes an initiation safe to repeat.
pub const IDEMPOTENCY_KEY: &str = "x-idempotency-key";

/// Requires one key of the published pattern `^(?!\s)(.*)(\S)$`, at most 40 characters. The pattern
/// needs look-around, hence by hand.
pub fn check_idempotency_key(headers: &HeaderMap) -> Result<(), RequestError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let value = values.next().ok_or(RequestError::IdempotencyKeyMissing)?.as_bytes();
    let blank = |b: Option<&u8>| b.is_none_or(u8::is_ascii_whitespace);
    let well_formed = values.next().is_none()
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
