//! What the system knows of a connection to a server.

use std::sync::Arc;
use std::time::Duration;

use pingora::protocols::SocketDigest;

use crate::exchange::Line;

/// A connection to a server.
pub(super) struct Connected(pub(super) Arc<SocketDigest>);

impl Line for Connected {
    fn quiet_for(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.0.tcp_info()?.tcpi_last_data_recv.into()))
    }
}
