//! The answer to a refusal, on the wire.

use bytes::Bytes;
use http::{HeaderValue, header};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;

use crate::exchange::Exchange;
use crate::headers;
use crate::headers::AnswerFacts;
use crate::refusal::Refusal;

/// Status and fields of a refusal's answer.
pub(super) fn head(
    request: &RequestHeader,
    exchange: &Exchange,
    refusal: &Refusal,
) -> Result<ResponseHeader> {
    let mut head = ResponseHeader::build(refusal.verdict().status, Some(16))?;
    if let Some(facts) = exchange.answer_facts(request.uri.path()) {
        let standing = refusal.standing().or(facts.standing);
        for (name, value) in headers::of_answer(AnswerFacts { standing, ..facts }) {
            head.insert_header(name, value)?;
        }
    }
    let content_type = HeaderValue::from_static("application/json; charset=utf-8");
    head.insert_header(header::CONTENT_TYPE, content_type)?;
    if let Some(challenge) = refusal.challenge() {
        head.insert_header(header::WWW_AUTHENTICATE, challenge)?;
    }
    if let Some(seconds) = refusal.retry_after() {
        head.insert_header(header::RETRY_AFTER, HeaderValue::from(seconds))?;
    }
    if let Some(allow) = refusal.allow() {
        head.insert_header(header::ALLOW, allow)?;
    }
    Ok(head)
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
