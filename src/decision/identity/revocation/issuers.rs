//! Whose revocation lists are accepted, and when one may take the place of another.
//!
//! Takes bytes that anybody may have sent: lists travel over plain HTTP, and files are copied from where those
//! lists are. Wherever a list comes from, it is judged here and alike. The signature is verified before
//! the list is read, so that only what an issuer signed costs the memory of a list. Refuses what none of
//! the issuers signed, what is from the future, and what is older than, or about something else than, the
//! list in force (RFC 5280 section 6.3.3): a good list is never replaced by a bad one. Knows, too, of which of
//! them there must be a list, so that somebody can be admitted at all.

use rustls::pki_types::CertificateDer;
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::list::{ListError, ListMisfit, ListOrigin, RevocationList, SKEW};
use super::outline::ListOutline;
use crate::identity::path::{SubjectPublicKey, may};
use crate::identity::pem::{self, PemFault};

/// Why a list is not put in force.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ListFault {
    /// It is neither PEM nor DER.
    #[error("what was read {0}")]
    Pem(#[from] PemFault),
    /// It is not one list, or of a kind that is not understood.
    #[error("{0}")]
    Form(#[from] ListError),
    /// It bears the name of nobody whose lists are accepted.
    #[error("a list of an issuer that is neither a trust anchor nor among the issuers")]
    UnknownIssuer,
    /// The keyUsage of its issuer lacks cRLSign.
    #[error("a list of an issuer that may not sign lists (cRLSign)")]
    KeyUsage,
    /// Its issuer did not sign it.
    #[error("a signature that does not verify")]
    BadSignature,
    /// Its thisUpdate lies ahead.
    #[error("a list from the future: its thisUpdate lies ahead")]
    Future,
    /// Its nextUpdate has passed.
    #[error("a list that is past its nextUpdate")]
    Expired,
    /// It was issued before the one in force.
    #[error("an older list than the one in force")]
    Older,
    /// It is another issuer's, or covers other certificates, than the one in force.
    #[error("another issuer or scope than the list in force has")]
    OtherScope,
}

impl ListFault {
    /// The name in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pem(_) | Self::Form(ListError::Unreadable | ListError::Twice) => "unreadable",
            Self::Form(ListError::Unsupported | ListError::Critical) => "unsupported",
            Self::UnknownIssuer => "unknown_issuer",
            Self::KeyUsage => "key_usage",
            Self::BadSignature => "bad_signature",
            Self::Future => "future",
            Self::Expired => "expired",
            Self::Older => "older",
            Self::OtherScope => "other_scope",
        }
    }
}

/// The authorities whose lists are accepted.
#[derive(Debug, Default)]
pub struct ListIssuers(Vec<ListIssuer>);

#[derive(Debug)]
struct ListIssuer {
    name: Box<[u8]>,
    /// The same for people.
    shown: String,
    issuer: Box<[u8]>,
    key: SubjectPublicKey,
    may_sign_lists: bool,
    not_after: i64,
    /// Whether it is an anchor, or below one.
    is_trusted: bool,
    /// Whether it issued another of them; whoever issued none issues for clients.
    issues_authorities: bool,
}

impl ListIssuer {
    fn of(authority: &X509Certificate<'_>, is_trusted: bool) -> Self {
        Self {
            name: authority.subject().as_raw().into(),
            shown: authority.subject().to_string(),
            issuer: authority.issuer().as_raw().into(),
            key: SubjectPublicKey::of(authority),
            may_sign_lists: may(authority, |usage| usage.crl_sign()),
            not_after: authority.validity().not_after.timestamp(),
            is_trusted,
            issues_authorities: false,
        }
    }
}

impl ListIssuers {
    /// Takes anchors and other authorities; gives the position, counted from 1 in its own slice, of one that is
    /// none.
    ///
    /// # Errors
    ///
    /// The position of the first that cannot be parsed or is no authority (RFC 5280 section 4.2.1.9), anchors
    /// before others: a mistake of the configuration. Of anchors that
    /// [`TrustAnchors::new`](crate::identity::TrustAnchors::new) took, none is.
    pub fn new(
        anchors: &[CertificateDer<'_>],
        others: &[CertificateDer<'_>],
    ) -> Result<Self, usize> {
        let mut issuers = Vec::new();
        let anchors = anchors.iter().enumerate().map(|(index, der)| (index, der, true));
        let others = others.iter().enumerate().map(|(index, der)| (index, der, false));
        for (index, der, is_trusted) in anchors.chain(others) {
            let parsed = X509Certificate::from_der(der).ok().map(|(_, parsed)| parsed);
            let authority = parsed.filter(|parsed| parsed.is_ca()).ok_or(index + 1)?;
            issuers.push(ListIssuer::of(&authority, is_trusted));
        }
        mark_trusted(&mut issuers);
        mark_authorities_above(&mut issuers);
        Ok(Self(issuers))
    }

    /// Those of which no list is `usable` though there must be one at a time in seconds: what they issued would be
    /// refused. One whose certificate has ended, or that leads to no anchor, issues for nobody. Asks with name
    /// and key, and whether the list must cover authorities or end entities.
    pub(super) fn uncovered(
        &self,
        at: i64,
        usable: impl Fn(&[u8], &SubjectPublicKey, bool) -> bool,
    ) -> Vec<&str> {
        let needed = self.0.iter().filter(|issuer| issuer.is_trusted && issuer.not_after >= at);
        let lacking = needed.filter(|issuer| {
            let covers = || usable(&issuer.name, &issuer.key, issuer.issues_authorities);
            !issuer.may_sign_lists || !covers()
        });
        lacking.map(|issuer| issuer.shown.as_str()).collect()
    }

    /// Reads the lists of a file, each of which one of them signed; or what is wrong with each that is not.
    ///
    /// # Errors
    ///
    /// One [`ListMisfit`] for a file that [`pem::lists`] refuses, else one for each list that is none, or
    /// that no entitled issuer signed. No list of the file counts then.
    pub fn read_file(
        &self,
        bytes: &[u8],
        source: &str,
    ) -> Result<Vec<RevocationList>, Vec<ListMisfit>> {
        let blocks = pem::lists(bytes).map_err(|fault| vec![fault.into()])?;
        let (mut lists, mut misfits) = (Vec::new(), Vec::new());
        // All of them, so that an operator reads every mistake at once.
        for block in blocks {
            match self.judge(&block.der, source) {
                Ok(mut list) => {
                    list.line = block.line;
                    lists.push(list);
                }
                Err(fault) => misfits.push(ListMisfit::new(block.line, fault)),
            }
        }
        if misfits.is_empty() { Ok(lists) } else { Err(misfits) }
    }

    /// Reads the one list, in DER or PEM, that a distribution point gave and one of them signed.
    ///
    /// # Errors
    ///
    /// [`ListFault::Pem`], [`ListFault::Form`], also for two lists, [`ListFault::UnknownIssuer`],
    /// [`ListFault::KeyUsage`] or [`ListFault::BadSignature`]. Age is not judged here, and the list in force
    /// stays.
    pub fn read(&self, bytes: &[u8], source: &str) -> Result<RevocationList, ListFault> {
        let blocks = pem::lists(bytes)?;
        // One point, one list: of two nobody could say which follows the one in force.
        let [block] = blocks.as_slice() else {
            return Err(ListError::Unreadable.into());
        };
        let mut list = self.judge(&block.der, source)?;
        list.origin = ListOrigin::Point;
        Ok(list)
    }

    fn judge(&self, der: &[u8], source: &str) -> Result<RevocationList, ListFault> {
        let outline = ListOutline::read(der).ok_or(ListError::Unreadable)?;
        let signer = self.signer(&outline)?;
        let list = RevocationList::of(&outline, der, source)?;
        // So that the first handshake does not hash the list again.
        list.remember_signer(signer);
        Ok(list)
    }

    fn signer(&self, outline: &ListOutline<'_>) -> Result<&SubjectPublicKey, ListFault> {
        let named = || self.0.iter().filter(|issuer| *issuer.name == *outline.issuer);
        let mut entitled = named().filter(|issuer| issuer.may_sign_lists).peekable();
        match (named().next(), entitled.peek()) {
            (None, _) => Err(ListFault::UnknownIssuer),
            (_, None) => Err(ListFault::KeyUsage),
            // An authority with a renewed key stands there twice under one name.
            _ => {
                let signer = entitled.find(|issuer| outline.is_signed_with(&issuer.key));
                signer.map(|issuer| &issuer.key).ok_or(ListFault::BadSignature)
            }
        }
    }
}

fn mark_authorities_above(issuers: &mut [ListIssuer]) {
    // A root's own issuer is itself: that does not make it one that issues authorities.
    let below = issuers.iter().filter(|issuer| issuer.name != issuer.issuer);
    let above: Vec<Box<[u8]>> = below.map(|issuer| issuer.issuer.clone()).collect();
    for issuer in issuers {
        issuer.issues_authorities = above.contains(&issuer.name);
    }
}

/// Below an anchor is whom an anchor, or somebody below one, issued.
fn mark_trusted(issuers: &mut [ListIssuer]) {
    // By names alone: who is needed is asked here, whom to believe is asked of signatures.
    let mut is_new = true;
    while is_new {
        let trusted: Vec<Box<[u8]>> =
            issuers.iter().filter(|i| i.is_trusted).map(|issuer| issuer.name.clone()).collect();
        is_new = false;
        for issuer in issuers.iter_mut().filter(|issuer| !issuer.is_trusted) {
            issuer.is_trusted = trusted.contains(&issuer.issuer);
            is_new |= issuer.is_trusted;
        }
    }
}

impl RevocationList {
    /// Refuses a list that may not take the place of the one in force, at a time in seconds. Its age is
    /// judged elsewhere: an expired list is not put in force anew, but stays the newest that is known.
    ///
    /// # Errors
    ///
    /// [`ListFault::Future`] more than five minutes ahead, [`ListFault::OtherScope`], or
    /// [`ListFault::Older`], also if it is as old and does not revoke all that the one in force does (RFC
    /// 5280 section 6.3.3).
    pub fn may_follow(&self, in_force: Option<&Self>, at: i64) -> Result<(), ListFault> {
        if self.this_update > at + SKEW {
            return Err(ListFault::Future);
        }
        let Some(before) = in_force else {
            return Ok(());
        };
        // A list of fewer certificates would leave the others without one.
        if self.issuer != before.issuer || self.scope != before.scope {
            return Err(ListFault::OtherScope);
        }
        // Of two lists that cannot be told apart by age, the one that revokes is the later one.
        let is_tie = !self.is_newer_than(before) && !before.is_newer_than(self);
        if before.is_newer_than(self) || (is_tie && !self.serials.is_superset(&before.serials)) {
            return Err(ListFault::Older);
        }
        Ok(())
    }
}
