//! Whose turn it is in an exchange: what its phases tell of it.

use std::time::{Duration, Instant};

use super::Exchange;

/// Gaps in an answer that are not worth asking about.
const SHORT: Duration = Duration::from_millis(5);

/// The connection to the backend.
pub trait Line: Send + Sync {
    /// How long ago something arrived on it, whether or not it was read.
    fn quiet_for(&self) -> Option<Duration>;
}

impl Exchange {
    /// Notes the connection that the backend is asked on.
    pub fn note_line(&mut self, line: Box<dyn Line>) {
        self.line = Some(line);
    }

    /// How long what is read of the backend now has been here, at most.
    pub(super) fn there_for(&self, now: Instant) -> Duration {
        let was_free = self.course.since_handed(now).is_none_or(|gap| gap < SHORT);
        let line = self.line.as_ref().filter(|_| !was_free);
        line.and_then(|line| line.quiet_for()).unwrap_or_default()
    }

    /// Notes that the caller is to send its body now.
    pub fn note_body_awaited(&mut self) {
        self.course.await_body(Instant::now());
    }

    /// Notes that the body is here.
    pub fn note_body_received(&mut self) {
        self.course.have_body(Instant::now());
    }

    /// Notes that a piece of the answer is handed to whom writes it.
    pub fn note_handed_over(&mut self, bytes: usize) {
        self.handed_bytes += bytes;
        self.course.hand_over(Instant::now());
    }

    /// Whether the caller has yet to take what it was handed: `written` bytes of the answer's body were written.
    pub fn is_taking(&self, written: usize) -> bool {
        self.handed_bytes > written
    }
}
