//! Revocation lists that no library would make: one of an authority with some parts replaced, signed again.

use portaria::lab::pki::CertificationAuthority;
use rcgen::SigningKey;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::der_parser::asn1_rs::{Any, FromDer};

/// An element in DER.
pub fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|byte| **byte == 0).count();
    let head = match &length[zeros..] {
        [] => vec![tag, 0],
        [short @ 0..0x80] => vec![tag, *short],
        long => [&[tag, 0x80 + u8::try_from(long.len()).unwrap()], long].concat(),
    };
    [head.as_slice(), content].concat()
}

fn elements(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut elements = Vec::new();
    while !bytes.is_empty() {
        let (rest, _) = Any::from_der(bytes).unwrap();
        elements.push(bytes[..bytes.len() - rest.len()].to_vec());
        bytes = rest;
    }
    elements
}

fn content(element: &[u8]) -> Vec<u8> {
    Any::from_der(element).unwrap().1.data.to_vec()
}

/// The parts of a list that is signed again.
pub struct Parts {
    /// Version, algorithm, issuer, thisUpdate, nextUpdate.
    pub head: [Vec<u8>; 5],
    /// Entries.
    pub entries: Vec<Vec<u8>>,
    /// Extensions of the list.
    pub extensions: Vec<Vec<u8>>,
}

/// An authority's list in PEM, changed and signed again: in DER.
pub fn changed(
    authority: &CertificationAuthority,
    list: &str,
    change: impl FnOnce(&mut Parts),
) -> Vec<u8> {
    let list = CertificateRevocationListDer::from_pem_slice(list.as_bytes()).unwrap();
    let [signed, algorithm, _] = elements(&content(&list)).try_into().unwrap();
    let mut rest = elements(&content(&signed));
    let extensions = elements(&content(&content(&rest.pop().unwrap())));
    let entries = if rest.len() > 5 { elements(&content(&rest[5])) } else { Vec::new() };
    rest.truncate(5);
    let mut parts = Parts { head: rest.try_into().unwrap(), entries, extensions };
    change(&mut parts);
    let mut signed = parts.head.concat();
    if !parts.entries.is_empty() {
        signed.extend(der(0x30, &parts.entries.concat()));
    }
    signed.extend(der(0xa0, &der(0x30, &parts.extensions.concat())));
    let signed = der(0x30, &signed);
    let key = rcgen::KeyPair::from_pem(&authority.key_pem()).unwrap();
    let signature = [vec![0], key.sign(&signed).unwrap()].concat();
    der(0x30, &[signed, algorithm, der(0x03, &signature)].concat())
}

/// The same bytes in PEM.
pub fn list_pem(der: &[u8]) -> String {
    pem::encode_config(
        &pem::Pem::new("X509 CRL", der),
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    )
}
