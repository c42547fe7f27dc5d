//! What a failure means: to whom it belongs, whether the request may be sent again, what the caller is
//! told, how the exchange counts.

use http::Method;
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType};

use crate::admission::{Refused, Step};
use crate::exchange::Exchange;
use crate::measure::Outcome;
use crate::refusal::{Refusal, UpstreamError};
use crate::request::RequestError;

/// A request is sent again once at most.
const MOST_ATTEMPTS: u32 = 2;

/// Whether another attempt is left.
pub(super) fn may_try_again(exchange: &Exchange) -> bool {
    exchange.attempts() < MOST_ATTEMPTS && !exchange.is_overdue() && exchange.refusal().is_none()
}

/// Whether a request of which something was sent may be sent again: its method is idempotent (RFC 9110
/// section 9.2.2), its body is still there, nothing was answered, and the backend broke off rather than
/// kept silent.
pub(super) fn may_repeat(session: &Session, error: &Error) -> bool {
    let is_idempotent = matches!(
        session.req_header().method,
        Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS
    );
    let is_replayable = !session.as_downstream().retry_buffer_truncated();
    let broke_off = matches!(
        error.etype(),
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError
    );
    is_backends(error)
        && is_idempotent
        && is_replayable
        && broke_off
        && session.response_written().is_none()
}

/// Whether the backend is at fault.
pub(super) fn is_backends(error: &Error) -> bool {
    *error.esource() == ErrorSource::Upstream
}

/// Whether a backend's silence is the caller's doing: it still waits for the request's body.
pub(super) fn is_callers(error: &Error, exchange: &Exchange) -> bool {
    let waited_in_vain =
        matches!(error.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout);
    is_backends(error) && waited_in_vain && exchange.awaits_body() && exchange.refusal().is_none()
}

/// The refusal that answers a failure; none if the caller is gone or already has part of an answer.
pub(super) fn refusal_for(
    session: &Session,
    error: &Error,
    exchange: &Exchange,
) -> Option<Refused> {
    let begun = session.response_written().is_some_and(|head| !head.status.is_informational());
    if begun {
        return None;
    }
    if let Some(refusal) = exchange.refusal() {
        return Some(refusal.clone());
    }
    match error.esource() {
        ErrorSource::Upstream => Some(Step::Upstream.refuse(upstream_error(error.etype()))),
        ErrorSource::Downstream => {
            request_error(error.etype()).map(|error| Step::Body.refuse(error))
        }
        ErrorSource::Internal | ErrorSource::Unset => {
            Some(Step::Upstream.refuse(Refusal::Internal))
        }
    }
}

fn upstream_error(kind: &ErrorType) -> UpstreamError {
    match kind {
        ErrorType::ConnectTimedout
        | ErrorType::ConnectRefused
        | ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::ConnectProxyFailure
        | ErrorType::BindError
        | ErrorType::SocketError
        | ErrorType::TLSHandshakeFailure
        | ErrorType::TLSHandshakeTimedout
        | ErrorType::InvalidCert
        | ErrorType::HandshakeError => UpstreamError::Unreachable,
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => UpstreamError::Timeout,
        ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed => {
            UpstreamError::Broken
        }
        _ => UpstreamError::Malformed,
    }
}

/// The head was read and judged long before: what breaks is the body.
fn request_error(kind: &ErrorType) -> Option<RequestError> {
    match kind {
        ErrorType::ReadTimedout => Some(RequestError::BodyTimeout),
        // What the framework calls bytes that arrive after the request's end.
        ErrorType::ConnectError => Some(RequestError::BodyIncomplete),
        ErrorType::InvalidHTTPHeader => Some(RequestError::FieldName),
        _ => None,
    }
}

/// How the exchange counts.
pub(super) fn outcome(error: Option<&Error>, exchange: &Exchange) -> Outcome {
    match (exchange.refusal().map(|refused| &refused.refusal), error) {
        (Some(Refusal::Limits(_) | Refusal::Crowded(_)), _) => Outcome::OverLimit,
        (Some(_), _) => Outcome::Refused,
        (None, None) if exchange.replays() => Outcome::Replayed,
        (None, None) => Outcome::Answered,
        (None, Some(error)) if is_backends(error) => Outcome::Interrupted,
        (None, Some(_)) => Outcome::ClientAbort,
    }
}

/// Whether what was handed over of the answer last was its end, or was not taken.
pub(super) fn is_taking(session: &Session, error: Option<&Error>, exchange: &Exchange) -> bool {
    match error {
        None => true,
        Some(error) if is_backends(error) => false,
        Some(_) => exchange.is_taking(session.as_downstream().body_bytes_sent()),
    }
}
