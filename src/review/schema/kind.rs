//! What a key holds.

use serde_json::{Value, json};

use super::table;

const DURATION: &str = "0*[1-9][0-9]*(ms|s|m|h|d)";

/// What a key holds. A string may name a variable of the environment, `${NAME}`, instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A table.
    Table,
    /// An array of tables.
    Tables,
    /// Any text: what it must be, no schema can tell.
    Text,
    /// A text of a form (a regular expression that need not be anchored).
    Form(&'static str),
    /// A duration such as "250ms".
    Duration,
    /// A word such as "refuse", or a duration.
    WordOrDuration(&'static str),
    /// A size such as "64KiB".
    Size,
    /// One of some names.
    OneOf(Vec<&'static str>),
    /// An array of texts.
    Texts,
    /// An array of some of these names.
    SomeOf(Vec<&'static str>),
    /// A whole number, from and to.
    Number(u64, u64),
    /// true or false.
    Flag,
}

impl Kind {
    /// As JSON Schema.
    pub fn schema(&self) -> Value {
        match self {
            Self::Table => table(),
            Self::Tables => json!({"type": "array", "items": table()}),
            Self::Text => json!({"type": "string"}),
            Self::Form(form) => text(form),
            Self::Duration => text(DURATION),
            Self::WordOrDuration(word) => text(&format!("{word}|{DURATION}")),
            Self::Size => text("0*[1-9][0-9]*(B|KiB|MiB|GiB)"),
            Self::OneOf(names) => json!({"anyOf": [{"enum": names}, variable()]}),
            Self::Texts => json!({"type": "array", "items": {"type": "string"}}),
            Self::SomeOf(names) => {
                json!({"type": "array", "items": {"anyOf": [{"enum": names}, variable()]}})
            }
            Self::Number(least, most) => {
                json!({"type": "integer", "minimum": least, "maximum": most})
            }
            Self::Flag => json!({"type": "boolean"}),
        }
    }
}

fn text(form: &str) -> Value {
    json!({"type": "string", "pattern": format!("^({form})$|\\$\\{{")})
}

fn variable() -> Value {
    json!({"type": "string", "pattern": "\\$\\{"})
}
