//! What the registry answered, kept briefly: one question per consent, however many requests wait for
//! the answer, and that many answers at most.
//!
//! An answer is filed under the consent AND its revision: after [`super::Changes`] advanced it, nothing
//! that was asked before can be found, not even an answer that is still on its way.

use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::{ConsentDigest, ConsentError, ConsentId, ConsentKind, Memory, Registry};
use crate::moment::Moment;
use crate::terms::Terms;

/// What a question to the registry came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A description.
    Answered,
    /// There is no such consent.
    Unknown,
    /// No answer, or none that was understood.
    Failed,
}

/// Learns what each question to the registry came to.
pub type Witness = Arc<dyn Fn(Asked) + Send + Sync>;

type Hashing = BuildHasherDefault<KeyHasher>;

/// The registry, and what is kept of its answers.
pub(super) struct Answers {
    registry: Registry,
    /// For how long a consent may await its confirmation.
    window: Option<Duration>,
    kept: moka::future::Cache<Key, Arc<Terms>, Hashing>,
    unknown: moka::sync::Cache<Key, (), Hashing>,
    witness: Witness,
}

/// Unknown consents are a caller's guess or slip: they need not be remembered like those that exist.
const MOST_UNKNOWN: u64 = 10_000;

impl Answers {
    pub(super) fn new(
        registry: Registry,
        window: Option<Duration>,
        memory: Memory,
        witness: Witness,
    ) -> Self {
        let kept = moka::future::Cache::builder()
            .max_capacity(memory.capacity)
            .time_to_live(memory.keep)
            .build_with_hasher(Hashing::default());
        let unknown = moka::sync::Cache::builder()
            .max_capacity(memory.capacity.min(MOST_UNKNOWN))
            .time_to_live(memory.keep_unknown)
            .build_with_hasher(Hashing::default());
        Self { registry, window, kept, unknown, witness }
    }

    /// What the registry says of the consent `id`, which is filed under `key`.
    pub(super) async fn of(
        &self,
        key: Key,
        id: &ConsentId,
        now: Moment,
    ) -> Result<Arc<Terms>, ConsentError> {
        if let Some(terms) = self.kept.get(&key).await {
            return Ok(terms);
        }
        if self.unknown.contains_key(&key) {
            return Err(ConsentError::Unknown);
        }
        match self.kept.try_get_with(key, self.ask(key, id, now)).await {
            Ok(terms) => Ok(terms),
            Err(not_kept) => match &*not_kept {
                NotKept::Fleeting(terms) => Ok(terms.clone()),
                NotKept::Failure(error) => Err(*error),
            },
        }
    }

    async fn ask(&self, key: Key, id: &ConsentId, now: Moment) -> Result<Arc<Terms>, NotKept> {
        let answer = self.registry.look_up(key.kind, id).await;
        (self.witness)(match &answer {
            Ok(_) => Asked::Answered,
            Err(ConsentError::Unknown) => Asked::Unknown,
            Err(_) => Asked::Failed,
        });
        match answer {
            Ok(terms) => {
                let terms = Arc::new(terms);
                // The customer confirms elsewhere: kept, this would refuse what is allowed by then.
                match terms.status_at(now, self.window).is_pending() {
                    true => Err(NotKept::Fleeting(terms)),
                    false => Ok(terms),
                }
            }
            Err(error) => {
                if error == ConsentError::Unknown {
                    self.unknown.insert(key, ());
                }
                Err(NotKept::Failure(error))
            }
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
pub(super) struct Key {
    pub(super) id: ConsentDigest,
    pub(super) kind: ConsentKind,
    pub(super) revision: u64,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.id.prefix() ^ self.revision);
    }
}

/// A key that begins with a SHA-256 needs no further hashing.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().take(8).fold(0, |hash, byte| (hash << 8) | u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
