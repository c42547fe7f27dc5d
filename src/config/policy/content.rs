//! What requests and answers of a route carry, as a policy says it: the key that makes a request
//! idempotent, the media type of a body and its size.

use http::Method;

use crate::config::document::{Located, Table};
use crate::request::media::Media;

/// The methods whose requests carry content.
pub const CONTENT_METHODS: [Method; 3] = [Method::POST, Method::PUT, Method::PATCH];

/// What the bodies of a route's requests are.
pub(super) struct Content {
    pub(super) idempotency_key: bool,
    pub(super) media: Media,
    pub(super) max_body: Option<u64>,
    pub(super) revokes_tokens: bool,
}

pub(super) fn read_content(table: &Table<'_>, method: Option<&Method>) -> Option<Content> {
    let idempotency_key = read_idempotency(table, method);
    let media = read_media(table, method);
    let max_body = read_max_body(table, method);
    let revokes_tokens = read_token_revocation(table, media);
    let (idempotency_key, media) = (idempotency_key?, media?);
    Some(Content { idempotency_key, media, max_body, revokes_tokens })
}

/// Methods that carry content must say whether they need a key; for the others there is nothing to say.
fn read_idempotency(table: &Table<'_>, method: Option<&Method>) -> Option<bool> {
    let parse = |text: &str| match text {
        "required" => Some(true),
        "ignored" => Some(false),
        _ => None,
    };
    if method.is_none_or(|method| CONTENT_METHODS.contains(method)) {
        let rule = table.required_choice("idempotency_key", parse);
        return rule.map(|rule| rule.value);
    }
    if table.has("idempotency_key") {
        let place = table.place("idempotency_key");
        place.reject("has no effect with this method, accepted: POST, PUT or PATCH");
    }
    Some(false)
}

/// What a body is written in; JSON, if nothing is said.
fn read_media(table: &Table<'_>, method: Option<&Method>) -> Option<Media> {
    let media = table.word::<Media>("request_body");
    if let Some(Located { place, .. }) = &media
        && method.is_some_and(|method| !CONTENT_METHODS.contains(method))
    {
        place.reject("has no effect with this method, accepted: POST, PUT or PATCH");
    }
    match media {
        Some(media) => Some(media.value),
        None if table.has("request_body") => None,
        None => Some(Media::Json),
    }
}

/// How many bytes a body of the route may have, if fewer than of every request.
fn read_max_body(table: &Table<'_>, method: Option<&Method>) -> Option<u64> {
    let size = table.size("max_body_size")?;
    if method.is_some_and(|method| !CONTENT_METHODS.contains(method)) {
        size.place.reject("has no effect with this method, accepted: POST, PUT or PATCH");
    }
    Some(size.value)
}

/// Whether the route revokes tokens (RFC 7009): then the gateway, too, refuses those that it revoked.
fn read_token_revocation(table: &Table<'_>, media: Option<Media>) -> bool {
    let revokes = table.flag("token_revocation");
    if revokes && table.raw_is("access", "open") {
        let text = "would let anybody have tokens refused, accepted: another access";
        table.place("token_revocation").reject(text);
    }
    if revokes && media != Some(Media::Form) {
        let text = "needs a form, accepted: with request_body = \"form\"";
        table.place("token_revocation").reject(text);
    }
    revokes
}
