//! The form of certificates: what RFC 5280 asks of it and parsers let pass.
//!
//! An extension that stands twice is refused everywhere (section 4.2): which of the two counts would be the
//! reader's choice. A serial number that is not positive (section 4.1.2.2) and a name with an embedded NUL,
//! which another reader may cut there, are refused where the rules say so: the section bids users of
//! certificates bear the former, and no authority of ICP-Brasil issues either.
//!
//! x509-parser puts an extension that it cannot read aside, as if it were not there, and reads none to its end;
//! webpki never looks into keyUsage, and only into those extensions that its own path needs. So each by which
//! something is decided must be readable here, whole: else a distribution point, or a usage, would be as good as
//! absent. webpki checks the rest of a certificate: DER with the shortest lengths, version 3, the same algorithm
//! inside and outside the signature, no unique identifiers, times that exist and end in Z, notBefore before
//! notAfter, nothing after the end, and no critical extension but the ones above.

use x509_parser::der_parser::asn1_rs::{Any, Oid, Tag};
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{
    OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_CRL_DISTRIBUTION_POINTS,
    OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_KEY_USAGE, OID_X509_EXT_NAME_CONSTRAINTS,
    OID_X509_EXT_SUBJECT_ALT_NAME,
};
use x509_parser::prelude::{FromDer, X509Certificate, X509Extension};
use x509_parser::x509::X509Name;

use super::reason::PathReason;

/// What something is decided by.
const DECIDING: [Oid<'static>; 6] = [
    OID_X509_EXT_BASIC_CONSTRAINTS,
    OID_X509_EXT_CRL_DISTRIBUTION_POINTS,
    OID_X509_EXT_EXTENDED_KEY_USAGE,
    OID_X509_EXT_KEY_USAGE,
    OID_X509_EXT_NAME_CONSTRAINTS,
    OID_X509_EXT_SUBJECT_ALT_NAME,
];

/// Judges a certificate; `conforming` asks for what authorities must do and others should bear.
pub(super) fn judge(certificate: &X509Certificate<'_>, conforming: bool) -> Result<(), PathReason> {
    let is_sound = !repeats_an_extension(certificate.extensions())
        && certificate.extensions().iter().all(is_read)
        // RFC 5280 section 4.1.2.2 has recipients bear serial numbers that are not positive: `cert verify`
        // does.
        && (!conforming || has_positive_serial(certificate) && !names_with_nul(certificate));
    if is_sound { Ok(()) } else { Err(PathReason::Malformed) }
}

/// Whether each critical extension is one by which something is decided. webpki asks this of every certificate
/// but the anchor.
pub(super) fn is_understood(certificate: &X509Certificate<'_>) -> bool {
    let mut critical = certificate.extensions().iter().filter(|extension| extension.critical);
    critical.all(|extension| DECIDING.contains(&extension.oid))
}

/// Certificates and lists have few extensions, and more than some are refused before.
pub(super) fn repeats_an_extension(extensions: &[X509Extension<'_>]) -> bool {
    extensions.iter().enumerate().any(|(place, extension)| {
        extensions.iter().skip(place + 1).any(|other| other.oid == extension.oid)
    })
}

/// Whether an extension by which something is decided could be read, to its end.
fn is_read(extension: &X509Extension<'_>) -> bool {
    let decides = DECIDING.contains(&extension.oid);
    let is_whole = || Any::from_der(extension.value).is_ok_and(|(after, _)| after.is_empty());
    !decides || (extension.parsed_extension().error().is_none() && is_whole())
}

fn has_positive_serial(certificate: &X509Certificate<'_>) -> bool {
    let serial = certificate.raw_serial();
    serial.first().is_some_and(|first| first & 0x80 == 0) && serial.iter().any(|byte| *byte != 0)
}

fn names_with_nul(certificate: &X509Certificate<'_>) -> bool {
    let in_alternatives = match certificate.subject_alternative_name() {
        Ok(found) => found.is_some_and(|names| names.value.general_names.iter().any(names_nul)),
        // One that stands twice or cannot be read: refused before, and refused here if ever asked first.
        Err(_) => true,
    };
    in_alternatives || has_nul(certificate.subject()) || has_nul(certificate.issuer())
}

fn names_nul(name: &GeneralName<'_>) -> bool {
    match name {
        GeneralName::RFC822Name(text) | GeneralName::DNSName(text) | GeneralName::URI(text) => {
            text.contains('\0')
        }
        GeneralName::DirectoryName(name) => has_nul(name),
        // Addresses and the like are no text that somebody could cut.
        _ => false,
    }
}

fn has_nul(name: &X509Name<'_>) -> bool {
    name.iter_attributes().any(|attribute| contains_nul(attribute.attr_value()))
}

/// Strings of wide characters have zero bytes by nature; what is no string is no text to cut.
fn contains_nul(value: &Any<'_>) -> bool {
    let is_nul = |character: &[u8]| character.iter().all(|byte| *byte == 0);
    match value.tag() {
        // A character at a time: every Latin letter in it has a zero byte.
        Tag::BmpString => value.data.chunks(2).any(is_nul),
        Tag::UniversalString => value.data.chunks(4).any(is_nul),
        Tag::Utf8String
        | Tag::PrintableString
        | Tag::Ia5String
        | Tag::TeletexString
        | Tag::VisibleString
        | Tag::NumericString
        | Tag::GeneralString => value.data.contains(&0),
        // What is no string (a bit string as unique identifier) may have any bytes.
        _ => false,
    }
}
