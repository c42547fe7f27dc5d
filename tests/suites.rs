//! Independent X.509 suites through `portaria cert verify`: x509-limbo, NIST PKITS, BetterTLS and BoringSSL's
//! chains. `PORTARIA_SUITES` names their directory; without it there is nothing to compare with.

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

use serde_json::Value;

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
    let Some(directory) = std::env::var_os("PORTARIA_SUITES").map(PathBuf::from) else {
        eprintln!("skipped: PORTARIA_SUITES names no directory of suites");
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
