//! `portaria policy diff` and `portaria policy replay` keep their word: of policies that are drawn at random, two gateways
//! say nothing differently to requests that are drawn at random but what was told of the policies, and what was
//! foretold of the line that the first would have written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use portaria::config::{Judging, offline};
use portaria::review::replay::{Replayer, Sets};
use portaria::review::rule_difference::Becomes;
use portaria::review::{difference, trial};

use crate::harness::INTERACTION_ID;

const PAIRS: u64 = 24;
const REQUESTS: usize = 100;
const HEAD: &str = "api = \"demo\"\nbase_path = \"/open-insurance/demo/v1\"\nclass = \"medium\"\nupstream = \"legacy\"\n";

/// A generator that draws the same in every run (Knuth's MMIX constants).
struct Draw(u64);

impl Draw {
    fn of<'a>(&mut self, from: &[&'a str]) -> &'a str {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        from[usize::try_from((self.0 >> 33) % from.len() as u64).unwrap()]
    }

    fn is(&mut self, of_four: usize) -> bool {
        ["0", "1", "2", "3"][..of_four].contains(&self.of(&["0", "1", "2", "3"]))
    }
}

/// What may stand under each key; the first is the usual one.
const KEYS: &[(&str, &[&str])] = &[
    ("head", &["version = \"1.0.0\"\n", "version = \"1.2.0\"\n", "version = \"2.0.0\"\n"]),
    ("head", &["", "x_v = \"negotiated\"\n"]),
    ("head", &["", "other_query = \"refused\"\n"]),
    (
        "head",
        &[
            "interaction_id = { form = \"uuid\", missing = \"mint\", malformed = \"mint\" }\n",
            "interaction_id = { form = \"uuid\", missing = \"refuse\", malformed = \"refuse\" }\n",
            "interaction_id = { form = \"alphanumeric\", missing = \"mint\", malformed = \"refuse\" }\n",
        ],
    ),
    (
        "get",
        &[
            "path = \"/things/{thingId}\"\n",
            "path = \"/things/{other}\"\n",
            "path = \"/things/all\"\n",
        ],
    ),
    (
        "get",
        &[
            "",
            "retired_from = \"2001-01-01\"\n",
            "available_from = \"2999-01-01\"\n",
            "available_from = \"2001-01-01\"\n",
        ],
    ),
    (
        "get",
        &[
            "access = \"consented\"\nscope = \"demo\"\npermission = \"DEMO_READ\"\nconsent_use = \"read\"\n",
            "access = \"consented\"\nscope = \"demo\"\npermission = \"DEMO_LIST\"\nconsent_use = \"read\"\n",
            "access = \"consented\"\nscope = \"other\"\npermission = \"DEMO_READ\"\nconsent_use = \"initiate\"\n",
            "access = \"consented\"\nconsent = \"enrollment\"\nscope = \"demo\"\npermission = \"DEMO_READ\"\nconsent_use = \"read\"\n",
            "access = \"client\"\nscope = \"demo\"\n",
            "access = \"certificate\"\n",
            "access = \"open\"\n",
        ],
    ),
    (
        "get",
        &[
            "",
            "query = [{ name = \"page\", least = 1, most = 10 }]\n",
            "query = [{ name = \"page\", least = 5, most = 20 }]\n",
            "query = [{ name = \"page\", values = [\"1\", \"all\"] }]\n",
            "query = [{ name = \"page\" }]\n",
            "query = [{ name = \"line\" }, { name = \"page\", most = 5 }]\n",
        ],
    ),
    ("post", &["", "retired_from = \"2001-01-01\"\n"]),
    (
        "post",
        &[
            "access = \"client\"\nscope = \"demo\"\n",
            "access = \"client\"\nscope = \"other\"\n",
            "access = \"consented\"\nscope = \"demo\"\npermission = \"DEMO_SEND\"\nconsent_use = \"initiate\"\n",
            "access = \"client\"\nscope = \"demo\"\nconsent_parameter = \"urn\"\n",
            "access = \"client\"\nscope = \"demo\"\nconsent = \"enrollment\"\nconsent_parameter = \"urn\"\n",
            "access = \"consented\"\nscope = \"demo\"\npermission = \"DEMO_SEND\"\nconsent_use = \"initiate\"\nconsent_parameter = \"urn\"\n",
            "access = \"consented\"\nconsent = \"enrollment\"\nscope = \"demo\"\npermission = \"DEMO_SEND\"\nconsent_use = \"initiate\"\nconsent_parameter = \"urn\"\n",
        ],
    ),
    ("post", &["idempotency_key = \"required\"\n", "idempotency_key = \"ignored\"\n"]),
    ("post", &["", "request_body = \"form\"\n"]),
    ("post", &["", "max_body_size = \"1KiB\"\n", "max_body_size = \"2KiB\"\n"]),
    (
        "post",
        &[
            "",
            "path_parameters = [{ name = \"urn\", max_length = 10 }]\n",
            "path_parameters = [{ name = \"urn\", max_length = 40 }]\n",
            "path_parameters = [{ name = \"urn\", form = \"urn\" }]\n",
        ],
    ),
];

fn policy(choice: &[&str]) -> String {
    let of = |part: &str| -> String {
        let keys = KEYS.iter().zip(choice).filter(|((of, _), _)| *of == part);
        keys.map(|(_, text)| *text).collect()
    };
    format!(
        "{HEAD}{}[[routes]]\nmethod = \"GET\"\n{}[[routes]]\nmethod = \"POST\"\npath = \"/sent/{{urn}}\"\n{}",
        of("head"),
        of("get"),
        of("post")
    )
}

/// A request: mostly good, in each respect one of these.
fn request(draw: &mut Draw) -> (&'static str, String) {
    let is_post = draw.is(2);
    let id = "urn:portaria:consent:1";
    let part = |draw: &mut Draw| match draw.is(2) {
        true => id,
        false => draw.of(&[
            "1",
            "urn:a:b",
            "urn:b:c:d:e",
            "all",
            "a%2Fb",
            "urn:portaria:consent:0000000000000000002",
        ]),
    };
    let query = match draw.is(2) {
        true => "",
        false => draw.of(&[
            "?page=0",
            "?page=1",
            "?page=5",
            "?page=7",
            "?page=11",
            "?page=21",
            "?page=all",
            "?page=1&page=1",
            "?line=1&line=2",
            "?unknown=1",
            "?line=x&page=3",
        ]),
    };
    let (method, path) = match is_post {
        true => ("POST", format!("sent/{}{query}", part(draw))),
        false => ("GET", format!("things/{}{query}", part(draw))),
    };
    let mut headers = Vec::new();
    let mut lines = String::new();
    if is_post {
        headers.extend((!draw.is(1)).then_some("x-idempotency-key: k"));
        headers.push(draw.of(&[
            "content-type: application/json",
            "content-type: application/x-www-form-urlencoded",
        ]));
        headers.push(draw.of(&[
            "content-length: 2",
            "content-length: 1500",
            "content-length: 3000",
        ]));
    }
    if draw.is(1) {
        headers.push(draw.of(&["x-v: 1.0.0", "x-v: 1.1.0", "x-v: 2.0.0", "x-v: 3.0.0", "x-v: x"]));
    }
    match draw.of(&["", "", "", "none", "x-fapi-interaction-id: a-1", "x-fapi-interaction-id: -"]) {
        "" => {}
        "none" => lines += "without = [\"x-fapi-interaction-id\"]\n",
        other => headers.push(other),
    }
    let scope = draw.of(&["demo", "demo", "demo", "other"]);
    let named = draw.of(&["consent", "consent", "consent", "enrollment"]);
    lines += &match draw.of(&["customer", "customer", "client", "client", "none", "public"]) {
        "customer" => {
            format!("token = {{ sub = \"customer\", scope = \"openid {named}:{id} {scope}\" }}\n")
        }
        "client" => format!("token = {{ scope = \"{scope}\" }}\n"),
        "public" => "listener = \"public\"\n".to_owned(),
        _ => String::new(),
    };
    let permission = draw.of(&["DEMO_READ", "DEMO_LIST", "DEMO_SEND"]);
    let status = draw.of(&["AUTHORISED", "AUTHORISED", "AUTHORISED", "REJECTED"]);
    let client = draw.of(&["client-1", "client-1", "client-2"]);
    if draw.is(1) {
        lines += "before = { created = true }\n";
    }
    let text = format!(
        "[[cases]]\nname = \"drawn\"\nmethod = \"{method}\"\npath = \"/open-insurance/demo/v1/{path}\"\n\
         headers = {headers:?}\nconsents = [{{ id = \"{id}\", permissions = [\"{permission}\"], \
         status = \"{status}\", client_id = \"{client}\" }}]\nexpect = \"allow\"\n{lines}"
    );
    (method, text)
}

/// The cases that one set of policies refuses, by their lines, and the codes.
fn refused(cases: &Path, policy: &Path) -> BTreeMap<usize, String> {
    let settings = Judging::defaults();
    let cases = trial::read(&[cases.to_owned()], &settings).unwrap();
    let report = trial::run(cases, offline::read(policy).unwrap(), settings).unwrap();
    let code = |got: &str| got.split_once(' ').unwrap().1.to_owned();
    report.failures().iter().map(|failure| (failure.line, code(&failure.got))).collect()
}

/// The line that a gateway of a policy would write of a case that it refuses with a code, or admits.
fn line(case: &str, method: &str, code: Option<&str>, policy: &str) -> String {
    let route = match method {
        "POST" => "/sent/{urn}",
        _ if policy.contains("{thingId}") => "/things/{thingId}",
        _ if policy.contains("{other}") => "/things/{other}",
        _ => "/things/all",
    };
    let is_found = !matches!(code, Some("route_not_found" | "route_method"));
    let keeps_id = case.contains("interaction-id: a-1") && policy.contains("alphanumeric");
    let mut line = serde_json::json!({
        "event": "exchange",
        "timestamp": OffsetDateTime::now_utc().format(&Rfc3339).unwrap(),
        "http.request.method": method,
        "http.route": is_found.then(|| format!("/open-insurance/demo/v1{route}")),
        "portaria.refusal.code": code,
        "portaria.interaction_id": if keeps_id { "a-1" } else { INTERACTION_ID },
    });
    if !case.contains("listener = \"public\"") {
        line["portaria.organisation_id"] = "d7384bd0-842f-43c5-be02-9d2b2d5efc2c".into();
    }
    format!("{line}\n")
}

/// Holds what a replay foretells of a line against what became of its request; whether it foretold a change.
fn is_foretold(
    replayer: &mut Replayer<'_>,
    line: &str,
    became: Option<&str>,
    context: &dyn Fn() -> String,
) -> Option<bool> {
    let replay = replayer.replay(line.as_bytes()).unwrap().to_json();
    let line: Value = serde_json::from_str(line).unwrap();
    let was = line["portaria.refusal.code"].as_str();
    let Some(group) = replay["groups"].as_array().unwrap().first() else {
        assert_eq!(was, became, "it stays as it is: {line} {}", context());
        return Some(false);
    };
    if group["untold"].is_string() {
        return None;
    }
    match &group["will"] {
        Value::String(_) => assert_eq!(became, None, "{group} {line} {}", context()),
        will => match will["refused"].as_str() {
            Some(code) => assert_eq!(became, Some(code), "{group} {line} {}", context()),
            None => assert!(became.is_some(), "{group} {line} {}", context()),
        },
    }
    Some(was.is_none() != became.is_none())
}

#[test]
fn two_gateways_say_nothing_differently_but_what_was_told() {
    let directory = tempfile::tempdir().unwrap();
    let [one, other, cases] =
        ["one.toml", "other.toml", "cases.toml"].map(|name| directory.path().join(name));
    let mut draw = Draw(20_261_127);
    let (mut told, mut seen) = (0, 0);
    let (mut foretold, mut changed) = (0, 0);
    for pair in 0..PAIRS {
        let mut choice: Vec<&str> = KEYS
            .iter()
            .map(|(_, values)| if draw.is(2) { values[0] } else { draw.of(values) })
            .collect();
        std::fs::write(&one, policy(&choice)).unwrap();
        for (value, (_, values)) in choice.iter_mut().zip(KEYS) {
            if draw.is(1) {
                *value = draw.of(values);
            }
        }
        std::fs::write(&other, policy(&choice)).unwrap();
        let mut methods = BTreeMap::new();
        let mut text = String::new();
        for _ in 0..REQUESTS {
            methods.insert(text.lines().count() + 1, "");
            let (method, case) = request(&mut draw);
            methods.insert(text.lines().count() + 1, method);
            text += &case;
        }
        std::fs::write(&cases, &text).unwrap();
        let [before, after] = [&one, &other].map(|path| offline::read(path).unwrap());
        let difference = difference::compare(&before, &after, Judging::defaults()).unwrap();
        let words: BTreeSet<(&str, Becomes)> =
            difference.decisions.iter().map(|d| (d.method.as_str(), d.becomes)).collect();
        let (was, is) = (refused(&cases, &one), refused(&cases, &other));
        let mut found = BTreeSet::new();
        let mut replayer =
            Replayer::new(Sets { before: &before, after: &after }, Judging::defaults());
        let policies = [&one, &other].map(|path| std::fs::read_to_string(path).unwrap());
        for (at, method) in methods.iter().filter(|(_, method)| !method.is_empty()) {
            let case: Vec<&str> = text.lines().skip(at - 1).collect();
            let case = case.join("\n");
            let case = case.split("[[cases]]").nth(1).unwrap();
            let [was, is] = [&was, &is].map(|all| all.get(at).map(String::as_str));
            let line = line(case, method, was, &policies[0]);
            let context = || format!("pair {pair}: {case}{}\n{}", policies[0], policies[1]);
            let is_told = is_foretold(&mut replayer, &line, is, &context);
            foretold += usize::from(is_told == Some(true));
            changed += usize::from(was.is_none() != is.is_none());
        }
        for (line, method) in &methods {
            let becomes = match (was.contains_key(line), is.contains_key(line)) {
                (false, true) => Becomes::Refused,
                (true, false) => Becomes::Allowed,
                _ => continue,
            };
            if !words.contains(&(*method, becomes)) {
                let case: Vec<&str> = text.lines().skip(line - 1).take(9).collect();
                let [one, other] =
                    [&one, &other].map(|path| std::fs::read_to_string(path).unwrap());
                let case = case.join("\n");
                panic!(
                    "pair {pair}: {becomes:?} was not told of\n{case}\n{one}\n{other}\n{difference}"
                );
            }
            found.insert((*method, becomes));
        }
        told += words.iter().filter(|(_, becomes)| *becomes != Becomes::Otherwise).count();
        seen += found.len();
    }
    assert!(foretold >= 10, "{foretold} of {changed} changes foretold");
    // What is told is met, too, as far as so few requests can meet it.
    assert!(seen >= 20 && seen * 3 >= told, "{told} told, {seen} seen");
}
