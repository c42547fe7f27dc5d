//! Independent suites: X.509 through `portaria cert verify` (x509-limbo, NIST PKITS, BetterTLS and BoringSSL's
//! chains), signatures through `portaria jws verify` and the verifier behind it (Wycheproof).
//! `PORTARIA_SUITES` names their directory; without it there is nothing to compare with.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what went wrong by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portaria::token::Algorithm;
use portaria::token::jwks::KeySet;
use serde_json::{Value, json};

/// The directory of the suites.
fn suites() -> Option<PathBuf> {
    let directory = std::env::var_os("PORTARIA_SUITES").map(PathBuf::from);
    if directory.is_none() {
        eprintln!("skipped: PORTARIA_SUITES names no directory of suites");
    }
    directory
}

const SUITES: [(&str, &str); 5] = [
    ("limbo_client", "limbo"),
    ("limbo_client", "limbo_client"),
    ("pkits", "pkits"),
    ("bt", "bettertls_client"),
    ("bssl_chain", "bssl_chain"),
];

fn read(directory: &Path, name: &str) -> Value {
    let text = std::fs::read_to_string(directory.join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The cases by suite and id; a later file of a suite takes the place of an earlier one.
fn cases(directory: &Path) -> BTreeMap<(String, String), Value> {
    let mut cases = BTreeMap::new();
    for (suite, file) in SUITES {
        for case in read(directory, file)["testcases"].as_array().unwrap() {
            let id = case["id"].as_str().unwrap().to_owned();
            cases.insert((suite.to_owned(), id), case.clone());
        }
    }
    cases
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// Whether the command says `valid`; it must say one thing or the other.
fn is_valid(case: &Value, scratch: &Path) -> bool {
    let write = |name: &str, text: &str| -> PathBuf {
        let file = scratch.join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let peer = case["peer_certificate"].as_str().unwrap();
    let chain = [vec![peer], texts(&case["untrusted_intermediates"])].concat().join("\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_portaria"));
    command.args(["cert", "verify", "--profile", "none", "--purpose"]);
    command.arg(case["validation_kind"].as_str().unwrap().to_lowercase());
    command.arg("--chain").arg(write("chain.pem", &chain));
    command.arg("--anchors").arg(write("anchors.pem", &texts(&case["trusted_certs"]).join("\n")));
    for (number, list) in texts(&case["crls"]).iter().enumerate() {
        command.arg("--crl").arg(write(&format!("{number}.crl"), list));
    }
    if let Some(at) = case["validation_time"].as_str() {
        command.args(["--at", at]);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    match output.status.code() {
        Some(0) => assert_eq!(said, "valid\n"),
        Some(1) => assert!(said.starts_with("invalid: "), "{said}"),
        other => panic!("{}: {other:?} {said}", case["id"]),
    }
    output.status.success()
}

#[test]
fn the_independent_suites_agree() {
    let Some(directory) = suites() else {
        return;
    };
    let (tiers, cases) = (read(&directory, "tiers"), cases(&directory));
    let scratch = tempfile::tempdir().unwrap();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let (mut wrong_core, mut accepted) = (Vec::new(), BTreeSet::new());
    for (id, tier) in tiers.as_object().unwrap() {
        let suite = tier["suite"].as_str().unwrap().to_owned();
        let case = &cases[&(suite, id.clone())];
        let is_right = is_valid(case, scratch.path()) == (case["expected_result"] == "SUCCESS");
        let (tier, should_hold) =
            (tier["tier"].as_str().unwrap(), case["expected_result"] == "SUCCESS");
        let verdict = match (is_right, should_hold) {
            (true, _) => "right",
            (false, true) => "refused though valid",
            (false, false) => "accepted though invalid",
        };
        *counts.entry(format!("{tier}: {verdict}")).or_default() += 1;
        if !is_right && tier == "core" {
            wrong_core.push(id.clone());
        }
        if !is_right && !should_hold {
            accepted.insert(id.clone());
        }
    }
    eprintln!("{counts:#?}");
    assert!(wrong_core.is_empty(), "core cases that are wrong: {wrong_core:#?}");
    // Each one that is accepted though a suite calls it invalid is listed with its reason.
    let document = include_str!("../docs/trust.md");
    let listed: BTreeSet<String> = document
        .lines()
        .filter_map(|line| line.strip_prefix("- `")?.split('`').next())
        .filter(|id| id.contains("::"))
        .map(str::to_owned)
        .collect();
    assert_eq!(accepted, listed);
}

/// Files of JSON Web Signatures with their keys.
const SIGNATURES: [&str; 3] = ["json_web_signature", "json_web_key", "json_web_crypto"];

/// The algorithm that a token's header names.
fn algorithm_of(jws: &str) -> Option<String> {
    let header = URL_SAFE_NO_PAD.decode(jws.split('.').next()?).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    header["alg"].as_str().map(str::to_owned)
}

/// A token is right if the suite says so, and it and its key are of PS256. Two vectors of RFC 7520 (figure 20)
/// are called valid, of a key declared for PS256 and a token that says, and is signed with, PS384: refused.
#[test]
fn json_web_signatures_are_judged_as_wycheproof_does() {
    let Some(directory) = suites() else {
        return;
    };
    let directory = directory.join("wycheproof");
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("key.json");
    let mut counts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for name in SIGNATURES {
        for group in read(&directory, name)["testGroups"].as_array().unwrap() {
            let key = group.get("public").unwrap_or(&group["private"]);
            std::fs::write(&file, key.to_string()).unwrap();
            let is_ps256 = key["alg"] == "PS256";
            for case in group["tests"].as_array().unwrap() {
                let Some(jws) = case["jws"].as_str() else {
                    continue;
                };
                let expected = is_ps256
                    && case["result"] == "valid"
                    && algorithm_of(jws).as_deref() == Some("PS256");
                let mut command = Command::new(env!("CARGO_BIN_EXE_portaria"));
                command.args(["jws", "verify", "--alg", "PS256", "--jwk"]).arg(&file);
                let output = command.args(["--token", jws]).output().unwrap();
                let said = String::from_utf8(output.stdout).unwrap();
                let is_right = match output.status.code() {
                    Some(0) => expected && said == "valid\n",
                    Some(1) => !expected && said.starts_with("invalid: "),
                    Some(64) => !is_ps256,
                    other => panic!("{name} {}: {other:?} {said}", case["tcId"]),
                };
                assert!(is_right, "{name} {}: {said}", case["tcId"]);
                let counted = if is_ps256 { "PS256" } else { "other algorithms, refused" };
                counts.entry(counted).or_default()[usize::from(expected)] += 1;
            }
        }
    }
    eprintln!("refused and accepted, all as they should be: {counts:#?}");
    assert_eq!(counts["PS256"], [44, 6]);
    assert!(counts["other algorithms, refused"][0] > 400);
}

fn hexadecimal(text: &str) -> Vec<u8> {
    let digits = if text.len().is_multiple_of(2) { text.to_owned() } else { format!("0{text}") };
    (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).unwrap())
        .collect()
}

/// How many vectors of a file are refused and accepted, each as `is_expected` says of its group and itself.
fn judge_raw(
    directory: &Path,
    name: &str,
    algorithm: Algorithm,
    key_of: impl Fn(&Value) -> Value,
    is_expected: impl Fn(&Value, &Value) -> bool,
) -> [usize; 2] {
    let mut counts = [0, 0];
    for group in read(directory, name)["testGroups"].as_array().unwrap() {
        let set = json!({"keys": [key_of(group)]}).to_string();
        let keys = KeySet::parse(set.as_bytes(), &[algorithm]);
        for case in group["tests"].as_array().unwrap() {
            let message = hexadecimal(case["msg"].as_str().unwrap());
            let signature = URL_SAFE_NO_PAD.encode(hexadecimal(case["sig"].as_str().unwrap()));
            let accepted = keys.as_ref().is_ok_and(|keys| {
                let key = keys.find(None).unwrap();
                key.key(algorithm)
                    .and_then(|key| key.verify(algorithm, &message, &signature))
                    .is_ok()
            });
            assert_eq!(accepted, is_expected(group, case), "{name} {}", case["tcId"]);
            counts[usize::from(accepted)] += 1;
        }
    }
    counts
}

#[test]
fn signatures_are_judged_as_wycheproof_does() {
    let Some(directory) = suites() else {
        return;
    };
    let directory = directory.join("wycheproof");
    let rsa = |group: &Value| {
        let number = |name: &str| {
            let bytes = hexadecimal(group["publicKey"][name].as_str().unwrap());
            URL_SAFE_NO_PAD.encode(bytes)
        };
        json!({"kty": "RSA", "n": number("modulus"), "e": number("publicExponent")})
    };
    // PS256 is SHA-256 throughout and a salt of 32 bytes; where a suite asks for none, the signature with such a
    // salt is the one that counts here.
    let is_ps256 = |group: &Value, case: &Value| {
        let has_salt = match group["sLen"].as_u64() {
            Some(32) => case["result"] == "valid",
            _ => case["comment"] == "s_len changed to 32",
        };
        has_salt
            && group["sha"] == "SHA-256"
            && group["mgf"] == "MGF1"
            && group["mgfSha"] == "SHA-256"
            && group["keySize"].as_u64() >= Some(2048)
    };
    for (name, accepted) in [
        ("rsa_pss_2048_sha256_mgf1_32", true),
        ("rsa_pss_3072_sha256_mgf1_32", true),
        ("rsa_pss_4096_sha256_mgf1_32", true),
        ("rsa_pss_misc", true),
        ("rsa_pss_2048_sha256_mgf1_0", true),
        ("rsa_pss_2048_sha256_mgf1sha1_20", false),
    ] {
        let counts = judge_raw(&directory, name, Algorithm::Ps256, rsa, is_ps256);
        eprintln!("{name}: refused and accepted as it should be {counts:?}");
        assert_eq!(counts[1] > 0, accepted, "{name}");
    }
    // PKCS #1 v1.5, and among what must not pass for it a PS256 signature.
    let name = "rsa_signature_2048_sha256";
    let is_pss = |_: &Value, case: &Value| case["tcId"] == 257;
    assert_eq!(judge_raw(&directory, name, Algorithm::Ps256, rsa, is_pss)[1], 1);
    let name = "ecdsa_secp256r1_sha256_p1363";
    let key = |group: &Value| {
        let coordinate = |name: &str| {
            let bytes = hexadecimal(group["publicKey"][name].as_str().unwrap());
            let at = bytes.len().saturating_sub(32);
            let padded = [vec![0; 32 - (bytes.len() - at)], bytes[at..].to_vec()].concat();
            URL_SAFE_NO_PAD.encode(padded)
        };
        json!({"kty": "EC", "crv": "P-256", "x": coordinate("wx"), "y": coordinate("wy")})
    };
    let is_valid = |_: &Value, case: &Value| case["result"] == "valid";
    let counts = judge_raw(&directory, name, Algorithm::Es256, key, is_valid);
    eprintln!("{name}: refused and accepted as it should be {counts:?}");
}
