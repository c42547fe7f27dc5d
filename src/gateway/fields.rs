//! Editing the fields of the framework's messages.
//!
//! The framework keeps a second map beside the fields, with the spelling of every name, and each edit
//! through its own methods pays for both. Names have no case (RFC 9110 section 5.1) and HTTP/2 has none
//! to keep, so the spelling is given up and the fields are edited directly.

use http::{HeaderMap, Request, Response};
use pingora::http::{RequestHeader, ResponseHeader};

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
