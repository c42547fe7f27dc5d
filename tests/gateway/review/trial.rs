//! `portaria test` and `portaria policy cases`: the kept cases hold, every kind of fault is told apart, and what
//! a trial says is what the gateway does.

use std::path::Path;

use portaria::config::{Judging, offline};
use portaria::lab::consents::StoredConsent;
use portaria::review::cases;
use serde_json::{Value as Json, json};
use toml::{Table, Value};

use super::{difference, portaria, repository, said};
use crate::config::POLICY;
use crate::harness::*;

/// What the command says, without how long it took.
fn test(directory: &Path, arguments: &[&str], code: i32) -> String {
    let text = said(directory, &[&["test"], arguments].concat(), code);
    let (before, after) = text.split_once(" ms);").unwrap_or((&text, ""));
    let (before, _) = before.rsplit_once('(').unwrap_or((before, ""));
    if after.is_empty() { text } else { format!("{before}(N ms);{after}") }
}

#[test]
fn the_kept_cases_hold_and_every_route_has_three() {
    let said = test(repository(), &["policies/tests/"], 0);
    let policies = offline::read(&policies()).unwrap();
    let routes = policies.entries.len();
    assert!(said.contains("passed, 0 failed"), "{said}");
    let cases: usize = said.split(' ').next().unwrap().parse().unwrap();
    assert!(cases > 700, "{said}");
    assert!(said.ends_with(&format!("routes met: {routes} of {routes}\n")), "{said}");
    for entry in &policies.entries {
        let text = std::fs::read_to_string(
            repository()
                .join("policies/tests")
                .join(Path::new(entry.place.file()).file_name().unwrap()),
        );
        let title = format!("# {} {}\n", entry.route.published.method, entry.route.published.label);
        let text = text.unwrap();
        let (_, rest) = text.split_once(&title).unwrap_or_else(|| panic!("{title}"));
        let own = rest.split("\n# ").next().unwrap();
        assert!(own.matches("[[cases]]").count() >= 3, "{title}");
        assert!(own.contains("expect = \"allow\""), "{title}");
    }
}

#[test]
fn the_written_cases_are_those_that_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("tests");
    let arguments = ["policy", "cases", "-o", output.to_str().unwrap()];
    said(repository(), &arguments, 0);
    // Of a policy that went, no cases stay.
    for entry in std::fs::read_dir(repository().join("policies/tests")).unwrap() {
        let path = entry.unwrap().path();
        let is_written = std::fs::read_to_string(&path).unwrap().starts_with("# Written by");
        let is_there = output.join(path.file_name().unwrap()).exists();
        assert!(is_there || !is_written, "{} has no policy any more", path.display());
    }
    let mut files = 0;
    for entry in std::fs::read_dir(&output).unwrap() {
        let path = entry.unwrap().path();
        let kept = repository().join("policies/tests").join(path.file_name().unwrap());
        let kept = std::fs::read_to_string(kept).unwrap_or_default();
        let written = std::fs::read_to_string(&path).unwrap();
        // To write them again: portaria policy cases -o policies/tests
        assert!(written == kept, "{} is not what its policy says", path.display());
        files += 1;
    }
    assert!(files > 5);
    // Again over its own work, never over somebody else's.
    said(repository(), &arguments, 0);
    std::fs::write(output.join("resources-v3.toml"), "# mine\n").unwrap();
    std::fs::write(output.join("customers-v2.toml"), "# mine\n").unwrap();
    let complaint = said(repository(), &arguments, 64);
    let text = "was not written by this command, accepted: a file that was, or none";
    assert_eq!(complaint.matches(text).count(), 2, "{complaint}");
    assert_eq!(std::fs::read_to_string(output.join("resources-v3.toml")).unwrap(), "# mine\n");
}

/// A directory with the policy of these tests, and a file of cases.
fn place(cases: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("demo.toml"), POLICY).unwrap();
    std::fs::write(directory.path().join("cases.toml"), cases).unwrap();
    directory
}

const RUN: [&str; 3] = ["cases.toml", "--policies", "demo.toml"];

const GET: &str = r#"
[[cases]]
name = "NAME"
method = "GET"
path = "/open-insurance/demo/v1/things/4711"
token = { sub = "customer", scope = "openid consent:urn:x:1 demo" }
consents = [{ id = "urn:x:1", permissions = ["DEMO_READ"] }]
expect = "allow"
"#;

const POST: &str = r#"
[[cases]]
name = "NAME"
method = "POST"
path = "/open-insurance/demo/v1/things"
token = { scope = "demo" }
headers = ["x-idempotency-key: k"]
expect = "allow"
"#;

/// One change of a good case each, and what becomes of it.
#[rustfmt::skip]
const FAULTS: &[(&str, &str, &str, &str)] = &[
    // Path and method.
    (GET, "things/4711", "thing/4711", "404 route_not_found"),
    (GET, "things/4711", "things/../4711", "400 request_target"),
    (GET, "things/4711", "things/4711?page=1&a=<", "400 request_target"),
    (GET, "things/4711", "things/4711?page=1", "allow"),
    (GET, "things/4711", "//things/4711", "allow"),
    (GET, "\"GET\"", "\"DELETE\"", "405 route_method"),
    (GET, "expect", "listener = \"public\"\nexpect", "404 route_not_found"),
    // Fields.
    (GET, "expect", "without = [\"host\"]\nexpect", "400 request_host"),
    (GET, "expect", "headers = [\"host: elsewhere.example\"]\nexpect", "421 request_misdirected"),
    (GET, "expect", "headers = [\"accept: text/html\"]\nexpect", "406 request_not_acceptable"),
    (GET, "expect", "headers = [\"transfer_encoding: chunked\"]\nexpect", "400 request_framing_lookalike"),
    (GET, "expect", "headers = [\"x-fapi-interaction-id: a\"]\nexpect", "400 interaction_malformed"),
    (GET, "expect", "without = [\"x-fapi-interaction-id\"]\nexpect", "allow"),
    (POST, "headers = [\"x-idempotency-key: k\"]\n", "", "422 request_idempotency_key_missing"),
    (POST, "idempotency-key: k\"", "idempotency-key: k\", \"x-idempotency-key: k\"", "422 request_idempotency_key_malformed"),
    (POST, "key: k\"", "key: k\", \"content-type: text/plain\"", "415 request_media_type"),
    (POST, "key: k\"", "key: k\", \"content-length: 9999999\"", "413 request_body_too_large"),
    (POST, "expect", "body = false\nexpect", "allow"),
    // Certificate.
    (GET, "expect", "certificate = \"none\"\nexpect", "handshake certificate_required"),
    (GET, "expect", "certificate = { not_after = \"-1s\" }\nexpect", "handshake expired"),
    (GET, "expect", "certificate = { not_before = \"+1s\" }\nexpect", "handshake not_yet_valid"),
    (GET, "expect", "certificate = { not_after = \"2060-01-01T00:00:00Z\" }\nexpect", "allow"),
    (GET, "expect", "certificate = { trusted = false }\nexpect", "handshake unknown_issuer"),
    (GET, "expect", "certificate = { purpose = \"server\" }\nexpect", "handshake wrong_purpose"),
    (GET, "expect", "certificate = { purpose = \"none\" }\nexpect", "handshake wrong_purpose"),
    (GET, "expect", "certificate = { organisation_id = \"\" }\nexpect", "401 identity_organisation"),
    (GET, "expect", "certificate = { organisation_id = \"OPIBR-1\" }\nexpect", "401 identity_profile"),
    (GET, "expect", "certificate = { software_statement_id = \"\" }\nexpect", "401 identity_software_statement"),
    (GET, "expect", "certificate = { business_category = \"Mine\" }\nexpect", "401 identity_profile"),
    (GET, "expect", "certificate = { jurisdiction = \"UK\" }\nexpect", "401 identity_profile"),
    (GET, "expect", "certificate = { country = \"PT\" }\nexpect", "401 identity_profile"),
    (GET, "expect", "certificate = { common_name = \"\", state = \"\", locality = \"\", organisation_name = \"X\" }\nexpect", "allow"),
    // Token.
    (GET, "token = { sub = \"customer\", scope = \"openid consent:urn:x:1 demo\" }\n", "", "401 token_missing"),
    (GET, "token = { sub = \"customer\", scope = \"openid consent:urn:x:1 demo\" }\n", "headers = [\"authorization: Basic YTpi\"]\n", "401 token_scheme"),
    (GET, "expect", "headers = [\"authorization: Bearer b\"]\nexpect", "401 token_repeated"),
    (GET, "sub =", "exp = \"-1s\", sub =", "401 token_expired"),
    (GET, "sub =", "nbf = \"+1m\", sub =", "401 token_not_yet_valid"),
    (GET, "sub =", "iss = \"https://other.example\", sub =", "401 token_issuer"),
    (GET, "sub =", "aud = \"https://other.example\", sub =", "401 token_audience"),
    (GET, "sub =", "without = [\"exp\"], sub =", "401 token_claims"),
    (GET, "sub =", "without = [\"client_id\"], azp = \"client-1\", sub =", "allow"),
    (GET, "sub =", "bound_to = \"another\", sub =", "401 token_other_certificate"),
    (GET, "sub =", "bound_to = \"nothing\", sub =", "401 token_unbound"),
    (GET, "sub = \"customer\", scope = \"openid consent:urn:x:1 demo\"", "scope = \"demo\"", "401 token_grant"),
    (POST, "scope = \"demo\"", "sub = \"customer\", scope = \"demo\"", "401 token_grant"),
    (GET, " demo\"", " demo2\"", "403 scope_insufficient"),
    // Consent.
    (GET, "consent:urn:x:1 ", "", "403 consent_unnamed"),
    (GET, "id = \"urn:x:1\"", "id = \"urn:x:2\"", "404 consent_unknown"),
    (GET, "id = \"urn:x:1\"", "id = \"urn:x:1\", client_id = \"client-2\"", "403 consent_other_client"),
    (GET, "id = \"urn:x:1\"", "id = \"urn:x:1\", status = \"CONSUMED\"", "401 consent_not_authorised"),
    (GET, "id = \"urn:x:1\"", "id = \"urn:x:1\", status = \"ACTIVE\"", "503 consent_registry_unavailable"),
    (GET, "id = \"urn:x:1\"", "id = \"urn:x:1\", expires = \"-1s\"", "401 consent_expired"),
    (GET, "id = \"urn:x:1\"", "id = \"urn:x:1\", expires = \"+1s\"", "allow"),
    (GET, "DEMO_READ", "DEMO_WRITE", "403 consent_permission"),
    (GET, "consents = [{ id = \"urn:x:1\", permissions = [\"DEMO_READ\"] }]", "registry = \"unavailable\"", "503 consent_registry_unavailable"),
    // Clock.
    (GET, "expect", "clock = \"2030-01-01T00:00:00Z\"\nexpect", "allow"),
    (GET, "expect", "clock = \"2030-01-01T00:00:00Z\"\ncertificate = { not_after = \"2029-12-31T23:59:59Z\" }\nexpect", "handshake expired"),
    // Limits.
    (GET, "expect", "before = { same_address = 500 }\nexpect", "429 limits_address"),
    (GET, "expect", "before = { same_address = 500, ago = \"1m\" }\nexpect", "allow"),
    (GET, "expect", "before = { same_address = 5000, within = \"10m\" }\nexpect", "allow"),
    (GET, "expect", "before = { same_address = 2000, within = \"10s\" }\nexpect", "429 limits_address"),
    (GET, "expect", "before = { other_addresses = 300 }\nexpect", "429 limits_global"),
    (GET, "expect", "before = { other_addresses = 300, ago = \"1s\" }\nexpect", "allow"),
    (GET, "expect", "address = \"2001:db8::9\"\nbefore = { same_address = 499, within = \"10s\" }\nexpect", "allow"),
];

fn cases_of(faults: &[(&str, &str, &str, &str)]) -> String {
    let mut text = "clock = \"2026-11-22T12:00:00Z\"\n".to_owned();
    for (number, (good, part, other, verdict)) in faults.iter().enumerate() {
        assert!(good.contains(part), "{part}");
        let case = good.replacen(part, other, 1).replacen("NAME", &format!("case {number}"), 1);
        text += &case.replacen("\"allow\"", &format!("{verdict:?}"), 1);
    }
    text
}

#[test]
fn every_single_fault_has_its_own_verdict() {
    let directory = place(&cases_of(FAULTS));
    let count = FAULTS.len();
    let expected =
        format!("{count} cases in 1 file: {count} passed, 0 failed (N ms); routes met: 2 of 2\n");
    assert_eq!(test(directory.path(), &RUN, 0), expected);
    // None of them would have passed with another expectation.
    let wrong = cases_of(FAULTS).swap("\"allow\"", "\"418 teapot\"");
    let wrong = FAULTS.iter().fold(wrong, |text, (.., verdict)| {
        text.replace(&format!("expect = {verdict:?}"), "expect = \"418 teapot\"")
    });
    std::fs::write(directory.path().join("cases.toml"), wrong).unwrap();
    let said = test(directory.path(), &RUN, 1);
    assert!(said.contains(&format!(": 0 passed, {count} failed ")), "{said}");
}

#[test]
fn a_failure_says_where_what_and_why() {
    let wrong = GET.replacen("NAME", "reads", 1).replacen("DEMO_READ", "DEMO_WRITE", 1);
    let right = POST.replacen("NAME", "writes", 1).replacen("allow", "403 scope_insufficient", 1);
    let stranger = GET.replacen("expect", "certificate = { trusted = false }\nexpect", 1);
    let directory = place(&(wrong + &right + &stranger.replacen("NAME", "stranger", 1)));
    let at = directory.path();
    let expected = "FAILED cases.toml:2 GET /open-insurance/demo/v1/things/4711: reads
  expected  allow
  got       403 consent_permission
  because   the consent lacks the permission of the route
  permission: wanted DEMO_READ, found DEMO_WRITE

FAILED cases.toml:10 POST /open-insurance/demo/v1/things: writes
  expected  403 scope_insufficient
  got       allow

FAILED cases.toml:18 GET /open-insurance/demo/v1/things/4711: stranger
  expected  allow
  got       handshake unknown_issuer

3 cases in 1 file: 0 passed, 3 failed (N ms); routes met: 2 of 2
";
    assert_eq!(test(at, &RUN, 1), expected);
    let json = said(at, &[&["test"], &RUN[..], &["--json"]].concat(), 1);
    let json: Json = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["cases"], &json["routes_met"]), (&3.into(), &2.into()));
    let first = &json["failures"][0];
    let compared = json!({"what": "permission", "wanted": "DEMO_READ", "found": "DEMO_WRITE"});
    assert_eq!(first["compared"], compared);
    assert_eq!((&first["line"], &first["got"]), (&2.into(), &"403 consent_permission".into()));
}

/// One change of a good file each, and the exact complaint.
#[rustfmt::skip]
const MISTAKES: &[(&str, &str, &str)] = &[
    ("expect = \"allow\"\n", "", "cases.toml:2 cases[0].expect: is missing, accepted: \"allow\", a refusal such as \"403 scope_insufficient\", or \"handshake expired\""),
    ("\"allow\"", "\"deny\"", "cases.toml:8 cases[0].expect: \"deny\" is not understood, accepted: \"allow\", a refusal such as \"403 scope_insufficient\", or \"handshake expired\""),
    ("method = \"GET\"\n", "", "cases.toml:2 cases[0].method: is missing, accepted: a method such as \"GET\""),
    ("expect", "expekt = 1\nexpect", "cases.toml:8 cases[0].expekt: is an unknown key (meant: expect?), accepted: address, before, body, certificate, clock, consents, expect, headers, listener, method, name, path, registry, token, without"),
    ("expect", "listener = \"private\"\nexpect", "cases.toml:8 cases[0].listener: \"private\" is not understood, accepted: \"mutual\" or \"public\""),
    ("expect", "listener = \"public\"\ncertificate = \"none\"\nexpect", "cases.toml:9 cases[0].certificate: has no effect with listener = \"public\", accepted: \"mutual\""),
    ("expect", "certificate = { cpnj = \"1\" }\nexpect", "cases.toml:8 cases[0].certificate.cpnj: is an unknown key (meant: cnpj?), accepted: business_category, cnpj, common_name, country, jurisdiction, locality, not_after, not_before, organisation_id, organisation_name, purpose, software_statement_id, state, trusted"),
    ("expect", "clock = \"tomorrow\"\nexpect", "cases.toml:8 cases[0].clock: \"tomorrow\" is not understood, accepted: a time such as \"2026-11-22T12:00:00Z\""),
    ("expect", "headers = [\"accept\"]\nexpect", "cases.toml:8 cases[0].headers: \"accept\" is no field, accepted: fields such as \"x-idempotency-key: key-1\""),
    ("expect", "without = [\"accept\"]\nexpect", "cases.toml:8 cases[0].without: \"accept\" is not there anyway, accepted: host, x-fapi-interaction-id"),
    ("sub =", "exp = \"1m\", sub =", "cases.toml:6 cases[0].token.exp: \"1m\" is not understood, accepted: a time such as \"2026-11-22T12:00:00Z\", or one before or after the clock such as \"-1m\" or \"+15m\""),
    ("sub =", "without = [\"cnf\"], sub =", "cases.toml:6 cases[0].token.without: \"cnf\" is not there anyway, accepted: aud, client_id, exp, iat, iss, nbf, scope, sub"),
    ("sub =", "bound_to = \"me\", sub =", "cases.toml:6 cases[0].token.bound_to: \"me\" is not understood, accepted: \"certificate\", \"another\" or \"nothing\""),
    ("id = \"urn:x:1\"", "consent_id = \"urn:x:1\"", "cases.toml:7 cases[0].consents[0].id: is missing, accepted: the consent's id"),
    ("expect", "registry = \"unavailable\"\nexpect", "cases.toml:7 cases[0].consents: has no effect with registry = \"unavailable\", accepted: \"answers\""),
    ("expect", "before = { same_address = -1 }\nexpect", "cases.toml:8 cases[0].before.same_address: -1 is out of bounds, accepted: a whole number from 0 to 1000000"),
];

#[test]
fn each_mistake_in_a_case_is_told_exactly() {
    let directory = place("");
    let at = directory.path();
    let empty = "cases.toml:1 cases: is missing or empty, accepted: [[cases]] tables\n";
    assert_eq!(test(at, &RUN, 64), empty);
    for (good, bad, expected) in MISTAKES {
        assert!(GET.contains(good), "{good}");
        let text = GET.replacen(good, bad, 1);
        std::fs::write(at.join("cases.toml"), &text).unwrap();
        let complaints = test(at, &RUN, 64);
        assert!(complaints.lines().any(|line| line == *expected), "{expected}\nin\n{complaints}");
        let unknown = complaints.matches("is an unknown key").count();
        assert_eq!(
            unknown,
            usize::from(
                bad.contains("expekt") || bad.contains("cpnj =") || bad.contains("consent_id")
            ),
            "{complaints}"
        );
    }
    let nowhere = "nowhere.toml:0: cannot be read (No such file or directory (os error 2)), accepted: a file of cases, or a directory of them (*.toml)\n";
    assert_eq!(test(at, &["nowhere.toml", "--policies", "demo.toml"], 64), nowhere);
    std::fs::create_dir(at.join("empty")).unwrap();
    assert!(
        test(at, &["empty", "--policies", "demo.toml"], 64).starts_with("empty:0: has no cases")
    );
    assert_eq!(portaria(at, &["test"]).status.code(), Some(1), "a run of nothing is no success");
}

#[test]
fn limits_and_profile_are_those_of_the_configuration() {
    let limited = GET.replacen("expect", "before = { same_address = 2 }\nexpect", 1);
    let sandbox = GET.replacen("expect", "certificate = { jurisdiction = \"UK\" }\nexpect", 1);
    let directory = place(&(limited + &sandbox));
    let at = directory.path();
    let limits = "per_address = { requests = 2, per = \"1m\" }";
    for (config, failed) in [
        ("".to_owned(), &["401 identity_profile"][..]),
        (format!("[limits]\n{limits}\n"), &["429 limits_address", "401 identity_profile"]),
        ("[identity]\nprofile = \"opin-sandbox\"\n".to_owned(), &[]),
        (
            format!("[limits]\n{limits}\n[identity]\nprofile = \"opin-sandbox\"\n"),
            &["429 limits_address"],
        ),
    ] {
        let config = format!("{config}[token]\nnobody = \"reads this\"\n");
        std::fs::write(at.join("config.toml"), &config).unwrap();
        let said = test(at, &RUN, i32::from(!failed.is_empty()));
        let got: Vec<&str> = said.lines().filter_map(|l| l.strip_prefix("  got       ")).collect();
        assert_eq!(got, failed, "{config}");
    }
    std::fs::write(
        at.join("config.toml"),
        "[limits]\nper_address = { requests = 0, per = \"1m\" }\n",
    )
    .unwrap();
    let complaint = test(at, &RUN, 64);
    assert!(
        complaint.starts_with("config.toml:2 limits.per_address.requests: 0 is out of"),
        "{complaint}"
    );
}

/// The rules of consents are the configuration's, whatever else `[consent]` says.
#[test]
fn consents_are_judged_by_the_rules_of_the_configuration() {
    let rejected = GET.replacen("id = \"urn:x:1\"", "id = \"urn:x:1\", status = \"REJECTED\"", 1);
    let directory = place(&rejected);
    let at = directory.path();
    let initiates = POLICY.replacen("consent_use = \"read\"", "consent_use = \"initiate\"", 1);
    std::fs::write(at.join("demo.toml"), initiates).unwrap();
    for (rules, got) in [
        ("", "403 consent_not_authorised"),
        ("preset = \"ofb\"", "401 consent_not_authorised"),
        ("lapsed_initiation = \"invalid_token\"", "401 consent_not_authorised"),
    ] {
        let config = format!("[consent]\nregistry = \"http://127.0.0.1:1\"\n{rules}\n");
        std::fs::write(at.join("config.toml"), config).unwrap();
        let said = test(at, &RUN, 1);
        assert!(said.contains(&format!("  got       {got}\n")), "{rules}: {said}");
    }
    std::fs::write(at.join("config.toml"), "[consent]\npreset = \"opin\"\n").unwrap();
    let complaint = test(at, &RUN, 64);
    assert!(complaint.starts_with("config.toml:2 consent.preset: \"opin\" is not"), "{complaint}");
}

/// Where two sets of policies decide differently, the cases of the one fail under the other; and only there.
#[test]
fn the_cases_of_a_policy_fail_where_another_one_decides_differently() {
    let directory = place("");
    let at = directory.path();
    let policies = offline::read(&at.join("demo.toml")).unwrap();
    cases::write(&cases::of(&policies, &Judging::defaults().consent_rules), &at.join("kept"))
        .unwrap();
    let arguments = ["kept", "--policies", "after.toml"];
    let (mut held, mut failed) = (0, 0);
    for (edits, _, decisions) in difference::ROWS {
        let after = edits.iter().fold(POLICY.to_owned(), |text, (a, b)| text.replacen(a, b, 1));
        std::fs::write(at.join("after.toml"), &after).unwrap();
        // Cases are of one day and of no bounds. Those of the interaction id are written where the policy
        // refuses something, and what goes on in shadow mode is refused by the rules.
        let is_of_no_case = |line: &&str| {
            let others =
                ["shadow_until", "from 299", "characters", "query", "bytes", "version", "slash"];
            let is_looser = line.starts_with("allowed") && line.contains("x-fapi");
            is_looser
                || others.iter().any(|other| line.contains(other) && !line.contains("until 2998"))
        };
        let is_failure = !decisions.iter().all(is_of_no_case);
        test(at, &arguments, i32::from(is_failure));
        *(if is_failure { &mut failed } else { &mut held }) += 1;
    }
    assert!(held >= 5 && failed >= 8, "{held} held, {failed} failed");
}

/// A case of the repository as a request to the real gateway, under a consent of its own.
struct Sent {
    listener: &'static str,
    request: Request,
    expected: String,
    case: String,
}

fn text<'a>(table: &'a Table, key: &str) -> Option<&'a str> {
    table.get(key)?.as_str()
}

/// Gives the case's consents to the registry, and makes its request.
fn prepare(lab: &Lab, case: &Table, number: usize) -> Sent {
    let own =
        |text: &str| text.replace("urn:portaria:consent:", &format!("urn:portaria:{number}:"));
    for consent in case.get("consents").and_then(Value::as_array).into_iter().flatten() {
        let consent = consent.as_table().unwrap();
        let permissions =
            consent.get("permissions").and_then(Value::as_array).into_iter().flatten();
        let record = StoredConsent {
            status: text(consent, "status").unwrap_or("AUTHORISED").to_owned(),
            permissions: permissions.map(|name| name.as_str().unwrap().to_owned()).collect(),
            client_id: text(consent, "client_id").unwrap_or("client-1").to_owned(),
            expiration: Some("2300-01-01T00:00:00Z".into()),
            created: None,
            linked: None,
        };
        lab.consents.put(&own(text(consent, "id").unwrap()), record);
    }
    let method = text(case, "method").unwrap();
    let mut request = Request::new(method, &own(text(case, "path").unwrap()));
    let fields = case.get("headers").and_then(Value::as_array).into_iter().flatten();
    let fields: Vec<(&str, &str)> =
        fields.map(|field| field.as_str().unwrap().split_once(": ").unwrap()).collect();
    for field in case.get("without").and_then(Value::as_array).into_iter().flatten() {
        request = request.without(field.as_str().unwrap());
    }
    if ["POST", "PUT", "PATCH"].contains(&method) {
        request = request.content("{}");
    }
    for (name, value) in fields {
        request = request.without(name).with(name, value);
    }
    if let Some(token) = case.get("token").and_then(Value::as_table) {
        let scope = own(text(token, "scope").unwrap());
        let mut claims = lab.client_grant(&scope).claims();
        claims["client_id"] = "client-1".into();
        if let Some(subject) = text(token, "sub") {
            claims["sub"] = subject.into();
        }
        let signer = lab.authorization.signer();
        request = request.bearer(&signer.sign(&signer.header(), &claims).unwrap());
    }
    let listener = if text(case, "listener") == Some("public") { "public" } else { "mtls" };
    let expected = text(case, "expect").unwrap().to_owned();
    Sent { listener, request, expected, case: format!("{case}") }
}

/// The trial holds the gateway's verdicts against the cases; this holds the gateway against them.
#[tokio::test]
async fn the_gateway_does_what_the_kept_cases_say() {
    let limits = "\n[limits]\nglobal = { requests = 1000000, per = \"1s\" }\n\
                  per_address = { requests = 1000000, per = \"1m\" }\n";
    let lab = lab_with(|config| config + limits).await;
    let policies = offline::read(&policies()).unwrap();
    let texts =
        cases::of(&policies, &Judging::defaults().consent_rules).into_iter().map(|file| file.text);
    let tables: Vec<Table> = texts.map(|text| text.parse().unwrap()).collect();
    let cases = tables.iter().flat_map(|file| file["cases"].as_array().unwrap());
    let sent: Vec<Sent> = cases
        .enumerate()
        .map(|(number, case)| prepare(&lab, case.as_table().unwrap(), number))
        .collect();
    let mut admitted = 0;
    for listener in ["public", "mtls"] {
        let identity = (listener == "mtls").then_some(&lab.pki.one);
        let mut connection = None;
        for sent in sent.iter().filter(|sent| sent.listener == listener) {
            let mut open = match connection.take() {
                Some(open) => open,
                None => lab.connector_to(listener, identity).http1().await.unwrap(),
            };
            let response = open.exchange(&sent.request.to_bytes()).await.unwrap();
            let status = response.status.as_u16().to_string();
            match sent.expected.as_str() {
                "allow" => {
                    admitted += 1;
                    assert!(response.status.is_success(), "{}\n{response:?}", sent.case);
                }
                refusal => assert!(refusal.starts_with(&status), "{}\n{response:?}", sent.case),
            }
            assert_eq!(lab.recorded().len(), admitted, "{}", sent.case);
            connection = (response.field("connection") != Some("close")).then_some(open);
        }
    }
    let codes = || -> Vec<String> {
        let lines = lab.gateway.access_log().into_iter();
        let mut codes: Vec<String> = lines
            .filter_map(|line| Some(line["portaria.refusal.code"].as_str()?.to_owned()))
            .collect();
        codes.sort();
        codes
    };
    let mut expected: Vec<String> =
        sent.iter().filter_map(|sent| Some(sent.expected.split_once(' ')?.1.to_owned())).collect();
    expected.sort();
    assert!(expected.len() > 100, "{expected:?}");
    eventually("every refusal is logged", || async { codes().len() == expected.len() }).await;
    assert_eq!(codes(), expected);
}

/// A policy with every key that bears on an answer.
const EVERYTHING: &str = r#"api = "demo"
version = "2.1.3"
base_path = "/open-insurance/demo/v2"
class = "medium"
interaction_id = { form = "uuid", missing = "refuse", malformed = "refuse" }
upstream = "legacy"
x_v = "negotiated"
other_query = "refused"
retired_from = "2999-01-01"

[[routes]]
method = "POST"
path = "/request/{consentId}/{thingId}"
access = "consented"
scope = "demo"
permission = "DEMO_SEND"
consent_use = "initiate"
consent_parameter = "consentId"
idempotency_key = "required"
max_body_size = "1KiB"
path_parameters = [
    { name = "consentId", max_length = 8, form = "urn" },
    { name = "thingId", form = "urn" },
]

[[routes]]
method = "GET"
path = "/things"
access = "consented"
consent = "enrollment"
scope = "demo"
permission = "DEMO_READ"
consent_use = "read"
available_from = "2998-01-01"
query = [{ name = "page", least = 1, most = 2 }]

[[routes]]
method = "DELETE"
path = "/managed/{consentId}"
access = "client"
scope = "demo"
consent_parameter = "consentId"
retired_from = "2001-01-01"

[[routes]]
method = "POST"
path = "/token"
access = "certificate"
request_body = "form"
idempotency_key = "ignored"
x_v = "ignored"
available_from = "2030-01-01"
retired_from = "2030-01-01"

[[routes]]
method = "GET"
path = "/open"
access = "open"
shadow_until = "2999-01-01"
"#;

/// What is expected is what the gateway of this configuration answers.
#[test]
fn written_cases_hold_under_the_rules_of_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::write(at.join("demo.toml"), EVERYTHING).unwrap();
    for (rules, rejected) in [
        ("", "403 consent_not_authorised"),
        ("preset = \"opin-v2\"", "403 consent_not_authorised"),
        ("preset = \"opin-v3\"", "403 consent_not_authorised"),
        ("preset = \"ofb\"", "401 consent_not_authorised"),
        (
            "preset = \"ofb\"\nlapsed_initiation = \"insufficient_scope\"",
            "403 consent_not_authorised",
        ),
        ("lapsed_initiation = \"invalid_token\"", "401 consent_not_authorised"),
    ] {
        let config = format!("[consent]\nregistry = \"http://127.0.0.1:1\"\n{rules}\n");
        std::fs::write(at.join("config.toml"), config).unwrap();
        let output = at.join("kept");
        let arguments = ["policy", "cases", "--policies", "demo.toml", "-o", "kept"];
        said(at, &arguments, 0);
        let written: Table =
            std::fs::read_to_string(output.join("demo.toml")).unwrap().parse().unwrap();
        let cases = written["cases"].as_array().unwrap();
        let expected = |name: &str, path: &str| -> Vec<&str> {
            let is_it = |case: &&Value| {
                case["name"].as_str() == Some(name) && case["path"].as_str().unwrap().contains(path)
            };
            cases.iter().filter(is_it).map(|case| case["expect"].as_str().unwrap()).collect()
        };
        assert_eq!(expected("a consent that was rejected", "/request/"), [rejected], "{rules}");
        let read = "401 consent_not_authorised";
        assert_eq!(expected("a consent that was rejected", "/things"), [read], "{rules}");
        assert_eq!(expected("HEAD", "/"), ["allow"; 2]);
        assert_eq!(expected("a slash at the end of the path", "/"), ["allow"; 4]);
        assert_eq!(expected("any version of its major", "/"), ["allow"; 4]);
        let next = ["406 version_unsupported"; 4];
        assert_eq!(expected("a version of the next major", "/"), next);
        assert_eq!(expected("from its last day on", "/token"), ["404 route_retired"]);
        let early = "404 route_not_yet_available";
        assert_eq!(expected("before its first day", "/things"), [early]);
        let said = test(at, &["kept", "--policies", "demo.toml"], 0);
        assert!(said.contains(" 0 failed "), "{said}");
    }
    // A configuration that says something wrong says so.
    std::fs::write(at.join("config.toml"), "[consent]\npreset = \"opin\"\n").unwrap();
    let arguments = ["policy", "cases", "--policies", "demo.toml", "-o", "kept"];
    let complaint = said(at, &arguments, 64);
    assert!(complaint.starts_with("config.toml:2 consent.preset: \"opin\" is not"), "{complaint}");
}
