//! Editing the fields of the framework's messages.
//!
//! The framework keeps a second map beside the fields, with the spelling of every name, and each edit
//! through its own methods pays for both. Names have no case (RFC 9110 section 5.1) and HTTP/2 has none
//! to keep, so the spelling is given up and the fields are edited directly.

use http::{HeaderMap, HeaderValue, Request, Response, header};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use crate::upstream::UpstreamSettings;

/// Edits the fields of a request.
pub(super) fn edit_request(request: &mut RequestHeader, edit: impl FnOnce(&mut HeaderMap)) {
    let blank = RequestHeader::from(Request::new(()).into_parts().0);
    let mut parts = http::request::Parts::from(std::mem::replace(request, blank));
    edit(&mut parts.headers);
    *request = parts.into();
}

/// Edits the fields of an answer. Its reason phrase becomes the standard one.
pub(super) fn edit_response(response: &mut ResponseHeader, edit: impl FnOnce(&mut HeaderMap)) {
    let blank = ResponseHeader::from(Response::new(()).into_parts().0);
    let mut parts = http::response::Parts::from(std::mem::replace(response, blank));
    edit(&mut parts.headers);
    *response = parts.into();
}

/// The fields that name a place lead callers to the public host. `asked` is the host that the caller asked for,
/// which the servers get unless they have one of their own.
pub(super) fn lead_outside(
    answer: &mut HeaderMap,
    settings: &UpstreamSettings,
    asked: Option<&str>,
) {
    let Some(public) = &settings.public_url else { return };
    let is_internal = |host: &str| {
        settings.is_internal(host) || asked.is_some_and(|asked| asked.eq_ignore_ascii_case(host))
    };
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let place = answer.get(&name).and_then(|place| place.to_str().ok());
        let outside = place.and_then(|place| public.translate(place, is_internal));
        let outside = outside.and_then(|outside| HeaderValue::try_from(outside).ok());
        if let Some(outside) = outside {
            answer.insert(name, outside);
        }
    }
}

/// Says how long the request is, and whether its connection is kept. Some servers answer a HEAD with a body: kept,
/// the connection would give it to who comes next.
pub(super) fn frame(request: &mut HeaderMap, length: Option<u64>, is_head: bool) {
    if let Some(length) = length {
        request.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if is_head {
        request.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// What was judged is what is sent.
pub(super) fn make_canonical(request: &mut RequestHeader, canonical: Option<&str>) -> Result<()> {
    let Some(path) = canonical else { return Ok(()) };
    let target = match request.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    request.set_raw_path(target.as_bytes())
}
