//! `portaria cert` and `portaria trust`: what they say of good, bad and hostile files.

use std::path::Path;
use std::process::{Command, Output};

use portaria::identity::Preset;
use portaria::inspect::cert::{CertificateUse, ChainQuestion, ProfileChoice, verify};

use crate::harness::*;

fn portaria(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portaria"))
        .current_dir(directory)
        .args(arguments)
        .output()
        .unwrap()
}

fn in_pem(der: &[u8]) -> String {
    let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

#[test]
fn an_import_makes_roots_anchors_and_nothing_else() {
    let pki = pki();
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let published = at.join("published");
    std::fs::create_dir(&published).unwrap();
    std::fs::write(published.join("root.pem"), pki.root.pem()).unwrap();
    std::fs::write(published.join("issuing.der"), pki.issuing.certificate()).unwrap();
    std::fs::write(published.join("other.pem"), pki.other_root.pem()).unwrap();
    std::fs::write(published.join("client.pem"), &pki.one.chain_pem).unwrap();
    let output = portaria(at, &["trust", "import", "published"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let table = String::from_utf8(output.stdout).unwrap();
    let fates: Vec<&str> =
        table.lines().map(|line| line.split("  ").next().unwrap().trim_end()).collect();
    let expected = ["anchor", "intermediate", "left out: generation", "left out: no authority"];
    assert_eq!(fates, expected, "{table}");
    let anchors = std::fs::read_to_string(at.join("trust-anchors.pem")).unwrap();
    assert!(anchors.contains(&in_lines(&pki.root.certificate())), "{anchors}");
    assert_eq!(anchors.matches("BEGIN CERTIFICATE").count(), 1);
    let known = std::fs::read_to_string(at.join("trust-anchors-intermediates.pem")).unwrap();
    assert_eq!(known.matches("BEGIN CERTIFICATE").count(), 1);
}

#[test]
fn an_import_tells_the_distribution_points_for_the_allow_list() {
    use portaria::lab::pki::{CertificationAuthority, ClientSubject, rsa_key};
    let pki = pki();
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let uris = ["http://ccd.example/root.crl", "ldap://ccd.example/root", "http://a b\"\\\u{1b}/x"];
    let named = |params: &mut rcgen::CertificateParams| {
        let uris = uris.iter().map(|uri| (*uri).to_owned()).collect();
        params.crl_distribution_points = vec![rcgen::CrlDistributionPoint { uris }];
    };
    let issuing = pki.root.issuing_with("Lab SSL v3", rsa_key().unwrap(), named).unwrap();
    let client = |authority: &CertificationAuthority, point: &str, not_after| {
        let distribution_points = vec![point.to_owned()];
        let subject = ClientSubject { distribution_points, not_after, ..ClientSubject::default() };
        authority.client(&pki.client_key, &subject).unwrap()
    };
    let year = 365 * 86_400;
    let (own, old) = ("http://ccd.example/ssl.crl", "http://ccd.example/old.crl");
    for (name, der) in [
        ("root", &pki.root.certificate()),
        ("issuing", &issuing.certificate()),
        ("client", &client(&issuing, own, year).chain[0]),
        ("expired", &client(&issuing, old, -3600).chain[0]),
        ("foreign", &client(&pki.other_root, old, year).chain[0]),
    ] {
        std::fs::write(at.join(format!("{name}.der")), der).unwrap();
    }
    let output = portaria(at, &["trust", "import", ".", "-o", "anchors.pem"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, allowed) = text.split_once("\n\n").unwrap();
    let expected = "distribution_points = [\n    \"http://ccd.example/root.crl\",  # portaria lab root v10\n    \
                    \"http://ccd.example/ssl.crl\",  # Lab SSL v3\n]\n";
    assert_eq!(allowed, expected);
}

fn in_lines(der: &[u8]) -> String {
    let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    body[..64].to_owned()
}

#[test]
fn an_import_without_a_root_or_off_the_list_writes_nothing() {
    let pki = pki();
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("issuing.pem"), pki.issuing.pem()).unwrap();
    std::fs::write(at.join("root.pem"), pki.root.pem()).unwrap();
    std::fs::write(at.join("list"), format!("{}  root.pem\n", "0".repeat(128))).unwrap();
    std::fs::write(at.join("archive.zip"), b"PK\x03\x04 and nothing of an archive").unwrap();
    std::fs::write(at.join("garbage.der"), [0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).unwrap();
    for arguments in [
        &["trust", "import", "issuing.pem"][..],
        &["trust", "import", "root.pem", "--sha512", "list"],
        &["trust", "import", "root.pem", "archive.zip"],
        &["trust", "import", "root.pem", "garbage.der"],
        &["trust", "import", "root.pem", "nowhere.pem"],
        &["trust", "import", "root.pem", "--generation", "v99"],
    ] {
        let output = portaria(at, arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?} {output:?}");
        assert!(!output.stderr.is_empty());
        assert!(!at.join("trust-anchors.pem").exists(), "{arguments:?}");
    }
}

#[test]
fn every_changed_byte_of_a_chain_is_refused() {
    let pki = pki();
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("roots.pem"), pki.root.pem()).unwrap();
    let question = ChainQuestion {
        chain: at.join("chain.pem"),
        anchors: at.join("roots.pem"),
        intermediates: None,
        crl: Vec::new(),
        at: None,
        purpose: CertificateUse::Client,
        profile: ProfileChoice::Profile(Preset::OpinProduction),
    };
    let answer = |leaf: &[u8], rest: &[String]| {
        let chain = in_pem(leaf) + &rest.concat();
        std::fs::write(&question.chain, chain).unwrap();
        verify(&question).unwrap().to_string()
    };
    let (good, issuing) = (pki.one.chain[0].to_vec(), in_pem(&pki.one.chain[1]));
    assert_eq!(answer(&good, std::slice::from_ref(&issuing)), "valid");
    for place in 0..good.len() {
        let mut changed = good.clone();
        changed[place] ^= 0x41;
        let said = answer(&changed, std::slice::from_ref(&issuing));
        assert!(said.starts_with("invalid: "), "byte {place}: {said}");
        let cut = answer(&good[..place], std::slice::from_ref(&issuing));
        assert_eq!(cut, "invalid: malformed", "cut at {place}");
    }
    let mut large = good.clone();
    large.resize(1024 * 1024, 0);
    assert_eq!(answer(&large, std::slice::from_ref(&issuing)), "invalid: too_large");
    assert_eq!(answer(&good, &vec![issuing; 50]), "invalid: too_large");
    assert_eq!(answer(&good, &[in_pem(&good), in_pem(&good)]), "invalid: unknown_issuer");
    assert_eq!(answer(&pki.root.certificate(), &[]), "invalid: key_usage");
}

#[test]
fn a_root_that_was_issued_again_admits_beside_its_expired_self() {
    use portaria::lab::pki::{CertificationAuthority, ClientSubject, rsa_key};
    let key = rsa_key().unwrap().serialize_pem();
    let key = || rcgen::KeyPair::from_pem(&key).unwrap();
    let expired = CertificationAuthority::root_until("Lab Root v10", key(), -3600).unwrap();
    let renewed = CertificationAuthority::root("Lab Root v10", key()).unwrap();
    let issuing = renewed.issuing("Lab SSL v1", rsa_key().unwrap()).unwrap();
    let client = issuing.client(&rsa_key().unwrap(), &ClientSubject::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("chain.pem"), &client.chain_pem).unwrap();
    for (anchors, said) in [
        (expired.pem(), "invalid: expired\n"),
        (renewed.pem(), "valid\n"),
        (expired.pem() + &renewed.pem(), "valid\n"),
        (renewed.pem() + &expired.pem(), "valid\n"),
    ] {
        std::fs::write(at.join("anchors.pem"), anchors).unwrap();
        let arguments = ["cert", "verify", "--chain", "chain.pem", "--anchors", "anchors.pem"];
        let output = portaria(at, &arguments);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), said);
    }
}

#[test]
fn a_clock_that_lags_and_the_order_of_files_decide_nothing() {
    let pki = pki();
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let list = |name: &str, text: String| std::fs::write(at.join(name), text).unwrap();
    std::fs::write(at.join("roots.pem"), pki.root.pem()).unwrap();
    std::fs::write(at.join("chain.pem"), &pki.one.chain_pem).unwrap();
    list("root.crl", pki.root.revocation_list(1, &[], -60, 3600).unwrap());
    // Of the same second, or the one that revokes is the later one.
    list("clean.crl", pki.issuing.revocation_list(2, &[], -60, 3600).unwrap());
    list("revoking.crl", pki.issuing.revocation_list(2, &[&pki.one], -60, 3600).unwrap());
    list("ahead.crl", pki.issuing.revocation_list(3, &[], 60, 3600).unwrap());
    list("far.crl", pki.issuing.revocation_list(3, &[], 900, 3600).unwrap());
    for (lists, said) in [
        (&["clean.crl"][..], "valid\n"),
        (&["clean.crl", "revoking.crl"], "invalid: revoked\n"),
        (&["revoking.crl", "clean.crl"], "invalid: revoked\n"),
        (&["ahead.crl"], "valid\n"),
        (&["far.crl"], "invalid: crl_invalid\n"),
    ] {
        let mut arguments =
            vec!["cert", "verify", "--chain", "chain.pem", "--anchors", "roots.pem"];
        for list in lists.iter().chain(&["root.crl"]) {
            arguments.extend(["--crl", list]);
        }
        let output = portaria(at, &arguments);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), said, "{lists:?}");
    }
}

#[test]
fn what_a_configuration_trusts_can_be_shown() {
    let directory = tempfile::tempdir().unwrap();
    let place = portaria::lab::directory::LabDirectory::new(directory.path());
    place.init(&policies()).unwrap();
    let output = portaria(directory.path(), &["trust", "show", "-c", "config.toml"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let shown = String::from_utf8(output.stdout).unwrap();
    for expected in ["mtls:\n  anchor", "portaria lab root v10", "public: asks for no certificate"]
    {
        assert!(shown.contains(expected), "{shown}");
    }
}
