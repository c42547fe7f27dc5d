//! One client certificate for each reason to refuse one. All of them are refused under one configuration:
//! the anchors and lists of the [`Hierarchy`], with what [`RefusedCertificates::lists`] adds or replaces.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_RSA_SHA256, PublicKeyData,
    SignatureAlgorithm,
};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::hierarchy::{Hierarchy, LISTS_HOLD};
use super::{CertificationAuthority, ClientSubject, Identity, client_params};
use crate::identity::PathReason;
use crate::lab::Result;

const HOUR: i64 = 3600;
/// sha256WithRSAEncryption and sha1WithRSAEncryption.
const SHA256: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
const SHA1: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05];
const PRIVATE_OID: [u64; 8] = [1, 3, 6, 1, 4, 1, 9999, 1];

/// The certificates that are refused, and what revocation lists that takes.
pub struct RefusedCertificates {
    cases: Vec<(PathReason, Identity)>,
    /// Lists in PEM by the name of their authority, in place of the hierarchy's where it has one.
    pub lists: Vec<(&'static str, String)>,
    /// Who signed the list of another of the same name, in PEM.
    pub forger_pem: String,
}

/// The name of the list that is too old to be put in force.
pub const LATE: &str = "late";

impl RefusedCertificates {
    /// Makes them; `key` is the key of all that are not refused because of theirs.
    pub fn new(hierarchy: &Hierarchy, key: &KeyPair) -> Result<Self> {
        let maker = Maker {
            hierarchy,
            key,
            // Keys of elliptic curves, here and below: RSA keys take long to make.
            late: hierarchy.root_one.issuing("portaria lab late", KeyPair::generate()?)?,
            forged: hierarchy.root_one.issuing("portaria lab forged", KeyPair::generate()?)?,
            forger: CertificationAuthority::root("portaria lab forged", KeyPair::generate()?)?,
        };
        let mut cases = Vec::new();
        for reason in PathReason::ALL {
            cases.push((*reason, maker.identity(*reason)?));
        }
        let lists = maker.lists(&cases)?;
        Ok(Self { cases, lists, forger_pem: maker.forger.pem() })
    }

    /// Each with its reason.
    pub fn cases(&self) -> impl Iterator<Item = (PathReason, &Identity)> {
        self.cases.iter().map(|(reason, identity)| (*reason, identity))
    }

    /// The one that is refused for a reason.
    pub fn identity(&self, reason: PathReason) -> Option<&Identity> {
        self.cases().find_map(|(of, identity)| (of == reason).then_some(identity))
    }
}

struct Maker<'a> {
    hierarchy: &'a Hierarchy,
    key: &'a KeyPair,
    /// Its list is past its nextUpdate.
    late: CertificationAuthority,
    /// Another authority of its name signed its list.
    forged: CertificationAuthority,
    forger: CertificationAuthority,
}

impl Maker<'_> {
    /// A client that would be admitted but for the one reason.
    fn identity(&self, reason: PathReason) -> Result<Identity> {
        let issuing = &self.hierarchy.issuing;
        let base = ClientSubject::default;
        match reason {
            PathReason::Malformed => self.with_negative_serial(),
            PathReason::TooLarge => self.with_long_chain(),
            PathReason::UnknownIssuer => self.of(&self.hierarchy.stranger),
            PathReason::MissingIntermediate => Ok(self.of(issuing)?.without_intermediate()),
            PathReason::Expired => self.saying(ClientSubject { not_after: -12 * HOUR, ..base() }),
            PathReason::NotYetValid => {
                self.saying(ClientSubject { not_before: LISTS_HOLD, ..base() })
            }
            PathReason::WrongPurpose => {
                let purpose = Some(ExtendedKeyUsagePurpose::ServerAuth);
                self.saying(ClientSubject { purpose, ..base() })
            }
            PathReason::KeyUsage => {
                self.with(|params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment])
            }
            PathReason::WeakKey => self.with_weak_key(),
            // The lab's cryptography does not sign with SHA-1: only the names of the algorithm are changed.
            PathReason::WeakSignature => issuing.reissue(&self.of(issuing)?, &SHA256, &SHA1),
            PathReason::BadSignature => self.with_bad_signature(),
            PathReason::NotAnAuthority => self
                .of(&issuing.client_as_authority(KeyPair::generate()?, &ClientSubject::second())?),
            PathReason::IsAnAuthority => self.with(|params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                params.key_usages.push(KeyUsagePurpose::KeyCertSign);
            }),
            PathReason::PathLength => self.below_constrained(),
            PathReason::NameConstraints => self.with_excluded_name(),
            PathReason::UnknownExtension => self.with(|params| {
                let mut extension = CustomExtension::from_oid_content(&PRIVATE_OID, vec![5, 0]);
                extension.set_criticality(true);
                params.custom_extensions = vec![extension];
            }),
            PathReason::Revoked => self.of(issuing),
            PathReason::CrlMissing => {
                let root = &self.hierarchy.root_one;
                self.of(&root.issuing("portaria lab unlisted", KeyPair::generate()?)?)
            }
            PathReason::CrlExpired => self.of(&self.late),
            PathReason::CrlInvalid => self.of(&self.forged),
        }
    }

    fn of(&self, authority: &CertificationAuthority) -> Result<Identity> {
        authority.client(self.key, &ClientSubject::default())
    }

    fn saying(&self, subject: ClientSubject) -> Result<Identity> {
        self.hierarchy.issuing.client(self.key, &subject)
    }

    fn with(&self, change: impl FnOnce(&mut CertificateParams)) -> Result<Identity> {
        self.hierarchy.issuing.client_with(self.key, &ClientSubject::default(), change)
    }

    fn with_negative_serial(&self) -> Result<Identity> {
        let issuing = &self.hierarchy.issuing;
        let positive =
            self.with(|params| params.serial_number = Some(0x7f00_0000_0000_0001.into()))?;
        let der = positive.chain.first().ok_or("no certificate")?;
        let (_, certificate) = X509Certificate::from_der(der)?;
        let serial = certificate.raw_serial().to_vec();
        let negative: Vec<u8> =
            std::iter::once(0xff).chain(serial.iter().skip(1).copied()).collect();
        issuing.reissue(&positive, &serial, &negative)
    }

    fn with_long_chain(&self) -> Result<Identity> {
        let client = self.of(&self.hierarchy.issuing)?;
        let authority = self.hierarchy.issuing.certificate();
        let mut chain = client.chain.clone();
        chain.resize(50, authority);
        Ok(client.with_chain(chain))
    }

    /// RSA of 1024 bits: a key from a file, because the cryptography of the lab makes none that is so weak.
    fn with_weak_key(&self) -> Result<Identity> {
        let public = pem::parse(include_str!("weak-key-public.pem"))?;
        let params = client_params(&ClientSubject::default())?;
        let public = WeakKey(public.into_contents());
        self.hierarchy.issuing.certify(&params, &public, include_str!("weak-key.pem"))
    }

    /// The signature of another certificate.
    fn with_bad_signature(&self) -> Result<Identity> {
        let client = self.of(&self.hierarchy.issuing)?;
        let mut der = client.chain.first().ok_or("no certificate")?.to_vec();
        let last = der.last_mut().ok_or("an empty certificate")?;
        // The last bit of the signature: everything before it is what was signed.
        *last ^= 1;
        let mut chain = client.chain.clone();
        chain.splice(..1, [CertificateDer::from(der)]);
        Ok(client.with_chain(chain))
    }

    /// An authority below one that admits none below it.
    fn below_constrained(&self) -> Result<Identity> {
        let root = &self.hierarchy.root_one;
        let constrained =
            root.issuing_with("portaria lab constrained", KeyPair::generate()?, |params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            })?;
        self.of(&constrained.issuing("portaria lab too deep", KeyPair::generate()?)?)
    }

    fn with_excluded_name(&self) -> Result<Identity> {
        let root = &self.hierarchy.root_one;
        let host = ClientSubject::default().host;
        let excluding =
            root.issuing_with("portaria lab excluding", KeyPair::generate()?, |params| {
                params.name_constraints = Some(NameConstraints {
                    permitted_subtrees: Vec::new(),
                    excluded_subtrees: vec![GeneralSubtree::DnsName(host)],
                });
            })?;
        self.of(&excluding)
    }

    fn lists(&self, cases: &[(PathReason, Identity)]) -> Result<Vec<(&'static str, String)>> {
        let is_revoked = |(reason, _): &&(PathReason, Identity)| *reason == PathReason::Revoked;
        let revoked: Vec<&Identity> =
            cases.iter().filter(is_revoked).map(|(_, identity)| identity).collect();
        Ok(vec![
            ("issuing", self.hierarchy.issuing.revocation_list(1, &revoked, -HOUR, LISTS_HOLD)?),
            (LATE, self.late.revocation_list(1, &[], -2 * HOUR, -HOUR)?),
            ("forged", self.forger.revocation_list(1, &[], -HOUR, LISTS_HOLD)?),
        ])
    }
}

/// The public half of a key that the cryptography of the lab will not sign with.
struct WeakKey(Vec<u8>);

impl PublicKeyData for WeakKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}
