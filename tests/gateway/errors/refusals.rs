//! One refusal of every code.

use std::num::NonZeroU32;
use std::time::Duration;

use http::HeaderValue;
use portaria::ask::RemoteError;
use portaria::consent::{ConsentError, ConsentStatus, EventError, Lapse};
use portaria::idempotency::IdempotencyError;
use portaria::identity::{IdentityError, PathReason, Rule};
use portaria::interaction::{Form, InteractionError};
use portaria::limits::{Crowded, Holder, LimitExceeded, Standing, Whose};
use portaria::parameters::ParameterError;
use portaria::refusal::{Refusal, UpstreamError};
use portaria::request::{RequestError, TargetError};
use portaria::route::{ErrorForm, RouteError};
use portaria::scope::ScopeError;
use portaria::token::TokenError;
use portaria::version::VersionError;

/// All of them. That none is missing is tested.
pub(super) fn all() -> Vec<Refusal> {
    let mut all = of_requests();
    all.extend(of_tokens());
    all.extend(of_others());
    all
}

fn of_requests() -> Vec<Refusal> {
    use RequestError as E;
    let errors = [
        E::Line,
        E::RequestLine,
        E::Folded,
        E::FieldName,
        E::HeadTooLarge,
        E::TooManyFields,
        E::HeadTimeout,
        E::Length,
        E::TransferCoding,
        E::Lookalike,
        E::Chunk,
        E::Host,
        E::Misdirected,
        E::Target(TargetError::DotSegment),
        E::Upgrade,
        E::Expectation,
        E::NotAcceptable,
        E::UnsupportedMedia,
        E::BodyTooLarge,
        E::LengthRequired,
        E::BodyTimeout,
        E::BodyIncomplete,
        E::JsonMalformed,
        E::JsonDepth,
        E::JsonMembers,
        E::JsonRepeated,
        E::RepeatedToken,
        E::IdempotencyKeyMissing,
        E::IdempotencyKeyMalformed,
    ];
    errors.into_iter().map(Refusal::from).collect()
}

fn of_tokens() -> Vec<Refusal> {
    use TokenError as E;
    let errors = [
        E::Missing,
        E::Repeated,
        E::Scheme,
        E::Malformed,
        E::TooLong,
        E::Header,
        E::Type,
        E::Algorithm,
        E::UnknownKey,
        E::Signature,
        E::Claims,
        E::Issuer,
        E::Audience,
        E::Expired,
        E::NotYetValid,
        E::Lifetime,
        E::Inactive,
        E::Revoked,
        E::Unbound,
        E::OtherCertificate,
        E::OtherParticipant,
        E::Grant,
        E::Unsupported,
        E::NoKeys,
        E::Introspection(RemoteError::Timeout),
    ];
    errors.into_iter().map(Refusal::from).collect()
}

fn of_others() -> Vec<Refusal> {
    let standing = Standing { limit: 1, remaining: 0, window_seconds: 1 };
    let limit = |holder| LimitExceeded { holder, standing, retry_after: Duration::from_secs(1) };
    let crowded = |whose| Crowded { whose, ceiling: NonZeroU32::MIN };
    let (allow, errors) = (HeaderValue::from_static("GET"), ErrorForm::Common);
    let (status, lapse, other) =
        (ConsentStatus::Rejected, Lapse::InvalidToken, Lapse::InsufficientScope);
    vec![
        RouteError::NotFound.into(),
        RouteError::NotYetAvailable.into(),
        RouteError::Retired.into(),
        ParameterError::Path("policyId".into()).into(),
        ParameterError::Bounds("page-size".into()).into(),
        ParameterError::Value("period".into()).into(),
        ParameterError::Repeated("page".into()).into(),
        ParameterError::Unknown.into(),
        VersionError::Malformed.into(),
        VersionError::Unsupported.into(),
        RouteError::Method { allow, errors, form: Form::Uuid }.into(),
        limit(Holder::Address).into(),
        limit(Holder::Everyone).into(),
        crowded(Whose::Address).into(),
        crowded(Whose::Organisation).into(),
        crowded(Whose::Everyone).into(),
        IdentityError::Unreadable.into(),
        IdentityError::Organisation.into(),
        IdentityError::SoftwareStatement.into(),
        IdentityError::Profile(Rule::ALL[0]).into(),
        IdentityError::Expired.into(),
        IdentityError::Untrusted(PathReason::Malformed).into(),
        IdentityError::Absent.into(),
        InteractionError::Missing.into(),
        InteractionError::Malformed.into(),
        InteractionError::Repeated.into(),
        InteractionError::Attempt.into(),
        ScopeError::Insufficient.into(),
        ConsentError::Unnamed.into(),
        ConsentError::OtherConsent.into(),
        ConsentError::Unknown.into(),
        ConsentError::OtherClient.into(),
        ConsentError::NotAuthorised { status, lapse }.into(),
        ConsentError::NotAuthorised { status, lapse: other }.into(),
        ConsentError::Expired { lapse }.into(),
        ConsentError::Expired { lapse: other }.into(),
        ConsentError::NotCarried.into(),
        ConsentError::Outdated.into(),
        ConsentError::Permission.into(),
        ConsentError::Registry(RemoteError::Timeout).into(),
        ConsentError::NoRegistry.into(),
        EventError::Unwanted.into(),
        EventError::Malformed.into(),
        EventError::Signature.into(),
        EventError::Time.into(),
        EventError::Replayed.into(),
        EventError::TooMany.into(),
        IdempotencyError::OtherContent.into(),
        IdempotencyError::AnswerNotKept.into(),
        IdempotencyError::UnderWay.into(),
        IdempotencyError::Store.into(),
        UpstreamError::Unreachable.into(),
        UpstreamError::Timeout.into(),
        UpstreamError::Broken.into(),
        UpstreamError::Malformed.into(),
        Refusal::Internal,
    ]
}
