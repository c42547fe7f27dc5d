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
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::uri::Scheme;
use http::{Request, Version};
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use super::WireLimits;
use super::service::Worker;
use crate::alarm::Alarm;
use crate::course::{Arrival, Connection, Gateway, Seat};
use crate::measure::Clock;
use crate::request::{RequestError, RequestHead};
use exchange::Exchange;

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
pub(super) struct Place {
    pub(super) gateway: Arc<Gateway>,
    pub(super) worker: Arc<Worker>,
    pub(super) limits: Arc<ArcSwap<WireLimits>>,
    pub(super) address: IpAddr,
    pub(super) connection: Arc<Connection>,
}

/// Serves a connection until either side ends it, the gateway shuts down, or its client is refused for
/// what it is.
pub(super) async fn serve<S>(place: Place, transport: S, mut shutdown: ShutdownWatch)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = **place.limits.load();
    let Ok(mut connection) = builder(&limits).handshake::<_, Bytes>(transport).await else {
        return;
    };
    // Dropped with the connection: what was under way concludes itself.
    let mut streams = JoinSet::new();
    let mut alarm = Alarm::default();
    let mut deadline = Instant::now() + limits.idle_timeout;
    let mut is_ending = false;
    loop {
        let is_idle = streams.is_empty();
        tokio::select! {
            biased;
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    streams.spawn(exchange(place.clone(), request, respond));
                }
                // The connection is over, in order or not.
                Some(Err(_)) | None => return,
            },
            Some(_) = streams.join_next(), if !is_idle => {
                // A new connection is judged anew, and its handshake may say more.
                if place.connection.is_to_end() && !is_ending {
                    is_ending = true;
                    connection.graceful_shutdown();
                    // Its other streams have the time that they have.
                    deadline = Instant::now() + limits.exchange_timeout;
                }
                if !is_ending {
                    deadline = Instant::now() + limits.idle_timeout;
                }
            }
            _ = shutdown.changed(), if !is_ending => {
                is_ending = true;
                connection.graceful_shutdown();
                // No exchange lives longer, so that nothing is cut; a client that does not say that it has understood
                // GOAWAY gets no more.
                deadline = Instant::now() + limits.exchange_timeout;
            }
            () = alarm.ring(deadline), if is_idle || is_ending => {
                if is_ending {
                    return;
                }
                is_ending = true;
                connection.graceful_shutdown();
                deadline = Instant::now() + limits.write_timeout;
            }
        }
    }
}

fn builder(limits: &WireLimits) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(u32::try_from(limits.head.size).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .header_table_size(HEADER_TABLE)
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

/// Serves one request in time.
async fn exchange(place: Place, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
    let limits = **place.limits.load();
    let began = Instant::now();
    let (arrival, body) = arrival(&place, request, began);
    let mut exchange = Exchange::new(respond, body, limits.write_timeout);
    let (mut alarm, mut end) = (Alarm::default(), Alarm::default());
    let mut seat = Seat { pool: &place.worker.pool, alarm: &mut alarm };
    let is_over = {
        let mut serving = std::pin::pin!(place.gateway.serve(&arrival, &mut exchange, &mut seat));
        let deadline = began + limits.exchange_timeout;
        poll_fn(|cx| match serving.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending => end.poll(cx, deadline).map(|()| false),
        })
        .await
    };
    if !is_over {
        exchange.reset();
    }
}

/// What arrived. Method, path and authority are taken apart, and never put together again as a URI.
fn arrival(place: &Place, request: Request<RecvStream>, began: Instant) -> (Arrival, RecvStream) {
    let (parts, body) = request.into_parts();
    // One without a scheme is CONNECT.
    let is_spoken = parts.uri.scheme().is_some_and(|s| *s == Scheme::HTTPS || *s == Scheme::HTTP);
    let target = match parts.uri.path_and_query() {
        Some(target) => Bytes::copy_from_slice(target.as_str().as_bytes()),
        None => Bytes::new(),
    };
    let mut head = RequestHead::new(parts.method, Version::HTTP_2, target, parts.headers);
    let authority = parts.uri.authority();
    head.authority = authority.map(|a| Bytes::copy_from_slice(a.as_str().as_bytes()));
    let arrival = Arrival {
        fault: (!is_spoken).then_some(RequestError::RequestLine),
        has_body: !body.is_end_stream(),
        declared: head.declared_length(),
        head,
        clock: Clock::new(began),
        address: place.address,
        connection: Some(place.connection.clone()),
    };
    (arrival, body)
}
