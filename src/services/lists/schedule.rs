//! When a distribution point is asked again: early enough for the next list to be here before this one
//! expires, and never all gateways at once.
//!
//! A function of times and a random number, so that a table can test it.

use std::time::Duration;

/// The first pause after a failure, in seconds; it doubles with each.
const FIRST_PAUSE: f64 = 10.0;
/// The longest pause after failures while a list holds.
const LONGEST_PAUSE: f64 = 900.0;
/// The same while none does, and clients may be refused for it.
const LONGEST_PAUSE_WITHOUT: f64 = 60.0;
/// So many seconds before a list expires, its point has been asked once more.
const LAST_MOMENT: f64 = 30.0;
const SHORTEST_PAUSE: f64 = 0.5;
/// Doublings after which any pause is at its longest.
const MOST_DOUBLINGS: u32 = 16;

/// How long to wait before the point is asked again. `next_update` is of the list in force, if there is one;
/// `failures` counts those since the last success; `random` lies between 0 and 1. Neither a success nor a
/// failure is followed by a longer pause than `refresh`.
pub fn pause(
    next_update: Option<i64>,
    now: i64,
    failures: u32,
    refresh: Duration,
    random: f64,
) -> Duration {
    let refresh = refresh.as_secs_f64();
    let left = next_update.map_or(0, |next_update| next_update.saturating_sub(now)).max(0) as f64;
    let wanted = match failures {
        // Half to four fifths of what is left: a failure leaves time for others before it expires.
        0 => (left * (0.5 + 0.3 * random)).min(refresh * (0.8 + 0.2 * random)),
        // Spread by half, so that gateways that failed together do not come back together.
        _ => back_off(failures, left > 0.0).min(refresh) * (0.5 + 0.5 * random),
    };
    let before_it_expires = left - LAST_MOMENT;
    let wanted = if before_it_expires > 0.0 { wanted.min(before_it_expires) } else { wanted };
    Duration::from_secs_f64(wanted.max(SHORTEST_PAUSE))
}

fn back_off(failures: u32, holds: bool) -> f64 {
    let doublings = failures.saturating_sub(1).min(MOST_DOUBLINGS);
    // While clients are refused, somebody is looking: a minute is what they should wait at most.
    let longest = if holds { LONGEST_PAUSE } else { LONGEST_PAUSE_WITHOUT };
    (FIRST_PAUSE * f64::from(1_u32 << doublings)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;
    const REFRESH: Duration = Duration::from_secs(3600);

    /// Seconds that the list still holds, failures, and the least and the longest pause in seconds.
    const TABLE: &[(Option<i64>, u32, f64, f64)] = &[
        // Success: 50 to 80 % of what is left, at most `refresh`.
        (Some(HOUR), 0, 1800.0, 2880.0),
        (Some(600), 0, 300.0, 480.0),
        (Some(24 * HOUR), 0, 2880.0, 3600.0),
        (Some(40), 0, 10.0, 10.0),
        (Some(20), 0, 10.0, 16.0),
        (Some(0), 0, 0.5, 0.5),
        (Some(i64::MAX), 0, 2880.0, 3600.0),
        // Failure: from 10 s, doubling, to 15 min.
        (Some(24 * HOUR), 1, 5.0, 10.0),
        (Some(24 * HOUR), 2, 10.0, 20.0),
        (Some(24 * HOUR), 5, 80.0, 160.0),
        (Some(24 * HOUR), 8, 450.0, 900.0),
        (Some(24 * HOUR), u32::MAX, 450.0, 900.0),
        // Failure while nothing holds: to 1 min.
        (None, 1, 5.0, 10.0),
        (None, 9, 30.0, 60.0),
        (Some(-HOUR), 9, 30.0, 60.0),
        (Some(i64::MIN), 9, 30.0, 60.0),
        // Not later than just before the list expires, while that is possible.
        (Some(300), 9, 270.0, 270.0),
        (Some(31), 9, 1.0, 1.0),
        (Some(30), 9, 450.0, 900.0),
    ];

    #[test]
    fn the_pause_follows_the_table() {
        for (left, failures, least, longest) in TABLE {
            let now = 1_800_000_000_i64;
            let next_update = left.map(|left| now.saturating_add(left));
            let at = |random| pause(next_update, now, *failures, REFRESH, random).as_secs_f64();
            for (random, expected) in [(0.0, least), (1.0, longest)] {
                let found = at(random);
                assert!((found - expected).abs() < 1e-6, "{left:?} {failures} {random}: {found}");
            }
            assert!((*least..=*longest).contains(&at(0.5)), "{left:?} {failures}");
        }
    }

    #[test]
    fn no_pause_is_longer_than_the_configured_refresh() {
        let refresh = Duration::from_secs(1);
        for failures in 0..20 {
            for next_update in [None, Some(0), Some(HOUR)] {
                let found = pause(next_update, 0, failures, refresh, 1.0);
                assert!(found <= refresh, "{failures} {next_update:?}: {found:?}");
            }
        }
    }
}
