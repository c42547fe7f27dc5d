//! The body of an admitted request.
//!
//! A short body, or one of undeclared length, is received whole before a backend is chosen: a caller
//! that is slow, breaks off or sends too much costs no backend anything, and the request can be sent
//! again. A longer one is passed on as it comes, under its declared length, which no backend can take
//! for complete before it is. The framework keeps at most [`KEPT_BODY`] bytes of a body, hence the bound.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Version, header};
use pingora::proxy::Session;
use pingora::time::timeout;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use crate::admission::{At, Refused, Step};
use crate::exchange::Exchange;
use crate::request::{KEPT_BODY, RequestError};

/// What is taken of the body of a refused request, and for how long.
const DRAINED: usize = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Receives the body of an admitted request, as far as it is received whole. Gives the refusal if it
/// must not go on; fails if the caller is gone.
pub(super) async fn receive(
    session: &mut Session,
    exchange: &mut Exchange,
) -> Result<Option<Refused>> {
    if session.is_body_empty() {
        return Ok(None);
    }
    exchange.await_body(declared(session));
    if session.req_header().headers.contains_key(header::EXPECT) {
        session.as_downstream_mut().write_continue_response().await?;
    }
    if declared(session).is_some_and(|length| length > KEPT_BODY) {
        exchange.note_streaming();
        return Ok(None);
    }
    session.as_mut().enable_retry_buffering();
    match receive_in_time(session, exchange, KEPT_BODY).await? {
        None => Ok(exchange.confirm().await.err()),
        refusal => Ok(refusal),
    }
}

/// Receives a body that would have been passed on as it comes, for nobody: its answer is known already.
pub(super) async fn discard(
    session: &mut Session,
    exchange: &mut Exchange,
) -> Result<Option<Refused>> {
    if !exchange.awaits_body() {
        return Ok(None);
    }
    exchange.note_discarded();
    let longest = exchange.max_body();
    match receive_in_time(session, exchange, longest).await? {
        None => Ok(exchange.confirm_repetition().await.err()),
        refusal => Ok(refusal),
    }
}

/// Takes the small body of a refused request over HTTP/1 if it is here already: then the connection goes on.
pub(super) async fn take_what_is_here(session: &mut Session) {
    let is_small = declared(session).is_some_and(|length| length <= KEPT_BODY);
    if session.is_http2() || session.is_body_empty() || !is_small {
        return;
    }
    let take =
        async { while let Ok(Some(_)) = session.as_downstream_mut().read_request_body().await {} };
    // Asked once, and not waited for.
    let _ = timeout(Duration::ZERO, take).await;
}

/// Takes what small body of a refused request still comes over HTTP/2, after the answer: a stream that ends with its
/// body unread is reset, and many clients (Debian's curl among them) then lose the answer that they have.
pub(super) async fn drain(session: &mut Session) {
    if !session.is_http2() || session.is_body_empty() {
        return;
    }
    let take = async {
        let mut taken = 0;
        while let Ok(Some(piece)) = session.as_downstream_mut().read_request_body().await {
            taken += piece.len();
            if taken > DRAINED {
                return;
            }
        }
    };
    // Who sends no end in time has had its answer.
    let _ = timeout(DRAIN_TIME, take).await;
}

async fn receive_in_time(
    session: &mut Session,
    exchange: &mut Exchange,
    longest: u64,
) -> Result<Option<Refused>> {
    let within = exchange.serving().body_timeout;
    exchange.note_body_awaited();
    let received = timeout(within, receive_whole(session, exchange, longest)).await;
    match received {
        Ok(Ok(received)) => {
            exchange.note_body_received();
            Ok(received)
        }
        // It is still awaited.
        Ok(Err(gone)) => Err(gone),
        Err(_) => Ok(Some(Step::Body.refuse(RequestError::BodyTimeout))),
    }
}

async fn receive_whole(
    session: &mut Session,
    exchange: &mut Exchange,
    longest: u64,
) -> Result<Option<Refused>> {
    loop {
        match session.as_downstream_mut().read_request_body().await {
            Ok(Some(piece)) => {
                if let Err(error) = exchange.take_body(&piece) {
                    return Ok(Some(Step::Body.refuse(error)));
                }
                if exchange.received_body() > longest {
                    return Ok(Some(Step::Body.refuse(RequestError::LengthRequired)));
                }
            }
            Ok(None) => return Ok(exchange.finish_body().at(Step::Body).err()),
            Err(error) if *error.etype() == ErrorType::ReadTimedout => {
                return Ok(Some(Step::Body.refuse(RequestError::BodyTimeout)));
            }
            Err(error) => return Err(error.into_down()),
        }
    }
}

/// Gives a backend that waits for a body the time that its caller may take to send it.
pub(super) fn be_patient(peer: &mut HttpPeer, exchange: &Exchange) {
    let silence = peer.options.read_timeout.unwrap_or_default();
    peer.options.read_timeout = Some(silence + exchange.serving().body_timeout);
}

/// Watches a body that is passed on as it comes. A caller that is too slow is cut off, and so is one whose
/// JSON is none; the last piece passes only if the permit still holds: without it, no backend has a whole
/// request.
pub(super) async fn watch(
    piece: Option<&Bytes>,
    ends: bool,
    exchange: &mut Exchange,
) -> Result<()> {
    if !exchange.awaits_body() {
        return Ok(());
    }
    let Err(refusal) = judge(piece, ends, exchange).await else {
        return Ok(());
    };
    exchange.refuse(refusal);
    Err(Error::new_down(ErrorType::ReadTimedout))
}

async fn judge(
    piece: Option<&Bytes>,
    ends: bool,
    exchange: &mut Exchange,
) -> std::result::Result<(), Refused> {
    if let Some(piece) = piece {
        if exchange.is_body_late() {
            return Err(Step::Body.refuse(RequestError::BodyTimeout));
        }
        exchange.take_body(piece).at(Step::Body)?;
    }
    if !ends && !exchange.has_whole_body() {
        return Ok(());
    }
    exchange.finish_body().at(Step::Body)?;
    exchange.note_body_passed();
    exchange.take_room()?;
    exchange.confirm().await
}

/// The length that the backend is told: always the whole body's, never a chunked one.
pub(super) fn length(session: &mut Session, exchange: &Exchange) -> Option<u64> {
    if !session.is_body_empty() {
        return Some(declared(session).unwrap_or(exchange.received_body()));
    }
    let carries_content =
        matches!(session.req_header().method, Method::POST | Method::PUT | Method::PATCH);
    carries_content.then_some(0)
}

/// The declared length. HTTP/2 bodies may have none; chunked HTTP/1 bodies got one at the listener.
fn declared(session: &Session) -> Option<u64> {
    let head = session.req_header();
    debug_assert!(head.version == Version::HTTP_2 || !is_chunked(head));
    head.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_chunked(head: &pingora::http::RequestHeader) -> bool {
    head.headers.contains_key(header::TRANSFER_ENCODING)
}
