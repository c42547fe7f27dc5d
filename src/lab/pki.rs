//! A PKI shaped like ICP-Brasil: a root, an issuing authority, a server certificate, and client
//! certificates in the BRCAC profile (OPIN certificate standard 5.2.2.1), good and bad.

use std::net::{IpAddr, Ipv4Addr};

use pem::{EncodeConfig, LineEnding, Pem, encode_config};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams,
    CustomExtension, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RevokedCertParams, SanType,
    SerialNumber, SigningKey,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Result;
use crate::identity::Thumbprint;

const ORGANISATION_IDENTIFIER: [u64; 4] = [2, 5, 4, 97];
const USER_ID: [u64; 7] = [0, 9, 2342, 19_200_300, 100, 1, 1];
const SERIAL_NUMBER: [u64; 4] = [2, 5, 4, 5];
const BUSINESS_CATEGORY: [u64; 4] = [2, 5, 4, 15];
const JURISDICTION_COUNTRY: [u64; 11] = [1, 3, 6, 1, 4, 1, 311, 60, 2, 1, 3];

/// An RSA key of 2048 bits.
pub fn rsa_key() -> Result<KeyPair> {
    Ok(KeyPair::generate_for(&PKCS_RSA_SHA256)?)
}

/// A certification authority.
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate chain and its key, as a client or a server presents them.
#[derive(Debug)]
pub struct Identity {
    /// The end entity first, then the issuing authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key.
    pub key: PrivateKeyDer<'static>,
    /// The chain in PEM.
    pub chain_pem: String,
    /// The key in PEM.
    pub key_pem: String,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
            chain_pem: self.chain_pem.clone(),
            key_pem: self.key_pem.clone(),
        }
    }
}

impl Identity {
    /// A chain and its key, which is in PEM too.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        key_pem: String,
    ) -> Self {
        let chain_pem = chain.iter().map(in_pem).collect();
        Self { chain, key, chain_pem, key_pem }
    }

    /// The same key with another chain.
    pub fn with_chain(&self, chain: Vec<CertificateDer<'static>>) -> Self {
        Self::new(chain, self.key.clone_key(), self.key_pem.clone())
    }

    /// The thumbprint of the end entity.
    pub fn thumbprint(&self) -> Option<Thumbprint> {
        self.chain.first().map(|certificate| Thumbprint::of_certificate(certificate))
    }

    /// The same end entity without its issuing authority.
    pub fn without_intermediate(&self) -> Self {
        self.with_chain(self.chain.iter().take(1).cloned().collect())
    }
}

/// What a client certificate says.
#[derive(Clone, Debug)]
pub struct Subject {
    /// organizationIdentifier, prefix included; absent if empty.
    pub organisation_identifier: String,
    /// UID; absent if empty.
    pub software_statement_id: String,
    /// Whether organizationIdentifier and UID are UTF8String rather than PrintableString.
    pub in_utf8: bool,
    /// extendedKeyUsage, if there is one.
    pub purpose: Option<ExtendedKeyUsagePurpose>,
    /// Seconds from now at which the validity begins.
    pub not_before: i64,
    /// Seconds from now at which the validity ends.
    pub not_after: i64,
}

impl Default for Subject {
    /// Participant one.
    fn default() -> Self {
        Self {
            organisation_identifier: "OPIBR-d7384bd0-842f-43c5-be02-9d2b2d5efc2c".into(),
            software_statement_id: "bc97b8f0-cae0-4f2f-9978-d93f0e56a833".into(),
            in_utf8: true,
            purpose: Some(ExtendedKeyUsagePurpose::ClientAuth),
            not_before: -86_400,
            not_after: 365 * 86_400,
        }
    }
}

impl Subject {
    /// Participant two.
    pub fn second() -> Self {
        Self {
            organisation_identifier: "OPIBR-1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9".into(),
            software_statement_id: "0d9f1f3c-7a52-4a38-9c0e-5b1f6f0f9f10".into(),
            in_utf8: false,
            ..Self::default()
        }
    }
}

impl Authority {
    /// A self-signed root.
    pub fn root(name: &str, key: KeyPair) -> Result<Self> {
        Self::root_until(name, key, 3650 * 86_400)
    }

    /// A self-signed root that ends so many seconds from now.
    pub fn root_until(name: &str, key: KeyPair, not_after: i64) -> Result<Self> {
        let mut params = authority_params(name);
        params.not_after = OffsetDateTime::now_utc() + Duration::seconds(not_after);
        let certificate = params.self_signed(&key)?;
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// An authority below this one.
    pub fn issuing(&self, name: &str, key: KeyPair) -> Result<Self> {
        self.issuing_with(name, key, |_| ())
    }

    /// The same with a change.
    pub fn issuing_with(
        &self,
        name: &str,
        key: KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Result<Self> {
        let mut params = authority_params(name);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// The authority's certificate.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    /// The authority's certificate in PEM.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Authorities that a stranger makes up to have a verifier try their combinations: so many names, each
    /// with so many certificates, of which none is signed by the next.
    pub fn maze(names: usize, of_each: usize) -> Result<Vec<CertificateDer<'static>>> {
        let key = rsa_key()?;
        let mut maze = Vec::new();
        for place in 0..names {
            let above = Issuer::new(authority_params(&format!("maze {}", place + 1)), &key);
            for _ in 0..of_each {
                let mut params = authority_params(&format!("maze {place}"));
                params.serial_number =
                    Some(SerialNumber::from(uuid::Uuid::new_v4().as_u64_pair().0 >> 1));
                params.custom_extensions = (0..25)
                    .map(|n| {
                        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 9999, n], vec![5, 0])
                    })
                    .collect();
                maze.push(params.signed_by(&key, &above)?.der().clone());
            }
        }
        Ok(maze)
    }

    /// A server certificate for localhost.
    pub fn server(&self, key: &KeyPair, not_before: i64, not_after: i64) -> Result<Identity> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        complete(&mut params, not_before, not_after);
        self.end_entity(&params, key)
    }

    /// A client certificate in the BRCAC profile.
    pub fn client(&self, key: &KeyPair, subject: &Subject) -> Result<Identity> {
        self.client_with(key, subject, |_| ())
    }

    /// The same with a change.
    pub fn client_with(
        &self,
        key: &KeyPair,
        subject: &Subject,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Result<Identity> {
        let mut params = CertificateParams::new(vec!["tpp.example".to_owned()])?;
        params.distinguished_name = subject_name(subject)?;
        params.extended_key_usages = subject.purpose.iter().cloned().collect();
        complete(&mut params, subject.not_before, subject.not_after);
        change(&mut params);
        self.end_entity(&params, key)
    }

    /// The same end entity with some of its bytes replaced, and signed again: what no library would make.
    /// Only an RSA key's signatures are all of one length.
    pub fn reissue(&self, identity: &Identity, from: &[u8], to: &[u8]) -> Result<Identity> {
        let mut der = identity.chain.first().ok_or("an identity without certificate")?.to_vec();
        let places: Vec<usize> = memchr::memmem::find_iter(&der, from).collect();
        for place in places {
            let found = der.get_mut(place..place + to.len()).ok_or("no place for the bytes")?;
            found.copy_from_slice(to);
        }
        let (_, certificate) = X509Certificate::from_der(&der)?;
        let signature = self.issuer.key().sign(certificate.tbs_certificate.as_ref())?;
        let kept = der.len().checked_sub(signature.len()).ok_or("a signature of another length")?;
        der.truncate(kept);
        der.extend(signature);
        let mut chain = identity.chain.clone();
        chain.splice(..1, [der.into()]);
        Ok(identity.with_chain(chain))
    }

    /// A revocation list in PEM that names these certificates. The times are seconds from now.
    pub fn revocation_list(
        &self,
        number: u64,
        revoked: &[&Identity],
        this_update: i64,
        next_update: i64,
    ) -> Result<String> {
        let mut serials = Vec::new();
        for identity in revoked {
            let der = identity.chain.first().ok_or("an identity without certificate")?;
            let (_, certificate) = X509Certificate::from_der(der)?;
            serials.push(SerialNumber::from_slice(certificate.raw_serial()));
        }
        self.list(number, serials, this_update, next_update)
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
            issuing_distribution_point: None,
            revoked_certs: serials.into_iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }

    fn end_entity(&self, params: &CertificateParams, key: &KeyPair) -> Result<Identity> {
        let certificate = params.signed_by(key, &self.issuer)?;
        let chain = vec![certificate.der().clone(), self.certificate()];
        let private = PrivateKeyDer::try_from(key.serialize_der())?;
        Ok(Identity::new(chain, private, key.serialize_pem()))
    }
}

fn in_pem(certificate: &CertificateDer<'_>) -> String {
    let lines = EncodeConfig::new().set_line_ending(LineEnding::LF);
    encode_config(&Pem::new("CERTIFICATE", certificate.as_ref()), lines)
}

/// What every end entity has.
fn complete(params: &mut CertificateParams, not_before: i64, not_after: i64) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now + Duration::seconds(not_before);
    params.not_after = now + Duration::seconds(not_after);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.is_ca = IsCa::ExplicitNoCa;
    // By default it is a hash of the key, and some of the lab's certificates share one.
    params.serial_number = Some(SerialNumber::from(uuid::Uuid::new_v4().as_u64_pair().0 >> 1));
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CountryName, "BR");
    params.distinguished_name.push(DnType::OrganizationName, "portaria lab");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::days(2);
    params.not_after = now + Duration::days(3650);
    params
}

fn subject_name(subject: &Subject) -> Result<DistinguishedName> {
    let text = |text: &str| -> Result<DnValue> {
        Ok(match subject.in_utf8 {
            true => DnValue::Utf8String(text.to_owned()),
            false => DnValue::PrintableString(text.try_into()?),
        })
    };
    let mut name = DistinguishedName::new();
    name.push(DnType::from_oid(&BUSINESS_CATEGORY), "Private Organization");
    name.push(DnType::from_oid(&JURISDICTION_COUNTRY), "BR");
    name.push(DnType::from_oid(&SERIAL_NUMBER), "11222333000181");
    name.push(DnType::CountryName, "BR");
    name.push(DnType::OrganizationName, "Seguradora Exemplo S.A.");
    name.push(DnType::StateOrProvinceName, "SP");
    name.push(DnType::LocalityName, "Sao Paulo");
    if !subject.organisation_identifier.is_empty() {
        let identifier = text(&subject.organisation_identifier)?;
        name.push(DnType::from_oid(&ORGANISATION_IDENTIFIER), identifier);
    }
    if !subject.software_statement_id.is_empty() {
        name.push(DnType::from_oid(&USER_ID), text(&subject.software_statement_id)?);
    }
    name.push(DnType::CommonName, "tpp.example");
    Ok(name)
}
