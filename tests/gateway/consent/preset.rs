//! The rules of an ecosystem, one by one, and the settings that override them.

use std::time::{Duration, SystemTime};

use portaria::lab::consents::StoredConsent;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{CLAIM_PERMISSION, PERMISSION, claim, lab_saying, lab_with_policy, read};
use crate::harness::*;

fn record(status: &str, expiration: Option<&str>, created: Option<Duration>) -> StoredConsent {
    let created = created.map(|ago| OffsetDateTime::from(SystemTime::now() - ago));
    StoredConsent {
        status: status.into(),
        permissions: vec![PERMISSION.into(), CLAIM_PERMISSION.into()],
        client_id: CLIENT_ONE.into(),
        expiration: expiration.map(str::to_owned),
        created: created.map(|created| created.format(&Rfc3339).unwrap()),
        ..StoredConsent::default()
    }
}

const LATER: Option<&str> = Some("2200-01-01T00:00:00Z");

/// Settings, a consent, and what a read and an initiation under it get.
const CASES: &[(&str, &str, Option<&str>, u16, u16)] = &[
    ("preset = \"opin-v2\"", "AUTHORISED", LATER, 200, 201),
    ("preset = \"opin-v2\"", "REJECTED", LATER, 401, 403),
    ("preset = \"opin-v2\"", "CONSUMED", LATER, 401, 403),
    ("preset = \"opin-v2\"", "AUTHORISED", None, 503, 503),
    ("preset = \"opin-v3\"", "CONSUMED", LATER, 401, 403),
    ("preset = \"opin-v3\"", "AUTHORISED", Some("2020-01-01T00:00:00Z"), 401, 403),
    ("preset = \"opin-v3\"", "AUTHORISED", None, 503, 503),
    ("preset = \"opin-v3\"\nmissing_expiration = \"never_expires\"", "AUTHORISED", None, 200, 201),
    ("preset = \"opin-v3\"\nlapsed_initiation = \"invalid_token\"", "REJECTED", LATER, 401, 401),
    ("preset = \"opin-v3\"\nconsumed_after = \"201\"", "CONSUMED", LATER, 401, 403),
    ("preset = \"opin-v3\"\nconsumed_after = \"never\"", "CONSUMED", LATER, 503, 503),
    ("preset = \"ofb\"", "AUTHORISED", LATER, 200, 201),
    ("preset = \"ofb\"", "AUTHORISED", None, 200, 201),
    ("preset = \"ofb\"", "AUTHORISED", Some("2300-01-01T00:00:00Z"), 200, 201),
    ("preset = \"ofb\"", "AUTHORISED", Some("2020-01-01T00:00:00Z"), 401, 401),
    ("preset = \"ofb\"", "AWAITING_AUTHORISATION", LATER, 401, 401),
    ("preset = \"ofb\"", "REJECTED", LATER, 401, 401),
    ("preset = \"ofb\"", "CONSUMED", LATER, 503, 503),
    ("preset = \"ofb\"\nmissing_expiration = \"refuse\"", "AUTHORISED", None, 503, 503),
    ("preset = \"ofb\"\nlapsed_initiation = \"insufficient_scope\"", "REJECTED", LATER, 401, 403),
    ("preset = \"ofb\"\nconsumed_after = \"201_or_422\"", "CONSUMED", LATER, 401, 401),
];

#[tokio::test]
async fn each_preset_knows_its_states_and_what_they_mean() {
    let lab = lab_saying("").await;
    for (number, case) in CASES.iter().enumerate() {
        let (settings, status, expiration, reading, initiating) = case;
        let id = format!("urn:x:{number}");
        let case = format!("{settings}: {status} until {expiration:?}");
        let text = format!("keep = \"5m\"\n{settings}");
        lab.rewrite_config(|config| config.swap("keep = \"5m\"", &text));
        crate::reload::reload(&lab, "configuration reloaded").await;
        lab.consents.put(&id, record(status, *expiration, None));
        for (request, expected) in [(read(&lab, &id), *reading), (claim(&lab, &id), *initiating)] {
            let reached = lab.recorded().len();
            let answer = lab.send(&request).await;
            assert_eq!(answer.status, expected, "{case}: {answer:?}");
            let code = match expected {
                401 | 403 => "CONSENTIMENTO_NAO_AUTORIZADO",
                503 => "SERVICO_INDISPONIVEL",
                _ => "",
            };
            if !code.is_empty() {
                assert_refused(&answer, expected, code);
                assert_eq!(lab.recorded().len(), reached, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_confirmed_within_an_hour_is_rejected() {
    let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
    let cases = [
        ("", minutes(61), "REJECTED"),
        ("", minutes(59), "AWAITING_AUTHORISATION"),
        ("", None, "AWAITING_AUTHORISATION"),
        ("authorisation_window = \"5m\"", minutes(6), "REJECTED"),
        ("authorisation_window = \"none\"", minutes(6000), "AWAITING_AUTHORISATION"),
        ("preset = \"ofb\"", minutes(61), "REJECTED"),
    ];
    for (settings, age, state) in cases {
        let lab = lab_saying(settings).await;
        lab.consents.put("urn:x:1", record("AWAITING_AUTHORISATION", LATER, age));
        for _ in 0..2 {
            let answer = lab.send(&read(&lab, "urn:x:1")).await;
            assert_refused(&answer, 401, "CONSENTIMENTO_NAO_AUTORIZADO");
        }
        lab.assert_untouched();
        // What is final is kept; what may change with the next click of the customer is not.
        let lookups = if state == "REJECTED" { 1 } else { 2 };
        assert_eq!(lab.consents.lookups(), lookups, "{settings} {age:?}");
        eventually("both are logged", || async { lab.gateway.access_log().len() == 2 }).await;
        for line in lab.gateway.access_log() {
            assert_eq!(line["portaria.refusal.reason"], format!("the consent is {state}"));
        }
    }
}

#[tokio::test]
async fn an_hour_that_passes_is_seen_when_the_consent_is_used() {
    let lab = lab_saying("authorisation_window = \"2s\"").await;
    let awaiting = record("AWAITING_AUTHORISATION", LATER, Some(Duration::ZERO));
    lab.consents.put("urn:x:1", awaiting);
    let request = read(&lab, "urn:x:1");
    eventually("nobody wrote it down, and it is rejected", || async {
        assert_refused(&lab.send(&request).await, 401, "CONSENTIMENTO_NAO_AUTORIZADO");
        let log = lab.gateway.access_log();
        log.iter().any(|line| line["portaria.refusal.reason"] == "the consent is REJECTED")
    })
    .await;
    lab.assert_untouched();
}

const RENAMED_POLICY: &str = r#"api = "insurance-life-pension"
version = "2.0.0"
base_path = "/open-insurance/insurance-life-pension/v2"
class = "medium"
interaction_id = { form = "uuid", missing = "mint", malformed = "refuse" }
upstream = "legacy"

[[routes]]
method = "GET"
path = "/insurance-life-pension/{certificateId}/claim"
access = "consented"
scope = "insurance-life-pension"
permission = "LIFE_PENSION_CLAIM_READ"
consent_use = "read"

[[routes]]
method = "GET"
path = "/insurance-life-pension/{certificateId}/old-claim"
access = "consented"
scope = "insurance-life-pension"
permission = "LIFE_PENSION_CLAIM"
consent_use = "read"
"#;

#[tokio::test]
async fn permissions_are_accepted_under_the_names_of_both_versions() {
    for (settings, either) in [
        ("preset = \"opin-v2\"", true),
        ("preset = \"opin-v3\"", true),
        ("preset = \"opin-v3\"\nrenamed_permissions = \"refuse\"", false),
        ("preset = \"ofb\"", false),
        ("preset = \"ofb\"\nrenamed_permissions = \"accept\"", true),
    ] {
        let (lab, _policies) = lab_with_policy(settings, RENAMED_POLICY).await;
        let base = "/open-insurance/insurance-life-pension/v2/insurance-life-pension/1";
        for (held, path, same_name) in [
            ("LIFE_PENSION_CLAIM_READ", "claim", true),
            ("LIFE_PENSION_CLAIM", "claim", false),
            ("LIFE_PENSION_CLAIM_READ", "old-claim", false),
            ("LIFE_PENSION_CLAIM", "old-claim", true),
        ] {
            let consent = lab.consent(&[held]);
            let token = lab.user_token("insurance-life-pension", &consent);
            let reached = lab.recorded().len();
            let answer = lab.send(&Request::get(&format!("{base}/{path}")).bearer(&token)).await;
            if same_name || either {
                assert_eq!(answer.status, 200, "{settings} {held} {path}");
            } else {
                assert_refused(&answer, 403, "PERMISSAO_INSUFICIENTE");
                assert_eq!(lab.recorded().len(), reached);
            }
        }
    }
}
