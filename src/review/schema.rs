//! `portaria schema`: the keys of the configuration and of policy files as JSON Schema, for editors.
//!
//! The parser is the one that decides; the schema says beforehand what it will say. It leaves out what
//! no schema can tell: whether files exist, names are known, and routes overlap. A test holds both
//! together, key by key. Standard: JSON Schema 2020-12.

mod kind;
mod policy;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::config::keys::{self, Absent, Key, KeysOf};

/// What a schema is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// config.toml.
    Config,
    /// A policy file.
    Policy,
}

/// The keys of a kind of file.
pub fn keys(of: SchemaOf) -> &'static [Key] {
    keys::of(match of {
        SchemaOf::Config => KeysOf::Configuration,
        SchemaOf::Policy => KeysOf::Policy,
    })
}

/// What a key is for, and what it means that it is not there.
pub fn description(key: &Key) -> String {
    let mut letters = key.says.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let says = format!("{first}{}", letters.as_str());
    match key.absent {
        Absent::Is(text) => format!("{says}. Default: {text}."),
        Absent::IsOfPreset(text) => format!("{says}. Default: the preset's, such as {text}."),
        Absent::Means(text) => format!("{says}. Without: {text}."),
        Absent::Mistake | Absent::Nothing => format!("{says}."),
    }
}

/// The JSON Schema of a kind of file.
pub fn schema(of: SchemaOf) -> Value {
    let mut schema = table();
    for key in keys(of) {
        add(&mut schema, key);
    }
    let title = match of {
        SchemaOf::Config => "portaria configuration",
        SchemaOf::Policy => "portaria policy",
    };
    if let (SchemaOf::Policy, Some(routes)) = (of, schema.pointer_mut("/properties/routes/items")) {
        set(routes, "allOf", policy::rules_of_a_route());
    }
    if of == SchemaOf::Policy {
        set(&mut schema, "allOf", policy::rules_of_a_file());
    }
    set(&mut schema, "$schema", "https://json-schema.org/draft/2020-12/schema".into());
    set(&mut schema, "title", title.into());
    schema
}

fn table() -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": {}, "required": []})
}

fn set(schema: &mut Value, name: &str, value: Value) {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert(name.to_owned(), value);
    }
}

/// Puts a key into the table that its path leads to; tables on the way must stand before it.
fn add(root: &mut Value, key: &Key) {
    let (parents, name) = key.path.rsplit_once('.').unwrap_or(("", &key.path));
    let name = name.trim_end_matches("[]");
    let Some(table) = find(root, parents) else {
        return;
    };
    let mut told = kind::schema_of(&key.kind);
    set(&mut told, "description", description(key).into());
    if let Some(properties) = table.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert(name.to_owned(), told);
    }
    if key.absent == Absent::Mistake {
        let required = table.get_mut("required").and_then(Value::as_array_mut);
        if let Some(required) = required {
            required.push(name.into());
        }
    }
}

fn find<'a>(root: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    let mut table = root;
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let name = step.trim_end_matches("[]");
        table = table.get_mut("properties")?.get_mut(name)?;
        if step.ends_with("[]") {
            table = table.get_mut("items")?;
        }
    }
    Some(table)
}
