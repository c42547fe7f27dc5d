//! One revocation list: reading it, which certificates it covers, whether it is newer than another.
//!
//! A signature over a list of some megabytes costs more than a handshake, so it is verified once for each
//! key. Indirect lists, delta lists and lists of some reasons are not understood and refused.
//!
//! # What the libraries check, and what is checked here
//!
//! webpki, of the list as a whole: DER with the shortest lengths, version 2, the same algorithm inside and
//! outside the signature, times that exist and end in Z, nextUpdate, CRLNumber of 20 bytes at most, critical
//! extensions that it does not know, delta and indirect lists, lists of some reasons, an
//! issuingDistributionPoint that names a point. It reads no entry, looks for a second extension of one kind only
//! at the issuingDistributionPoint, is content without a CRLNumber and with a critical one, knows no
//! present, and compares no list with another.
//!
//! Here: entries (`super::entries`), extensions that stand twice, CRLNumber (required and never critical,
//! RFC 5280 section 5.2.3: without it age cannot be told), the fields of the issuingDistributionPoint in their
//! order and without contradiction. In [`super::issuers`]: who may sign, and what may follow what. Not looked at,
//! because nothing is decided by it: authorityKeyIdentifier (the signature tells the key), the form of a time
//! (UTCTime or GeneralizedTime), a serial number longer than 20 bytes, the order of entries.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use thiserror::Error;
use x509_parser::extensions::{DistributionPointName, ParsedExtension};
use x509_parser::oid_registry::{OID_X509_EXT_CRL_NUMBER, OID_X509_EXT_ISSUER_DISTRIBUTION_POINT};
use x509_parser::prelude::{X509Certificate, X509Extension};

use super::entries;
use super::issuers::ListFault;
use super::outline::{ListOutline, element};
use crate::identity::form;
use crate::identity::path::SubjectPublicKey;
use crate::identity::pem::{self, PemFault};
use crate::identity::signature;

/// Keys that a list remembers.
const MOST_KEYS: usize = 8;
/// Seconds by which a list may be ahead of the gateway's clock.
pub(super) const SKEW: i64 = 300;

/// Why a revocation list was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ListError {
    /// It cannot be parsed, or has no nextUpdate.
    #[error("not a revocation list of RFC 5280")]
    Unreadable,
    /// It is indirect, a delta, of some reasons only, or of a scope that cannot be told.
    #[error("a kind of revocation list that is not understood")]
    Unsupported,
    /// It, or an entry, has a critical extension that is unknown.
    #[error("a revocation list with a critical extension, its own or an entry's, that is unknown")]
    Critical,
    /// An extension of it, or of an entry, stands twice.
    #[error("a revocation list in which an extension stands twice")]
    Twice,
}

impl ListError {
    /// What webpki's verdict means.
    pub(super) fn of(error: &webpki::Error) -> Self {
        use webpki::Error as E;
        match error {
            E::UnsupportedCriticalExtension => Self::Critical,
            E::ExtensionValueInvalid => Self::Twice,
            E::UnsupportedCrlIssuingDistributionPoint
            | E::UnsupportedDeltaCrl
            | E::UnsupportedIndirectCrl
            | E::UnsupportedRevocationReasonsPartitioning => Self::Unsupported,
            // The enumeration may grow; whatever else is wrong with a list is its form.
            _ => Self::Unreadable,
        }
    }
}

/// A list of a file that does not count, and the line that it begins in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{fault}")]
pub struct ListMisfit {
    line: Option<usize>,
    fault: ListFault,
}

impl ListMisfit {
    /// Of the list that begins in a line; 0 if the file is not PEM.
    pub fn new(line: usize, fault: impl Into<ListFault>) -> Self {
        Self { line: (line > 0).then_some(line), fault: fault.into() }
    }

    /// The mistake with its file and line.
    pub fn in_file(&self, file: impl fmt::Display) -> String {
        match (&self.fault, self.line) {
            (ListFault::Pem(fault), _) => fault.in_file(file),
            (fault, Some(line)) => format!("{file}:{line} is not usable: {fault}"),
            (fault, None) => format!("{file} is not usable: {fault}"),
        }
    }
}

impl From<PemFault> for ListMisfit {
    fn from(fault: PemFault) -> Self {
        Self { line: fault.line, fault: fault.into() }
    }
}

/// What a list covers of its issuer's certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CrlScope {
    /// The names of its distribution point; every certificate without.
    points: Option<Vec<String>>,
    only_end_entities: bool,
    only_authorities: bool,
}

impl CrlScope {
    /// Whether certificates of authorities, or of end entities, are among what it covers.
    pub(super) fn includes(&self, authorities: bool) -> bool {
        if authorities { !self.only_end_entities } else { !self.only_authorities }
    }
}

/// How a list came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListOrigin {
    /// From a file that the configuration names.
    File,
    /// From a distribution point.
    Point,
}

impl ListOrigin {
    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Point => "distribution_point",
        }
    }
}

/// One list.
pub struct RevocationList {
    /// Where it was read: the name of a file, or a URL.
    pub source: String,
    /// Which of the two.
    pub origin: ListOrigin,
    /// The line of the file that it begins in; 0 if the file is not PEM.
    pub line: usize,
    /// thisUpdate, in seconds.
    pub this_update: i64,
    /// nextUpdate, in seconds.
    pub next_update: i64,
    /// CRLNumber, big-endian.
    pub number: Vec<u8>,
    pub(super) issuer: Box<[u8]>,
    pub(super) scope: CrlScope,
    pub(super) serials: HashSet<Box<[u8]>>,
    pub(super) signed: Box<[u8]>,
    pub(super) signature: Box<[u8]>,
    pub(super) algorithm: String,
    /// The keys that the signature was verified with, and whether it did: an issuer that renewed its
    /// key has two.
    verified: Mutex<Vec<(SubjectPublicKey, bool)>>,
    is_used_overdue: AtomicBool,
}

impl std::fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RevocationList").field("source", &self.source).finish_non_exhaustive()
    }
}

impl RevocationList {
    /// Reads a list in DER.
    ///
    /// # Errors
    ///
    /// [`ListError::Unreadable`] for what is no list or has no CRLNumber, [`ListError::Unsupported`],
    /// [`ListError::Critical`] or [`ListError::Twice`] (RFC 5280 section 5): the list must not be used at
    /// all.
    pub fn parse(der: &[u8], source: &str) -> Result<Self, ListError> {
        Self::of(&ListOutline::read(der).ok_or(ListError::Unreadable)?, der, source)
    }

    /// Reads what its outline leaves out.
    pub(super) fn of(
        outline: &ListOutline<'_>,
        der: &[u8],
        source: &str,
    ) -> Result<Self, ListError> {
        // webpki refuses what it does not understand, and more strictly than the other parser.
        let known = webpki::BorrowedCertRevocationList::from_der(der)
            .map_err(|error| ListError::of(&error))?;
        if form::repeats_an_extension(&outline.extensions) {
            return Err(ListError::Twice);
        }
        Ok(Self {
            source: source.to_owned(),
            origin: ListOrigin::File,
            line: 0,
            this_update: outline.this_update,
            next_update: outline.next_update,
            number: number_of(&outline.extensions)?,
            issuer: outline.issuer.into(),
            scope: scope_of(&outline.extensions)?,
            serials: entries::serials(&known, outline.entries)?,
            signed: outline.signed.into(),
            signature: outline.signature.data.as_ref().into(),
            algorithm: outline.algorithm.clone(),
            verified: Mutex::default(),
            is_used_overdue: AtomicBool::new(false),
        })
    }

    /// Reads the lists of a file, whoever signed them.
    ///
    /// # Errors
    ///
    /// [`ListMisfit`] of the file, or of the first list that [`RevocationList::parse`] refuses. No list of
    /// the file counts then.
    pub fn read_all(bytes: &[u8], source: &str) -> Result<Vec<Self>, ListMisfit> {
        let read = |block: pem::Block| {
            let list = Self::parse(&block.der, source);
            let mut list = list.map_err(|error| ListMisfit::new(block.line, error))?;
            list.line = block.line;
            Ok(list)
        };
        pem::lists(bytes)?.into_iter().map(read).collect()
    }

    /// How many certificates it revokes.
    pub fn entries(&self) -> usize {
        self.serials.len()
    }

    pub(super) fn covers(&self, certificate: &X509Certificate<'_>) -> bool {
        // RFC 5280 section 6.3.3 (b): a list says nothing of what is outside its scope.
        let of_kind = self.scope.includes(certificate.is_ca());
        let at_point =
            self.scope.points.as_ref().is_none_or(|points| {
                points_of(certificate).iter().any(|point| points.contains(point))
            });
        // Byte by byte, as webpki compares names when it builds a path.
        *self.issuer == *certificate.issuer().as_raw() && of_kind && at_point
    }

    pub(super) fn is_signed_with(&self, key: &SubjectPublicKey) -> bool {
        // Held while it verifies: whoever comes meanwhile would hash the same megabytes.
        let mut verified = self.verified.lock();
        if let Some((_, holds)) = verified.iter().find(|(of, _)| of == key) {
            return *holds;
        }
        let holds = signature::holds(&self.algorithm, key, &self.signed, &self.signature);
        // An authority has one key, or two while it renews it; more must not be kept for ever.
        if verified.len() >= MOST_KEYS {
            verified.remove(0);
        }
        verified.push((key.clone(), holds));
        holds
    }

    /// Remembers a key that the signature was verified with elsewhere.
    pub(super) fn remember_signer(&self, key: &SubjectPublicKey) {
        self.verified.lock().push((key.clone(), true));
    }

    /// Whether it is used for the first time though it is past its nextUpdate.
    pub(super) fn is_first_overdue_use(&self) -> bool {
        // Relaxed: that one of them is told it is all that counts.
        !self.is_used_overdue.swap(true, Ordering::Relaxed)
    }

    /// Whether it is past its nextUpdate, at a time in seconds.
    pub fn is_expired(&self, at: i64) -> bool {
        // nextUpdate itself is still within.
        at > self.next_update
    }

    /// Issued later; at the same time, with the higher number.
    pub(super) fn is_newer_than(&self, other: &Self) -> bool {
        // The longer number is the greater, once its zeros are gone: CRLNumber has up to 20 bytes.
        let (ours, theirs) = (significant(&self.number), significant(&other.number));
        (self.this_update, ours.len(), ours) > (other.this_update, theirs.len(), theirs)
    }
}

/// A number without the zeros that it need not begin with.
fn significant(number: &[u8]) -> Box<[u8]> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default().into()
}

/// A serial number in the one form that DER has for it: some authorities pad them. Serial numbers may be
/// negative, so what tells the sign stays.
pub(super) fn minimal(mut serial: &[u8]) -> Box<[u8]> {
    while let [sign @ (0 | 0xff), rest @ ..] = serial
        && rest.first().is_some_and(|next| next & 0x80 == sign & 0x80)
    {
        serial = rest;
    }
    serial.into()
}

/// CRLNumber, big-endian.
fn number_of(extensions: &[X509Extension<'_>]) -> Result<Vec<u8>, ListError> {
    let is_number = |e: &&X509Extension<'_>| e.oid == OID_X509_EXT_CRL_NUMBER && !e.critical;
    let number = extensions.iter().find(is_number).ok_or(ListError::Unreadable)?;
    match number.parsed_extension() {
        ParsedExtension::CRLNumber(number) => Ok(number.to_bytes_be()),
        _ => Err(ListError::Unreadable),
    }
}

fn scope_of(extensions: &[X509Extension<'_>]) -> Result<CrlScope, ListError> {
    let mut scope = CrlScope { points: None, only_end_entities: false, only_authorities: false };
    let is_point = |e: &&X509Extension<'_>| e.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT;
    let Some(extension) = extensions.iter().find(is_point) else {
        return Ok(scope);
    };
    let ParsedExtension::IssuingDistributionPoint(point) = extension.parsed_extension() else {
        return Err(ListError::Unsupported);
    };
    if point.indirect_crl
        || point.only_some_reasons.is_some()
        || point.only_contains_attribute_certs
        // Certificates are of one kind or the other: such a list would cover none.
        || (point.only_contains_user_certs && point.only_contains_ca_certs)
        || !are_in_order(extension.value)
    {
        return Err(ListError::Unsupported);
    }
    scope.only_end_entities = point.only_contains_user_certs;
    scope.only_authorities = point.only_contains_ca_certs;
    scope.points = match &point.distribution_point {
        // Relative names are of the issuer's name: no reader here could match one with a certificate's.
        Some(name) => Some(names_of(name).ok_or(ListError::Unsupported)?),
        None => None,
    };
    Ok(scope)
}

/// Whether each field of an issuingDistributionPoint stands once and in its place. x509-parser does not read
/// one out of place, webpki takes the last of two: the list would cover more than it says.
fn are_in_order(point: &[u8]) -> bool {
    let Some((after, fields)) = element(point) else {
        return false;
    };
    let (mut rest, mut last) = (fields.data, None);
    while let Some((after, field)) = element(rest) {
        let number = Some(field.tag().0);
        // DER has a SEQUENCE's fields in their order, each at most once.
        if number <= last {
            return false;
        }
        (rest, last) = (after, number);
    }
    after.is_empty() && rest.is_empty()
}

fn names_of(point: &DistributionPointName<'_>) -> Option<Vec<String>> {
    match point {
        DistributionPointName::FullName(names) => {
            Some(names.iter().map(ToString::to_string).collect())
        }
        DistributionPointName::NameRelativeToCRLIssuer(_) => None,
    }
}

/// The distribution points that a certificate names, without those of other issuers.
fn points_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut points = Vec::new();
    for extension in certificate.extensions() {
        if let ParsedExtension::CRLDistributionPoints(found) = extension.parsed_extension() {
            // RFC 5280 section 4.2.1.13: one of another issuer (cRLIssuer) is an indirect list's.
            let own = found.iter().filter(|p| p.crl_issuer.is_none() && p.reasons.is_none());
            let names = own.filter_map(|point| names_of(point.distribution_point.as_ref()?));
            points.extend(names.flatten());
        }
    }
    points
}
