//! The request's body, as far as it was received: how long it is, and whether it is sound so far.

use std::time::Instant;

use super::Exchange;
use crate::admission::Admission;
use crate::request::RequestError;
use crate::request::json::JsonCheck;
use crate::route::Route;

/// What is known of a body. None of its bytes is kept here.
#[derive(Debug, Default)]
pub(super) struct Received {
    bytes: u64,
    most: u64,
    declared: Option<u64>,
    json: Option<JsonCheck>,
}

impl Received {
    /// Nothing yet of the body of a request to a route, which may have declared its length.
    pub(super) fn new(admission: &Admission, route: &Route, declared: Option<u64>) -> Self {
        let (most, json) = (admission.max_body_of(route), admission.json_of(route));
        Self { bytes: 0, most, declared, json }
    }

    /// The length that was declared.
    pub(super) fn declared(&self) -> Option<u64> {
        self.declared
    }

    /// Judges the next piece.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<(), RequestError> {
        self.bytes = self.bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if self.bytes > self.most {
            return Err(RequestError::BodyTooLarge);
        }
        self.json.as_mut().map_or(Ok(()), |json| json.take(piece))?;
        if self.is_whole() { self.finish() } else { Ok(()) }
    }

    /// Whether all that was declared is here. Over HTTP/2 a stream may end long after its body, when a backend
    /// has long had a whole request.
    fn is_whole(&self) -> bool {
        self.declared.is_some_and(|declared| self.bytes >= declared)
    }

    /// Requires that all of it is here. Whether there is a body is what arrived: over HTTP/2 a head may leave it
    /// open, and an empty DATA frame or trailers end the stream.
    pub(super) fn finish(&self) -> Result<(), RequestError> {
        if self.bytes == 0 && self.declared.unwrap_or(0) == 0 {
            return Ok(());
        }
        self.json.as_ref().map_or(Ok(()), JsonCheck::finish)
    }

    /// How long it may be.
    pub(super) fn most(&self) -> u64 {
        self.most
    }

    /// How long it is.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Exchange {
    /// Awaits the request's body, for the first time or again from its first byte.
    pub fn await_body(&mut self, declared: Option<u64>) {
        if let Some(operation) = &mut self.operation {
            operation.begin_again();
        }
        let Some(permit) = &self.permit else { return };
        self.received = Received::new(&self.serving.admission, permit.route(), declared);
    }

    /// Bytes that the request's body may have.
    pub fn max_body(&self) -> u64 {
        self.received.most()
    }

    /// Judges a piece of the request's body as it passes.
    pub fn take_body(&mut self, piece: &[u8]) -> Result<(), RequestError> {
        if let Some(operation) = &mut self.operation {
            operation.update(piece);
        }
        self.received.take(piece)
    }

    /// Whether all of the request's body that was declared is here, whether or not its end was said.
    pub fn has_whole_body(&self) -> bool {
        self.received.is_whole()
    }

    /// Requires that the request's body is whole.
    pub fn finish_body(&self) -> Result<(), RequestError> {
        self.received.finish()
    }

    /// Bytes of the request's body that were received.
    pub fn received_body(&self) -> u64 {
        self.received.bytes()
    }

    /// Notes that the request's body is passed on as it comes.
    pub fn note_streaming(&mut self) {
        self.awaits_body = true;
        if let Some(permit) = &mut self.permit {
            permit.note_consent_told();
        }
    }

    /// Notes that all of it is here: from now on the backend's time runs.
    pub fn note_body_passed(&mut self) {
        self.awaits_body = false;
        let now = Instant::now();
        self.course.have_body(now);
        self.course.ask_whole(now);
    }

    /// Notes that the request's body is not passed on: it was received whole, for nobody.
    pub fn note_discarded(&mut self) {
        self.awaits_body = false;
    }

    /// Whether the request was passed on and part of its body is still to come.
    pub fn awaits_body(&self) -> bool {
        self.awaits_body
    }

    /// Whether the request's body should have been here by now.
    pub fn is_body_late(&self) -> bool {
        self.course.began().elapsed() > self.serving.body_timeout
    }
}
