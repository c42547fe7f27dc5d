//! The HTTP/1 side of a connection: one head after the other, judged byte by byte before the framework
//! parses it.
//!
//! Gives the framework whole heads that are known to be well formed, each with the time of its first
//! byte, and bodies whose length is declared: a chunked body is received and decoded here, within a
//! bound, so that a backend never sees a chunk that two parsers could read differently. A request that
//! cannot be one is replaced by an empty one that carries the fault, so that it is refused, counted and
//! logged like any other.

use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use pingora::time::timeout;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Sleep, sleep};

use super::{Application, WireLimits, edge};
use crate::exchange::Arrival;
use crate::interaction;
use crate::request::chunked::ChunkedBody;
use crate::request::framing::{self, Framing, Head, Span};
use crate::request::{KEPT_BODY, RequestError};

const READ_SIZE: usize = 4096;
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// Bytes and time that are spent on reading what a refused caller still sends, so that it gets to read
/// its answer before the connection is reset.
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER: Duration = Duration::from_millis(500);

/// Serves the requests of a connection, one after the other, until either side ends it.
pub(super) async fn serve<A: Application>(
    application: &std::sync::Arc<A>,
    mut stream: Stream,
    limits: &WireLimits,
    shutdown: &ShutdownWatch,
) {
    let mut buffer = BytesMut::new();
    let mut idle = Idle::new(shutdown.clone(), limits.idle_timeout);
    loop {
        let Some(first_byte) = await_request(&mut stream, &mut buffer, &mut idle).await else {
            return edge::close(stream).await;
        };
        let deadline = Deadline { from: first_byte, limit: limits.head_timeout };
        let (request, fault) = match receive(&mut stream, &mut buffer, limits, deadline).await {
            Ok(request) => (request, None),
            Err(Unreceived::Gone) => return,
            Err(Unreceived::Refused(fault)) => {
                linger(&mut stream).await;
                (stand_in(&buffer), Some(fault))
            }
        };
        let mut session = ServerSession::new_http1(stream);
        session.set_pipelined_prefix(request);
        let arrival = Arrival { first_byte, fault };
        session.set_connection_user_context(Some(Box::new(arrival)));
        match application.process_new_http(session, shutdown).await {
            Some(reused) => stream = reused.consume().0,
            None => return,
        }
    }
}

/// Why a request was not received.
enum Unreceived {
    /// The client went away.
    Gone,
    /// It cannot be one canonical request.
    Refused(RequestError),
}

impl From<RequestError> for Unreceived {
    fn from(fault: RequestError) -> Self {
        Self::Refused(fault)
    }
}

#[derive(Clone, Copy)]
struct Deadline {
    from: Instant,
    limit: Duration,
}

impl Deadline {
    fn left(&self) -> Duration {
        self.limit.saturating_sub(self.from.elapsed())
    }
}

/// What a connection without a request under way waits for, beside the next one.
struct Idle {
    shutdown: ShutdownWatch,
    limit: Duration,
    /// Set anew only when it rings, not for each request: most requests come long before.
    alarm: Pin<Box<Sleep>>,
}

impl Idle {
    fn new(shutdown: ShutdownWatch, limit: Duration) -> Self {
        Self { shutdown, limit, alarm: Box::pin(sleep(limit)) }
    }
}

/// Waits for the first byte of a request. Nothing comes when the connection was idle for too long, the
/// client ended it, or the gateway shuts down.
async fn await_request(
    stream: &mut Stream,
    buffer: &mut BytesMut,
    idle: &mut Idle,
) -> Option<Instant> {
    let deadline = tokio::time::Instant::now() + idle.limit;
    loop {
        // Some clients end a body with an empty line that belongs to no request (RFC 9112 section 2.2).
        while buffer.starts_with(b"\r\n") {
            let _ = buffer.split_to(2);
        }
        if !buffer.is_empty() {
            return Some(Instant::now());
        }
        if *idle.shutdown.borrow() {
            return None;
        }
        buffer.reserve(READ_SIZE);
        tokio::select! {
            biased;
            read = stream.read_buf(buffer) => match read {
                Ok(n) if n > 0 => {}
                _ => return None,
            },
            changed = idle.shutdown.changed() => if changed.is_err() {
                return None;
            },
            () = &mut idle.alarm => {
                if deadline <= tokio::time::Instant::now() {
                    return None;
                }
                idle.alarm.as_mut().reset(deadline);
            }
        }
    }
}

/// Receives one request: its head whole, and its body as far as it arrived with the head, or whole if
/// its length is not declared.
async fn receive(
    stream: &mut Stream,
    buffer: &mut BytesMut,
    limits: &WireLimits,
    deadline: Deadline,
) -> Result<BytesMut, Unreceived> {
    let end = receive_head(stream, buffer, limits, deadline).await?;
    let received = buffer.get(..end).unwrap_or_default();
    let Head { framing, absolute } = framing::check_head(received, &limits.head)?;
    let mut head = buffer.split_to(end);
    if let Some(absolute) = absolute {
        head = in_origin_form(&head, absolute);
    }
    match framing {
        Framing::Length(length) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            // Both are parts of one buffer, so nothing is copied.
            head.unsplit(buffer.split_to(length.min(buffer.len())));
            Ok(head)
        }
        Framing::Chunked => {
            let body = receive_chunked(stream, buffer, &head, limits).await?;
            Ok(with_declared_length(&head, &body))
        }
    }
}

/// The same head without the scheme and authority of its target: the Host field says the same.
fn in_origin_form(head: &[u8], absolute: Span) -> BytesMut {
    let mut canonical = BytesMut::with_capacity(head.len());
    canonical.put_slice(head.get(..absolute.start).unwrap_or_default());
    canonical.put_slice(head.get(absolute.start + absolute.length..).unwrap_or_default());
    canonical
}

/// Reads until the empty line that ends the head; returns where it ends.
async fn receive_head(
    stream: &mut Stream,
    buffer: &mut BytesMut,
    limits: &WireLimits,
    deadline: Deadline,
) -> Result<usize, Unreceived> {
    let mut searched: usize = 0;
    loop {
        // The empty line may begin in what was searched already.
        let from = searched.saturating_sub(END_OF_HEAD.len() - 1);
        let unsearched = buffer.get(from..).unwrap_or_default();
        if let Some(found) = memchr::memmem::find(unsearched, END_OF_HEAD) {
            return Ok(from + found + END_OF_HEAD.len());
        }
        // A head whose lines end otherwise would have no end: refused now, not when time is up.
        if has_bare_line_feed(buffer, searched) {
            return Err(RequestError::Line.into());
        }
        searched = buffer.len();
        if searched >= limits.head.size {
            return Err(RequestError::HeadTooLarge.into());
        }
        buffer.reserve(READ_SIZE);
        match timeout(deadline.left(), stream.read_buf(buffer)).await {
            Err(_) => return Err(RequestError::HeadTimeout.into()),
            Ok(Ok(n)) if n > 0 => {}
            Ok(_) => return Err(Unreceived::Gone),
        }
    }
}

fn has_bare_line_feed(buffer: &[u8], from: usize) -> bool {
    let bytes = buffer.get(from..).unwrap_or_default();
    memchr::memchr_iter(b'\n', bytes).any(|position| {
        let before = (from + position).checked_sub(1).and_then(|before| buffer.get(before));
        before != Some(&b'\r')
    })
}

/// Receives and decodes a chunked body; what follows it stays in the buffer.
async fn receive_chunked(
    stream: &mut Stream,
    buffer: &mut BytesMut,
    head: &[u8],
    limits: &WireLimits,
) -> Result<BytesMut, Unreceived> {
    let deadline = Deadline { from: Instant::now(), limit: limits.body_timeout };
    let mut body = ChunkedBody::new(usize::try_from(KEPT_BODY).unwrap_or(0));
    if buffer.is_empty() && expects_continue(head) {
        let interim = async {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            stream.flush().await
        };
        interim.await.map_err(|_| Unreceived::Gone)?;
    }
    while !body.push(buffer)? {
        buffer.reserve(READ_SIZE);
        match timeout(deadline.left(), stream.read_buf(buffer)).await {
            Err(_) => return Err(RequestError::BodyTimeout.into()),
            Ok(Ok(n)) if n > 0 => {}
            Ok(_) => return Err(Unreceived::Gone),
        }
    }
    Ok(body.into_body())
}

/// The fields of a head that was checked, without the request line.
fn field_lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|b| *b == b'\n').skip(1).map(|line| line.trim_ascii_end()).filter(|l| !l.is_empty())
}

fn is_field(line: &[u8], name: &str) -> bool {
    let of_name = line.get(..name.len()).unwrap_or_default();
    of_name.eq_ignore_ascii_case(name.as_bytes()) && line.get(name.len()) == Some(&b':')
}

fn expects_continue(head: &[u8]) -> bool {
    field_lines(head).any(|line| is_field(line, "expect"))
}

/// The same request with its body decoded and its length declared.
fn with_declared_length(head: &[u8], body: &[u8]) -> BytesMut {
    let mut request = BytesMut::with_capacity(head.len() + 32 + body.len());
    let request_line = head.split(|b| *b == b'\r').next().unwrap_or_default();
    request.put_slice(request_line);
    request.put_slice(b"\r\n");
    let framing = ["transfer-encoding", "trailer", "expect"];
    for line in field_lines(head).filter(|line| !framing.iter().any(|name| is_field(line, name))) {
        request.put_slice(line);
        request.put_slice(b"\r\n");
    }
    request.put_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    request.put_slice(body);
    request
}

/// A request that stands for one that cannot be parsed: it carries nothing but the interaction id, if
/// one can be made out, so that the answer can echo it.
fn stand_in(received: &[u8]) -> BytesMut {
    let mut request = BytesMut::new();
    request.put_slice(b"GET / HTTP/1.1\r\nhost: invalid\r\nconnection: close\r\n");
    let name = interaction::FIELD;
    let of_interaction = |line: &&[u8]| is_field(line, name.as_str());
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"-: ".contains(b);
    let line = field_lines(received).find(of_interaction);
    if let Some(line) = line.filter(|line| line.iter().all(is_plain)) {
        request.put_slice(line);
        request.put_slice(b"\r\n");
    }
    request.put_slice(b"\r\n");
    request
}

/// Reads and drops what the client still sends, for a moment.
async fn linger(stream: &mut Stream) {
    let mut dropped = 0;
    let mut scratch = vec![0; 16 * 1024];
    let deadline = Deadline { from: Instant::now(), limit: LINGER };
    while dropped < LINGER_BYTES {
        let quiet = deadline.left().min(Duration::from_millis(20));
        match timeout(quiet, stream.read(&mut scratch)).await {
            Ok(Ok(n)) if n > 0 => dropped += n,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_request_gets_a_declared_length() {
        let head =
            b"POST /a HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n";
        let request = with_declared_length(head, b"{}");
        let expected = "POST /a HTTP/1.1\r\nHost: b\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(String::from_utf8_lossy(&request), expected);
    }

    #[test]
    fn a_stand_in_carries_the_interaction_id_and_nothing_else() {
        let received = b"GET /a\x01 HTTP/1.1\r\nX-Fapi-Interaction-Id: abc-1\r\nHost: b\r\n\r\n";
        let text = String::from_utf8_lossy(&stand_in(received)).into_owned();
        assert!(text.contains("X-Fapi-Interaction-Id: abc-1\r\n"), "{text}");
        assert!(!text.contains("Host: b"), "{text}");
        let forged = b"GET / HTTP/1.1\r\nx-fapi-interaction-id: a\x01b\r\n\r\n";
        assert!(!String::from_utf8_lossy(&stand_in(forged)).contains("a\u{1}b"));
    }

    #[test]
    fn a_bare_line_feed_is_seen_across_reads() {
        assert!(!has_bare_line_feed(b"a\r\nb\r\n", 0));
        assert!(!has_bare_line_feed(b"a\r\n", 2));
        assert!(has_bare_line_feed(b"a\n", 0));
        assert!(has_bare_line_feed(b"\n", 0));
    }
}
