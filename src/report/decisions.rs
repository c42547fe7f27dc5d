//! The last refusals, each with what it was held against: kept in memory, read by interaction id through
//! the admin endpoint and `portaria explain --id`.
//!
//! Bounded: the oldest makes room for the newest. Holds nothing that the access log may not hold.

use std::collections::VecDeque;

use std::sync::Arc;

use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde::Serialize;

use super::access_log::{method, timestamp};
use crate::admission::{Explanation, Step};
use crate::measure::Sample;
use crate::refusal::Refusal;
use crate::route::Route;

/// What was refused.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the fields are those of the record")]
pub struct Subject<'a> {
    pub timestamp: &'a str,
    pub interaction_id: &'a str,
    pub listener: &'a str,
    pub method: &'a Method,
    pub route: Option<&'a Route>,
}

/// One refusal.
#[derive(Clone, Debug, Serialize)]
pub struct Decision {
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
    step: Option<Step>,
    /// The questions that the route asks, in their order.
    asked: Vec<Step>,
    #[serde(flatten)]
    explanation: Explanation,
}

impl Decision {
    /// The record of a refusal. Without an explanation it came after a permit.
    pub fn of(
        subject: &Subject<'_>,
        refusal: &Refusal,
        status: Option<StatusCode>,
        explanation: Option<&Explanation>,
    ) -> Self {
        let asks = |step: &Step| subject.route.is_none_or(|route| step.is_asked_by(route));
        let challenge = refusal.challenge();
        Self {
            timestamp: subject.timestamp.to_owned(),
            interaction_id: subject.interaction_id.to_owned(),
            listener: subject.listener.to_owned(),
            method: method(subject.method),
            route: subject.route.map(|route| route.label.to_string()),
            stage: refusal.stage(),
            code: refusal.verdict().code,
            status: status.map(|status| status.as_u16()),
            www_authenticate: challenge.and_then(|field| field.to_str().ok().map(str::to_owned)),
            retry_after: refusal.retry_after(),
            reason: refusal.to_string(),
            step: Step::of(refusal, explanation.is_none()),
            asked: Step::ALL.into_iter().filter(asks).collect(),
            explanation: explanation.cloned().unwrap_or_default(),
        }
    }
}

/// A ring.
struct Ring {
    capacity: usize,
    kept: Mutex<VecDeque<Arc<Decision>>>,
}

impl Ring {
    fn new(capacity: usize) -> Self {
        Self { capacity, kept: Mutex::default() }
    }

    fn take(&self, decision: Decision) {
        let decision = Arc::new(decision);
        let mut kept = self.kept.lock();
        let oldest = if kept.len() >= self.capacity { kept.pop_front() } else { None };
        kept.push_back(decision);
        drop(kept);
        // Freed when nobody waits for the lock.
        drop(oldest);
    }

    fn of(&self, interaction_id: &str) -> Vec<Arc<Decision>> {
        let kept = self.kept.lock();
        kept.iter().rev().filter(|d| d.interaction_id == interaction_id).cloned().collect()
    }
}

/// The rings. What anybody can have refused, over a limit or where no route is, has one of its own: a flood
/// of it leaves the others in place.
pub struct Decisions {
    of_participants: Ring,
    of_anybody: Ring,
}

/// Of so many refusals, one is kept of what anybody can have refused.
const SHARE_OF_ANYBODY: usize = 4;

impl Decisions {
    /// Keeps so many refusals.
    pub fn new(capacity: usize) -> Self {
        let of_anybody = capacity.div_ceil(SHARE_OF_ANYBODY);
        Self {
            of_participants: Ring::new(capacity.saturating_sub(of_anybody)),
            of_anybody: Ring::new(of_anybody),
        }
    }

    /// Takes a sample, if it is a refusal's.
    pub(super) fn note(&self, sample: &Sample<'_>) {
        let Some(refusal) = sample.refusal else {
            return;
        };
        let ring = match refusal {
            Refusal::Limits(_)
            | Refusal::Route(_)
            | Refusal::Version(_)
            | Refusal::Request(_)
            | Refusal::Event(_) => &self.of_anybody,
            Refusal::Identity(_)
            | Refusal::Interaction(_)
            | Refusal::Token(_)
            | Refusal::Scope(_)
            | Refusal::Parameter(_)
            | Refusal::Consent(_)
            | Refusal::Idempotency(_)
            | Refusal::Upstream(_)
            | Refusal::Internal => &self.of_participants,
        };
        if ring.capacity == 0 {
            return;
        }
        let subject = Subject {
            timestamp: &timestamp(sample),
            interaction_id: sample.interaction.as_str(),
            listener: sample.listener,
            method: sample.method,
            route: sample.route,
        };
        ring.take(Decision::of(&subject, refusal, sample.status, sample.explanation));
    }

    /// The refusals of an interaction, the newest first, as JSON; nothing if none is kept.
    pub fn of(&self, interaction_id: &str) -> Option<String> {
        let mut found = self.of_participants.of(interaction_id);
        found.extend(self.of_anybody.of(interaction_id));
        let found: Vec<&Decision> = found.iter().map(AsRef::as_ref).collect();
        if found.is_empty() { None } else { serde_json::to_string(&found).ok() }
    }
}
