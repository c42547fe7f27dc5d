//! The roots that certification paths must lead to, and what webpki does not look at in them: their own
//! validity, key usage and pathLenConstraint, and, of a listener's, the form and critical extensions. webpki
//! takes from an anchor its name, key and nameConstraints, and passes by whatever else it says. What an anchor's
//! extendedKeyUsage or policies say counts for nothing here either: whom to trust for what is said by whoever
//! configures the anchor.

use rustls::pki_types::{CertificateDer, TrustAnchor};
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::form;
use super::path::{self, SubjectPublicKey};
use super::reason::PathReason;
use super::signature;

/// Why a set of anchors was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AnchorError {
    /// A certificate cannot be parsed.
    #[error("certificate {position} cannot be parsed")]
    Unreadable {
        /// Counted from 1.
        position: usize,
    },
    /// A certificate is not a self-signed CA.
    #[error("certificate {position} is not a root: subject and issuer differ, or it is not a CA")]
    NotARoot {
        /// Counted from 1.
        position: usize,
    },
    /// A certificate breaks a rule of form, or asks for what is not understood.
    #[error("certificate {position} has a critical extension that is unknown, or is malformed")]
    Form {
        /// Counted from 1.
        position: usize,
    },
    /// There is none.
    #[error("no trust anchor")]
    None,
}

impl AnchorError {
    /// Which certificate it is about, counted from 1.
    pub fn position(&self) -> Option<usize> {
        match self {
            Self::Unreadable { position }
            | Self::NotARoot { position }
            | Self::Form { position } => Some(*position),
            Self::None => None,
        }
    }
}

/// The roots.
#[derive(Debug)]
pub struct TrustAnchors {
    pub(super) known: Vec<TrustAnchor<'static>>,
    facts: Vec<Facts>,
}

#[derive(Debug)]
struct Facts {
    /// Name as DER, without tag and length, as webpki has it.
    subject: Box<[u8]>,
    /// The same for people.
    name: String,
    key: SubjectPublicKey,
    not_before: i64,
    not_after: i64,
    path_length: Option<u32>,
    may_sign_certificates: bool,
    may_sign_lists: bool,
    is_strong: bool,
}

impl TrustAnchors {
    /// Takes self-signed CA certificates. An intermediate among them is an error: as an anchor it
    /// would be trusted without its issuer's consent.
    ///
    /// # Errors
    ///
    /// [`AnchorError::Unreadable`], [`AnchorError::NotARoot`] or [`AnchorError::Form`] for the first
    /// certificate that will not do, [`AnchorError::None`] if there is none: mistakes of the configuration.
    pub fn new(roots: Vec<CertificateDer<'static>>) -> Result<Self, AnchorError> {
        for (index, root) in roots.iter().enumerate() {
            let position = index + 1;
            let (_, parsed) = X509Certificate::from_der(root)
                .map_err(|_| AnchorError::Unreadable { position })?;
            // By signature, too: equal names alone would let a self-issued intermediate pass for a root.
            if !signature::is_self_signed(&parsed) || !parsed.is_ca() {
                return Err(AnchorError::NotARoot { position });
            }
            // Strict, for an operator can repair a file; webpki asks none of it of an anchor.
            if form::judge(&parsed, true).is_err() || !form::is_understood(&parsed) {
                return Err(AnchorError::Form { position });
            }
        }
        Self::as_given(&roots)
    }

    /// Takes whatever certificates somebody declares to be anchors.
    ///
    /// # Errors
    ///
    /// [`AnchorError::Unreadable`] for the first certificate that cannot be parsed, [`AnchorError::None`] if
    /// there is none.
    pub fn as_given(roots: &[CertificateDer<'_>]) -> Result<Self, AnchorError> {
        let mut anchors = Self { known: Vec::new(), facts: Vec::new() };
        for (index, root) in roots.iter().enumerate() {
            let position = index + 1;
            let known = webpki::anchor_from_trusted_cert(root)
                .map_err(|_| AnchorError::Unreadable { position })?
                .to_owned();
            let (_, parsed) = X509Certificate::from_der(root)
                .map_err(|_| AnchorError::Unreadable { position })?;
            anchors.facts.push(Facts::of(&parsed, &known));
            anchors.known.push(known);
        }
        if anchors.known.is_empty() { Err(AnchorError::None) } else { Ok(anchors) }
    }

    /// Judges the anchor that a path with `authorities` intermediates leads to, at a time in seconds.
    /// Gives its key, and whether that key may sign revocation lists.
    pub(super) fn judge(
        &self,
        anchor: &TrustAnchor<'_>,
        authorities: usize,
        at: i64,
    ) -> Result<(&SubjectPublicKey, bool), PathReason> {
        // Not by place: webpki gives an anchor back, and does not say which of them it was.
        let same = |(known, _): &(&TrustAnchor<'static>, &Facts)| {
            known.subject == anchor.subject
                && known.subject_public_key_info == anchor.subject_public_key_info
                && known.name_constraints == anchor.name_constraints
        };
        // A root that was issued again stands twice: any of the two that holds will do.
        let mut verdict = Err(PathReason::UnknownIssuer);
        for (_, facts) in self.known.iter().zip(&self.facts).filter(same) {
            match facts.judge(authorities, at) {
                Ok(()) => return Ok((&facts.key, facts.may_sign_lists)),
                Err(reason) => verdict = Err(reason),
            }
        }
        verdict
    }

    /// The names, as hints for clients.
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.facts.iter().map(|facts| &*facts.subject)
    }

    /// Name and end of validity, in seconds, of each.
    pub fn summary(&self) -> impl Iterator<Item = (&str, i64)> {
        self.facts.iter().map(|facts| (facts.name.as_str(), facts.not_after))
    }

    /// The earliest end of an anchor's validity, in seconds.
    pub fn earliest_expiry(&self) -> Option<i64> {
        self.facts.iter().map(|facts| facts.not_after).min()
    }
}

impl Facts {
    fn judge(&self, authorities: usize, at: i64) -> Result<(), PathReason> {
        if at < self.not_before {
            return Err(PathReason::NotYetValid);
        }
        if at > self.not_after {
            return Err(PathReason::Expired);
        }
        if !self.is_strong {
            return Err(PathReason::WeakKey);
        }
        if !self.may_sign_certificates {
            return Err(PathReason::KeyUsage);
        }
        // No conversion of 32 bits fails here; zero would only refuse more.
        if self.path_length.is_some_and(|most| usize::try_from(most).unwrap_or(0) < authorities) {
            return Err(PathReason::PathLength);
        }
        Ok(())
    }

    fn of(certificate: &X509Certificate<'_>, anchor: &TrustAnchor<'_>) -> Self {
        let constraints = certificate.basic_constraints().ok().flatten();
        let validity = certificate.validity();
        Self {
            subject: anchor.subject.as_ref().into(),
            name: certificate.subject().to_string(),
            key: SubjectPublicKey::of(certificate),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            path_length: constraints.and_then(|constraints| constraints.value.path_len_constraint),
            may_sign_certificates: path::may(certificate, |usage| usage.key_cert_sign()),
            may_sign_lists: path::may(certificate, |usage| usage.crl_sign()),
            is_strong: path::is_strong(certificate),
        }
    }
}
