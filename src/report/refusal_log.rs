//! The last refusals, those of shadow mode among them, each with what it was held against: kept in memory,
//! read by interaction id through the admin endpoint and `portaria explain --id`.
//!
//! Bounded: the oldest makes room for the newest. Holds nothing that the access log may not hold.

use std::collections::VecDeque;

use std::sync::Arc;

use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde::Serialize;

use super::access_log::{method, timestamp};
use crate::admission::{Explanation, Refused, Step};
use crate::measure::Sample;
use crate::refusal::codes;
use crate::route::Route;

/// What was refused.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the fields are those of the record")]
pub struct RefusedRequest<'a> {
    pub timestamp: &'a str,
    pub interaction_id: &'a str,
    pub listener: &'a str,
    pub method: &'a Method,
    pub route: Option<&'a Route>,
}

/// One refusal.
#[derive(Clone, Debug, Serialize)]
pub struct RefusalEntry {
    /// `would_refuse` in shadow mode; nothing, if it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    timestamp: String,
    interaction_id: String,
    listener: String,
    method: &'static str,
    /// The template; absent where no route was found.
    route: Option<String>,
    stage: &'static str,
    code: &'static str,
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    www_authenticate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    reason: String,
    /// The question that was not passed.
    step: Step,
    /// The questions that the route asks, in their order.
    asked: Vec<Step>,
    #[serde(flatten)]
    explanation: Explanation,
}

impl RefusalEntry {
    /// The record of a refusal.
    pub fn of(
        subject: &RefusedRequest<'_>,
        Refused { step, refusal }: &Refused,
        status: Option<StatusCode>,
        explanation: Option<&Explanation>,
    ) -> Self {
        let asks = |step: &Step| subject.route.is_none_or(|route| step.is_asked_by(route));
        let challenge = refusal.challenge();
        Self {
            verdict: None,
            timestamp: subject.timestamp.to_owned(),
            interaction_id: subject.interaction_id.to_owned(),
            listener: subject.listener.to_owned(),
            method: method(subject.method),
            route: subject.route.map(|route| route.published.label.to_string()),
            stage: refusal.stage().as_str(),
            code: refusal.code(),
            status: status.map(|status| status.as_u16()),
            www_authenticate: challenge.and_then(|field| field.to_str().ok().map(str::to_owned)),
            retry_after: refusal.retry_after(),
            reason: refusal.to_string(),
            step: *step,
            asked: Step::ALL.into_iter().filter(asks).collect(),
            explanation: explanation.cloned().unwrap_or_default(),
        }
    }

    /// The record of what would have been refused, with the answer that would have been given.
    pub fn in_shadow(
        subject: &RefusedRequest<'_>,
        refused: &Refused,
        explanation: Option<&Explanation>,
    ) -> Self {
        let status = Some(refused.refusal.status());
        Self { verdict: Some("would_refuse"), ..Self::of(subject, refused, status, explanation) }
    }
}

/// A ring.
struct RefusalRing {
    capacity: usize,
    kept: Mutex<VecDeque<Arc<RefusalEntry>>>,
}

impl RefusalRing {
    fn new(capacity: usize) -> Self {
        Self { capacity, kept: Mutex::default() }
    }

    fn take(&self, decision: RefusalEntry) {
        let decision = Arc::new(decision);
        let mut kept = self.kept.lock();
        let oldest = if kept.len() >= self.capacity { kept.pop_front() } else { None };
        kept.push_back(decision);
        drop(kept);
        // Freed when nobody waits for the lock.
        drop(oldest);
    }

    fn of(&self, interaction_id: &str) -> Vec<Arc<RefusalEntry>> {
        let kept = self.kept.lock();
        // References only: writing them as JSON under the lock would keep who serves waiting.
        kept.iter().rev().filter(|d| d.interaction_id == interaction_id).cloned().collect()
    }
}

/// The rings. What anybody can have refused, over a limit or where no route is, has one of its own, and so has
/// what went on in shadow mode: a flood of it leaves the others in place.
pub struct RefusalLog {
    of_participants: RefusalRing,
    of_anybody: RefusalRing,
    in_shadow: RefusalRing,
}

/// Of so many refusals, one is kept of what anybody can have refused. For as many, one is kept beside them of
/// what went on.
const SHARE_OF_OTHERS: usize = 4;

impl RefusalLog {
    /// Keeps so many refusals, and a quarter as many of what went on in shadow mode.
    pub fn new(capacity: usize) -> Self {
        // Rounded up: where any are kept, one of these is.
        let of_anybody = capacity.div_ceil(SHARE_OF_OTHERS);
        Self {
            of_participants: RefusalRing::new(capacity.saturating_sub(of_anybody)),
            of_anybody: RefusalRing::new(of_anybody),
            in_shadow: RefusalRing::new(of_anybody),
        }
    }

    /// Takes a sample, if it is one of a refusal, or of what would have been one.
    pub(super) fn note(&self, sample: &Sample<'_>) {
        if let Some(refused) = sample.would_refuse {
            self.note_in_shadow(sample, refused);
        }
        if let Some(refused) = sample.refused {
            self.note_refusal(sample, refused);
        }
    }

    fn note_in_shadow(&self, sample: &Sample<'_>, refused: &Refused) {
        if self.in_shadow.capacity > 0 {
            let timestamp = timestamp(sample.arrived);
            let subject = subject(sample, &timestamp);
            self.in_shadow.take(RefusalEntry::in_shadow(&subject, refused, sample.explanation));
        }
    }

    fn note_refusal(&self, sample: &Sample<'_>, refused: &Refused) {
        let ring = match refused.refusal.row().ring {
            codes::Ring::Anybody => &self.of_anybody,
            codes::Ring::Known => &self.of_participants,
        };
        if ring.capacity == 0 {
            return;
        }
        let timestamp = timestamp(sample.arrived);
        let subject = subject(sample, &timestamp);
        // What went on in shadow mode was refused after it was explained.
        let explanation = sample.explanation.filter(|_| sample.would_refuse.is_none());
        ring.take(RefusalEntry::of(&subject, refused, sample.status, explanation));
    }

    /// The refusals of an interaction, the newest first, as JSON; nothing if none is kept.
    pub fn of(&self, interaction_id: &str) -> Option<String> {
        let mut found = self.of_participants.of(interaction_id);
        found.extend(self.of_anybody.of(interaction_id));
        found.extend(self.in_shadow.of(interaction_id));
        let found: Vec<&RefusalEntry> = found.iter().map(AsRef::as_ref).collect();
        if found.is_empty() { None } else { serde_json::to_string(&found).ok() }
    }
}

fn subject<'a>(sample: &Sample<'a>, timestamp: &'a str) -> RefusedRequest<'a> {
    RefusedRequest {
        timestamp,
        interaction_id: sample.interaction.as_str(),
        listener: sample.listener,
        method: sample.method,
        route: sample.route,
    }
}
