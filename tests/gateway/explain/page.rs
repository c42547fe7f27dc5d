//! docs/explain-codes.md, held true: each example of it is run, against a gateway and without one.
//!
//! `PORTARIA_WRITE=1` writes the page again.

mod examples;
mod only_online;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use portaria::lab::client::Response;
use portaria::lab::pki::Identity;

use super::offline::explain;
use crate::harness::*;

/// Before the examples.
const HEAD: &str = "\
<!-- Written by the test explain::page -->
# Every code, explained

What `portaria explain` ([explain.md](explain.md)) says of each refusal. The answers are shortened to the verdict, but for the
first three; pseudonyms and waiting times are others at each run. What the codes mean: [refusals.md](refusals.md).

";

/// Codes that nobody can cause at will.
const NOT_SHOWN: [&str; 13] = [
    "consent_event_unavailable",
    "consent_event_unwanted",
    "consent_no_registry",
    "gateway_internal",
    "idempotency_store_unavailable",
    "idempotency_under_way",
    "identity_absent",
    "identity_expired",
    "identity_unreadable",
    "parameters_unknown",
    "request_body_incomplete",
    "route_not_yet_available",
    "route_retired",
];

/// An example of one code.
pub struct Example {
    pub code: &'static str,
    /// Without a gateway: the arguments, but for those that all have.
    pub arguments: Option<Vec<String>>,
    /// What `explain --id` says.
    pub online: String,
}

/// A certificate by the name of its file.
pub fn identity(file: &str) -> &'static Identity {
    match file {
        "chain.pem" => &pki().one,
        "without-organisation.pem" => &pki().nameless,
        "without-software.pem" => &pki().without_software,
        _ => examples::without_cnpj(),
    }
}

/// Sends a request, and looks up what became of it.
pub async fn ask(lab: &Lab, listener: &str, certificate: Option<&str>, bytes: &[u8]) -> String {
    let identity = certificate.map(identity);
    let mut connection = lab.connector_to(listener, identity).http1().await.unwrap();
    // What is refused before its end is answered before its end.
    let _ = connection.send(&fresh(bytes)).await;
    let response = connection.receive(false).await.unwrap();
    look_up(lab, &response).await
}

/// The same request under an interaction id of its own.
pub fn fresh(bytes: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.replace(INTERACTION_ID, &uuid::Uuid::new_v4().to_string()).into_bytes()
}

/// What the command says of the interaction of an answer.
pub async fn look_up(lab: &Lab, response: &Response) -> String {
    let id = response.field("x-fapi-interaction-id").unwrap().to_owned();
    let path = format!("/decisions/{id}");
    eventually("the refusal is kept", || async { lab.gateway.admin(&path).await.0 == 200 }).await;
    let config = lab.directory.path().join("admin.toml");
    let admin = format!("[admin]\naddress = \"{}\"\n", lab.gateway.address("admin"));
    std::fs::write(&config, admin).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_portaria"));
    let output = command.args(["explain", "-c"]).arg(&config).args(["--id", &id]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().any(|line| line == answered(response)), "{response:?}\n{text}");
    shown(&text)
}

/// What the caller was answered, as the command tells it.
fn answered(response: &Response) -> String {
    let mut line = format!("answer       {}", response.status.as_u16());
    for (field, name) in [("www-authenticate", "WWW-Authenticate"), ("retry-after", "Retry-After")]
    {
        if let Some(value) = response.field(field) {
            line += &format!(", {name}: {value}");
        }
    }
    line
}

/// As the admin endpoint names things.
pub fn digest_of(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the page shows of an answer: the verdict, without what is another one at each run.
pub fn shown(text: &str) -> String {
    let names = ["refused by", "because", "compared", "wanted", "found", "answer"];
    let is_shown = |line: &&str| names.iter().any(|name| line.starts_with(name));
    let block = text.rsplit("\n\n").next().unwrap();
    block.lines().filter(is_shown).map(|line| steady(line) + "\n").collect()
}

/// Pseudonyms, times and milliseconds are others at each run.
fn steady(line: &str) -> String {
    if line.starts_with("at  ") {
        return "at           2026-11-22T12:00:00Z".to_owned();
    }
    let other = if line.starts_with("found ") { "c417a0be92d35f18" } else { "5f0a6ed0b1d8a7c4" };
    let is_pseudonym = |word: &str| word.len() == 16 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let mut words: Vec<String> = Vec::new();
    for word in line.split(' ') {
        let (kind, id) = word.rsplit_once(':').unwrap_or(("", word));
        let word = match is_pseudonym(id) {
            true if kind.is_empty() => other.to_owned(),
            true => format!("{kind}:{other}"),
            false => word.to_owned(),
        };
        words.push(word);
    }
    if let Some(place) = words.iter().position(|word| word == "ms") {
        words[place - 1] = "59950".to_owned();
    }
    words.join(" ")
}

/// As one types it.
fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,%".contains(c);
    match !argument.is_empty() && argument.chars().all(is_plain) {
        true => argument.to_owned(),
        false => format!("'{argument}'"),
    }
}

fn section(example: &Example) -> String {
    let Example { code, arguments, online } = example;
    let (command, note) = match arguments {
        None => ("--id ID".to_owned(), "Only a gateway can tell.\n\n"),
        Some(arguments) => {
            let arguments: Vec<String> = arguments.iter().map(|text| quoted(text)).collect();
            (arguments.join(" "), "")
        }
    };
    format!("### {code}\n\n{note}```\n$ portaria explain {command}\n{online}```\n\n")
}

/// An answer as it is.
fn whole((title, arguments, text): &(&str, Vec<String>, String)) -> String {
    let arguments: Vec<String> = arguments.iter().map(|text| quoted(text)).collect();
    let text: String = text.trim_end().lines().map(|line| steady(line) + "\n").collect();
    format!("### {title}\n\n```\n$ portaria explain {}\n{text}```\n\n", arguments.join(" "))
}

fn page(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

/// The codes of docs/refusals.md, in its order.
fn codes() -> Vec<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/refusals.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once('`').map(|(code, _)| code.to_owned())).collect()
}

#[tokio::test]
async fn the_page_says_what_the_command_says_and_misses_no_code() {
    let mut examples = examples::all().await;
    examples.extend(only_online::all().await);
    let shown: BTreeSet<&str> = examples.iter().map(|example| example.code).collect();
    assert_eq!(shown.len(), examples.len(), "a code is shown twice");
    let known: BTreeSet<String> = codes().into_iter().collect();
    let all: BTreeSet<String> =
        shown.iter().chain(&NOT_SHOWN).map(|code| (*code).to_owned()).collect();
    assert_eq!(known, all);
    for example in &examples {
        let first = example.online.lines().next().unwrap_or_default();
        assert!(first.contains(&format!("({},", example.code)), "{}: {first}", example.code);
    }
    let position = |code: &str| codes().iter().position(|known| known == code);
    examples.sort_by_key(|example| position(example.code));
    let wholes: String = examples::wholes().await.iter().map(whole).collect();
    let sections: String = examples.iter().map(section).collect();
    let sections = format!("## Whole answers\n\n{wholes}## Every code\n\n{sections}");
    let expected = format!("{HEAD}{}\n", sections.trim_end());
    let written = page("explain-codes.md");
    if std::env::var("PORTARIA_WRITE").is_ok_and(|value| value == "1") {
        std::fs::write(written, expected).unwrap();
        return;
    }
    // To write it again: PORTARIA_WRITE=1 cargo test --features lab --test gateway explain::page
    let is_true = std::fs::read_to_string(written).is_ok_and(|text| text == expected);
    assert!(is_true, "docs/explain-codes.md is not what the command says");
    let by_hand = std::fs::read_to_string(page("explain.md")).unwrap();
    for code in NOT_SHOWN {
        assert!(by_hand.contains(&format!("`{code}`")), "{code} is not among those not shown");
    }
}

/// Runs the command without a gateway, where a lab has its configuration.
pub fn offline(lab: &Lab, arguments: &[String], code: i32) -> String {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = explain(lab.directory.path(), &arguments, None);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    text
}
