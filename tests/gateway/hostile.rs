//! Bad input where certificates are expected: each is refused by name, in the handshake and by
//! `portaria cert verify` alike, and the gateway goes on.

use portaria::lab::pki::{CertificationAuthority, ClientSubject, Identity, rsa_key};
use rcgen::{CertificateParams, CustomExtension, DnType, DnValue, SanType, SerialNumber};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::harness::*;

const PRIVATE_OID: [u64; 8] = [1, 3, 6, 1, 4, 1, 9999, 1];
const SUBJECT_KEY_ID: [u64; 4] = [2, 5, 29, 14];
const EXTENDED_KEY_USAGE: [u64; 4] = [2, 5, 29, 37];
const DISTRIBUTION_POINTS: [u64; 4] = [2, 5, 29, 31];

type Case = (&'static str, Identity, &'static str);

/// Participant one with another chain.
fn chain(parts: &[&[u8]]) -> Identity {
    pki().one.with_chain(parts.iter().map(|der| CertificateDer::from(der.to_vec())).collect())
}

/// A client of the issuing authority with a change.
fn client(change: impl FnOnce(&mut CertificateParams)) -> Identity {
    pki().issuing.client_with(&pki().client_key, &ClientSubject::default(), change).unwrap()
}

fn not_certificates() -> Vec<Case> {
    let (leaf, issuing) = (&pki().one.chain[0], &pki().one.chain[1]);
    let cut = |der: &CertificateDer<'_>| der[..der.len() / 2].to_vec();
    let longer = [&leaf[..], b"\0"].concat();
    vec![
        ("garbage", chain(&[b"garbage", issuing]), "malformed"),
        ("a length beyond the end", chain(&[&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]]), "malformed"),
        ("a truncated certificate", chain(&[&cut(leaf), issuing]), "malformed"),
        ("a byte too many", chain(&[&longer, issuing]), "malformed"),
        ("a truncated intermediate", chain(&[leaf, &cut(issuing)]), "malformed"),
        ("garbage beside the path", chain(&[leaf, issuing, b"garbage"]), "malformed"),
    ]
}

fn long_chains() -> Vec<Case> {
    let (leaf, issuing) = (&pki().one.chain[0], &pki().one.chain[1]);
    let fifty: Vec<&[u8]> = [&[&leaf[..]][..], &[&issuing[..]; 49]].concat();
    let five = CertificationAuthority::maze(1, 5).unwrap();
    let same_name: Vec<&[u8]> =
        std::iter::once(&leaf[..]).chain(five.iter().map(|d| &d[..])).collect();
    vec![
        ("a chain of 50", chain(&fifty), "too_large"),
        ("five authorities of one name", chain(&same_name), "too_large"),
        ("end entities as authorities", chain(&[leaf, leaf, leaf]), "unknown_issuer"),
        ("a loop", a_loop(), "unknown_issuer"),
    ]
}

/// A client of X, which Y certifies, which X certifies.
fn a_loop() -> Identity {
    let key = rsa_key().unwrap().serialize_pem();
    let key = || rcgen::KeyPair::from_pem(&key).unwrap();
    let y = CertificationAuthority::root("Y", key()).unwrap();
    let x = y.issuing("X", rsa_key().unwrap()).unwrap();
    let y_by_x = x.issuing("Y", key()).unwrap();
    let client = x.client(&pki().client_key, &ClientSubject::default()).unwrap();
    client.with_chain(vec![client.chain[0].clone(), x.certificate(), y_by_x.certificate()])
}

fn extensions() -> Vec<Case> {
    let repeated = |oid: &'static [u64], content: &'static [u8]| {
        client(move |params| {
            let one = CustomExtension::from_oid_content(oid, content.to_vec());
            params.custom_extensions = vec![one.clone(), one];
        })
    };
    let beside = |oid: &'static [u64], content: &'static [u8]| {
        client(move |params| {
            params.custom_extensions =
                vec![CustomExtension::from_oid_content(oid, content.to_vec())];
        })
    };
    let server_auth = &[0x30, 0x0a, 0x06, 0x08, 0x2b, 6, 1, 5, 5, 7, 3, 1];
    let many = client(|params| {
        params.custom_extensions = (0..33)
            .map(|n| CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 9999, n], vec![5, 0]))
            .collect();
    });
    let of_authority = {
        let key = rsa_key().unwrap();
        let authority = pki()
            .root
            .issuing_with("twice", key, |params| {
                let one = CustomExtension::from_oid_content(&PRIVATE_OID, vec![5, 0]);
                params.custom_extensions = vec![one.clone(), one];
            })
            .unwrap();
        authority.client(&pki().client_key, &ClientSubject::default()).unwrap()
    };
    vec![
        ("an unknown extension twice", repeated(&PRIVATE_OID, &[5, 0]), "malformed"),
        ("subjectKeyIdentifier twice", repeated(&SUBJECT_KEY_ID, &[4, 1, 1]), "malformed"),
        ("another extendedKeyUsage", beside(&EXTENDED_KEY_USAGE, server_auth), "malformed"),
        ("an authority's extension twice", of_authority, "malformed"),
        // As good as absent for a reader that passes by what it cannot read.
        ("unreadable points", beside(&DISTRIBUTION_POINTS, &[0x30, 2, 5, 0]), "malformed"),
        ("bytes after points", beside(&DISTRIBUTION_POINTS, &[0x30, 0, 5, 0]), "malformed"),
        ("33 extensions", many, "too_large"),
    ]
}

fn serial_numbers() -> Vec<Case> {
    let good =
        client(|params| params.serial_number = Some(SerialNumber::from(0x7f01_0203_0405_0607)));
    let (_, parsed) = X509Certificate::from_der(&good.chain[0]).unwrap();
    let serial = [&[2, 8], parsed.raw_serial()].concat();
    let negative = [&[2, 8, 0xff], &serial[3..]].concat();
    let negative = pki().issuing.reissue(&good, &serial, &negative).unwrap();
    let zero = client(|params| params.serial_number = Some(SerialNumber::from(0)));
    vec![
        ("a negative serial number", negative, "malformed"),
        ("a serial number of zero", zero, "malformed"),
    ]
}

fn names() -> Vec<Case> {
    let named = |kind: DnType, value: DnValue| {
        client(move |params| {
            params.distinguished_name.remove(kind.clone());
            params.distinguished_name.push(kind, value);
        })
    };
    let host = client(|params| {
        params.subject_alt_names =
            vec![SanType::DnsName("tpp.example\0.other.example".try_into().unwrap())];
    });
    let utf8 = DnValue::Utf8String("tpp.example\0.other.example".to_owned());
    let wide = DnValue::BmpString("Seguradora\0".try_into().unwrap());
    let authority = pki().root.issuing("issuer\0", rsa_key().unwrap()).unwrap();
    let of_authority = authority.client(&pki().client_key, &ClientSubject::default()).unwrap();
    vec![
        ("a NUL in commonName", named(DnType::CommonName, utf8.clone()), "malformed"),
        ("a NUL in another name", named(DnType::LocalityName, utf8), "malformed"),
        ("a NUL of wide characters", named(DnType::OrganizationName, wide), "malformed"),
        ("a NUL in the DNS name", host, "malformed"),
        ("a NUL in the issuer's name", of_authority, "malformed"),
    ]
}

#[tokio::test]
async fn every_bad_chain_is_refused_by_name_in_both_ways() {
    let lab = lab().await;
    let anchors = lab.directory.path().join("roots.pem");
    let cases = [not_certificates(), long_chains(), extensions(), serial_numbers(), names()];
    for (what, identity, reason) in cases.concat() {
        assert_eq!(verdict(&identity, &anchors, &[]), format!("invalid: {reason}"), "{what}");
        lab.assert_handshake_refused(&identity, reason, what).await;
    }
    lab.assert_untouched();
    assert!(lab.admits(&lab.pki.one).await, "the gateway goes on");
}

#[tokio::test]
async fn wide_characters_are_no_nul() {
    let lab = lab().await;
    let wide = client(|params| {
        let name = DnValue::BmpString("Seguradora Exemplo S.A.".try_into().unwrap());
        params.distinguished_name.remove(DnType::OrganizationName);
        params.distinguished_name.push(DnType::OrganizationName, name);
    });
    // The profile asks for other encodings; the form and the path are in order.
    let anchors = lab.directory.path().join("roots.pem");
    assert_eq!(verdict(&wide, &anchors, &[]), "invalid: encoding");
    assert!(lab.admits(&wide).await, "to open data");
}

/// TLS ends a handshake message at 64 KiB: what is longer is refused before anybody looks for a
/// certificate in it, so no reason is counted, but the handshake is.
#[tokio::test]
async fn a_certificate_of_a_megabyte_is_refused() {
    let lab = lab().await;
    let mut large = lab.pki.one.chain[0].to_vec();
    large.resize(1024 * 1024, 0);
    let large = chain(&[&large, &lab.pki.one.chain[1]]);
    let anchors = lab.directory.path().join("roots.pem");
    assert_eq!(verdict(&large, &anchors, &[]), "invalid: too_large");
    assert!(!lab.admits(&large).await);
    lab.expect_metric("portaria_handshakes_total{listener=\"mtls\",result=\"failed\"}", 1.0).await;
    lab.assert_untouched();
    assert!(lab.admits(&lab.pki.one).await, "the gateway goes on");
}

#[test]
fn what_is_no_revocation_list_refuses_everybody() {
    let pki = pki();
    let directory = tempfile::tempdir().unwrap();
    let (anchors, list) = (directory.path().join("roots.pem"), directory.path().join("bad.crl"));
    std::fs::write(&anchors, pki.root.pem()).unwrap();
    let good = pki.issuing.revocation_list(1, &[], -3600, 3600).unwrap();
    let no_list = "-----BEGIN X509 CRL-----\nMAMCAQE=\n-----END X509 CRL-----\n";
    for bad in
        ["", "garbage", "0garbage", &good[..good.len() / 2], no_list, &(good.clone() + no_list)]
    {
        std::fs::write(&list, bad).unwrap();
        let said = verdict(&pki.one, &anchors, std::slice::from_ref(&list));
        assert_eq!(said, "invalid: crl_invalid", "{bad}");
    }
}
