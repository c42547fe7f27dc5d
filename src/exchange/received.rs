//! The request's body, as far as it was received: how long it is, and whether it is sound so far.

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
        // Over HTTP/2 the end may be said later, when a backend has long taken the body for whole.
        if self.declared == Some(self.bytes) { self.finish() } else { Ok(()) }
    }

    /// Requires that all of it is here.
    pub(super) fn finish(&self) -> Result<(), RequestError> {
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
