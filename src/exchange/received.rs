//! The request's body, as far as it was received: how long it is, and whether it is sound so far.

use crate::request::RequestError;
use crate::request::json::JsonCheck;

/// What is known of a body. None of its bytes is kept here.
#[derive(Debug, Default)]
pub(super) struct Received {
    bytes: u64,
    most: u64,
    json: Option<JsonCheck>,
}

impl Received {
    /// Nothing yet of a body of at most `most` bytes.
    pub(super) fn new(most: u64, json: Option<JsonCheck>) -> Self {
        Self { bytes: 0, most, json }
    }

    /// Judges the next piece.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<(), RequestError> {
        self.bytes = self.bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if self.bytes > self.most {
            return Err(RequestError::BodyTooLarge);
        }
        self.json.as_mut().map_or(Ok(()), |json| json.take(piece))
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
