//! Certification paths: RFC 5280 section 6 through rustls-webpki, and what it leaves out.
//!
//! Takes the certificates that the client sent; gives a [`VerifiedPath`] if they lead to a trust anchor,
//! or a named reason. The intermediates must come from the client, as RFC 5246 section 7.4.2 asks, so a
//! chain without them is refused. Beyond webpki: keyUsage along the path, strength of keys, the anchor's
//! own validity and constraints ([`super::anchors`]), and revocation lists whose signatures are verified
//! once and not in every handshake ([`super::revocation`]).
//!
//! webpki checks along the path: signatures, validity, basicConstraints and path length, nameConstraints,
//! extendedKeyUsage where it stands, critical extensions, and the effort of all that. It does not look into
//! keyUsage, compares names byte by byte, and leaves a certificate's form to whoever reads further
//! (`super::form`). x509-parser reads what webpki accepted, and nothing else is read by it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage as Purposes, VerifiedPath as Candidate};
use x509_parser::extensions::KeyUsage;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::anchors::TrustAnchors;
use super::form;
use super::reason::{Culprit, PathFault, PathReason};
use super::revocation::Revocation;

/// Intermediates of one name: an authority with a renewed key, cross-signed.
const MOST_OF_ONE_NAME: usize = 4;
/// Extensions of a certificate. Each way through a chain reads them again.
const MOST_EXTENSIONS: usize = 32;
/// Bytes of a certificate.
const LARGEST_CERTIFICATE: usize = 64 * 1024;
const LEAST_RSA_BITS: usize = 2048;
const LEAST_CURVE_BITS: usize = 256;

/// What a certificate is to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Client authentication.
    Client,
    /// Server authentication.
    Server,
}

/// What is asked of a path beside RFC 5280.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathRules {
    /// The purpose.
    pub purpose: Purpose,
    /// Whether the end entity must name its purpose. Without an extendedKeyUsage it may do anything,
    /// says RFC 5280; the OPIN certificate standard asks for it.
    pub purpose_must_be_named: bool,
    /// Whether serial numbers must be positive and names free of NUL, as authorities must see to.
    pub form_must_conform: bool,
    /// Certificates in a chain.
    pub most_certificates: usize,
}

impl PathRules {
    /// What a listener asks of its clients. ICP-Brasil's paths have four certificates; a client may send
    /// some that lie beside its path.
    pub const OF_LISTENERS: Self = Self {
        purpose: Purpose::Client,
        purpose_must_be_named: true,
        form_must_conform: true,
        most_certificates: 10,
    };
}

/// Judges paths: anchors, rules and revocation lists of one listener.
#[derive(Debug)]
pub struct PathVerifier {
    /// The anchors.
    pub anchors: TrustAnchors,
    /// The rules.
    pub rules: PathRules,
    /// The lists, if revocation is judged.
    pub revocation: Option<Arc<Revocation>>,
    /// The signature algorithms.
    pub algorithms: WebPkiSupportedAlgorithms,
}

/// A chain that was verified up to a trust anchor. Only this module makes one.
///
/// ```compile_fail,E0451
/// use portaria_decision::identity::VerifiedPath;
/// fn forge(path: VerifiedPath<'_>) -> VerifiedPath<'_> { VerifiedPath { ..path } }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct VerifiedPath<'a> {
    end_entity: &'a CertificateDer<'a>,
}

impl<'a> VerifiedPath<'a> {
    /// The chain of a connection whose handshake ran the verifier: rustls completes a handshake with
    /// client authentication only after it said yes.
    pub(crate) fn from_handshake(chain: &'a [CertificateDer<'a>]) -> Option<Self> {
        // The end entity comes first in both versions of TLS (RFC 5246 section 7.4.2, RFC 8446 section
        // 4.4.2).
        chain.first().map(|end_entity| Self { end_entity })
    }

    /// DER of the client's own certificate.
    pub fn end_entity(&self) -> &'a [u8] {
        self.end_entity
    }
}

/// A public key as revocation lists are verified with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SubjectPublicKey(Box<[u8]>);

impl SubjectPublicKey {
    pub(super) fn of(certificate: &X509Certificate<'_>) -> Self {
        // The key's bits without its algorithm: the signature's own identifier says how they are used.
        Self(certificate.public_key().subject_public_key.data.as_ref().into())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl PathVerifier {
    /// Judges a chain, the end entity first, at a given time.
    ///
    /// # Errors
    ///
    /// [`PathFault`] with any [`PathReason`], a refusal: also where lists cannot tell and the configuration
    /// does not bear that (`CrlMissing`, `CrlExpired`, `CrlInvalid`). An empty chain is
    /// [`PathReason::Malformed`].
    pub fn verify<'a>(
        &self,
        chain: &'a [CertificateDer<'a>],
        at: UnixTime,
    ) -> Result<VerifiedPath<'a>, PathFault> {
        let (end_entity, intermediates) = chain.split_first().ok_or(PathReason::Malformed)?;
        self.judge(end_entity, intermediates, at, &mut |_| {}).map(|()| VerifiedPath { end_entity })
    }

    /// The intermediates of the path by which a chain holds, the end entity's issuer first.
    ///
    /// # Errors
    ///
    /// As [`PathVerifier::verify`]: a chain that does not hold has no path.
    pub fn issuers(
        &self,
        chain: &[CertificateDer<'_>],
        at: UnixTime,
    ) -> Result<Vec<CertificateDer<'static>>, PathFault> {
        let (end_entity, intermediates) = chain.split_first().ok_or(PathReason::Malformed)?;
        let mut issuers = Vec::new();
        self.judge(end_entity, intermediates, at, &mut |path| {
            let ders = path.intermediate_certificates().map(|issuer| issuer.der().into_owned());
            issuers = ders.collect();
        })?;
        Ok(issuers)
    }

    /// The same for a chain in parts; `take` gets the path.
    pub(super) fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        at: UnixTime,
        take: &mut dyn FnMut(&Candidate<'_>),
    ) -> Result<(), PathFault> {
        // Sizes before anything is parsed: all of this comes from whom nobody knows yet.
        let mut chain = std::iter::once(end_entity).chain(intermediates);
        let is_large = |certificate: &CertificateDer<'_>| certificate.len() > LARGEST_CERTIFICATE;
        if intermediates.len() >= self.rules.most_certificates || chain.any(is_large) {
            return Err(PathReason::TooLarge.into());
        }
        // What follows it is refused by webpki (trailing data).
        let (_, leaf) = X509Certificate::from_der(end_entity).map_err(|_| PathReason::Malformed)?;
        let blame_leaf = |reason| PathFault { reason, certificate: Some(Culprit::of(&leaf)) };
        if leaf.extensions().len() > MOST_EXTENSIONS {
            return Err(blame_leaf(PathReason::TooLarge));
        }
        // Before webpki: it would say less, and verify signatures first.
        form::judge(&leaf, self.rules.form_must_conform).map_err(blame_leaf)?;
        if let Some(reason) = faults_of_end_entity(&leaf, &self.rules).first() {
            return Err(blame_leaf(*reason));
        }
        self.build(end_entity, intermediates, at, take).map_err(|fault| match fault.reason {
            // The commonest mistake of clients has a name of its own: they send no chain (RFC 5246 section
            // 7.4.2).
            PathReason::UnknownIssuer if intermediates.is_empty() && !is_self_issued(&leaf) => {
                blame_leaf(PathReason::MissingIntermediate)
            }
            reason => PathFault {
                reason,
                certificate: fault.certificate.or_else(|| {
                    culprit(std::iter::once(end_entity).chain(intermediates), reason, at)
                }),
            },
        })
    }

    /// Lets webpki look for a path that it and [`Self::judge_path`] accept. The first fault that the
    /// latter found says more than webpki's last word.
    fn build(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        at: UnixTime,
        take: &mut dyn FnMut(&Candidate<'_>),
    ) -> Result<(), PathFault> {
        let leaf = EndEntityCert::try_from(end_entity).map_err(|e| PathReason::of(&e))?;
        let intermediates = &without_needless_choice(intermediates)?;
        let found: RefCell<Option<PathFault>> = RefCell::default();
        let judge = |path: &Candidate<'_>| {
            self.judge_path(end_entity, path, at).map_err(|fault| {
                // The first: of many ways through a chain that is the one a reader would have gone.
                found.borrow_mut().get_or_insert(fault);
                // None of webpki's fatal errors, which would end the search: another way may hold.
                webpki::Error::UnknownIssuer
            })
        };
        let purposes = match self.rules.purpose {
            Purpose::Client => Purposes::client_auth(),
            Purpose::Server => Purposes::server_auth(),
        };
        let verified = leaf.verify_for_usage(
            self.algorithms.all,
            &self.anchors.known,
            intermediates,
            at,
            purposes,
            // No lists for webpki: it takes the first of an issuer that matches, and an older one could hide
            // a revocation.
            None,
            Some(&judge),
        );
        match verified {
            Ok(path) => {
                take(&path);
                Ok(())
            }
            Err(error) => {
                Err(found.borrow_mut().take().unwrap_or_else(|| PathReason::of(&error).into()))
            }
        }
    }

    /// Judges what webpki leaves out of a path that it would accept.
    fn judge_path(
        &self,
        end_entity: &CertificateDer<'_>,
        path: &Candidate<'_>,
        at: UnixTime,
    ) -> Result<(), PathFault> {
        let seconds = seconds(at);
        let ders: Vec<CertificateDer<'_>> =
            path.intermediate_certificates().map(|certificate| certificate.der()).collect();
        let mut certificates = vec![parse(end_entity)?];
        for der in &ders {
            certificates.push(parse(der)?);
        }
        // Self-issued ones do not count (RFC 5280 section 4.2.1.9).
        let authorities = certificates.iter().skip(1).filter(|c| !is_self_issued(c)).count();
        let (anchor_key, anchor_signs_lists) =
            self.anchors.judge(path.anchor(), authorities, seconds)?;
        let mut issuer = (anchor_key.clone(), anchor_signs_lists);
        // Once for the whole path: a list may be replaced meanwhile.
        let revocation =
            self.revocation.as_ref().map(|revocation| (revocation, revocation.lists()));
        // From the anchor down: a list is judged by a key whose own certificate was judged before.
        for (place, certificate) in certificates.iter().enumerate().rev() {
            let blame = |reason| PathFault { reason, certificate: Some(Culprit::of(certificate)) };
            // The end entity was judged before a path was looked for.
            if place > 0 {
                form::judge(certificate, self.rules.form_must_conform).map_err(blame)?;
                judge_authority(certificate).map_err(blame)?;
            }
            if let Some((revocation, lists)) = &revocation {
                let (key, signs_lists) = &issuer;
                let verdict = revocation.judge(lists, certificate, key, *signs_lists, seconds);
                verdict.map_err(blame)?;
            }
            issuer =
                (SubjectPublicKey::of(certificate), may(certificate, |usage| usage.crl_sign()));
        }
        Ok(())
    }
}

/// What is wrong with an end entity by itself, whatever its path, beside what webpki looks at.
pub fn faults_of_end_entity(leaf: &X509Certificate<'_>, rules: &PathRules) -> Vec<PathReason> {
    let mut faults = Vec::new();
    if !is_strong(leaf) {
        faults.push(PathReason::WeakKey);
    }
    if !may(leaf, |usage| usage.digital_signature()) {
        faults.push(PathReason::KeyUsage);
    }
    // webpki asks it only where the extension stands; anyExtendedKeyUsage names no purpose.
    let names_purpose = leaf.extended_key_usage().map(|usage| {
        usage.is_some_and(|usage| match rules.purpose {
            Purpose::Client => usage.value.client_auth,
            Purpose::Server => usage.value.server_auth,
        })
    });
    match names_purpose {
        Err(_) => faults.push(PathReason::Malformed),
        Ok(false) if rules.purpose_must_be_named => faults.push(PathReason::WrongPurpose),
        Ok(_) => {}
    }
    faults
}

/// Each intermediate once, and few of one name. With each that shares a name the ways through a chain
/// multiply, and a client that has shown nothing of itself could have the gateway try them for seconds.
fn without_needless_choice<'a>(
    intermediates: &'a [CertificateDer<'a>],
) -> Result<Vec<CertificateDer<'a>>, PathReason> {
    let mut kept: Vec<CertificateDer<'a>> = Vec::with_capacity(intermediates.len());
    let mut names: HashMap<Vec<u8>, usize> = HashMap::new();
    for der in intermediates {
        // Clients send one twice; each copy would double the ways to try.
        if kept.contains(der) {
            continue;
        }
        let certificate = parse(der)?;
        if certificate.extensions().len() > MOST_EXTENSIONS {
            return Err(PathReason::TooLarge);
        }
        let name = certificate.subject().as_raw().to_vec();
        let sharing = names.entry(name).or_default();
        *sharing += 1;
        if *sharing > MOST_OF_ONE_NAME {
            return Err(PathReason::TooLarge);
        }
        kept.push(CertificateDer::from(der.as_ref()));
    }
    Ok(kept)
}

fn judge_authority(certificate: &X509Certificate<'_>) -> Result<(), PathReason> {
    if !is_strong(certificate) {
        return Err(PathReason::WeakKey);
    }
    if !may(certificate, |usage| usage.key_cert_sign()) {
        return Err(PathReason::KeyUsage);
    }
    Ok(())
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, PathReason> {
    X509Certificate::from_der(der).map(|(_, parsed)| parsed).map_err(|_| PathReason::Malformed)
}

fn is_self_issued(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw()
}

/// Whether keyUsage admits something: without the extension, everything (RFC 5280 section 6.1.4 n).
pub(super) fn may(certificate: &X509Certificate<'_>, what: impl Fn(&KeyUsage) -> bool) -> bool {
    match certificate.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| what(usage.value)),
        // One that stands twice or cannot be read admits nothing.
        Err(_) => false,
    }
}

fn bits(number: &[u8]) -> usize {
    // DER puts a zero before a number whose highest bit is set.
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let first = number.get(zeros).map_or(0, |byte| 8 - byte.leading_zeros());
    let rest = number.len().saturating_sub(zeros + 1) * 8;
    rest + usize::try_from(first).unwrap_or(0)
}

/// RSA of at least 2048 bits, or a curve of at least 256.
pub(super) fn is_strong(certificate: &X509Certificate<'_>) -> bool {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => bits(key.modulus) >= LEAST_RSA_BITS,
        Ok(PublicKey::EC(point)) => point.key_size() >= LEAST_CURVE_BITS,
        // Ed25519 and DSA among them: technical security controls 3.2 page 20 asks for RSA.
        Ok(_) | Err(_) => false,
    }
}

/// The certificate whose validity is the reason; otherwise nobody can be named for certain.
fn culprit<'a>(
    chain: impl Iterator<Item = &'a CertificateDer<'a>>,
    reason: PathReason,
    at: UnixTime,
) -> Option<Culprit> {
    let seconds = seconds(at);
    chain.filter_map(|der| parse(der).ok()).find_map(|certificate| {
        let validity = certificate.validity();
        let is_it = match reason {
            PathReason::Expired => validity.not_after.timestamp() < seconds,
            PathReason::NotYetValid => validity.not_before.timestamp() > seconds,
            _ => true,
        };
        is_it.then(|| Culprit::of(&certificate))
    })
}

fn seconds(at: UnixTime) -> i64 {
    // The end of time, should it ever fail: everything has expired then.
    i64::try_from(at.as_secs()).unwrap_or(i64::MAX)
}
