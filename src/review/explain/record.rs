//! What is told of a request, in the form of the gateway's decision records.

use serde_json::{Value, json};

use super::known::Missing;
use crate::admission::{Explanation, Note, Refused, Step};
use crate::report::refusal_log::{RefusalEntry, RefusedRequest};
use crate::route::Route;

/// A request that reaches the backend.
pub(super) fn allowed(subject: &RefusedRequest<'_>, notes: &[Note]) -> Value {
    let asks = |step: &Step| subject.route.is_none_or(|route| step.is_asked_by(route));
    let asked: Vec<Step> = Step::ALL.into_iter().filter(asks).collect();
    let mut record = told_of(subject, "allowed");
    put(&mut record, "asked", json!(asked));
    finish(record, notes)
}

/// One that is refused; or undecided, if it would depend on what is missing.
pub(super) fn refused(
    subject: &RefusedRequest<'_>,
    refused: &Refused,
    explanation: &Explanation,
    missing: Option<Missing>,
    notes: &[Note],
) -> Value {
    let status = Some(refused.refusal.status());
    let mut record = json!(RefusalEntry::of(subject, refused, status, Some(explanation)));
    put(&mut record, "verdict", "refused".into());
    if let Some(missing) = missing {
        leave_open(&mut record, missing);
    }
    finish(record, notes)
}

/// One that reaches the backend though the rules refuse it.
pub(super) fn in_shadow(mut record: Value) -> Value {
    if record.get("verdict").is_some_and(|verdict| verdict == "refused") {
        put(&mut record, "verdict", "would_refuse".into());
    }
    record
}

/// An event of the consent registry, which the gateway judges by its signature and answers itself.
pub(super) fn event(subject: &RefusedRequest<'_>, notes: &[Note]) -> Value {
    let mut record = allowed(subject, notes);
    put(&mut record, "verdict", "undecided".into());
    put(&mut record, "stage", Step::Event.stage().into());
    put(&mut record, "step", json!(Step::Event));
    let reason = "the gateway answers it itself, by its signature: no backend gets it";
    put(&mut record, "reason", reason.into());
    record
}

/// What stood in for the service failed, which says nothing of the service.
fn leave_open(record: &mut Value, missing: Missing) {
    put(record, "verdict", "undecided".into());
    put(record, "reason", missing.advice().into());
    for key in ["code", "status"] {
        put(record, key, Value::Null);
    }
    if let Some(record) = record.as_object_mut() {
        record.remove("compared");
        record.remove("retry_after");
    }
}

/// One that is never made: the handshake fails.
pub(super) fn without_connection(subject: &RefusedRequest<'_>, reason: &str) -> Value {
    let mut record = told_of(subject, "refused");
    put(&mut record, "stage", "handshake".into());
    put(&mut record, "code", reason.into());
    put(&mut record, "reason", "TLS ends the connection, and no request is read".into());
    record
}

fn told_of(subject: &RefusedRequest<'_>, verdict: &str) -> Value {
    json!({
        "verdict": verdict,
        "timestamp": subject.timestamp,
        "interaction_id": subject.interaction_id,
        "listener": subject.listener,
        "method": subject.method.as_str(),
        "route": subject.route.map(|route: &Route| route.published.label.to_string()),
    })
}

/// Without what is not judged here, and without times: they are not the gateway's.
fn finish(mut record: Value, notes: &[Note]) -> Value {
    let later = [Step::Body, Step::Operation, Step::Event, Step::Upstream].map(|step| json!(step));
    let is_judged_here = |step: &Value| !later.contains(step);
    if let Some(asked) = record.get_mut("asked").and_then(Value::as_array_mut) {
        asked.retain(is_judged_here);
    }
    if let Some(record) = record.as_object_mut() {
        record.remove("times");
    }
    put(&mut record, "notes", json!(notes));
    record
}

fn put(record: &mut Value, key: &str, value: Value) {
    if let Some(record) = record.as_object_mut() {
        record.insert(key.to_owned(), value);
    }
}
