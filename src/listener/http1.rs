//! The HTTP/1 side of a connection: one head after the other, judged byte by byte before the framework
//! parses it.
//!
//! Gives the framework whole heads that are known to be well formed, each with the time of its first
//! byte, and bodies whose length is declared: a chunked body is received and decoded here, within a
//! bound, so that a backend never sees a chunk that two parsers could read differently. A request that
//! cannot be one is replaced by an empty one that carries the fault, so that it is refused, counted and
//! logged like any other.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use pingora::protocols::http::ServerSession;
use pingora::protocols::{IO, Shutdown};
use pingora::server::ShutdownWatch;
use pingora::time::timeout;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Sleep, sleep};

use super::transport::Transport;
use super::{Application, WireLimits};
use crate::address::FORWARDED_FOR;
use crate::exchange::Arrival;
use crate::interaction;
use crate::measure::Course;
use crate::request::chunked::ChunkedBody;
use crate::request::framing::{self, Framing, Head, HeadLimits, Span};
use crate::request::{KEPT_BODY, RequestError, RequestError as E};

const READ_SIZE: usize = 4096;
/// What a request asks for whose line says nothing that could be believed: logged as `_OTHER`.
const UNKNOWN: &[u8] = b"UNKNOWN /";
const END_OF_HEAD: &[u8] = b"\r\n\r\n";
/// Empty lines before a request that are overlooked; one more is the beginning of a request that is none.
const MOST_EMPTY_LINES: usize = 8;

/// Serves the requests of a connection, one after the other, until either side ends it.
pub(super) async fn serve<A: Application, S: IO + 'static>(
    application: &Arc<A>,
    mut transport: Box<Transport<S>>,
    limits: &WireLimits,
    shutdown: &ShutdownWatch,
) {
    let mut buffer = BytesMut::new();
    let mut pause = Pause::new(shutdown.clone(), limits.idle_timeout);
    loop {
        let Some(first_byte) = await_request(&mut transport, &mut buffer, &mut pause).await else {
            return Shutdown::shutdown(&mut *transport).await;
        };
        let received = receive(&mut transport, &mut buffer, limits, first_byte).await;
        let (request, fault) = match received {
            Ok(request) => (request, None),
            Err(Unreceived::Gone) => return,
            Err(Unreceived::Refused { fault, head, course }) => {
                let bytes = stand_in(&head, fault);
                (Request { bytes, missing: u64::MAX, course: *course }, Some(fault))
            }
        };
        transport.lend(request.missing, limits.head.size.saturating_sub(buffer.len()));
        let mut session = ServerSession::new_http1(transport);
        session.set_pipelined_prefix(request.bytes);
        let arrival = Arrival { course: request.course, fault };
        session.set_connection_user_context(Some(Box::new(arrival)));
        let exchange = application.process_new_http(session, shutdown);
        let Some(reused) = pause.within(first_byte + limits.exchange_timeout, exchange).await
        else {
            return;
        };
        let Ok(same) = reused.consume().0.into_any().downcast() else {
            return;
        };
        transport = same;
        transport.take_back(&mut buffer);
    }
}

/// A request for the framework: its head, and its body as far as it arrived.
struct Request {
    bytes: BytesMut,
    /// Bytes of the body that did not.
    missing: u64,
    course: Course,
}

/// Why a request was not received.
enum Unreceived {
    /// The client went away.
    Gone,
    /// It cannot be one canonical request. The head, as far as it arrived, may name its interaction.
    Refused { fault: RequestError, head: BytesMut, course: Box<Course> },
}

/// Why what was being read ended before its end.
enum Broken {
    Gone,
    Fault(RequestError),
}

impl From<RequestError> for Broken {
    fn from(fault: RequestError) -> Self {
        Self::Fault(fault)
    }
}

impl Broken {
    fn with(self, head: BytesMut, course: Course) -> Unreceived {
        match self {
            Self::Gone => Unreceived::Gone,
            Self::Fault(fault) => Unreceived::Refused { fault, head, course: Box::new(course) },
        }
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

/// What a connection waits for, beside the client.
struct Pause {
    shutdown: ShutdownWatch,
    idle_timeout: Duration,
    /// Set anew only when it rings or would ring too late, not for each request.
    alarm: Pin<Box<Sleep>>,
}

impl Pause {
    fn new(shutdown: ShutdownWatch, idle_timeout: Duration) -> Self {
        Self { shutdown, idle_timeout, alarm: Box::pin(sleep(idle_timeout)) }
    }

    /// Runs an exchange until the deadline; what is dropped then concludes itself.
    async fn within<T>(
        &mut self,
        deadline: Instant,
        exchange: impl Future<Output = Option<T>>,
    ) -> Option<T> {
        tokio::select! {
            biased;
            ended = exchange => ended,
            () = ring(&mut self.alarm, deadline) => None,
        }
    }
}

/// Ends at the deadline.
async fn ring(alarm: &mut Pin<Box<Sleep>>, deadline: Instant) {
    let deadline = tokio::time::Instant::from_std(deadline);
    if alarm.deadline() > deadline {
        alarm.as_mut().reset(deadline);
    }
    loop {
        alarm.as_mut().await;
        if tokio::time::Instant::now() >= deadline {
            return;
        }
        alarm.as_mut().reset(deadline);
    }
}

/// Waits for the first byte of a request. Nothing comes when the connection was idle for too long, the
/// client ended it, or the gateway shuts down.
async fn await_request<S: IO>(
    transport: &mut Transport<S>,
    buffer: &mut BytesMut,
    pause: &mut Pause,
) -> Option<Instant> {
    let deadline = Instant::now() + pause.idle_timeout;
    let mut overlooked = 0;
    loop {
        // Some clients end a body with an empty line that belongs to no request (RFC 9112 section 2.2).
        while buffer.starts_with(b"\r\n") && overlooked < MOST_EMPTY_LINES {
            let _ = buffer.split_to(2);
            overlooked += 1;
        }
        if !buffer.is_empty() {
            return Some(Instant::now());
        }
        if *pause.shutdown.borrow() {
            return None;
        }
        buffer.reserve(READ_SIZE);
        tokio::select! {
            biased;
            read = transport.read_buf(buffer) => match read {
                Ok(n) if n > 0 => {}
                _ => return None,
            },
            changed = pause.shutdown.changed() => if changed.is_err() {
                return None;
            },
            () = ring(&mut pause.alarm, deadline) => return None,
        }
    }
}

/// Receives one request: its head whole, and its body as far as it arrived with the head, or whole if
/// its length is not declared.
async fn receive<S: IO>(
    transport: &mut Transport<S>,
    buffer: &mut BytesMut,
    limits: &WireLimits,
    first_byte: Instant,
) -> Result<Request, Unreceived> {
    let deadline = Deadline { from: first_byte, limit: limits.head_timeout };
    let end = receive_head(transport, buffer, limits, deadline).await;
    let mut course = Course::new(Instant::now());
    course.note_head(first_byte.elapsed());
    let end = match end {
        Ok(end) => end,
        Err(broken) => return Err(broken.with(buffer.split(), course)),
    };
    let mut head = buffer.split_to(end);
    let Head { framing, absolute } = match framing::check_head(&head, &limits.head) {
        Ok(checked) => checked,
        Err(fault) => return Err(Broken::from(fault).with(head, course)),
    };
    if let Some(absolute) = absolute {
        head = in_origin_form(&head, absolute);
    }
    match framing {
        Framing::Length(length) => {
            let arrived = usize::try_from(length).unwrap_or(usize::MAX).min(buffer.len());
            // Both are parts of one buffer, so nothing is copied.
            head.unsplit(buffer.split_to(arrived));
            let missing = length - u64::try_from(arrived).unwrap_or(length);
            Ok(Request { bytes: head, missing, course })
        }
        Framing::Chunked => {
            course.await_body(Instant::now());
            match receive_chunked(transport, buffer, &head, limits).await {
                Ok(body) => {
                    course.have_body(Instant::now());
                    Ok(Request { bytes: with_declared_length(&head, &body), missing: 0, course })
                }
                Err(broken) => Err(broken.with(head, course)),
            }
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
async fn receive_head<S: IO>(
    transport: &mut Transport<S>,
    buffer: &mut BytesMut,
    limits: &WireLimits,
    deadline: Deadline,
) -> Result<usize, Broken> {
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
        match timeout(deadline.left(), transport.read_buf(buffer)).await {
            Err(_) => return Err(RequestError::HeadTimeout.into()),
            Ok(Ok(n)) if n > 0 => {}
            Ok(_) => return Err(Broken::Gone),
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
async fn receive_chunked<S: IO>(
    transport: &mut Transport<S>,
    buffer: &mut BytesMut,
    head: &[u8],
    limits: &WireLimits,
) -> Result<BytesMut, Broken> {
    let deadline = Deadline { from: Instant::now(), limit: limits.body_timeout };
    let mut body = ChunkedBody::new(usize::try_from(KEPT_BODY).unwrap_or(0));
    if buffer.is_empty() && expects_continue(head) {
        let interim = async {
            transport.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            transport.flush().await
        };
        interim.await.map_err(|_| Broken::Gone)?;
    }
    while !body.push(buffer)? {
        buffer.reserve(READ_SIZE);
        match timeout(deadline.left(), transport.read_buf(buffer)).await {
            Err(_) => return Err(RequestError::BodyTimeout.into()),
            Ok(Ok(n)) if n > 0 => {}
            Ok(_) => return Err(Broken::Gone),
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

/// A request that stands for one that cannot be parsed: it carries nothing but what was asked for, if that can
/// be made out, so that it is counted and logged as that; the interaction id, so that the answer can echo it;
/// and whom it came from, so that a load balancer is not held to what passes through it.
fn stand_in(received: &[u8], fault: RequestError) -> BytesMut {
    let mut request = BytesMut::new();
    match asked_for(received) {
        Some((method, Some(target))) => {
            request.put_slice(method);
            request.put_slice(b" ");
            request.put_slice(target);
        }
        Some((method, None)) => {
            request.put_slice(method);
            request.put_slice(b" /");
        }
        None => request.put_slice(UNKNOWN),
    }
    request.put_slice(b" HTTP/1.1\r\nhost: invalid\r\nconnection: close\r\n");
    let name = interaction::FIELD;
    let of_interaction = |line: &&[u8]| is_field(line, name.as_str());
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"-: ".contains(b);
    let line = field_lines(received).find(of_interaction);
    if let Some(line) = line.filter(|line| line.iter().all(is_plain)) {
        request.put_slice(line);
        request.put_slice(b"\r\n");
    }
    // A head that is cut, or whose lines end in doubt, may lack what the balancer added.
    let is_whole = !matches!(fault, E::Line | E::RequestLine | E::HeadTooLarge | E::HeadTimeout);
    let of_client = |line: &&[u8]| is_whole && is_field(line, FORWARDED_FOR.as_str());
    let is_address = |b: &u8| b.is_ascii_alphanumeric() || b"-.:,[] ".contains(b);
    for line in field_lines(received).filter(of_client) {
        if line.iter().all(is_address) {
            request.put_slice(line);
            request.put_slice(b"\r\n");
        }
    }
    request.put_slice(b"\r\n");
    request
}

/// The method of a request line, and its target if that is a path. Nothing if the line itself is in doubt.
fn asked_for(received: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let end = memchr::memmem::find(received, b"\r\n")?;
    let line = received.get(..end)?;
    let mut parts = line.split(|b| *b == b' ');
    let (method, target, version) = (parts.next()?, parts.next()?, parts.next()?);
    // What is put into a head must be what the gateway reads in one.
    let is_sound = |target: &[u8]| {
        let head = [method, b" ", target, b" HTTP/1.1\r\nhost: invalid\r\n\r\n"].concat();
        let limits = HeadLimits { size: usize::MAX, fields: usize::MAX };
        framing::check_head(&head, &limits).is_ok()
    };
    // CONNECT names a host, and the framework would do something else with it.
    let is_method = method.iter().all(u8::is_ascii_alphabetic) && method != b"CONNECT";
    let is_line = version.starts_with(b"HTTP/") && parts.next().is_none();
    if !is_line || !is_method || !is_sound(b"/") {
        return None;
    }
    Some((method, Some(target).filter(|target| target.starts_with(b"/") && is_sound(target))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_asks_for_what_was_asked_for() {
        let line = |received: &[u8]| {
            let request = stand_in(received, E::Chunk);
            let end = memchr::memmem::find(&request, b"\r\n").unwrap();
            String::from_utf8(request[..end].to_vec()).unwrap()
        };
        assert_eq!(line(b"POST /a?b HTTP/1.1\r\nx: y\r\n\r\n"), "POST /a?b HTTP/1.1");
        assert_eq!(line(b"HEAD /a HTTP/1.1\r\n"), "HEAD /a HTTP/1.1");
        assert_eq!(line(b"POST http://b/a HTTP/1.1\r\n"), "POST / HTTP/1.1");
        assert_eq!(line(b"GET /a\x01 HTTP/1.1\r\n"), "GET / HTTP/1.1");
        for doubtful in [
            &b"GET /a"[..],
            b"\r\n",
            b"G T\r\n",
            b"G\xff /a HTTP/1.1\r\n",
            b"CONNECT b:1 HTTP/1.1\r\n",
        ] {
            assert_eq!(line(doubtful), "UNKNOWN / HTTP/1.1");
        }
    }

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
        let text = String::from_utf8_lossy(&stand_in(received, E::Host)).into_owned();
        assert!(text.contains("X-Fapi-Interaction-Id: abc-1\r\n"), "{text}");
        assert!(!text.contains("Host: b"), "{text}");
        let forged = b"GET / HTTP/1.1\r\nx-fapi-interaction-id: a\x01b\r\n\r\n";
        assert!(!String::from_utf8_lossy(&stand_in(forged, E::Line)).contains("a\u{1}b"));
    }

    #[test]
    fn a_bare_line_feed_is_seen_across_reads() {
        assert!(!has_bare_line_feed(b"a\r\nb\r\n", 0));
        assert!(!has_bare_line_feed(b"a\r\n", 2));
        assert!(has_bare_line_feed(b"a\n", 0));
        assert!(has_bare_line_feed(b"\n", 0));
    }
}
