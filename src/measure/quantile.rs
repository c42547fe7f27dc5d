//! A histogram of durations from which quantiles are read (HDR histogram, in microseconds).

use std::time::Duration;

use hdrhistogram::Histogram;

/// Durations up to an hour; longer ones count as an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// Durations and their quantiles, within 0.1 % of the true value.
pub struct Durations(Option<Histogram<u64>>);

impl Durations {
    /// No durations.
    pub fn new() -> Self {
        // The bounds are constants within the library's: the histogram is always there.
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).ok())
    }

    /// Adds one.
    pub fn record(&mut self, duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(LONGEST_US);
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(microseconds.clamp(1, LONGEST_US));
        }
    }

    /// Adds all of another's.
    pub fn add(&mut self, other: &Self) {
        if let (Some(histogram), Some(other)) = (&mut self.0, &other.0) {
            // Both have the same bounds, so nothing can fail to fit.
            let _ = histogram.add(other);
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        if let Some(histogram) = &mut self.0 {
            histogram.reset();
        }
    }

    /// The duration that 95 of 100 do not exceed; none without durations.
    pub fn p95(&self) -> Option<Duration> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        Some(Duration::from_micros(histogram.value_at_quantile(0.95)))
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
}
