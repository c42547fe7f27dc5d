//! How long an endpoint is in force (OPIN policy of API versions).

use time::Date;

/// The days on which an endpoint begins to be deprecated and to be retired, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// From this day on another version takes its place.
    pub deprecated_from: Option<Date>,
    /// From this day on it does not exist.
    pub retired_from: Option<Date>,
}
