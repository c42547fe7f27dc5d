//! The state of a consent, in the regulator's spelling (OPIN consents API, versions 2 and 3).

use std::fmt;

/// A state of the OPIN consent state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentStatus {
    /// Created, not yet confirmed by the customer.
    AwaitingAuthorisation,
    /// Confirmed: the one state in which data may be read and an initiation sent.
    Authorised,
    /// Refused, revoked or expired. Final.
    Rejected,
    /// Used up by an initiation that was answered 201 or 422. Final.
    Consumed,
}

impl ConsentStatus {
    /// Parses the regulator's spelling; anything else is no known state.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "AWAITING_AUTHORISATION" => Some(Self::AwaitingAuthorisation),
            "AUTHORISED" => Some(Self::Authorised),
            "REJECTED" => Some(Self::Rejected),
            "CONSUMED" => Some(Self::Consumed),
            _ => None,
        }
    }
}

impl fmt::Display for ConsentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AwaitingAuthorisation => "AWAITING_AUTHORISATION",
            Self::Authorised => "AUTHORISED",
            Self::Rejected => "REJECTED",
            Self::Consumed => "CONSUMED",
        })
    }
}
