//! The answers that the gateway gives itself: to a refusal, of an earlier exchange, and where there is nothing to say.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::caller::{After, Caller, Gone, Length};
use super::file::ExchangeFile;
use super::{Arrival, End};
use crate::admission::{At, Refused, Step};
use crate::headers::answer::{AnswerFields, Own};
use crate::idempotency::KeptAnswer as Kept;
use crate::measure::Outcome;
use crate::refusal::Refusal;
use crate::request::KEPT_BODY;

/// What routes may have, for who asks of nothing in particular.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");

/// The one place where a refusal becomes an answer.
pub(super) async fn refuse(
    caller: &mut impl Caller,
    arrival: &Arrival,
    file: &mut ExchangeFile<'_>,
    refused: Refused,
) -> Outcome {
    let refusal = &refused.refusal;
    let ends = refusal.ends_connection()
        // Half of what was sent to a server, or of its answer, may still be on its way.
        || matches!(refusal, Refusal::Upstream(_))
        // Asked last: where the connection ends anyhow, nothing of the body need be taken.
        || !has_whole_body(caller, arrival).await;
    if matches!(refusal, Refusal::Identity(_)) {
        // All that comes on this connection has the same certificate.
        file.peer().dismiss();
    }
    let mut own = HeaderMap::new();
    explain(&mut own, refusal);
    let body = refusal.body(file.error_form(refusal), file.arrived);
    let status = refusal.status();
    // `refuse` counts, so it must not be left out where the connection ends anyhow.
    let after = match file.refuse(refused) || ends {
        true => After::Ends,
        false => After::Stays,
    };
    file.note_status(status, Instant::now());
    let fields = AnswerFields { own: Own::These(&own), facts: file.answer_facts(&arrival.head) };
    // Who does not take its answer has been refused all the same.
    let _ = write(caller, arrival, status, &fields, &body, after).await;
    caller.settle().await;
    file.refused()
}

/// Takes the small body of a refused request if it is here already: then the connection goes on.
async fn has_whole_body(caller: &mut impl Caller, arrival: &Arrival) -> bool {
    if !arrival.has_body {
        return true;
    }
    let is_small = arrival.declared.is_some_and(|length| length <= KEPT_BODY);
    let mut taken = 0;
    // Asked once, and not waited for.
    poll_fn(|cx| {
        while is_small && taken <= KEPT_BODY {
            match caller.poll_body(cx) {
                Poll::Ready(Ok(Some(piece))) => {
                    taken = taken.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
                }
                Poll::Ready(Ok(None)) => return Poll::Ready(true),
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
        Poll::Ready(false)
    })
    .await
}

fn explain(fields: &mut HeaderMap, refusal: &Refusal) {
    let content_type = HeaderValue::from_static("application/json; charset=utf-8");
    fields.insert(header::CONTENT_TYPE, content_type);
    if let Some(challenge) = refusal.challenge() {
        fields.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if let Some(seconds) = refusal.retry_after() {
        fields.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(allow) = refusal.allow() {
        fields.insert(header::ALLOW, allow.clone());
    }
}

/// Gives an answer that was given before: what belongs to the exchange is this one's.
pub(super) async fn repeat(
    caller: &mut impl Caller,
    arrival: &Arrival,
    file: &mut ExchangeFile<'_>,
    answer: &Kept,
) -> Result<Outcome, End> {
    // Written by this gateway, of a 200 or 201; who could change it has the key that seals records.
    let status = StatusCode::from_u16(answer.status).map_err(|_| Refusal::Internal);
    let status = status.at(Step::Operation)?;
    file.note_status(status, Instant::now());
    let own = Own::These(&answer.fields);
    let fields = AnswerFields { own, facts: file.answer_facts(&arrival.head) };
    let written = write(caller, arrival, status, &fields, &answer.body, After::Stays).await;
    written.map_err(|Gone| End::Cut(Outcome::ClientAbort, true))?;
    Ok(Outcome::Replayed)
}

/// Answers `OPTIONS *`.
pub(super) async fn greet(
    caller: &mut impl Caller,
    arrival: &Arrival,
    file: &mut ExchangeFile<'_>,
) -> Result<Outcome, End> {
    let after = match has_whole_body(caller, arrival).await {
        true => After::Stays,
        false => After::Ends,
    };
    no_content(caller, arrival, file, Some(METHODS), after).await
}

/// Answers that what was asked is done, and that there is nothing to say.
pub(super) async fn done(
    caller: &mut impl Caller,
    arrival: &Arrival,
    file: &mut ExchangeFile<'_>,
) -> Result<Outcome, End> {
    no_content(caller, arrival, file, None, After::Stays).await
}

async fn no_content(
    caller: &mut impl Caller,
    arrival: &Arrival,
    file: &mut ExchangeFile<'_>,
    allow: Option<HeaderValue>,
    after: After,
) -> Result<Outcome, End> {
    let mut own = HeaderMap::new();
    if let Some(allow) = allow {
        own.insert(header::ALLOW, allow);
    }
    file.note_status(StatusCode::NO_CONTENT, Instant::now());
    let fields = AnswerFields { own: Own::These(&own), facts: file.answer_facts(&arrival.head) };
    let given = async {
        caller.begin(StatusCode::NO_CONTENT, &fields, Length::None, after)?;
        caller.end()?;
        poll_fn(|cx| caller.poll_flush(cx)).await
    };
    given.await.map_err(|Gone| End::Cut(Outcome::ClientAbort, true))?;
    Ok(Outcome::Answered)
}

/// Writes an answer that is complete. Who asks for the fields alone gets those that the content would have.
async fn write(
    caller: &mut impl Caller,
    arrival: &Arrival,
    status: StatusCode,
    fields: &AnswerFields<'_>,
    content: &[u8],
    after: After,
) -> Result<(), Gone> {
    let is_head = arrival.head.method == Method::HEAD;
    let length = u64::try_from(content.len()).map_err(|_| Gone)?;
    let said = if is_head { Length::Said(Some(length)) } else { Length::Known(length) };
    caller.begin(status, fields, said, after)?;
    if !is_head {
        give(caller, content).await?;
    }
    caller.end()?;
    poll_fn(|cx| caller.poll_flush(cx)).await
}

/// Gives content, as there is room for it.
pub(super) async fn give(caller: &mut impl Caller, mut content: &[u8]) -> Result<(), Gone> {
    while !content.is_empty() {
        let taken = poll_fn(|cx| caller.poll_write(cx, content)).await?;
        content = content.get(taken..).unwrap_or_default();
    }
    Ok(())
}
