//! What a key holds, as JSON Schema.

use serde_json::{Value, json};

use super::table;
use crate::config::keys::Kind;

const DURATION: &str = "0*[1-9][0-9]*(ms|s|m|h|d)";

/// The schema of what a key of a kind holds. Bounds of durations and sizes are not told: they are texts.
pub(super) fn schema_of(kind: &Kind) -> Value {
    match kind {
        Kind::Table => table(),
        Kind::Tables => json!({"type": "array", "items": table()}),
        Kind::Text => json!({"type": "string"}),
        Kind::Form(form) => text(form),
        Kind::Duration(_) => text(DURATION),
        Kind::WordOrDuration(word, _) => text(&format!("{word}|{DURATION}")),
        Kind::Size(_) => text("0*[1-9][0-9]*(B|KiB|MiB|GiB)"),
        Kind::OneOf(names) => json!({"anyOf": [{"enum": names}, variable()]}),
        Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Kind::SomeOf(names) => {
            json!({"type": "array", "items": {"anyOf": [{"enum": names}, variable()]}})
        }
        Kind::Number(least, most) => {
            json!({"type": "integer", "minimum": least, "maximum": most})
        }
        Kind::Flag => json!({"type": "boolean"}),
    }
}

fn text(form: &str) -> Value {
    // Or a variable anywhere in it, whose value no editor knows.
    json!({"type": "string", "pattern": format!("^({form})$|\\$\\{{")})
}

fn variable() -> Value {
    json!({"type": "string", "pattern": "\\$\\{"})
}
