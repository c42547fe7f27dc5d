//! The edge: one accepted TCP connection, from its PROXY protocol header and TLS handshake to its HTTP
//! exchanges.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream as Accepted};
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use pingora::server::ShutdownWatch;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::acknowledgement;
pub(super) use super::guests::Guest;
use super::guests::Guests;
use super::proxy_protocol::{self, HeaderError};
use super::service::Worker;
use super::tls::Acceptor;
use super::transport::{Flooded, Transport};
use super::{WireLimits, http1, http2};
use crate::address::Networks;
use crate::course::{Connection, Entered, Gateway};
use crate::limits::Crowded;
use crate::moment::Moment;
use crate::report::Metrics;

/// What every connection of a listener shares. The acceptor is swapped on reload; connections that are
/// open keep the one they were accepted with.
pub struct Edge {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The TLS in force.
    pub acceptor: Arc<ArcSwap<Acceptor>>,
    /// Whose connections must begin with a PROXY protocol header.
    pub balancers: Arc<ArcSwapOption<Networks>>,
    /// Whose X-Forwarded-For is believed: their connections are many clients'.
    pub hops: Arc<ArcSwapOption<Networks>>,
    /// Who is there.
    pub guests: Arc<Guests>,
    /// The bounds in force.
    pub limits: Arc<ArcSwap<WireLimits>>,
    /// What serves requests.
    pub gateway: Arc<Gateway>,
    /// Where handshakes are counted.
    pub metrics: Arc<Metrics>,
}

/// A connection whose other end is known.
struct Established {
    stream: TlsStream<TcpStream>,
    connection: Arc<Connection>,
    address: IpAddr,
}

impl Edge {
    /// A place for a connection, of which nothing is read yet.
    pub(super) fn admit(&self, peer: SocketAddr) -> Option<Guest> {
        let mut guest = self.guests.admit(&self.listener)?;
        let address = peer.ip().to_canonical();
        let is_hop = is_among(&self.hops.load(), address);
        match self.comes_from_balancer(address) || is_hop {
            false => self.is_admitted(guest.of_address(address)).then_some(guest),
            // Whom it is made for is not known yet, or says each request.
            true => Some(guest),
        }
    }

    /// Serves a connection to its end.
    pub(super) async fn serve(
        &self,
        tcp: Accepted,
        peer: SocketAddr,
        mut guest: Guest,
        worker: Arc<Worker>,
        (shutdown, entered): (ShutdownWatch, Entered),
    ) {
        // Once for the connection over HTTP/1: its bounds do not change in the middle of a head.
        let limits = **self.limits.load();
        // Boxed, because a connection lives long and what its handshake needed is much.
        let establishing = Box::pin(self.establish(tcp, peer, &mut guest));
        let Some(Established { stream, connection, address }) = establishing.await else {
            return;
        };
        // Only what was negotiated: HTTP/2 in the clear or by prior knowledge is not spoken here.
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let mut transport = Transport::new(stream, limits.write_timeout);
        if is_http2 {
            transport.expect_http2(limits.head_timeout, self.flooded());
            let (gateway, limits) = (self.gateway.clone(), self.limits.clone());
            let server = http2::Http2Server { gateway, worker, limits, address, connection };
            return Box::pin(http2::serve(server, transport, shutdown, entered)).await;
        }
        let server = http1::Http1Server {
            gateway: &self.gateway,
            pool: &worker.pool,
            limits: &limits,
            address,
            connection: &connection,
        };
        Box::pin(http1::serve(&server, transport, shutdown, entered)).await;
    }

    fn is_admitted(&self, place: Result<(), Crowded>) -> bool {
        place.map_err(|crowded| self.guests.refuse(&self.listener, crowded)).is_ok()
    }

    fn flooded(&self) -> Flooded {
        let (guests, listener) = (self.guests.clone(), self.listener.clone());
        Box::new(move || {
            guests.note_cut(&listener, "frames");
            tracing::info!(
                listener = &*listener,
                "a connection is cut: too many frames that ask for nothing"
            );
        })
    }

    async fn establish(
        &self,
        tcp: Accepted,
        peer: SocketAddr,
        guest: &mut Guest,
    ) -> Option<Established> {
        let established = self.handshake(tcp, peer, guest).await?;
        let peer = established.connection.peer();
        // Who is none is refused by each route that asks for one.
        let participant = peer.and_then(|peer| peer.participant(Moment::now()).ok());
        if let Some(participant) = participant
            && !self.is_admitted(guest.of_organisation(participant.organisation_id()))
        {
            return None;
        }
        Some(established)
    }

    async fn handshake(
        &self,
        tcp: Accepted,
        peer: SocketAddr,
        guest: &mut Guest,
    ) -> Option<Established> {
        // Over all of it, the PROXY header too: a header that never comes holds a descriptor.
        let within = self.limits.load().handshake_timeout;
        let listener = &*self.listener;
        let mut client = ClientAddress(peer.ip().to_canonical());
        let result = match timeout(within, self.secure(tcp, &mut client, guest)).await {
            Ok(Ok(established)) => {
                tracing::debug!(listener, client.address = %client, "handshake done");
                self.metrics.note_handshake(listener, "ok");
                return Some(established);
            }
            // As a load balancer looks whether anybody is there.
            Ok(Err(HandshakeError::NoByte)) => {
                // Not at `info`: health checks come every few seconds.
                tracing::debug!(listener, client.address = %client, "a connection without a byte");
                "no_byte"
            }
            Ok(Err(HandshakeError::Crowded(crowded))) => {
                self.guests.refuse(listener, crowded);
                "crowded"
            }
            Ok(Err(error)) => {
                tracing::info!(listener, client.address = %client, %error, "handshake failed");
                error.result()
            }
            Err(_) => {
                tracing::info!(listener, client.address = %client, error = "too slow", "handshake failed");
                "timeout"
            }
        };
        self.metrics.note_handshake(listener, result);
        None
    }

    async fn secure(
        &self,
        tcp: Accepted,
        client: &mut ClientAddress,
        guest: &mut Guest,
    ) -> Result<Established, HandshakeError> {
        // A socket that can be prepared no more is one whose client has left.
        let mut tcp = prepare(tcp).map_err(|_| HandshakeError::NoByte)?;
        // Looked at, not read: the byte belongs to the PROXY header or to TLS.
        match tcp.peek(&mut [0]).await {
            Ok(bytes) if bytes > 0 => {}
            _ => return Err(HandshakeError::NoByte),
        }
        // Only from there: a header from anybody else is a wrong ClientHello, and believed by nobody.
        if self.comes_from_balancer(client.0) {
            // One that names nobody is the balancer's own.
            if let Some(named) = proxy_protocol::receive(&mut tcp).await? {
                *client = ClientAddress(named.ip().to_canonical());
                // One balancer behind another: then the client is named by the requests.
                if !self.comes_from_balancer(client.0) {
                    guest.of_address(client.0)?;
                }
            }
        }
        // In full: arc-swap's guards are for short times, and a handshake waits for its client.
        let acceptor = self.acceptor.load_full();
        let (stream, connection) = acceptor.accept(tcp).await.map_err(HandshakeError::Tls)?;
        acknowledgement::hurry(stream.get_ref().0);
        Ok(Established { stream, connection: Arc::new(connection), address: client.0 })
    }

    fn comes_from_balancer(&self, address: IpAddr) -> bool {
        is_among(&self.balancers.load(), address)
    }
}

fn prepare(tcp: Accepted) -> io::Result<TcpStream> {
    tcp.set_nonblocking(true)?;
    // The answer's head and content go in one write: to wait for more to send gains nothing.
    tcp.set_nodelay(true)?;
    TcpStream::from_std(tcp)
}

fn is_among(networks: &Option<Arc<Networks>>, address: IpAddr) -> bool {
    networks.as_ref().is_some_and(|networks| networks.contain(address))
}

/// Whom a connection is made for.
struct ClientAddress(IpAddr);

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a connection was not secured.
#[derive(Debug, Error)]
enum HandshakeError {
    #[error("the connection ended before its first byte")]
    NoByte,
    #[error(transparent)]
    Crowded(#[from] Crowded),
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error(transparent)]
    Tls(io::Error),
}

impl HandshakeError {
    /// What it is counted as.
    fn result(&self) -> &'static str {
        match self {
            Self::NoByte => "no_byte",
            Self::Crowded(_) => "crowded",
            Self::Header(_) => "proxy_header",
            Self::Tls(_) => "failed",
        }
    }
}
