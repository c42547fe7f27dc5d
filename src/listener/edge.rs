//! The edge: one accepted TCP connection, from its PROXY protocol header and TLS handshake to its HTTP
//! sessions.

use std::fmt;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::listeners::tls::Acceptor;
use pingora::protocols::l4::stream::Stream as TcpStream;
use pingora::protocols::{ALPN, GetSocketDigest, IO, Peek, Ssl, Stream};
use pingora::server::ShutdownWatch;
use pingora::time::timeout;
use thiserror::Error;

use super::acknowledgement;
use super::guests::{Guest, Guests};
use super::proxy_protocol::{self, HeaderError};
use super::transport::{Flooded, Transport};
use super::{Application, WireLimits, http1, http2};
use crate::address::Networks;
use crate::exchange::Connection;
use crate::limits::Crowded;
use crate::moment::Moment;
use crate::report::Metrics;

/// What every connection of a listener shares. The acceptor is swapped on reload; connections that are
/// open keep the one they were accepted with.
pub struct Edge<A> {
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
    /// The HTTP application.
    pub application: Arc<A>,
    /// Where handshakes are counted.
    pub metrics: Arc<Metrics>,
}

#[async_trait]
impl<A: Application> ServerApp for Edge<A> {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let tcp = stream.into_any().downcast::<TcpStream>().ok()?;
        let limits = **self.limits.load();
        // Kept until the connection ends.
        let mut guest = self.admit(&tcp)?;
        // Boxed, because a connection lives long and what its handshake needed is much.
        let establishing = Box::pin(self.establish(*tcp, &mut guest, limits.write_timeout));
        let mut transport = establishing.await?;
        if matches!(transport.selected_alpn_proto(), Some(ALPN::H2)) {
            transport.expect_http2(limits.head_timeout, self.flooded());
            let (application, limits) = (self.application.clone(), self.limits.clone());
            http2::serve(application, limits, transport, shutdown).await;
            return None;
        }
        http1::serve(&self.application, transport, &limits, shutdown).await;
        None
    }

    async fn cleanup(&self) {
        self.application.http_cleanup().await;
    }
}

impl<A: Application> Edge<A> {
    /// A place for a connection, of which nothing is read yet.
    fn admit(&self, tcp: &TcpStream) -> Option<Guest> {
        let mut guest = self.guests.admit(&self.listener)?;
        let hops = self.hops.load();
        match address_of(tcp) {
            Some(address) if !self.comes_from_balancer(tcp) && !is_among(&hops, address) => {
                self.is_admitted(guest.of_address(address)).then_some(guest)
            }
            // Whom it is made for is not known yet, or says each request.
            _ => Some(guest),
        }
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
        tcp: TcpStream,
        guest: &mut Guest,
        write_timeout: Duration,
    ) -> Option<Box<Transport<impl IO + 'static + use<A>>>> {
        let stream = self.handshake(tcp, guest).await?;
        let known = known_at(&stream);
        let peer = known.as_ref().and_then(|connection| connection.peer());
        // Who is none is refused by each route that asks for one.
        let participant = peer.and_then(|peer| peer.participant(Moment::now()).ok());
        if let Some(participant) = participant
            && !self.is_admitted(guest.of_organisation(participant.organisation_id()))
        {
            return None;
        }
        Some(Box::new(Transport::new(stream, write_timeout)))
    }

    async fn handshake(
        &self,
        tcp: TcpStream,
        guest: &mut Guest,
    ) -> Option<impl IO + 'static + use<A>> {
        let within = self.limits.load().handshake_timeout;
        let listener = &*self.listener;
        let mut client = Client(address_of(&tcp));
        let result = match timeout(within, self.secure(tcp, &mut client, guest)).await {
            Ok(Ok(stream)) => {
                tracing::debug!(listener, client.address = %client, "handshake done");
                self.metrics.note_handshake(listener, "ok");
                return Some(stream);
            }
            // As a load balancer looks whether anybody is there.
            Ok(Err(HandshakeError::NoByte)) => {
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
        mut tcp: TcpStream,
        client: &mut Client,
        guest: &mut Guest,
    ) -> Result<impl IO + 'static + use<A>, HandshakeError> {
        tcp.try_peek(&mut [0]).await.map_err(|_| HandshakeError::NoByte)?;
        if self.comes_from_balancer(&tcp) {
            proxy_protocol::receive(&mut tcp).await?;
            *client = Client(address_of(&tcp));
            // One that names nobody is the balancer's own.
            if let Some(address) = client.0.filter(|_| !self.comes_from_balancer(&tcp)) {
                guest.of_address(address)?;
            }
        }
        let (acceptor, socket) = (self.acceptor.load_full(), tcp.as_raw_fd());
        let stream = acceptor.tls_handshake(tcp).await?;
        // It is the stream's, and open.
        acknowledgement::hurry(socket);
        Ok(stream)
    }

    fn comes_from_balancer(&self, tcp: &TcpStream) -> bool {
        let balancers = self.balancers.load();
        balancers.as_ref().is_some_and(|networks| proxy_protocol::comes_from(networks, tcp))
    }
}

fn is_among(networks: &Option<Arc<Networks>>, address: IpAddr) -> bool {
    networks.as_ref().is_some_and(|networks| networks.contain(address))
}

/// What the handshake found out.
fn known_at(stream: &impl Ssl) -> Option<Arc<Connection>> {
    stream.get_ssl_digest()?.extension.get::<Arc<Connection>>().cloned()
}

/// Whom a connection is made for.
struct Client(Option<IpAddr>);

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

fn address_of(tcp: &TcpStream) -> Option<IpAddr> {
    let digest = tcp.get_socket_digest()?;
    digest.peer_addr()?.as_inet().map(|address| address.ip().to_canonical())
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
    Tls(#[from] Box<pingora::Error>),
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
