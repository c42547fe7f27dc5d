//! How long an endpoint is in force, and how its end is announced.
//!
//! A day begins at midnight in Brasília, three hours after UTC's (no daylight saving since 2019). Before the
//! day from which it is available and from the day on which it is retired, an endpoint does not exist. Both
//! announcements are made as soon as their day is known: `Deprecation` (RFC 9745) may lie ahead, `Sunset`
//! (RFC 8594) normally does.
//!
//! Source: OPIN policy of API versions 1.3.

use std::fmt::Display;

use http::HeaderValue;
use time::macros::format_description;
use time::{Date, UtcOffset};

use super::RouteError;
use crate::moment::Moment;
use crate::packs::OPIN;

/// By which clock the days of policies begin.
pub const DAY: UtcOffset = OPIN.day;

/// The days on which an endpoint begins to be available, deprecated and retired, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// From this day on it exists.
    pub available_from: Option<Date>,
    /// From this day on another version takes its place.
    pub deprecated_from: Option<Date>,
    /// From this day on it does not exist.
    pub retired_from: Option<Date>,
    /// Seconds since 1970 at which it begins to exist, and at which it ends.
    begins: Option<u64>,
    ends: Option<u64>,
    deprecation: Option<HeaderValue>,
    sunset: Option<HeaderValue>,
}

impl Lifetime {
    /// Takes the days: available, deprecated, retired.
    pub fn new([available_from, deprecated_from, retired_from]: [Option<Date>; 3]) -> Self {
        Self {
            available_from,
            deprecated_from,
            retired_from,
            begins: available_from.map(begin),
            ends: retired_from.map(begin),
            deprecation: deprecated_from.and_then(deprecation),
            sunset: retired_from.and_then(sunset),
        }
    }

    /// The days: available, deprecated, retired.
    pub fn days(&self) -> [Option<Date>; 3] {
        [self.available_from, self.deprecated_from, self.retired_from]
    }

    /// Requires that the endpoint exists now.
    ///
    /// # Errors
    ///
    /// [`RouteError::NotYetAvailable`] or [`RouteError::Retired`]: refusals, which a caller reads as a path
    /// that is not there.
    pub fn check(&self, now: Moment) -> Result<(), RouteError> {
        if self.begins.is_some_and(|begins| now.unix_seconds() < begins) {
            return Err(RouteError::NotYetAvailable);
        }
        if self.ends.is_some_and(|ends| now.unix_seconds() >= ends) {
            return Err(RouteError::Retired);
        }
        Ok(())
    }

    /// The Deprecation field (RFC 9745).
    pub fn deprecation(&self) -> Option<&HeaderValue> {
        self.deprecation.as_ref()
    }

    /// The Sunset field (RFC 8594).
    pub fn sunset(&self) -> Option<&HeaderValue> {
        self.sunset.as_ref()
    }
}

/// What is said of days that are not in their order, and the position of the later one of the two.
pub fn disorder<T: PartialOrd + Display>(days: &[Option<T>; 3]) -> Option<(usize, String)> {
    let [available, deprecated, retired] = days;
    for (at, (before, word), (after, what)) in [
        (1, (available, "available"), (deprecated, "deprecated")),
        (2, (deprecated, "deprecated"), (retired, "retired")),
        // Of three days the middle one may be unknown.
        (2, (available, "available"), (retired, "retired")),
    ] {
        if let (Some(first), Some(last)) = (before, after)
            && last < first
        {
            return Some((at, format!("{what} on {last}, before it is {word} on {first}")));
        }
    }
    None
}

/// Seconds since 1970 at which a day begins.
pub(super) fn begin(day: Date) -> u64 {
    let seconds = day.midnight().assume_offset(DAY).unix_timestamp();
    // A day before 1970 has begun in any case.
    u64::try_from(seconds).unwrap_or(0)
}

fn deprecation(day: Date) -> Option<HeaderValue> {
    // A date of structured fields (RFC 9651 section 3.3.7): digits behind a sign, which are always a value.
    HeaderValue::try_from(format!("@{}", begin(day))).ok()
}

fn sunset(day: Date) -> Option<HeaderValue> {
    let form = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    // An HTTP date is of GMT (RFC 9110 section 5.6.7), so that a Brazilian midnight is three in the morning.
    let midnight = day.midnight().assume_offset(DAY).to_offset(UtcOffset::UTC);
    HeaderValue::try_from(midnight.format(form).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use time::macros::date;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::ZERO, UNIX_EPOCH + Duration::from_secs(seconds))
    }

    #[test]
    fn an_endpoint_exists_from_midnight_to_midnight() {
        // 2026-03-01T03:00:00Z and 2026-09-01T03:00:00Z.
        let (begins, ends) = (1_772_334_000, 1_788_231_600);
        let days = [Some(date!(2026 - 03 - 01)), None, Some(date!(2026 - 09 - 01))];
        let lifetime = Lifetime::new(days);
        for (now, expected) in [
            (begins - 1, Err(RouteError::NotYetAvailable)),
            (begins, Ok(())),
            (ends - 1, Ok(())),
            (ends, Err(RouteError::Retired)),
            (ends + 1_000_000_000, Err(RouteError::Retired)),
        ] {
            assert_eq!(lifetime.check(at(now)), expected, "{now}");
        }
        assert_eq!(Lifetime::default().check(at(0)), Ok(()));
    }

    #[test]
    fn the_end_is_announced_in_the_form_of_the_standards() {
        let days = [None, Some(date!(2026 - 03 - 01)), Some(date!(2026 - 09 - 01))];
        let lifetime = Lifetime::new(days);
        assert_eq!(lifetime.deprecation().unwrap(), "@1772334000");
        assert_eq!(lifetime.sunset().unwrap(), "Tue, 01 Sep 2026 03:00:00 GMT");
        assert_eq!((Lifetime::default().deprecation(), Lifetime::default().sunset()), (None, None));
    }

    #[test]
    fn days_in_the_wrong_order_are_told() {
        assert_eq!(disorder(&[Some(1), Some(2), Some(3)]), None);
        assert_eq!(disorder(&[Some(1), Some(1), None]), None);
        let told = |days| disorder(&days).map(|(at, text)| format!("{at} {text}"));
        for (days, text) in [
            ([Some(2), Some(1), None], "1 deprecated on 1, before it is available on 2"),
            ([None, Some(3), Some(2)], "2 retired on 2, before it is deprecated on 3"),
            ([Some(3), None, Some(2)], "2 retired on 2, before it is available on 3"),
        ] {
            assert_eq!(told(days).as_deref(), Some(text));
        }
    }
}
