//! The days on which something of a route begins or ends, and how they are told.

use std::time::{Duration, SystemTime};

use time::{Date, OffsetDateTime};

use crate::moment::Moment;
use crate::route::Route;
use crate::route::lifetime::DAY;

/// Now, and the midnights to come at which one of two rules changes.
pub(super) struct Instants(Vec<OffsetDateTime>);

impl Instants {
    pub(super) fn of(now: OffsetDateTime, both: [&Route; 2]) -> Self {
        let coming = midnights(both).into_iter().filter(|midnight| *midnight > now);
        Self(std::iter::once(now).chain(coming).collect())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = OffsetDateTime> {
        self.0.iter().copied()
    }

    /// `until 2026-12-31 and from 2027-03-01 on`: the days of which these are the beginnings.
    pub(super) fn told(&self, these: &[OffsetDateTime]) -> String {
        let mut told: Vec<String> = Vec::new();
        let mut begin = None;
        for (at, instant) in self.0.iter().enumerate() {
            let is_last = at + 1 == self.0.len();
            match (these.contains(instant), begin) {
                (true, None) => begin = Some(at),
                (false, Some(began)) => {
                    told.push(self.span(began, Some(*instant)));
                    begin = None;
                }
                _ => {}
            }
            if let Some(began) = begin.filter(|_| is_last) {
                told.push(self.span(began, None));
            }
        }
        told.join(" and ")
    }

    /// The first of the instants is now.
    fn span(&self, began: usize, ends: Option<OffsetDateTime>) -> String {
        let began = self.0.get(began).filter(|_| began > 0).map(|at| day(*at));
        match (began, ends.map(day)) {
            (None, None) => "from now on".to_owned(),
            (None, Some(ends)) => format!("until {ends}"),
            (Some(began), None) => format!("from {began} on"),
            (Some(began), Some(ends)) => format!("from {began} until {ends}"),
        }
    }
}

/// The midnights at which one of two rules changes, in their order.
pub(super) fn midnights(both: [&Route; 2]) -> Vec<OffsetDateTime> {
    let days = both.iter().flat_map(|route| {
        route.bounds.lifetime.days().into_iter().chain([route.bounds.shadow.until()]).flatten()
    });
    let mut midnights: Vec<OffsetDateTime> = days.map(midnight).collect();
    midnights.sort();
    midnights.dedup();
    midnights
}

fn midnight(day: Date) -> OffsetDateTime {
    day.midnight().assume_offset(DAY)
}

fn day(midnight: OffsetDateTime) -> Date {
    midnight.to_offset(DAY).date()
}

/// A time as the gateway judges it.
pub(super) fn moment(at: OffsetDateTime) -> Moment {
    Moment::at(Duration::ZERO, SystemTime::from(at))
}
