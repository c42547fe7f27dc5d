//! Revocation lists (RFC 5280 section 5): which certificates their issuers took back.
//!
//! Takes lists ([`list`]) that were read from files and ones that are fetched while the gateway serves,
//! each of which is put in force by itself; judges certificates by them. Of each issuer and scope, the
//! newest list that its issuer signed counts: an older one put beside it cannot hide a later revocation,
//! and one from the future does not exist yet. Refuses what the lists name, and, unless the configuration
//! says otherwise, what no list covers or only an expired one does. Which lists may be put in force is
//! decided in [`issuers`]; where they are fetched from is left to the listener, for the network is nothing
//! that this stage knows.

mod entries;
pub mod issuers;
pub mod list;
mod outline;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use x509_parser::prelude::X509Certificate;

use super::epoch;
use super::path::SubjectPublicKey;
use super::reason::PathReason;
use crate::moment::Moment;
pub use issuers::{ListFault, ListIssuers};
pub use list::{ListError, ListMisfit, ListOrigin, RevocationList};
use list::{SKEW, minimal};

/// What is done when the lists cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leniency {
    /// The certificate is refused.
    Refuse,
    /// The certificate is admitted for so long after the list should have been renewed; for a list that
    /// is missing, any length admits.
    AllowFor(Duration),
}

impl Leniency {
    /// Whether a list counts at a time in seconds, as to its nextUpdate.
    fn bears(self, list: &RevocationList, at: i64) -> bool {
        // Negative as long as nextUpdate lies ahead: nothing is overdue.
        let overdue = u64::try_from(at.saturating_sub(list.next_update)).unwrap_or(0);
        match self {
            Self::Refuse => overdue == 0,
            Self::AllowFor(limit) => overdue <= limit.as_secs(),
        }
    }
}

/// Is told of a list that counts though it is past its nextUpdate.
pub type ListWitness = Arc<dyn Fn(&RevocationList) + Send + Sync>;

/// Never: no list was put in force while the process served.
const NEVER: u64 = u64::MAX;

/// The list of one distribution point: nothing until it gave one, and replaced while the gateway serves.
/// Listeners that name the same point share it, and so do a configuration and the next one.
#[derive(Debug)]
pub struct FetchedList {
    list: ArcSwapOption<RevocationList>,
    epoch: AtomicU64,
    /// Seconds on the monotonic clock at which the list in force was put there.
    since: AtomicU64,
    /// One list is compared with the one in force at a time, whoever brings it.
    offering: Mutex<()>,
}

impl FetchedList {
    /// Begins with the list that was kept on disk, if there is one.
    pub fn new(kept: Option<RevocationList>) -> Self {
        Self {
            // One kept on disk is in force at once: a start must not admit whom it revokes.
            list: ArcSwapOption::new(kept.map(Arc::new)),
            epoch: AtomicU64::new(epoch::next()),
            since: AtomicU64::new(NEVER),
            offering: Mutex::new(()),
        }
    }

    /// Puts another list in force if it is still valid and may follow the one in force: in handshakes at once,
    /// on open connections at their next request.
    ///
    /// # Errors
    ///
    /// [`ListFault::Expired`], and what [`RevocationList::may_follow`] finds. The list in force stays.
    pub fn offer(&self, list: RevocationList, now: Moment) -> Result<(), ListFault> {
        // The end of time, should it ever fail: the list has expired then.
        let at = i64::try_from(now.unix_seconds()).unwrap_or(i64::MAX);
        if list.is_expired(at) {
            return Err(ListFault::Expired);
        }
        let _one_at_a_time = self.offering.lock();
        list.may_follow(self.current().as_deref(), at)?;
        // Before the number: whoever sees the new number sees that a list came lately, and judges its chain
        // again.
        self.since.store(now.since_start().as_secs(), Ordering::Release);
        self.list.store(Some(Arc::new(list)));
        // Last: whoever sees the new number sees the new list.
        self.epoch.store(epoch::next(), Ordering::Release);
        Ok(())
    }

    /// The list in force, if the point ever gave one.
    pub fn current(&self) -> Option<Arc<RevocationList>> {
        self.list.load_full()
    }
}

/// The lists of one trust domain, and what is done when they cannot tell.
pub struct Revocation {
    lists: Vec<Arc<RevocationList>>,
    fetched: Vec<Arc<FetchedList>>,
    missing: Leniency,
    expired: Leniency,
    witness: Option<ListWitness>,
    authorities: Arc<ListIssuers>,
}

impl std::fmt::Debug for Revocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revocation").field("lists", &self.lists).finish_non_exhaustive()
    }
}

impl Revocation {
    /// Takes lists in any order.
    pub fn new(lists: Vec<Arc<RevocationList>>, missing: Leniency, expired: Leniency) -> Self {
        let authorities = Arc::default();
        Self { lists, fetched: Vec::new(), missing, expired, witness: None, authorities }
    }

    /// The same with the authorities whose lists are needed.
    pub fn with_authorities(self, authorities: Arc<ListIssuers>) -> Self {
        Self { authorities, ..self }
    }

    /// The same with lists of distribution points beside them.
    pub fn with_fetched(self, fetched: Vec<Arc<FetchedList>>) -> Self {
        Self { fetched, ..self }
    }

    /// The same with a witness, who is told once of each list that is used though it is overdue.
    pub fn with_witness(self, witness: ListWitness) -> Self {
        Self { witness: Some(witness), ..self }
    }

    /// The lists in force now.
    pub fn lists(&self) -> Vec<Arc<RevocationList>> {
        let fetched = self.fetched.iter().filter_map(|fetched| fetched.current());
        self.lists.iter().cloned().chain(fetched).collect()
    }

    /// What is done with a certificate that no list covers.
    pub fn missing(&self) -> Leniency {
        self.missing
    }

    /// The authorities of which no list is usable at a time in seconds, if that refuses whatever they issued.
    pub fn uncovered(&self, at: i64) -> Vec<&str> {
        // Where nothing is needed, nothing is lacking (decision 16).
        if self.missing != Leniency::Refuse {
            return Vec::new();
        }
        let lists = self.lists();
        self.authorities.uncovered(at, |name, key, of_authorities| {
            lists.iter().any(|list| {
                *list.issuer == *name
                    && list.scope.includes(of_authorities)
                    && list.is_signed_with(key)
                    // The same questions as in `judge`, or readiness would promise what handshakes refuse.
                    && list.this_update <= at.saturating_add(SKEW)
                    && self.expired.bears(list, at)
            })
        })
    }

    /// Refuses a list of a file that must not count: it is from the future, past its nextUpdate by more than is
    /// borne, or older than every list of its issuer and scope that `in_force` has, while nothing else here
    /// knows what those know.
    ///
    /// # Errors
    ///
    /// [`ListFault::Future`], [`ListFault::Expired`] beyond what is borne, or [`ListFault::Older`]: whoever
    /// loads the file keeps what is in force.
    pub fn judge_file(
        &self,
        list: &RevocationList,
        in_force: &[Arc<RevocationList>],
        at: i64,
    ) -> Result<(), ListFault> {
        list.may_follow(None, at)?;
        if !self.expired.bears(list, at) {
            return Err(ListFault::Expired);
        }
        let now_known = self.lists();
        let is_same_kind =
            |other: &RevocationList| other.issuer == list.issuer && other.scope == list.scope;
        // A file put back from a backup would un-revoke whom the list in force revoked (decision 15).
        for before in in_force.iter().filter(|before| is_same_kind(before)) {
            let follows = |other: &Arc<RevocationList>| other.may_follow(Some(before), at).is_ok();
            if !now_known.iter().any(follows) {
                return Err(ListFault::Older);
            }
        }
        Ok(())
    }

    /// Tells one set of lists from the next: greater after each replacement.
    pub(super) fn epoch(&self) -> u64 {
        let of_each = self.fetched.iter().map(|fetched| fetched.epoch.load(Ordering::Acquire));
        // Numbers are the process's and only grow: the greatest changes with each of them.
        of_each.max().unwrap_or(0)
    }

    /// Whether a list was put in force within so many seconds before `now`.
    pub(super) fn changed_within(&self, seconds: u64, now: Moment) -> bool {
        let now = now.since_start().as_secs();
        self.fetched.iter().any(|fetched| {
            let since = fetched.since.load(Ordering::Acquire);
            // The monotonic clock: a wall clock that is set back would make an old list look new for hours.
            since != NEVER && now.saturating_sub(since) <= seconds
        })
    }

    /// Judges a certificate by those of `lists` that are its issuer's, at a time in seconds. The caller
    /// takes [`Self::lists`] once for a whole path.
    pub(super) fn judge(
        &self,
        lists: &[Arc<RevocationList>],
        certificate: &X509Certificate<'_>,
        issuer: &SubjectPublicKey,
        issuer_signs_lists: bool,
        at: i64,
    ) -> Result<(), PathReason> {
        let mut usable: Vec<&RevocationList> =
            lists.iter().map(AsRef::as_ref).filter(|list| list.covers(certificate)).collect();
        if usable.is_empty() {
            return match self.missing {
                Leniency::AllowFor(_) => Ok(()),
                Leniency::Refuse => Err(PathReason::CrlMissing),
            };
        }
        // After the question whether there is any: a list that cannot be used is a fault, none at all may be
        // borne.
        usable.retain(|list| {
            // Cheap before dear; the signature is verified once for each key, and remembered.
            issuer_signs_lists && list.is_signed_with(issuer) && list.this_update <= at + SKEW
        });
        let is_superseded = |list: &RevocationList| {
            usable.iter().any(|other| other.scope == list.scope && other.is_newer_than(list))
        };
        let newest: Vec<&RevocationList> =
            usable.iter().copied().filter(|list| !is_superseded(list)).collect();
        let serial = minimal(certificate.raw_serial());
        // In any of them, and before their age: an expired list that revokes still does.
        if newest.iter().any(|list| list.serials.contains(&serial)) {
            return Err(PathReason::Revoked);
        }
        // Of lists of several scopes one that is in time suffices: each covers the certificate.
        let latest = newest.into_iter().max_by_key(|list| list.next_update);
        self.judge_age(latest.ok_or(PathReason::CrlInvalid)?, at)
    }

    /// Judges a list that does not name the certificate by its nextUpdate.
    fn judge_age(&self, list: &RevocationList, at: i64) -> Result<(), PathReason> {
        if !self.expired.bears(list, at) {
            return Err(PathReason::CrlExpired);
        }
        let is_overdue = list.is_expired(at);
        if let Some(witness) = self.witness.as_ref()
            && is_overdue
            // Last: it is the one that changes something.
            && list.is_first_overdue_use()
        {
            witness(list);
        }
        Ok(())
    }
}
