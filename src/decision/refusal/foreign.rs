//! Errors that a backend tells in a form of its own: the page of a web server, a stack trace. They become the
//! ecosystem's: participants read JSON, and what a legacy system says of itself is nobody's business.
//!
//! A backend's status is kept where the ecosystem has it (gateway rules, section 5); any other becomes the
//! general one of its class. An error in JSON is the backend's word, and passes.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::body;
use super::text::{self, Text};
use crate::moment::Moment;
use crate::route::ErrorForm;

/// What else of such an answer means something to whoever reads the status.
const KEPT: [HeaderName; 3] = [header::ALLOW, header::RETRY_AFTER, header::WWW_AUTHENTICATE];

/// Whether an answer is an error with a body that is no JSON. One that announces no body
/// gets none.
pub fn is_foreign(status: StatusCode, answer: &HeaderMap) -> bool {
    if !status.is_client_error() && !status.is_server_error() {
        return false;
    }
    !is_empty(answer) && !is_json(answer)
}

/// However many zeros the length is written with (RFC 9110 section 8.6).
fn is_empty(answer: &HeaderMap) -> bool {
    let length = answer.get(header::CONTENT_LENGTH).map(HeaderValue::as_bytes);
    length.is_some_and(|length| length.iter().all(|digit| *digit == b'0'))
}

/// Without content coding: coded, it is read by those only who asked for that, and hides what it is.
fn is_json(answer: &HeaderMap) -> bool {
    // What says nothing of its type is a page: whoever writes JSON says so.
    let media = answer.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media.and_then(|media| media.split(';').next()).unwrap_or_default().trim();
    let subtype = essence.split_once('/').map(|(_, subtype)| subtype).unwrap_or_default();
    subtype.eq_ignore_ascii_case("json") || subtype.to_ascii_lowercase().ends_with("+json")
}

/// The status that the ecosystem has for it.
pub fn status_for(status: StatusCode) -> StatusCode {
    match status.as_u16() {
        400 | 401 | 403 | 404 | 405 | 406 | 410 | 415 | 422 | 429 | 500 | 503 | 504 => status,
        400..=499 => StatusCode::BAD_REQUEST,
        // 502 among them, which the ecosystem does not have.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Makes the fields of the answer those of an error of `length` bytes.
pub fn dress(answer: &mut HeaderMap, length: usize) {
    let dropped: Vec<HeaderName> =
        answer.keys().filter(|name| !KEPT.contains(name)).cloned().collect();
    for name in dropped {
        answer.remove(name);
    }
    let content_type = HeaderValue::from_static("application/json; charset=utf-8");
    answer.insert(header::CONTENT_TYPE, content_type);
    answer.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
}

/// The body, in the form of the route.
pub fn body(status: StatusCode, form: ErrorForm, now: Moment) -> Vec<u8> {
    body::write(status, text_for(status), None, form, now)
}

fn text_for(status: StatusCode) -> Text {
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => text::NOT_FOUND,
        StatusCode::TOO_MANY_REQUESTS => text::LIMIT,
        StatusCode::SERVICE_UNAVAILABLE => text::UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT => text::BACKEND_TIMEOUT,
        status if status.is_client_error() => text::DECLINED,
        _ => text::INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_foreign_unless_it_is_json_or_empty() {
        let answer = |media: &'static str, length: &'static str| {
            let mut fields = HeaderMap::new();
            if !media.is_empty() {
                fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
            }
            if !length.is_empty() {
                fields.insert(header::CONTENT_LENGTH, HeaderValue::from_static(length));
            }
            fields
        };
        for (status, media, length, expected) in [
            (502, "text/html", "9", true),
            (500, "application/xml", "", true),
            (500, "", "9", true),
            (404, "text/plain; charset=json", "9", true),
            (404, "application/json; charset=utf-8", "9", false),
            (422, "application/problem+json", "9", false),
            (500, "text/html", "0", false),
            (500, "text/html", "000", false),
            (500, "text/html", "010", true),
            (200, "text/html", "9", false),
            (302, "text/html", "9", false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let fields = answer(media, length);
            assert_eq!(is_foreign(status, &fields), expected, "{status} {media} {length}");
        }
    }

    #[test]
    fn a_status_is_kept_where_the_ecosystem_has_it() {
        for (status, expected) in [
            (400, 400),
            (404, 404),
            (418, 400),
            (451, 400),
            (500, 500),
            (502, 500),
            (503, 503),
            (511, 500),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(status_for(status), StatusCode::from_u16(expected).unwrap(), "{status}");
        }
    }
}
