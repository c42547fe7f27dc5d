//! The text of a policy file: the same for the same policy, in an order that differs in few lines when the
//! policy does.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::policy::Policy;
use super::rulings::{LEFT_OUT, Ruling, Rulings};
use super::settle::{PolicyKeys, PolicyRoute};
use crate::config::values::quoted;

/// The columns of a comment.
const WIDTH: usize = 100;

/// The keys of the top and of a route, in the order in which they stand.
const HEAD: [&str; 8] = [
    "x_v",
    "available_from",
    "deprecated_from",
    "retired_from",
    "shadow_until",
    "class",
    "interaction_id",
    "upstream",
];
const ROUTE: [&str; 19] = [
    "version",
    "x_v",
    "access",
    "scope",
    "permission",
    "consent_use",
    "idempotency_key",
    "path_parameters",
    "query",
    "consent_parameter",
    "request_body",
    "errors",
    "available_from",
    "deprecated_from",
    "retired_from",
    "shadow_until",
    "class",
    "interaction_id",
    "upstream",
];

/// The keys whose values are tables and arrays, made of what is plain ([`super::openapi`]).
const AS_IT_STANDS: [&str; 3] = ["path_parameters", "query", "interaction_id"];

/// The text of a policy.
pub(super) fn text(policy: &Policy, rulings: &Rulings) -> String {
    let mut text = String::new();
    let everywhere = decided_everywhere(policy);
    let Policy { api, major, base, .. } = policy;
    comment(&mut text, &format!("{api}, version {major}."));
    comment(&mut text, "");
    comment(
        &mut text,
        "Written by `portaria policy import openapi`: to change it, change the decisions and import \
         again. From:",
    );
    for source in &policy.sources {
        comment(&mut text, &format!("- {source}"));
    }
    for ruling in everywhere.iter().filter_map(|index| rulings.get(*index)) {
        comment(&mut text, "");
        comment(&mut text, &in_words(ruling));
    }
    line(&mut text, "");
    pair(&mut text, "api", api);
    if let Some(version) = policy.head.get("version") {
        pair(&mut text, "version", version);
    }
    pair(&mut text, "base_path", base);
    if !policy.scopes.is_empty() {
        let scopes: Vec<String> = policy.scopes.iter().map(|scope| quoted(scope)).collect();
        array(&mut text, "scopes", &scopes);
    }
    keys(&mut text, &HEAD, &policy.head);
    for rule in &policy.rules {
        route(&mut text, rule, &everywhere, rulings);
    }
    text
}

/// Rulings about every route of a file are told once, at its top.
fn decided_everywhere(policy: &Policy) -> BTreeSet<usize> {
    let mut rules = policy.rules.iter();
    let first = rules.next().map(|rule| rule.decided.clone()).unwrap_or_default();
    let all = rules.fold(first, |all, rule| &all & &rule.decided);
    // What a single route decides by name is told where that route stands.
    if policy.rules.len() > 1 { all } else { BTreeSet::new() }
}

fn route(text: &mut String, rule: &PolicyRoute, everywhere: &BTreeSet<usize>, rulings: &Rulings) {
    line(text, "");
    for ruling in rule.decided.difference(everywhere).filter_map(|index| rulings.get(*index)) {
        comment(text, &in_words(ruling));
    }
    line(text, "[[routes]]");
    pair(text, "method", &rule.method);
    pair(text, "path", &rule.path);
    keys(text, &ROUTE, &rule.keys);
}

/// `Decided: class = "medium". Why. Source: where.`
fn in_words(ruling: &Ruling) -> String {
    let fact = |(fact, value): (&&'static str, &String)| match *fact {
        part @ ("form" | "missing" | "malformed") => format!("interaction_id.{part} = \"{value}\""),
        fact => format!("{fact} = \"{value}\""),
    };
    let facts = ruling.facts.iter().filter(|(fact, _)| **fact != LEFT_OUT).map(fact);
    let facts = facts.collect::<Vec<_>>().join(", ");
    let reason = ruling.reason.trim_end_matches('.');
    match &ruling.source {
        Some(source) => format!("Decided: {facts}. {reason}. Source: {source}."),
        None => format!("Decided: {facts}. {reason}."),
    }
}

fn keys(text: &mut String, order: &[&'static str], keys: &PolicyKeys) {
    for name in order {
        match keys.get(name) {
            // By its name and not by how it begins: a text of the specification may begin like a table.
            Some(value) if AS_IT_STANDS.contains(name) => line(text, &format!("{name} = {value}")),
            Some(value) => pair(text, name, value),
            None => {}
        }
    }
}

fn pair(text: &mut String, name: &str, value: &str) {
    line(text, &format!("{name} = {}", quoted(value)));
}

fn array(text: &mut String, name: &str, items: &[String]) {
    let in_one = format!("{name} = [{}]", items.join(", "));
    if in_one.len() <= WIDTH {
        return line(text, &in_one);
    }
    line(text, &format!("{name} = ["));
    for item in items {
        line(text, &format!("    {item},"));
    }
    line(text, "]");
}

fn line(text: &mut String, content: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{content}");
}

/// A comment, in lines of whole words.
fn comment(text: &mut String, content: &str) {
    let mut current = "#".to_owned();
    for word in content.split_whitespace() {
        if current.chars().count() + 1 + word.chars().count() > WIDTH && current.len() > 1 {
            line(text, &current);
            "#".clone_into(&mut current);
        }
        current.push(' ');
        current.push_str(word);
    }
    line(text, &current);
}
