//! Chains of certificates as clients send them, through the verifier of the handshake and the reader of
//! subjects. Nothing that the PKI did not sign is admitted, and what is admitted is well formed.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use portaria::identity::{Participant, PathVerifier, TrustAnchors};
use portaria::lab::pki::ClientSubject;
use portaria_fuzz::{
    BELOW, LENIENT, LISTS, Pki, SIGN, assert_discreet, assert_well_formed, key, now, profile, seed,
    signed_part, values, write_seeds,
};
use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, CustomExtension,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, NameConstraints,
};
use rustls::pki_types::CertificateDer;

struct Setup {
    pki: Pki,
    /// By the flags without [`SIGN`].
    verifiers: Vec<PathVerifier>,
}

static SETUP: LazyLock<Setup> = LazyLock::new(|| {
    let pki = Pki::default();
    let verifiers = [0, LISTS, LENIENT, LISTS | LENIENT].map(|flags| {
        let list = || pki.list(&pki.issuing, 1, &[], 31_536_000);
        let parse =
            |der: Vec<u8>| portaria::identity::RevocationList::read_all(&der, "list").unwrap();
        let lists = (flags & LISTS != 0).then(|| parse(list()));
        pki.verifier(lists, flags & LENIENT == 0)
    });
    Setup { verifiers: verifiers.into(), pki }
});

fn write() {
    let pki = &SETUP.pki;
    let base = ClientSubject::default;
    let clients = [
        base(),
        ClientSubject::second(),
        ClientSubject { not_after: -3600, ..base() },
        ClientSubject { not_before: 3600, ..base() },
        ClientSubject { purpose: None, ..base() },
        ClientSubject { purpose: Some(ExtendedKeyUsagePurpose::ServerAuth), ..base() },
        ClientSubject { organisation_identifier: String::new(), ..base() },
    ];
    let mut seeds = Vec::new();
    for subject in &clients {
        for authority in [&pki.issuing, &pki.stranger] {
            let client = pki.client_of(authority, subject);
            let chain: Vec<&[u8]> = client.chain.iter().map(AsRef::as_ref).collect();
            let parts: Vec<&[u8]> = chain.iter().map(|der| signed_part(der)).collect();
            for flags in [0, LISTS, LENIENT] {
                seeds.push(seed(flags, &chain));
                seeds.push(seed(flags | SIGN, &parts));
                seeds.push(seed(flags | SIGN, &parts[..1]));
            }
        }
    }
    for chain in constrained(pki) {
        let chain: Vec<&[u8]> = chain.iter().map(AsRef::as_ref).collect();
        let parts: Vec<&[u8]> = chain.iter().map(|der| signed_part(der)).collect();
        seeds.push(seed(0, &chain));
        seeds.push(seed(SIGN, &parts));
    }
    let own = [&pki.root, &pki.issuing, &pki.stranger].map(|authority| authority.certificate());
    seeds.push(seed(0, &own.each_ref().map(AsRef::as_ref)));
    write_seeds(&seeds);
}

/// Chains whose authorities or end entities carry what few real ones do.
fn constrained(pki: &Pki) -> Vec<Vec<CertificateDer<'static>>> {
    let names = NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("example".into())],
        excluded_subtrees: vec![GeneralSubtree::DnsName("other.example".into())],
    };
    let changes: [&dyn Fn(&mut CertificateParams); 4] = [
        &|params| params.name_constraints = Some(names.clone()),
        &|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)),
        &|params| {
            let uris = vec!["http://crl.example/1".into()];
            params.crl_distribution_points = vec![CrlDistributionPoint { uris }];
        },
        &|params| {
            let mut extension = CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0]);
            extension.set_criticality(true);
            params.custom_extensions = vec![extension];
        },
    ];
    let subject = ClientSubject::default();
    let mut chains = Vec::new();
    for change in changes {
        let authority = pki.root.issuing_with("fuzz issuing", key(2), change).unwrap();
        chains.push(authority.client(&key(4), &subject).unwrap().chain);
        let below = authority.issuing("fuzz below", key(BELOW)).unwrap();
        chains.push(below.client(&key(4), &subject).unwrap().chain);
        chains.push(pki.issuing.client_with(&key(4), &subject, change).unwrap().chain);
    }
    chains
}

fuzz_target!(init: write(), |input: &[u8]| {
    let Some((flags, input)) = input.split_first() else { return };
    let Setup { pki, verifiers } = &*SETUP;
    let parts = values(input);
    let chain: Vec<CertificateDer<'_>> = match flags & SIGN != 0 {
        true => pki.sign_chain(&parts),
        false => parts.iter().map(|der| CertificateDer::from(*der)).collect(),
    };
    let _ = TrustAnchors::new(chain.iter().map(|der| der.clone().into_owned()).collect());
    let _ = TrustAnchors::as_given(&chain);
    let verifier = &verifiers[usize::from((flags & (LISTS | LENIENT)) >> 1)];
    match verifier.verify(&chain, now()) {
        Ok(path) => {
            assert_well_formed(path.end_entity());
            assert!(pki.has_signed(path.end_entity()), "admitted what nobody signed");
            let _ = Participant::from_verified_path(&path, &profile(), |_, _| {});
        }
        Err(fault) => assert_discreet(&fault),
    }
});
