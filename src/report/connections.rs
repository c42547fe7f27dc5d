//! The metrics of connections.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::metrics::{Described, counters};
use crate::limits::Whose;

const OPEN: Described = Described(
    "portaria_open_connections",
    "Connections that are open, those without a finished handshake among them, by listener.",
    &["listener"],
);
const REFUSED: Described = Described(
    "portaria_refused_connections_total",
    "Connections closed because a ceiling was reached, by listener and by whose it is.",
    &["listener", "ceiling"],
);
const CUT: Described = Described(
    "portaria_cut_connections_total",
    "Connections ended for what they sent, by listener and reason.",
    &["listener", "reason"],
);

/// The handles.
#[derive(Clone)]
pub struct ConnectionMetrics {
    open: IntGaugeVec,
    refused: IntCounterVec,
    cut: IntCounterVec,
}

impl ConnectionMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let open = IntGaugeVec::new(Opts::new(OPEN.0, OPEN.1), OPEN.2)?;
        registry.register(Box::new(open.clone()))?;
        Ok(Self { open, refused: counters(registry, &REFUSED)?, cut: counters(registry, &CUT)? })
    }

    /// Makes the series of a listener, so that the first of a kind is an increase that an alert sees.
    pub fn begin(&self, listener: &str) {
        self.open.with_label_values(&[listener]).set(0);
        for ceiling in Whose::ALL {
            self.refused.with_label_values(&[listener, ceiling.as_str()]).reset();
        }
    }

    /// Counts a connection as open until what is returned is dropped.
    pub fn open(&self, listener: &str) -> OpenConnection {
        let gauge = self.open.with_label_values(&[listener]);
        gauge.inc();
        OpenConnection(gauge)
    }

    /// Counts one that was refused.
    pub fn note_refused(&self, listener: &str, ceiling: Whose) {
        self.refused.with_label_values(&[listener, ceiling.as_str()]).inc();
    }

    /// Counts one that was cut.
    pub fn note_cut(&self, listener: &str, reason: &str) {
        self.cut.with_label_values(&[listener, reason]).inc();
    }
}

/// An open connection.
pub struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
