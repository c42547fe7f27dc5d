//! The HTTP/1 side of a connection: one request after the other.
//!
//! Reads whole heads, judged byte by byte (`request::framing`), and gives each to the course with what follows it as
//! its body. What cannot be a request is given as what could be made out of it, so that it is refused, counted and
//! logged like any other. One exchange at a time: what arrives behind a request waits for its turn, within a bound.

mod exchange;

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use pingora::server::ShutdownWatch;
use tokio::io::AsyncWriteExt;

use super::transport::{Socket, Transport};
use super::{FIRST_REQUEST, WireLimits};
use crate::alarm::Alarm;
use crate::course::{Arrival, Connection, Entered, Gateway, Seat};
use crate::http1::body::{BodyReader, Framing};
use crate::http1::line;
use crate::measure::Clock;
use crate::request::{KEPT_BODY, RequestError, RequestHead};
use crate::scratch;
use crate::upstream::pool::Pool;
use exchange::{Ending, Http1Exchange};

/// What is read at a time: a head with its token, and a short body.
const READ_SIZE: usize = 8 * 1024;
/// Empty lines before a request that are overlooked; one more is the beginning of a request that is none.
const MOST_EMPTY_LINES: usize = 8;
/// Bytes and time that are spent on reading what a refused caller still sends, so that it gets to read
/// its answer: what arrives at a closed connection resets it (RFC 9112 section 9.6).
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER: Duration = Duration::from_secs(2);

/// What serves a connection.
pub(super) struct Http1Server<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) pool: &'a Pool,
    pub(super) limits: &'a WireLimits,
    pub(super) address: IpAddr,
    pub(super) connection: &'a Arc<Connection>,
}

/// Serves the requests of a connection, one after the other, until either side ends it.
pub(super) async fn serve<S: Socket>(
    server: &Http1Server<'_>,
    mut transport: Transport<S>,
    mut shutdown: ShutdownWatch,
    entered: Entered,
) {
    // Before anything is written: with less TLS would split a head and its content into two writes.
    transport.inner_mut().take_at_once(exchange::IN_TLS);
    let mut line =
        ClientLine { transport, input: BytesMut::new(), alarm: Alarm::default(), is_over: false };
    // Two, one for each phase and one for the whole: they would move one timer back and forth.
    let (mut alarm, mut end) = (Alarm::default(), Alarm::default());
    let mut fresh = Some(entered);
    loop {
        let first_byte = match &fresh {
            Some(_) => line.await_first_request(server.limits, &mut shutdown).await,
            None => line.await_request(server.limits, &mut shutdown).await,
        };
        let Some(first_byte) = first_byte else {
            return line.end().await;
        };
        // Whoever asks for the first time was counted as it came.
        let Some(entered) = fresh.take().or_else(|| server.gateway.under_way.enter()) else {
            return line.end().await;
        };
        let Some((arrival, body)) = line.receive(server, first_byte).await else {
            return;
        };
        // From the first byte: a head that comes slowly uses up its exchange's time.
        let deadline = first_byte + server.limits.exchange_timeout;
        let mut exchange =
            Http1Exchange::new(&mut line, &arrival.head, body, server.limits, &shutdown);
        let mut seat = Seat { pool: server.pool, alarm: &mut alarm, entered: &entered };
        {
            // Boxed, because a connection is idle most of the time, and holds nothing of an exchange then.
            let serving = server.gateway.serve(&arrival, &mut exchange, &mut seat);
            let mut serving = Box::pin(serving);
            // What is dropped then concludes itself.
            if !in_time(serving.as_mut(), &mut end, deadline).await {
                return;
            }
        }
        let ending = exchange.ending();
        drop((exchange, entered));
        match ending {
            Ending::Stays => {}
            // Whoever was told that it ends may still be sending: the rest of a body, or what it would ask next.
            Ending::Ends => return line.linger().await,
            Ending::Cut => return,
        }
        // Who sends one after the other must not keep the others of the thread waiting.
        tokio::task::consume_budget().await;
    }
}

/// Whether an exchange ends before its deadline.
async fn in_time(
    mut serving: Pin<&mut impl Future<Output = ()>>,
    end: &mut Alarm,
    deadline: Instant,
) -> bool {
    poll_fn(|cx| {
        // First: an exchange that ends as its time does has ended.
        if serving.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        end.poll(cx, deadline).map(|()| false)
    })
    .await
}

/// A connection, and what came of it.
struct ClientLine<S> {
    transport: Transport<S>,
    input: BytesMut,
    /// For what is awaited of the client.
    alarm: Alarm,
    /// The client ended it.
    is_over: bool,
}

impl<S: Socket> ClientLine<S> {
    /// Waits for the first byte of the first request: a while longer than the gateway begins to end.
    async fn await_first_request(
        &mut self,
        limits: &WireLimits,
        shutdown: &mut ShutdownWatch,
    ) -> Option<Instant> {
        if let Some(first_byte) = self.await_request(limits, shutdown).await {
            return Some(first_byte);
        }
        // Idle for too long, or gone: only a gateway that ends has reason to wait again.
        if !*shutdown.borrow() || self.is_over {
            return None;
        }
        let deadline = Instant::now() + FIRST_REQUEST;
        let Self { transport, input, alarm, .. } = self;
        let read = poll_fn(|cx| match scratch::poll_read(transport, cx, input, READ_SIZE) {
            Poll::Ready(read) => Poll::Ready(read.ok().filter(|read| *read > 0)),
            Poll::Pending => alarm.poll(cx, deadline).map(|()| None),
        });
        read.await.map(|_| Instant::now())
    }

    /// Waits for the first byte of a request. Nothing comes when the connection was idle for too long, the
    /// client ended it, or the gateway shuts down.
    async fn await_request(
        &mut self,
        limits: &WireLimits,
        shutdown: &mut ShutdownWatch,
    ) -> Option<Instant> {
        // Once, outside the loop: empty lines must not prolong it.
        let deadline = Instant::now() + limits.idle_timeout;
        let mut overlooked = 0;
        loop {
            // Some clients end a body with an empty line that belongs to no request (RFC 9112 section 2.2).
            while self.input.starts_with(b"\r\n") && overlooked < MOST_EMPTY_LINES {
                let _ = self.input.split_to(2);
                overlooked += 1;
            }
            // Half of one says nothing yet.
            let is_half = self.input[..] == *b"\r" && overlooked < MOST_EMPTY_LINES;
            if !self.input.is_empty() && !is_half {
                return Some(Instant::now());
            }
            // After what is here was looked at: a request that came before is answered once.
            if *shutdown.borrow() {
                return None;
            }
            if !is_half {
                // What waits owns no buffer.
                self.input = BytesMut::new();
            }
            let Self { transport, input, alarm, .. } = self;
            tokio::select! {
                biased;
                // First: whoever asks as the gateway begins to end is answered.
                read = poll_fn(|cx| scratch::poll_read(transport, cx, input, READ_SIZE)) => match read {
                    Ok(n) if n > 0 => {}
                    _ => {
                        self.is_over = true;
                        return None;
                    }
                },
                changed = shutdown.changed() => if changed.is_err() {
                    return None;
                },
                () = alarm.ring(deadline) => return None,
            }
        }
    }

    /// Receives the head of a request. Nothing, if the client went away before it was whole.
    async fn receive(
        &mut self,
        server: &Http1Server<'_>,
        first_byte: Instant,
    ) -> Option<(Arrival, BodyReader)> {
        let end = self.receive_head(server.limits, first_byte).await;
        // Receipt is the end of the head (decision 20): what its sender took before is told apart.
        let now = Instant::now();
        let mut clock = Clock::new(now);
        clock.note_head(now.saturating_duration_since(first_byte));
        let received = match end {
            Ok(None) => return None,
            Ok(Some(end)) => {
                let bytes = self.input.split_to(end).freeze();
                // The same bytes: a refused head is made out of what was judged.
                RequestHead::read(bytes.clone(), &server.limits.head)
                    .map_err(|fault| (fault, bytes))
            }
            Err(fault) => Err((fault, self.input.split().freeze())),
        };
        let (head, framing, fault) = match received {
            // What came with the head is looked at at once: a fault of the wire goes before any other.
            Ok((head, framing)) => match self.first_fault(framing) {
                None => (head, framing, None),
                // A length that never comes: nothing behind a faulty body is read as a request, and the
                // connection ends.
                Some(fault) => (head, Framing::Length(u64::MAX), Some(fault)),
            },
            // Nobody knows where it ends.
            Err((fault, bytes)) => {
                (RequestHead::made_out(&bytes, fault), Framing::Length(u64::MAX), Some(fault))
            }
        };
        let declared = match framing {
            // None for a request without the field, so that a backend is told a length only where one was
            // declared.
            Framing::Length(length) if fault.is_none() && head.declares_length() => Some(length),
            _ => None,
        };
        let arrival = Arrival {
            has_body: fault.is_none() && framing != Framing::Length(0),
            head,
            fault,
            declared,
            clock,
            address: server.address,
            connection: Some(server.connection.clone()),
        };
        Some((arrival, BodyReader::of_request(framing, KEPT_BODY)))
    }

    /// What is wrong with the body, as far as it is here.
    fn first_fault(&self, framing: Framing) -> Option<RequestError> {
        // A reader of its own, which is dropped: the body's begins where the body does.
        let mut reader = BodyReader::of_request(framing, KEPT_BODY);
        let mut rest = &self.input[..];
        while !rest.is_empty() && !reader.is_whole() {
            match reader.read(rest) {
                Ok(read) => rest = rest.get(read.skip + read.content..)?,
                Err(fault) => return Some(exchange::error_of(fault)),
            }
        }
        None
    }

    /// Reads until the empty line that ends the head; gives where it ends. Nothing, if the client went away.
    async fn receive_head(
        &mut self,
        limits: &WireLimits,
        first_byte: Instant,
    ) -> Result<Option<usize>, RequestError> {
        let deadline = first_byte + limits.head_timeout;
        let mut searched = 0;
        loop {
            if let Some(end) = line::find_end(&self.input, searched) {
                return Ok(Some(end));
            }
            // A head whose lines end otherwise would have no end: refused now, not when time is up.
            if line::has_bare_line_feed(&self.input, searched) {
                return Err(RequestError::Line);
            }
            searched = self.input.len();
            // Before more is read: what is announced as a head must not fill memory.
            if searched >= limits.head.size {
                return Err(RequestError::HeadTooLarge);
            }
            let Self { transport, input, alarm, .. } = self;
            let read = poll_fn(|cx| match scratch::poll_read(transport, cx, input, READ_SIZE) {
                Poll::Ready(read) => Poll::Ready(Ok(read)),
                Poll::Pending => alarm.poll(cx, deadline).map(Err),
            });
            match read.await {
                Err(()) => return Err(RequestError::HeadTimeout),
                Ok(Ok(n)) if n > 0 => {}
                Ok(_) => return Ok(None),
            }
        }
    }

    /// Ends a connection on which nothing is under way.
    async fn end(mut self) {
        // An error means that the client is gone already.
        let _ = self.transport.shutdown().await;
    }

    /// Ends the connection of a client that may still be sending: says so, then reads and drops what comes, for a
    /// while. Whatever ends that, enough was done.
    async fn linger(mut self) {
        // First says that it ends, by close_notify and FIN: whoever waits for that stops sending.
        if self.transport.shutdown().await.is_err() {
            return;
        }
        let deadline = Instant::now() + LINGER;
        let mut dropped = 0;
        let Self { transport, input, alarm, .. } = &mut self;
        poll_fn(|cx| {
            // Bounded in bytes as well: within two seconds a fast sender sends gigabytes.
            while dropped <= LINGER_BYTES {
                input.clear();
                match scratch::poll_read(transport, cx, input, READ_SIZE) {
                    Poll::Ready(Ok(n)) if n > 0 => dropped += n,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return alarm.poll(cx, deadline),
                }
            }
            Poll::Ready(())
        })
        .await;
    }
}
