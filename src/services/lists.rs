//! Revocation lists from distribution points (RFC 5280 section 4.2.1.13).
//!
//! Takes the URLs that the configuration allows and nothing else: no URL of a certificate is ever fetched.
//! Gives each point's newest list to the identity stage, which judges it first, keeps it on disk for the next
//! start ([`crate::last_good`]) and says when to ask again ([`schedule`]). Refuses what is too long, too slow,
//! elsewhere (a redirect), not signed by an issuer, from the future, expired, older than what is in force or
//! about something else: then the list in force stays.
//!
//! The identity stage, where lists are judged, knows no network. When they are fetched is up to the server.

pub mod schedule;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use http::{HeaderValue, StatusCode};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::Notify;
use url::Url;

use crate::ask::{Ask, Question, RemoteError, Reply};
use crate::identity::{FetchedList, ListFault, ListIssuers, RevocationList};
use crate::last_good::LastGood;
use crate::moment::Moment;

/// Bytes of a list.
const LARGEST_LIST: usize = 64 * 1024 * 1024;

/// Why a distribution point gave no list that can be put in force.
#[derive(Debug, Error)]
pub enum FetchError {
    /// No usable answer.
    #[error("{0}")]
    Remote(#[from] RemoteError),
    /// An answer, and no list that is accepted.
    #[error("{0}")]
    List(#[from] ListFault),
    /// The list is in force, but could not be kept for the next start.
    #[error("the list is in force, but cannot be kept on disk ({0})")]
    NotKept(io::Error),
    /// The list could not be judged.
    #[error("the list could not be judged")]
    Internal,
}

impl FetchError {
    /// The name in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Remote(RemoteError::Connect(fault)) => fault.as_str(),
            Self::Remote(RemoteError::Timeout) => "timeout",
            Self::Remote(RemoteError::Broken | RemoteError::Malformed | RemoteError::MediaType) => {
                "broken"
            }
            Self::Remote(RemoteError::TooLong) => "too_long",
            Self::Remote(RemoteError::Status(_)) => "status",
            Self::List(fault) => fault.as_str(),
            Self::NotKept(_) => "not_kept",
            Self::Remote(RemoteError::Client | RemoteError::LeftAlone) | Self::Internal => {
                "internal"
            }
        }
    }
}

/// What became of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// Another list is in force.
    Updated,
    /// The point still serves the one in force.
    Unchanged,
}

impl Refreshed {
    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
        }
    }
}

/// What makes a point.
pub struct PointSetup {
    /// Where the list is.
    pub url: Url,
    /// How to reach it.
    pub service: Arc<dyn Ask>,
    /// Whose lists are accepted.
    pub issuers: Arc<ListIssuers>,
    /// Where the list is kept.
    pub directory: PathBuf,
    /// The longest pause between two fetches.
    pub refresh: Duration,
    /// The list of the same point and issuers, if it was configured otherwise before.
    pub before: Option<Arc<FetchedList>>,
}

/// A distribution point. One fetch of it is under way at a time: whoever follows it asks in turn.
pub struct Point {
    url: Url,
    service: Arc<dyn Ask>,
    issuers: Arc<ListIssuers>,
    place: LastGood,
    refresh: Duration,
    list: Arc<FetchedList>,
    state: Mutex<ListInForce>,
    wanted: Notify,
}

#[derive(Default)]
struct ListInForce {
    /// SHA-256 of the bytes of the list in force.
    digest: Option<[u8; 32]>,
    /// The entity tag that they came with.
    etag: Option<HeaderValue>,
    is_kept: bool,
    failures: u32,
}

impl std::fmt::Debug for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Point").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl Point {
    /// A point that begins with the list of the point before, or else with the one that was kept on disk, if
    /// there is one. An expired one is still the newest that is known. Says beside it why a kept list is not
    /// used.
    pub fn new(setup: PointSetup, now: Moment) -> (Self, Option<String>) {
        let PointSetup { url, service, issuers, directory, refresh, before } = setup;
        let place = LastGood::of(&directory, url.as_str(), "crl");
        let (mut state, mut unusable) = (ListInForce::default(), None);
        // The point before goes first: what is in force may be newer than what was written.
        let list = before.unwrap_or_else(|| {
            let recalled = recall(&place, &url, &issuers, now).unwrap_or_else(|why| {
                unusable = Some(format!("{} ({why})", place.file().display()));
                None
            });
            let (kept, digest) = recalled.unzip();
            state = ListInForce { digest, is_kept: digest.is_some(), ..ListInForce::default() };
            Arc::new(FetchedList::new(kept))
        });
        let (state, wanted) = (Mutex::new(state), Notify::new());
        (Self { url, service, issuers, place, refresh, list, state, wanted }, unusable)
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Its list.
    pub fn list(&self) -> &Arc<FetchedList> {
        &self.list
    }

    /// Asks the point once, and puts its list in force if that is another one and a good one.
    pub async fn refresh(self: &Arc<Self>) -> Result<Refreshed, FetchError> {
        let refreshed = self.attempt().await;
        let mut state = self.state.lock();
        state.failures = match refreshed {
            Ok(_) => 0,
            Err(_) => state.failures.saturating_add(1),
        };
        refreshed
    }

    /// How many fetches failed since the last one that succeeded.
    pub fn failures(&self) -> u32 {
        self.state.lock().failures
    }

    /// Waits until it is to be asked again; `random` lies between 0 and 1.
    pub async fn due(&self, random: f64) {
        let next_update = self.list.current().map(|list| list.next_update);
        let (now, failures) = (seconds(Moment::now()), self.failures());
        let pause = schedule::pause(next_update, now, failures, self.refresh, random);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.wanted.notified() => {}
        }
    }

    /// Has it asked now.
    pub fn want_now(&self) {
        // A permit stays if nobody waits: a wish that comes during a fetch is met after it.
        self.wanted.notify_one();
    }

    async fn attempt(self: &Arc<Self>) -> Result<Refreshed, FetchError> {
        let known = self.version_in_force();
        let was_known = known.is_some();
        let document = self.service.ask(Question::document(known, LARGEST_LIST)).await?;
        match document.status {
            StatusCode::OK => {}
            // To a question without an entity tag 304 answers nothing.
            StatusCode::NOT_MODIFIED if was_known => return self.unchanged(Moment::now()),
            status => return Err(RemoteError::Status(status).into()),
        }
        // Some megabytes are parsed, verified and written: nothing for a thread that others wait for.
        let point = self.clone();
        let judged = tokio::task::spawn_blocking(move || point.take(document, Moment::now()));
        judged.await.unwrap_or(Err(FetchError::Internal))
    }

    /// The entity tag of the list in force, unless its bytes are still to be written to disk, or it has
    /// expired: then an answer that nothing changed is worth nothing.
    fn version_in_force(&self) -> Option<HeaderValue> {
        let now = seconds(Moment::now());
        let holds = self.list.current().is_some_and(|list| !list.is_expired(now));
        let state = self.state.lock();
        state.etag.clone().filter(|_| holds && state.is_kept)
    }

    fn take(&self, document: Reply, now: Moment) -> Result<Refreshed, FetchError> {
        let etag = document.etag().cloned();
        let body = document.body;
        // A point may send no entity tag: the same bytes need not be parsed and verified again.
        let digest = sha256(&body);
        let is_in_force = self.state.lock().digest == Some(digest);
        if !is_in_force {
            self.list.offer(self.issuers.read(&body, self.url.as_str())?, now)?;
            self.state.lock().is_kept = false;
        }
        {
            // Only now: what was refused must not be asked for as "known" next time.
            let mut state = self.state.lock();
            (state.digest, state.etag) = (Some(digest), etag);
        }
        // After it is in force: a full disk must not keep a revocation from counting.
        self.keep(&body)?;
        if is_in_force { self.unchanged(now) } else { Ok(Refreshed::Updated) }
    }

    fn keep(&self, bytes: &[u8]) -> Result<(), FetchError> {
        if self.state.lock().is_kept {
            return Ok(());
        }
        self.place.keep(bytes).map_err(FetchError::NotKept)?;
        self.state.lock().is_kept = true;
        Ok(())
    }

    /// A point that goes on serving a list that has expired gives nothing.
    fn unchanged(&self, now: Moment) -> Result<Refreshed, FetchError> {
        match self.list.current() {
            Some(list) if list.is_expired(seconds(now)) => Err(ListFault::Expired.into()),
            Some(_) => Ok(Refreshed::Unchanged),
            None => Err(FetchError::Internal),
        }
    }
}

/// Reads the list that was kept, and the digest of its bytes.
fn recall(
    place: &LastGood,
    url: &Url,
    issuers: &ListIssuers,
    now: Moment,
) -> Result<Option<(RevocationList, [u8; 32])>, String> {
    let bytes = place.recall(LARGEST_LIST).map_err(|error| error.to_string())?;
    let Some(bytes) = bytes else {
        return Ok(None);
    };
    let list = issuers.read(&bytes, url.as_str()).map_err(|fault| fault.to_string())?;
    // Not from the future; expired is borne, for it is the newest that is known.
    list.may_follow(None, seconds(now)).map_err(|fault| fault.to_string())?;
    Ok(Some((list, sha256(&bytes))))
}

fn seconds(now: Moment) -> i64 {
    i64::try_from(now.unix_seconds()).unwrap_or(i64::MAX)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut digested = [0; 32];
    digested.copy_from_slice(digest(&SHA256, bytes).as_ref());
    digested
}
