//! The state of a consent, in the regulator's spelling (OPIN consents API, versions 2 and 3; Open
//! Finance Brasil consents API).

use std::fmt;

/// A state of the consent state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentStatus {
    /// Created, not yet confirmed by the customer.
    AwaitingAuthorisation,
    /// Confirmed: the one state in which data may be read and an initiation sent.
    Authorised,
    /// Refused, revoked or expired. Final.
    Rejected,
    /// Used up by an initiation. Final, and unknown to Open Finance Brasil.
    Consumed,
}

/// The states that an ecosystem knows. One that it does not know is not understood, whatever it may mean
/// elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct States {
    /// Whether there is CONSUMED.
    pub consumed: bool,
}

impl States {
    /// Parses the regulator's spelling; anything else is no known state.
    pub fn parse(self, text: &str) -> Option<ConsentStatus> {
        match text {
            "AWAITING_AUTHORISATION" => Some(ConsentStatus::AwaitingAuthorisation),
            "AUTHORISED" => Some(ConsentStatus::Authorised),
            "REJECTED" => Some(ConsentStatus::Rejected),
            "CONSUMED" if self.consumed => Some(ConsentStatus::Consumed),
            _ => None,
        }
    }
}

impl ConsentStatus {
    /// Whether it may still become AUTHORISED.
    pub fn is_pending(self) -> bool {
        match self {
            Self::AwaitingAuthorisation => true,
            Self::Authorised | Self::Rejected | Self::Consumed => false,
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
