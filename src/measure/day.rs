//! The windows over which quantiles are read: the current day of UTC and the last minute.

use std::time::Duration;

use super::quantile::Durations;
use super::{Percentiles, Share};
use crate::moment::Moment;

const SECONDS_PER_DAY: u64 = 86_400;
/// The last minute is six slots of ten seconds: its start is exact to a slot.
const SLOTS: u64 = 6;
const SECONDS_PER_SLOT: u64 = 10;

/// Durations of one priority class.
pub(super) struct Windows {
    day: u64,
    today: Durations,
    slots: Vec<Slot>,
}

struct Slot {
    number: u64,
    durations: Durations,
}

impl Windows {
    pub(super) fn new() -> Self {
        let slot = |_| Slot { number: 0, durations: Durations::new() };
        Self { day: 0, today: Durations::new(), slots: (0..SLOTS).map(slot).collect() }
    }

    pub(super) fn record(&mut self, duration: Duration, share: Share, now: Moment) {
        self.turn_to(now);
        take(&mut self.today, duration, share);
        // The day is the calendar's, the minute the monotonic clock's: setting the clock must not empty it.
        let number = now.since_start().as_secs() / SECONDS_PER_SLOT;
        let place = usize::try_from(number % SLOTS).unwrap_or(0);
        if let Some(slot) = self.slots.get_mut(place) {
            // Emptied by who needs it: no task turns the slots.
            if slot.number != number {
                slot.number = number;
                slot.durations.clear();
            }
            take(&mut slot.durations, duration, share);
        }
    }

    pub(super) fn p95(&mut self, now: Moment) -> Percentiles {
        self.turn_to(now);
        let current = now.since_start().as_secs() / SECONDS_PER_SLOT;
        let mut minute = Durations::new();
        // Those that nobody has emptied since may be hours old.
        for slot in self.slots.iter().filter(|slot| current - slot.number.min(current) < SLOTS) {
            minute.add(&slot.durations);
        }
        Percentiles { day: self.today.p95(), minute: minute.p95() }
    }

    /// Begins a new day at midnight.
    fn turn_to(&mut self, now: Moment) {
        let day = now.unix_seconds() / SECONDS_PER_DAY;
        // Forward only: a clock that is set back over midnight must not cost the day its figures.
        if day > self.day {
            self.day = day;
            self.today.clear();
        }
    }
}

fn take(durations: &mut Durations, duration: Duration, share: Share) {
    match share {
        Share::Whole => durations.record(duration),
        Share::GivenUp => durations.record_given_up(duration),
        Share::Apart => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const MIDNIGHT: u64 = 20_000 * SECONDS_PER_DAY;

    fn at(seconds: u64) -> Moment {
        let wall = UNIX_EPOCH + Duration::from_secs(MIDNIGHT + seconds);
        Moment::at(Duration::from_secs(seconds), wall)
    }

    fn milliseconds(p95: Option<Duration>) -> Option<u128> {
        p95.map(|p95| p95.as_millis())
    }

    #[test]
    fn the_minute_forgets_and_the_day_does_not() {
        let mut windows = Windows::new();
        windows.record(Duration::from_millis(800), Share::Whole, at(5));
        windows.record(Duration::from_millis(100), Share::Whole, at(65));
        let p95 = windows.p95(at(65));
        assert_eq!((milliseconds(p95.day), milliseconds(p95.minute)), (Some(800), Some(100)));
        let p95 = windows.p95(at(200));
        assert_eq!((milliseconds(p95.day), p95.minute), (Some(800), None));
    }

    #[test]
    fn midnight_begins_a_new_day() {
        let mut windows = Windows::new();
        windows.record(Duration::from_millis(800), Share::Whole, at(SECONDS_PER_DAY - 1));
        assert!(windows.p95(at(SECONDS_PER_DAY - 1)).day.is_some());
        assert_eq!(windows.p95(at(SECONDS_PER_DAY)).day, None);
    }

    #[test]
    fn a_slot_that_was_never_used_is_empty_at_start() {
        let mut windows = Windows::new();
        assert_eq!(windows.p95(at(0)), Percentiles { day: None, minute: None });
    }
}
