//! The key set of one issuer: in force, read again in the background, and looked up once more when a token
//! names a key that it lacks.
//!
//! A set counts for `stale_for` after it was last read; then, and as long as none was ever read, nothing can be
//! decided. After a lookup the next one waits for the cool-down, and a `kid` that a lookup did not find is
//! remembered for a while: made-up kids cost the authorization server one request per cool-down.
//!
//! A set that cannot be read never replaces one that could, but for one: a well-formed set without any usable
//! key says that the keys are withdrawn.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use super::flight::{Lookup, Plan};
use super::kept::Keeper;
use super::origin::Read;
use super::{KeySet, KeySetError, Origin, Pace};
use crate::moment::Moment;
use crate::remote::RemoteError;
use crate::token::TokenError;
use crate::token::algorithm::Algorithm;

/// Unknown kids that are remembered, per issuer.
const MOST_UNKNOWN: u64 = 1000;

/// Why a set is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It was due, or the configuration was read.
    Schedule,
    /// A token names a key that the set lacks.
    UnknownKey,
    /// A token is to be verified, and there is no set.
    NoKeys,
}

impl Cause {
    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::UnknownKey => "unknown_key",
            Self::NoKeys => "no_keys",
        }
    }
}

/// What happens to a key set.
#[derive(Debug)]
pub enum Event<'a> {
    /// It was read.
    Read {
        /// Why.
        cause: Cause,
        /// Whether its keys are others than before.
        changed: bool,
    },
    /// It could not be read.
    Failed {
        /// Why it was to be.
        cause: Cause,
        /// What was in the way.
        error: &'a KeySetError,
    },
    /// It was read, but could not be kept for the next start.
    NotKept(&'a io::Error),
    /// A token named a key that it lacks.
    UnknownKey,
}

/// Is told what happens to the key set of an issuer.
pub type Witness = Arc<dyn Fn(&str, &Event<'_>) + Send + Sync>;

/// How the key set of an issuer is read.
pub struct Setup {
    /// Whose keys they are.
    pub issuer: String,
    /// Where they come from.
    pub origin: Origin,
    /// What they are to verify.
    pub algorithms: Vec<Algorithm>,
    /// How often.
    pub pace: Pace,
    /// Where they are kept for the next start.
    pub keeper: Option<Keeper>,
    /// Who is told.
    pub witness: Option<Witness>,
}

/// A set in force.
pub struct InForce {
    /// The keys.
    pub keys: KeySet,
    /// Tells these keys from those before.
    pub revision: u64,
    read_at: Duration,
    usable_until: Duration,
}

/// The key set of one issuer.
pub struct KeySource {
    pub(super) setup: Setup,
    pub(super) plan: Mutex<Plan>,
    in_force: ArcSwapOption<InForce>,
    unknown: moka::sync::Cache<Box<str>, ()>,
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySource").field("issuer", &self.setup.issuer).finish_non_exhaustive()
    }
}

impl KeySource {
    /// A source that has not been read yet.
    pub fn new(setup: Setup) -> Self {
        let unknown = moka::sync::Cache::builder()
            .max_capacity(MOST_UNKNOWN)
            .time_to_live(setup.pace.unknown_for())
            .build();
        Self { setup, in_force: ArcSwapOption::empty(), unknown, plan: Mutex::default() }
    }

    /// How it is read.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Begins with a set that was read `age` ago, which is also how long it does not count any more.
    pub fn begin_with(&self, keys: KeySet, age: Duration, now: Moment) {
        let mut plan = self.plan.lock();
        let left = self.setup.pace.stale_for.saturating_sub(age);
        self.put_in_force(&mut plan, keys, now, left);
    }

    /// Whether what the keys of a revision verified still counts.
    pub fn vouches_for(&self, revision: u64, now: Moment) -> bool {
        let in_force = self.in_force.load();
        let counts = |set: &Arc<InForce>| set.revision == revision && set.counts(now);
        in_force.as_ref().is_some_and(counts)
    }

    /// Whether there is a set that counts.
    pub fn is_ready(&self, now: Moment) -> bool {
        self.usable(now).is_some()
    }

    /// The set that has the key of a name, looked up once more if need be.
    pub async fn with_key(
        self: &Arc<Self>,
        kid: Option<&str>,
        now: Moment,
    ) -> Result<Arc<InForce>, TokenError> {
        let cause = match self.usable(now) {
            Some(set) if set.keys.find(kid).is_some() => return Ok(set),
            Some(_) => {
                self.tell(&Event::UnknownKey);
                // Without a name, or one that a lookup did not find, there is nothing to look up.
                if kid.is_none_or(|kid| self.unknown.contains_key(kid)) {
                    return Err(TokenError::UnknownKey);
                }
                Cause::UnknownKey
            }
            None => Cause::NoKeys,
        };
        let lookup = self.look_up(cause, now).await;
        let set = self.usable(now).ok_or(TokenError::NoKeys)?;
        if set.keys.find(kid).is_some() { Ok(set) } else { Err(self.lacks(&set, kid, lookup, now)) }
    }

    /// What it means that a set lacks a key. As long as it is hardly older than a lookup would have it, the key
    /// does not exist; else nobody knows.
    fn lacks(&self, set: &InForce, kid: Option<&str>, lookup: Lookup, now: Moment) -> TokenError {
        if let (Some(kid), Lookup::Read { since_asked: true }) = (kid, lookup) {
            self.unknown.insert(kid.into(), ());
        }
        let age = now.since_start().saturating_sub(set.read_at);
        match lookup {
            Lookup::Read { .. } => TokenError::UnknownKey,
            _ if age < self.setup.pace.lookup_cooldown => TokenError::UnknownKey,
            Lookup::Cooling | Lookup::Failed => TokenError::NoKeys,
        }
    }

    /// Reads the set once, without putting it in force.
    pub async fn read(&self) -> Result<Read, KeySetError> {
        let reading = tokio::time::timeout(self.setup.pace.timeout, self.setup.origin.read());
        reading.await.unwrap_or(Err(KeySetError::Remote(RemoteError::Timeout)))
    }

    pub(super) fn tell(&self, event: &Event<'_>) {
        if let Some(witness) = &self.setup.witness {
            witness(&self.setup.issuer, event);
        }
    }

    fn usable(&self, now: Moment) -> Option<Arc<InForce>> {
        self.in_force.load_full().filter(|set| set.counts(now))
    }

    /// Puts a set in force that counts for so long from `now`. Returns whether its keys are others than before.
    pub(super) fn put_in_force(
        &self,
        plan: &mut Plan,
        keys: KeySet,
        now: Moment,
        counts_for: Duration,
    ) -> bool {
        let before = self.in_force.load_full();
        let changed = before.is_none_or(|before| !before.keys.is_same_as(&keys));
        plan.revision += u64::from(changed);
        let read_at = now.since_start();
        let usable_until = read_at.saturating_add(counts_for);
        let set = InForce { keys, revision: plan.revision, read_at, usable_until };
        self.in_force.store(Some(Arc::new(set)));
        if changed {
            self.unknown.invalidate_all();
        }
        changed
    }

    /// Takes the set out of force: its keys were withdrawn.
    pub(super) fn withdraw(&self) {
        self.in_force.store(None);
    }
}

impl InForce {
    fn counts(&self, now: Moment) -> bool {
        now.since_start() < self.usable_until
    }
}
