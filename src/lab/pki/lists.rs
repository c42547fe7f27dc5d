//! Revocation lists.

use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, CrlIssuingDistributionPoint,
    KeyIdMethod, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use super::{CertificationAuthority, Identity};
use crate::lab::Result;

impl CertificationAuthority {
    /// A revocation list in PEM that names these certificates. The times are seconds from now.
    pub fn revocation_list(
        &self,
        number: u64,
        revoked: &[&Identity],
        this_update: i64,
        next_update: i64,
    ) -> Result<String> {
        let serials: Result<Vec<_>> = revoked.iter().map(|identity| serial_of(identity)).collect();
        self.list(number, serials?, this_update, next_update)
    }

    /// The list that comes after another one of this authority, and names one certificate more.
    pub fn revoke(&self, list: &str, identity: &Identity, next_update: i64) -> Result<String> {
        let der = CertificateRevocationListDer::from_pem_slice(list.as_bytes())?;
        let (_, list) = CertificateRevocationList::from_der(&der)?;
        let number = list.crl_number().and_then(|number| number.iter_u64_digits().next());
        let revoked = list.iter_revoked_certificates();
        let mut serials: Vec<_> =
            revoked.map(|entry| SerialNumber::from_slice(entry.raw_serial())).collect();
        serials.push(serial_of(identity)?);
        // One more, for of two lists of one second the number decides (decision 15).
        self.list(number.unwrap_or_default() + 1, serials, 0, next_update)
    }

    /// A revocation list in PEM that covers only certificates which name this distribution point.
    pub fn revocation_list_of_point(
        &self,
        url: &str,
        number: u64,
        this_update: i64,
        next_update: i64,
    ) -> Result<String> {
        let uris = vec![url.to_owned()];
        let point = CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint { uris },
            scope: None,
        };
        self.list_of(Some(point), number, Vec::new(), this_update, next_update)
    }

    /// A revocation list in PEM that names so many certificates that do not exist.
    pub fn long_revocation_list(
        &self,
        entries: u64,
        this_update: i64,
        next_update: i64,
    ) -> Result<String> {
        let serials = (1..=entries).map(SerialNumber::from).collect();
        self.list(1, serials, this_update, next_update)
    }

    fn list(
        &self,
        number: u64,
        serials: Vec<SerialNumber>,
        this_update: i64,
        next_update: i64,
    ) -> Result<String> {
        self.list_of(None, number, serials, this_update, next_update)
    }

    fn list_of(
        &self,
        issuing_distribution_point: Option<CrlIssuingDistributionPoint>,
        number: u64,
        serials: Vec<SerialNumber>,
        this_update: i64,
        next_update: i64,
    ) -> Result<String> {
        let now = OffsetDateTime::now_utc();
        let revoked = |serial_number| RevokedCertParams {
            serial_number,
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: now + Duration::seconds(this_update),
            next_update: now + Duration::seconds(next_update),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point,
            revoked_certs: serials.into_iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }
}

fn serial_of(identity: &Identity) -> Result<SerialNumber> {
    let der = identity.chain.first().ok_or("an identity without certificate")?;
    let (_, certificate) = X509Certificate::from_der(der)?;
    Ok(SerialNumber::from_slice(certificate.raw_serial()))
}
