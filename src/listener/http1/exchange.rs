//! One exchange over HTTP/1, as the course sees its caller.
//!
//! Whether the connection stays is decided once, before the head of the answer is written, and the head says it (RFC
//! 9112 section 9.3): it does if both sides would, the whole request was read, and the answer has an end of its own.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{HeaderName, HeaderValue, StatusCode, Version, header};
use pingora::server::ShutdownWatch;
use tokio::io::AsyncWrite;

use super::super::WireLimits;
use super::super::transport::Socket;
use super::{ClientLine, READ_SIZE};
use crate::course::caller::{After, BodyError, Caller, Gone, Length};
use crate::headers::answer::{AnswerFields, Fields};
use crate::http1::body::{BodyFault, BodyRead, BodyReader, BodyWriter, Framing};
use crate::http1::line::push_decimal;
use crate::moment::date;
use crate::request::{RequestError, RequestHead};
use crate::scratch::{self, PIECE};

/// What is gathered before it is written: no TLS record has more. Longer content is written from where it lies, behind
/// what was gathered.
const GATHERED: usize = 16 * 1024;
/// What TLS takes before any of it has left: so much that a head and a piece go out in one write.
pub(super) const IN_TLS: usize = GATHERED + PIECE;

/// An exchange.
pub(super) struct Http1Exchange<'a, S: Socket> {
    line: &'a mut ClientLine<S>,
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
    /// TLS was given content that may not have left.
    is_leaving: bool,
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

impl<'a, S: Socket> Http1Exchange<'a, S> {
    pub(super) fn new(
        line: &'a mut ClientLine<S>,
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
            is_leaving: false,
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

    fn head(&mut self, status: StatusCode, fields: &AnswerFields<'_>, length: Length) {
        let out = &mut self.out;
        out.reserve(1024);
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_str().as_bytes());
        out.push(b' ');
        // The backend's own words are dropped (decision 2); an unknown status has none, which RFC 9112
        // section 4 allows.
        out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
        fields.tell(&mut FieldLines(out));
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
        // Last, and said even where it is the default: HTTP/1.0 clients look for it (RFC 9112 section 9.3).
        out.extend_from_slice(match self.stays {
            true => b"connection: keep-alive\r\n\r\n",
            false => b"connection: close\r\n\r\n",
        });
    }

    /// Writes what was gathered.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        // `sent` lives in the exchange: whoever drops this future in the middle goes on where it was.
        while let Some(rest) = self.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let written = Pin::new(&mut self.line.transport).poll_write(cx, rest);
            match ready!(written) {
                Ok(n) if n > 0 => self.sent += n,
                _ => return Poll::Ready(Err(self.leave())),
            }
        }
        // What TLS took is not sent yet.
        match ready!(Pin::new(&mut self.line.transport).poll_flush(cx)) {
            Ok(()) => {
                self.out.clear();
                self.sent = 0;
                self.is_leaving = false;
                Poll::Ready(Ok(()))
            }
            Err(_) => Poll::Ready(Err(self.leave())),
        }
    }

    /// Writes what was gathered, and content from where it lies; gives how much of the content was taken.
    fn poll_through(&mut self, cx: &mut Context<'_>, content: &[u8]) -> Poll<Result<usize, Gone>> {
        loop {
            let writer = self.writer.as_mut().ok_or(Gone)?;
            // Before the write, which may take none of it: `begin` notes the chunk's size once.
            let next = writer.begin(content.len(), &mut self.out).map_err(|_| Gone)?;
            let next = content.get(..next).unwrap_or_default();
            let before = self.out.get(self.sent..).unwrap_or_default();
            let slices = [before, next, writer.behind(next.len())].map(IoSlice::new);
            let written = Pin::new(&mut self.line.transport).poll_write_vectored(cx, &slices);
            let written = match ready!(written) {
                Ok(n) if n > 0 => n,
                _ => return Poll::Ready(Err(self.leave())),
            };
            // Whatever was taken may lie in TLS: nobody may wait for the other side before it is flushed.
            self.is_leaving = true;
            // Not even all that was gathered: the content comes with the next write.
            let Some(written) = written.checked_sub(before.len()) else {
                self.sent += written;
                continue;
            };
            self.out.clear();
            self.sent = 0;
            let taken = written.min(next.len());
            let behind = writer.take(taken).map_err(|_| Gone)?;
            self.out.extend_from_slice(behind.get(written - taken..).unwrap_or_default());
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
        }
    }

    /// Whether anything that was given may not have left.
    fn holds_any(&self) -> bool {
        self.is_leaving || !self.out.is_empty()
    }

    fn leave(&mut self) -> Gone {
        self.has_left = true;
        self.is_cut = true;
        Gone
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let ClientLine { transport, input, .. } = &mut *self.line;
        scratch::poll_read(transport, cx, input, READ_SIZE)
    }
}

/// Fields as lines.
struct FieldLines<'a>(&'a mut Vec<u8>);

impl Fields for FieldLines<'_> {
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
impl<S: Socket> Drop for Http1Exchange<'_, S> {
    fn drop(&mut self) {
        // Only there: an answer with a length or chunks looks cut by itself (RFC 9112 section 8).
        if self.ends_by_closing && (self.writer.is_some() || self.holds_any()) {
            // Set before the socket closes, from a destructor: no future is left that could do it later.
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

impl<S: Socket> Caller for Http1Exchange<'_, S> {
    const PIECE: usize = PIECE;

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        while !self.body.is_whole() {
            let input = &mut self.line.input;
            // What is here first: a read would wait for bytes that a short body never sends.
            let BodyRead { skip, content, .. } = self.body.read(input).map_err(fault)?;
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
        fields: &AnswerFields<'_>,
        length: Length,
        after: After,
    ) -> Result<(), Gone> {
        // HTTP/1.0 knows no chunks (RFC 9112 section 6.1): an unknown length ends with the connection.
        self.ends_by_closing = length == Length::Open && self.version == Version::HTTP_10;
        // Decided before the head is written, for the head says it; nothing that comes later can change it.
        self.stays = after == After::Stays
            && self.keeps
            && self.body.is_whole()
            && !self.ends_by_closing
            && !self.is_half_closed
            // Draining: whoever reads this opens its next connection elsewhere.
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

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        // What TLS holds is written before more is taken: otherwise a slow reader's answer piles up in it.
        match self.is_leaving || self.out.len() >= GATHERED {
            true => self.poll_out(cx),
            false => Poll::Ready(Ok(())),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, content: &[u8]) -> Poll<Result<usize, Gone>> {
        ready!(self.poll_room(cx))?;
        // Short content is copied behind the head: one record and one write, where two cost 3.6 us more.
        if self.out.len() + content.len() > GATHERED {
            return self.poll_through(cx, content.get(..PIECE).unwrap_or(content));
        }
        let writer = self.writer.as_mut().ok_or(Gone)?;
        let written = writer.write(content, &mut self.out).map(|()| content.len());
        Poll::Ready(written.map_err(|_| Gone))
    }

    fn end(&mut self) -> Result<(), Gone> {
        let writer = self.writer.take().ok_or(Gone)?;
        writer.end(&mut self.out).map_err(|_| Gone)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        match self.holds_any() {
            true => self.poll_out(cx),
            false => Poll::Ready(Ok(())),
        }
    }

    fn cut(&mut self) {
        self.is_cut = true;
    }

    // What is left of the body is read as the connection ends (`linger`).
    async fn settle(&mut self) {}
}

fn fault(fault: BodyFault) -> BodyError {
    BodyError::Fault(error_of(fault))
}

pub(super) fn error_of(fault: BodyFault) -> RequestError {
    match fault {
        BodyFault::Chunk => RequestError::Chunk,
        // Chunks that are too long to be kept: with a declared length they may pass.
        BodyFault::TooLong => RequestError::LengthRequired,
        BodyFault::Trailer => RequestError::HeadTooLarge,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::BytesMut;
    use tokio::io::{AsyncRead, ReadBuf};

    use super::super::super::transport::Transport;
    use super::*;
    use crate::alarm::Alarm;
    use crate::listener::HeadLimits;

    /// Takes so many bytes at a time, and every other time nothing; all that it took leaves when it is flushed.
    struct Narrow {
        width: usize,
        taken: Vec<u8>,
        is_busy: bool,
        unflushed: usize,
    }

    impl Narrow {
        fn is_ready(&mut self, cx: &Context<'_>) -> bool {
            self.is_busy = !self.is_busy;
            cx.waker().wake_by_ref();
            !self.is_busy
        }
    }

    impl AsyncRead for Narrow {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            if !self.is_ready(cx) {
                return Poll::Pending;
            }
            let width = self.width;
            let bytes = slices.iter().flat_map(|slice| slice.iter().copied()).take(width);
            let before = self.taken.len();
            self.taken.extend(bytes);
            let taken = self.taken.len() - before;
            self.unflushed += taken;
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            if !self.is_ready(cx) {
                return Poll::Pending;
            }
            self.unflushed = 0;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Socket for Narrow {
        fn reset_when_closed(&self) {}

        fn take_at_once(&mut self, _: usize) {}

        fn poll_drain(&mut self, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(0))
        }
    }

    fn limits() -> WireLimits {
        let while_ = Duration::from_secs(60);
        WireLimits {
            handshake_timeout: while_,
            idle_timeout: while_,
            head_timeout: while_,
            body_timeout: while_,
            write_timeout: while_,
            exchange_timeout: while_,
            head: HeadLimits { size: 1024, fields: 10 },
        }
    }

    /// Gives content in pieces, and says what the socket got of it and of what was before.
    async fn give(width: usize, framing: Framing, content: &[u8], piece: usize) -> Vec<u8> {
        let limits = limits();
        let narrow = Narrow { width, taken: Vec::new(), is_busy: false, unflushed: 0 };
        let mut line = ClientLine {
            transport: Transport::new(narrow, limits.write_timeout),
            input: BytesMut::new(),
            alarm: Alarm::default(),
            is_over: false,
        };
        let request = Bytes::from_static(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let (head, body) = RequestHead::read(request, &limits.head).unwrap();
        let (_sender, shutdown) = tokio::sync::watch::channel(false);
        let body = BodyReader::of_request(body, 0);
        let mut exchange = Http1Exchange::new(&mut line, &head, body, &limits, &shutdown);
        exchange.out.extend_from_slice(b"head");
        exchange.writer = Some(BodyWriter::new(framing));
        for mut piece in content.chunks(piece) {
            while !piece.is_empty() {
                std::future::poll_fn(|cx| exchange.poll_room(cx)).await.unwrap();
                assert_eq!(exchange.line.transport.inner().unflushed, 0, "one piece in flight");
                // Whoever waits may be dropped, and asks again.
                let taken = loop {
                    let mut polled = std::pin::pin!(tokio::time::timeout(
                        Duration::ZERO,
                        std::future::poll_fn(|cx| exchange.poll_write(cx, piece))
                    ));
                    if let Ok(taken) = polled.as_mut().await {
                        break taken.unwrap();
                    }
                };
                piece = &piece[taken..];
            }
        }
        exchange.end().unwrap();
        std::future::poll_fn(|cx| exchange.poll_flush(cx)).await.unwrap();
        assert!(!exchange.holds_any());
        drop(exchange);
        assert_eq!(line.transport.inner().unflushed, 0, "all of it has left");
        std::mem::take(&mut line.transport.inner_mut().taken)
    }

    #[tokio::test]
    async fn content_is_whole_however_little_is_taken_at_a_time() {
        for (width, size) in [(1, GATHERED + 3), (7, GATHERED + 3), (4_000, 3 * PIECE + 1)] {
            let content: Vec<u8> = (0..251).cycle().take(size).collect();
            for piece in [5_000, GATHERED + 1, PIECE, usize::MAX >> 1] {
                let length = u64::try_from(size).unwrap();
                for framing in [Framing::Length(length), Framing::Chunked, Framing::UntilClose] {
                    let given = give(width, framing, &content, piece).await;
                    let mut rest = given.strip_prefix(b"head").unwrap();
                    let (mut reader, mut read) = (BodyReader::of_answer(framing), Vec::new());
                    while !rest.is_empty() {
                        let BodyRead { skip, content, .. } = reader.read(rest).unwrap();
                        read.extend_from_slice(&rest[skip..skip + content]);
                        rest = &rest[skip + content..];
                    }
                    assert!(reader.is_whole() || framing == Framing::UntilClose);
                    assert!(read == content, "{width} {piece} {framing:?}");
                }
            }
        }
    }
}
