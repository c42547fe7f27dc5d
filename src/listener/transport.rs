//! A client's connection after its handshake: how long it may block, and what it may send over HTTP/2.
//!
//! Everything that waits for a client has its deadline where the bytes are: whoever takes nothing of what is written
//! is cut after `write_timeout`, whatever waits for it above; so is whoever says HTTP/2 and does not send its preface,
//! or sends frames that ask for nothing and have no end.

use std::fmt;
use std::future::Future;
use std::io::{Error, ErrorKind, IoSlice, Result, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

use super::frames::Frames;

/// `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n` (RFC 9113 section 3.4).
const PREFACE_LENGTH: usize = 24;

/// Told when a connection is cut for its frames.
pub(super) type Flooded = Box<dyn Fn() + Send + Sync>;

/// What a connection is made of.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    /// Has the connection reset when it is dropped, so that nobody takes its end for an end of what it carried.
    fn reset_when_closed(&self);

    /// Has it take so many bytes at once, before any of them has left.
    fn take_at_once(&mut self, bytes: usize);

    /// Writes of what it took; gives how much, nothing when all of that has left.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize>>;
}

impl Socket for TlsStream<TcpStream> {
    fn reset_when_closed(&self) {
        // If that cannot be done, there is still no close_notify.
        let _ = sockopt::set_socket_linger(self.get_ref().0, Some(Duration::ZERO));
    }

    fn take_at_once(&mut self, bytes: usize) {
        // rustls takes 64 KiB unless told: a piece and its head would go in two turns.
        self.get_mut().1.set_buffer_limit(Some(bytes));
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        let (tcp, session) = self.get_mut();
        match session.write_tls(&mut Polled { tcp, cx }) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
            written => Poll::Ready(written),
        }
    }
}

/// A socket as TLS writes to it.
struct Polled<'a, 'c> {
    tcp: &'a mut TcpStream,
    cx: &'a mut Context<'c>,
}

impl Polled<'_, '_> {
    fn done<T>(polled: Poll<Result<T>>) -> Result<T> {
        match polled {
            Poll::Ready(done) => done,
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Polled<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        Self::done(Pin::new(&mut *self.tcp).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> Result<usize> {
        // Of several records one system call: rustls hands them over as slices.
        Self::done(Pin::new(&mut *self.tcp).poll_write_vectored(self.cx, slices))
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A client's connection.
pub(super) struct Transport<S> {
    inner: S,
    write_timeout: Duration,
    /// Runs while the client takes nothing of what is written.
    stall: Option<Pin<Box<Sleep>>>,
    /// It took nothing for too long: nothing is written to it any more.
    is_stuck: bool,
    http2: Option<Box<Http2Watch>>,
}

/// What is watched of a connection that speaks HTTP/2.
struct Http2Watch {
    /// Runs until the preface is here.
    preface: Option<Preface>,
    frames: Frames,
    flooded: Flooded,
}

struct Preface {
    missing: usize,
    alarm: Pin<Box<Sleep>>,
}

impl<S> Transport<S> {
    /// A transport of HTTP/1.
    pub(super) fn new(inner: S, write_timeout: Duration) -> Self {
        Self { inner, write_timeout, stall: None, is_stuck: false, http2: None }
    }

    /// The connection beneath.
    pub(super) fn inner(&self) -> &S {
        &self.inner
    }

    /// The connection beneath, to be changed.
    pub(super) fn inner_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Fails reading if the preface of HTTP/2 is not here in time, and when frames come that ask for nothing
    /// and have no end: that is told once.
    pub(super) fn expect_http2(&mut self, within: Duration, flooded: Flooded) {
        let alarm = Box::pin(sleep(within));
        let preface = Some(Preface { missing: PREFACE_LENGTH, alarm });
        let frames = Frames::new(Instant::now());
        self.http2 = Some(Box::new(Http2Watch { preface, frames, flooded }));
    }

    /// Fails what the client has kept waiting for too long.
    fn bound<T>(&mut self, cx: &mut Context<'_>, polled: Poll<Result<T>>) -> Poll<Result<T>> {
        if polled.is_ready() {
            // A byte is progress: what bounds the whole is `exchange_timeout` behind it.
            self.stall = None;
            return polled;
        }
        let limit = self.write_timeout;
        // One timer for all that waits to be written: it is of the bytes, not of who wrote them.
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stall.as_mut().poll(cx));
        // Remembered, for a shutdown would wait as long again.
        self.is_stuck = true;
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl Http2Watch {
    /// Judges what arrived.
    fn take(&mut self, arrived: &[u8]) -> Result<()> {
        if let Some(preface) = &mut self.preface {
            // By its length alone: whether it is the preface the library says.
            preface.missing = preface.missing.saturating_sub(arrived.len());
            if preface.missing == 0 {
                self.preface = None;
            }
        }
        if self.frames.take(arrived, Instant::now()) {
            return Ok(());
        }
        (self.flooded)();
        Err(Error::other("too many frames that ask for nothing"))
    }

    /// Fails when the preface is overdue.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(preface) = &mut self.preface else { return Poll::Pending };
        preface.alarm.as_mut().poll(cx).map(|()| Err(ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.inner).poll_read(cx, buffer);
        let Some(http2) = &mut this.http2 else { return polled };
        match polled {
            // Only when nothing comes: what has come was on time.
            Poll::Pending => http2.poll_overdue(cx),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                Poll::Ready(http2.take(buffer.filled().get(before..).unwrap_or_default()))
            }
        }
    }
}

impl<S: Socket> AsyncWrite for Transport<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        if this.is_stuck {
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        let polled = Pin::new(&mut this.inner).poll_write(cx, bytes);
        if let (Some(http2), Poll::Ready(Ok(sent))) = (&mut this.http2, &polled) {
            http2.frames.note_sent(*sent);
        }
        this.bound(cx, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let this = self.get_mut();
        if this.is_stuck {
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        let polled = Pin::new(&mut this.inner).poll_write_vectored(cx, slices);
        if let (Some(http2), Poll::Ready(Ok(sent))) = (&mut this.http2, &polled) {
            http2.frames.note_sent(*sent);
        }
        this.bound(cx, polled)
    }

    /// So that HTTP/2 puts a head and a short content into one write: of slices it makes a record each.
    fn is_write_vectored(&self) -> bool {
        self.http2.is_none()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        if this.is_stuck {
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        // Whoever takes a little of much has taken something; over HTTP/2 that is known of each stream.
        while this.http2.is_none() {
            match this.inner.poll_drain(cx) {
                Poll::Ready(Ok(1..)) => this.stall = None,
                Poll::Ready(Ok(0)) => break,
                other => return this.bound(cx, other.map_ok(|_| ())),
            }
        }
        let polled = Pin::new(&mut this.inner).poll_flush(cx);
        this.bound(cx, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        // Whoever took nothing does not take the end of it either.
        if this.is_stuck {
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        let polled = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.bound(cx, polled)
    }
}

impl<S> fmt::Debug for Transport<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Took much, and lets go of a byte each second, so many in all.
    struct Slow {
        left: usize,
        next: Pin<Box<Sleep>>,
    }

    impl Slow {
        fn transport(left: usize) -> Transport<Self> {
            let slow = Self { left, next: Box::pin(sleep(Duration::from_secs(1))) };
            Transport::new(slow, Duration::from_secs(3))
        }
    }

    impl Socket for Slow {
        fn reset_when_closed(&self) {}

        fn take_at_once(&mut self, _: usize) {}

        fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize>> {
            if self.left == 0 {
                return Poll::Pending;
            }
            ready!(self.next.as_mut().poll(cx));
            self.left -= 1;
            self.next = Box::pin(sleep(Duration::from_secs(1)));
            Poll::Ready(Ok(usize::from(self.left > 0)))
        }
    }

    impl AsyncRead for Slow {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Slow {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            if self.left == 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_a_little_of_much_is_not_stuck_and_whoever_takes_nothing_is() {
        let mut steady = Slow::transport(20);
        poll_fn(|cx| Pin::new(&mut steady).poll_flush(cx)).await.unwrap();
        let mut stuck = Slow::transport(0);
        let start = tokio::time::Instant::now();
        let flushed = poll_fn(|cx| Pin::new(&mut stuck).poll_flush(cx)).await;
        assert_eq!(flushed.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() >= Duration::from_secs(3));
    }
}
