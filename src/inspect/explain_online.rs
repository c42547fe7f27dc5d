//! `portaria explain --id`: why a running gateway refused a request.
//!
//! Asks the admin listener of the configuration for its decision records, and writes them for a person.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::InspectError;
use crate::admin::decisions::DECISIONS;
use crate::admission::{Note, Step};
use crate::ask::{Ask, Question};
use crate::config;
use crate::services::{Endpoint, Remote};

/// The verdict on what its rules would have refused.
const SHADOW: &str = "would_refuse";

const PATIENCE: Duration = Duration::from_secs(5);

/// The records of an interaction.
#[derive(Debug)]
pub struct Records(Vec<Value>);

/// Asks for the records of an interaction id.
pub fn ask(config: &Path, id: &str) -> Result<Records, InspectError> {
    let address = config::admin_address(config).map_err(|_| InspectError::Configuration)?;
    let gone = |error: String| InspectError::Admin { address, error };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| gone(error.to_string()))?;
    let url = Url::parse(&format!("http://{address}{}", DECISIONS.trim_end_matches('/')));
    let url = url.map_err(|error| gone(error.to_string()))?;
    // Without TLS: the admin listener is on loopback, which `config` makes sure of.
    let remote = Remote::new(Endpoint { url, tls: None, timeout: PATIENCE });
    let remote = remote.map_err(|error| gone(error.to_string()))?;
    let answer = runtime
        .block_on(remote.ask(Question::get(&[id])))
        .map_err(|error| gone(error.to_string()))?;
    // What is no list comes of something else at that address, which keeps no record.
    let records: Vec<Value> = serde_json::from_slice(&answer.body).unwrap_or_default();
    if records.is_empty() { Err(InspectError::NoDecision) } else { Ok(Records(records)) }
}

impl Records {
    /// One record that was made here.
    pub fn of(record: Value) -> Self {
        Self(vec![record])
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        Value::from(self.0.clone()).to_string()
    }
}

impl std::fmt::Display for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, record) in self.0.iter().enumerate() {
            f.write_str(if place > 0 { "\n" } else { "" })?;
            f.write_str(&told(record))?;
        }
        Ok(())
    }
}

fn text(record: &Value, name: &str) -> String {
    match record.pointer(name) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

/// Each question that was asked, and what became of it; nothing, if the record does not tell.
fn steps(record: &Value) -> String {
    let read = |name: &str| record.get(name).cloned().unwrap_or_default();
    // The gateway may be of another version, with steps that this one does not know: what is left is told.
    let asked: Vec<Step> = serde_json::from_value(read("asked")).unwrap_or_default();
    let end: Option<Step> = serde_json::from_value(read("step")).unwrap_or_default();
    let notes: Vec<Note> = serde_json::from_value(read("notes")).unwrap_or_default();
    let verdict = record.get("verdict").and_then(Value::as_str).unwrap_or("refused");
    let goes_on = verdict == SHADOW;
    let word = if goes_on { "refuses" } else { verdict };
    if asked.is_empty() || (end.is_none() && verdict != "allowed") {
        return String::new();
    }
    let mut lines = String::new();
    for step in asked {
        let became = match end {
            Some(end) if step == end => word,
            Some(end) if step > end && goes_on => "not told",
            Some(end) if step > end => "not judged",
            Some(_) | None => "passed",
        };
        let note = notes.iter().find(|note| note.step == step);
        let what = note.map_or(step.asks(), |note| note.text.as_str());
        // Writing to a string does not fail.
        let _ = writeln!(lines, "{:<13}{became:<12}{what}", step.stage());
    }
    lines + "\n"
}

/// What the caller gets.
fn answer(record: &Value) -> String {
    let fields = [("www_authenticate", "WWW-Authenticate"), ("retry_after", "Retry-After")];
    let fields = fields.into_iter().filter(|(key, _)| record.get(key).is_some());
    let fields =
        fields.map(|(key, name)| format!(", {name}: {}", text(record, &format!("/{key}"))));
    text(record, "/status") + &fields.collect::<String>()
}

/// One record in lines of a name and what it says.
fn told(record: &Value) -> String {
    let text = |name: &str| text(record, name);
    let mut lines = steps(record);
    let mut line = |name: &str, what: String| {
        // Writing to a string does not fail.
        let _ = writeln!(lines, "{name:<13}{what}");
    };
    let by = || format!("{} ({}, {})", text("/stage"), text("/code"), text("/status"));
    match record.get("verdict").and_then(Value::as_str) {
        Some("allowed") => line("allowed", "it reaches the backend".to_owned()),
        Some("undecided") => line("undecided by", text("/stage")),
        Some(SHADOW) => {
            line("would refuse", by());
            line("but", "shadow mode: it reaches the backend".to_owned());
        }
        _ => line("refused by", by()),
    }
    if record.get("reason").is_some() {
        line("because", text("/reason"));
    }
    if record.pointer("/compared").is_some() {
        line("compared", text("/compared/what"));
        line("wanted", text("/compared/wanted"));
        line("found", text("/compared/found"));
    }
    line("request", format!("{} {}", text("/method"), text("/route")));
    line("listener", text("/listener"));
    line("at", text("/timestamp"));
    let stages = [("local", "local_us"), ("token", "token_us"), ("consent", "consent_us")];
    let times = stages.iter().filter_map(|(stage, name)| {
        let micros = record.pointer(&format!("/times/{name}"))?.as_u64()?;
        Some(format!("{stage} {micros} us"))
    });
    let times: Vec<String> = times.collect();
    if !times.is_empty() {
        line("took", times.join(", "));
    }
    if record.get("status").is_some_and(Value::is_number) {
        let is_given = record.get("verdict").and_then(Value::as_str) != Some(SHADOW);
        line(if is_given { "answer" } else { "would answer" }, answer(record));
    }
    lines
}
