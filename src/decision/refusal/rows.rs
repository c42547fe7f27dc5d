//! Which row of the table of codes each refusal has: one exhaustive match for each stage. A new fact in a stage does not
//! compile until it has a row.

use super::codes::{
    Row, consent, gateway, idempotency, identity, interaction, limits, parameters, request, route,
    scope, token, upstream, version,
};
use super::{IdempotencyError, Refusal, UpstreamError};
use crate::consent::{ConsentError, EventError};
use crate::identity::IdentityError;
use crate::interaction::InteractionError;
use crate::limits::{Crowded, Holder, LimitExceeded, Whose};
use crate::parameters::ParameterError;
use crate::request::RequestError;
use crate::route::RouteError;
use crate::scope::ScopeError;
use crate::token::TokenError;
use crate::version::VersionError;

pub(super) fn of(refusal: &Refusal) -> &'static Row {
    match refusal {
        Refusal::Request(error) => of_request(*error),
        Refusal::Identity(error) => of_identity(error),
        Refusal::Interaction(error) => of_interaction(*error),
        Refusal::Route(error) => of_route(error),
        Refusal::Version(error) => of_version(*error),
        Refusal::Parameter(error) => of_parameter(error),
        Refusal::Limits(error) => of_limits(error),
        Refusal::Crowded(error) => of_crowded(*error),
        Refusal::Token(error) => of_token(*error),
        Refusal::Scope(error) => of_scope(*error),
        Refusal::Consent(error) => of_consent(*error),
        Refusal::Event(error) => of_event(*error),
        Refusal::Idempotency(error) => of_idempotency(*error),
        Refusal::Upstream(error) => of_upstream(*error),
        Refusal::Internal => gateway::INTERNAL,
    }
}

fn of_request(error: RequestError) -> &'static Row {
    use RequestError as E;
    match error {
        E::Line => request::LINE_ENDING,
        E::RequestLine => request::LINE,
        E::Folded => request::FOLDED_FIELD,
        E::FieldName => request::FIELD_NAME,
        E::HeadTooLarge => request::HEAD_TOO_LARGE,
        E::TooManyFields => request::TOO_MANY_FIELDS,
        E::HeadTimeout => request::HEAD_TIMEOUT,
        E::Length => request::LENGTH,
        E::TransferCoding => request::TRANSFER_CODING,
        E::Lookalike => request::FRAMING_LOOKALIKE,
        E::Chunk => request::CHUNK,
        E::Host => request::HOST,
        E::Misdirected => request::MISDIRECTED,
        E::Target(_) => request::TARGET,
        E::Upgrade => request::UPGRADE,
        E::Expectation => request::EXPECTATION,
        E::NotAcceptable => request::NOT_ACCEPTABLE,
        E::UnsupportedMedia => request::MEDIA_TYPE,
        E::BodyTooLarge => request::BODY_TOO_LARGE,
        E::LengthRequired => request::LENGTH_REQUIRED,
        E::BodyTimeout => request::BODY_TIMEOUT,
        E::BodyIncomplete => request::BODY_INCOMPLETE,
        E::RepeatedToken => request::REPEATED_TOKEN,
        E::JsonMalformed => request::JSON_MALFORMED,
        E::JsonDepth => request::JSON_DEPTH,
        E::JsonMembers => request::JSON_MEMBERS,
        E::JsonRepeated => request::JSON_REPEATED,
        E::IdempotencyKeyMissing => request::IDEMPOTENCY_KEY_MISSING,
        E::IdempotencyKeyMalformed => request::IDEMPOTENCY_KEY_MALFORMED,
    }
}

fn of_identity(error: &IdentityError) -> &'static Row {
    use IdentityError as E;
    match error {
        E::Unreadable => identity::UNREADABLE,
        E::Organisation => identity::ORGANISATION,
        E::SoftwareStatement => identity::SOFTWARE_STATEMENT,
        E::Profile(_) => identity::PROFILE,
        E::Expired => identity::EXPIRED,
        E::Untrusted(_) => identity::UNTRUSTED,
        E::Absent => identity::ABSENT,
    }
}

fn of_interaction(error: InteractionError) -> &'static Row {
    use InteractionError as E;
    match error {
        E::Missing => interaction::MISSING,
        E::Malformed => interaction::MALFORMED,
        E::Repeated => interaction::REPEATED,
        E::Attempt => interaction::ATTEMPT,
    }
}

fn of_route(error: &RouteError) -> &'static Row {
    use RouteError as E;
    match error {
        E::NotFound => route::NOT_FOUND,
        E::NotYetAvailable => route::NOT_YET_AVAILABLE,
        E::Retired => route::RETIRED,
        E::Method { .. } => route::METHOD,
    }
}

fn of_version(error: VersionError) -> &'static Row {
    match error {
        VersionError::Malformed => version::MALFORMED,
        VersionError::Unsupported => version::UNSUPPORTED,
    }
}

fn of_parameter(error: &ParameterError) -> &'static Row {
    use ParameterError as E;
    match error {
        E::Path(_) => parameters::PATH,
        E::Bounds(_) => parameters::BOUNDS,
        E::Value(_) => parameters::VALUE,
        E::Repeated(_) => parameters::REPEATED,
        E::Unknown => parameters::UNKNOWN,
    }
}

fn of_limits(error: &LimitExceeded) -> &'static Row {
    match error.holder {
        Holder::Address => limits::ADDRESS,
        Holder::Everyone => limits::GLOBAL,
    }
}

fn of_crowded(error: Crowded) -> &'static Row {
    match error.whose {
        Whose::Address => limits::UNDER_WAY_ADDRESS,
        Whose::Organisation => limits::UNDER_WAY_ORGANISATION,
        Whose::Everyone => limits::UNDER_WAY_TOTAL,
    }
}

fn of_token(error: TokenError) -> &'static Row {
    use TokenError as E;
    match error {
        E::Missing => token::MISSING,
        E::Repeated => token::REPEATED,
        E::Scheme => token::SCHEME,
        E::Malformed => token::MALFORMED,
        E::TooLong => token::TOO_LONG,
        E::Header => token::HEADER,
        E::Type => token::TYPE,
        E::Algorithm => token::ALGORITHM,
        E::UnknownKey => token::UNKNOWN_KEY,
        E::Signature => token::SIGNATURE,
        E::Claims => token::CLAIMS,
        E::Issuer => token::ISSUER,
        E::Audience => token::AUDIENCE,
        E::Expired => token::EXPIRED,
        E::NotYetValid => token::NOT_YET_VALID,
        E::Lifetime => token::LIFETIME,
        E::Inactive => token::INACTIVE,
        E::Revoked => token::REVOKED,
        E::Unbound => token::UNBOUND,
        E::OtherCertificate => token::OTHER_CERTIFICATE,
        E::OtherParticipant => token::OTHER_PARTICIPANT,
        E::Grant => token::GRANT,
        E::Unsupported => token::UNSUPPORTED,
        E::NoKeys => token::KEYS_UNAVAILABLE,
        E::Introspection(_) => token::INTROSPECTION_UNAVAILABLE,
    }
}

fn of_scope(error: ScopeError) -> &'static Row {
    match error {
        ScopeError::Insufficient => scope::INSUFFICIENT,
    }
}

fn of_consent(error: ConsentError) -> &'static Row {
    use ConsentError as E;
    match error {
        E::Unnamed => consent::UNNAMED,
        E::OtherConsent => consent::OTHER_CONSENT,
        E::Unknown => consent::UNKNOWN,
        E::OtherClient => consent::OTHER_CLIENT,
        E::NotAuthorised { .. } => consent::NOT_AUTHORISED,
        E::Expired { .. } => consent::EXPIRED,
        E::NotCarried => consent::NOT_CARRIED,
        E::Outdated => consent::OUTDATED,
        E::Permission => consent::PERMISSION,
        E::Registry(_) => consent::REGISTRY_UNAVAILABLE,
        E::NoRegistry => consent::NO_REGISTRY,
    }
}

fn of_event(error: EventError) -> &'static Row {
    use EventError as E;
    match error {
        E::Unwanted => consent::EVENT_UNWANTED,
        E::Malformed => consent::EVENT_MALFORMED,
        E::Signature => consent::EVENT_SIGNATURE,
        E::Time => consent::EVENT_TIME,
        E::Replayed => consent::EVENT_REPLAYED,
        E::TooMany => consent::EVENT_UNAVAILABLE,
    }
}

fn of_idempotency(error: IdempotencyError) -> &'static Row {
    use IdempotencyError as E;
    match error {
        E::OtherContent => idempotency::OTHER_CONTENT,
        E::AnswerNotKept => idempotency::ANSWER_NOT_KEPT,
        E::UnderWay => idempotency::UNDER_WAY,
        E::Store => idempotency::STORE_UNAVAILABLE,
    }
}

fn of_upstream(error: UpstreamError) -> &'static Row {
    use UpstreamError as E;
    match error {
        E::Unreachable => upstream::UNREACHABLE,
        E::Timeout => upstream::TIMEOUT,
        E::Broken => upstream::BROKEN,
        E::Malformed => upstream::MALFORMED,
    }
}
