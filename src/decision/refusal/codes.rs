//! The table of refusal codes: one row says all that belongs to a code.
//!
//! Nothing else in the source says any of it: the status, the challenge, `Retry-After`, whose fault it is, the labels
//! in logs and metrics, where the refusal is kept and whether it counts in the response time are read from here.
//! Which row a refusal has stands in `refusal/rows.rs`; `docs/refusals.md` explains the codes to operators.
//!
//! Sources: OPIN portal, response codes; gateway rules section 5; RFC 9110 section 15.

use http::StatusCode;

use super::text::{self, Text};

/// Who refuses: a module of this crate, log axis and metric label. A code begins with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "a variant is a module")]
pub enum Stage {
    Request,
    Identity,
    Interaction,
    Route,
    Version,
    Parameters,
    Limits,
    Token,
    Scope,
    Consent,
    Idempotency,
    Upstream,
    Gateway,
}

impl Stage {
    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Identity => "identity",
            Self::Interaction => "interaction",
            Self::Route => "route",
            Self::Version => "version",
            Self::Parameters => "parameters",
            Self::Limits => "limits",
            Self::Token => "token",
            Self::Scope => "scope",
            Self::Consent => "consent",
            Self::Idempotency => "idempotency",
            Self::Upstream => "upstream",
            Self::Gateway => "gateway",
        }
    }
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

/// The status of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Always the same.
    Of(StatusCode),
    /// 401 or 403: what the policy holds a consent that has lapsed to be (`consent::Lapse`).
    OfLapse,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionFate {
    /// It may carry another request.
    Stays,
    /// It must not: its framing is in doubt, or its certificate is no longer valid.
    Ends,
}

/// In which ring the last refusals are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// Among those that anybody can have made: a flood of them leaves the others in place.
    Anybody,
    /// Among those of callers who are known by their certificate, or were about to be.
    Known,
}

/// Whether the exchange counts in the response time (`measure::population`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InTime {
    /// Somebody who may ask was owed an answer, or the fault is not the caller's.
    Counts,
    /// Whoever wants to could make thousands of it, each faster than any answer.
    Apart,
}

/// All that belongs to a code.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// The code in logs and metrics: stage, underscore, cause.
    pub code: &'static str,
    /// Who refuses.
    pub stage: Stage,
    /// The status.
    pub status: Status,
    /// What the caller reads.
    pub text: Text,
    /// What becomes of the connection.
    pub connection: ConnectionFate,
    /// Where it is kept.
    pub ring: Ring,
    /// Whether it counts in the response time.
    pub in_time: InTime,
}

/// The rows that are no caller's fault, for whoever counts them from the start.
pub fn own_faults() -> impl Iterator<Item = &'static Row> {
    ALL.iter().copied().filter(|row| row.fault() != Fault::Client)
}

impl Row {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match (self.stage, self.status) {
            (Stage::Upstream, _) => Fault::Upstream,
            (_, Status::Of(status)) if status.is_server_error() => Fault::Gateway,
            (_, Status::Of(_) | Status::OfLapse) => Fault::Client,
        }
    }
}

/// The statuses that the gateway answers with of its own accord: any other does not compile.
#[rustfmt::skip]
macro_rules! status {
    (400) => { Status::Of(StatusCode::BAD_REQUEST) };
    (401) => { Status::Of(StatusCode::UNAUTHORIZED) };
    (403) => { Status::Of(StatusCode::FORBIDDEN) };
    (404) => { Status::Of(StatusCode::NOT_FOUND) };
    (405) => { Status::Of(StatusCode::METHOD_NOT_ALLOWED) };
    (406) => { Status::Of(StatusCode::NOT_ACCEPTABLE) };
    (408) => { Status::Of(StatusCode::REQUEST_TIMEOUT) };
    (411) => { Status::Of(StatusCode::LENGTH_REQUIRED) };
    (413) => { Status::Of(StatusCode::PAYLOAD_TOO_LARGE) };
    (415) => { Status::Of(StatusCode::UNSUPPORTED_MEDIA_TYPE) };
    (417) => { Status::Of(StatusCode::EXPECTATION_FAILED) };
    (421) => { Status::Of(StatusCode::MISDIRECTED_REQUEST) };
    (422) => { Status::Of(StatusCode::UNPROCESSABLE_ENTITY) };
    (429) => { Status::Of(StatusCode::TOO_MANY_REQUESTS) };
    (431) => { Status::Of(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE) };
    (500) => { Status::Of(StatusCode::INTERNAL_SERVER_ERROR) };
    (503) => { Status::Of(StatusCode::SERVICE_UNAVAILABLE) };
    (504) => { Status::Of(StatusCode::GATEWAY_TIMEOUT) };
    (lapse) => { Status::OfLapse };
}

/// Makes of each line a constant, and of all of them [`ALL`].
macro_rules! table {
    ($($module:ident $stage:ident {
        $($name:ident $code:literal $status:tt $text:ident $connection:ident $ring:ident $in_time:ident)+
    })+) => {
        $(
            #[doc = concat!("The rows of `", stringify!($module), "`.")]
            pub mod $module {
                use super::*;
                $(
                    #[doc = concat!("`", $code, "`")]
                    pub const $name: &Row = &Row {
                        code: $code,
                        stage: Stage::$stage,
                        status: status!($status),
                        text: text::$text,
                        connection: ConnectionFate::$connection,
                        ring: Ring::$ring,
                        in_time: InTime::$in_time,
                    };
                )+
            }
        )+

        /// Every row.
        pub const ALL: &[&Row] = &[$($($module::$name),+),+];
    };
}

table! {
    // After a framing that is in doubt nobody knows where the next request begins: all but what is about media and the
    // key end the connection.
    request Request {
        LINE_ENDING               "request_line_ending"               400   MALFORMED           Ends  Anybody Apart
        LINE                      "request_line"                      400   MALFORMED           Ends  Anybody Apart
        FOLDED_FIELD              "request_folded_field"              400   MALFORMED           Ends  Anybody Apart
        FIELD_NAME                "request_field_name"                400   MALFORMED           Ends  Anybody Apart
        HEAD_TOO_LARGE            "request_head_too_large"            431   HEAD_TOO_LARGE      Ends  Anybody Apart
        TOO_MANY_FIELDS           "request_too_many_fields"           431   HEAD_TOO_LARGE      Ends  Anybody Apart
        HEAD_TIMEOUT              "request_head_timeout"              408   TOO_SLOW            Ends  Anybody Apart
        LENGTH                    "request_length"                    400   MALFORMED           Ends  Anybody Apart
        TRANSFER_CODING           "request_transfer_coding"           400   MALFORMED           Ends  Anybody Apart
        FRAMING_LOOKALIKE         "request_framing_lookalike"         400   MALFORMED           Ends  Anybody Apart
        CHUNK                     "request_chunk"                     400   MALFORMED           Ends  Anybody Apart
        HOST                      "request_host"                      400   MALFORMED           Ends  Anybody Apart
        MISDIRECTED               "request_misdirected"               421   MISDIRECTED         Ends  Anybody Apart
        TARGET                    "request_target"                    400   MALFORMED           Ends  Anybody Apart
        UPGRADE                   "request_upgrade"                   400   MALFORMED           Ends  Anybody Apart
        EXPECTATION               "request_expectation"               417   EXPECTATION         Ends  Anybody Apart
        NOT_ACCEPTABLE            "request_not_acceptable"            406   NOT_ACCEPTABLE      Stays Anybody Apart
        MEDIA_TYPE                "request_media_type"                415   UNSUPPORTED_MEDIA   Stays Anybody Apart
        BODY_TOO_LARGE            "request_body_too_large"            413   BODY_TOO_LARGE      Ends  Anybody Apart
        LENGTH_REQUIRED           "request_length_required"           411   LENGTH_REQUIRED     Ends  Anybody Apart
        BODY_TIMEOUT              "request_body_timeout"              408   TOO_SLOW            Ends  Anybody Apart
        BODY_INCOMPLETE           "request_body_incomplete"           400   MALFORMED           Ends  Anybody Apart
        REPEATED_TOKEN            "request_repeated_token"            400   MALFORMED           Ends  Anybody Apart
        JSON_MALFORMED            "request_json_malformed"            400   JSON                Ends  Anybody Apart
        JSON_DEPTH                "request_json_depth"                400   JSON                Ends  Anybody Apart
        JSON_MEMBERS              "request_json_members"              400   JSON                Ends  Anybody Apart
        JSON_REPEATED             "request_json_repeated"             400   JSON                Ends  Anybody Apart
        IDEMPOTENCY_KEY_MISSING   "request_idempotency_key_missing"   422   IDEMPOTENCY         Stays Anybody Apart
        IDEMPOTENCY_KEY_MALFORMED "request_idempotency_key_malformed" 422   IDEMPOTENCY         Stays Anybody Apart
    }
    // 401, for no text of the ecosystem decides (gateway rules, section 10). The certificate is the
    // connection's, so that ends, too.
    identity Identity {
        UNREADABLE                "identity_unreadable"               401   CERTIFICATE         Ends  Known   Apart
        ORGANISATION              "identity_organisation"             401   CERTIFICATE         Ends  Known   Apart
        SOFTWARE_STATEMENT        "identity_software_statement"       401   CERTIFICATE         Ends  Known   Apart
        PROFILE                   "identity_profile"                  401   CERTIFICATE         Ends  Known   Apart
        EXPIRED                   "identity_expired"                  401   CERTIFICATE         Ends  Known   Apart
        UNTRUSTED                 "identity_untrusted"                401   CERTIFICATE         Ends  Known   Apart
        ABSENT                    "identity_absent"                   401   CERTIFICATE         Ends  Known   Apart
    }
    interaction Interaction {
        MISSING                   "interaction_missing"               400   PARAMETER           Stays Known   Apart
        MALFORMED                 "interaction_malformed"             400   PARAMETER           Stays Known   Apart
        REPEATED                  "interaction_repeated"              400   PARAMETER           Stays Known   Apart
        ATTEMPT                   "interaction_attempt"               400   ATTEMPT             Stays Known   Apart
    }
    // To a caller an endpoint that ended, or is still to come, is a path that never was; operators see which.
    route Route {
        NOT_FOUND                 "route_not_found"                   404   NOT_FOUND           Stays Anybody Apart
        NOT_YET_AVAILABLE         "route_not_yet_available"           404   NOT_FOUND           Stays Anybody Apart
        RETIRED                   "route_retired"                     404   NOT_FOUND           Stays Anybody Apart
        METHOD                    "route_method"                      405   METHOD              Stays Anybody Apart
    }
    // A version that is not served is 406 by the specifications (x-v), and so is one that is none.
    version Version {
        MALFORMED                 "version_malformed"                 406   VERSION             Stays Anybody Apart
        UNSUPPORTED               "version_unsupported"               406   VERSION             Stays Anybody Apart
    }
    // 422 of what is out of its bounds, as the mock has it of pages; anything else is a bad request (gateway
    // rules, section 5).
    parameters Parameters {
        PATH                      "parameters_path"                   400   OF_TARGET           Stays Known   Apart
        BOUNDS                    "parameters_bounds"                 422   OF_TARGET           Stays Known   Apart
        VALUE                     "parameters_value"                  400   OF_TARGET           Stays Known   Apart
        REPEATED                  "parameters_repeated"               400   OF_TARGET           Stays Known   Apart
        UNKNOWN                   "parameters_unknown"                400   OF_TARGET           Stays Known   Apart
    }
    // A caller's own ceiling is the caller's to keep; that of all is the gateway's.
    limits Limits {
        ADDRESS                   "limits_address"                    429   LIMIT               Stays Anybody Apart
        GLOBAL                    "limits_global"                     429   LIMIT               Stays Anybody Apart
        UNDER_WAY_ADDRESS         "limits_under_way_address"          429   LIMIT               Stays Anybody Apart
        UNDER_WAY_ORGANISATION    "limits_under_way_organisation"     429   LIMIT               Stays Anybody Apart
        UNDER_WAY_TOTAL           "limits_under_way_total"            503   UNAVAILABLE         Stays Anybody Counts
    }
    // What is judged by what it may do is known by its certificate: these count in the response time.
    token Token {
        MISSING                   "token_missing"                     401   TOKEN               Stays Known   Counts
        REPEATED                  "token_repeated"                    401   TOKEN               Stays Known   Counts
        SCHEME                    "token_scheme"                      401   TOKEN               Stays Known   Counts
        MALFORMED                 "token_malformed"                   401   TOKEN               Stays Known   Counts
        TOO_LONG                  "token_too_long"                    401   TOKEN               Stays Known   Counts
        HEADER                    "token_header"                      401   TOKEN               Stays Known   Counts
        TYPE                      "token_type"                        401   TOKEN               Stays Known   Counts
        ALGORITHM                 "token_algorithm"                   401   TOKEN               Stays Known   Counts
        UNKNOWN_KEY               "token_unknown_key"                 401   TOKEN               Stays Known   Counts
        SIGNATURE                 "token_signature"                   401   TOKEN               Stays Known   Counts
        CLAIMS                    "token_claims"                      401   TOKEN               Stays Known   Counts
        ISSUER                    "token_issuer"                      401   TOKEN               Stays Known   Counts
        AUDIENCE                  "token_audience"                    401   TOKEN               Stays Known   Counts
        EXPIRED                   "token_expired"                     401   TOKEN               Stays Known   Counts
        NOT_YET_VALID             "token_not_yet_valid"               401   TOKEN               Stays Known   Counts
        LIFETIME                  "token_lifetime"                    401   TOKEN               Stays Known   Counts
        INACTIVE                  "token_inactive"                    401   TOKEN               Stays Known   Counts
        REVOKED                   "token_revoked"                     401   TOKEN               Stays Known   Counts
        UNBOUND                   "token_unbound"                     401   TOKEN               Stays Known   Counts
        OTHER_CERTIFICATE         "token_other_certificate"           401   TOKEN               Stays Known   Counts
        OTHER_PARTICIPANT         "token_other_participant"           401   TOKEN               Stays Known   Counts
        GRANT                     "token_grant"                       401   TOKEN               Stays Known   Counts
        UNSUPPORTED               "token_unsupported"                 401   TOKEN               Stays Known   Counts
        KEYS_UNAVAILABLE          "token_keys_unavailable"            503   UNAVAILABLE         Stays Known   Counts
        INTROSPECTION_UNAVAILABLE "token_introspection_unavailable"   503   UNAVAILABLE         Stays Known   Counts
    }
    // Whoever has a token is known, and told that it does not reach so far (RFC 6750 section 3.1).
    scope Scope {
        INSUFFICIENT              "scope_insufficient"                403   SCOPE               Stays Known   Counts
    }
    // The registry's events are no participant's: whoever finds the address can send them.
    consent Consent {
        UNNAMED                   "consent_unnamed"                   403   CONSENT             Stays Known   Counts
        OTHER_CONSENT             "consent_other_consent"             403   CONSENT             Stays Known   Counts
        UNKNOWN                   "consent_unknown"                   404   CONSENT_UNKNOWN     Stays Known   Counts
        OTHER_CLIENT              "consent_other_client"              403   CONSENT             Stays Known   Counts
        NOT_AUTHORISED            "consent_not_authorised"            lapse CONSENT             Stays Known   Counts
        EXPIRED                   "consent_expired"                   lapse CONSENT             Stays Known   Counts
        NOT_CARRIED               "consent_not_carried"               403   CONSENT             Stays Known   Counts
        OUTDATED                  "consent_outdated"                  401   CONSENT             Stays Known   Counts
        PERMISSION                "consent_permission"                403   PERMISSION          Stays Known   Counts
        REGISTRY_UNAVAILABLE      "consent_registry_unavailable"      503   UNAVAILABLE         Stays Known   Counts
        NO_REGISTRY               "consent_no_registry"               503   UNAVAILABLE         Stays Known   Counts
        EVENT_UNWANTED            "consent_event_unwanted"            404   NOT_FOUND           Stays Anybody Apart
        EVENT_MALFORMED           "consent_event_malformed"           400   EVENT               Stays Anybody Apart
        EVENT_SIGNATURE           "consent_event_signature"           401   EVENT               Stays Anybody Apart
        EVENT_TIME                "consent_event_time"                401   EVENT               Stays Anybody Apart
        EVENT_REPLAYED            "consent_event_replayed"            401   EVENT               Stays Anybody Apart
        EVENT_UNAVAILABLE         "consent_event_unavailable"         503   UNAVAILABLE         Stays Anybody Counts
    }
    // A key that stands for something else, or whose answer cannot be given again, is the 422 of the specifications. A
    // duplicate of what is under way is no conflict yet: it can be decided soon.
    idempotency Idempotency {
        OTHER_CONTENT             "idempotency_other_content"         422   IDEMPOTENCY_CONTENT Stays Known   Counts
        ANSWER_NOT_KEPT           "idempotency_answer_not_kept"       422   IDEMPOTENCY_ANSWER  Stays Known   Counts
        UNDER_WAY                 "idempotency_under_way"             503   UNAVAILABLE         Stays Known   Counts
        STORE_UNAVAILABLE         "idempotency_store_unavailable"     503   UNAVAILABLE         Stays Known   Counts
    }
    // No 502: it is no status of the ecosystem (gateway rules, section 5).
    upstream Upstream {
        UNREACHABLE               "upstream_unreachable"              503   UNAVAILABLE         Stays Known   Counts
        TIMEOUT                   "upstream_timeout"                  504   BACKEND_TIMEOUT     Stays Known   Counts
        BROKEN                    "upstream_broken"                   503   UNAVAILABLE         Stays Known   Counts
        MALFORMED                 "upstream_malformed"                503   UNAVAILABLE         Stays Known   Counts
    }
    // After a fault of its own the gateway does not know what of the connection it can believe.
    gateway Gateway {
        INTERNAL                  "gateway_internal"                  500   INTERNAL            Ends  Known   Counts
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_code_stands_once_and_begins_with_its_stage() {
        let codes: BTreeSet<&str> = ALL.iter().map(|row| row.code).collect();
        assert_eq!(codes.len(), ALL.len());
        for row in ALL {
            let cause = row.code.strip_prefix(row.stage.as_str());
            let cause = cause.and_then(|rest| rest.strip_prefix('_'));
            assert!(cause.is_some_and(|cause| !cause.is_empty()), "{row:?}");
        }
    }

    #[test]
    fn no_fault_of_ours_is_left_out_of_the_response_time() {
        for row in own_faults() {
            assert_eq!(row.in_time, InTime::Counts, "{row:?}");
        }
    }
}
