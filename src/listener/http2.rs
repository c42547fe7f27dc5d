//! The HTTP/2 side of a connection: a task for each request, within bounds of time and memory that the library (`h2`)
//! does not have.
//!
//! The library reads frames, keeps the windows and answers what is below requests; what it lets pass and must be
//! refused is judged like any request, with the gateway's own answer. It moves only while somebody accepts, so this
//! goes on until the last stream has ended. The settings are all said: what nobody says, the library decides.

mod exchange;

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::uri::Scheme;
use http::{Method, Request, Version};
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use super::service::Worker;
use super::{FIRST_REQUEST, WireLimits};
use crate::alarm::Alarm;
use crate::course::{Arrival, Connection, Entered, Gateway, Seat};
use crate::measure::Clock;
use crate::request::{RequestError, RequestHead};
use exchange::Http2Exchange;

/// Requests that one connection may have under way.
const MOST_STREAMS: u32 = 100;
/// Bytes that a client may send of one request, and of all of a connection, before they are taken.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// Bytes of an answer that the library keeps for a stream.
const SEND_BUFFER: usize = 16 * 1024;
const FRAME: u32 = 16 * 1024;
const HEADER_TABLE: u32 = 4096;

/// What serves a connection, and each of its requests.
#[derive(Clone)]
pub(super) struct Http2Server {
    pub(super) gateway: Arc<Gateway>,
    pub(super) worker: Arc<Worker>,
    pub(super) limits: Arc<ArcSwap<WireLimits>>,
    pub(super) address: IpAddr,
    pub(super) connection: Arc<Connection>,
}

/// Serves a connection until either side ends it, the gateway shuts down, or its client is refused for
/// what it is.
pub(super) async fn serve<S>(
    server: Http2Server,
    transport: S,
    mut shutdown: ShutdownWatch,
    entered: Entered,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = **server.limits.load();
    // In time: the transport fails if the preface does not come.
    let Ok(mut connection) = builder(&limits).handshake::<_, Bytes>(transport).await else {
        return;
    };
    // Dropped with the connection: what was under way concludes itself.
    let mut streams = JoinSet::new();
    // Exchanges that are over, and whose answers the connection has yet to write: a drain waits for them.
    let mut leaving: Vec<Entered> = Vec::new();
    let mut fresh = Some(entered);
    let mut alarm = Alarm::default();
    let mut life = Life { deadline: Instant::now() + limits.idle_timeout, is_ending: false };
    loop {
        let is_idle = streams.is_empty();
        tokio::select! {
            biased;
            // First: only while this is polled does the library read and write.
            accepted = connection.accept() => match accepted {
                Some(Ok((request, mut respond))) => {
                    let Some(entered) = fresh.take().or_else(|| server.gateway.under_way.enter()) else {
                        // Says that nothing was done (RFC 9113 section 8.7).
                        respond.send_reset(Reason::REFUSED_STREAM);
                        continue;
                    };
                    life.note_request(limits.exchange_timeout);
                    // Boxed: a task is moved as it is made, ends and is joined, and this one is 7 KiB.
                    streams.spawn(Box::pin(exchange(server.clone(), request, respond, entered)));
                }
                // The connection is over, in order or not.
                Some(Err(_)) | None => return,
            },
            // Whoever accepts writes, too, and has just done so.
            () = std::future::ready(()), if !leaving.is_empty() => leaving.clear(),
            // A task that panicked gives none: its place was given back as it unwound.
            Some(over) = streams.join_next(), if !is_idle => {
                leaving.extend(over);
                life.note_exchange(&mut connection, &server, limits.idle_timeout);
            }
            // No exchange lives longer, so that nothing is cut; a client that does not say that it has understood
            // GOAWAY gets no more.
            _ = shutdown.changed(), if !life.is_ending => {
                // Idle ones have a moment for a request that is on its way; RFC 9113 section 6.8 lets it
                // come.
                let within = if is_idle { FIRST_REQUEST } else { limits.exchange_timeout };
                life.end(&mut connection, within);
            }
            // Not while a stream is open, which has deadlines of its own.
            () = alarm.ring(life.deadline), if is_idle || life.is_ending => match life.is_ending {
                true => return,
                false => life.end(&mut connection, limits.write_timeout),
            },
        }
    }
}

/// How long a connection lives.
struct Life {
    /// When it ends: because it is idle or, if it is ending, whatever happens.
    deadline: Instant,
    is_ending: bool,
}

impl Life {
    /// Says GOAWAY, and waits no longer than this for the streams that are open.
    fn end<S>(&mut self, connection: &mut h2::server::Connection<S, Bytes>, within: Duration)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // Once: a second GOAWAY must not prolong what the first has limited.
        if !std::mem::replace(&mut self.is_ending, true) {
            connection.graceful_shutdown();
            self.deadline = Instant::now() + within;
        }
    }

    /// A request came. One that was on its way when GOAWAY was said is served, too.
    fn note_request(&mut self, exchange_timeout: Duration) {
        if self.is_ending {
            self.deadline = self.deadline.max(Instant::now() + exchange_timeout);
        }
    }

    /// An exchange is over. A connection whose client was refused for what it is ends: a new one is judged anew, and
    /// its handshake may say more.
    fn note_exchange<S>(
        &mut self,
        connection: &mut h2::server::Connection<S, Bytes>,
        server: &Http2Server,
        idle_timeout: Duration,
    ) where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if server.connection.is_to_end() {
            let exchange_timeout = server.limits.load().exchange_timeout;
            self.end(connection, exchange_timeout);
        } else if !self.is_ending {
            self.deadline = Instant::now() + idle_timeout;
        }
    }
}

/// The library answers a list of fields that is too long itself, without a body. So it admits twice as much as is
/// admitted, and what lies between is refused like anything else.
fn builder(limits: &WireLimits) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(MOST_STREAMS)
        // Cannot overflow: the bound of a head is some KiB.
        .max_header_list_size(u32::try_from(2 * limits.head.size).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .header_table_size(HEADER_TABLE)
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

/// Serves one request in time. Gives back what counts it.
async fn exchange(
    server: Http2Server,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    entered: Entered,
) -> Entered {
    // Of now, not of when the connection began: connections live for hours, and a reload counts.
    let limits = **server.limits.load();
    let began = Instant::now();
    let (arrival, body) = arrival(&server, request, began, limits.head.size);
    let mut exchange = Http2Exchange::new(respond, body, limits.write_timeout);
    let (mut alarm, mut end) = (Alarm::default(), Alarm::default());
    let mut seat = Seat { pool: &server.worker.pool, alarm: &mut alarm, entered: &entered };
    let is_over = {
        let mut serving = std::pin::pin!(server.gateway.serve(&arrival, &mut exchange, &mut seat));
        let deadline = began + limits.exchange_timeout;
        poll_fn(|cx| match serving.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending => end.poll(cx, deadline).map(|()| false),
        })
        .await
    };
    // Dropped without a reset the library would say CANCEL, as if the client had wished it.
    if !is_over {
        exchange.reset();
    }
    entered
}

/// What arrived. Method, path and authority are taken apart, and never put together again as a URI.
fn arrival(
    server: &Http2Server,
    request: Request<RecvStream>,
    began: Instant,
    longest: usize,
) -> (Arrival, RecvStream) {
    let (parts, body) = request.into_parts();
    // The library requires a scheme of all but CONNECT, and drops it where there is no authority: such a request
    // names its host in a field (RFC 9113 section 8.3.1).
    let is_spoken = match parts.uri.scheme() {
        Some(scheme) => *scheme == Scheme::HTTPS || *scheme == Scheme::HTTP,
        None => parts.method != Method::CONNECT && parts.uri.authority().is_none(),
    };
    let target = match parts.uri.path_and_query() {
        Some(target) => Bytes::copy_from_slice(target.as_str().as_bytes()),
        None => Bytes::new(),
    };
    let mut head = RequestHead::new(parts.method, Version::HTTP_2, target, parts.headers);
    let authority = parts.uri.authority();
    head.authority = authority.map(|a| Bytes::copy_from_slice(a.as_str().as_bytes()));
    let arrival = Arrival {
        fault: match is_spoken {
            true => (size(&head) > longest).then_some(RequestError::HeadTooLarge),
            false => Some(RequestError::RequestLine),
        },
        // By the stream's end, not by a length: RFC 9113 section 8.1 has bodies without one.
        has_body: !body.is_end_stream(),
        declared: head.declared_length(),
        head,
        clock: Clock::new(began),
        address: server.address,
        connection: Some(server.connection.clone()),
    };
    (arrival, body)
}

/// Bytes of a head, as HTTP/2 counts them (RFC 9113 section 10.5.1).
fn size(head: &RequestHead) -> usize {
    const OF_A_FIELD: usize = 32;
    let fields = head.fields.iter().map(|(name, value)| name.as_str().len() + value.len());
    let target = head.path().len() + head.query().map_or(0, |query| query.len() + 1);
    // The method, the scheme, the authority and the target are fields, too.
    let pseudo = target + head.authority().map_or(0, str::len) + 4 * OF_A_FIELD;
    pseudo + fields.map(|field| field + OF_A_FIELD).sum::<usize>()
}
