//! The HTTP/2 side of a connection: the framework's, within bounds of time that it does not have.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::server::ShutdownWatch;
use pingora::time::timeout;
use tokio::sync::watch;

use super::{Application, WireLimits};
use crate::exchange::Connection;

/// Serves a connection until either side ends it, the gateway shuts down, or its client is refused for
/// what it is.
pub(super) async fn serve<A: Application>(
    application: Arc<A>,
    limits: Arc<ArcSwap<WireLimits>>,
    transport: Stream,
    shutdown: &ShutdownWatch,
) {
    let mut shutdown = shutdown.clone();
    let (ending, ends) = watch::channel(*shutdown.borrow());
    // No exchange lives longer, so that nothing is cut; a client that does not say that it has understood
    // GOAWAY gets no more.
    let patience = limits.load().exchange_timeout;
    let bounded = Arc::new(Bounded { application, limits, ending });
    let served = bounded.process_new(transport, &ends);
    tokio::pin!(served);
    let mut ended = bounded.ending.subscribe();
    tokio::select! {
        biased;
        _ = &mut served => return,
        _ = shutdown.changed() => bounded.end(),
        _ = ended.changed() => {}
    }
    let _ = timeout(patience, served).await;
}

/// An application whose exchanges end in time: the framework waits without limit for a body that a
/// client announced and does not send.
struct Bounded<A> {
    application: Arc<A>,
    limits: Arc<ArcSwap<WireLimits>>,
    /// What the framework takes for the shutdown of the process: it says GOAWAY, and waits for the streams
    /// that are open.
    ending: watch::Sender<bool>,
}

impl<A> Bounded<A> {
    fn end(&self) {
        self.ending.send_replace(true);
    }
}

/// Who is on the other end, as the handshake found out.
fn connection_of(session: &ServerSession) -> Option<Arc<Connection>> {
    session.digest()?.ssl_digest.as_ref()?.extension.get::<Arc<Connection>>().cloned()
}

#[async_trait]
impl<A: Application> HttpServerApp for Bounded<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let limit = self.limits.load().exchange_timeout;
        let connection = connection_of(&session);
        let exchange = self.application.process_new_http(session, shutdown);
        // What is dropped here resets its stream and concludes its exchange.
        let reused = timeout(limit, exchange).await.ok().flatten();
        // A new connection is judged anew, and its handshake may say more.
        if connection.is_some_and(|connection| connection.is_to_end()) {
            self.end();
        }
        reused
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.application.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.application.server_options()
    }

    async fn http_cleanup(&self) {
        self.application.http_cleanup().await;
    }
}
