//! Revocation lists as files have them, and the verdict on a certificate that they cover. A list that its
//! issuer did not sign admits nobody, and nobody is admitted whom another reader of the same list finds
//! revoked.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use portaria::identity::RevocationList;
use portaria_fuzz::{PEM, Pki, SIGN, assert_discreet, now, seed, signed_part, values, write_seeds};
use webpki::{BorrowedCertRevocationList, CertRevocationList};
use x509_parser::prelude::{FromDer, X509Certificate};

const YEAR: i64 = 31_536_000;

static PKI: LazyLock<Pki> = LazyLock::new(Pki::default);

fn write() {
    let pki = &*PKI;
    let client = &pki.client;
    let clean = pki.list(&pki.issuing, 1, &[], YEAR);
    let revoking = pki.list(&pki.issuing, 2, &[client], YEAR);
    let lists = [
        clean.clone(),
        revoking.clone(),
        pki.list(&pki.issuing, 3, &[client, client], YEAR),
        pki.list(&pki.issuing, 4, &[], -3600),
        pki.list(&pki.root, 5, &[], YEAR),
        pki.list(&pki.stranger, 6, &[], YEAR),
    ];
    let mut seeds = vec![
        seed(0, &[&clean, &revoking]),
        seed(SIGN, &[signed_part(&clean), signed_part(&revoking)]),
    ];
    for list in &lists {
        seeds.push(seed(0, &[list]));
        seeds.push(seed(SIGN, &[signed_part(list)]));
    }
    for authority in [&pki.issuing, &pki.root] {
        let pem = authority.revocation_list(7, &[client], -3600, YEAR).unwrap();
        seeds.push(seed(PEM, &[pem.as_bytes()]));
    }
    write_seeds(&seeds);
}

/// Whether webpki's reader finds the client in a list.
fn names_client(list: &[u8], pki: &Pki) -> bool {
    let (_, client) = X509Certificate::from_der(&pki.client.chain[0]).unwrap();
    BorrowedCertRevocationList::from_der(list).is_ok_and(|list| {
        let list = CertRevocationList::from(list);
        matches!(list.find_serial(client.raw_serial()), Ok(Some(_)))
    })
}

fuzz_target!(init: write(), |input: &[u8]| {
    let Some((flags, input)) = input.split_first() else { return };
    let pki = &*PKI;
    if flags & PEM != 0 {
        let _ = RevocationList::read_all(input, "list");
        return;
    }
    let ders: Vec<Vec<u8>> = match flags & SIGN != 0 {
        true => values(input).into_iter().map(|part| pki.sign_as_issuing(part)).collect(),
        false => values(input).into_iter().map(<[u8]>::to_vec).collect(),
    };
    let parse = |der: &Vec<u8>| RevocationList::parse(der, "list").ok();
    let lists: Vec<RevocationList> = ders.iter().filter_map(parse).collect();
    let alone = lists.len() == 1;
    match pki.verifier(Some(lists), true).verify(&pki.client.chain, now()) {
        Ok(_) => {
            let signed = ders.iter().any(|der| parse(der).is_some() && pki.has_signed(der));
            assert!(signed, "admitted by lists that nobody signed");
            let named = ders.iter().any(|der| parse(der).is_some() && names_client(der, pki));
            assert!(!(alone && named), "admitted though the list names it");
        }
        Err(fault) => assert_discreet(&fault),
    }
});
