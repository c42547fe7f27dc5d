//! The documents say what the source does: every code, metric, log field and configuration key that users
//! meet is described, and nothing is described that does not exist.

#![expect(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

#[path = "documents/keys.rs"]
mod keys;

use std::collections::BTreeSet;
use std::path::Path;

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// A file that is made from the source is what the source makes of it; `PORTARIA_WRITE=1` writes it again.
fn write_or_compare(file: &str, expected: &str) {
    if std::env::var("PORTARIA_WRITE").is_ok_and(|value| value == "1") {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(file), expected).unwrap();
        return;
    }
    let is_true = read(file) == expected;
    assert!(is_true, "{file}: PORTARIA_WRITE=1 cargo test --test documents writes it again");
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

/// Each under the heading of its stage, with its status.
#[test]
fn every_refusal_code_is_described() {
    use portaria::refusal::codes::{ALL, Row, Status};
    let status = |row: &Row| match row.status {
        Status::Of(status) => status.as_str().to_owned(),
        Status::OfLapse => "401 or 403".to_owned(),
    };
    let source: BTreeSet<_> = ALL
        .iter()
        .map(|row| (row.stage.as_str().to_owned(), row.code.to_owned(), status(row)))
        .collect();
    assert_eq!(source.len(), ALL.len(), "a code stands twice");
    let (mut described, mut stage) = (BTreeSet::new(), String::new());
    for line in read("docs/refusals.md").lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            heading.clone_into(&mut stage);
        } else if let Some((code, rest)) =
            line.strip_prefix("| `").and_then(|line| line.split_once("` | "))
        {
            let status = rest.split(" |").next().unwrap_or_default();
            let is_new = described.insert((stage.clone(), code.to_owned(), status.to_owned()));
            assert!(is_new, "{code} is described twice");
        }
    }
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

/// Each with its method, if it is another one than GET, and no other.
#[test]
fn every_admin_endpoint_is_described() {
    use portaria::admin::{ENDPOINTS, Path};
    let document = read("docs/observability.md");
    let table = document.split_once("| path | answer |").unwrap().1;
    let described: BTreeSet<&str> = table
        .lines()
        .skip(2)
        .map_while(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(path, _)| path)
        .collect();
    let source: BTreeSet<String> = ENDPOINTS
        .iter()
        .map(|endpoint| {
            let path = match endpoint.path {
                Path::At(path) => path.to_owned(),
                Path::Below(path, name) => format!("{path}{{{name}}}"),
            };
            let is_read = endpoint.method == "GET";
            if is_read { path } else { format!("{} {path}", endpoint.method) }
        })
        .collect();
    assert_eq!(described, source.iter().map(String::as_str).collect());
}

#[test]
fn every_metric_is_described() {
    let is_metric = |word: &String| word.starts_with("portaria_");
    let metrics = ["metrics/described", "connections", "key_sets", "services"]
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

/// What stands between the marks of the bench.
fn benched(text: &str) -> &str {
    let (_, after) = text.split_once("<!-- bench -->\n").unwrap();
    after.split_once("<!-- /bench -->").unwrap().0.trim()
}

#[test]
fn the_table_of_the_bench_is_that_of_a_run() {
    let readme = read("README.md");
    let (table, source) = benched(&readme).rsplit_once("\n\nAll figures of this run: ").unwrap();
    let (_, path) = source.split_once("](").unwrap();
    let results = read(path.trim_end_matches(").").trim_end());
    assert_eq!(table, benched(&results), "`make bench-table` writes it anew");
}
