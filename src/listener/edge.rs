//! The edge: one accepted TCP connection, from the TLS handshake to its HTTP sessions.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::listeners::tls::Acceptor;
use pingora::protocols::l4::stream::Stream as TcpStream;
use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use pingora::time::timeout;

use super::{Application, WireLimits, http1};
use crate::report::Metrics;

/// What every connection of a listener shares. The acceptor is swapped on reload; connections that are
/// open keep the one they were accepted with.
pub struct Edge<A> {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The TLS in force.
    pub acceptor: Arc<ArcSwap<Acceptor>>,
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
        let stream = self.handshake(*tcp).await?;
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            return self.application.process_new(stream, shutdown).await;
        }
        let limits = **self.limits.load();
        http1::serve(&self.application, stream, &limits, shutdown).await;
        None
    }

    async fn cleanup(&self) {
        self.application.http_cleanup().await;
    }
}

impl<A: Application> Edge<A> {
    async fn handshake(&self, tcp: TcpStream) -> Option<Stream> {
        let acceptor = self.acceptor.load_full();
        let within = self.limits.load().handshake_timeout;
        let result = match timeout(within, acceptor.tls_handshake(tcp)).await {
            Ok(Ok(stream)) => {
                self.metrics.note_handshake(&self.listener, "ok");
                return Some(Box::new(stream));
            }
            Ok(Err(error)) => {
                tracing::info!(listener = &*self.listener, %error, "handshake failed");
                "failed"
            }
            Err(_) => "timeout",
        };
        self.metrics.note_handshake(&self.listener, result);
        None
    }
}

/// Ends a connection whose client is told so.
pub(super) async fn close(mut stream: Stream) {
    stream.shutdown().await;
}
