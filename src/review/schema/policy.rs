//! The keys of a policy file, and which of them go together.

use serde_json::{Value, json};

use super::kind::Kind::{self, Flag, Form, Number, Size, Table, Tables, Text, Texts};
use super::{Key, optional, required, within};
use crate::config::offline::CONTENT_METHODS;
use crate::interaction::Attempt;
use crate::route::template::CONSENT_WORDS;
use crate::route::{ErrorForm, PriorityClass};

const NAME: Kind = Form("[a-z0-9-]{1,64}");
const VERSION: Kind = Form("[0-9]{1,9}\\.[0-9]{1,9}\\.[0-9]{1,9}");
const PARAMETER: Kind = Form("[A-Za-z0-9._-]{1,64}");
const DAY: Kind = Form("[0-9]{4}-[0-9]{2}-[0-9]{2}");
const BASE_PATH: Kind = Form("(/[A-Za-z0-9._~-]+)+");
const TEMPLATE: Kind = Form("(/([A-Za-z0-9._~-]+|\\{[A-Za-z][A-Za-z0-9_-]*\\}))+");
const SCOPE: Kind = Form("[!#-\\[\\]-~]+");
const PERMISSION: Kind = Form("[A-Za-z0-9_]{1,128}");

/// Every key, a table before what stands in it.
pub(super) fn keys() -> Vec<Key> {
    let of_file = [
        required("api", NAME, "The name in metrics and logs."),
        required("version", VERSION, "The x-v of every answer."),
        required("base_path", BASE_PATH, "What all paths begin with."),
        optional("scopes", Texts, "What the routes may ask for; others are mistakes."),
        required("routes", Tables, "The endpoints."),
    ];
    let parts = [
        within("", of_file),
        within("", of_file_or_route()),
        within("routes[]", of_route()),
        within("routes[]", of_file_or_route()),
        within("routes[]", of_parameters()),
    ];
    parts.into_iter().flatten().collect()
}

fn of_route() -> [Key; 14] {
    let methods = Kind::OneOf(vec!["GET", "POST", "PUT", "PATCH", "DELETE"]);
    let access = Kind::OneOf(vec!["open", "certificate", "client", "consented"]);
    let uses = Kind::OneOf(vec!["read", "initiate"]);
    let kinds = Kind::OneOf(vec!["consent", "enrollment"]);
    let idempotency = Kind::OneOf(vec!["required", "ignored"]);
    let errors = Kind::OneOf(ErrorForm::ALL.map(ErrorForm::as_str).to_vec());
    [
        required("method", methods, "The method."),
        required("path", TEMPLATE, "A template below base_path; {name} is one whole segment."),
        required(
            "access",
            access,
            "Anyone; a participant by certificate, for itself, for a customer.",
        ),
        optional("scope", SCOPE, "The scope that the token must carry."),
        optional("permission", PERMISSION, "The permission that the consent must contain."),
        optional("consent_use", uses, "What the route does under the consent."),
        optional("consent", kinds, "Which of the token's; default \"consent\"."),
        optional(
            "consent_parameter",
            Text,
            "What of the path is the caller's consent, or \"none\".",
        ),
        optional("idempotency_key", idempotency, "Must be said for POST, PUT and PATCH."),
        optional("request_body", Kind::OneOf(vec!["json", "form"]), "Default \"json\"."),
        optional("token_revocation", Flag, "Whether 200 revokes the form's token (RFC 7009)."),
        optional("version", VERSION, "The x-v of its answers, if not the file's."),
        optional("errors", errors, "The schema of its errors; default \"common\"."),
        optional("max_body_size", Size, "The most that a body may have, if less than elsewhere."),
    ]
}

/// What the path and the query may be.
fn of_parameters() -> [Key; 9] {
    let most = u64::from(u32::MAX);
    [
        optional("path_parameters", Tables, "The bounds of parts of the path."),
        required("path_parameters[].name", PARAMETER, "As in the template."),
        optional("path_parameters[].max_length", Number(1, 4096), "The most characters, decoded."),
        optional("path_parameters[].form", Kind::OneOf(vec!["urn"]), "The pattern of consent ids."),
        optional("query", Tables, "The parameters of the query, and their bounds."),
        required("query[].name", PARAMETER, "Decoded."),
        optional("query[].least", Number(0, most), "The lowest number."),
        optional("query[].most", Number(0, most), "The highest number."),
        optional("query[].values", Texts, "The values, if it is no number."),
    ]
}

/// What may be said once for the file, or for a route.
fn of_file_or_route() -> [Key; 13] {
    let attempts = Kind::OneOf(Attempt::ALL.map(Attempt::name).to_vec());
    let classes = Kind::OneOf(PriorityClass::ALL.map(PriorityClass::as_str).to_vec());
    let forms = Kind::OneOf(vec!["uuid", "alphanumeric"]);
    let unusable = || Kind::OneOf(vec!["refuse", "mint"]);
    let negotiated = Kind::OneOf(vec!["negotiated", "ignored"]);
    let others = Kind::OneOf(vec!["ignored", "refused"]);
    [
        optional("class", classes, "The legal response time."),
        optional("upstream", NAME, "An [[upstreams]] of the configuration."),
        optional("x_v", negotiated, "Whether x-v is heeded; default \"ignored\"."),
        optional("other_query", others, "Names that query does not have; default \"ignored\"."),
        optional("available_from", DAY, "The day the version begins to exist."),
        optional("deprecated_from", DAY, "The day the version is deprecated."),
        optional("retired_from", DAY, "The day the version is retired."),
        optional("shadow_until", DAY, "The day the rules begin to be enforced."),
        optional("interaction_id", Table, "The rule of x-fapi-interaction-id."),
        required("interaction_id.form", forms, "The published pattern."),
        required("interaction_id.missing", unusable(), "What happens without one."),
        required("interaction_id.malformed", unusable(), "With one that does not match."),
        optional("interaction_id.also", attempts, "The id of an attempt that is required too."),
    ]
}

/// What access and method need, and what has no effect with them.
pub(super) fn rules_of_a_route() -> Value {
    let when = |key: &str, values: &[&str], then: Value| json!({"if": {"properties": {key: {"enum": values}}, "required": [key]}, "then": then});
    let content = CONTENT_METHODS.map(|method| method.as_str().to_owned());
    let content: Vec<&str> = content.iter().map(String::as_str).collect();
    let no_token = json!({"properties": {
        "scope": false, "permission": false, "consent_use": false,
        "consent_parameter": {"const": "none"},
    }});
    let consented = ["scope", "permission", "consent_use"];
    let own = json!({
        "required": ["scope"], "properties": {"permission": false, "consent_use": false},
    });
    let nameless = json!({"not": {"properties": {"consent_parameter": {"const": "none"}},
        "required": ["consent_parameter"]}});
    json!([
        when("access", &["open", "certificate"], no_token),
        when("access", &["client"], own),
        when("access", &["consented"], json!({"required": consented})),
        when("method", &content, json!({"required": ["idempotency_key"]})),
        when("method", &["GET", "DELETE"],
            json!({"properties": {"idempotency_key": false, "request_body": false,
                "max_body_size": false}})),
        {
            "if": {"properties": {"path": {"pattern": names_consent()}}, "required": ["path"]},
            "then": {"required": ["consent_parameter"]},
            // What begins with a parameter may stand in a collection that base_path names.
            "else": {"anyOf": [nameless, {"properties": {"path": {"pattern": "^/\\{"}}}]},
        },
    ])
}

/// A parameter that names a consent, or stands in a collection of them, in any case of letters.
fn names_consent() -> String {
    let in_any_case = |word: &str| -> String {
        word.chars().map(|c| format!("[{}{c}]", c.to_ascii_uppercase())).collect()
    };
    let words = CONSENT_WORDS.map(in_any_case).join("|");
    format!("(\\{{[^/]*({words})|({words})[^/{{]*/\\{{)")
}

/// What must be said for the file, or for each of its routes.
pub(super) fn rules_of_a_file() -> Value {
    let once_or_each = |key: &str| {
        json!({"anyOf": [
            {"required": [key]},
            {"properties": {"routes": {"items": {"required": [key]}}}},
        ]})
    };
    json!(["class", "upstream", "interaction_id"].map(once_or_each))
}
