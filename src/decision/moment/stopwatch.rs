//! How long the parts of something took: for telling, never for deciding.

use std::time::{Duration, Instant};

/// Laps after the first.
const LAPS: usize = 2;

/// Runs from its start; each lap ends a part and begins the next.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    began: Instant,
    laps: [Option<Instant>; LAPS],
}

impl Stopwatch {
    /// Starts.
    pub fn start() -> Self {
        Self::since(Instant::now())
    }

    /// Started at an instant that was read already.
    pub fn since(began: Instant) -> Self {
        Self { began, laps: [None; LAPS] }
    }

    /// Ends a part. There are three at most; later laps change nothing.
    pub fn lap(&mut self) {
        if let Some(next) = self.laps.iter_mut().find(|lap| lap.is_none()) {
            *next = Some(Instant::now());
        }
    }

    /// What each part took, the one that runs included.
    pub fn parts(&self) -> [Option<Duration>; LAPS + 1] {
        let [first, second] = self.laps;
        // Once, so that the parts add up to the whole.
        let now = Instant::now();
        let until = |from: Instant, to: Option<Instant>| {
            Some(to.unwrap_or(now).saturating_duration_since(from))
        };
        [
            until(self.began, first),
            first.and_then(|first| until(first, second)),
            second.and_then(|second| until(second, None)),
        ]
    }
}
