//! The caller's side of an exchange, whichever version of HTTP it speaks: what the course asks of it.
//!
//! In the style of polling, so that both directions run beside each other in one task, and so that what is half done
//! lies in the connection and not in a future that may be dropped. One piece is in flight in each direction: a piece
//! is taken when there is room for it, and that is all the back-pressure there is.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;

use crate::headers::answer::AnswerFields;
use crate::request::RequestError;

/// The caller cannot be given anything any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Why a body does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The caller left.
    Gone,
    /// What came is no body.
    Fault(RequestError),
}

/// How long an answer's content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Never any, and none is said: 204.
    None,
    /// None follows, and this is what is said of it: an answer to HEAD, or a 304.
    Said(Option<u64>),
    /// So many bytes.
    Known(u64),
    /// It ends when it ends.
    Open,
}

impl Length {
    /// Whether no content follows.
    pub fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Said(_) | Self::Known(0))
    }
}

/// Whether a connection goes on after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// As far as the caller is concerned.
    Stays,
    /// No other request is read from it.
    Ends,
}

/// A caller who awaits an answer.
pub trait Caller: Send {
    /// How much of an answer's content is read before it is given, at most: all of a piece that is in flight.
    const PIECE: usize;

    /// The next of the request's content; nothing, when all of it is here. A piece is never empty.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>>;

    /// Asks for the body, if the caller awaits that (RFC 9110 section 10.1.1). Once, and before anything of it is read.
    fn proceed(&mut self);

    /// Ready once the caller is gone. Polled beside every other wait.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Begins the answer. Nothing leaves before it must.
    fn begin(
        &mut self,
        status: StatusCode,
        fields: &AnswerFields<'_>,
        length: Length,
        after: After,
    ) -> Result<(), Gone>;

    /// Ready when there is room for content: before, none is read.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>>;

    /// Takes content, as much as there is room for. What was not taken is given again, with more behind it or not.
    fn poll_write(&mut self, cx: &mut Context<'_>, content: &[u8]) -> Poll<Result<usize, Gone>>;

    /// The content is whole. What was said of it at the beginning must be so.
    fn end(&mut self) -> Result<(), Gone>;

    /// Ready when all that was given has left.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>>;

    /// The answer is cut, and must look cut.
    fn cut(&mut self);

    /// What is left of the body is of no interest; some clients lose an answer that comes before their body ended, so
    /// a little more of it is taken, for a short while.
    fn settle(&mut self) -> impl Future<Output = ()> + Send;
}
