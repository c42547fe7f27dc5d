//! From when an API is available, when it is deprecated and when it is retired, and until when what its rules
//! refuse goes on, as a policy says it.

use time::Date;
use time::macros::format_description;

use crate::config::document::{Located, Table};
use crate::route::lifetime::disorder;
use crate::route::{Lifetime, ShadowMode};

const DAY: &str = "a day such as \"2026-12-31\"";

/// The days that a table names. What it leaves out is as the file has it.
pub(super) fn read_lifetime(table: &Table<'_>, of_file: &Lifetime) -> Lifetime {
    let here = ["available_from", "deprecated_from", "retired_from"]
        .map(|key| table.parsed(key, DAY, day));
    let mut days = of_file.days();
    for (day, here) in days.iter_mut().zip(&here) {
        *day = here.as_ref().map(|day| day.value).or(*day);
    }
    if let Some((later, text)) = disorder(&days)
        && let Some(place) = place_of(&here, later)
    {
        place.reject(format!("{text}, accepted: days in their order"));
        return of_file.clone();
    }
    Lifetime::new(days)
}

/// The place of the later day, or of the last one that the table names before it.
fn place_of(
    here: &[Option<Located<Date>>; 3],
    later: usize,
) -> Option<&crate::config::document::Place> {
    here.iter().take(later + 1).rev().flatten().next().map(|day| &day.place)
}

/// Until when what the rules refuse goes on. What a table leaves out is as the file has it.
pub(super) fn read_shadow(table: &Table<'_>, of_file: ShadowMode) -> ShadowMode {
    let Some(until) = table.parsed("shadow_until", DAY, day) else {
        return of_file;
    };
    let told = until.value;
    let text = "what these rules refuse goes on to the backend; from that day on they are enforced";
    // At every load: a rule on trial looks, in every review, like a rule that holds (decision 11).
    until.place.warn(format!("before {told}, {text}"));
    ShadowMode::new(Some(told))
}

fn day(text: &str) -> Option<Date> {
    Date::parse(text, format_description!("[year]-[month]-[day]")).ok()
}
