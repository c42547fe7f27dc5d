//! The edge: one accepted TCP connection, from its PROXY protocol header and TLS handshake to its HTTP
//! sessions.

use std::fmt;
use std::net::IpAddr;
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

use super::proxy_protocol::{self, HeaderError};
use super::transport::Transport;
use super::{Application, WireLimits, http1, http2};
use crate::address::Networks;
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
        // Boxed, because a connection lives long and what its handshake needed is much.
        let mut transport = Box::pin(self.establish(*tcp, limits.write_timeout)).await?;
        if matches!(transport.selected_alpn_proto(), Some(ALPN::H2)) {
            transport.expect_preface(limits.head_timeout);
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
    async fn establish(
        &self,
        tcp: TcpStream,
        write_timeout: Duration,
    ) -> Option<Box<Transport<impl IO + 'static + use<A>>>> {
        let stream = self.handshake(tcp).await?;
        Some(Box::new(Transport::new(stream, write_timeout)))
    }

    async fn handshake(&self, tcp: TcpStream) -> Option<impl IO + 'static + use<A>> {
        let within = self.limits.load().handshake_timeout;
        let listener = &*self.listener;
        let mut client = Client(address_of(&tcp));
        let result = match timeout(within, self.secure(tcp, &mut client)).await {
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
    ) -> Result<impl IO + 'static + use<A>, HandshakeError> {
        tcp.try_peek(&mut [0]).await.map_err(|_| HandshakeError::NoByte)?;
        if self.comes_from_balancer(&tcp) {
            proxy_protocol::receive(&mut tcp).await?;
            *client = Client(address_of(&tcp));
        }
        let acceptor = self.acceptor.load_full();
        Ok(acceptor.tls_handshake(tcp).await?)
    }

    fn comes_from_balancer(&self, tcp: &TcpStream) -> bool {
        let balancers = self.balancers.load();
        balancers.as_ref().is_some_and(|networks| proxy_protocol::comes_from(networks, tcp))
    }
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
    Header(#[from] HeaderError),
    #[error(transparent)]
    Tls(#[from] Box<pingora::Error>),
}

impl HandshakeError {
    /// What it is counted as.
    fn result(&self) -> &'static str {
        match self {
            Self::NoByte => "no_byte",
            Self::Header(_) => "proxy_header",
            Self::Tls(_) => "failed",
        }
    }
}
