//! What is kept of an operation: the fingerprint of what was asked, the status, and the answer, if it can
//! be sealed and is not too long.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::operation::{Fingerprint, LENGTH};

/// An answer that can be given again.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The status, 200 or 201.
    pub status: u16,
    /// The fields that belong to the answer and not to its exchange.
    pub fields: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Says nothing of the body.
impl fmt::Debug for KeptAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// An operation that a backend carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What was asked.
    pub asked: Fingerprint,
    /// The status of its answer.
    pub status: u16,
    /// Its answer, if it was kept.
    pub answer: Option<KeptAnswer>,
}

/// What stands in the store is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRecord;

impl Record {
    /// The record for the store: fingerprint, status, and for a kept answer the number of its fields, each
    /// name and value behind its length, then the body.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let body = self.answer.as_ref().map_or(0, |answer| answer.body.len());
        let mut bytes = Vec::with_capacity(LENGTH + 1024 + body);
        bytes.put_slice(&self.asked.0);
        bytes.put_u16(self.status);
        if let Some(answer) = &self.answer {
            // A `HeaderMap` holds at most 32768 fields, and their lengths fit a `u32` likewise.
            bytes.put_u16(u16::try_from(answer.fields.len()).unwrap_or(u16::MAX));
            for (name, value) in &answer.fields {
                put(&mut bytes, name.as_str().as_bytes());
                put(&mut bytes, value.as_bytes());
            }
            bytes.put_slice(&answer.body);
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: Vec<u8>) -> Result<Self, NoRecord> {
        let mut bytes = Bytes::from(bytes);
        let mut asked = [0; LENGTH];
        bytes.try_copy_to_slice(&mut asked).map_err(|_| NoRecord)?;
        let status = bytes.try_get_u16().map_err(|_| NoRecord)?;
        // Of an answer that was not kept there is not even the number of its fields.
        let answer = if bytes.is_empty() { None } else { Some(answer(status, bytes)?) };
        Ok(Self { asked: Fingerprint(asked), status, answer })
    }
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.put_u32(u32::try_from(part.len()).unwrap_or(u32::MAX));
    bytes.put_slice(part);
}

fn answer(status: u16, mut bytes: Bytes) -> Result<KeptAnswer, NoRecord> {
    let count = bytes.try_get_u16().map_err(|_| NoRecord)?;
    let mut fields = HeaderMap::new();
    for _ in 0..count {
        let name = HeaderName::from_bytes(&part(&mut bytes)?).map_err(|_| NoRecord)?;
        let value = HeaderValue::from_maybe_shared(part(&mut bytes)?).map_err(|_| NoRecord)?;
        fields.append(name, value);
    }
    Ok(KeptAnswer { status, fields, body: bytes })
}

fn part(bytes: &mut Bytes) -> Result<Bytes, NoRecord> {
    let length = bytes.try_get_u32().map_err(|_| NoRecord)?;
    let length = usize::try_from(length).map_err(|_| NoRecord)?;
    if length <= bytes.len() { Ok(bytes.split_to(length)) } else { Err(NoRecord) }
}

/// An answer as it passes, kept within a bound.
pub struct PassingAnswer {
    status: u16,
    /// The fields and the body so far; nothing once they are too long.
    kept: Option<(HeaderMap, BytesMut)>,
    left: usize,
}

impl fmt::Debug for PassingAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passing").field("status", &self.status).finish_non_exhaustive()
    }
}

impl PassingAnswer {
    /// An answer of which the head is known; of fields and body, `longest` bytes together are kept at
    /// most, or nothing at all.
    pub(super) fn new(status: u16, fields: HeaderMap, longest: Option<usize>) -> Self {
        let size = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
        let taken: usize = fields.iter().map(size).sum();
        let left = longest.and_then(|longest| longest.checked_sub(taken));
        let kept = left.is_some().then(|| (fields, BytesMut::new()));
        Self { status, kept, left: left.unwrap_or(0) }
    }

    /// Takes the next piece of the body.
    pub fn update(&mut self, piece: &[u8]) {
        let Some((_, body)) = &mut self.kept else {
            return;
        };
        match self.left.checked_sub(piece.len()) {
            Some(left) => {
                self.left = left;
                body.extend_from_slice(piece);
            }
            // Given up at once: what cannot be kept must not lie in memory until its end.
            None => self.kept = None,
        }
    }

    /// The record of an operation whose answer has passed whole.
    pub(super) fn into_record(self, asked: Fingerprint) -> Record {
        let status = self.status;
        let answer =
            self.kept.map(|(fields, body)| KeptAnswer { status, fields, body: body.freeze() });
        Record { asked, status, answer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let mut fields = HeaderMap::new();
        fields.append("content-type", HeaderValue::from_static("application/json"));
        fields.append("link", HeaderValue::from_static("<a>"));
        fields.append("link", HeaderValue::from_bytes(b"<\xe9>").unwrap());
        let answer = KeptAnswer { status: 201, fields, body: Bytes::from_static(b"{\"a\":1}") };
        Record { asked: Fingerprint([3; LENGTH]), status: 201, answer: Some(answer) }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let with = record();
        let without = Record { answer: None, ..record() };
        let mut empty = record();
        empty.answer = empty.answer.map(|answer| KeptAnswer { body: Bytes::new(), ..answer });
        for record in [with, without, empty] {
            assert_eq!(Record::from_bytes(record.to_bytes()), Ok(record));
        }
    }

    #[test]
    fn what_is_cut_off_within_the_head_is_no_record() {
        let whole = record().to_bytes();
        let body = 7;
        for length in 0..whole.len() - body {
            let read = Record::from_bytes(whole[..length].to_vec());
            // Fingerprint and status alone are a record without an answer.
            assert_eq!(read.is_ok(), length == LENGTH + 2, "{length}");
        }
    }

    #[test]
    fn an_answer_that_is_too_long_is_not_kept_and_the_rest_is() {
        let fields = || record().answer.unwrap().fields;
        let size: usize = fields().iter().map(|(n, v)| n.as_str().len() + v.len()).sum();
        let passed = |longest, pieces: &[&[u8]]| {
            let mut passing = PassingAnswer::new(201, fields(), Some(longest));
            pieces.iter().for_each(|piece| passing.update(piece));
            passing.into_record(Fingerprint([3; LENGTH]))
        };
        assert_eq!(passed(size + 7, &[b"{\"a", b"\":1}"]), record());
        let too_long = Record { answer: None, ..record() };
        assert_eq!(passed(size + 6, &[b"{\"a", b"\":1}"]), too_long);
        assert_eq!(passed(size - 1, &[]), too_long);
        assert_eq!(passed(size + 6, &[b"{\"a\":1}", b""]), too_long, "once too long, always");
    }
}
