//! Status, code and text of every refusal: one exhaustive match for each stage.
//!
//! Sources: OPIN portal, response codes; gateway rules section 5.

use http::StatusCode;

use super::UpstreamError;
use super::text::{self, Text};
use crate::consent::{ConsentError, EventError, Lapse};
use crate::idempotency::IdempotencyError;
use crate::identity::IdentityError;
use crate::interaction::InteractionError;
use crate::limits::{Crowded, Holder, LimitExceeded, Whose};
use crate::parameters::ParameterError;
use crate::request::RequestError;
use crate::route::RouteError;
use crate::scope::ScopeError;
use crate::token::TokenError;
use crate::version::VersionError;

pub(super) type Answer = (StatusCode, &'static str, Text);

pub(super) fn of_request(error: RequestError) -> Answer {
    use RequestError as E;
    let bad = |code| (StatusCode::BAD_REQUEST, code, text::MALFORMED);
    let head = |code| (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, code, text::HEAD_TOO_LARGE);
    let slow = |code| (StatusCode::REQUEST_TIMEOUT, code, text::TOO_SLOW);
    let key = |code| (StatusCode::UNPROCESSABLE_ENTITY, code, text::IDEMPOTENCY);
    match error {
        E::Line => bad("request_line_ending"),
        E::RequestLine => bad("request_line"),
        E::Folded => bad("request_folded_field"),
        E::FieldName => bad("request_field_name"),
        E::HeadTooLarge => head("request_head_too_large"),
        E::TooManyFields => head("request_too_many_fields"),
        E::HeadTimeout => slow("request_head_timeout"),
        E::Length => bad("request_length"),
        E::TransferCoding => bad("request_transfer_coding"),
        E::Lookalike => bad("request_framing_lookalike"),
        E::Chunk => bad("request_chunk"),
        E::Host => bad("request_host"),
        E::Misdirected => {
            (StatusCode::MISDIRECTED_REQUEST, "request_misdirected", text::MISDIRECTED)
        }
        E::Target(_) => bad("request_target"),
        E::Upgrade => bad("request_upgrade"),
        E::Expectation => {
            (StatusCode::EXPECTATION_FAILED, "request_expectation", text::EXPECTATION)
        }
        E::NotAcceptable => {
            (StatusCode::NOT_ACCEPTABLE, "request_not_acceptable", text::NOT_ACCEPTABLE)
        }
        E::UnsupportedMedia => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "request_media_type", text::UNSUPPORTED_MEDIA)
        }
        E::BodyTooLarge => {
            (StatusCode::PAYLOAD_TOO_LARGE, "request_body_too_large", text::BODY_TOO_LARGE)
        }
        E::LengthRequired => {
            (StatusCode::LENGTH_REQUIRED, "request_length_required", text::LENGTH_REQUIRED)
        }
        E::BodyTimeout => slow("request_body_timeout"),
        E::BodyIncomplete => bad("request_body_incomplete"),
        E::RepeatedToken => bad("request_repeated_token"),
        E::JsonMalformed => of_json("request_json_malformed"),
        E::JsonDepth => of_json("request_json_depth"),
        E::JsonMembers => of_json("request_json_members"),
        E::JsonRepeated => of_json("request_json_repeated"),
        E::IdempotencyKeyMissing => key("request_idempotency_key_missing"),
        E::IdempotencyKeyMalformed => key("request_idempotency_key_malformed"),
    }
}

fn of_json(code: &'static str) -> Answer {
    (StatusCode::BAD_REQUEST, code, text::JSON)
}

pub(super) fn of_identity(error: &IdentityError) -> Answer {
    let code = match error {
        IdentityError::Unreadable => "identity_unreadable",
        IdentityError::Organisation => "identity_organisation",
        IdentityError::SoftwareStatement => "identity_software_statement",
        IdentityError::Profile(_) => "identity_profile",
        IdentityError::Expired => "identity_expired",
        IdentityError::Untrusted(_) => "identity_untrusted",
        IdentityError::Absent => "identity_absent",
    };
    (StatusCode::UNAUTHORIZED, code, text::CERTIFICATE)
}

pub(super) fn of_interaction(error: InteractionError) -> Answer {
    let code = match error {
        InteractionError::Missing => "interaction_missing",
        InteractionError::Malformed => "interaction_malformed",
        InteractionError::Repeated => "interaction_repeated",
        InteractionError::Attempt => "interaction_attempt",
    };
    let text = match error {
        InteractionError::Attempt => text::ATTEMPT,
        InteractionError::Missing | InteractionError::Malformed | InteractionError::Repeated => {
            text::PARAMETER
        }
    };
    (StatusCode::BAD_REQUEST, code, text)
}

pub(super) fn of_route(error: &RouteError) -> Answer {
    match error {
        RouteError::NotFound => (StatusCode::NOT_FOUND, "route_not_found", text::NOT_FOUND),
        RouteError::NotYetAvailable => {
            (StatusCode::NOT_FOUND, "route_not_yet_available", text::NOT_FOUND)
        }
        RouteError::Retired => (StatusCode::NOT_FOUND, "route_retired", text::NOT_FOUND),
        RouteError::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, "route_method", text::METHOD),
    }
}

pub(super) fn of_version(error: VersionError) -> Answer {
    let code = match error {
        VersionError::Malformed => "version_malformed",
        VersionError::Unsupported => "version_unsupported",
    };
    (StatusCode::NOT_ACCEPTABLE, code, text::VERSION)
}

pub(super) fn of_parameter(error: &ParameterError) -> Answer {
    let bad = |code| (StatusCode::BAD_REQUEST, code, text::OF_TARGET);
    match error {
        ParameterError::Path(_) => bad("parameters_path"),
        ParameterError::Bounds(_) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "parameters_bounds", text::OF_TARGET)
        }
        ParameterError::Value(_) => bad("parameters_value"),
        ParameterError::Repeated(_) => bad("parameters_repeated"),
        ParameterError::Unknown => bad("parameters_unknown"),
    }
}

pub(super) fn of_limits(error: &LimitExceeded) -> Answer {
    let code = match error.holder {
        Holder::Address => "limits_address",
        Holder::Everyone => "limits_global",
    };
    (StatusCode::TOO_MANY_REQUESTS, code, text::LIMIT)
}

/// A caller's own ceiling is the caller's to keep; that of all is the gateway's.
pub(super) fn of_crowded(error: Crowded) -> Answer {
    let own = |code| (StatusCode::TOO_MANY_REQUESTS, code, text::LIMIT);
    match error.whose {
        Whose::Address => own("limits_under_way_address"),
        Whose::Organisation => own("limits_under_way_organisation"),
        Whose::Everyone => {
            (StatusCode::SERVICE_UNAVAILABLE, "limits_under_way_total", text::UNAVAILABLE)
        }
    }
}

pub(super) fn of_token(error: TokenError) -> Answer {
    use TokenError as E;
    let no = |code| (StatusCode::UNAUTHORIZED, code, text::TOKEN);
    let undecided = |code| (StatusCode::SERVICE_UNAVAILABLE, code, text::UNAVAILABLE);
    match error {
        E::Missing => no("token_missing"),
        E::Repeated => no("token_repeated"),
        E::Scheme => no("token_scheme"),
        E::Malformed => no("token_malformed"),
        E::TooLong => no("token_too_long"),
        E::Header => no("token_header"),
        E::Type => no("token_type"),
        E::Algorithm => no("token_algorithm"),
        E::UnknownKey => no("token_unknown_key"),
        E::Signature => no("token_signature"),
        E::Claims => no("token_claims"),
        E::Issuer => no("token_issuer"),
        E::Audience => no("token_audience"),
        E::Expired => no("token_expired"),
        E::NotYetValid => no("token_not_yet_valid"),
        E::Lifetime => no("token_lifetime"),
        E::Inactive => no("token_inactive"),
        E::Revoked => no("token_revoked"),
        E::Unbound => no("token_unbound"),
        E::OtherCertificate => no("token_other_certificate"),
        E::OtherParticipant => no("token_other_participant"),
        E::Grant => no("token_grant"),
        E::Unsupported => no("token_unsupported"),
        E::NoKeys => undecided("token_keys_unavailable"),
        E::Introspection(_) => undecided("token_introspection_unavailable"),
    }
}

pub(super) fn of_scope(error: ScopeError) -> Answer {
    match error {
        ScopeError::Insufficient => (StatusCode::FORBIDDEN, "scope_insufficient", text::SCOPE),
    }
}

pub(super) fn of_consent(error: ConsentError) -> Answer {
    use ConsentError as E;
    let forbidden = |code, text| (StatusCode::FORBIDDEN, code, text);
    let undecided = |code| (StatusCode::SERVICE_UNAVAILABLE, code, text::UNAVAILABLE);
    match error {
        E::Unnamed => forbidden("consent_unnamed", text::CONSENT),
        E::OtherConsent => forbidden("consent_other_consent", text::CONSENT),
        E::Unknown => (StatusCode::NOT_FOUND, "consent_unknown", text::CONSENT_UNKNOWN),
        E::OtherClient => forbidden("consent_other_client", text::CONSENT),
        E::NotAuthorised { lapse, .. } => {
            (status_of(lapse), "consent_not_authorised", text::CONSENT)
        }
        E::Expired { lapse } => (status_of(lapse), "consent_expired", text::CONSENT),
        E::NotCarried => forbidden("consent_not_carried", text::CONSENT),
        E::Outdated => (StatusCode::UNAUTHORIZED, "consent_outdated", text::CONSENT),
        E::Permission => forbidden("consent_permission", text::PERMISSION),
        E::Registry(_) => undecided("consent_registry_unavailable"),
        E::NoRegistry => undecided("consent_no_registry"),
    }
}

pub(super) fn of_event(error: EventError) -> Answer {
    use EventError as E;
    let no = |code| (StatusCode::UNAUTHORIZED, code, text::EVENT);
    match error {
        E::Unwanted => (StatusCode::NOT_FOUND, "consent_event_unwanted", text::NOT_FOUND),
        E::Malformed => (StatusCode::BAD_REQUEST, "consent_event_malformed", text::EVENT),
        E::Signature => no("consent_event_signature"),
        E::Time => no("consent_event_time"),
        E::Replayed => no("consent_event_replayed"),
        E::TooMany => {
            (StatusCode::SERVICE_UNAVAILABLE, "consent_event_unavailable", text::UNAVAILABLE)
        }
    }
}

/// The statuses that RFC 6750 section 3.1 gives its errors.
fn status_of(lapse: Lapse) -> StatusCode {
    match lapse {
        Lapse::InvalidToken => StatusCode::UNAUTHORIZED,
        Lapse::InsufficientScope => StatusCode::FORBIDDEN,
    }
}

/// A key that stands for something else, or whose answer cannot be given again, is the 422 of the
/// specifications. A duplicate of what is under way is no conflict yet: it can be decided soon.
pub(super) fn of_idempotency(error: IdempotencyError) -> Answer {
    use IdempotencyError as E;
    let conflict = |code, text| (StatusCode::UNPROCESSABLE_ENTITY, code, text);
    let undecided = |code| (StatusCode::SERVICE_UNAVAILABLE, code, text::UNAVAILABLE);
    match error {
        E::OtherContent => conflict("idempotency_other_content", text::IDEMPOTENCY_CONTENT),
        E::AnswerNotKept => conflict("idempotency_answer_not_kept", text::IDEMPOTENCY_ANSWER),
        E::UnderWay => undecided("idempotency_under_way"),
        E::Store => undecided("idempotency_store_unavailable"),
    }
}

pub(super) fn of_upstream(error: UpstreamError) -> Answer {
    let unavailable = |code| (StatusCode::SERVICE_UNAVAILABLE, code, text::UNAVAILABLE);
    match error {
        UpstreamError::Unreachable => unavailable("upstream_unreachable"),
        UpstreamError::Timeout => {
            (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", text::BACKEND_TIMEOUT)
        }
        UpstreamError::Broken => unavailable("upstream_broken"),
        UpstreamError::Malformed => unavailable("upstream_malformed"),
    }
}
