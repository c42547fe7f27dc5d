//! The listeners: where connections come in, and how they are secured.
//!
//! Takes TCP connections; gives the course requests whose other end is known. A listener authenticates its
//! clients or it does not; both kinds stand side by side on different addresses. Connections are accepted and given
//! to threads ([`service`]); the TLS handshake has the cipher suites and the session settings of the FAPI profile
//! ([`edge`], [`tls`]); then a connection speaks HTTP/1 (`http1`) or HTTP/2 (`http2`), within the same bounds. How
//! a socket passes to the process that comes after is a listener's too ([`handover`]).

pub mod tls;
pub mod parameters;
pub mod server_certificates;
mod acknowledgement;
pub mod descriptors;
pub mod edge;
mod frames;
pub mod guests;
pub mod handover;
mod http1;
mod http2;

mod probe;
mod proxy_protocol;
pub mod service;
mod transport;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service as PingoraService;
use pingora::services::listening::Service;

use crate::request::framing::HeadLimits;
pub use edge::Edge;
pub use guests::Guests;
pub use parameters::Parameters;
pub use server_certificates::{ByName, ServerIdentity};
pub use service::{Listening, Workers};
pub use tls::{Clients, TlsSetup};

/// How long a connection that was accepted may take to ask for the first time once the gateway begins to end: whoever
/// connects is about to ask, and would have to connect again.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// Bounds of what a connection may send, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireLimits {
    /// TCP accept to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// Longest time between two requests of a connection.
    pub idle_timeout: Duration,
    /// First byte of a request's head to the last.
    pub head_timeout: Duration,
    /// End of the head to the end of a chunked body.
    pub body_timeout: Duration,
    /// Longest time that a client takes nothing of what is written.
    pub write_timeout: Duration,
    /// First byte of a request received to the last of its answer written, whatever else holds.
    pub exchange_timeout: Duration,
    /// Size of a head.
    pub head: HeadLimits,
}

/// The bytes that the transport reads ahead. TLS records are at most 16 KiB; requests are small. The
/// framework's 64 KiB would be most of the memory of an idle connection.
const READ_AHEAD: usize = 4 * 1024;

/// A socket that listens before the server starts, so that a taken address is an error of start-up
/// and port 0 is known when it is announced.
pub struct Bound {
    /// The address, with the port that the system gave.
    pub address: SocketAddr,
    socket: TcpListener,
}

impl Bound {
    /// Binds an address, or takes its socket from among those of the process before.
    pub fn bind(address: SocketAddr, inherited: &mut Vec<TcpListener>) -> std::io::Result<Self> {
        // By the address that the system says, not by the one that came with it (decision 18).
        let is_it = |socket: &TcpListener| socket.local_addr().is_ok_and(|known| known == address);
        let socket = match inherited.iter().position(is_it) {
            // Taken out, so that none is used twice; who calls closes what is left.
            Some(place) => inherited.swap_remove(place),
            None => TcpListener::bind(address)?,
        };
        socket.set_nonblocking(true)?;
        Ok(Self { address: socket.local_addr()?, socket })
    }

    /// The same socket, to be handed over.
    pub fn duplicate(&self) -> std::io::Result<TcpListener> {
        self.socket.try_clone()
    }

    /// A pingora service on this address.
    pub fn serve<A>(self, name: String, app: A, threads: usize) -> BoundService<Service<A>>
    where
        A: ServerApp + Send + Sync + 'static,
    {
        let address = self.address.to_string();
        let mut service = Service::new(name, app);
        service.threads = Some(threads);
        // Of the admin endpoint alone: callers' connections never pass through the framework.
        let buffers = L4BufferSettings::default().read(READ_AHEAD);
        service.add_listener(ListenerConfig::tcp(address.clone()).l4_buffer(buffers));
        BoundService { service, address, socket: Some(self.socket) }
    }
}

/// A service whose socket was bound beforehand.
pub struct BoundService<S> {
    service: S,
    address: String,
    socket: Option<TcpListener>,
}

#[async_trait]
impl<S: PingoraService + Send + Sync> PingoraService for BoundService<S> {
    async fn start_service(
        &mut self,
        fds: Option<ListenFds>,
        shutdown: ShutdownWatch,
        listeners_per_fd: usize,
    ) {
        // The framework looks for an address among handed-over sockets before it binds: so it takes this one.
        if let (Some(fds), Some(socket)) = (&fds, self.socket.take()) {
            fds.lock().add(self.address.clone(), socket.into_raw_fd());
        }
        self.service.start_service(fds, shutdown, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        self.service.name()
    }

    fn threads(&self) -> Option<usize> {
        self.service.threads()
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        self.service.listen_addresses()
    }
}
