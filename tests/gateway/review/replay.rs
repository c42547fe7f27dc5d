//! `portaria policy replay` against the gateway itself: what it foretells from the log of one set of
//! policies is what becomes of the same requests under another.

use std::path::Path;

use portaria::config::{Judging, offline};
use portaria::lab::client::Http1Client;
use portaria::review::replay::{Replayer, Sets};
use serde_json::Value;

use super::said;
use crate::harness::*;
use crate::reload::reload;

const POLICY: &str = r#"api = "demo"
version = "1.0.0"
base_path = "/open-insurance/demo/v1"
class = "medium"
interaction_id = { form = "uuid", missing = "mint", malformed = "mint" }
upstream = "legacy"

[[routes]]
method = "GET"
path = "/open"
access = "open"

[[routes]]
method = "GET"
path = "/certificate"
access = "certificate"

[[routes]]
method = "GET"
path = "/own"
access = "client"
scope = "demo"

[[routes]]
method = "GET"
path = "/managed/{consentId}"
access = "client"
scope = "demo"
consent_parameter = "consentId"

[[routes]]
method = "GET"
path = "/read"
access = "consented"
scope = "demo"
permission = "DEMO_READ"
consent_use = "read"

[[routes]]
method = "POST"
path = "/send/{consentId}/now"
access = "consented"
scope = "demo"
permission = "DEMO_SEND"
consent_use = "initiate"
consent_parameter = "consentId"
idempotency_key = "required"

[[routes]]
method = "POST"
path = "/plain"
access = "client"
scope = "demo"
idempotency_key = "ignored"
"#;

const OPEN: &str = "path = \"/open\"\naccess = \"open\"";
const CERTIFICATE: &str = "path = \"/certificate\"\naccess = \"certificate\"";
const OWN: &str = "path = \"/own\"\naccess = \"client\"\nscope = \"demo\"";
const READ: &str = "path = \"/read\"\naccess = \"consented\"\nscope = \"demo\"\npermission = \"DEMO_READ\"\nconsent_use = \"read\"";

const MANAGED: &str = "path = \"/managed/{consentId}\"\naccess = \"client\"\nscope = \"demo\"\nconsent_parameter = \"consentId\"";

/// Other policies, each by changes of this one that have nothing to do with each other.
#[rustfmt::skip]
const CHANGES: &[&[(&str, &str)]] = &[
    &[
        (OPEN, "path = \"/open\"\naccess = \"certificate\""),
        (CERTIFICATE, "path = \"/certificate\"\naccess = \"open\""),
        (OWN, "path = \"/own\"\naccess = \"open\""),
        (MANAGED, "path = \"/managed/{id}\"\naccess = \"client\"\nscope = \"demo\""),
        (READ, "path = \"/read\"\naccess = \"open\""),
        ("\"required\"", "\"ignored\""),
    ],
    &[
        (OPEN, "path = \"/open\"\naccess = \"client\"\nscope = \"demo\""),
        (CERTIFICATE, "path = \"/certificate\"\naccess = \"client\"\nscope = \"demo\""),
        (OWN, "path = \"/own\"\naccess = \"certificate\""),
        (MANAGED, "path = \"/managed/all\"\naccess = \"client\"\nscope = \"demo\""),
        (READ, "path = \"/read\"\naccess = \"client\"\nscope = \"demo\""),
        ("\"initiate\"\nconsent_parameter = \"consentId\"", "\"initiate\"\nconsent_parameter = \"none\""),
    ],
    &[
        (OWN, "path = \"/own\"\naccess = \"client\"\nscope = \"other\""),
        ("path = \"/managed/{consentId}\"", "path = \"/{any}/{consentId}\""),
        ("DEMO_READ", "DEMO_LIST"),
        ("\"ignored\"", "\"required\""),
    ],
    &[
        (OWN, "path = \"/own\"\naccess = \"consented\"\nscope = \"demo\"\npermission = \"DEMO_OWN\"\nconsent_use = \"read\""),
        ("scope = \"demo\"\npermission = \"DEMO_READ\"", "scope = \"other\"\npermission = \"DEMO_READ\""),
        ("\"ignored\"", "\"ignored\"\nrequest_body = \"form\""),
    ],
    &[
        (OWN, "path = \"/elsewhere\"\naccess = \"client\"\nscope = \"demo\""),
        ("\"read\"", "\"initiate\""),
        ("class = \"medium\"", "class = \"high\""),
    ],
    &[("method = \"GET\"\npath = \"/own\"", "method = \"DELETE\"\npath = \"/own\""), ("missing = \"mint\"", "missing = \"refuse\"")],
    &[("malformed = \"mint\"", "malformed = \"refuse\"")],
    &[("class = \"medium\"", "class = \"medium\"\nshadow_until = \"2999-01-01\"")],
    &[
        ("class = \"medium\"", "class = \"medium\"\nshadow_until = \"2999-01-01\""),
        ("missing = \"mint\", malformed = \"mint\"", "missing = \"refuse\", malformed = \"refuse\""),
        (READ, "path = \"/read\"\naccess = \"consented\"\nconsent = \"enrollment\"\nscope = \"demo\"\npermission = \"DEMO_READ\"\nconsent_use = \"read\""),
        ("DEMO_SEND", "DEMO_LIST"),
        ("\"ignored\"", "\"required\""),
    ],
    &[("form = \"uuid\", missing = \"mint\", malformed = \"mint\"", "form = \"alphanumeric\", missing = \"refuse\", malformed = \"refuse\"")],
];

struct Round<'a> {
    lab: &'a Lab,
    sent: usize,
}

impl Round<'_> {
    /// Sends requests one after another, so that their lines stand in that order.
    async fn send(&mut self, listener: &str, requests: &[Request]) {
        let identity = (listener == "mtls").then_some(&self.lab.pki.one);
        let mut connection: Option<Http1Client> = None;
        for request in requests {
            let mut open = match connection.take() {
                Some(open) => open,
                None => {
                    // What the last connection ended with is written by now.
                    self.await_lines().await;
                    self.lab.connector_to(listener, identity).http1().await.unwrap()
                }
            };
            let response = open.exchange(&request.to_bytes()).await.unwrap();
            self.sent += 1;
            connection = (response.field("connection") != Some("close")).then_some(open);
        }
        self.await_lines().await;
    }

    async fn await_lines(&self) {
        let written = || async { self.lab.gateway.access_log().len() >= self.sent };
        eventually("the lines are written", written).await;
    }
}

const ROUTES: [(&str, &str); 7] = [
    ("GET", "/open"),
    ("GET", "/certificate"),
    ("GET", "/own"),
    ("GET", "/managed/{}"),
    ("GET", "/read"),
    ("POST", "/send/{}/now"),
    ("POST", "/plain"),
];

/// Every kind of request to every route: those without client certificate, and those with.
fn requests(lab: &Lab) -> (Vec<Request>, Vec<Request>) {
    let all = lab.consent(&["DEMO_READ", "DEMO_SEND", "DEMO_LIST", "DEMO_OWN"]);
    let usual = lab.consent(&["DEMO_READ", "DEMO_SEND"]);
    let none = lab.consent(&["DEMO_OTHER"]);
    let rejected = lab.consent(&["DEMO_READ", "DEMO_SEND"]);
    lab.consents.set_status(&rejected, "REJECTED");
    let foreign = lab.consents.create(CLIENT_TWO, &["DEMO_READ", "DEMO_SEND"], "AUTHORISED");
    let tokens = [
        (lab.client_token("demo"), &usual),
        (lab.client_token("demo other"), &foreign),
        (lab.client_token("other"), &usual),
        (lab.user_token("demo", &usual), &usual),
        (lab.user_token("demo other", &all), &all),
        (lab.user_token("demo", &none), &none),
        (lab.user_token("demo", &rejected), &rejected),
        (lab.user_token("demo", &foreign), &foreign),
        (lab.user_token("other", &usual), &usual),
        ("nonsense".to_owned(), &usual),
    ];
    let (mut public, mut mutual) = (Vec::new(), Vec::new());
    for (method, path) in ROUTES {
        let target =
            |consent: &str| format!("/open-insurance/demo/v1{}", path.replace("{}", consent));
        let request = |consent: &str| match method {
            "POST" => Request::post(&target(consent), "{}"),
            _ => Request::new(method, &target(consent)),
        };
        public.push(request(&usual));
        mutual.push(request(&usual));
        for (token, consent) in &tokens {
            mutual.push(request(consent).bearer(token));
        }
        for (token, consent) in [&tokens[0], &tokens[3]] {
            let good = request(consent).bearer(token);
            let id = "x-fapi-interaction-id";
            mutual.push(good.clone().without(id));
            mutual.push(good.clone().without(id).with(id, "flow-1"));
            mutual.push(good.clone().without(id).with(id, "-"));
            mutual.push(good.without("x-idempotency-key"));
            mutual.push(request(&foreign).bearer(token));
            mutual.push(request(consent).bearer(token).with("Accept", "text/html"));
        }
    }
    mutual.push(Request::get("/open-insurance/demo/v1/nothing"));
    mutual.push(Request::new("PUT", "/open-insurance/demo/v1/own").content("{}"));
    mutual.push(Request::get("/open-insurance/demo/v1/%00"));
    (public, mutual)
}

/// The code of a refusal; nothing for what was allowed.
fn code(line: &Value) -> Option<&str> {
    line["portaria.refusal.code"].as_str()
}

/// What replays foretell of each line by itself. They have a runtime of their own.
fn foretell_each(
    log: &[Value],
    [before, after]: [&Path; 2],
) -> Vec<Result<Option<Option<String>>, String>> {
    let foretell = || {
        let [before, after] = [before, after].map(|path| offline::read(path).unwrap());
        let sets = Sets { before: &before, after: &after };
        let mut replayer = Replayer::new(sets, Judging::defaults());
        log.iter().map(|line| foretold(line, &mut replayer)).collect()
    };
    std::thread::scope(|scope| scope.spawn(foretell).join().unwrap())
}

/// What a replay of one line foretells; an error if it cannot be told.
fn foretold(line: &Value, replayer: &mut Replayer<'_>) -> Result<Option<Option<String>>, String> {
    let text = format!("{line}\n");
    let replay = replayer.replay(text.as_bytes()).unwrap().to_json();
    let Some(group) = replay["groups"].as_array().unwrap().first() else {
        return Ok(code(line).map(|code| Some(code.to_owned())));
    };
    if let Some(what) = group["untold"].as_str() {
        return Err(what.to_owned());
    }
    match group["will"].as_str() {
        Some("allowed") => Ok(None),
        _ => Ok(Some(group["will"]["refused"].as_str().map(str::to_owned))),
    }
}

#[tokio::test]
async fn what_a_replay_foretells_is_what_the_gateway_does() {
    let limits = "\n[limits]\nglobal = { requests = 1000000, per = \"1s\" }\n\
                  per_address = { requests = 1000000, per = \"1m\" }\n";
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let served = tempfile::tempdir().unwrap();
    let serve = |policy: &str| std::fs::write(served.path().join("demo.toml"), policy).unwrap();
    serve(POLICY);
    let (theirs, ours) = (policies().display().to_string(), served.path().display().to_string());
    // Each request is made again and again: what consumed a consent would be refused the next time.
    let never = "[consent]\nconsumed_after = \"never\"\n";
    let lab =
        lab_with(|config| config.swap(&theirs, &ours).swap("[consent]\n", never) + limits).await;
    let (public, mutual) = requests(&lab);
    let mut round = Round { lab: &lab, sent: 0 };
    round.send("public", &public).await;
    round.send("mtls", &mutual).await;
    let log = lab.gateway.access_log();
    let before = write("before.toml", POLICY);
    let (mut foretold_changes, mut untold_changes) = (0, 0);
    for changes in CHANGES {
        let mut policy = POLICY.to_owned();
        for (good, other) in *changes {
            assert!(policy.contains(good), "{good}");
            policy = policy.replacen(good, other, 1);
        }
        let after = write("after.toml", &policy);
        serve(&policy);
        reload(&lab, "configuration reloaded").await;
        let start = round.sent;
        round.send("public", &public).await;
        round.send("mtls", &mutual).await;
        let actual = lab.gateway.access_log()[start..].to_vec();
        assert_eq!(actual.len(), log.len());
        // And back again, by what the other policies wrote.
        let there = (&log, &actual, [&*before, &*after]);
        for (was, became, sets) in [there, (&actual, &log, [&*after, &*before])] {
            for ((line, became), foretold) in was.iter().zip(became).zip(foretell_each(was, sets)) {
                assert_eq!(line["http.request.method"], became["http.request.method"]);
                let is_changed = code(line).is_none() != code(became).is_none();
                match foretold {
                    Ok(told) => {
                        foretold_changes += usize::from(is_changed);
                        let holds = match &told {
                            None => code(became).is_none(),
                            Some(None) => code(became).is_some(),
                            Some(code_told) => code(became) == code_told.as_deref(),
                        };
                        assert!(holds, "{told:?}\nwas {line}\nis {became}\n{policy}");
                    }
                    Err(_) => untold_changes += usize::from(is_changed),
                }
            }
        }
    }
    // It would be no help if it could tell little.
    assert!(foretold_changes > 130, "{foretold_changes}, {untold_changes} untold");
}

/// A line as the gateway writes it, as far as a replay reads it.
fn line(method: &str, route: Option<&str>, code: Option<&str>) -> String {
    let route = route.map(|path| format!("/open-insurance/demo/v1{path}"));
    let line = serde_json::json!({
        "event": "exchange",
        "http.request.method": method,
        "http.route": route,
        "portaria.refusal.code": code,
        "portaria.interaction_id": INTERACTION_ID,
        "portaria.organisation_id": "d7384bd0-842f-43c5-be02-9d2b2d5efc2c",
    });
    format!("{line}\n")
}

#[test]
fn the_command_counts_what_changes_and_says_what_it_cannot_tell() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let after = POLICY
        .replacen(OWN, "path = \"/own\"\naccess = \"open\"", 1)
        .replacen("DEMO_READ", "DEMO_LIST", 1)
        .replacen("path = \"/plain\"", "path = \"/pure\"", 1);
    std::fs::write(at.join("before.toml"), POLICY).unwrap();
    std::fs::write(at.join("after.toml"), after).unwrap();
    let log = [
        line("GET", Some("/open"), None),
        line("GET", Some("/own"), None),
        line("GET", Some("/own"), Some("token_missing")),
        line("GET", Some("/own"), Some("token_missing")),
        line("GET", Some("/own"), Some("limits_address")),
        line("GET", Some("/read"), None),
        line("GET", Some("/read"), Some("consent_permission")),
        line("GET", Some("/read"), Some("consent_expired")),
        line("POST", Some("/plain"), None),
        line("POST", Some("/plain"), Some("scope_insufficient")),
        line("GET", Some("/unheard-of"), None),
        line("GET", None, Some("route_not_found")),
        line("GET", None, None),
        "{\"event\":\"something else\"}\n\nnot JSON\n\u{7f}".to_owned(),
    ];
    std::fs::write(at.join("access.log"), log.concat()).unwrap();
    let arguments =
        ["policy", "replay", "access.log", "--policies", "after.toml", "--before", "before.toml"];
    let route = "/open-insurance/demo/v1";
    let expected = format!(
        "changes:
  2  GET   {route}/own    refused token_missing -> allowed
  1  POST  {route}/plain  allowed -> refused route_not_found
  1  POST  {route}/plain  refused scope_insufficient -> refused route_not_found

cannot be told:
  1  GET  -                                   refused route_not_found -> unknown: what the path was
  1  GET  {route}/read        allowed -> unknown: whether the consent has permission DEMO_LIST
  1  GET  {route}/read        refused consent_permission -> unknown: whether the consent has permission DEMO_LIST
  1  GET  {route}/unheard-of  allowed -> unknown: the policies before do not list the route

12 exchanges: 2 become allowed, 1 become refused, 1 are refused otherwise, 4 cannot be told, 4 stay as they are
left out: 1 that ended undecided, 3 lines of something else
"
    );
    assert_eq!(said(at, &arguments, 1), expected);
    let json = said(at, &[&arguments[..], &["--json"]].concat(), 1);
    let json: Value = serde_json::from_str(&json).unwrap();
    for (name, count) in [
        ("become_allowed", 2),
        ("become_refused", 1),
        ("refused_otherwise", 1),
        ("cannot_be_told", 4),
        ("unchanged", 4),
        ("undecided", 1),
        ("other_lines", 3),
    ] {
        assert_eq!(json[name], count, "{name}");
    }
    assert_eq!(json["groups"].as_array().unwrap().len(), 7);
}

/// What the rules would have refused was refused, as far as rules are compared.
#[test]
fn what_went_on_in_shadow_mode_is_replayed_as_what_the_rules_said() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("before.toml"), POLICY).unwrap();
    let open = POLICY.replacen(OWN, "path = \"/own\"\naccess = \"open\"", 1);
    std::fs::write(at.join("after.toml"), open).unwrap();
    let replay = |line: String| {
        std::fs::write(at.join("access.log"), line).unwrap();
        let policies = ["--policies", "after.toml", "--before", "before.toml"];
        said(at, &[&["policy", "replay", "access.log"], &policies[..]].concat(), 1)
    };
    let refused = line("GET", Some("/own"), Some("scope_insufficient"));
    let borne = line("GET", Some("/own"), None).replacen(
        '{',
        "{\"portaria.would_refuse.code\":\"scope_insufficient\",",
        1,
    );
    assert!(refused.contains("scope_insufficient") && borne.contains("would_refuse"));
    assert_eq!(replay(borne), replay(refused));
}

/// The line of a day.
fn on(day: &str, line: String) -> String {
    line.replacen('{', &format!("{{\"timestamp\":\"{day}T15:00:00.000Z\","), 1)
}

/// Of lines of several days under other policies: what becomes of each.
fn replayed(before: &str, after: &str, lines: &[String]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let read = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        offline::read(&path).unwrap()
    };
    let (before, after) = (read("before.toml", before), read("after.toml", after));
    let sets = Sets { before: &before, after: &after };
    let mut replayer = Replayer::new(sets, Judging::defaults());
    let mut told = |line: &String| {
        let replay = replayer.replay(line.as_bytes()).unwrap().to_json();
        match replay["groups"].as_array().unwrap().first() {
            None => "the same".to_owned(),
            Some(group) if group["untold"].is_string() => format!("unknown {}", group["untold"]),
            Some(group) => format!("{} -> {}", group["was"], group["will"]),
        }
    };
    lines.iter().map(&mut told).collect()
}

/// What was available, retired or in shadow mode is what would have been on the day of the line.
#[test]
fn a_line_is_replayed_on_its_own_day() {
    let own = |keys: &str| POLICY.replacen(OWN, &format!("{OWN}\n{keys}"), 1);
    let allowed = line("GET", Some("/own"), None);
    let retired = line("GET", Some("/own"), Some("route_retired"));
    let scope = line("GET", Some("/own"), Some("scope_insufficient"));
    let grant = line("GET", Some("/own"), Some("token_grant"));
    let borne = allowed.replacen('{', "{\"portaria.would_refuse.code\":\"scope_insufficient\",", 1);
    let (early, late) = ("2026-03-01", "2026-09-01");
    let shadow = own("shadow_until = \"2026-06-01\"");
    let lived = own("available_from = \"2026-02-01\"\nretired_from = \"2026-06-01\"");
    for (before, after, line, expected) in [
        (
            POLICY,
            &*lived,
            on("2026-01-31", allowed.clone()),
            "\"allowed\" -> {\"refused\":\"route_not_yet_available\"}",
        ),
        (POLICY, &lived, on(early, allowed.clone()), "the same"),
        (
            POLICY,
            &lived,
            on(late, allowed.clone()),
            "\"allowed\" -> {\"refused\":\"route_retired\"}",
        ),
        (
            POLICY,
            &lived,
            on(late, scope.clone()),
            "{\"refused\":\"scope_insufficient\"} -> {\"refused\":\"route_retired\"}",
        ),
        // Midnight is Brasília's.
        (
            POLICY,
            &lived,
            allowed.replacen('{', "{\"timestamp\":\"2026-06-01T02:59:59.999Z\",", 1),
            "the same",
        ),
        (
            POLICY,
            &lived,
            allowed.replacen('{', "{\"timestamp\":\"2026-06-01T03:00:00.000Z\",", 1),
            "\"allowed\" -> {\"refused\":\"route_retired\"}",
        ),
        (&lived, &lived, on(late, retired.clone()), "the same"),
        (&lived, POLICY, on(late, retired), "unknown \"which Accept was sent\""),
        (&lived, POLICY, on(early, allowed.clone()), "the same"),
        (POLICY, &lived, allowed.clone(), "unknown \"on which day it came\""),
        // What the rules refuse goes on before the day of shadow mode, and what nobody may pass does not.
        (
            POLICY,
            &shadow,
            on(early, scope.clone()),
            "{\"refused\":\"scope_insufficient\"} -> \"allowed\"",
        ),
        (POLICY, &shadow, on(late, scope.clone()), "the same"),
        (POLICY, &shadow, on(early, grant), "the same"),
        (&shadow, &shadow, on(early, borne.clone()), "the same"),
        (&shadow, POLICY, on(early, borne), "\"allowed\" -> {\"refused\":\"scope_insufficient\"}"),
        (&shadow, POLICY, on(late, scope), "the same"),
        (&shadow, POLICY, on(late, allowed), "the same"),
        // A request for the fields alone is one to the route that has them.
        (
            POLICY,
            &lived,
            on(late, line("HEAD", Some("/own"), None)),
            "\"allowed\" -> {\"refused\":\"route_retired\"}",
        ),
        (POLICY, POLICY, on(late, line("HEAD", Some("/own"), None)), "the same"),
    ] {
        assert_eq!(replayed(before, after, std::slice::from_ref(&line)), [expected], "{line}");
    }
}

#[test]
fn a_log_that_no_decision_of_changes_is_a_yes() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("policy.toml"), POLICY).unwrap();
    std::fs::write(at.join("access.log"), line("GET", Some("/own"), None)).unwrap();
    let replay = |log: &str, code| {
        let arguments =
            ["policy", "replay", log, "--policies", "policy.toml", "--before", "policy.toml"];
        said(at, &arguments, code)
    };
    let yes = "1 exchanges: 0 become allowed, 0 become refused, 0 are refused otherwise, 0 cannot be told, 1 stay as they are\n";
    assert_eq!(replay("access.log", 0), yes);
    let complaint = replay("nowhere.log", 64);
    assert!(complaint.starts_with("nowhere.log:0: cannot be read ("), "{complaint}");
    // Nothing comes of standard input here: it is empty.
    assert!(replay("-", 0).starts_with("0 exchanges: "));
}

const PLAIN: &str =
    "path = \"/plain\"\naccess = \"client\"\nscope = \"demo\"\nidempotency_key = \"ignored\"";
const SEND: &str = "idempotency_key = \"required\"";

/// What the log does not tell is not guessed, however likely it is.
#[test]
fn what_a_line_does_not_prove_is_unknown() {
    let with = |good: &str, keys: &str| {
        assert!(POLICY.contains(good), "{good}");
        POLICY.replacen(good, &format!("{good}\n{keys}"), 1)
    };
    let to = |good: &str, other: &str| {
        assert!(POLICY.contains(good), "{good}");
        POLICY.replacen(good, other, 1)
    };
    let borne = |code: &str, line: String| {
        on(
            "2026-03-01",
            line.replacen('{', &format!("{{\"portaria.would_refuse.code\":\"{code}\","), 1),
        )
    };
    let nobody = |line: String| line.swap("organisation_id", "organisation");
    let shadow = "shadow_until = \"2026-06-01\"";
    let enrollment = to(READ, &format!("{READ}\nconsent = \"enrollment\""));
    let attempt =
        |id: &str| to("missing = \"mint\", ", &format!("missing = \"mint\", also = \"{id}\", "));
    let (callback, webhook) =
        (attempt("x-callback-interaction-id"), attempt("x-webhook-interaction-id"));
    for (before, after, line, expected) in [
        // It may have had no body.
        (
            POLICY,
            &*with(PLAIN, "request_body = \"form\""),
            line("POST", Some("/plain"), None),
            "unknown \"what the body was written in\"",
        ),
        // Bodies.
        (
            &*with(PLAIN, "max_body_size = \"1KiB\""),
            &*with(PLAIN, "max_body_size = \"2KiB\""),
            line("POST", Some("/plain"), Some("request_body_too_large")),
            "unknown \"how long the body was\"",
        ),
        (
            &*with(PLAIN, "max_body_size = \"2KiB\""),
            &*with(PLAIN, "max_body_size = \"1KiB\""),
            line("POST", Some("/plain"), Some("request_body_too_large")),
            "the same",
        ),
        (
            &*with(PLAIN, "max_body_size = \"1KiB\""),
            &*to(
                PLAIN,
                "path = \"/plain\"\naccess = \"certificate\"\nidempotency_key = \"ignored\"\nmax_body_size = \"1KiB\"",
            ),
            line("POST", Some("/plain"), Some("request_body_too_large")),
            "the same",
        ),
        (
            POLICY,
            &*to(SEND, "idempotency_key = \"ignored\""),
            line("POST", Some("/send/{consentId}/now"), Some("idempotency_other_content")),
            "unknown \"what its body was\"",
        ),
        (
            POLICY,
            &*to(OWN, "path = \"/own\"\naccess = \"open\""),
            line("GET", Some("/own"), Some("limits_address")),
            "the same",
        ),
        // Nobody was known: neither a public listener nor a certificate that names nobody is enough.
        (
            POLICY,
            &*to(OPEN, "path = \"/open\"\naccess = \"certificate\""),
            nobody(line("GET", Some("/open"), None)),
            "\"allowed\" -> {\"refused\":null}",
        ),
        (
            POLICY,
            &*to(OPEN, "path = \"/open\"\naccess = \"certificate\""),
            line("GET", Some("/open"), None),
            "the same",
        ),
        // What the consent had become may not be so of the enrollment.
        (
            POLICY,
            &enrollment,
            line("GET", Some("/read"), None),
            "unknown \"whether an enrollment was named\"",
        ),
        (
            POLICY,
            &enrollment,
            line("GET", Some("/read"), Some("consent_expired")),
            "unknown \"whether an enrollment was named\"",
        ),
        (
            &*with(READ, shadow),
            &enrollment,
            borne("consent_expired", line("GET", Some("/read"), None)),
            "unknown \"whether an enrollment was named\"",
        ),
        (
            &*with(READ, shadow),
            POLICY,
            borne("consent_expired", line("GET", Some("/read"), None)),
            "\"allowed\" -> {\"refused\":\"consent_expired\"}",
        ),
        // An initiation uses a consent up.
        (
            POLICY,
            &*to("\"read\"", "\"initiate\""),
            line("GET", Some("/read"), None),
            "unknown \"what was done under the consent before\"",
        ),
        (
            POLICY,
            &*to("\"read\"", "\"initiate\""),
            line("GET", Some("/read"), Some("consent_expired")),
            "the same",
        ),
        // Who sent one of two ids need not have sent the other.
        (
            &callback,
            &webhook,
            line("GET", Some("/own"), None),
            "unknown \"which id of an attempt was sent\"",
        ),
        // What was borne before it was refused is in no line.
        (
            &*with(OWN, shadow),
            &*to("class = \"medium\"", "class = \"medium\"\nx_v = \"negotiated\""),
            on("2026-03-01", line("GET", Some("/own"), Some("token_grant"))),
            "unknown \"which x-v was sent\"",
        ),
        // An answer that was given again is none of the consent that was used up.
        (
            POLICY,
            &*to(SEND, "idempotency_key = \"ignored\""),
            line("POST", Some("/send/{consentId}/now"), None)
                .swap("\"event\"", "\"portaria.outcome\":\"replayed\",\"event\""),
            "unknown \"what its body was\"",
        ),
        // On a public listener nobody reads of a day of what is not open.
        (
            POLICY,
            &*to(OPEN, "path = \"/open\"\naccess = \"certificate\"\nretired_from = \"2026-01-01\""),
            on("2026-03-01", nobody(line("GET", Some("/open"), None))),
            "\"allowed\" -> {\"refused\":null}",
        ),
        (
            POLICY,
            &*to(OPEN, "path = \"/open\"\naccess = \"certificate\"\nretired_from = \"2026-01-01\""),
            on("2026-03-01", line("GET", Some("/open"), None)),
            "\"allowed\" -> {\"refused\":\"route_retired\"}",
        ),
        // Which of two faults of a query comes first is not known.
        (
            &*with(OPEN, "query = [{ name = \"page\", values = [\"1\"] }]"),
            &*with(
                OPEN,
                "query = [{ name = \"page\", values = [\"1\"] }]\nother_query = \"refused\"",
            ),
            line("GET", Some("/open"), Some("parameters_value")),
            "unknown \"what the path and query were\"",
        ),
        // A code that this version does not know.
        (
            POLICY,
            &*to(OWN, "path = \"/own\"\naccess = \"open\""),
            line("GET", Some("/own"), Some("token_of_tomorrow")),
            "unknown \"why the policies before said so\"",
        ),
        // No such line is of these policies.
        (
            POLICY,
            &*to(OPEN, "path = \"/open\"\naccess = \"certificate\""),
            line("GET", Some("/open"), Some("consent_expired")),
            "unknown \"why the policies before said so\"",
        ),
    ] {
        assert_eq!(
            replayed(before, after, std::slice::from_ref(&line)),
            [expected],
            "{line}{after}"
        );
    }
}

#[test]
fn a_request_that_broke_off_before_a_backend_was_asked_is_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("policy.toml"), POLICY).unwrap();
    let aborted = line("POST", Some("/plain"), None)
        .swap("\"event\"", "\"portaria.outcome\":\"client_abort\",\"event\"");
    let went_on = aborted.swap("\"event\"", "\"portaria.upstream\":\"legacy\",\"event\"");
    std::fs::write(at.join("access.log"), [aborted, went_on].concat()).unwrap();
    let policies = ["--policies", "policy.toml", "--before", "policy.toml"];
    let told = said(at, &[&["policy", "replay", "access.log"], &policies[..]].concat(), 0);
    let expected = "1 exchanges: 0 become allowed, 0 become refused, 0 are refused otherwise, 0 cannot be told, 1 stay as they are\n\
                    left out: 1 that ended undecided, 0 lines of something else\n";
    assert_eq!(told, expected);
}
