//! The state of a consent, in the regulator's spelling (OPIN consents API, versions 2 and 3; Open
//! Finance Brasil consents and enrollments APIs).

use std::fmt;

use crate::scope::ConsentKind;

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
    /// An enrollment whose device sent no risk signals yet.
    AwaitingRiskSignals,
    /// An enrollment that its customer has not confirmed yet.
    AwaitingAccountHolderValidation,
    /// An enrollment whose device is not registered yet.
    AwaitingEnrollment,
    /// An enrollment that was in force and no longer is. Final.
    Revoked,
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
    pub fn parse(self, kind: ConsentKind, text: &str) -> Option<ConsentStatus> {
        use ConsentStatus as S;
        match (kind, text) {
            (_, "AUTHORISED") => Some(S::Authorised),
            (_, "REJECTED") => Some(S::Rejected),
            (ConsentKind::Consent, "AWAITING_AUTHORISATION") => Some(S::AwaitingAuthorisation),
            (ConsentKind::Consent, "CONSUMED") if self.consumed => Some(S::Consumed),
            (ConsentKind::Enrollment, "AWAITING_RISK_SIGNALS") => Some(S::AwaitingRiskSignals),
            (ConsentKind::Enrollment, "AWAITING_ACCOUNT_HOLDER_VALIDATION") => {
                Some(S::AwaitingAccountHolderValidation)
            }
            (ConsentKind::Enrollment, "AWAITING_ENROLLMENT") => Some(S::AwaitingEnrollment),
            (ConsentKind::Enrollment, "REVOKED") => Some(S::Revoked),
            (ConsentKind::Consent | ConsentKind::Enrollment, _) => None,
        }
    }
}

impl ConsentStatus {
    /// Whether it may still become AUTHORISED.
    pub fn is_pending(self) -> bool {
        match self {
            Self::AwaitingAuthorisation
            | Self::AwaitingRiskSignals
            | Self::AwaitingAccountHolderValidation
            | Self::AwaitingEnrollment => true,
            Self::Authorised | Self::Rejected | Self::Consumed | Self::Revoked => false,
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
            Self::AwaitingRiskSignals => "AWAITING_RISK_SIGNALS",
            Self::AwaitingAccountHolderValidation => "AWAITING_ACCOUNT_HOLDER_VALIDATION",
            Self::AwaitingEnrollment => "AWAITING_ENROLLMENT",
            Self::Revoked => "REVOKED",
        })
    }
}
