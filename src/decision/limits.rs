//! The limits: is the caller within the traffic that the gateway must sustain?
//!
//! Takes the caller's address; gives a [`Ticket`], and a place among the requests under way ([`crowd`]). Refuses what exceeds the quota of the address, then
//! what exceeds the quota of all. The quotas are legal floors (OPIN non-functional requirements: 300
//! requests/s in total, 500 requests/min per address): a caller that stays within them in every window
//! is never refused. One address over its quota takes nothing from the others'.

pub mod crowd;
pub mod local;

use std::num::NonZeroU32;
use std::time::Duration;

use thiserror::Error;

pub use crowd::{Ceilings, Crowd, Crowded, HeldPlace, Whose};
pub use local::Limits;

/// So many requests in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Requests.
    pub requests: NonZeroU32,
    /// The window.
    pub per: Duration,
}

/// Whose quota it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// One source address.
    Address,
    /// All callers together.
    Everyone,
}

/// How a caller stands towards a quota: the x-rate-limit fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Requests that the quota admits.
    pub limit: u32,
    /// Requests left at this moment.
    pub remaining: u32,
    /// The window, in seconds.
    pub window_seconds: u64,
}

/// Leave to go on. Only [`Limits`] issues one.
///
/// ```compile_fail,E0451
/// use portaria_decision::limits::Ticket;
/// fn forge(ticket: Ticket) -> Ticket { Ticket { ..ticket } }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a ticket that nobody holds means that the limits were not applied"]
pub struct Ticket {
    standing: Standing,
}

impl Ticket {
    /// How the caller's address stands.
    pub fn standing(&self) -> Standing {
        self.standing
    }
}

/// The caller, or all callers together, exceed a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("over the quota of {}", match .holder { Holder::Address => "the address", Holder::Everyone => "everyone" })]
pub struct LimitExceeded {
    /// Whose quota.
    pub holder: Holder,
    /// How it stands.
    pub standing: Standing,
    /// When a request will be within it again.
    pub retry_after: Duration,
}
