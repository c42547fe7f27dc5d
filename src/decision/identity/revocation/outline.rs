//! The parts of a revocation list, without a look at its entries.
//!
//! What is verified must be what is used: one reading gives both the bytes that were signed and the entries in
//! them. An issuer's signature is looked for before anything is made of the entries, so that a stranger's list
//! costs the memory of nothing but its bytes.

use x509_parser::der_parser::asn1_rs::{Any, BitString, Tag};
use x509_parser::prelude::{ASN1Time, FromDer, X509Extension};
use x509_parser::x509::AlgorithmIdentifier;

use crate::identity::path::SubjectPublicKey;
use crate::identity::signature;

/// The parts.
pub(super) struct ListOutline<'a> {
    /// The issuer's name.
    pub(super) issuer: &'a [u8],
    /// What the signature is over.
    pub(super) signed: &'a [u8],
    pub(super) algorithm: String,
    pub(super) signature: BitString<'a>,
    /// Seconds.
    pub(super) this_update: i64,
    pub(super) next_update: i64,
    /// What stands in revokedCertificates, one after the other.
    pub(super) entries: &'a [u8],
    pub(super) extensions: Vec<X509Extension<'a>>,
}

impl<'a> ListOutline<'a> {
    /// Reads a whole list, and nothing after it.
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let (after, list) = element(der)?;
        let (after_signed, signed) = element(list.data)?;
        // What follows would be seen by one reader and not by another.
        if !after.is_empty() || list.tag() != Tag::Sequence || signed.tag() != Tag::Sequence {
            return None;
        }
        let (after_algorithm, algorithm) = AlgorithmIdentifier::from_der(after_signed).ok()?;
        let (after_signature, signature) = BitString::from_der(after_algorithm).ok()?;
        let (after_version, version) = element(signed.data)?;
        // Version 1 has none; webpki refuses it later, with the better error.
        let inner = if version.tag() == Tag::Integer { after_version } else { signed.data };
        let (name, _) = AlgorithmIdentifier::from_der(inner).ok()?;
        let (times, _) = element(name)?;
        // Both forms of time, whatever the year (decision 14).
        let (next, this_update) = ASN1Time::from_der(times).ok()?;
        // Optional in X.509, required by RFC 5280 section 5.1.2.5: without it nobody knows its age.
        let (rest, next_update) = ASN1Time::from_der(next).ok()?;
        // RFC 5280 section 5.1.2.6 has the sequence absent from a list that revokes nobody.
        let (rest, entries) = match element(rest) {
            Some((after, entries)) if entries.tag() == Tag::Sequence => (after, entries.data),
            _ => (rest, &[][..]),
        };
        after_signature.is_empty().then_some(Self {
            issuer: before(name, times)?,
            signed: before(list.data, after_signed)?,
            algorithm: algorithm.algorithm.to_id_string(),
            signature,
            this_update: this_update.timestamp(),
            next_update: next_update.timestamp(),
            entries,
            extensions: extensions(rest)?,
        })
    }

    pub(super) fn is_signed_with(&self, key: &SubjectPublicKey) -> bool {
        signature::holds(&self.algorithm, key, self.signed, &self.signature.data)
    }
}

/// The list's own extensions, which stand in `[0]` and are the last.
fn extensions(tagged: &[u8]) -> Option<Vec<X509Extension<'_>>> {
    let (after, tagged) = element(tagged)?;
    let (after_all, all) = element(tagged.data)?;
    if !after.is_empty() || !after_all.is_empty() || all.tag() != Tag::Sequence {
        return None;
    }
    let (mut rest, mut extensions) = (all.data, Vec::new());
    while !rest.is_empty() {
        let (after, extension) = X509Extension::from_der(rest).ok()?;
        extensions.push(extension);
        rest = after;
    }
    Some(extensions)
}

/// The element that some bytes begin with, after what follows it.
pub(super) fn element(bytes: &[u8]) -> Option<(&[u8], Any<'_>)> {
    Any::from_der(bytes).ok()
}

/// What stands before the rest.
fn before<'a>(all: &'a [u8], rest: &[u8]) -> Option<&'a [u8]> {
    all.get(..all.len().checked_sub(rest.len())?)
}
