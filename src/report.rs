//! What is told of the exchanges: metrics for Prometheus, one access-log line each, and the last refusals; and where the
//! gateway's own events are written ([`application_log`]).
//!
//! Takes samples; gives nothing back to the request. Nothing personal or secret leaves through here:
//! metrics have closed sets of labels, the access log an allow-list of fields with pseudonyms for
//! consents and clients, and neither ever sees a raw path, a token or a certificate.

pub mod metrics;
pub mod connections;
pub mod key_sets;
pub mod services;
mod batches;
mod members;
mod refusals;
pub mod access_log;
pub mod application_log;
pub mod refusal_log;
pub mod build;

use std::sync::Arc;

use crate::measure::{ResponseTimes, Sample, Sink};
pub use access_log::AccessLog;
pub use application_log::ApplicationLog;
pub use batches::Flush;
pub use metrics::{DroppedLines, Metrics};
pub use refusal_log::RefusalLog;

/// Takes every sample.
pub struct Report {
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The regulator's percentiles.
    pub times: ResponseTimes,
    /// The log, if it is wanted.
    pub access_log: Option<AccessLog>,
    /// The log of the process.
    pub application_log: ApplicationLog,
    /// The last refusals.
    pub refusal_log: RefusalLog,
}

impl Report {
    /// How many lines of each log were lost.
    pub fn dropped_lines(&self) -> DroppedLines {
        let access = self.access_log.as_ref().map_or(0, AccessLog::dropped);
        DroppedLines { access, application: self.application_log.dropped() }
    }
}

impl Sink for Report {
    fn take(&self, sample: &Sample<'_>) {
        self.times.note(sample);
        self.metrics.note(sample);
        self.refusal_log.note(sample);
        if let Some(log) = &self.access_log {
            log.write(sample);
        }
    }
}
