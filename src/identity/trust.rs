//! What a listener trusts now, and what that means to connections that are open.
//!
//! A reload may take an anchor away or bring a revocation list. New connections meet the new trust in their
//! handshake; a connection that is open keeps its chain, and is judged again at its next request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::verifier::ClientVerifier;
use super::{IdentityError, Participant, SubjectRules};
use crate::moment::Moment;

/// Tells one trust from the next, in the whole process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Anchors, lists and rules, as one configuration has them.
#[derive(Debug)]
pub struct Trust {
    /// Which chains hold.
    pub verifier: Arc<ClientVerifier>,
    /// How subjects are read.
    pub rules: SubjectRules,
    epoch: u64,
}

impl Trust {
    /// A trust of its own epoch.
    pub fn new(verifier: ClientVerifier, rules: SubjectRules) -> Self {
        let epoch = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { verifier: Arc::new(verifier), rules, epoch }
    }
}

/// The trust in force on a listener.
#[derive(Debug)]
pub struct TrustDomain(ArcSwap<Trust>);

impl TrustDomain {
    /// A domain that begins with a trust.
    pub fn new(trust: Arc<Trust>) -> Self {
        Self(ArcSwap::new(trust))
    }

    /// Puts another trust in force.
    pub fn replace(&self, trust: Arc<Trust>) {
        self.0.store(trust);
    }
}

/// The chain of an open connection, and the trust that it was judged by last.
#[derive(Debug)]
pub(super) struct Watch {
    chain: Vec<CertificateDer<'static>>,
    domain: Arc<TrustDomain>,
    judged: AtomicU64,
}

impl Watch {
    pub(super) fn new(
        chain: &[CertificateDer<'_>],
        domain: Arc<TrustDomain>,
        judged_by: &Trust,
    ) -> Self {
        let chain = chain.iter().map(|der| der.clone().into_owned()).collect();
        Self { chain, domain, judged: AtomicU64::new(judged_by.epoch) }
    }

    /// Judges the chain again if the trust is another one than before.
    pub(super) fn still_trusted(&self, now: Moment) -> Result<(), IdentityError> {
        let trust = self.domain.0.load();
        if self.judged.load(Ordering::Acquire) == trust.epoch {
            return Ok(());
        }
        let at = UnixTime::since_unix_epoch(now.since_epoch());
        let path = trust.verifier.verify(&self.chain, at);
        let path = path.map_err(|fault| IdentityError::Untrusted(fault.reason))?;
        Participant::from_verified_path(&path, &trust.rules)?;
        self.judged.store(trust.epoch, Ordering::Release);
        Ok(())
    }
}
