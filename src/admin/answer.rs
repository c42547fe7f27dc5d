//! Answers of the admin endpoints.

use http::{HeaderValue, Method, Response, StatusCode, header};

use crate::digest::Digest;

pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Response<Vec<u8>> {
    text(status, "application/json", value.to_string())
}

pub(super) fn text(
    status: StatusCode,
    content_type: &'static str,
    body: String,
) -> Response<Vec<u8>> {
    let mut response = Response::new(body.into_bytes());
    *response.status_mut() = status;
    let length = response.body().len().into();
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    fields.insert(header::CONTENT_LENGTH, length);
    response
}

pub(super) fn not_allowed(allowed: &Method) -> Response<Vec<u8>> {
    let mut response =
        text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", format!("{allowed} only\n"));
    if let Ok(allowed) = HeaderValue::from_str(allowed.as_str()) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// Ends what a digest names: ids are personal, tokens secret, and paths end up in logs. Whether anything was kept
/// is not told.
pub(super) fn purge(digest: &str, end: impl FnOnce(Digest)) -> Response<Vec<u8>> {
    let Some(digest) = Digest::parse(digest) else {
        let accepted = "accepted: a SHA-256 in 64 hexadecimal digits\n";
        return text(StatusCode::BAD_REQUEST, "text/plain", accepted.to_owned());
    };
    end(digest);
    let mut response = Response::new(Vec::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
