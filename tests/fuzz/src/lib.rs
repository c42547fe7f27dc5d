//! What the fuzz targets share: a small PKI whose keys are always the same, so that an input that crashed
//! crashes again; the form of an input; and certificates and lists that are signed again after the fuzzer
//! changed them, because nothing that only a good signature leads to would be reached otherwise.
//!
//! An input is one byte of flags and then DER values, one after the other. Each target writes its own
//! seeds when it starts, into the directory that `FUZZ_SEEDS` names.

use std::path::Path;
use std::sync::Arc;

use portaria::identity::{
    Leniency, PathFault, PathRules, PathVerifier, Preset, Profile, Revocation, RevocationList,
    TrustAnchors,
};
use portaria::lab::pki::{CertificationAuthority, ClientSubject, Identity};
use portaria::listener::tls::provider;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SigningKey};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivatePkcs8KeyDer, UnixTime,
};
use webpki::aws_lc_rs::ECDSA_P256_SHA256;
use x509_parser::asn1_rs::{Any, FromDer};
use x509_parser::prelude::X509Certificate;

/// Flag: each DER value is what is signed of a certificate or list, and is signed here.
pub const SIGN: u8 = 1;
/// Flag: certificates are looked up in lists.
pub const LISTS: u8 = 2;
/// Flag: what follows is PEM.
pub const PEM: u8 = 2;
/// Flag: the end entity need not name its purpose.
pub const LENIENT: u8 = 4;

/// The key of authorities below the issuing one.
pub const BELOW: u8 = 5;

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
/// AlgorithmIdentifier of ecdsa-with-SHA256.
const ECDSA: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const HOUR: i64 = 3600;
const YEAR: i64 = 365 * 24 * HOUR;

/// The PKI of all targets.
pub struct Pki {
    /// The anchor.
    pub root: CertificationAuthority,
    /// The authority below it.
    pub issuing: CertificationAuthority,
    /// An authority that is no anchor.
    pub stranger: CertificationAuthority,
    /// A client that is admitted.
    pub client: Identity,
    root_key: KeyPair,
    issuing_key: KeyPair,
    below_key: KeyPair,
    list_of_root: Vec<u8>,
}

impl Default for Pki {
    fn default() -> Self {
        let root = CertificationAuthority::root("fuzz root", key(1)).unwrap();
        let issuing = root.issuing("fuzz issuing", key(2)).unwrap();
        Self {
            stranger: CertificationAuthority::root("fuzz stranger", key(3)).unwrap(),
            client: issuing.client(&key(4), &ClientSubject::default()).unwrap(),
            list_of_root: in_der(&root.revocation_list(1, &[], -HOUR, YEAR).unwrap()),
            root_key: key(1),
            issuing_key: key(2),
            below_key: key(BELOW),
            root,
            issuing,
        }
    }
}

impl Pki {
    /// A client with another subject.
    pub fn client_of(
        &self,
        authority: &CertificationAuthority,
        subject: &ClientSubject,
    ) -> Identity {
        authority.client(&key(4), subject).unwrap()
    }

    /// A revocation list in DER.
    pub fn list(
        &self,
        of: &CertificationAuthority,
        number: u64,
        revoked: &[&Identity],
        until: i64,
    ) -> Vec<u8> {
        in_der(&of.revocation_list(number, revoked, -YEAR, until).unwrap())
    }

    /// A verifier with these lists of the issuing authority, if lists count.
    pub fn verifier(&self, lists: Option<Vec<RevocationList>>, named: bool) -> PathVerifier {
        let rules = PathRules { purpose_must_be_named: named, ..PathRules::OF_LISTENERS };
        let revocation = lists.map(|mut lists| {
            lists.extend(RevocationList::read_all(&self.list_of_root, "root").unwrap());
            let lists = lists.into_iter().map(Arc::new).collect();
            Arc::new(Revocation::new(lists, Leniency::Refuse, Leniency::Refuse))
        });
        PathVerifier {
            anchors: TrustAnchors::as_given(&[self.root.certificate()]).unwrap(),
            rules,
            revocation,
            algorithms: provider().signature_verification_algorithms,
        }
    }

    /// Whether an authority on the path to the anchor signed a certificate or list.
    pub fn has_signed(&self, der: &[u8]) -> bool {
        let [signed, _, signature] = values(content(der))[..] else { return false };
        let Some((0, signature)) = content(signature).split_first() else { return false };
        [&self.root_key, &self.issuing_key, &self.below_key].iter().any(|key| {
            ECDSA_P256_SHA256.verify_signature(key.der_bytes(), signed, signature).is_ok()
        })
    }

    /// Signs what an end entity or a list is made of.
    pub fn sign_as_issuing(&self, signed: &[u8]) -> Vec<u8> {
        sign(signed, &self.issuing_key)
    }

    /// Makes a chain of what its certificates are made of: the first is the issuing authority's, the others
    /// are the root's. Alone, it is completed.
    pub fn sign_chain(&self, parts: &[&[u8]]) -> Vec<CertificateDer<'static>> {
        let mut chain = Vec::new();
        for (place, part) in parts.iter().enumerate() {
            let key = if place == 0 { &self.issuing_key } else { &self.root_key };
            chain.push(sign(part, key).into());
        }
        if chain.len() == 1 {
            chain.push(self.issuing.certificate());
        }
        chain
    }
}

fn in_der(pem: &str) -> Vec<u8> {
    CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

/// What is asked of every client.
pub fn profile() -> Profile {
    Preset::OpinProduction.profile()
}

/// The n-th key: the same in every run.
pub fn key(n: u8) -> KeyPair {
    let mut scalar = [0x42; 32];
    scalar[31] = n;
    let private = [&[0x02, 0x01, 0x01, 0x04, 0x20], &scalar[..]].concat();
    // ecPublicKey on prime256v1.
    let algorithm = [
        0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
        0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
    ];
    let private = tlv(0x04, &tlv(SEQUENCE, &private));
    let der = tlv(SEQUENCE, &[&[0x02, 0x01, 0x00], &algorithm[..], &private].concat());
    let der = PrivatePkcs8KeyDer::from(der);
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256).unwrap()
}

fn sign(signed: &[u8], key: &KeyPair) -> Vec<u8> {
    let signature = [&[0], &key.sign(signed).unwrap()[..]].concat();
    tlv(SEQUENCE, &[signed, &ECDSA, &tlv(BIT_STRING, &signature)].concat())
}

/// A DER value.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut der = vec![tag];
    match (content.len(), length.len()) {
        (0..0x80, _) => der.push(content.len() as u8),
        (_, bytes) => {
            der.push(0x80 | bytes as u8);
            der.extend(length);
        }
    }
    der.extend(content);
    der
}

/// The DER values of an input; what is left is one more.
pub fn values(mut input: &[u8]) -> Vec<&[u8]> {
    let mut values = Vec::new();
    while let Ok((rest, _)) = Any::from_der(input) {
        let (value, _) = input.split_at(input.len() - rest.len());
        values.push(value);
        input = rest;
    }
    if !input.is_empty() {
        values.push(input);
    }
    values
}

/// What is signed of a certificate or a list.
pub fn signed_part(der: &[u8]) -> &[u8] {
    values(content(der))[0]
}

/// What a DER value holds.
pub fn content(der: &[u8]) -> &[u8] {
    Any::from_der(der).unwrap().1.data
}

/// Writes seeds, if somebody asked for them.
pub fn write_seeds(seeds: &[Vec<u8>]) {
    let Some(directory) = std::env::var_os("FUZZ_SEEDS") else { return };
    for (number, seed) in seeds.iter().enumerate() {
        std::fs::write(Path::new(&directory).join(format!("seed-{number}")), seed).unwrap();
    }
}

/// A seed: flags and DER values.
pub fn seed(flags: u8, values: &[&[u8]]) -> Vec<u8> {
    [&[flags][..], &values.concat()].concat()
}

/// What holds of every end entity that is admitted, whoever signed it.
pub fn assert_well_formed(end_entity: &[u8]) {
    let (rest, leaf) = X509Certificate::from_der(end_entity).unwrap();
    assert!(rest.is_empty(), "bytes after the certificate");
    assert!(leaf.validity().is_valid(), "not valid now");
    assert!(!leaf.is_ca(), "an authority");
    let serial = leaf.raw_serial();
    assert!(serial[0] & 0x80 == 0 && serial != [0], "a serial number that is not positive");
    let mut seen = Vec::new();
    for extension in leaf.extensions() {
        assert!(!seen.contains(&&extension.oid), "an extension stands twice");
        seen.push(&extension.oid);
    }
}

/// What is logged of a fault identifies nobody: names of personal certificates end in a CPF.
pub fn assert_discreet(fault: &PathFault) {
    for text in fault.certificate.iter().flat_map(|culprit| [&culprit.subject, &culprit.issuer]) {
        let longest = text.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
        assert!(longest < 11, "a number that may identify somebody is logged");
    }
}

/// The time of all verdicts.
pub fn now() -> UnixTime {
    UnixTime::now()
}
