//! Every way of saying no.
//!
//! Takes what a stage refused; gives the status, the closed-list code for logs and metrics, the public
//! text, the challenge. This is the only place that knows a status code, and its matches have no `_`
//! arm: a new fact in a stage does not compile until it has an answer here.
//!
//! Sources: OPIN portal, response codes; gateway rules section 5; error schema of the OPIN
//! specifications; RFC 6750 section 3 (challenges), RFC 9110 section 15. "Cannot decide" (keys,
//! introspection or registry unavailable) is 503 with Retry-After, never 401 or 403.

#![deny(clippy::wildcard_enum_match_arm)]

mod body;
pub mod foreign;
mod text;
mod verdict;

use std::num::NonZeroU32;

use http::{HeaderValue, StatusCode};
use thiserror::Error;

use crate::consent::{ConsentError, EventError};
use crate::idempotency::IdempotencyError;
use crate::identity::IdentityError;
use crate::interaction::InteractionError;
use crate::limits::{Crowded, LimitExceeded, Standing, Whose};
use crate::moment::Moment;
use crate::parameters::ParameterError;
use crate::remote::RemoteError;
use crate::request::RequestError;
use crate::route::{ErrorForm, RouteError};
use crate::scope::ScopeError;
use crate::token::TokenError;
use crate::version::VersionError;
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

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller's.
    Client,
    /// The gateway's, or that of a service that it asks.
    Gateway,
    /// The backend's.
    Upstream,
}

impl Fault {
    /// The name in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::Upstream => "upstream",
        }
    }
}

/// The fixed part of the answer to a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The status.
    pub status: StatusCode,
    /// The code in logs and metrics: stage, underscore, cause.
    pub code: &'static str,
    /// What the caller reads.
    pub text: Text,
}

/// Seconds after which a caller may hope that an undecidable request can be decided.
const UNDECIDED_RETRY_SECONDS: u64 = 5;

impl Refusal {
    /// One of each kind that is no caller's fault, for whoever counts them from the start.
    pub fn own_faults() -> Vec<Self> {
        let remote = RemoteError::Timeout;
        let upstream = [
            UpstreamError::Unreachable,
            UpstreamError::Timeout,
            UpstreamError::Broken,
            UpstreamError::Malformed,
        ];
        let mut faults = vec![
            Self::Token(TokenError::NoKeys),
            Self::Token(TokenError::Introspection(remote)),
            Self::Consent(ConsentError::Registry(remote)),
            Self::Consent(ConsentError::NoRegistry),
            Self::Event(EventError::TooMany),
            Self::Idempotency(IdempotencyError::UnderWay),
            Self::Idempotency(IdempotencyError::Store),
            Self::Crowded(Crowded { whose: Whose::Everyone, ceiling: NonZeroU32::MIN }),
            Self::Internal,
        ];
        faults.extend(upstream.map(Self::Upstream));
        faults
    }

    /// The stage that refused: log axis and metric label.
    pub fn stage(&self) -> &'static str {
        match self {
            Self::Request(_) => "request",
            Self::Identity(_) => "identity",
            Self::Interaction(_) => "interaction",
            Self::Route(_) => "route",
            Self::Version(_) => "version",
            Self::Parameter(_) => "parameters",
            Self::Limits(_) | Self::Crowded(_) => "limits",
            Self::Token(_) => "token",
            Self::Scope(_) => "scope",
            Self::Consent(_) | Self::Event(_) => "consent",
            Self::Idempotency(_) => "idempotency",
            Self::Upstream(_) => "upstream",
            Self::Internal => "gateway",
        }
    }

    /// Status, code and text.
    pub fn verdict(&self) -> Verdict {
        let (status, code, text) = match self {
            Self::Request(error) => verdict::of_request(*error),
            Self::Identity(error) => verdict::of_identity(error),
            Self::Interaction(error) => verdict::of_interaction(*error),
            Self::Route(error) => verdict::of_route(error),
            Self::Version(error) => verdict::of_version(*error),
            Self::Parameter(error) => verdict::of_parameter(error),
            Self::Limits(error) => verdict::of_limits(error),
            Self::Crowded(error) => verdict::of_crowded(*error),
            Self::Token(error) => verdict::of_token(*error),
            Self::Scope(error) => verdict::of_scope(*error),
            Self::Consent(error) => verdict::of_consent(*error),
            Self::Event(error) => verdict::of_event(*error),
            Self::Idempotency(error) => verdict::of_idempotency(*error),
            Self::Upstream(error) => verdict::of_upstream(*error),
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "gateway_internal", text::INTERNAL)
            }
        };
        Verdict { status, code, text }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Upstream(_) => Fault::Upstream,
            Self::Internal => Fault::Gateway,
            Self::Request(_)
            | Self::Identity(_)
            | Self::Interaction(_)
            | Self::Route(_)
            | Self::Version(_)
            | Self::Parameter(_)
            | Self::Limits(_)
            | Self::Crowded(_)
            | Self::Token(_)
            | Self::Scope(_)
            | Self::Consent(_)
            | Self::Event(_)
            | Self::Idempotency(_) => {
                if self.verdict().status.is_server_error() {
                    Fault::Gateway
                } else {
                    Fault::Client
                }
            }
        }
    }

    /// The WWW-Authenticate field: on every 401 and on the 403 of the stages that judge the token's
    /// authority (RFC 6750 section 3). Without any credentials there is no error to name.
    pub fn challenge(&self) -> Option<HeaderValue> {
        if matches!(self, Self::Token(TokenError::Missing)) {
            return Some(HeaderValue::from_static("Bearer"));
        }
        match self.verdict().status {
            StatusCode::UNAUTHORIZED => {
                Some(HeaderValue::from_static("Bearer error=\"invalid_token\""))
            }
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
            let up = u64::from(exceeded.retry_after.subsec_nanos() > 0);
            return Some((whole + up).max(1));
        }
        if matches!(self, Self::Crowded(_)) {
            return Some(Crowded::RETRY_AFTER.as_secs());
        }
        let status = self.verdict().status;
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

    /// Whether the connection must not carry another request: its framing is in doubt, or its
    /// certificate is no longer valid.
    pub fn ends_connection(&self) -> bool {
        match self {
            Self::Request(error) => !matches!(
                error,
                RequestError::NotAcceptable
                    | RequestError::UnsupportedMedia
                    | RequestError::IdempotencyKeyMissing
                    | RequestError::IdempotencyKeyMalformed
            ),
            Self::Identity(_) | Self::Internal => true,
            Self::Interaction(_)
            | Self::Route(_)
            | Self::Version(_)
            | Self::Parameter(_)
            | Self::Limits(_)
            | Self::Crowded(_)
            | Self::Token(_)
            | Self::Scope(_)
            | Self::Consent(_)
            | Self::Event(_)
            | Self::Idempotency(_)
            | Self::Upstream(_) => false,
        }
    }

    /// The error body in a form of OPIN's, `application/json; charset=utf-8`.
    pub fn body(&self, form: ErrorForm, now: Moment) -> Vec<u8> {
        let Verdict { status, text, .. } = self.verdict();
        let subject = if let Self::Parameter(error) = self { error.name() } else { None };
        body::write(status, text, subject, form, now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
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
            assert_eq!(refusal.verdict().status, StatusCode::SERVICE_UNAVAILABLE, "{refusal}");
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
