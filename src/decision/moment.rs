//! The time at which a request is judged.
//!
//! Decides nothing. A `Moment` is read once, when a request arrives, and handed to every stage
//! as an argument: no stage reads a clock, so a test or an offline explanation can choose the
//! time, and all stages of one request agree on it.

pub mod date;
mod stopwatch;

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use stopwatch::Stopwatch;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A point in time, on the monotonic clock (for durations and limits) and on the wall clock
/// (for validity periods).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    since_start: Duration,
    since_epoch: Duration,
}

impl Moment {
    /// The present.
    pub fn now() -> Self {
        Self::of(Instant::now())
    }

    /// The present, of which the monotonic clock was read already.
    pub fn of(now: Instant) -> Self {
        // Saturating, for `now` may have been read before START was made by this very call.
        Self::at(now.saturating_duration_since(*START), SystemTime::now())
    }

    /// A chosen time: `since_start` on the monotonic clock, `wall` on the wall clock. A wall
    /// clock before 1970 counts as 1970.
    pub fn at(since_start: Duration, wall: SystemTime) -> Self {
        let since_epoch = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { since_start, since_epoch }
    }

    /// A later point in time, of which the monotonic clock was read: the wall clock went on as that did.
    pub fn later(self, now: Instant) -> Self {
        // Not the wall clock anew: it may have been set in between, and a request would end before it began.
        let since_start = now.saturating_duration_since(*START);
        let passed = since_start.saturating_sub(self.since_start);
        Self { since_start, since_epoch: self.since_epoch.saturating_add(passed) }
    }

    /// Time on the monotonic clock since the process started.
    pub fn since_start(self) -> Duration {
        self.since_start
    }

    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub fn unix_seconds(self) -> u64 {
        self.since_epoch.as_secs()
    }

    /// Time since 1970-01-01T00:00:00Z.
    pub fn since_epoch(self) -> Duration {
        self.since_epoch
    }
}
