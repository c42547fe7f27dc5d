//! When a key set is read again, and for how long it counts: a function of durations, so that a table can
//! test it.

use std::time::Duration;

/// However short-lived an answer calls itself, the next one is not asked for earlier.
const SHORTEST_LIFE: Duration = Duration::from_secs(10);
/// The pause after the first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between two failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Doublings after which any pause is at its longest.
const MOST_DOUBLINGS: u32 = 5;

/// How often a key set is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Read again at the latest after this time: as long as a removed key may go on working.
    pub refresh_interval: Duration,
    /// A set that was not read for so long no longer decides anything.
    pub stale_for: Duration,
    /// Between two lookups of keys that a set lacks.
    pub lookup_cooldown: Duration,
    /// A whole read, discovery included.
    pub timeout: Duration,
}

impl Pace {
    /// How long after a successful read the next one begins: before the set's life ends, which the answer
    /// may shorten (`max-age`), within bounds.
    pub fn after_success(&self, max_age: Option<Duration>) -> Duration {
        // `clamp` panics where the lower bound is above the upper one: an interval may be shorter than ten
        // seconds.
        let least = SHORTEST_LIFE.min(self.refresh_interval);
        let life = max_age.unwrap_or(self.refresh_interval).clamp(least, self.refresh_interval);
        life.mul_f64(0.9)
    }

    /// How long after the begin of a read that failed the next one begins. `failures` counts those since the
    /// last success.
    pub fn after_failure(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(MOST_DOUBLINGS);
        // Five at most: 32 s are beyond the longest pause, and a shift by 32 would overflow.
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings);
        // No longer than the interval, or a failure would be tried again later than a success.
        pause.min(LONGEST_PAUSE).min(self.refresh_interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn pace(refresh_interval: f64) -> Pace {
        Pace {
            refresh_interval: seconds(refresh_interval),
            stale_for: seconds(3600.0),
            lookup_cooldown: seconds(10.0),
            timeout: seconds(2.0),
        }
    }

    #[test]
    fn a_set_is_read_again_before_its_life_ends() {
        for (interval, max_age, expected) in [
            (300.0, None, 270.0),
            (300.0, Some(60.0), 54.0),
            (300.0, Some(300.0), 270.0),
            // Beyond the bounds, the bounds.
            (300.0, Some(86_400.0), 270.0),
            (300.0, Some(0.0), 9.0),
            (300.0, Some(1.0), 9.0),
            (1.0, Some(0.0), 0.9),
            (1.0, Some(86_400.0), 0.9),
        ] {
            let found = pace(interval).after_success(max_age.map(seconds));
            assert_eq!(found, seconds(expected), "{interval} {max_age:?}");
        }
    }

    #[test]
    fn failures_are_followed_by_longer_pauses_up_to_a_bound() {
        for (interval, failures, expected) in [
            (300.0, 1, 1.0),
            (300.0, 2, 2.0),
            (300.0, 5, 16.0),
            (300.0, 6, 30.0),
            (300.0, u32::MAX, 30.0),
            (1.0, 9, 1.0),
        ] {
            let found = pace(interval).after_failure(failures);
            assert_eq!(found, seconds(expected), "{interval} {failures}");
        }
    }
}
