//! The HTTP/2 side of a connection: the framework's, within bounds of time that it does not have.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::server::ShutdownWatch;
use pingora::time::timeout;

use super::{Application, WireLimits};

/// An application whose exchanges end in time: the framework waits without limit for a body that a
/// client announced and does not send.
pub(super) struct Bounded<A> {
    pub(super) application: Arc<A>,
    pub(super) limits: Arc<ArcSwap<WireLimits>>,
}

#[async_trait]
impl<A: Application> HttpServerApp for Bounded<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let limit = self.limits.load().exchange_timeout;
        let exchange = self.application.process_new_http(session, shutdown);
        // What is dropped here resets its stream and concludes its exchange.
        timeout(limit, exchange).await.ok().flatten()
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
