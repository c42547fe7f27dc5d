//! The last refusals, each with what it was held against: kept in memory, read by interaction id through
//! the admin endpoint and `portaria explain --id`.
//!
//! Bounded: the oldest makes room for the newest. Holds nothing that the access log may not hold.

use std::collections::VecDeque;

use parking_lot::Mutex;
use serde::Serialize;

use super::access_log::{method, timestamp};
use crate::admission::Explanation;
use crate::measure::Sample;

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

/// The ring.
pub struct Decisions {
    capacity: usize,
    kept: Mutex<VecDeque<Decision>>,
}

impl Decisions {
    /// Keeps so many refusals.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, kept: Mutex::default() }
    }

    /// Takes a sample, if it is a refusal's.
    pub(super) fn note(&self, sample: &Sample<'_>) {
        let (Some(refusal), true) = (sample.refusal, self.capacity > 0) else {
            return;
        };
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
        let mut kept = self.kept.lock();
        if kept.len() >= self.capacity {
            kept.pop_front();
        }
        kept.push_back(decision);
    }

    /// The refusals of an interaction, the newest first, as JSON; nothing if none is kept.
    pub fn of(&self, interaction_id: &str) -> Option<String> {
        let kept = self.kept.lock();
        let found: Vec<&Decision> =
            kept.iter().rev().filter(|d| d.interaction_id == interaction_id).collect();
        if found.is_empty() { None } else { serde_json::to_string(&found).ok() }
    }
}
