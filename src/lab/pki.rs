//! Certificates: authorities, servers, and clients in the BRCAC profile (OPIN certificate standard 5.2.2.1),
//! good and bad. [`hierarchy`] is the PKI of the lab, shaped like ICP-Brasil; [`refused`] has one client
//! certificate for each reason to refuse one.

pub mod hierarchy;
mod lists;
pub mod refused;
mod subject;

use std::net::{IpAddr, Ipv4Addr};

use pem::{EncodeConfig, LineEnding, Pem, encode_config};
use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, CustomExtension, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256,
    PublicKeyData, SanType, SerialNumber, SigningKey,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Result;
use crate::identity::Thumbprint;
pub use subject::ClientSubject;

/// An RSA key of 2048 bits.
pub fn rsa_key() -> Result<KeyPair> {
    Ok(KeyPair::generate_for(&PKCS_RSA_SHA256)?)
}

/// A certification authority.
pub struct CertificationAuthority {
    name: String,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// What its clients send beside it: authorities between it and its root.
    above: Vec<CertificateDer<'static>>,
    is_root: bool,
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

impl CertificationAuthority {
    /// A self-signed root.
    pub fn root(name: &str, key: KeyPair) -> Result<Self> {
        Self::root_until(name, key, 3650 * 86_400)
    }

    /// A self-signed root that ends so many seconds from now.
    pub fn root_until(name: &str, key: KeyPair, not_after: i64) -> Result<Self> {
        let mut params = authority_params(name);
        params.not_after = OffsetDateTime::now_utc() + Duration::seconds(not_after);
        let certificate = params.self_signed(&key)?.into();
        let issuer = Issuer::new(params, key);
        Ok(Self { name: name.to_owned(), issuer, certificate, above: Vec::new(), is_root: true })
    }

    /// An authority from what was written of it: [`Self::path_pem`] and [`Self::key_pem`].
    pub fn read(path_pem: &str, key_pem: &str) -> Result<Self> {
        let mut path = CertificateDer::pem_slice_iter(path_pem.as_bytes());
        let certificate = path.next().ok_or("no certificate")??;
        let above: Result<Vec<_>, _> = path.collect();
        let (_, parsed) = X509Certificate::from_der(&certificate)?;
        let name = parsed.subject().iter_common_name().next().ok_or("no name")?;
        let name = name.as_str()?.to_owned();
        let is_root = parsed.subject().as_raw() == parsed.issuer().as_raw();
        let issuer = Issuer::new(authority_params(&name), KeyPair::from_pem(key_pem)?);
        Ok(Self { name, issuer, certificate, above: above?, is_root })
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
        let certificate = params.signed_by(&key, &self.issuer)?.into();
        let above = if self.is_root { Vec::new() } else { self.path().cloned().collect() };
        let issuer = Issuer::new(params, key);
        Ok(Self { name: name.to_owned(), issuer, certificate, above, is_root: false })
    }

    /// This authority with one more certificate of the same name and key, by another one: its clients can
    /// be followed to either.
    pub fn cross_signed_by(mut self, other: &Self) -> Result<Self> {
        let params = authority_params(&self.name);
        self.above.push(params.signed_by(self.issuer.key(), &other.issuer)?.into());
        Ok(self)
    }

    fn path(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        std::iter::once(&self.certificate).chain(&self.above)
    }

    /// The authority's certificate.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// The authority's certificate in PEM.
    pub fn pem(&self) -> String {
        in_pem(&self.certificate)
    }

    /// The authority's certificate, and what else its clients send, in PEM.
    pub fn path_pem(&self) -> String {
        self.path().map(in_pem).collect()
    }

    /// The authority's key in PEM.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Whether a certificate names this authority as its issuer.
    pub fn is_issuer_of(&self, identity: &Identity) -> Result<bool> {
        let (_, own) = X509Certificate::from_der(&self.certificate)?;
        let issued = identity.chain.first().ok_or("an identity without certificate")?;
        let (_, issued) = X509Certificate::from_der(issued)?;
        Ok(own.subject().as_raw() == issued.issuer().as_raw())
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

    /// A server certificate for other hosts.
    pub fn server_for(&self, key: &KeyPair, hosts: &[&str]) -> Result<Identity> {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name = DistinguishedName::new();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        complete(&mut params, -3600, 86_400);
        self.end_entity(&params, key)
    }

    /// A client certificate in the BRCAC profile.
    pub fn client(&self, key: &KeyPair, subject: &ClientSubject) -> Result<Identity> {
        self.client_with(key, subject, |_| ())
    }

    /// The same with a change.
    pub fn client_with(
        &self,
        key: &KeyPair,
        subject: &ClientSubject,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Result<Identity> {
        let mut params = client_params(subject)?;
        change(&mut params);
        self.end_entity(&params, key)
    }

    /// A client that acts as an authority, which its certificate does not say.
    pub fn client_as_authority(&self, key: KeyPair, subject: &ClientSubject) -> Result<Self> {
        let params = client_params(subject)?;
        let certificate = params.signed_by(&key, &self.issuer)?.into();
        let (name, above) = (subject.host.clone(), self.path().cloned().collect());
        Ok(Self { name, issuer: Issuer::new(params, key), certificate, above, is_root: false })
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
        // The signature is what a certificate ends with.
        let kept = der.len().checked_sub(signature.len()).ok_or("a signature of another length")?;
        der.truncate(kept);
        der.extend(signature);
        let mut chain = identity.chain.clone();
        chain.splice(..1, [der.into()]);
        Ok(identity.with_chain(chain))
    }

    fn end_entity(&self, params: &CertificateParams, key: &KeyPair) -> Result<Identity> {
        self.certify(params, key, &key.serialize_pem())
    }

    fn certify(
        &self,
        params: &CertificateParams,
        public: &impl PublicKeyData,
        key_pem: &str,
    ) -> Result<Identity> {
        let mut chain = vec![params.signed_by(public, &self.issuer)?.into()];
        chain.extend(self.path().cloned());
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())?;
        Ok(Identity::new(chain, key, key_pem.to_owned()))
    }
}

fn client_params(subject: &ClientSubject) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(vec![subject.host.clone()])?;
    params.distinguished_name = subject.to_name()?;
    params.extended_key_usages = subject.purpose.iter().cloned().collect();
    if !subject.distribution_points.is_empty() {
        let uris = subject.distribution_points.clone();
        params.crl_distribution_points = vec![CrlDistributionPoint { uris }];
    }
    complete(&mut params, subject.not_before, subject.not_after);
    Ok(params)
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
    // The organisation that the profile asks for; the unit says what it is worth.
    params.distinguished_name.push(DnType::OrganizationName, "ICP-Brasil");
    params
        .distinguished_name
        .push(DnType::OrganizationalUnitName, "portaria lab: trust nobody for it");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::days(2);
    params.not_after = now + Duration::days(3650);
    params
}
