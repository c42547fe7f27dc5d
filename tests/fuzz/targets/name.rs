//! Subjects: a distinguished name in the certificate of a client that is good otherwise, signed by its
//! issuer, through the verifier and the reader of subjects. Who is read from it can stand in a field
//! value as it is. What is written of a name is read again as the same name; any text is a name or none.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use portaria::identity::{Name, Participant, PathVerifier};
use portaria::lab::pki::ClientSubject;
use portaria_fuzz::{
    Pki, assert_discreet, assert_well_formed, content, now, profile, signed_part, tlv, values,
    write_seeds,
};
use x509_parser::prelude::{FromDer, X509Certificate};

struct Setup {
    pki: Pki,
    verifier: PathVerifier,
    /// What stands before and after the subject in what is signed of the client's certificate.
    around: (Vec<u8>, Vec<u8>),
}

static SETUP: LazyLock<Setup> = LazyLock::new(|| {
    let pki = Pki::default();
    let fields = values(content(signed_part(&pki.client.chain[0])));
    let subject = subject_of(&pki.client.chain[0]);
    let place = fields.iter().position(|field| **field == subject).unwrap();
    let around = (fields[..place].concat(), fields[place + 1..].concat());
    Setup { verifier: pki.verifier(None, true), around, pki }
});

fn subject_of(certificate: &[u8]) -> Vec<u8> {
    X509Certificate::from_der(certificate).unwrap().1.subject().as_raw().to_vec()
}

fn write() {
    let pki = &SETUP.pki;
    let base = ClientSubject::default;
    let subjects = [
        base(),
        ClientSubject::second(),
        ClientSubject { organisation_identifier: String::new(), ..base() },
        ClientSubject { software_statement_id: String::new(), ..base() },
        ClientSubject { organisation_identifier: "OFBBR-1".into(), ..base() },
        ClientSubject { organisation_identifier: "OPIBR-\0".into(), ..base() },
    ];
    let seeds = subjects.map(|subject| subject_of(&pki.client_of(&pki.issuing, &subject).chain[0]));
    write_seeds(&seeds);
}

fn compare(input: &[u8]) {
    if let Ok((_, name)) = x509_parser::x509::X509Name::from_der(input) {
        let text = Name::of(&name).to_string();
        assert!(!text.contains(char::is_control), "a terminal would obey");
        let again = Name::parse(&text).expect("what is written can be read");
        assert_eq!(again.to_string(), text);
    }
    if let Some(name) = std::str::from_utf8(input).ok().and_then(|text| Name::parse(text).ok()) {
        assert!(name.matches(&Name::parse(&name.to_string()).unwrap()) || !name.matches(&name));
    }
}

fuzz_target!(init: write(), |input: &[u8]| {
    compare(input);
    let Setup { pki, verifier, around } = &*SETUP;
    let fields = [&around.0[..], input, &around.1].concat();
    let chain = pki.sign_chain(&[&tlv(0x30, &fields)]);
    match verifier.verify(&chain, now()) {
        Ok(path) => {
            assert_well_formed(path.end_entity());
            if let Ok(participant) = Participant::from_verified_path(&path, &profile(), |_, _| {}) {
                let ids = [
                    participant.organisation_id().as_value(),
                    participant.software_statement_id().as_value(),
                ];
                let is_plain = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-';
                assert!(ids.iter().all(|id| id.as_bytes().iter().all(is_plain)));
            }
        }
        Err(fault) => assert_discreet(&fault),
    }
});
