//! `portaria policy diff`: what it says of single changes, and that it keeps its word in front of the gateway.

use std::path::Path;

use serde_json::Value;

use super::said;
use crate::config::POLICY;

/// One change of the policy: what is said differently, and what becomes of requests.
type Row =
    (&'static [(&'static str, &'static str)], &'static [&'static str], &'static [&'static str]);

const GET: &str = "GET /open-insurance/demo/v1/things/{thingId}";
const POST: &str = "POST /open-insurance/demo/v1/things";

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    // What decides nothing.
    (&[("class = \"medium\"", "class = \"high\"")],
        &["~ GET things/{thingId} class medium high", "~ POST things class medium high"], &[]),
    (&[("upstream = \"legacy\"", "upstream = \"other\"")],
        &["~ GET things/{thingId} upstream legacy other", "~ POST things upstream legacy other"], &[]),
    (&[("version = \"1.0.0\"", "version = \"1.1.0\"")],
        &["~ GET things/{thingId} version 1.0.0 1.1.0", "~ POST things version 1.0.0 1.1.0"], &[]),
    (&[("consent_use = \"read\"", "consent_use = \"initiate\"")],
        &["~ GET things/{thingId} consent_use read initiate"], &[]),
    (&[("{thingId}", "{id}")], &["~ GET things/{id} path /open-insurance/demo/v1/things/{thingId} /open-insurance/demo/v1/things/{id}"], &[]),
    // Credentials.
    (&[("DEMO_READ", "DEMO_LIST")], &["~ GET things/{thingId} permission DEMO_READ DEMO_LIST"], &[
        "refused GET things/{thingId} for a customer, with scope demo and permission DEMO_READ",
        "allowed GET things/{thingId} for a customer, with scope demo and permission DEMO_LIST",
    ]),
    (&[("scope = \"demo\"\nidem", "scope = \"other\"\nidem")], &["~ POST things scope demo other"], &[
        "refused POST things a participant's own, with scope demo",
        "allowed POST things a participant's own, with scope other",
    ]),
    (&[("access = \"client\"\nscope = \"demo\"", "access = \"certificate\"")],
        &["~ POST things access client certificate", "~ POST things scope demo -"],
        &["allowed POST things a participant's, by its certificate"]),
    (&[("access = \"client\"\nscope = \"demo\"", "access = \"open\"")],
        &["~ POST things access client open", "~ POST things scope demo -"],
        &["allowed POST things anyone's"]),
    (&[("access = \"consented\"\nscope = \"demo\"\npermission = \"DEMO_READ\"\nconsent_use = \"read\"", "access = \"client\"\nscope = \"demo\"")],
        &["~ GET things/{thingId} access consented client", "~ GET things/{thingId} permission DEMO_READ -", "~ GET things/{thingId} consent_use read -"], &[
        "refused GET things/{thingId} for a customer, with scope demo and permission DEMO_READ",
        "allowed GET things/{thingId} a participant's own, with scope demo",
    ]),
    // Conditions.
    (&[("consent_use = \"read\"", "consent_use = \"read\"\nconsent = \"enrollment\"")],
        &["~ GET things/{thingId} consent - enrollment"], &[
        "refused GET things/{thingId} with a token that names a consent and no enrollment",
        "allowed GET things/{thingId} with a token that names an enrollment and no consent",
    ]),
    (&[("\"required\"", "\"ignored\"")], &["~ POST things idempotency_key required ignored"],
        &["allowed POST things without x-idempotency-key"]),
    (&[("idempotency_key", "request_body = \"form\"\nidempotency_key")], &["~ POST things request_body json form"], &[
        "refused POST things with a body of application/json",
        "allowed POST things with a body of a form",
    ]),
    (&[("\"mint\"", "\"refuse\"")],
        &["~ GET things/{thingId} interaction_id.missing mint refuse", "~ POST things interaction_id.missing mint refuse"], &[
        "refused GET things/{thingId} without x-fapi-interaction-id",
        "refused POST things without x-fapi-interaction-id",
    ]),
    (&[("\"uuid\"", "\"alphanumeric\"")],
        &["~ GET things/{thingId} interaction_id.form uuid alphanumeric", "~ POST things interaction_id.form uuid alphanumeric"], &[
        "allowed GET things/{thingId} with an x-fapi-interaction-id that is no UUID",
        "allowed POST things with an x-fapi-interaction-id that is no UUID",
    ]),
    (&[("class = \"medium\"", "class = \"medium\"\nshadow_until = \"2999-01-01\"")],
        &["~ GET things/{thingId} shadow_until - 2999-01-01", "~ POST things shadow_until - 2999-01-01"], &[
        "allowed GET things/{thingId} that the rules refuse, before the day of shadow_until",
        "allowed POST things that the rules refuse, before the day of shadow_until",
    ]),
    (&[("\"read\"", "\"read\"\nconsent_parameter = \"thingId\"")],
        &["~ GET things/{thingId} consent_parameter - thingId"],
        &["refused GET things/{thingId} for a consent of the path that is not the token's or the client's own"]),
    // Routes.
    (&[("method = \"POST\"", "method = \"PUT\"")], &["+ PUT things", "- POST things"], &[
        "refused POST things a participant's own, with scope demo",
        "allowed PUT things a participant's own, with scope demo",
    ]),
    (&[("/things/{thingId}", "/things/all")], &["+ GET things/all", "- GET things/{thingId}"], &[
        "refused GET things/{thingId} for a customer, with scope demo and permission DEMO_READ",
    ]),
    (&[("/demo/v1", "/demo/v2")],
        &["+ GET ../v2/things/{thingId}", "+ POST ../v2/things", "- GET things/{thingId}", "- POST things"], &[
        "refused GET things/{thingId} for a customer, with scope demo and permission DEMO_READ",
        "allowed GET ../v2/things/{thingId} for a customer, with scope demo and permission DEMO_READ",
        "refused POST things a participant's own, with scope demo",
        "allowed POST ../v2/things a participant's own, with scope demo",
    ]),
];

fn short(method: &Value, path: &Value) -> String {
    let path = path.as_str().unwrap().trim_start_matches("/open-insurance/demo/");
    let path = path.strip_prefix("v1/").map_or_else(|| format!("../{path}"), str::to_owned);
    format!("{} {path}", method.as_str().unwrap())
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

fn compare(directory: &Path, before: &str, after: &str) -> (Vec<String>, Vec<String>) {
    std::fs::write(directory.join("before.toml"), before).unwrap();
    std::fs::write(directory.join("after.toml"), after).unwrap();
    let text = said(directory, &["policy", "diff", "before.toml", "after.toml", "--json"], 1);
    let json: Value = serde_json::from_str(&text).unwrap();
    let mut changes = Vec::new();
    for (sign, list) in [("+", "added"), ("-", "removed")] {
        for route in json[list].as_array().unwrap() {
            changes.push(format!("{sign} {}", short(&route["method"], &route["path"])));
        }
    }
    for route in json["changed"].as_array().unwrap() {
        for change in route["changes"].as_array().unwrap() {
            let shown = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            let (key, before, after) =
                (&change["key"], shown(&change["before"]), shown(&change["after"]));
            let route = short(&route["method"], &route["path"]);
            changes.push(format!("~ {route} {} {before} {after}", key.as_str().unwrap()));
        }
    }
    let decision = |decision: &Value| {
        let route = short(&decision["method"], &decision["path"]);
        let text = |key: &str| decision[key].as_str().unwrap().to_owned();
        format!("{} {route} {}", text("becomes"), text("request"))
    };
    let decisions = json["decisions"].as_array().unwrap().iter().map(decision).collect();
    (sorted(changes), sorted(decisions))
}

#[test]
fn each_single_change_is_told_and_what_becomes_of_requests() {
    let directory = tempfile::tempdir().unwrap();
    for (edits, changes, decisions) in ROWS {
        let mut after = POLICY.to_owned();
        for (good, other) in *edits {
            assert!(after.contains(good), "{good}");
            after = after.replacen(good, other, 1);
        }
        let owned = |lines: &[&str]| sorted(lines.iter().map(|line| (*line).to_owned()).collect());
        let found = compare(directory.path(), POLICY, &after);
        assert_eq!(found, (owned(changes), owned(decisions)), "{edits:?}");
        // The other way round the same requests become the other thing.
        let (_, reversed) = compare(directory.path(), &after, POLICY);
        let turned = |line: &&str| match line.strip_prefix("allowed ") {
            Some(rest) => format!("refused {rest}"),
            None => line.replacen("refused ", "allowed ", 1),
        };
        let renamed = |line: String| match edits[0].0 {
            "{thingId}" => line.replace("{thingId}", "{id}"),
            _ => line,
        };
        let expected: Vec<String> = decisions.iter().map(|line| renamed(turned(line))).collect();
        // A template that covers another decides its requests, so that direction is its own.
        if edits[0].1 != "/things/all" {
            assert_eq!(reversed, sorted(expected), "{edits:?}");
        }
    }
}

#[test]
fn files_and_directories_that_say_the_same_do_not_differ() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    for name in ["one", "two"] {
        std::fs::create_dir(at.join(name)).unwrap();
    }
    let (head, routes) = POLICY.split_once("[[routes]]").unwrap();
    let (first, second) = routes.split_once("[[routes]]").unwrap();
    std::fs::write(at.join("one/demo.toml"), POLICY).unwrap();
    // The same routes in two files, in another order.
    std::fs::write(at.join("two/a.toml"), format!("# moved\n{head}[[routes]]{second}")).unwrap();
    std::fs::write(at.join("two/b.toml"), format!("{head}[[routes]]{first}")).unwrap();
    for (one, two) in [("one", "two"), ("two", "one"), ("one/demo.toml", "two")] {
        assert_eq!(said(at, &["policy", "diff", one, two], 0), "no difference\n");
    }
    let table = said(at, &["policy", "diff", "one", "two/a.toml"], 1);
    assert_eq!(
        table,
        format!(
            "- GET  /open-insurance/demo/v1/things/{{thingId}}  (consented, demo, DEMO_READ)\n\n\
             becomes refused:\n  \
             {}  for a customer, with scope demo and permission DEMO_READ\n\n\
             0 added, 1 removed, 0 changed; 0 become allowed, 1 become refused\n",
            GET.replacen(' ', "  ", 1)
        )
    );
    assert!(!table.contains(POST));
}

#[test]
fn mistakes_of_both_sides_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("a.toml"), POLICY.replacen("1.0.0", "1", 1)).unwrap();
    std::fs::write(at.join("b.toml"), POLICY.replacen("DEMO_READ", "demo-read", 1)).unwrap();
    let complaint = said(at, &["policy", "diff", "a.toml", "b.toml"], 64);
    let starts: Vec<&str> = complaint.lines().filter_map(|l| l.split(": ").next()).collect();
    assert_eq!(starts, ["a.toml:2 version", "b.toml:13 routes[0].permission"], "{complaint}");
}

/// What was enforced, for its day had passed, is not any more: that is the change that somebody signs.
#[test]
fn shadow_mode_that_begins_anew_is_named_among_what_becomes_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let with = |day: &str| {
        POLICY
            .replace("class = \"medium\"", &format!("class = \"medium\"\nshadow_until = \"{day}\""))
    };
    for (before, after) in [("2001-01-01", "2999-01-01"), ("2998-01-01", "2999-01-01")] {
        let (changes, becomes) = compare(directory.path(), &with(before), &with(after));
        assert!(!changes.is_empty());
        assert!(
            becomes.iter().any(|line| line.contains("allowed GET")),
            "{before}: {changes:?} {becomes:?}"
        );
    }
}
