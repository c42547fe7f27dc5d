//! Histograms of durations from which quantiles are read (HDR histograms, in microseconds).
//!
//! Whoever gave up has waited, and nobody knows for how long it would have had to: of an answer that was not
//! awaited only the least is known. So the quantile is that of Kaplan and Meier: what was given up counts as longer
//! than the time that it waited, like those that are. Giving up early therefore makes nothing look fast, and giving
//! up late counts with the time that was waited at least.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Durations up to an hour; longer ones count as an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// What is exceeded by as many at most.
const BEYOND_P95: f64 = 0.05;

/// Durations and their quantiles, within 0.1 % of the true value.
pub struct Durations {
    whole: Option<Histogram<u64>>,
    /// Of what was given up. Made when something is: it is large.
    given_up: Option<Histogram<u64>>,
}

impl Durations {
    /// No durations.
    pub fn new() -> Self {
        Self { whole: histogram(), given_up: None }
    }

    /// Adds one.
    pub fn record(&mut self, duration: Duration) {
        if let Some(whole) = &mut self.whole {
            whole.saturating_record(microseconds(duration));
        }
    }

    /// Adds one of which nobody saw the end.
    pub fn record_given_up(&mut self, waited: Duration) {
        if self.given_up.is_none() {
            self.given_up = histogram();
        }
        if let Some(given_up) = &mut self.given_up {
            given_up.saturating_record(microseconds(waited));
        }
    }

    /// Adds all of another's.
    pub fn add(&mut self, other: &Self) {
        add(&mut self.whole, other.whole.as_ref());
        add(&mut self.given_up, other.given_up.as_ref());
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        if let Some(whole) = &mut self.whole {
            whole.reset();
        }
        self.given_up = None;
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        let count = |histogram: &Option<Histogram<u64>>| histogram.as_ref().map_or(0, |h| h.len());
        count(&self.whole) + count(&self.given_up)
    }

    /// The duration that 95 of 100 do not exceed; none without durations.
    pub fn p95(&self) -> Option<Duration> {
        let whole = self.whole.as_ref()?;
        let value = match self.given_up.as_ref().filter(|given_up| !given_up.is_empty()) {
            Some(given_up) => p95_of(whole, given_up),
            None if whole.is_empty() => return None,
            None => whole.value_at_quantile(0.95),
        };
        Some(Duration::from_micros(value))
    }
}

/// Where no more than a twentieth is left, of what is awaited at each duration. If what was given up is too much for
/// that, the longest that anybody waited is the least that can be said.
fn p95_of(whole: &Histogram<u64>, given_up: &Histogram<u64>) -> u64 {
    let mut awaited = whole.len() + given_up.len();
    let mut left = 1.0_f64;
    let mut waits = given_up.iter_recorded().peekable();
    for step in whole.iter_recorded() {
        // Who gave up before this answer is not among those who waited for it.
        while let Some(wait) =
            waits.next_if(|wait| wait.value_iterated_to() < step.value_iterated_to())
        {
            awaited = awaited.saturating_sub(wait.count_since_last_iteration());
        }
        let answered = step.count_since_last_iteration();
        left *= 1.0 - answered as f64 / awaited.max(1) as f64;
        awaited = awaited.saturating_sub(answered);
        // Products of fractions are not exact.
        if left <= BEYOND_P95 + 1e-9 {
            return step.value_iterated_to();
        }
    }
    whole.max().max(given_up.max())
}

fn histogram() -> Option<Histogram<u64>> {
    // The bounds are constants within the library's: the histogram is always there.
    Histogram::new_with_bounds(1, LONGEST_US, 3).ok()
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(LONGEST_US).clamp(1, LONGEST_US)
}

fn add(to: &mut Option<Histogram<u64>>, from: Option<&Histogram<u64>>) {
    let Some(from) = from else { return };
    if to.is_none() {
        *to = histogram();
    }
    if let Some(to) = to {
        // Both have the same bounds, so nothing can fail to fit.
        let _ = to.add(from);
    }
}

impl Default for Durations {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p95_is_what_95_of_100_do_not_exceed() {
        let mut durations = Durations::new();
        assert_eq!(durations.p95(), None);
        for milliseconds in 1..=100 {
            durations.record(Duration::from_millis(milliseconds));
        }
        let p95 = durations.p95().unwrap().as_secs_f64();
        assert!((0.095..0.0951).contains(&p95), "{p95}");
    }

    #[test]
    fn what_is_longer_than_an_hour_counts_as_an_hour() {
        let mut durations = Durations::new();
        durations.record(Duration::from_secs(10_000));
        assert!(durations.p95().unwrap() >= Duration::from_secs(3_590));
    }

    fn of(answered: &[(u64, u64)], given_up: &[(u64, u64)]) -> Durations {
        let mut durations = Durations::new();
        for (milliseconds, times) in answered {
            (0..*times).for_each(|_| durations.record(Duration::from_millis(*milliseconds)));
        }
        for (milliseconds, times) in given_up {
            (0..*times)
                .for_each(|_| durations.record_given_up(Duration::from_millis(*milliseconds)));
        }
        durations
    }

    fn p95_in_ms(answered: &[(u64, u64)], given_up: &[(u64, u64)]) -> u128 {
        of(answered, given_up).p95().unwrap().as_millis()
    }

    #[test]
    fn what_was_given_up_counts_with_what_was_waited_at_least() {
        assert_eq!(p95_in_ms(&[(2, 50)], &[(1900, 50)]), 1900);
        assert_eq!(p95_in_ms(&[], &[(1900, 1)]), 1900);
        // A twentieth may be lost before it shows.
        assert_eq!(p95_in_ms(&[(2, 95)], &[(1900, 5)]), 2);
        assert_eq!(p95_in_ms(&[(2, 94)], &[(1900, 6)]), 1900);
        assert_eq!(of(&[(2, 50)], &[(1900, 50)]).count(), 100);
    }

    #[test]
    fn giving_up_early_makes_nothing_look_fast() {
        assert_eq!(p95_in_ms(&[(3000, 100)], &[(1, 10_000)]), 3000);
        // As if it had been awaited, and had lasted like the others that were.
        assert_eq!(p95_in_ms(&[(2, 90), (3000, 10)], &[(1, 900)]), 3000);
        assert_eq!(p95_in_ms(&[(2, 97), (3000, 3)], &[(1, 900)]), 2);
    }

    #[test]
    fn windows_add_up_and_forget_what_was_given_up() {
        let mut sum = of(&[(2, 50)], &[]);
        sum.add(&of(&[], &[(1900, 50)]));
        assert_eq!(sum.p95().unwrap().as_millis(), 1900);
        sum.clear();
        assert_eq!((sum.p95(), sum.count()), (None, 0));
    }
}
