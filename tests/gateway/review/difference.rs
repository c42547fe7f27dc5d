//! `portaria policy diff`: what it says of single changes, and that it keeps its word in front of the gateway.

use std::path::Path;

use serde_json::Value;

use super::said;
use crate::config::POLICY;
use crate::harness::Rewrite;

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
        &["~ GET things/{thingId} consent_use read initiate"], &[
        "otherwise GET things/{thingId} under a consent that is REJECTED",
        "refused GET things/{thingId} under the same consent again, after an answer of 201",
    ]),
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
        &["refused GET things/{thingId} for a consent of the path that is not the token's or the client's own",
        // A consent id may have what no other part of a path may.
        "allowed GET things/{thingId} with thingId that has a slash",
    ]),
    // Days.
    (&[("version = \"1.0.0\"", "version = \"1.0.0\"\nretired_from = \"2001-01-01\"")],
        &["~ GET things/{thingId} retired_from - 2001-01-01", "~ POST things retired_from - 2001-01-01"],
        &["refused GET things/{thingId} from now on", "refused POST things from now on"]),
    (&[("version = \"1.0.0\"", "version = \"1.0.0\"\navailable_from = \"2999-01-01\"")],
        &["~ GET things/{thingId} available_from - 2999-01-01", "~ POST things available_from - 2999-01-01"],
        &["refused GET things/{thingId} until 2999-01-01", "refused POST things until 2999-01-01"]),
    (&[("path = \"/things\"", "path = \"/things\"\nretired_from = \"2998-01-01\"")],
        &["~ POST things retired_from - 2998-01-01"], &["refused POST things from 2998-01-01 on"]),
    (&[("path = \"/things\"", "path = \"/things\"\navailable_from = \"2998-01-01\"\nretired_from = \"2999-01-01\"")],
        &["~ POST things available_from - 2998-01-01", "~ POST things retired_from - 2999-01-01"],
        &["refused POST things until 2998-01-01 and from 2999-01-01 on"]),
    (&[("path = \"/things\"", "path = \"/things\"\ndeprecated_from = \"2001-01-01\"")],
        &["~ POST things deprecated_from - 2001-01-01"], &[]),
    // Bounds.
    (&[("consent_use = \"read\"", "consent_use = \"read\"\npath_parameters = [{ name = \"thingId\", max_length = 60 }]")],
        &["~ GET things/{thingId} path_parameters - thingId up to 60"],
        &["refused GET things/{thingId} with thingId of 61 characters"]),
    (&[("consent_use = \"read\"", "consent_use = \"read\"\npath_parameters = [{ name = \"thingId\", form = \"urn\" }]")],
        &["~ GET things/{thingId} path_parameters - thingId up to 4096 as urn"],
        &["refused GET things/{thingId} with thingId that is no URN"]),
    (&[("consent_use = \"read\"", "consent_use = \"read\"\nquery = [{ name = \"page\", least = 1, most = 10 }]")],
        &["~ GET things/{thingId} query - page 1 to 10"],
        &["refused GET things/{thingId} with page=0 in its query"]),
    (&[("consent_use = \"read\"", "consent_use = \"read\"\nquery = [{ name = \"period\", values = [\"ALL\"] }]")],
        &["~ GET things/{thingId} query - period ALL"],
        &["refused GET things/{thingId} with period=xxxx in its query"]),
    (&[("consent_use = \"read\"", "consent_use = \"read\"\nquery = [{ name = \"line\" }]")],
        &["~ GET things/{thingId} query - line"],
        &["refused GET things/{thingId} with line twice in its query"]),
    (&[("consent_use = \"read\"", "consent_use = \"read\"\nother_query = \"refused\"")],
        &["~ GET things/{thingId} other_query ignored refused"],
        &["refused GET things/{thingId} with an unknown name in its query"]),
    (&[("\"required\"", "\"required\"\nmax_body_size = \"1KiB\"")],
        &["~ POST things max_body_size - 1024B"],
        &["refused POST things with a body of 1025 bytes"]),
    (&[("version = \"1.0.0\"", "version = \"1.0.0\"\nx_v = \"negotiated\"")],
        &["~ GET things/{thingId} x_v ignored negotiated", "~ POST things x_v ignored negotiated"], &[
        "refused GET things/{thingId} asking for a version that is not served",
        "refused POST things asking for a version that is not served",
    ]),
    // Two at once, of which neither hides the other.
    (&[("DEMO_READ", "DEMO_LIST"), ("\"mint\"", "\"refuse\"")],
        &["~ GET things/{thingId} interaction_id.missing mint refuse", "~ GET things/{thingId} permission DEMO_READ DEMO_LIST",
          "~ POST things interaction_id.missing mint refuse"], &[
        "refused GET things/{thingId} for a customer, with scope demo and permission DEMO_READ",
        "allowed GET things/{thingId} for a customer, with scope demo and permission DEMO_LIST",
        "refused GET things/{thingId} without x-fapi-interaction-id",
        "refused POST things without x-fapi-interaction-id",
    ]),
    // What becomes of tokens afterwards.
    (&[("idempotency_key", "request_body = \"form\"\ntoken_revocation = true\nidempotency_key")],
        &["~ POST things request_body json form", "~ POST things token_revocation - true"], &[
        "refused POST things with a body of application/json",
        "allowed POST things with a body of a form",
        "refused POST things afterwards, with a token that was revoked by it",
    ]),
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
            "{thingId}" => line.swap("{thingId}", "{id}"),
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
             {}  for a customer, with scope demo and permission DEMO_READ  \
             allow -> 404 route_not_found\n\n\
             0 added, 1 removed, 0 changed; 0 become allowed, 1 become refused, \
             0 are refused otherwise\n",
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
        POLICY.swap("class = \"medium\"", &format!("class = \"medium\"\nshadow_until = \"{day}\""))
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

/// Narrower and dropped bounds, of what was bounded before.
#[test]
fn bounds_that_move_are_told_on_both_sides() {
    let directory = tempfile::tempdir().unwrap();
    let read = "consent_use = \"read\"";
    let with = |keys: &str| POLICY.swap(read, &format!("{read}\n{keys}"));
    let page = |least: u32, most: u32| {
        format!("query = [{{ name = \"page\", least = {least}, most = {most} }}]")
    };
    let path = |length: u32| {
        format!("path_parameters = [{{ name = \"thingId\", max_length = {length} }}]")
    };
    for (before, after, expected) in [
        (page(1, 100), page(1, 10), vec!["refused GET things/{thingId} with page=11 in its query"]),
        (
            page(1, 10),
            page(5, 20),
            vec![
                "allowed GET things/{thingId} with page=11 in its query",
                "refused GET things/{thingId} with page=1 in its query",
            ],
        ),
        (page(1, 10), String::new(), vec!["allowed GET things/{thingId} with page=0 in its query"]),
        (path(60), path(30), vec!["refused GET things/{thingId} with thingId of 31 characters"]),
        // No request fits both: what is told is not only that.
        (
            path(2),
            format!("{}\nother_query = \"refused\"", path(300)),
            vec![
                "allowed GET things/{thingId} with thingId of 3 characters",
                "refused GET things/{thingId} with an unknown name in its query",
            ],
        ),
        // Nothing that no request could have met.
        (
            "retired_from = \"2001-01-01\"".to_owned(),
            "retired_from = \"2002-01-01\"".to_owned(),
            vec![],
        ),
        // Of rules that are in force one after the other, only the days.
        (
            "retired_from = \"2998-01-01\"".to_owned(),
            "available_from = \"2999-01-01\"".to_owned(),
            vec![
                "refused GET things/{thingId} until 2998-01-01",
                "allowed GET things/{thingId} from 2999-01-01 on",
            ],
        ),
    ] {
        let expected = sorted(expected.into_iter().map(str::to_owned).collect());
        let (_, found) = compare(directory.path(), &with(&before), &with(&after));
        assert_eq!(found, expected, "{before} -> {after}");
    }
}

/// What the rules of an endpoint refuse goes on before a day; what changes of them counts from that day on.
#[test]
fn a_change_of_rules_that_are_not_enforced_yet_counts_from_their_day_on() {
    let directory = tempfile::tempdir().unwrap();
    let shadow = "consent_use = \"read\"\nshadow_until = \"2999-01-01\"";
    let before = POLICY.swap("consent_use = \"read\"", shadow);
    let (_, found) = compare(directory.path(), &before, &before.swap("DEMO_READ", "DEMO_LIST"));
    assert_eq!(
        found,
        [
            "allowed GET things/{thingId} for a customer, with scope demo and permission DEMO_LIST, from 2999-01-01 on",
            "refused GET things/{thingId} for a customer, with scope demo and permission DEMO_READ, from 2999-01-01 on",
        ]
    );
}

/// What a configuration says of consents is what requests are judged by.
#[test]
fn the_rules_of_the_configuration_count() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("config.toml"), "[consent]\npreset = \"ofb\"\n").unwrap();
    let after = POLICY.swap("consent_use = \"read\"", "consent_use = \"initiate\"");
    assert_eq!(compare(at, POLICY, &after).1, Vec::<String>::new());
    std::fs::write(at.join("config.toml"), "[http]\nmax_body_size = \"1KiB\"\n").unwrap();
    let after = POLICY.swap("\"required\"", "\"required\"\nmax_body_size = \"2KiB\"");
    assert_eq!(compare(at, POLICY, &after).1, Vec::<String>::new());
}

/// A day that stands for never, and one before anything, are days to the tools as they are to the gateway.
#[test]
fn the_ends_of_the_calendar_are_days() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for (set, class) in [("before", "medium"), ("after", "high")] {
        std::fs::create_dir(at(set)).unwrap();
        let policy = POLICY.replace("class = \"medium\"", &format!("class = \"{class}\""));
        let days = "available_from = \"-9999-01-01\"\nretired_from = \"9999-12-31\"\nclass";
        std::fs::write(at(set).join("demo.toml"), policy.replacen("class", days, 1)).unwrap();
    }
    let without = POLICY.replacen("permission = ", "permission = \"OTHER_\" #", 1);
    std::fs::write(at("without.toml"), without).unwrap();
    for arguments in [
        vec!["policy", "diff", "before", "after"],
        vec!["policy", "diff", "without.toml", "before"],
        vec!["policy", "cases", "--policies", "before", "-o", "cases"],
        vec!["test", "--policies", "before", "cases"],
    ] {
        let output = super::portaria(directory.path(), &arguments);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!said.contains("panic"), "{arguments:?}: {said}");
        assert!(matches!(output.status.code(), Some(0 | 1)), "{arguments:?}: {said}");
    }
}
