//! Subjects of client certificates (OPIN certificate standard 5.2.2.1), as the directory's participants
//! have them.

use rcgen::string::PrintableString;
use rcgen::{DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose};

use crate::lab::Result;

const ORGANISATION_IDENTIFIER: [u64; 4] = [2, 5, 4, 97];
const USER_ID: [u64; 7] = [0, 9, 2342, 19_200_300, 100, 1, 1];
const SERIAL_NUMBER: [u64; 4] = [2, 5, 4, 5];
const BUSINESS_CATEGORY: [u64; 4] = [2, 5, 4, 15];
const JURISDICTION_COUNTRY: [u64; 11] = [1, 3, 6, 1, 4, 1, 311, 60, 2, 1, 3];

/// What a client certificate says.
#[derive(Clone, Debug)]
pub struct ClientSubject {
    /// organizationIdentifier, prefix included; absent if empty.
    pub organisation_identifier: String,
    /// UID; absent if empty.
    pub software_statement_id: String,
    /// The legal name.
    pub organisation_name: String,
    /// The CNPJ, with its check digits.
    pub cnpj: String,
    /// The host, in commonName and as a DNS name.
    pub host: String,
    /// Whether organizationIdentifier and UID are UTF8String rather than PrintableString.
    pub in_utf8: bool,
    /// extendedKeyUsage, if there is one.
    pub purpose: Option<ExtendedKeyUsagePurpose>,
    /// Where it says that its issuer's revocation lists are.
    pub distribution_points: Vec<String>,
    /// Seconds from now at which the validity begins.
    pub not_before: i64,
    /// Seconds from now at which the validity ends.
    pub not_after: i64,
}

impl Default for ClientSubject {
    /// Participant one.
    fn default() -> Self {
        Self {
            organisation_identifier: "OPIBR-d7384bd0-842f-43c5-be02-9d2b2d5efc2c".into(),
            software_statement_id: "bc97b8f0-cae0-4f2f-9978-d93f0e56a833".into(),
            organisation_name: "Seguradora Exemplo S.A.".into(),
            cnpj: "11222333000181".into(),
            host: "tpp.example".into(),
            in_utf8: true,
            purpose: Some(ExtendedKeyUsagePurpose::ClientAuth),
            distribution_points: Vec::new(),
            not_before: -86_400,
            not_after: 365 * 86_400,
        }
    }
}

impl ClientSubject {
    /// Participant two.
    pub fn second() -> Self {
        Self {
            organisation_identifier: "OPIBR-1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9".into(),
            software_statement_id: "0d9f1f3c-7a52-4a38-9c0e-5b1f6f0f9f10".into(),
            organisation_name: "Previdencia Modelo S.A.".into(),
            cnpj: "44555666000181".into(),
            host: "api.tpp-two.example".into(),
            // The other encoding: OPIN lets any pass (portal, 7.1.2).
            in_utf8: false,
            ..Self::default()
        }
    }

    /// Participant three.
    pub fn third() -> Self {
        Self {
            organisation_identifier: "OPIBR-5e0a9c1d-3b77-4f0c-a1de-6f2b8c9d0e1f".into(),
            software_statement_id: "7c1d2e3f-4a5b-4c6d-8e7f-901a2b3c4d5e".into(),
            organisation_name: "Corretora Amostra Ltda.".into(),
            cnpj: "77888999000181".into(),
            host: "*.tpp-three.example".into(),
            ..Self::default()
        }
    }

    /// The subject's name.
    pub(super) fn to_name(&self) -> Result<DistinguishedName> {
        let printable = |text: &str| -> Result<DnValue> {
            Ok(DnValue::PrintableString(PrintableString::try_from(text)?))
        };
        let id = |text: &str| match self.in_utf8 {
            true => Ok(DnValue::Utf8String(text.to_owned())),
            false => printable(text),
        };
        let mut name = DistinguishedName::new();
        name.push(DnType::from_oid(&BUSINESS_CATEGORY), "Private Organization");
        name.push(DnType::from_oid(&JURISDICTION_COUNTRY), printable("BR")?);
        name.push(DnType::from_oid(&SERIAL_NUMBER), printable(&self.cnpj)?);
        name.push(DnType::CountryName, printable("BR")?);
        name.push(DnType::OrganizationName, self.organisation_name.as_str());
        name.push(DnType::StateOrProvinceName, "SP");
        name.push(DnType::LocalityName, "Sao Paulo");
        if !self.organisation_identifier.is_empty() {
            let identifier = id(&self.organisation_identifier)?;
            name.push(DnType::from_oid(&ORGANISATION_IDENTIFIER), identifier);
        }
        if !self.software_statement_id.is_empty() {
            name.push(DnType::from_oid(&USER_ID), id(&self.software_statement_id)?);
        }
        name.push(DnType::CommonName, self.host.as_str());
        Ok(name)
    }
}
