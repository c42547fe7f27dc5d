//! What a certificate's subject says: organisation, software statement, CNPJ and names.
//!
//! Attributes may stand in any order and be UTF8String or PrintableString (OPIN certificate standard
//! 7.1.2: any encoding is valid). An attribute that identifies must stand exactly once: with two
//! values, which one counts would be the reader's choice.

use x509_parser::der_parser::asn1_rs::{Oid, oid};
use x509_parser::x509::X509Name;

use super::{IdentityError, OrganisationId, SoftwareStatementId};

pub(super) const COMMON_NAME: Oid<'static> = oid!(2.5.4.3);
const SERIAL_NUMBER: Oid<'static> = oid!(2.5.4.5);
const ORGANISATION_NAME: Oid<'static> = oid!(2.5.4.10);
pub(super) const ORGANISATION_IDENTIFIER: Oid<'static> = oid!(2.5.4.97);
const USER_ID: Oid<'static> = oid!(0.9.2342.19200300.100.1.1);

/// How a subject is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectRules {
    /// Accepted prefixes of organizationIdentifier, such as `OPIBR-`: one per ecosystem.
    pub organisation_prefixes: Vec<String>,
}

pub(super) struct Subject {
    pub(super) organisation_id: OrganisationId,
    pub(super) software_statement_id: SoftwareStatementId,
    pub(super) cnpj: Option<Box<str>>,
    pub(super) organisation_name: Option<Box<str>>,
    pub(super) common_name: Option<Box<str>>,
}

pub(super) fn read(name: &X509Name<'_>, rules: &SubjectRules) -> Result<Subject, IdentityError> {
    let identifier = once(name, &ORGANISATION_IDENTIFIER).ok_or(IdentityError::Organisation)?;
    let organisation_id = rules
        .organisation_prefixes
        .iter()
        .find_map(|prefix| identifier.strip_prefix(prefix.as_str()))
        .and_then(OrganisationId::new)
        .ok_or(IdentityError::Organisation)?;
    let software_statement_id = once(name, &USER_ID)
        .and_then(SoftwareStatementId::new)
        .ok_or(IdentityError::SoftwareStatement)?;
    Ok(Subject {
        organisation_id,
        software_statement_id,
        cnpj: once(name, &SERIAL_NUMBER).map(Box::from),
        organisation_name: once(name, &ORGANISATION_NAME).map(Box::from),
        common_name: once(name, &COMMON_NAME).map(Box::from),
    })
}

/// The attribute's text if it stands exactly once and is a string.
fn once<'a>(name: &'a X509Name<'_>, oid: &Oid<'_>) -> Option<&'a str> {
    let mut attributes = name.iter_attributes().filter(|attribute| attribute.attr_type() == oid);
    let attribute = attributes.next()?;
    if attributes.next().is_some() {
        return None;
    }
    attribute.as_str().ok()
}
