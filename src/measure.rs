//! Response time, the regulator's way.
//!
//! The clock runs from the moment at which a request's head is whole to the last byte of the answer, as near to the
//! caller as the gateway stands, and stands still while the caller has to send or to take ([`clock`]). Every
//! exchange ends in exactly one [`Sample`]. Which of them the statistics are told of is [`population`]'s to say; what
//! a caller did not await counts with what it waited at least ([`quantile`]).
//!
//! Source: OPIN non-functional requirements (p95 per day and class: 1000, 1500, 4000 ms). The day is
//! that of UTC: no official text names a zone.

pub mod clock;
pub mod population;
pub mod quantile;
pub mod day;

use std::net::IpAddr;
use std::time::Duration;

use http::{Method, StatusCode, Version};
use parking_lot::Mutex;

use crate::admission::{Explanation, Refused};
use crate::identity::Participant;
use crate::interaction::InteractionId;
use crate::moment::Moment;
use crate::route::{PriorityClass, Route};
use crate::scope::ConsentId;
use crate::token::ClientId;
pub use clock::{Clock, Times};
use day::Windows;
pub use population::Share;

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The backend's answer was passed on whole.
    Answered,
    /// The answer of an earlier request was given again.
    Replayed,
    /// The gateway refused, within the limits.
    Refused,
    /// The gateway refused because a quota was exceeded.
    OverLimit,
    /// The client went away before its answer was complete.
    ClientAbort,
    /// The backend's answer broke off after its head was passed on.
    Interrupted,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 6] = [
        Self::Answered,
        Self::Replayed,
        Self::Refused,
        Self::OverLimit,
        Self::ClientAbort,
        Self::Interrupted,
    ];

    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Replayed => "replayed",
            Self::Refused => "refused",
            Self::OverLimit => "over_limit",
            Self::ClientAbort => "client_abort",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What is reported of one exchange.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the fields are facts that their types and names state")]
pub struct Sample<'a> {
    pub arrived: Moment,
    pub ended: Moment,
    pub listener: &'a str,
    pub address: IpAddr,
    pub version: Version,
    pub method: &'a Method,
    pub route: Option<&'a Route>,
    pub status: Option<StatusCode>,
    pub outcome: Outcome,
    pub refused: Option<&'a Refused>,
    /// What the route's rules would have refused, were they enforced.
    pub would_refuse: Option<&'a Refused>,
    /// What the refusal was held against.
    pub explanation: Option<&'a Explanation>,
    /// Whose time it was.
    pub times: Times,
    /// Whether the whole request was here.
    pub is_whole: bool,
    pub upstream: Option<&'a str>,
    pub interaction: &'a InteractionId,
    pub participant: Option<&'a Participant>,
    pub client_id: Option<&'a ClientId>,
    pub consent: Option<&'a ConsentId>,
}

impl Sample<'_> {
    /// How it counts in the response-time statistics.
    pub fn share(&self) -> Share {
        Share::of(self)
    }
}

/// Where samples go.
pub trait Sink: Send + Sync {
    /// Takes the one sample of an exchange.
    fn take(&self, sample: &Sample<'_>);
}

/// Counts the exchanges of one route.
pub trait Meter: Send + Sync {
    /// Counts one.
    fn note(&self, sample: &Sample<'_>);
}

/// The p95 of a class over two windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percentiles {
    /// Since midnight UTC.
    pub day: Option<Duration>,
    /// Over the last minute.
    pub minute: Option<Duration>,
}

/// Response times by priority class.
pub struct ResponseTimes([Mutex<Windows>; PriorityClass::ALL.len()]);

impl ResponseTimes {
    /// Empty windows.
    pub fn new() -> Self {
        Self(PriorityClass::ALL.map(|_| Mutex::new(Windows::new())))
    }

    /// Counts an exchange, if it is one that counts.
    pub fn note(&self, sample: &Sample<'_>) {
        let Some(route) = sample.route else { return };
        let (share, response) = (sample.share(), sample.times.response);
        if share != Share::Apart {
            // The lock is held for an increment: tens of nanoseconds.
            self.windows(route.published.class).lock().record(response, share, sample.ended);
        }
    }

    /// The p95 of a class.
    pub fn p95(&self, class: PriorityClass, now: Moment) -> Percentiles {
        self.windows(class).lock().p95(now)
    }

    fn windows(&self, class: PriorityClass) -> &Mutex<Windows> {
        let [high, medium, admin] = &self.0;
        match class {
            PriorityClass::High => high,
            PriorityClass::Medium => medium,
            PriorityClass::Admin => admin,
        }
    }
}

impl Default for ResponseTimes {
    fn default() -> Self {
        Self::new()
    }
}
