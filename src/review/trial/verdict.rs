//! What becomes of a request: what a case expects, and what the gateway says.

use std::fmt;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrialVerdict {
    /// It reaches the backend.
    Allow,
    /// It is refused.
    Refuse {
        /// With this status.
        status: u16,
        /// And this code in logs and metrics.
        code: String,
    },
    /// There is no connection: the certificate does not get through the handshake.
    NoHandshake {
        /// As `portaria cert verify` names it.
        reason: String,
    },
}

/// What a case may expect.
pub(super) const ACCEPTED: &str =
    "\"allow\", a refusal such as \"403 scope_insufficient\", or \"handshake expired\"";

impl TrialVerdict {
    /// The code of a refusal, or why there is no connection.
    pub(in crate::review) fn code(&self) -> Option<&str> {
        match self {
            Self::Allow => None,
            Self::Refuse { code, .. } => Some(code),
            Self::NoHandshake { reason } => Some(reason),
        }
    }

    /// Parses what is displayed.
    pub fn parse(text: &str) -> Option<Self> {
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        };
        match text.split_once(' ') {
            None if text == "allow" => Some(Self::Allow),
            Some(("handshake", reason)) if is_word(reason) => {
                Some(Self::NoHandshake { reason: reason.to_owned() })
            }
            Some((status, code)) if is_word(code) && status.len() == 3 => {
                Some(Self::Refuse { status: status.parse().ok()?, code: code.to_owned() })
            }
            _ => None,
        }
    }
}

impl fmt::Display for TrialVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => f.write_str("allow"),
            Self::Refuse { status, code } => write!(f, "{status} {code}"),
            Self::NoHandshake { reason } => write!(f, "handshake {reason}"),
        }
    }
}
