//! A client's connection after its handshake: how long it may block, and how far the framework may read.
//!
//! The framework waits without limit in places: for the preface of HTTP/2, for a client that takes
//! nothing of an answer without body. And it takes what follows an HTTP/1 request, a second one or the
//! empty line that some clients append, for an error of the first. So a transport has deadlines of its
//! own, lends the framework exactly the body of the request under way, and keeps what comes after it.

use std::fmt;
use std::future::Future;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::BytesMut;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, IO, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::frames::Frames;

/// `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n` (RFC 9113 section 3.4).
const PREFACE_LENGTH: usize = 24;

/// Bytes and time that are spent on reading what a refused caller still sends, so that it gets to read
/// its answer: what arrives at a closed connection resets it (RFC 9112 section 9.6).
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER: Duration = Duration::from_secs(2);

/// Told when a connection is cut for its frames.
pub(super) type Flooded = Box<dyn Fn() + Send + Sync>;

/// A client's connection.
pub(super) struct Transport<S> {
    inner: S,
    write_timeout: Duration,
    /// Runs while the client takes nothing of what is written.
    stall: Option<Pin<Box<Sleep>>>,
    /// Runs until the preface of HTTP/2 is here.
    preface: Option<Preface>,
    /// Of HTTP/2.
    frames: Option<(Frames, Flooded)>,
    lent: Option<Lent>,
    /// What arrived behind the request under way.
    ahead: BytesMut,
    /// Runs once the client was told that nothing more comes.
    lingering: Option<Lingering>,
}

struct Preface {
    missing: usize,
    alarm: Pin<Box<Sleep>>,
}

struct Lingering {
    dropped: usize,
    alarm: Pin<Box<Sleep>>,
}

/// What the framework may read.
struct Lent {
    /// Bytes of the request's body that have not arrived.
    body: u64,
    /// Bytes behind it that are kept.
    room: usize,
}

impl<S: IO> Transport<S> {
    /// A transport whose reader is not limited.
    pub(super) fn new(inner: S, write_timeout: Duration) -> Self {
        Self {
            inner,
            write_timeout,
            stall: None,
            preface: None,
            frames: None,
            lent: None,
            ahead: BytesMut::new(),
            lingering: None,
        }
    }

    /// Fails reading if the preface of HTTP/2 is not here in time, and when frames come that ask for nothing
    /// and have no end: that is told once.
    pub(super) fn expect_http2(&mut self, within: Duration, flooded: Flooded) {
        self.frames = Some((Frames::new(Instant::now()), flooded));
        let alarm = Box::pin(sleep(within));
        self.preface = Some(Preface { missing: PREFACE_LENGTH, alarm });
    }

    /// Lends the reader `body` bytes. What follows them is kept, up to `room` bytes.
    pub(super) fn lend(&mut self, body: u64, room: usize) {
        self.lent = Some(Lent { body, room });
    }

    /// Ends the loan; appends to `buffer` what was kept.
    pub(super) fn take_back(&mut self, buffer: &mut BytesMut) {
        self.lent = None;
        if !self.ahead.is_empty() {
            buffer.unsplit(self.ahead.split());
        }
    }

    fn poll_lent(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        body: u64,
    ) -> Poll<Result<()>> {
        let most = usize::try_from(body).unwrap_or(usize::MAX).min(buffer.remaining());
        // Initialized before it is read into: afterwards it would overwrite what was read.
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        buffer.advance(read);
        if let Some(lent) = &mut self.lent {
            lent.body -= u64::try_from(read).unwrap_or(0);
        }
        Poll::Ready(Ok(()))
    }

    /// The request is here whole: reads ahead, so that an end of the connection is noticed.
    fn poll_ahead(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<Result<()>> {
        while self.ahead.len() < room {
            let mut scratch = [0; 512];
            let mut part = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut part))?;
            if part.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.ahead.extend_from_slice(part.filled());
        }
        Poll::Pending
    }

    fn poll_preface(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        let Some(preface) = &mut self.preface else {
            return polled;
        };
        if polled.is_pending() {
            return preface.alarm.as_mut().poll(cx).map(|()| Err(ErrorKind::TimedOut.into()));
        }
        preface.missing = preface.missing.saturating_sub(buffer.filled().len() - before);
        if preface.missing == 0 {
            self.preface = None;
        }
        polled
    }

    fn poll_http2(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        ready!(self.poll_preface(cx, buffer))?;
        let arrived = buffer.filled().get(before..).unwrap_or_default();
        let Some((frames, flooded)) = &mut self.frames else {
            return Poll::Ready(Ok(()));
        };
        if frames.take(arrived, Instant::now()) {
            return Poll::Ready(Ok(()));
        }
        flooded();
        Poll::Ready(Err(Error::other("too many frames that ask for nothing")))
    }

    /// Fails what the client has kept waiting for too long.
    fn bound<T>(&mut self, cx: &mut Context<'_>, polled: Poll<Result<T>>) -> Poll<Result<T>> {
        if polled.is_ready() {
            self.stall = None;
            return polled;
        }
        let limit = self.write_timeout;
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(limit)));
        stall.as_mut().poll(cx).map(|()| Err(Error::from(ErrorKind::TimedOut)))
    }

    fn note_sent(&mut self, polled: &Poll<Result<usize>>) {
        if let (Some((frames, _)), Poll::Ready(Ok(bytes))) = (&mut self.frames, polled) {
            frames.note_sent(*bytes);
        }
    }

    fn has_unread(&self) -> bool {
        !self.ahead.is_empty() || self.lent.as_ref().is_some_and(|lent| lent.body > 0)
    }

    /// Reads and drops what the client still sends, for a while. Whatever ends that, enough was done.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let lingering = self
            .lingering
            .get_or_insert_with(|| Lingering { dropped: 0, alarm: Box::pin(sleep(LINGER)) });
        let mut scratch = [0; 4096];
        while lingering.dropped <= LINGER_BYTES {
            let mut part = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.inner).poll_read(cx, &mut part) {
                Poll::Ready(Ok(())) if !part.filled().is_empty() => {
                    lingering.dropped += part.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return lingering.alarm.as_mut().poll(cx),
            }
        }
        Poll::Ready(())
    }
}

impl<S: IO> AsyncRead for Transport<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let this = self.get_mut();
        match this.lent {
            Some(Lent { body: 0, room }) => this.poll_ahead(cx, room),
            Some(Lent { body, .. }) => this.poll_lent(cx, buffer, body),
            None if this.frames.is_some() => this.poll_http2(cx, buffer),
            None => Pin::new(&mut this.inner).poll_read(cx, buffer),
        }
    }
}

impl<S: IO> AsyncWrite for Transport<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.note_sent(&polled);
        this.bound(cx, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write_vectored(cx, slices);
        this.note_sent(&polled);
        this.bound(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_flush(cx);
        this.bound(cx, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            let polled = Pin::new(&mut this.inner).poll_shutdown(cx);
            ready!(this.bound(cx, polled))?;
        }
        match this.has_unread() {
            true => this.poll_linger(cx).map(Ok),
            false => Poll::Ready(Ok(())),
        }
    }
}

#[async_trait]
impl<S: IO> Shutdown for Transport<S> {
    async fn shutdown(&mut self) {
        // An error means that the client is gone already.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl<S: IO> UniqueID for Transport<S> {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl<S: IO> Ssl for Transport<S> {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.inner.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl<S: IO> GetTimingDigest for Transport<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }
}

impl<S: IO> GetProxyDigest for Transport<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }
}

impl<S: IO> GetSocketDigest for Transport<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }
}

impl<S: IO> Peek for Transport<S> {}

impl<S> fmt::Debug for Transport<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport(..)")
    }
}
