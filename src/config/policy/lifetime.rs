//! When an API is deprecated and when it is retired, as a policy says it.

use time::Date;
use time::macros::format_description;

use crate::config::document::{Located, Table};
use crate::route::Lifetime;

const DAY: &str = "a day such as \"2026-12-31\"";

/// The days that a table names. What it leaves out is as the file has it.
pub(super) fn read_lifetime(table: &Table<'_>, of_file: Lifetime) -> Lifetime {
    let deprecated = table.parsed("deprecated_from", DAY, day);
    let retired = table.parsed("retired_from", DAY, day);
    let from =
        |day: &Option<Located<Date>>, otherwise| day.as_ref().map(|day| day.value).or(otherwise);
    let lifetime = Lifetime {
        deprecated_from: from(&deprecated, of_file.deprecated_from),
        retired_from: from(&retired, of_file.retired_from),
    };
    if let (Some(first), Some(last)) = (lifetime.deprecated_from, lifetime.retired_from)
        && last < first
        && let Some(later) = retired.or(deprecated)
    {
        let text = format!("retired on {last}, before it is deprecated on {first}");
        later.place.reject(format!("{text}, accepted: days in their order"));
    }
    lifetime
}

fn day(text: &str) -> Option<Date> {
    Date::parse(text, format_description!("[year]-[month]-[day]")).ok()
}
