//! `limits.connections` and `limits.under_way`: how many there may be at a time.

use std::num::NonZeroU32;

use super::document::{Place, Table};
use crate::limits::Ceilings;
use crate::listener::descriptors::{self, RESERVE};
use crate::packs::OPIN;

/// Connections, where descriptors suffice for them.
const MOST_CONNECTIONS: u32 = 10_000;
/// Requests under way, where they do.
const MOST_UNDER_WAY: u32 = 4096;
/// Those of one caller: as many as the law admits in a minute, for they may all come at once.
const MOST_OF_ONE: u32 = OPIN.limits.address.requests.get();

/// Whoever keeps to its quota must never be refused for its number: it may send all of it at once.
pub(super) fn warn_below_quota(place: &Place, under_way: Ceilings, quota: u32) {
    let least = under_way.address.min(under_way.organisation);
    if least.get() < quota {
        place.warn(format!(
            "admits {least} requests of one caller at a time, and its quota {quota}, which may come at once: \
             those beyond the ceiling are refused (more descriptors, RLIMIT_NOFILE, make its default higher)"
        ));
    }
}

/// Reads both: a connection needs a descriptor, and so does a request, for its backend.
pub(super) fn read_ceilings(limits: Option<&Table<'_>>) -> (Ceilings, Ceilings) {
    let descriptors = descriptors::limit();
    let under_way = limits.and_then(|limits| limits.table("under_way"));
    // A quarter here and a half below: the rest is for logs, stores and the admin endpoint (decision 21).
    let under_way = read(under_way.as_ref(), MOST_UNDER_WAY.min(descriptors / 4), MOST_OF_ONE);
    let table = limits.and_then(|limits| limits.table("connections"));
    let most = MOST_CONNECTIONS.min(descriptors / 2);
    let mut connections = read(table.as_ref(), most, u32::MAX);
    let left = descriptors.saturating_sub(RESERVE).saturating_sub(under_way.total.get());
    let room = NonZeroU32::new(left).unwrap_or(NonZeroU32::MIN);
    let is_asked_for = table.as_ref().is_some_and(|table| table.has("total"));
    if connections.total > room {
        if let Some(table) = table.filter(|_| is_asked_for) {
            table.place("total").warn(format!(
                "is more than {descriptors} descriptors (RLIMIT_NOFILE) admit beside {} requests under way: {room} is the ceiling",
                under_way.total
            ));
        }
        connections.total = room;
    }
    (connections, under_way)
}

/// One caller may have a quarter, unless that is more than `of_one`.
fn read(table: Option<&Table<'_>>, total: u32, of_one: u32) -> Ceilings {
    let number = |key| {
        let read = table.and_then(|table| table.whole(key));
        read.and_then(|number| NonZeroU32::new(u32::try_from(number).ok()?))
    };
    let total = number("total").unwrap_or(NonZeroU32::new(total).unwrap_or(NonZeroU32::MIN));
    let share = NonZeroU32::new((total.get() / 4).min(of_one)).unwrap_or(NonZeroU32::MIN);
    Ceilings {
        total,
        address: number("per_address").unwrap_or(share),
        organisation: number("per_organisation").unwrap_or(share),
    }
}
