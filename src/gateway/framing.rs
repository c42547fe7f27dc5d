//! The framing of a backend's answer: the backend's own affair, on its own connection (RFC 9110 section 7.6, RFC 9112
//! section 6). What it says of it is judged strictly, for what two readers understand differently ends in a cut or
//! doubled answer; what the caller gets is framed by the gateway.

use http::{HeaderMap, StatusCode, Version, header};
use pingora::http::ResponseHeader;

use super::fields;

/// Bytes of an answer's fields, names and values together.
const LONGEST_HEAD: usize = 64 * 1024;

/// Whether an answer can be read in one way: one length, or chunks and nothing else.
pub(super) fn is_sound(answer: &ResponseHeader) -> bool {
    let fields = &answer.headers;
    let lengths = fields.get_all(header::CONTENT_LENGTH);
    let is_number = |value: &http::HeaderValue| {
        (1..=18).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_digit)
    };
    let has_length = lengths.iter().next().is_some();
    let mut codings = fields.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = match (codings.next(), codings.next()) {
        (None, _) => Some(false),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Some(true),
        // Another coding, or several: what is left of a connection that ends is no whole answer.
        (Some(_), _) => None,
    };
    let framing = match is_chunked {
        Some(true) => !has_length && answer.version != Version::HTTP_10,
        Some(false) => lengths.iter().count() <= 1 && lengths.iter().all(is_number),
        None => false,
    };
    let size: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    framing && size <= LONGEST_HEAD
}

/// Makes the version the gateway's own, and takes the framing from what has no content (RFC 9112 section 6.3).
pub(super) fn own(answer: &mut ResponseHeader) {
    answer.set_version(Version::HTTP_11);
    let has_no_content =
        answer.status.is_informational() || answer.status == StatusCode::NO_CONTENT;
    if has_no_content || answer.status == StatusCode::NOT_MODIFIED {
        fields::edit_response(answer, |fields: &mut HeaderMap| {
            fields.remove(header::TRANSFER_ENCODING);
            if has_no_content {
                fields.remove(header::CONTENT_LENGTH);
            }
        });
    }
}
