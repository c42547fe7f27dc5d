//! One exchange over HTTP/2, as the course sees its caller.
//!
//! The window of a request's body is given back when a piece was taken, and whole when the body is dropped. Of an
//! answer so much is sent as the client granted, and not more is asked for than is in hand; whoever grants nothing for
//! too long is cut, like one that takes nothing over HTTP/1.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderValue, Response, StatusCode, header};
use tokio::time::{Sleep, sleep, timeout};

use super::SEND_BUFFER;
use crate::course::caller::{After, BodyError, Caller, Gone, Length};
use crate::headers::answer::AnswerFields;
use crate::moment::date;
use crate::request::RequestError;

/// What is taken of the body of a refused request, and for how long: a stream that ends with its body unread is
/// reset, and many clients (Debian's curl among them) then lose the answer that they have.
const DRAINED: usize = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// What is gathered before it is sent: a frame has no more.
const GATHERED: usize = 16 * 1024;

/// Room for the fields of most answers.
const MOST_FIELDS: usize = 24;

/// An exchange.
pub(super) struct Http2Exchange {
    respond: SendResponse<Bytes>,
    answer: Option<SendStream<Bytes>>,
    body: Option<RecvStream>,
    /// Bytes of the answer that were promised and not sent; nothing, if none were promised.
    left: Option<u64>,
    /// What was taken of it, and is yet to be sent: a backend's smallest pieces would make as many frames, and clients
    /// count those.
    gathered: BytesMut,
    /// It is whole with what was gathered.
    is_whole: bool,
    has_ended: bool,
    write_timeout: Duration,
    /// Runs while the client grants nothing.
    stall: Option<Pin<Box<Sleep>>>,
}

impl Http2Exchange {
    pub(super) fn new(
        respond: SendResponse<Bytes>,
        body: RecvStream,
        write_timeout: Duration,
    ) -> Self {
        let body = Some(body);
        Self {
            respond,
            answer: None,
            body,
            left: None,
            gathered: BytesMut::new(),
            is_whole: false,
            has_ended: false,
            write_timeout,
            stall: None,
        }
    }

    /// Ends the stream so that nobody takes what came for whole.
    pub(super) fn reset(&mut self) {
        match &mut self.answer {
            // A reset behind END_STREAM would take an answer away that is whole.
            Some(_) if self.has_ended => {}
            Some(answer) => answer.send_reset(Reason::INTERNAL_ERROR),
            None => self.respond.send_reset(Reason::INTERNAL_ERROR),
        }
        self.has_ended = true;
    }

    /// Sends what was gathered, as much as the client grants; ready when that is all.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        while !self.gathered.is_empty() {
            // Asked anew for each piece: a client may take back what it granted (RFC 9113 section 6.9.2).
            let granted = ready!(self.poll_granted(cx))?;
            self.stall = None;
            let piece = match granted < self.gathered.len() {
                true => self.gathered.split_to(granted),
                false => std::mem::take(&mut self.gathered),
            };
            // With its last byte, for an empty frame is one that some clients count.
            self.has_ended = self.gathered.is_empty() && self.is_whole;
            let answer = self.answer.as_mut().ok_or(Gone)?;
            answer.send_data(piece.freeze(), self.has_ended).map_err(|_| Gone)?;
            if self.gathered.is_empty() {
                // Nothing is held that others could use.
                answer.reserve_capacity(0);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// How many bytes the client grants of what was gathered.
    fn poll_granted(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Gone>> {
        let Some(answer) = self.answer.as_mut().filter(|_| !self.has_ended) else {
            return Poll::Ready(Err(Gone));
        };
        // As much as is in hand and no more: what is reserved is kept from the connection's other streams.
        answer.reserve_capacity(self.gathered.len());
        loop {
            match answer.poll_capacity(cx) {
                // Told of what is used up already: nobody is woken for more before it is waited for.
                Poll::Ready(Some(Ok(0))) => {}
                Poll::Ready(Some(Ok(granted))) => return Poll::Ready(Ok(granted)),
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(Gone)),
                Poll::Pending if answer.capacity() > 0 => {
                    return Poll::Ready(Ok(answer.capacity()));
                }
                Poll::Pending => return self.poll_stalled(cx),
            }
        }
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Gone>> {
        let limit = self.write_timeout;
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(limit)));
        stall.as_mut().poll(cx).map(|()| Err(Gone))
    }
}

impl Caller for Http2Exchange {
    /// More is not sent at once.
    const PIECE: usize = SEND_BUFFER;

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(None)) };
        loop {
            match ready!(body.poll_data(cx)) {
                None => {
                    self.body = None;
                    return Poll::Ready(Ok(None));
                }
                // An empty frame ends nothing.
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    // It is in hand, and asked for only when there is room for it.
                    let _ = body.flow_control().release_capacity(piece.len());
                    return Poll::Ready(Ok(Some(piece)));
                }
                Some(Err(error)) => {
                    let is_fault =
                        error.reason() == Some(Reason::PROTOCOL_ERROR) && !error.is_remote();
                    return Poll::Ready(Err(match is_fault {
                        true => BodyError::Fault(RequestError::BodyIncomplete),
                        false => BodyError::Gone,
                    }));
                }
            }
        }
    }

    fn proceed(&mut self) {
        let (mut interim, ()) = Response::new(()).into_parts();
        interim.status = StatusCode::CONTINUE;
        // A stream that takes none any more takes no answer either, and says so then.
        let _ = self.respond.send_informational(Response::from_parts(interim, ()));
    }

    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.answer {
            Some(answer) => answer.poll_reset(cx).map(|_| ()),
            None => self.respond.poll_reset(cx).map(|_| ()),
        }
    }

    fn begin(
        &mut self,
        status: StatusCode,
        fields: &AnswerFields<'_>,
        length: Length,
        _: After,
    ) -> Result<(), Gone> {
        let (mut parts, ()) = Response::new(()).into_parts();
        parts.status = status;
        parts.headers.reserve(MOST_FIELDS);
        fields.tell(&mut parts.headers);
        date::tell(|text| {
            if let Ok(date) = HeaderValue::from_str(text) {
                parts.headers.insert(header::DATE, date);
            }
        });
        if let Length::Known(length) | Length::Said(Some(length)) = length {
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        // A length that is only said (HEAD, 304) promises no content.
        self.left = if let Length::Known(length) = length { Some(length) } else { None };
        let ends = length.is_empty();
        let head = Response::from_parts(parts, ());
        self.answer = Some(self.respond.send_response(head, ends).map_err(|_| Gone)?);
        // With HEADERS: an empty DATA frame is one that some clients count.
        self.has_ended = ends;
        Ok(())
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        match self.gathered.len() >= GATHERED {
            true => self.poll_out(cx),
            false => Poll::Ready(Ok(())),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, content: &[u8]) -> Poll<Result<usize, Gone>> {
        if self.answer.is_none() || self.has_ended || self.is_whole {
            return Poll::Ready(Err(Gone));
        }
        ready!(self.poll_room(cx))?;
        // Never more than a frame is gathered: what is not taken stays with the backend's connection.
        let taken = content.len().min(GATHERED.saturating_sub(self.gathered.len()));
        let length = u64::try_from(taken).unwrap_or(u64::MAX);
        if let Some(left) = &mut self.left {
            // RFC 9113 section 8.1.1 makes more than was said an error of the stream: it is never sent.
            let Some(less) = left.checked_sub(length) else { return Poll::Ready(Err(Gone)) };
            *left = less;
        }
        self.gathered.extend_from_slice(content.get(..taken).unwrap_or_default());
        self.is_whole = self.left == Some(0);
        Poll::Ready(Ok(taken))
    }

    fn end(&mut self) -> Result<(), Gone> {
        match (&self.answer, self.left) {
            (Some(_), None | Some(0)) => {
                self.is_whole = true;
                Ok(())
            }
            (Some(_), Some(_)) if self.has_ended => Ok(()),
            (Some(_), Some(_)) | (None, _) => Err(Gone),
        }
    }

    /// What the library is given leaves as the connection is driven, within what it keeps.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        ready!(self.poll_out(cx))?;
        // An answer of unknown length whose last byte has gone: only an empty frame can end it now.
        if self.is_whole && !self.has_ended {
            self.has_ended = true;
            let answer = self.answer.as_mut().ok_or(Gone)?;
            answer.send_data(Bytes::new(), true).map_err(|_| Gone)?;
        }
        Poll::Ready(Ok(()))
    }

    fn cut(&mut self) {
        self.reset();
    }

    async fn settle(&mut self) {
        let drain = async {
            let mut taken = 0;
            while let Ok(Some(piece)) = poll_fn(|cx| self.poll_body(cx)).await {
                taken += piece.len();
                if taken > DRAINED {
                    return;
                }
            }
        };
        // Who sends no end in time has had its answer.
        let _ = timeout(DRAIN_TIME, drain).await;
    }
}
