//! The key set of one issuer: in force, read again in the background, and looked up once more when a token
//! names a key that it lacks.
//!
//! A set counts for `stale_for` after it was last read; then, and as long as none was ever read, nothing can be
//! decided. After a lookup the next one waits for the cool-down: made-up kids cost the authorization server one
//! request per cool-down. Within it a set that was read a moment ago says that a key does not exist; an older one
//! does not, whoever asked before and for which `kid`: the key may be new.
//!
//! A set that cannot be read never replaces one that could, but for one: a well-formed set without any usable
//! key says that the keys are withdrawn.

mod flight;
pub mod kept;
pub mod origin;
pub mod pace;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use async_trait::async_trait;
use thiserror::Error;
use tokio::task::JoinSet;

use crate::ask::RemoteError;
use crate::moment::Moment;
use crate::token::algorithm::Algorithm;
use crate::token::jwks::{KeySet, KeySetError, LONGEST_KID};
use crate::token::{IssuerKeys, KeysInForce, TokenError, Tokens};
use flight::{Lookup, Plan};
use kept::KeySetKeeper;
use origin::Fetched;
pub use origin::Origin;
pub use pace::Pace;

/// For how long after it was read a set says that there is no other key.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// Why a key set could not be read.
#[derive(Debug, Error)]
pub enum KeySetFetchError {
    /// The file cannot be read.
    #[error("cannot read the file: {0}")]
    File(#[from] io::Error),
    /// The authorization server gave no usable answer.
    #[error("cannot fetch: {0}")]
    Remote(#[from] RemoteError),
    /// The issuer's metadata is not JSON, is another issuer's, or names no acceptable `jwks_uri`.
    #[error("the issuer's metadata {0}")]
    Metadata(&'static str),
    /// What was read is no key set.
    #[error(transparent)]
    KeySet(#[from] KeySetError),
}

impl KeySetFetchError {
    /// The name in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Remote(error) => error.reason(),
            Self::Metadata(_) => "metadata",
            Self::KeySet(error) => error.reason(),
        }
    }
}

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
pub enum KeySetEvent<'a> {
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
        error: &'a KeySetFetchError,
        /// Whether there is a set that counts all the same.
        counts_on: bool,
    },
    /// It was read, but could not be kept for the next start.
    NotKept(&'a io::Error),
    /// A token named a key that it lacks.
    UnknownKey,
}

/// Is told what happens to the key set of an issuer.
pub type KeySetWitness = Arc<dyn Fn(&str, &KeySetEvent<'_>) + Send + Sync>;

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
    pub keeper: Option<KeySetKeeper>,
    /// Who is told.
    pub witness: Option<KeySetWitness>,
}

/// A set in force, and until when.
struct InForce {
    set: Arc<KeysInForce>,
    /// Until when it is as good as what a lookup would find.
    fresh_until: Duration,
    usable_until: Duration,
}

/// The key set of one issuer.
pub struct KeySource {
    setup: Setup,
    plan: Mutex<Plan>,
    in_force: ArcSwapOption<InForce>,
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySource").field("issuer", &self.setup.issuer).finish_non_exhaustive()
    }
}

impl KeySource {
    /// A source that has not been read yet.
    pub fn new(setup: Setup) -> Self {
        Self { setup, in_force: ArcSwapOption::empty(), plan: Mutex::default() }
    }

    /// How it is read.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Begins with a set that was read `age` ago.
    pub fn begin_with(&self, keys: KeySet, age: Duration, now: Moment) {
        self.put_in_force(&mut self.plan.lock(), keys, age, now);
    }

    /// Reads the set once, without putting it in force.
    pub async fn read(&self) -> Result<Fetched, KeySetFetchError> {
        // Over all of it: discovery asks twice or three times, each with a deadline of its own.
        let reading = tokio::time::timeout(self.setup.pace.timeout, self.setup.origin.read());
        reading.await.unwrap_or(Err(KeySetFetchError::Remote(RemoteError::Timeout)))
    }

    fn tell(&self, event: &KeySetEvent<'_>) {
        if let Some(witness) = &self.setup.witness {
            witness(&self.setup.issuer, event);
        }
    }

    fn usable(&self, now: Moment) -> Option<Arc<InForce>> {
        self.in_force.load_full().filter(|set| set.counts(now))
    }

    /// Puts a set in force that was read `age` ago. Returns whether its keys are others than before.
    fn put_in_force(&self, plan: &mut Plan, keys: KeySet, age: Duration, now: Moment) -> bool {
        let before = self.in_force.load_full();
        let changed = before.is_none_or(|before| !before.set.keys.is_same_as(&keys));
        // Only with other keys: every revision makes each cached token be verified again.
        plan.revision += u64::from(changed);
        let pace = &self.setup.pace;
        // `age` may exceed `time`: then it counts no longer, from now on.
        let after = |time: Duration| now.since_start().saturating_add(time.saturating_sub(age));
        let (fresh_until, usable_until) = (after(FRESH_FOR), after(pace.stale_for));
        let set = Arc::new(KeysInForce { keys, revision: plan.revision });
        self.in_force.store(Some(Arc::new(InForce { set, fresh_until, usable_until })));
        changed
    }

    /// Takes the set out of force: its keys were withdrawn.
    fn withdraw(&self) {
        self.in_force.store(None);
    }
}

/// Reads all key sets of a stage, at the same time, and waits for them.
pub async fn read_all(tokens: &Tokens, now: Moment) {
    let mut reads = JoinSet::new();
    for keys in tokens.issuers().keys().cloned() {
        reads.spawn(keys.refresh(now));
    }
    reads.join_all().await;
}

#[async_trait]
impl IssuerKeys for KeySource {
    fn issuer(&self) -> &str {
        &self.setup.issuer
    }

    fn vouches_for(&self, revision: u64, now: Moment) -> bool {
        // No lock and no count: every request with a known token comes by here.
        let in_force = self.in_force.load();
        let counts = |of: &Arc<InForce>| of.set.revision == revision && of.counts(now);
        in_force.as_ref().is_some_and(counts)
    }

    fn is_ready(&self, now: Moment) -> bool {
        self.usable(now).is_some()
    }

    async fn with_key(
        self: Arc<Self>,
        kid: Option<&str>,
        now: Moment,
    ) -> Result<Arc<KeysInForce>, TokenError> {
        let cause = match self.usable(now) {
            Some(of) if of.set.keys.find(kid).is_some() => return Ok(of.set.clone()),
            Some(_) => {
                // Told before the lookup: a flood of made-up kids must show while the server does not answer.
                self.tell(&KeySetEvent::UnknownKey);
                // Nothing to look up: no name, or one that no key has.
                if kid.is_none_or(|kid| kid.len() > LONGEST_KID) {
                    return Err(TokenError::UnknownKey);
                }
                Cause::UnknownKey
            }
            None => Cause::NoKeys,
        };
        let lookup = self.look_up(cause, now).await;
        // Whatever came of the lookup: a scheduled read may have brought the key meanwhile.
        let of = self.usable(now).ok_or(TokenError::NoKeys)?;
        if of.set.keys.find(kid).is_some() {
            Ok(of.set.clone())
        } else {
            Err(of.lacks(lookup, now))
        }
    }

    fn refresh_if_due(self: Arc<Self>, now: Moment) {
        self.begin_if_due(now);
    }

    async fn refresh(self: Arc<Self>, now: Moment) {
        self.read_and_wait(now).await;
    }
}

impl InForce {
    /// What it means that the set lacks a key, after a lookup: what was read a moment ago is believed, whatever is
    /// older leaves it open.
    fn lacks(&self, lookup: Lookup, now: Moment) -> TokenError {
        match lookup {
            Lookup::Read { since_asked: true } => TokenError::UnknownKey,
            _ if now.since_start() < self.fresh_until => TokenError::UnknownKey,
            Lookup::Read { since_asked: false } | Lookup::Cooling | Lookup::Failed => {
                TokenError::NoKeys
            }
        }
    }

    fn counts(&self, now: Moment) -> bool {
        now.since_start() < self.usable_until
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::UNIX_EPOCH;

    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    fn at(seconds: u64) -> Moment {
        let wall = UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds);
        Moment::at(Duration::from_secs(1000 + seconds), wall)
    }

    fn source(file: &Path) -> Arc<KeySource> {
        Arc::new(KeySource::new(Setup {
            issuer: "https://as.example".into(),
            origin: Origin::File(file.to_owned()),
            algorithms: vec![Algorithm::Ps256],
            pace: Pace {
                refresh_interval: Duration::from_secs(60),
                stale_for: Duration::from_secs(100),
                lookup_cooldown: Duration::from_secs(10),
                timeout: Duration::from_secs(5),
            },
            keeper: None,
            witness: None,
        }))
    }

    fn publish(file: &Path, kids: &[&str]) {
        let modulus = URL_SAFE_NO_PAD.encode([0xff; 256]);
        let key = |kid: &&str| json!({"kty": "RSA", "kid": kid, "n": modulus, "e": "AQAB"});
        let keys: Vec<_> = kids.iter().map(key).collect();
        std::fs::write(file, json!({ "keys": keys }).to_string()).unwrap();
    }

    /// What becomes of a kid at some second.
    async fn ask(source: &Arc<KeySource>, kid: &str, second: u64) -> Result<u64, TokenError> {
        source.clone().with_key(Some(kid), at(second)).await.map(|set| set.revision)
    }

    const UNKNOWN: Result<u64, TokenError> = Err(TokenError::UnknownKey);
    const UNDECIDED: Result<u64, TokenError> = Err(TokenError::NoKeys);

    #[tokio::test]
    async fn a_key_is_looked_up_once_per_cooldown_and_decided_as_long_as_the_set_can() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("jwks.json");
        let source = source(&file);
        assert_eq!(ask(&source, "a", 0).await, UNDECIDED, "there is nothing to read");
        publish(&file, &["a"]);
        assert_eq!(ask(&source, "a", 9).await, UNDECIDED, "the cool-down");
        assert_eq!(ask(&source, "a", 10).await, Ok(1));
        publish(&file, &["a", "b"]);
        assert_eq!(ask(&source, "b", 11).await, Ok(2));
        assert!(source.vouches_for(2, at(12)) && !source.vouches_for(1, at(12)));
        publish(&file, &["a", "b", "z"]);
        assert_eq!(ask(&source, "z", 12).await, UNDECIDED, "the cool-down; the key may be new");
        assert_eq!(ask(&source, "z", 20).await, UNDECIDED, "however long it lasts");
        assert_eq!(ask(&source, "z", 21).await, Ok(3));
        assert_eq!(ask(&source, "c", 31).await, UNKNOWN, "looked up");
        assert_eq!(ask(&source, "d", 31).await, UNKNOWN, "the set is fresh");
        publish(&file, &["a", "b", "c", "d"]);
        assert_eq!(ask(&source, "c", 32).await, UNDECIDED, "nobody's guess is remembered");
        assert_eq!(ask(&source, "c", 41).await, Ok(4));
        assert_eq!(ask(&source, "d", 41).await, Ok(4));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(ask(&source, "e", 42).await, UNDECIDED, "the cool-down");
        assert_eq!(ask(&source, "e", 52).await, UNDECIDED, "the lookup failed");
        assert_eq!(ask(&source, "e", 53).await, UNDECIDED, "the cool-down; the set is not fresh");
        assert_eq!(ask(&source, "a", 140).await, Ok(4), "the last good set counts");
        assert!(source.vouches_for(4, at(140)) && !source.vouches_for(4, at(141)));
        assert_eq!(ask(&source, "a", 142).await, UNDECIDED, "and no longer");
        publish(&file, &["a"]);
        assert_eq!(ask(&source, "a", 152).await, Ok(5));
    }

    #[tokio::test]
    async fn a_set_that_was_kept_is_as_old_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("jwks.json");
        publish(&file, &["a"]);
        let keys = || KeySet::parse(&std::fs::read(&file).unwrap(), &[Algorithm::Ps256]).unwrap();
        let source = source(&directory.path().join("nowhere"));
        source.begin_with(keys(), Duration::from_secs(95), at(0));
        assert_eq!(ask(&source, "a", 4).await, Ok(1));
        assert_eq!(ask(&source, "b", 4).await, UNDECIDED, "it is not fresh");
        assert_eq!(ask(&source, "a", 5).await, UNDECIDED);
    }

    #[tokio::test]
    async fn a_set_is_read_again_when_it_is_due_and_withdrawn_when_it_is_empty() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("jwks.json");
        publish(&file, &["a"]);
        let source = source(&file);
        source.clone().refresh(at(0)).await;
        publish(&file, &["b"]);
        source.clone().refresh_if_due(at(53));
        assert!(source.plan.lock().flight_cause().is_none(), "it is not due");
        source.clone().refresh_if_due(at(54));
        assert_eq!(source.plan.lock().flight_cause(), Some(Cause::Schedule));
        source.clone().refresh(at(54)).await;
        assert!(source.vouches_for(2, at(55)));
        publish(&file, &[]);
        source.clone().refresh(at(56)).await;
        assert!(!source.is_ready(at(56)));
    }
}
