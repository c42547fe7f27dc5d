//! The last good key set of an issuer on disk: it decides from the first request after a start, for as long
//! as it would have without one, though the authorization server cannot be reached.
//!
//! What is read back must be of the same issuer, of a time that has been, and a key set. It counts from when
//! it was read from the authorization server, not from when it was read back.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::ask::LONGEST_ANSWER;
use crate::last_good::LastGood;
use crate::moment::Moment;

use crate::token::algorithm::Algorithm;
use crate::token::jwks::{KeySet, KeySetError};

/// The clock may have been set back by so much since the set was kept.
const SKEW: u64 = 60;
/// What stands around the set.
const AROUND: usize = 8 * 1024;

/// Why a kept set does not count.
#[derive(Debug, Error)]
pub enum RecallError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    File(#[from] io::Error),
    /// Whoever is on the machine could have written it.
    #[error("can be written to by everybody on the machine")]
    Everybody,
    /// It is not what was written.
    #[error("is not a kept key set")]
    Malformed,
    /// It is another issuer's.
    #[error("is another issuer's")]
    Issuer,
    /// It says that it was read in the future.
    #[error("was read in the future")]
    Future,
    /// Its keys are not usable.
    #[error("{0}")]
    KeySet(#[from] KeySetError),
}

/// What was kept.
pub struct Recalled {
    /// The keys.
    pub keys: KeySet,
    /// How long ago they were read from the authorization server.
    pub age: Duration,
}

#[derive(Serialize, Deserialize)]
struct KeptKeySet {
    issuer: String,
    read_at: u64,
    /// As it was read: parsed and written anew it could say something else.
    key_set: Box<RawValue>,
}

/// Keeps the sets of one issuer.
#[derive(Clone)]
pub struct KeySetKeeper {
    issuer: String,
    place: LastGood,
    /// When what was written last was read: a slow write must not undo a later one.
    written: Arc<Mutex<Duration>>,
}

impl KeySetKeeper {
    /// A keeper in a directory.
    pub fn new(directory: &Path, issuer: &str) -> Self {
        let place = LastGood::of(directory, issuer, "json");
        Self { issuer: issuer.to_owned(), place, written: Arc::default() }
    }

    /// The file.
    pub fn file(&self) -> &Path {
        self.place.file()
    }

    /// What was kept last, if anything was.
    pub fn recall(
        &self,
        accepted: &[Algorithm],
        now: Moment,
    ) -> Result<Option<Recalled>, RecallError> {
        // Bounded by what could have been kept: a file that somebody made longer is not read into memory.
        let Some(bytes) = self.place.recall(LONGEST_ANSWER + AROUND)? else {
            return Ok(None);
        };
        // Keys decide who is let in: what others could have written is worth no more than their word.
        if self.place.is_open_to_everybody()? {
            return Err(RecallError::Everybody);
        }
        let document: KeptKeySet =
            serde_json::from_slice(&bytes).map_err(|_| RecallError::Malformed)?;
        // Though the file's name is made of the issuer: files are copied and renamed by hands.
        if document.issuer != self.issuer {
            return Err(RecallError::Issuer);
        }
        if document.read_at > now.unix_seconds().saturating_add(SKEW) {
            return Err(RecallError::Future);
        }
        // By the wall clock, the only one that a restart does not begin anew.
        let age = Duration::from_secs(now.unix_seconds().saturating_sub(document.read_at));
        let keys = KeySet::parse(document.key_set.get().as_bytes(), accepted)?;
        Ok(Some(Recalled { keys, age }))
    }

    /// Keeps a set that was read at `now`; nothing, if the keys were withdrawn.
    pub(super) fn keep(&self, key_set: Option<&[u8]>, now: Moment) -> io::Result<()> {
        let mut written = self.written.lock();
        if *written > now.since_start() {
            return Ok(());
        }
        // Before the write: one that fails leaves an older set, which a still older one must not replace.
        *written = now.since_start();
        let Some(key_set) = key_set else {
            return self.place.forget();
        };
        let document = KeptKeySet {
            issuer: self.issuer.clone(),
            read_at: now.unix_seconds(),
            // Cannot fail here: it was parsed before it was put in force.
            key_set: serde_json::from_slice(key_set)?,
        };
        self.place.keep(&serde_json::to_vec_pretty(&document)?)
    }
}
