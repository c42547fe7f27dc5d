//! What the registry answered, kept briefly: one question per consent, however many requests wait for
//! the answer, and that many answers at most.
//!
//! An answer is filed under the consent AND its revision: after [`super::Changes`] advanced it, nothing
//! that was asked before can be found, not even an answer that is still on its way.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::registry::ChosenBy;
use super::{ConsentError, ConsentId, ConsentKind, Memory, Registry};
use crate::ask::RemoteError;
use crate::digest::{Digest, Hashing, places};
use crate::moment::Moment;
use crate::terms::{ConsentStatus, Terms};

/// What there is to tell of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryNotice {
    /// It described a consent.
    Answered,
    /// It has no such consent.
    Unknown,
    /// It gave no answer, or none that was understood.
    Failed(RemoteError),
    /// It could not be asked, and an old answer served a request.
    Stale,
}

/// Is told of the registry.
pub type RegistryWitness = Arc<dyn Fn(RegistryNotice) + Send + Sync>;

/// The registry, and what is kept of its answers.
pub(super) struct RegistryAnswers {
    registry: Registry,
    /// For how long a consent may await its confirmation.
    window: Option<Duration>,
    kept: moka::future::Cache<AnswerKey, Arc<Terms>, Hashing>,
    unknown: moka::sync::Cache<AnswerKey, (), Hashing>,
    keep: Duration,
    /// What may serve during an outage: the last answer, where it was AUTHORISED.
    old: Option<moka::sync::Cache<AnswerKey, Old, Hashing>>,
    witness: RegistryWitness,
}

#[derive(Clone)]
struct Old {
    terms: Arc<Terms>,
    /// On the monotonic clock, and no later than it was asked for.
    asked_at: Duration,
}

/// Unknown consents are a caller's guess or slip: they need not be remembered like those that exist.
const MOST_UNKNOWN: u64 = 10_000;

impl RegistryAnswers {
    pub(super) fn new(
        registry: Registry,
        window: Option<Duration>,
        memory: Memory,
        witness: RegistryWitness,
    ) -> Self {
        // Of moka's caches the one for futures: it asks once, however many requests wait for the answer.
        let kept = moka::future::Cache::builder()
            .max_capacity(memory.capacity)
            .weigher(|_: &AnswerKey, terms: &Arc<Terms>| places(terms.size()))
            .time_to_live(memory.keep)
            .build_with_hasher(Hashing::default());
        let unknown = moka::sync::Cache::builder()
            .max_capacity(memory.capacity.min(MOST_UNKNOWN))
            .time_to_live(memory.keep_unknown)
            .build_with_hasher(Hashing::default());
        let old = memory.stale_for.map(|longest| {
            moka::sync::Cache::builder()
                .max_capacity(memory.capacity)
                .weigher(|_: &AnswerKey, old: &Old| places(old.terms.size()))
                .time_to_live(memory.keep + longest)
                .build_with_hasher(Hashing::default())
        });
        Self { registry, window, kept, unknown, keep: memory.keep, old, witness }
    }

    /// What the registry says of the consent `id`, which is filed under `key`. In an outage, what it
    /// said before does, if that has been out of date for no longer than `stale_for`.
    pub(super) async fn of(
        &self,
        key: AnswerKey,
        id: &ConsentId,
        chosen: ChosenBy<'_>,
        stale_for: Option<Duration>,
        now: Moment,
    ) -> Result<Arc<Terms>, ConsentError> {
        if let Some(terms) = self.kept.get(&key).await {
            return Ok(terms);
        }
        // A cache of its own, for `try_get_with` keeps no error.
        if self.unknown.contains_key(&key) {
            return Err(ConsentError::Unknown);
        }
        // Boxed: what is rare must not make every request's future larger.
        let ask = Box::pin(self.ask(key, id, chosen, now));
        match Box::pin(self.kept.try_get_with(key, ask)).await {
            Ok(terms) => Ok(terms),
            Err(not_kept) => match &*not_kept {
                NotKept::Fleeting(terms) => Ok(terms.clone()),
                NotKept::Failure(error @ ConsentError::Registry(fault)) if fault.is_outage() => {
                    self.old(key, stale_for, now).ok_or(*error)
                }
                NotKept::Failure(error) => Err(*error),
            },
        }
    }

    /// What is kept under `key`.
    pub(super) async fn recall(&self, key: AnswerKey) -> Option<Arc<Terms>> {
        self.kept.get(&key).await
    }

    /// The last answer, unless something else was heard since.
    fn old(&self, key: AnswerKey, stale_for: Option<Duration>, now: Moment) -> Option<Arc<Terms>> {
        let old = self.old.as_ref()?.get(&key)?;
        let age = now.since_start().saturating_sub(old.asked_at);
        // From when it was asked for: how long the registry took is no freshness.
        if age > self.keep + stale_for? {
            return None;
        }
        (self.witness)(RegistryNotice::Stale);
        Some(old.terms)
    }

    async fn ask(
        &self,
        key: AnswerKey,
        id: &ConsentId,
        chosen: ChosenBy<'_>,
        now: Moment,
    ) -> Result<Arc<Terms>, NotKept> {
        let answer = self.registry.look_up(key.kind, id, chosen).await;
        (self.witness)(match &answer {
            Ok(_) => RegistryNotice::Answered,
            Err(ConsentError::Unknown) => RegistryNotice::Unknown,
            Err(ConsentError::Registry(error)) => RegistryNotice::Failed(*error),
            // The registry says nothing else.
            Err(_) => RegistryNotice::Unknown,
        });
        let answer = answer.map(Arc::new);
        self.keep_old(key, &answer, now);
        match answer {
            // The customer confirms elsewhere: kept, this would refuse what is allowed by then.
            Ok(terms) if terms.status_at(now, self.window).is_pending() => {
                Err(NotKept::Fleeting(terms))
            }
            Ok(terms) => Ok(terms),
            Err(error) => {
                if error == ConsentError::Unknown {
                    self.unknown.insert(key, ());
                }
                Err(NotKept::Failure(error))
            }
        }
    }

    /// Keeps an answer for an outage; one that permits nothing, or that is none, ends what was kept.
    fn keep_old(&self, key: AnswerKey, answer: &Result<Arc<Terms>, ConsentError>, now: Moment) {
        let Some(old) = &self.old else { return };
        match answer {
            Ok(terms) if terms.status_at(now, self.window) == ConsentStatus::Authorised => {
                old.insert(key, Old { terms: terms.clone(), asked_at: now.since_start() });
            }
            Err(ConsentError::Registry(error)) if error.is_outage() => {}
            Ok(_) | Err(_) => old.invalidate(&key),
        }
    }
}

/// An answer that serves the requests that wait for it, and no later one.
enum NotKept {
    Fleeting(Arc<Terms>),
    Failure(ConsentError),
}

/// What an answer is filed under.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct AnswerKey {
    pub(super) id: Digest,
    pub(super) kind: ConsentKind,
    pub(super) revision: u64,
}

impl Hash for AnswerKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The kind is left to `eq`: no id is one of both.
        state.write_u64(self.id.prefix() ^ self.revision);
    }
}
