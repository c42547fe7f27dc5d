//! The documents say what the source does: every code, metric, log field and configuration key that users
//! meet is described, and nothing is described that does not exist.

#![expect(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The pieces of a text between two marks that consist of the given characters only.
fn between(text: &str, mark: char, allowed: impl Fn(char) -> bool) -> BTreeSet<String> {
    text.split(mark)
        .filter(|piece| !piece.is_empty() && piece.chars().all(&allowed))
        .map(str::to_owned)
        .collect()
}

fn is_word(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
}

#[test]
fn every_refusal_code_is_described() {
    const STAGES: [&str; 13] = [
        "request_",
        "identity_",
        "interaction_",
        "version_",
        "parameters_",
        "route_",
        "limits_",
        "token_",
        "scope_",
        "consent_",
        "idempotency_",
        "upstream_",
        "gateway_",
    ];
    let is_code = |word: &String| STAGES.iter().any(|stage| word.starts_with(stage));
    let codes = read("src/refusal.rs") + &read("src/refusal/verdict.rs");
    let source: BTreeSet<String> =
        between(&codes, '"', is_word).into_iter().filter(is_code).collect();
    let rows: String = read("docs/refusals.md").lines().filter(|l| l.starts_with("| `")).collect();
    let described: BTreeSet<String> =
        between(&rows, '`', is_word).into_iter().filter(is_code).collect();
    assert!(source.len() > 60, "{source:?}");
    assert_eq!(source, described);
}

#[test]
fn every_reason_to_refuse_a_certificate_is_described() {
    let document = read("docs/trust.md");
    let table = document.split_once("| reason | meaning |").unwrap().1;
    let names: String = table
        .lines()
        .skip(2)
        .map_while(|line| line.strip_prefix("| ")?.split('|').next())
        .collect();
    let source: BTreeSet<String> =
        portaria::identity::PathReason::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(source, between(&names, '`', is_word));
}

#[test]
fn every_metric_is_described() {
    let is_metric = |word: &String| word.starts_with("portaria_");
    let metrics = ["metrics", "key_sets", "services"]
        .map(|file| read(&format!("src/report/{file}.rs")))
        .concat();
    let source: BTreeSet<String> =
        between(&metrics, '"', is_word).into_iter().filter(is_metric).collect();
    let rows: String =
        read("docs/observability.md").lines().filter(|line| line.starts_with("| `")).collect();
    let described: BTreeSet<String> =
        between(&rows, '`', is_word).into_iter().filter(is_metric).collect();
    assert!(source.len() > 10, "{source:?}");
    assert_eq!(source, described);
}

#[test]
fn every_field_of_the_access_log_is_described() {
    let is_name = |c: char| is_word(c) || c == '.';
    let has_dot = |word: &String| word.contains('.');
    let source: BTreeSet<String> = between(&read("src/report/access_log.rs"), '"', is_name)
        .into_iter()
        .filter(has_dot)
        .collect();
    let document = read("docs/observability.md");
    assert!(source.len() > 15, "{source:?}");
    for field in source {
        assert!(document.contains(&format!("`{field}`")), "{field} is not described");
    }
}

#[test]
fn both_languages_of_the_guide_show_the_same_examples() {
    let examples = |file: &str| -> Vec<String> {
        read(file).split("```").skip(1).step_by(2).map(str::to_owned).collect()
    };
    let (english, portuguese) = (examples("docs/guide.md"), examples("docs/guia.md"));
    assert_eq!(english.len(), portuguese.len());
    for (english, portuguese) in
        english.iter().zip(&portuguese).filter(|(e, _)| !e.contains("json"))
    {
        assert_eq!(english, portuguese);
    }
}
