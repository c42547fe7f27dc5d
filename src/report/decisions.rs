//! The last refusals, each with what it was held against: kept in memory, read by interaction id through
//! the admin endpoint and `portaria explain --id`.
//!
//! Bounded: the oldest makes room for the newest. Holds nothing that the access log may not hold.

use std::collections::VecDeque;

use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use super::access_log::{method, timestamp};
use crate::admission::Explanation;
use crate::measure::Sample;
use crate::refusal::Refusal;

/// One refusal.
#[derive(Clone, Debug, Serialize)]
struct Decision {
    timestamp: String,
    interaction_id: String,
    listener: String,
    method: &'static str,
    /// The template; absent where no route was found.
    route: Option<String>,
    stage: &'static str,
    code: &'static str,
    status: Option<u16>,
    reason: String,
    #[serde(flatten)]
    explanation: Explanation,
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
        let decision = Decision {
            timestamp: timestamp(sample),
            interaction_id: sample.interaction.as_str().to_owned(),
            listener: sample.listener.to_owned(),
            method: method(sample.method),
            route: sample.route.map(|route| route.label.to_string()),
            stage: refusal.stage(),
            code: refusal.verdict().code,
            status: sample.status.map(|status| status.as_u16()),
            reason: refusal.to_string(),
            explanation: sample.explanation.cloned().unwrap_or_default(),
        };
        ring.take(decision);
    }

    /// The refusals of an interaction, the newest first, as JSON; nothing if none is kept.
    pub fn of(&self, interaction_id: &str) -> Option<String> {
        let mut found = self.of_participants.of(interaction_id);
        found.extend(self.of_anybody.of(interaction_id));
        let found: Vec<&Decision> = found.iter().map(AsRef::as_ref).collect();
        if found.is_empty() { None } else { serde_json::to_string(&found).ok() }
    }
}
