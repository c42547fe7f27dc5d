//! Which keys of a policy file go together.

use serde_json::{Value, json};

use crate::config::offline::CONTENT_METHODS;
use crate::route::template::CONSENT_WORDS;

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
