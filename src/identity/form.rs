//! The form of certificates: what RFC 5280 asks of it and parsers let pass.
//!
//! An extension that stands twice is refused everywhere (section 4.2): which of the two counts would be the
//! reader's choice. A serial number that is not positive (section 4.1.2.2) and a name with an embedded NUL,
//! which another reader may cut there, are refused where the rules say so: the section bids users of
//! certificates bear the former, and no authority of ICP-Brasil issues either.

use x509_parser::der_parser::asn1_rs::{Any, Tag};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;
use x509_parser::x509::X509Name;

use super::reason::PathReason;

/// Judges a certificate; `conforming` asks for what authorities must do and others should bear.
pub(super) fn judge(certificate: &X509Certificate<'_>, conforming: bool) -> Result<(), PathReason> {
    let is_sound = !repeats_an_extension(certificate)
        && (!conforming || has_positive_serial(certificate) && !names_with_nul(certificate));
    if is_sound { Ok(()) } else { Err(PathReason::Malformed) }
}

/// Certificates have few extensions, and more than some are refused before.
fn repeats_an_extension(certificate: &X509Certificate<'_>) -> bool {
    let extensions = certificate.extensions();
    extensions.iter().enumerate().any(|(place, extension)| {
        extensions.iter().skip(place + 1).any(|other| other.oid == extension.oid)
    })
}

fn has_positive_serial(certificate: &X509Certificate<'_>) -> bool {
    let serial = certificate.raw_serial();
    serial.first().is_some_and(|first| first & 0x80 == 0) && serial.iter().any(|byte| *byte != 0)
}

fn names_with_nul(certificate: &X509Certificate<'_>) -> bool {
    let in_alternatives = match certificate.subject_alternative_name() {
        Ok(found) => found.is_some_and(|names| names.value.general_names.iter().any(names_nul)),
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
        Tag::BmpString => value.data.chunks(2).any(is_nul),
        Tag::UniversalString => value.data.chunks(4).any(is_nul),
        Tag::Utf8String
        | Tag::PrintableString
        | Tag::Ia5String
        | Tag::TeletexString
        | Tag::VisibleString
        | Tag::NumericString
        | Tag::GeneralString => value.data.contains(&0),
        _ => false,
    }
}
