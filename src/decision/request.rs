//! The request as it stands on the wire: can it be one canonical request?
//!
//! A legacy backend must receive exactly one request for each that is admitted, and must read it as
//! the gateway read it. So everything that two parsers could read differently is refused here: line
//! endings and framing ([`framing`]), the target ([`target`]), the host, look-alikes of
//! the framing fields, upgrades ([`form`]); and the media that OPIN does not speak ([`media`]), JSON that
//! is none, or more of it than is bounded ([`json`]).
//!
//! Standards: RFC 9110, 9112 (stricter than they ask), RFC 3986; OPIN portal, HTTP headers. Leaves to
//! others: which fields the backend is told (`headers`), whether the target exists (`route`).

pub mod form;
pub mod framing;
pub mod head;
pub mod target;
pub mod media;
pub mod json;
#[cfg(any(test, portaria_fuzz))]
pub mod scrutiny;

use thiserror::Error;

use form::is_host;
pub use head::RequestHead;
pub use target::{Target, TargetError};

/// Bytes of a body that are received whole before a backend is chosen: the most that is kept
/// of one to be sent again. A body of undeclared length must fit.
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
    #[error("a field's name or value is malformed")]
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
