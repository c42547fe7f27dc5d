//! The answers that the gateway gives itself, on the wire: to a refusal, and of an earlier exchange.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::fields;
use crate::exchange::Exchange;
use crate::headers::{self, AnswerFacts};
use crate::idempotency::Answer;
use crate::refusal::Refusal;

/// Status and fields of a refusal's answer.
pub(super) fn head(
    request: &RequestHeader,
    exchange: &Exchange,
    refusal: &Refusal,
) -> ResponseHeader {
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = refusal.status();
    if let Some(facts) = exchange.answer_facts(request.uri.path()) {
        let standing = refusal.standing().or(facts.standing);
        headers::complete(&mut parts.headers, AnswerFacts { standing, ..facts });
    }
    explain(&mut parts.headers, refusal);
    parts.into()
}

/// Status and fields of an answer that was given before: what belongs to the exchange is this one's.
pub(super) fn repeated(
    request: &RequestHeader,
    exchange: &Exchange,
    answer: &Answer,
) -> Result<ResponseHeader> {
    let (mut parts, ()) = Response::new(()).into_parts();
    let (Ok(status), Some(facts)) =
        (StatusCode::from_u16(answer.status), exchange.answer_facts(request.uri.path()))
    else {
        return Err(Error::new_in(ErrorType::InternalError));
    };
    parts.status = status;
    parts.headers = answer.fields.clone();
    headers::complete(&mut parts.headers, facts);
    Ok(parts.into())
}

fn explain(headers: &mut HeaderMap, refusal: &Refusal) {
    let content_type = HeaderValue::from_static("application/json; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, content_type);
    if let Some(challenge) = refusal.challenge() {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if let Some(seconds) = refusal.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(allow) = refusal.allow() {
        headers.insert(header::ALLOW, allow.clone());
    }
}

/// Of an answer that is rewritten as it passes nobody knows the length beforehand.
pub(super) fn leave_length_open(headers: &mut HeaderMap) {
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
}

/// HTTP/1.0 knows no chunks: there, an answer of undeclared length ends with its connection.
pub(super) fn suit_version(session: &mut Session, answer: &mut ResponseHeader) {
    let is_chunked = answer.headers.contains_key(header::TRANSFER_ENCODING);
    if is_chunked && session.req_header().version == Version::HTTP_10 {
        fields::edit_response(answer, |headers| {
            headers.remove(header::TRANSFER_ENCODING);
        });
        session.set_keepalive(None);
    }
}

/// Answers that what was asked is done, and that there is nothing to say.
pub(super) async fn no_content(
    session: &mut Session,
    exchange: &mut Exchange,
    allow: Option<HeaderValue>,
) -> Result<()> {
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = StatusCode::NO_CONTENT;
    if let Some(facts) = exchange.answer_facts(session.req_header().uri.path()) {
        headers::complete(&mut parts.headers, facts);
    }
    if let Some(allow) = allow {
        parts.headers.insert(header::ALLOW, allow);
    }
    exchange.note_status(parts.status);
    exchange.note_handed_over(0);
    session.write_response_header(Box::new(parts.into()), true).await
}

/// Writes an answer that is complete.
pub(super) async fn write(
    session: &mut Session,
    mut head: ResponseHeader,
    body: Option<Bytes>,
) -> Result<()> {
    let length = body.as_ref().map_or(0, Bytes::len);
    head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(length))?;
    session.write_response_header(Box::new(head), body.is_none()).await?;
    if body.is_some() {
        session.write_response_body(body, true).await?;
    }
    Ok(())
}
