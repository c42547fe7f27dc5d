//! Which exchanges the response time is told of.
//!
//! An exchange counts if somebody who may ask was owed an answer. So a request over the limits does not, nor one
//! that was never whole, nor one that was refused for its form or because nobody in particular sent it: whoever wants
//! to could make thousands of them, each faster than any answer. What the gateway or the backend could not do
//! counts, whoever asked. See docs/decisions/0020-callers-do-not-move-the-p95.md for the texts.

use super::{Outcome, Sample};
use crate::refusal::Refusal;
use crate::refusal::codes::InTime;

/// How an exchange counts in the response-time statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// With its time.
    Whole,
    /// The caller did not await the end: with the time that it waited, at least.
    GivenUp,
    /// Not at all.
    Apart,
}

impl Share {
    /// How an exchange counts.
    pub(super) fn of(sample: &Sample<'_>) -> Self {
        match sample.outcome {
            Outcome::Answered | Outcome::Replayed | Outcome::Interrupted => Self::Whole,
            Outcome::OverLimit => Self::Apart,
            Outcome::Refused
                if sample.refused.is_none_or(|refused| is_answer(&refused.refusal)) =>
            {
                Self::Whole
            }
            // Only of a whole request: who holds the rest of one back could make times as long as it likes.
            Outcome::ClientAbort if sample.is_whole => Self::GivenUp,
            Outcome::Refused | Outcome::ClientAbort => Self::Apart,
        }
    }
}

/// Whether a refusal answers somebody who may ask.
fn is_answer(refusal: &Refusal) -> bool {
    refusal.row().in_time == InTime::Counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::ConsentError;
    use crate::identity::IdentityError;
    use crate::interaction::InteractionError;
    use crate::parameters::ParameterError;
    use crate::refusal::UpstreamError;
    use crate::request::RequestError;
    use crate::token::TokenError;

    #[test]
    fn form_and_strangers_are_no_answers_and_faults_of_ours_are() {
        let apart: [Refusal; 5] = [
            RequestError::Line.into(),
            RequestError::BodyTimeout.into(),
            IdentityError::Absent.into(),
            InteractionError::Missing.into(),
            ParameterError::Unknown.into(),
        ];
        assert!(!apart.iter().any(is_answer));
        let answers: [Refusal; 5] = [
            TokenError::Expired.into(),
            TokenError::NoKeys.into(),
            ConsentError::Permission.into(),
            UpstreamError::Timeout.into(),
            Refusal::Internal,
        ];
        assert!(answers.iter().all(is_answer));
    }
}
