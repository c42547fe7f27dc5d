//! `portaria policy show` and `portaria policy list`.

use serde_json::Value;

use super::{portaria, repository, said};
use crate::config::{POLICY, Sandbox};

const CONSENT: &str = "/open-insurance/consents/v3/consents";

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&said(repository(), arguments, 0)).unwrap()
}

#[test]
fn a_route_is_found_by_a_path_or_by_a_template_of_any_names() {
    for path in ["urn:x:1", "urn%3Ax%3A1%2F2?page=1", "{consentId}", "{id}", "/urn:x:1"] {
        let path = format!("{CONSENT}/{path}");
        let found = json(&["policy", "show", "delete", &path, "--json"]);
        assert_eq!(found["path"], format!("{CONSENT}/{{consentId}}"), "{path}");
        assert_eq!(found["method"], "DELETE");
    }
}

#[test]
fn everything_that_a_policy_states_of_a_route_is_shown() {
    let path = "/open-insurance/claim-notification/v2/request/damage/urn:x:1";
    let found = json(&["policy", "show", "POST", path, "--json"]);
    let rule = serde_json::json!({"form": "uuid", "missing": "refuse", "malformed": "refuse"});
    for (key, value) in [
        ("api", "claim-notification".into()),
        ("version", "2.0.0".into()),
        ("access", "consented".into()),
        ("scope", "claim-notification".into()),
        ("permission", "CLAIM_NOTIFICATION_REQUEST_DAMAGE_CREATE".into()),
        ("consent_use", "initiate".into()),
        ("consent_parameter", "consentId".into()),
        ("class", "medium".into()),
        ("interaction_id", rule),
        ("idempotency_key", "required".into()),
        ("request_body", "json".into()),
        ("upstream", "legacy".into()),
        ("file", "policies/claim-notification-v2.toml".into()),
    ] {
        assert_eq!(found[key], value, "{key}");
    }
    let file = found["file"].as_str().unwrap();
    let text = std::fs::read_to_string(repository().join(file)).unwrap();
    let line = usize::try_from(found["line"].as_u64().unwrap()).unwrap();
    assert_eq!(text.lines().nth(line - 1), Some("path = \"/request/damage/{consentId}\""));
    let table = said(repository(), &["policy", "show", "POST", path], 0);
    let lines: Vec<String> =
        table.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for expected in [
        "POST /open-insurance/claim-notification/v2/request/damage/{consentId}",
        "permission CLAIM_NOTIFICATION_REQUEST_DAMAGE_CREATE",
        "class medium (p95 at most 1500 ms)",
        "interaction_id.missing refuse",
        "consent_use initiate (a consent that is not AUTHORISED is 403)",
        &format!("stands at {file}:{line}"),
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected} in\n{table}");
    }
}

#[test]
fn what_does_not_exist_is_told_with_what_is_near() {
    for (method, path, expected) in [
        (
            "PUT",
            "/open-insurance/consents/v3/consents/1",
            "/open-insurance/consents/v3/consents/1 has no PUT, it has GET, HEAD, DELETE\n",
        ),
        (
            "PUT",
            "/open-insurance/consents/v3/consents/{id}",
            "/open-insurance/consents/v3/consents/{id} has no PUT, it has GET, DELETE\n",
        ),
        (
            "GET",
            "/open-insurance/resources/v3/resource",
            "no policy lists /open-insurance/resources/v3/resource: the gateway answers 404; near: /open-insurance/resources/v3/resources\n",
        ),
        (
            "GET",
            "/open-insurance/insurance-auto/v2/insurance-auto/4711/claims",
            "no policy lists /open-insurance/insurance-auto/v2/insurance-auto/4711/claims: the gateway answers 404; near: /open-insurance/insurance-auto/v2/insurance-auto/{policyId}/claim, /open-insurance/insurance-auto/v1/insurance-auto/{policyId}/claim, /open-insurance/insurance-auto/v2/insurance-auto/{policyId}/premium\n",
        ),
        ("GET", "/x", "no policy lists /x: the gateway answers 404\n"),
        ("GET", "/a/%2e%2e/b", "the path is refused: a dot segment\n"),
        ("GET", "", "the path is refused: not an absolute path\n"),
    ] {
        assert_eq!(said(repository(), &["policy", "show", method, path, "--json"], 1), expected);
    }
}

#[test]
fn routes_are_listed_by_scope_permission_and_api() {
    let count = |filter: &[&str]| {
        let arguments = [&["policy", "list", "--json"], filter].concat();
        json(&arguments).as_array().unwrap().len()
    };
    assert_eq!(count(&["--scope", "customers"]), 6);
    assert_eq!(count(&["--permission", "RESOURCES_READ"]), 1);
    assert_eq!(count(&["--api", "quote-auto"]), 10);
    assert_eq!(count(&["--api", "quote-auto", "--scope", "quote-auto-lead"]), 4);
    let files = std::fs::read_dir(repository().join("policies")).unwrap();
    let texts = files.filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok());
    let routes: usize = texts.map(|text| text.matches("[[routes]]").count()).sum();
    assert_eq!(count(&[]), routes);
    let table = said(repository(), &["policy", "list", "--permission", "RESOURCES_READ"], 0);
    assert_eq!(
        table,
        "METHOD  PATH                                    ACCESS     SCOPE      PERMISSION      CLASS\n\
         GET     /open-insurance/resources/v3/resources  consented  resources  RESOURCES_READ  medium\n\
         1 route\n"
    );
    for (filter, expected) in [
        (&["--scope", "customer"][..], "no route has scope customer; near: customers\n"),
        (
            &["--api", "channels", "--scope", "customers"],
            "no route has scope customers, api channels\n",
        ),
    ] {
        let arguments = [&["policy", "list"], filter].concat();
        assert_eq!(said(repository(), &arguments, 1), expected);
    }
}

#[test]
fn policies_are_those_of_the_configuration_or_those_that_are_named() {
    let sandbox = Sandbox::new();
    let at = sandbox.directory.path();
    std::fs::write(at.join("config.toml"), &sandbox.config).unwrap();
    let show = ["policy", "show", "GET", "/open-insurance/demo/v1/things/1"];
    let by_configuration = said(at, &show, 0);
    assert!(by_configuration.contains("stands at   ") && by_configuration.contains(":10"));
    let named = ["--policies", "policies/demo.toml", "-c", "nowhere.toml"];
    assert_eq!(said(at, &[&show[..], &named].concat(), 0), by_configuration);
    // An upstream is what a file says it is; everything else is a mistake as it is to the gateway.
    let policy = POLICY.replacen("upstream = \"legacy\"", "upstream = \"elsewhere\"", 1);
    std::fs::write(at.join("policies/demo.toml"), &policy).unwrap();
    assert!(said(at, &show, 0).contains("elsewhere"));
    std::fs::write(at.join("policies/demo.toml"), policy.replacen("DEMO_READ", "demo-read", 1))
        .unwrap();
    let complaint = said(at, &show, 64);
    assert_eq!(
        complaint,
        "policies/demo.toml:13 routes[0].permission: \"demo-read\" is not understood, accepted: one permission such as RESOURCES_READ\n"
    );
    for (config, expected) in [
        ("[policies]\n", "config.toml:1 policies.directory: is missing"),
        ("", "config.toml:1 policies: is missing"),
        ("[policies\n", "config.toml:1: "),
    ] {
        std::fs::write(at.join("config.toml"), config).unwrap();
        let complaint = said(at, &show, 64);
        assert!(complaint.starts_with(expected), "{complaint}");
    }
    let output = portaria(at, &["policy", "list", "--policies", "nowhere"]);
    assert_eq!(output.status.code(), Some(64));
}
