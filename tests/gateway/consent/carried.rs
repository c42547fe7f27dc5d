//! Consents of which the token itself tells: by claims or by `authorization_details` (RFC 9396), in a signed
//! token or in what introspection says of an opaque one.

use serde_json::{Value, json};

use super::{CLAIM, CLAIM_PERMISSION, CONSENTS, PERMISSION, lab_with_policy, patient};
use crate::harness::*;

const CODE: &str = "CONSENTIMENTO_NAO_AUTORIZADO";
const TYPE: &str = "urn:x:consent";
pub const ID: &str = "urn:x:1";

const POLICY: &str = r#"api = "demo"
version = "1.0.0"
base_path = "/demo/v1"
class = "medium"
interaction_id = { form = "uuid", missing = "mint", malformed = "refuse" }
upstream = "legacy"

[[routes]]
method = "GET"
path = "/policies"
access = "consented"
scope = "demo"
permission = "ReadPolicies"
consent_use = "read"

[[routes]]
method = "POST"
path = "/claims"
access = "consented"
scope = "demo"
permission = "CREATE_CLAIMS"
consent_use = "initiate"
idempotency_key = "ignored"

[[routes]]
method = "POST"
path = "/quotes"
access = "client"
scope = "demo"
idempotency_key = "ignored"
"#;

pub const DETAILS: &str = r#"
details_type = "urn:x:consent"
id = "/consentId"
status = "/status"
permissions = "/permissions"
expiration = "/expirationDateTime"
"#;

/// A lab without a registry.
pub async fn lab_told(carrying: &str, settings: &str) -> (Lab, tempfile::TempDir) {
    let (lab, policies) = lab_with_policy("", POLICY).await;
    lab.rewrite_config(|config| told(config, carrying, settings));
    crate::reload::reload(&lab, "configuration reloaded").await;
    (lab, policies)
}

fn told(config: String, carrying: &str, settings: &str) -> String {
    let registry = config.lines().find(|line| line.starts_with("registry = ")).unwrap().to_owned();
    let source = format!("source = \"token\"\n{settings}");
    let table = format!("[token.consent]{carrying}\n[[token.issuers]]");
    config.swap(&registry, &source).swap("[[token.issuers]]", &table)
}

pub fn consent() -> Value {
    json!({
        "type": TYPE,
        "consentId": ID,
        "status": "AUTHORISED",
        "permissions": ["CREATE_CLAIMS", "ReadPolicies"],
        "expirationDateTime": "2200-01-01T00:00:00Z",
    })
}

/// The claims of a customer's token; `more` beside the usual ones.
pub fn claims(lab: &Lab, more: &Value) -> Value {
    let mut grant = lab.client_grant("openid demo");
    grant.subject = Some("customer".into());
    let mut claims = grant.claims();
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// A signed and an opaque token of the same claims.
fn tokens(lab: &Lab, more: &Value) -> [String; 2] {
    let claims = claims(lab, more);
    let signer = lab.authorization.signer();
    let opaque = format!("opaque-{}", uuid::Uuid::new_v4().simple());
    lab.authorization.put_opaque(&opaque, claims.clone());
    [signer.sign(&signer.header(), &claims).unwrap(), opaque]
}

pub fn details(elements: &[Value]) -> Value {
    json!({"authorization_details": elements})
}

pub fn policies_of(token: &str) -> Request {
    Request::get("/demo/v1/policies").bearer(token)
}

fn claim_of(token: &str, demand: &str) -> Request {
    Request::new("POST", &format!("/demo/v1/claims{demand}")).content("{}").bearer(token)
}

async fn assert_stopped(lab: &Lab, request: &Request, status: u16, code: &str) {
    let reached = lab.recorded().len();
    assert_refused(&lab.send(request).await, status, code);
    assert_eq!(lab.recorded().len(), reached);
}

#[tokio::test]
async fn details_of_the_type_say_what_the_consent_permits() {
    let (lab, _policies) = lab_told(DETAILS, "").await;
    for token in tokens(&lab, &details(&[json!({"type": "urn:x:other"}), consent()])) {
        assert_eq!(lab.send(&policies_of(&token)).await.status, 200);
        assert_eq!(lab.last_recorded().field("x-portaria-consent-id"), Some(ID));
    }
    let mut other = consent();
    other["permissions"] = json!(["CREATE_CLAIMS", "ReadPoliciesMotor"]);
    for token in tokens(&lab, &details(&[other])) {
        assert_stopped(&lab, &policies_of(&token), 403, "PERMISSAO_INSUFICIENTE").await;
    }
    assert_eq!(lab.consents.lookups(), 0);
}

#[tokio::test]
async fn a_token_that_says_nothing_of_its_consent_is_refused() {
    let (lab, _policies) = lab_told(DETAILS, "").await;
    let scope = json!({"scope": format!("openid demo consent:{ID}")});
    let other = details(&[json!({"type": "urn:x:other"})]);
    for more in [json!({}), scope, other, details(&[])] {
        for token in tokens(&lab, &more) {
            assert_stopped(&lab, &policies_of(&token), 403, CODE).await;
        }
    }
    lab.assert_untouched();
    // A client's own token has no consent to speak of.
    let own = lab.client_token("demo");
    let quote = Request::new("POST", "/demo/v1/quotes").content("{}").bearer(&own);
    assert_eq!(lab.send(&quote).await.status, 201);
}

#[tokio::test]
async fn half_a_consent_refuses_the_token() {
    let (lab, _policies) = lab_told(DETAILS, "").await;
    let mut cases = vec![
        details(&[consent(), consent()]),
        details(&[json!("urn:x:consent")]),
        details(&[json!({"consentId": ID})]),
        json!({"authorization_details": consent()}),
        json!({"authorization_details": null}),
    ];
    for (member, value) in [
        ("consentId", json!(7)),
        ("status", json!("ACTIVE")),
        ("permissions", json!("ReadPolicies")),
        ("permissions", json!(["ReadPolicies", 7])),
        ("expirationDateTime", json!("2024-03-28T15:27:13+030")),
    ] {
        let mut changed = consent();
        changed[member] = value;
        cases.push(details(&[changed.clone()]));
        changed.as_object_mut().unwrap().remove(member);
        cases.push(details(&[changed]));
    }
    // The scope names another consent than the details.
    let mut contradicting = details(&[consent()]);
    contradicting["scope"] = json!("openid demo consent:urn:x:2");
    cases.push(contradicting);
    for more in &cases {
        for token in tokens(&lab, more) {
            assert_stopped(&lab, &policies_of(&token), 401, "TOKEN_INVALIDO").await;
        }
    }
    lab.assert_untouched();
}

#[tokio::test]
async fn the_state_and_the_end_are_judged_as_the_preset_has_it() {
    for (settings, member, value, reading, initiating) in [
        ("", "status", json!("REJECTED"), 401, 403),
        ("", "status", json!("AWAITING_AUTHORISATION"), 401, 403),
        ("", "status", json!("CONSUMED"), 401, 403),
        ("", "expirationDateTime", json!("2020-01-01T00:00:00Z"), 401, 403),
        ("preset = \"ofb\"", "status", json!("REJECTED"), 401, 401),
        ("preset = \"ofb\"", "expirationDateTime", json!(null), 200, 200),
        ("", "expirationDateTime", json!("2300-01-01T00:00:00Z"), 200, 200),
    ] {
        let (lab, _policies) = lab_told(DETAILS, settings).await;
        let mut changed = consent();
        changed[member] = value;
        for token in tokens(&lab, &details(&[changed.clone()])) {
            // A 200 to an initiation consumes nothing.
            let claim = claim_of(&token, "?lab=status:200");
            for (request, expected) in [(policies_of(&token), reading), (claim, initiating)] {
                if expected == 200 {
                    assert_eq!(lab.send(&request).await.status, 200, "{settings} {changed}");
                } else {
                    assert_stopped(&lab, &request, expected, CODE).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn members_may_have_other_names() {
    let carrying = r#"
details_type = "urn:openfinanceuae:insurance-consent:v1.0-draft3"
details_type_member = "Type"
id = "/Consent/ConsentId"
status = "implied"
permissions = "/Consent/Permissions"
expiration = "/Consent/ExpirationDateTime"
"#;
    let (lab, _policies) = lab_told(carrying, "").await;
    let id = "6a6a826f-0930-4eb0-b365-a8eac3032828";
    let element = |permission: &str, expiration: &str| {
        details(&[json!({
            "Type": "urn:openfinanceuae:insurance-consent:v1.0-draft3",
            "Consent": {
                "ConsentId": id,
                "Permissions": [permission],
                "ExpirationDateTime": expiration,
            },
        })])
    };
    let later = "2200-03-28T15:27:13+03:00";
    for token in tokens(&lab, &element("ReadPolicies", later)) {
        assert_eq!(lab.send(&policies_of(&token)).await.status, 200);
        assert_eq!(lab.last_recorded().field("x-portaria-consent-id"), Some(id));
    }
    for token in tokens(&lab, &element("ReadInsurancePoliciesMotor", later)) {
        assert_stopped(&lab, &policies_of(&token), 403, "PERMISSAO_INSUFICIENTE").await;
    }
    for token in tokens(&lab, &element("ReadPolicies", "2024-03-28T15:27:13+03:00")) {
        assert_stopped(&lab, &policies_of(&token), 401, CODE).await;
    }
}

#[tokio::test]
async fn the_claims_themselves_may_say_it() {
    let carrying = "\nstatus = \"/consent/state\"\npermissions = \"/permissions\"\n\
                    client_id = \"/consent/owner\"\n";
    let (lab, _policies) = lab_told(carrying, "").await;
    let more = |state: &str, owner: &str| {
        json!({
            "scope": format!("openid demo consent:{ID}"),
            "consent": {"state": state, "owner": owner},
            "permissions": ["ReadPolicies"],
        })
    };
    for token in tokens(&lab, &more("AUTHORISED", CLIENT_ONE)) {
        assert_eq!(lab.send(&policies_of(&token)).await.status, 200);
    }
    for refused in [more("REJECTED", CLIENT_ONE), more("AUTHORISED", CLIENT_TWO)] {
        for token in tokens(&lab, &refused) {
            let answer = lab.send(&policies_of(&token)).await;
            assert!(matches!(answer.status.as_u16(), 401 | 403), "{answer:?}");
        }
    }
    assert_eq!(lab.recorded().len(), 2);
}

#[tokio::test]
async fn an_initiation_consumes_what_the_token_goes_on_to_tell() {
    let (lab, _policies) = lab_told(DETAILS, "").await;
    for (number, demand, is_consumed) in [
        (1, "", true),
        (2, "?lab=status:422", true),
        (3, "?lab=status:500", false),
        (4, "?lab=close", false),
    ] {
        let mut own = consent();
        own["consentId"] = json!(format!("urn:x:own-{number}"));
        let [signed, opaque] = tokens(&lab, &details(&[own]));
        let _ = lab.http1().await.exchange(&claim_of(&signed, demand).to_bytes()).await;
        for token in [signed, opaque] {
            if is_consumed {
                assert_stopped(&lab, &claim_of(&token, ""), 403, CODE).await;
                assert_stopped(&lab, &policies_of(&token), 401, CODE).await;
            } else {
                assert_eq!(lab.send(&policies_of(&token)).await.status, 200, "{demand}");
            }
        }
    }
}

/// A lab with the shipped policies: the registry says whose a consent is, the token what it permits.
async fn lab_with_both() -> Lab {
    let both = |config: String| {
        let table = format!("[token.consent]{DETAILS}\n[[token.issuers]]");
        patient(config)
            .swap("keep = \"5m\"", "keep = \"5m\"\nsource = \"token\"")
            .swap("[[token.issuers]]", &table)
    };
    lab_with(both).await
}

/// A token under a consent of the store, issued so many seconds from now.
fn token_under(lab: &Lab, id: &str, seconds: u64) -> String {
    let mut own = consent();
    own["consentId"] = json!(id);
    own["permissions"] = json!([PERMISSION, CLAIM_PERMISSION]);
    let mut claims = claims(lab, &details(&[own]));
    claims["scope"] = json!("openid insurance-auto claim-notification");
    claims["iat"] = json!(claims["iat"].as_u64().unwrap() + seconds);
    let signer = lab.authorization.signer();
    signer.sign(&signer.header(), &claims).unwrap()
}

#[tokio::test]
async fn after_a_deletion_the_old_token_is_refused() {
    let lab = lab_with_both().await;
    for (demand, status, is_over) in [
        ("", 204, true),
        ("?lab=status:500", 500, true),
        ("?lab=close", 503, true),
        ("?lab=status:404", 404, false),
        ("?lab=status:422", 422, false),
    ] {
        let id = lab.consent(&[PERMISSION]);
        let token = token_under(&lab, &id, 0);
        let read = Request::get(super::AUTO).bearer(&token);
        assert_eq!(lab.send(&read).await.status, 200);
        let own = lab.client_token("consents");
        let delete = Request::new("DELETE", &format!("{CONSENTS}/{id}{demand}")).bearer(&own);
        assert_eq!(lab.send(&delete).await.status, status);
        if is_over {
            assert_stopped(&lab, &read, 401, CODE).await;
        } else {
            assert_eq!(lab.send(&read).await.status, 200, "{demand}");
        }
        // What nobody knows the outcome of, the next token tells; what was deleted stays so.
        let next = || Request::get(super::AUTO).bearer(&token_under(&lab, &id, 5));
        if demand.is_empty() {
            assert_stopped(&lab, &next(), 401, CODE).await;
        } else {
            let is_believed = || async { lab.send(&next()).await.status == 200 };
            eventually("a newer token is believed", is_believed).await;
        }
    }
}

#[tokio::test]
async fn the_path_must_name_the_consent_of_the_details() {
    let lab = lab_with_both().await;
    let (own, other) = (lab.consent(&[CLAIM_PERMISSION]), lab.consent(&[CLAIM_PERMISSION]));
    let token = token_under(&lab, &own, 0);
    let claim = |id: &str| Request::post(&format!("{CLAIM}/{id}"), "{}").bearer(&token);
    assert_stopped(&lab, &claim(&other), 403, CODE).await;
    assert_eq!(lab.send(&claim(&own)).await.status, 201);
}

#[tokio::test]
async fn a_used_up_consent_initiates_nothing_though_its_token_says_otherwise() {
    let (lab, _policies) = lab_told(DETAILS, "").await;
    let [token, _] = tokens(&lab, &details(&[consent()]));
    assert_eq!(lab.send(&claim_of(&token, "")).await.status, 201);
    assert_stopped(&lab, &claim_of(&token, ""), 403, CODE).await;
}
