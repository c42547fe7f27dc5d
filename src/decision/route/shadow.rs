//! Shadow mode: until a day, requests that the rules of an endpoint refuse go on, and are told.
//!
//! It always ends by itself: a rule that nobody enforces is one that everybody believes in.

use time::Date;

use super::lifetime::begin;
use crate::moment::Moment;

/// The day on which the rules of an endpoint begin to be enforced; of most, they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShadowMode {
    until: Option<Date>,
    /// Seconds since 1970 at which it ends.
    ends: u64,
}

impl ShadowMode {
    /// Takes the day on which it ends, at midnight in Brasília.
    pub fn new(until: Option<Date>) -> Self {
        // Without a day it ended in 1970, so that there is one question to ask and none to forget.
        Self { until, ends: until.map_or(0, begin) }
    }

    /// The day.
    pub fn until(&self) -> Option<Date> {
        self.until
    }

    /// Whether it is on.
    pub fn is_on(&self, now: Moment) -> bool {
        now.unix_seconds() < self.ends
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use time::macros::date;

    use super::*;

    #[test]
    fn it_ends_at_midnight_in_brasilia() {
        let at = |seconds| Moment::at(Duration::ZERO, UNIX_EPOCH + Duration::from_secs(seconds));
        // 2026-03-01T03:00:00Z.
        let ends = 1_772_334_000;
        let shadow = ShadowMode::new(Some(date!(2026 - 03 - 01)));
        assert_eq!([ends - 1, ends].map(|now| shadow.is_on(at(now))), [true, false]);
        assert!(!ShadowMode::default().is_on(at(0)));
    }
}
