//! Every way of saying no.
//!
//! Takes what a stage refused; gives the status, the closed-list code for logs and metrics, the public
//! text, the challenge. What belongs to a code is one row of a table ([`codes`]), the only place that knows status
//! codes. The matches here have no `_` arm: a new fact in a stage does not compile until it has a row.
//!
//! Sources: OPIN portal, response codes; gateway rules section 5; error schema of the OPIN
//! specifications; RFC 6750 section 3 (challenges), RFC 9110 section 15. "Cannot decide" (keys,
//! introspection or registry unavailable) is 503 with Retry-After, never 401 or 403.

#![deny(clippy::wildcard_enum_match_arm)]

mod body;
pub mod codes;
pub mod foreign;
mod rows;
mod text;

use http::{HeaderValue, StatusCode};
use thiserror::Error;

use crate::consent::{ConsentError, EventError, Lapse};
use crate::identity::IdentityError;
use crate::interaction::InteractionError;
use crate::limits::{Crowded, LimitExceeded, Standing};
use crate::moment::Moment;
use crate::parameters::ParameterError;
use crate::request::RequestError;
use crate::route::{ErrorForm, RouteError};
use crate::scope::ScopeError;
use crate::token::TokenError;
use crate::version::VersionError;
use codes::{ConnectionFate, Status};
pub use codes::{Fault, Row, Stage};
pub use text::Text;

/// Why the backend gave no answer that can be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UpstreamError {
    /// No connection to any server of the upstream.
    #[error("no server of the upstream can be reached")]
    Unreachable,
    /// No answer before the upstream's deadline.
    #[error("the upstream did not answer in time")]
    Timeout,
    /// The connection broke before the answer.
    #[error("the upstream broke the connection")]
    Broken,
    /// What came is not an HTTP answer to this request.
    #[error("the upstream's answer is malformed")]
    Malformed,
}

/// Why an operation is not carried out and not answered again, or why the gateway cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IdempotencyError {
    /// The key stands for another content.
    #[error("the idempotency key was used with another content")]
    OtherContent,
    /// The operation was carried out, and its answer was not kept.
    #[error("the operation was carried out, and its answer was not kept")]
    AnswerNotKept,
    /// The same operation is under way: cannot decide.
    #[error("the same operation is under way")]
    UnderWay,
    /// The store does not answer, or too much waits for it: cannot decide.
    #[error("the store of idempotent answers is not available")]
    Store,
}

/// A request that is not served, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "a variant is the stage that refused")]
pub enum Refusal {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Interaction(#[from] InteractionError),
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error(transparent)]
    Version(#[from] VersionError),
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    #[error(transparent)]
    Limits(#[from] LimitExceeded),
    #[error(transparent)]
    Crowded(#[from] Crowded),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Scope(#[from] ScopeError),
    #[error(transparent)]
    Consent(#[from] ConsentError),
    #[error(transparent)]
    Event(#[from] EventError),
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("a fault of the gateway itself")]
    Internal,
}

/// Seconds after which a caller may hope that an undecidable request can be decided.
const UNDECIDED_RETRY_SECONDS: u64 = 5;

impl Refusal {
    /// The row of the table of codes: all that its code says.
    pub fn row(&self) -> &'static Row {
        rows::of(self)
    }

    /// The code in logs and metrics.
    pub fn code(&self) -> &'static str {
        self.row().code
    }

    /// The stage that refused: log axis and metric label.
    pub fn stage(&self) -> Stage {
        self.row().stage
    }

    /// The status: the row's. A consent that has lapsed is a matter of policy, and gets the one that RFC 6750 section
    /// 3.1 gives the error which the policy takes it for.
    pub fn status(&self) -> StatusCode {
        match (self.row().status, self.lapse()) {
            (Status::Of(status), _) => status,
            (Status::OfLapse, Some(Lapse::InsufficientScope)) => StatusCode::FORBIDDEN,
            (Status::OfLapse, Some(Lapse::InvalidToken) | None) => StatusCode::UNAUTHORIZED,
        }
    }

    fn lapse(&self) -> Option<Lapse> {
        if let Self::Consent(
            ConsentError::NotAuthorised { lapse, .. } | ConsentError::Expired { lapse },
        ) = self
        {
            Some(*lapse)
        } else {
            None
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        self.row().fault()
    }

    /// The WWW-Authenticate field: on every 401 and on the 403 of the stages that judge the token's
    /// authority (RFC 6750 section 3). Without any credentials there is no error to name.
    pub fn challenge(&self) -> Option<HeaderValue> {
        if matches!(self, Self::Token(TokenError::Missing)) {
            return Some(HeaderValue::from_static("Bearer"));
        }
        match self.status() {
            StatusCode::UNAUTHORIZED => {
                Some(HeaderValue::from_static("Bearer error=\"invalid_token\""))
            }
            // 403 is what `scope` and `consent` answer, and nobody else.
            StatusCode::FORBIDDEN => {
                Some(HeaderValue::from_static("Bearer error=\"insufficient_scope\""))
            }
            _ => None,
        }
    }

    /// The Retry-After field, in whole seconds, at least 1.
    pub fn retry_after(&self) -> Option<u64> {
        if let Self::Limits(exceeded) = self {
            let whole = exceeded.retry_after.as_secs();
            // Upwards: who came a moment early would be refused once more.
            let up = u64::from(exceeded.retry_after.subsec_nanos() > 0);
            return Some((whole + up).max(1));
        }
        if matches!(self, Self::Crowded(_)) {
            return Some(Crowded::RETRY_AFTER.as_secs());
        }
        let status = self.status();
        (status == StatusCode::SERVICE_UNAVAILABLE).then_some(UNDECIDED_RETRY_SECONDS)
    }

    /// The Allow field of a 405.
    pub fn allow(&self) -> Option<&HeaderValue> {
        self.other_methods().map(|(allow, _)| allow)
    }

    /// The form of the body where the request means no route: that of its path, if it has one.
    pub fn error_form(&self) -> ErrorForm {
        self.other_methods().map_or(ErrorForm::Common, |(_, errors)| errors)
    }

    /// Of a path without such a method: the methods that it has, and the form of its errors.
    fn other_methods(&self) -> Option<(&HeaderValue, ErrorForm)> {
        match self {
            Self::Route(RouteError::Method { allow, errors, .. }) => Some((allow, *errors)),
            Self::Request(_)
            | Self::Identity(_)
            | Self::Interaction(_)
            | Self::Route(
                RouteError::NotFound | RouteError::NotYetAvailable | RouteError::Retired,
            )
            | Self::Version(_)
            | Self::Parameter(_)
            | Self::Limits(_)
            | Self::Crowded(_)
            | Self::Token(_)
            | Self::Scope(_)
            | Self::Consent(_)
            | Self::Event(_)
            | Self::Idempotency(_)
            | Self::Upstream(_)
            | Self::Internal => None,
        }
    }

    /// The standing towards the quota that was exceeded.
    pub fn standing(&self) -> Option<Standing> {
        if let Self::Limits(exceeded) = self { Some(exceeded.standing) } else { None }
    }

    /// Whether the connection must not carry another request.
    pub fn ends_connection(&self) -> bool {
        self.row().connection == ConnectionFate::Ends
    }

    /// The error body in a form of OPIN's, `application/json; charset=utf-8`.
    pub fn body(&self, form: ErrorForm, now: Moment) -> Vec<u8> {
        let subject = if let Self::Parameter(error) = self { error.name() } else { None };
        body::write(self.status(), self.row().text, subject, form, now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ask::RemoteError;
    use crate::limits::Holder;

    #[test]
    fn undecidable_is_never_the_callers_fault() {
        for refusal in [
            Refusal::Token(TokenError::NoKeys),
            Refusal::Token(TokenError::Introspection(RemoteError::Timeout)),
            Refusal::Consent(ConsentError::Registry(RemoteError::Malformed)),
            Refusal::Consent(ConsentError::NoRegistry),
            Refusal::Idempotency(IdempotencyError::UnderWay),
            Refusal::Idempotency(IdempotencyError::Store),
        ] {
            assert_eq!(refusal.status(), StatusCode::SERVICE_UNAVAILABLE, "{refusal}");
            assert!(refusal.retry_after().is_some_and(|seconds| seconds >= 1), "{refusal}");
            assert_eq!(refusal.challenge(), None, "{refusal}");
            assert_eq!(refusal.fault(), Fault::Gateway, "{refusal}");
        }
    }

    #[test]
    fn retry_after_is_rounded_up_and_never_zero() {
        let standing = Standing { limit: 1, remaining: 0, window_seconds: 1 };
        let after = |milliseconds| {
            let retry_after = Duration::from_millis(milliseconds);
            Refusal::Limits(LimitExceeded { holder: Holder::Address, standing, retry_after })
                .retry_after()
        };
        assert_eq!(
            [after(0), after(1), after(1000), after(1001)],
            [Some(1), Some(1), Some(1), Some(2)]
        );
    }

    #[test]
    fn challenges_follow_rfc_6750() {
        let challenge =
            |refusal: Refusal| refusal.challenge().map(|c| c.to_str().unwrap().to_owned());
        let named = |error: &str| Some(format!("Bearer error=\"{error}\""));
        assert_eq!(challenge(TokenError::Missing.into()).as_deref(), Some("Bearer"));
        assert_eq!(challenge(TokenError::Expired.into()), named("invalid_token"));
        assert_eq!(challenge(ScopeError::Insufficient.into()), named("insufficient_scope"));
        assert_eq!(challenge(RouteError::NotFound.into()), None);
    }
}
