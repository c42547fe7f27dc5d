//! The request's body: received whole, or its first part, before a backend is chosen.
//!
//! A short body, or one of undeclared length, is received whole: a caller that is slow, breaks off or sends too much
//! costs no backend anything, and the request can be sent again. Of a longer one the first part is; the rest is
//! passed on as it comes, under its declared length, which no backend can take for complete before it is. What is
//! received is judged as it comes: its size, and whether it is what its route takes.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::caller::{BodyError, Caller};
use super::operation::ExchangeOperation;
use super::{End, Seat};
use crate::admission::{Admission, Step};
use crate::request::json::JsonCheck;
use crate::request::{KEPT_BODY, RequestError};
use crate::route::Route;

/// A body, as far as it was received.
pub(super) struct ReceivedBody {
    /// What is kept of it.
    kept: Bytes,
    /// What will be, while it comes in several pieces.
    gathered: BytesMut,
    bytes: u64,
    most: u64,
    declared: Option<u64>,
    json: Option<JsonCheck>,
    /// When all of it must be here.
    due: Instant,
    is_whole: bool,
    has_any: bool,
}

impl ReceivedBody {
    /// No body.
    pub(super) fn none() -> Self {
        Self {
            kept: Bytes::new(),
            gathered: BytesMut::new(),
            bytes: 0,
            most: 0,
            declared: None,
            json: None,
            due: Instant::now(),
            is_whole: true,
            has_any: false,
        }
    }

    /// Nothing yet of the body of a request to a route, which may have declared its length.
    pub(super) fn begin(
        admission: &Admission,
        route: &Route,
        declared: Option<u64>,
        due: Instant,
    ) -> Self {
        let (most, json) = (admission.max_body_of(route), admission.json_of(route));
        Self { most, declared, json, due, is_whole: false, has_any: true, ..Self::none() }
    }

    /// What was kept of it, when it was received.
    pub(super) fn kept(&self) -> &Bytes {
        &self.kept
    }

    /// Keeps a piece. One that is all there is stays where it lies; others would hold whatever lies beside them.
    fn keep(&mut self, piece: Bytes) {
        let is_all = self.is_whole && u64::try_from(piece.len()).is_ok_and(|all| all == self.bytes);
        match is_all {
            true => self.kept = piece,
            false => self.gathered.extend_from_slice(&piece),
        }
    }

    /// Whether all of it is here.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Whether all of it was kept, so that it can be sent again.
    pub(super) fn is_kept(&self) -> bool {
        u64::try_from(self.kept.len()).is_ok_and(|kept| kept == self.bytes) && self.is_whole
    }

    /// The length that a backend is told: always the whole body's, never a chunked one. Nothing without a body.
    pub(super) fn length(&self) -> Option<u64> {
        self.has_any.then(|| self.declared.unwrap_or(self.bytes))
    }

    /// Whether it is passed on as it comes.
    pub(super) fn is_long(&self) -> bool {
        self.declared.is_some_and(|declared| declared > KEPT_BODY)
    }

    /// Judges the next piece. Says whether it is the last: over HTTP/2 a stream may end long after its body, when a
    /// backend has long had a whole request.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<bool, RequestError> {
        // Not only when a wait ends: who sends a byte before each wait is always there in time.
        if Instant::now() > self.due {
            return Err(RequestError::BodyTimeout);
        }
        // What cannot be counted is more than any bound, and refused by the next line.
        self.bytes = self.bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if self.bytes > self.most {
            return Err(RequestError::BodyTooLarge);
        }
        // It could only go on in chunks, and of chunks a backend may take the first part for all of it.
        if self.declared.is_none() && self.bytes > KEPT_BODY {
            return Err(RequestError::LengthRequired);
        }
        self.json.as_mut().map_or(Ok(()), |json| json.take(piece))?;
        let is_last = self.declared.is_some_and(|declared| self.bytes >= declared);
        if is_last {
            self.finish()?;
        }
        Ok(is_last)
    }

    /// All of it is here. Whether there is a body is what arrived: over HTTP/2 a head may leave it open, and an empty
    /// DATA frame or trailers end the stream.
    pub(super) fn finish(&mut self) -> Result<(), RequestError> {
        self.is_whole = true;
        if self.declared.is_some_and(|declared| self.bytes < declared) {
            return Err(RequestError::BodyIncomplete);
        }
        if self.bytes == 0 {
            return Ok(());
        }
        self.json.as_ref().map_or(Ok(()), JsonCheck::finish)
    }

    /// Receives it whole, or as much as is kept of a long one.
    pub(super) async fn receive(
        &mut self,
        caller: &mut impl Caller,
        operation: &mut ExchangeOperation,
        seat: &mut Seat<'_>,
    ) -> Result<(), End> {
        let most = usize::try_from(KEPT_BODY).unwrap_or(usize::MAX);
        while !self.is_whole {
            if self.is_long() && self.gathered.len() >= most {
                break;
            }
            if let Some(piece) = self.step(caller, operation, seat).await? {
                self.keep(piece);
            }
        }
        if !self.gathered.is_empty() {
            self.kept = std::mem::take(&mut self.gathered).freeze();
        }
        Ok(())
    }

    /// Receives the rest of it for nobody.
    pub(super) async fn discard(
        &mut self,
        caller: &mut impl Caller,
        operation: &mut ExchangeOperation,
        seat: &mut Seat<'_>,
    ) -> Result<(), End> {
        while !self.is_whole {
            self.step(caller, operation, seat).await?;
        }
        Ok(())
    }

    /// Judges the next piece, or the end.
    async fn step(
        &mut self,
        caller: &mut impl Caller,
        operation: &mut ExchangeOperation,
        seat: &mut Seat<'_>,
    ) -> Result<Option<Bytes>, End> {
        let piece = self.next(caller, seat).await?;
        match &piece {
            Some(piece) => {
                operation.update(piece);
                self.take(piece)?;
            }
            None => self.finish()?,
        }
        Ok(piece)
    }

    async fn next(
        &self,
        caller: &mut impl Caller,
        seat: &mut Seat<'_>,
    ) -> Result<Option<Bytes>, End> {
        poll_fn(|cx| self.poll_next(cx, caller, seat)).await
    }

    /// The next piece, within the time that there is for the whole.
    pub(super) fn poll_next(
        &self,
        cx: &mut Context<'_>,
        caller: &mut impl Caller,
        seat: &mut Seat<'_>,
    ) -> Poll<Result<Option<Bytes>, End>> {
        match caller.poll_body(cx) {
            Poll::Ready(Ok(piece)) => Poll::Ready(Ok(piece)),
            Poll::Ready(Err(BodyError::Gone)) => Poll::Ready(Err(End::Left)),
            Poll::Ready(Err(BodyError::Fault(fault))) => Poll::Ready(Err(fault.into())),
            Poll::Pending => {
                // What was to be said before the body is read, is said.
                if matches!(caller.poll_flush(cx), Poll::Ready(Err(_))) {
                    return Poll::Ready(Err(End::Left));
                }
                ready!(seat.alarm.poll(cx, self.due));
                Poll::Ready(Err(RequestError::BodyTimeout.into()))
            }
        }
    }
}

impl From<RequestError> for End {
    fn from(error: RequestError) -> Self {
        Self::Refused(Step::Body.refuse(error))
    }
}
