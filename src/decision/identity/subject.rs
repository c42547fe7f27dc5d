//! What a certificate's subject says: organisation, software statement, CNPJ and names.
//!
//! Attributes may stand in any order and be UTF8String or PrintableString (OPIN certificate standard
//! 7.1.2: any encoding is valid). An attribute that identifies must stand exactly once: with two
//! values, which one counts would be the reader's choice.

use x509_parser::der_parser::asn1_rs::{Oid, oid};
use x509_parser::x509::X509Name;

use super::profile::Profile;
use super::{IdentityError, OrganisationId, SoftwareStatementId};

pub(super) const COMMON_NAME: Oid<'static> = oid!(2.5.4.3);
pub(super) const SERIAL_NUMBER: Oid<'static> = oid!(2.5.4.5);
pub(super) const ORGANISATION_NAME: Oid<'static> = oid!(2.5.4.10);
pub(super) const ORGANISATION_IDENTIFIER: Oid<'static> = oid!(2.5.4.97);
pub(super) const USER_ID: Oid<'static> = oid!(0.9.2342.19200300.100.1.1);

pub(super) struct Subject {
    pub(super) organisation_id: OrganisationId,
    pub(super) software_statement_id: SoftwareStatementId,
    pub(super) cnpj: Option<Box<str>>,
    pub(super) organisation_name: Option<Box<str>>,
    pub(super) common_name: Option<Box<str>>,
}

pub(super) fn read(name: &X509Name<'_>, profile: &Profile) -> Result<Subject, IdentityError> {
    let identifier = once(name, &ORGANISATION_IDENTIFIER).ok_or(IdentityError::Organisation)?;
    let organisation_id = profile
        .without_prefix(identifier)
        .and_then(OrganisationId::new)
        .ok_or(IdentityError::Organisation)?;
    let software_statement_id = once(name, &USER_ID)
        .and_then(SoftwareStatementId::new)
        .ok_or(IdentityError::SoftwareStatement)?;
    Ok(Subject {
        organisation_id,
        software_statement_id,
        // Optional here: whether they must be there is the profile's question, and it may only warn.
        cnpj: once(name, &SERIAL_NUMBER).map(Box::from),
        organisation_name: once(name, &ORGANISATION_NAME).map(Box::from),
        common_name: once(name, &COMMON_NAME).map(Box::from),
    })
}

/// The attribute's text if it stands exactly once and is a string.
pub(super) fn once<'a>(name: &'a X509Name<'_>, oid: &Oid<'_>) -> Option<&'a str> {
    let mut attributes = name.iter_attributes().filter(|attribute| attribute.attr_type() == oid);
    let attribute = attributes.next()?;
    if attributes.next().is_some() {
        return None;
    }
    // The library reads no BMPString or TeletexString: such a value is as good as none.
    attribute.as_str().ok()
}
