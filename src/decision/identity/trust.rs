//! What a listener trusts now, and what that means to connections that are open.
//!
//! A reload may take an anchor away, and a revocation list may come at any time. New connections meet the
//! new trust in their handshake; a connection that is open keeps its chain, and is judged again at its next
//! request.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use rustls::pki_types::{CertificateDer, UnixTime};

use super::verifier::ClientVerifier;
use super::{
    Culprit, Finding, IdentityError, Participant, Profile, Revocation, RevocationList, epoch,
};
use crate::moment::Moment;

/// Anchors, lists and rules, as one configuration has them.
pub struct Trust {
    /// Which chains hold.
    pub verifier: Arc<ClientVerifier>,
    /// What certificates are asked for.
    pub profile: Profile,
    findings: Option<FindingWitness>,
    epoch: u64,
}

/// Is told, once a connection, of the rules of the profile that its certificate breaks.
pub type FindingWitness = Arc<dyn Fn(&[Finding], &Culprit) + Send + Sync>;

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

impl Trust {
    /// A trust of its own epoch.
    pub fn new(
        verifier: ClientVerifier,
        profile: Profile,
        findings: Option<FindingWitness>,
    ) -> Self {
        Self { verifier: Arc::new(verifier), profile, findings, epoch: epoch::next() }
    }

    pub(super) fn tell(&self, findings: &[Finding], culprit: &Culprit) {
        if let Some(witness) = &self.findings {
            witness(findings, culprit);
        }
    }

    fn revocation(&self) -> Option<&Revocation> {
        self.verifier.paths().revocation.as_deref()
    }

    fn state(&self) -> TrustVersion {
        TrustVersion { trust: self.epoch, lists: self.revocation().map_or(0, Revocation::epoch) }
    }
}

/// Tells one state of trust from the next: another configuration, or another list in the same one. Two
/// numbers, for a list may come between the making of a trust and its being put in force, and be in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TrustVersion {
    trust: u64,
    lists: u64,
}

/// The trust in force on a listener.
#[derive(Debug)]
pub struct TrustDomain(ArcSwap<Trust>);

impl TrustDomain {
    /// A domain that begins with a trust.
    pub fn new(trust: Arc<Trust>) -> Self {
        Self(ArcSwap::new(trust))
    }

    /// The revocation lists in force.
    pub fn lists(&self) -> Vec<Arc<RevocationList>> {
        self.0.load().revocation().map(Revocation::lists).unwrap_or_default()
    }

    /// Puts another trust in force.
    pub fn replace(&self, trust: Arc<Trust>) {
        self.0.store(trust);
    }
}

/// Seconds after which an open connection is judged again though nothing was reloaded: certificates above
/// the client's own expire, and lists fall due.
const JUDGED_AGAIN_AFTER: u64 = 60;

/// The chain of an open connection, and how it was judged last.
#[derive(Debug)]
pub(super) struct WatchedChain {
    chain: Vec<CertificateDer<'static>>,
    domain: Arc<TrustDomain>,
    judged: ArcSwap<TrustVerdict>,
}

/// A verdict, good or bad: a refused client that asks again costs no second path.
#[derive(Debug)]
struct TrustVerdict {
    state: TrustVersion,
    at: u64,
    path: Result<(), IdentityError>,
    subject: Result<(), IdentityError>,
}

impl WatchedChain {
    pub(super) fn new(
        chain: &[CertificateDer<'_>],
        domain: Arc<TrustDomain>,
        judged_by: &Trust,
        now: Moment,
    ) -> Self {
        let chain = chain.iter().map(|der| der.clone().into_owned()).collect();
        // The list that the handshake met may have been replaced before the handshake ended: such a chain
        // is judged again at its first request. The state is read first, so that a list which comes now
        // shows in one or the other.
        let state = judged_by.state();
        let came_lately = |lists: &Revocation| lists.changed_within(JUDGED_AGAIN_AFTER, now);
        let may_be_outdated = judged_by.revocation().is_some_and(came_lately);
        // 1970: longer ago than any interval, so that the first request judges.
        let at = if may_be_outdated { 0 } else { now.unix_seconds() };
        let judged = TrustVerdict { state, at, path: Ok(()), subject: Ok(()) };
        Self { chain, domain, judged: ArcSwap::from_pointee(judged) }
    }

    /// The client's own certificate.
    pub(super) fn end_entity(&self) -> Option<&CertificateDer<'static>> {
        self.chain.first()
    }

    /// Refuses a chain that does not hold.
    pub(super) fn still_trusted(&self, now: Moment) -> Result<(), IdentityError> {
        // Path and subject apart: a broken path ends the connection, a subject refuses routes that ask for
        // one.
        self.judged(now).path.clone()
    }

    /// Refuses a subject that the rules in force do not read as a participant's.
    pub(super) fn still_identified(&self, now: Moment) -> Result<(), IdentityError> {
        self.judged(now).subject.clone()
    }

    /// The issuers of the path that holds, the end entity's own first.
    pub(super) fn issuers(&self, now: Moment) -> Option<Vec<CertificateDer<'static>>> {
        let at = UnixTime::since_unix_epoch(now.since_epoch());
        self.domain.0.load().verifier.paths().issuers(&self.chain, at).ok()
    }

    /// The last verdict; another one if the trust is another than before, or after a while. Whoever judged
    /// goes by its own verdict, whatever another thread stores meanwhile.
    fn judged(&self, now: Moment) -> Guard<Arc<TrustVerdict>> {
        // Once: path and subject must be judged by one configuration.
        let trust = self.domain.0.load();
        // Before the path is judged: a list that is replaced meanwhile has it judged once more.
        let state = trust.state();
        let last = self.judged.load();
        // The wall clock, for validity is what may have ended; one that is set back judges as much later.
        let age = now.unix_seconds().saturating_sub(last.at);
        if last.state == state && age < JUDGED_AGAIN_AFTER {
            return last;
        }
        let at = UnixTime::since_unix_epoch(now.since_epoch());
        let (path, subject) = match trust.verifier.verify(&self.chain, at) {
            // What it breaks was said in the handshake.
            Ok(path) => {
                let subject = Participant::from_verified_path(&path, &trust.profile, |_, _| {});
                (Ok(()), subject.map(drop))
            }
            Err(fault) => {
                let error = IdentityError::Untrusted(fault.reason);
                (Err(error.clone()), Err(error))
            }
        };
        let at = now.unix_seconds();
        let judged = Arc::new(TrustVerdict { state, at, path, subject });
        self.judged.store(judged.clone());
        Guard::from_inner(judged)
    }
}
