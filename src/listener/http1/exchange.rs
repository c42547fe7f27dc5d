//! One exchange over HTTP/1, as the course sees its caller.
//!
//! Whether the connection stays is decided once, before the head of the answer is written, and the head says it (RFC
//! 9112 section 9.3): it does if both sides would, the whole request was read, and the answer has an end of its own.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{HeaderName, HeaderValue, StatusCode, Version, header};
use pingora::server::ShutdownWatch;
use tokio::io::AsyncWrite;

use super::super::WireLimits;
use super::super::transport::Socket;
use super::{Line, READ_SIZE};
use crate::course::caller::{After, BodyError, Caller, Gone, Length};
use crate::headers::answer::{Answer, Fields};
use crate::http1::body::{BodyFault, BodyReader, BodyWriter, Framing, Read};
use crate::http1::line::push_decimal;
use crate::moment::date;
use crate::request::{RequestError, RequestHead};
use crate::scratch;

/// What is gathered before it is written: no TLS record has more.
const GATHERED: usize = 16 * 1024;

/// An exchange.
pub(super) struct Exchange<'a, S: Socket> {
    line: &'a mut Line<S>,
    shutdown: &'a ShutdownWatch,
    version: Version,
    /// Whether the caller would go on with the connection.
    keeps: bool,
    expects: bool,
    body: BodyReader,
    /// Bytes that are read ahead.
    room: usize,
    has_left: bool,
    is_half_closed: bool,
    out: Vec<u8>,
    sent: usize,
    writer: Option<BodyWriter>,
    stays: bool,
    is_cut: bool,
    ends_by_closing: bool,
}

/// What becomes of the connection.
pub(super) enum Ending {
    /// It carries another exchange.
    Stays,
    /// It ends, and the client may still be sending.
    Ends,
    /// It is cut: what the client has must not look whole.
    Cut,
}

impl<'a, S: Socket> Exchange<'a, S> {
    pub(super) fn new(
        line: &'a mut Line<S>,
        head: &RequestHead,
        body: BodyReader,
        limits: &WireLimits,
        shutdown: &'a ShutdownWatch,
    ) -> Self {
        Self {
            line,
            shutdown,
            version: head.version,
            keeps: keeps_connection(head),
            expects: head.fields.contains_key(header::EXPECT),
            body,
            room: limits.head.size,
            has_left: false,
            is_half_closed: false,
            out: scratch::room(),
            sent: 0,
            writer: None,
            stays: false,
            is_cut: false,
            ends_by_closing: false,
        }
    }

    /// What becomes of the connection.
    pub(super) fn ending(&self) -> Ending {
        match (self.is_cut, self.stays) {
            (true, _) => Ending::Cut,
            (false, true) => Ending::Stays,
            (false, false) => Ending::Ends,
        }
    }

    fn head(&mut self, status: StatusCode, fields: &Answer<'_>, length: Length) {
        let out = &mut self.out;
        out.reserve(1024);
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
        fields.tell(&mut Lines(out));
        date::tell(|text| {
            out.extend_from_slice(b"date: ");
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(b"\r\n");
        });
        match length {
            Length::Known(length) | Length::Said(Some(length)) => {
                out.extend_from_slice(b"content-length: ");
                push_decimal(out, length);
                out.extend_from_slice(b"\r\n");
            }
            Length::Open if self.version != Version::HTTP_10 => {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
            Length::Open | Length::None | Length::Said(None) => {}
        }
        out.extend_from_slice(match self.stays {
            true => b"connection: keep-alive\r\n\r\n",
            false => b"connection: close\r\n\r\n",
        });
    }

    /// Writes what was gathered.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        while let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let written = std::pin::Pin::new(&mut self.line.transport).poll_write(cx, rest);
            match ready!(written) {
                Ok(n) if n > 0 => self.sent += n,
                _ => return Poll::Ready(Err(self.leave())),
            }
        }
        // What TLS took is not sent yet.
        match ready!(std::pin::Pin::new(&mut self.line.transport).poll_flush(cx)) {
            Ok(()) => {
                self.out.clear();
                self.sent = 0;
                Poll::Ready(Ok(()))
            }
            Err(_) => Poll::Ready(Err(self.leave())),
        }
    }

    fn leave(&mut self) -> Gone {
        self.has_left = true;
        self.is_cut = true;
        Gone
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Line { transport, input, .. } = &mut *self.line;
        scratch::poll_read(transport, cx, input, READ_SIZE)
    }
}

/// Fields as lines.
struct Lines<'a>(&'a mut Vec<u8>);

impl Fields for Lines<'_> {
    fn known(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.passed(name.as_str(), value.as_bytes());
    }

    fn number(&mut self, name: &HeaderName, value: u64) {
        self.0.extend_from_slice(name.as_str().as_bytes());
        self.0.extend_from_slice(b": ");
        push_decimal(self.0, value);
        self.0.extend_from_slice(b"\r\n");
    }

    fn passed(&mut self, name: &str, value: &[u8]) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        self.0.extend_from_slice(value);
        self.0.extend_from_slice(b"\r\n");
    }
}

/// Whatever ends it, in time or not: where the end of the connection is the end of the answer, an answer that is not
/// whole ends in a reset.
impl<S: Socket> Drop for Exchange<'_, S> {
    fn drop(&mut self) {
        if self.ends_by_closing && (self.writer.is_some() || !self.out.is_empty()) {
            self.line.transport.inner().reset_when_closed();
        }
        scratch::give_back(std::mem::take(&mut self.out));
    }
}

/// Whether a caller would go on with its connection: any `close` ends it, whatever else is said (RFC 9112 section 9.3).
fn keeps_connection(head: &RequestHead) -> bool {
    let says = |said: &[u8]| {
        let mut values = head.fields.get_all(header::CONNECTION).iter();
        values.any(|value| {
            let mut options = value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii);
            options.any(|option| option.eq_ignore_ascii_case(said))
        })
    };
    !says(b"close") && (head.version != Version::HTTP_10 || says(b"keep-alive"))
}

impl<S: Socket> Caller for Exchange<'_, S> {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        while !self.body.is_whole() {
            let input = &mut self.line.input;
            let Read { skip, content, .. } = self.body.read(input).map_err(fault)?;
            input.advance(skip);
            if content > 0 {
                return Poll::Ready(Ok(Some(input.split_to(content).freeze())));
            }
            if self.body.is_whole() {
                break;
            }
            match ready!(self.poll_read(cx)) {
                Ok(n) if n > 0 => {}
                // In the middle of a message.
                _ => {
                    self.leave();
                    return Poll::Ready(Err(BodyError::Gone));
                }
            }
        }
        Poll::Ready(Ok(None))
    }

    fn proceed(&mut self) {
        // Who began to send does not wait; HTTP/1.0 does not know it (RFC 9110 section 10.1.1).
        let waits = self.line.input.is_empty() && !self.body.is_whole();
        if std::mem::take(&mut self.expects) && waits && self.version != Version::HTTP_10 {
            self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_left {
            return Poll::Ready(());
        }
        // What arrives is kept for its turn; when that is as much as a head may be, no more is read.
        while self.body.is_whole() && !self.is_half_closed && self.line.input.len() < self.room {
            match ready!(self.poll_read(cx)) {
                Ok(n) if n > 0 => {}
                // It has said that it sends no more, and may well await its answer.
                Ok(_) => self.is_half_closed = true,
                Err(_) => {
                    self.leave();
                    return Poll::Ready(());
                }
            }
        }
        Poll::Pending
    }

    fn begin(
        &mut self,
        status: StatusCode,
        fields: &Answer<'_>,
        length: Length,
        after: After,
    ) -> Result<(), Gone> {
        self.ends_by_closing = length == Length::Open && self.version == Version::HTTP_10;
        self.stays = after == After::Stays
            && self.keeps
            && self.body.is_whole()
            && !self.ends_by_closing
            && !self.is_half_closed
            && !*self.shutdown.borrow();
        self.head(status, fields, length);
        let framing = match length {
            Length::Known(length) => Framing::Length(length),
            Length::None | Length::Said(_) => Framing::Length(0),
            Length::Open if self.ends_by_closing => Framing::UntilClose,
            Length::Open => Framing::Chunked,
        };
        self.writer = Some(BodyWriter::new(framing));
        Ok(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, content: &[u8]) -> Poll<Result<usize, Gone>> {
        if self.out.len() >= GATHERED {
            ready!(self.poll_out(cx))?;
        }
        let taken = content.len().min(GATHERED);
        let piece = content.get(..taken).unwrap_or_default();
        let writer = self.writer.as_mut().ok_or(Gone)?;
        Poll::Ready(writer.write(piece, &mut self.out).map(|()| taken).map_err(|_| Gone))
    }

    fn end(&mut self) -> Result<(), Gone> {
        let writer = self.writer.take().ok_or(Gone)?;
        writer.end(&mut self.out).map_err(|_| Gone)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        if self.out.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.poll_out(cx)
    }

    fn cut(&mut self) {
        self.is_cut = true;
    }

    async fn settle(&mut self) {}
}

fn fault(fault: BodyFault) -> BodyError {
    BodyError::Fault(error_of(fault))
}

pub(super) fn error_of(fault: BodyFault) -> RequestError {
    match fault {
        BodyFault::Chunk => RequestError::Chunk,
        BodyFault::TooLong => RequestError::LengthRequired,
        BodyFault::Trailer => RequestError::HeadTooLarge,
    }
}
