//! Tokens that are bound to a consent and to an enrollment (Open Finance Brasil, Jornada Otimizada): each
//! route is judged on the one that it needs.

use portaria::lab::consents::StoredConsent;
use serde_json::json;

use super::lab_with_policy;
use crate::harness::*;

const POLICY: &str = r#"api = "open-banking"
version = "1.0.0"
base_path = "/open-banking/v1"
class = "medium"
interaction_id = { form = "uuid", missing = "mint", malformed = "refuse" }
upstream = "legacy"

[[routes]]
method = "GET"
path = "/accounts"
access = "consented"
scope = "accounts"
permission = "ACCOUNTS_READ"
consent_use = "read"

[[routes]]
method = "POST"
path = "/payments"
access = "consented"
scope = "payments"
permission = "PAYMENTS_INITIATE"
consent_use = "initiate"
consent = "enrollment"
idempotency_key = "ignored"

[[routes]]
method = "DELETE"
path = "/consents/{consentId}"
access = "client"
scope = "consents"
consent_parameter = "consentId"

[[routes]]
method = "PATCH"
path = "/enrollments/{enrollmentId}"
access = "client"
scope = "payments"
consent_parameter = "enrollmentId"
consent = "enrollment"
idempotency_key = "ignored"
"#;

const DATA: &str = "urn:bank:data-1";
const DEVICE: &str = "urn:bank:device-1";
const CODE: &str = "CONSENTIMENTO_NAO_AUTORIZADO";

async fn lab() -> (Lab, tempfile::TempDir) {
    let (lab, policies) = lab_with_policy("preset = \"ofb\"", POLICY).await;
    put(&lab, DATA, "ACCOUNTS_READ", "AUTHORISED", None);
    put(&lab, DEVICE, "PAYMENTS_INITIATE", "AUTHORISED", Some(DATA));
    (lab, policies)
}

fn put(lab: &Lab, id: &str, permission: &str, status: &str, linked: Option<&str>) {
    let record = StoredConsent {
        status: status.into(),
        permissions: vec![permission.into()],
        client_id: CLIENT_ONE.into(),
        linked: linked.map(str::to_owned),
        ..StoredConsent::default()
    };
    lab.consents.put(id, record);
}

/// A customer's token with these scopes beside those of the guide.
fn token(lab: &Lab, scopes: &str) -> String {
    let mut grant = lab.client_grant(&format!("openid {scopes} accounts payments nrp-consents"));
    grant.subject = Some("customer".into());
    lab.authorization.issue_signed(&grant).unwrap()
}

fn both(lab: &Lab) -> String {
    token(lab, &format!("consent:{DATA} enrollment:{DEVICE}"))
}

fn accounts(token: &str) -> Request {
    Request::get("/open-banking/v1/accounts").bearer(token)
}

fn payment(token: &str) -> Request {
    Request::new("POST", "/open-banking/v1/payments").content("{}").bearer(token)
}

/// A request that is refused, and of which the backend learns nothing.
async fn assert_stopped(lab: &Lab, request: &Request, status: u16, code: &str) {
    let reached = lab.recorded().len();
    assert_refused(&lab.send(request).await, status, code);
    assert_eq!(lab.recorded().len(), reached);
}

#[tokio::test]
async fn each_route_is_judged_on_the_consent_that_it_needs() {
    let (lab, _policies) = lab().await;
    for scopes in [
        format!("consent:{DATA} enrollment:{DEVICE}"),
        format!("enrollment:{DEVICE} consent:{DATA}"),
    ] {
        let token = token(&lab, &scopes);
        assert_eq!(lab.send(&accounts(&token)).await.status, 200);
        assert_eq!(lab.last_recorded().field("x-portaria-consent-id"), Some(DATA));
        assert_eq!(lab.send(&payment(&token)).await.status, 201);
        assert_eq!(lab.last_recorded().field("x-portaria-consent-id"), Some(DEVICE));
    }
}

#[tokio::test]
async fn one_consent_that_is_not_in_force_does_not_end_the_other() {
    for state in ["AWAITING_AUTHORISATION", "REJECTED"] {
        let (lab, _policies) = lab().await;
        put(&lab, DATA, "ACCOUNTS_READ", state, None);
        let token = both(&lab);
        assert_stopped(&lab, &accounts(&token), 401, CODE).await;
        assert_eq!(lab.send(&payment(&token)).await.status, 201);
    }
    for state in [
        "AWAITING_RISK_SIGNALS",
        "AWAITING_ACCOUNT_HOLDER_VALIDATION",
        "AWAITING_ENROLLMENT",
        "REJECTED",
        "REVOKED",
    ] {
        let (lab, _policies) = lab().await;
        put(&lab, DEVICE, "PAYMENTS_INITIATE", state, Some(DATA));
        let token = both(&lab);
        assert_stopped(&lab, &payment(&token), 401, CODE).await;
        assert_eq!(lab.send(&accounts(&token)).await.status, 200);
    }
}

#[tokio::test]
async fn a_state_of_the_other_kind_cannot_be_decided_on() {
    let (lab, _policies) = lab().await;
    put(&lab, DATA, "ACCOUNTS_READ", "REVOKED", None);
    put(&lab, DEVICE, "PAYMENTS_INITIATE", "AWAITING_AUTHORISATION", None);
    let token = both(&lab);
    for request in [accounts(&token), payment(&token)] {
        assert_stopped(&lab, &request, 503, "SERVICO_INDISPONIVEL").await;
    }
}

#[tokio::test]
async fn a_consent_is_no_enrollment() {
    let (lab, _policies) = lab().await;
    // The registry that the tests have answers for any id: what is known of a consent must not be taken
    // for an enrollment's, and neither has the permission of the other.
    let swapped = token(&lab, &format!("consent:{DEVICE} enrollment:{DATA}"));
    assert_eq!(lab.send(&accounts(&both(&lab))).await.status, 200);
    let reached = lab.consents.lookups();
    assert_stopped(&lab, &payment(&swapped), 403, "PERMISSAO_INSUFICIENTE").await;
    assert_stopped(&lab, &accounts(&swapped), 403, "PERMISSAO_INSUFICIENTE").await;
    assert_eq!(lab.consents.lookups(), reached + 2, "each kind is asked for by itself");
}

#[tokio::test]
async fn a_token_without_the_consent_that_the_route_needs_is_refused() {
    let (lab, _policies) = lab().await;
    let (data, device) =
        (token(&lab, &format!("consent:{DATA}")), token(&lab, &format!("enrollment:{DEVICE}")));
    assert_stopped(&lab, &payment(&data), 403, CODE).await;
    assert_stopped(&lab, &accounts(&device), 403, CODE).await;
    assert_eq!(lab.send(&accounts(&data)).await.status, 200);
    assert_eq!(lab.send(&payment(&device)).await.status, 201);
}

#[tokio::test]
async fn two_consents_of_a_kind_are_refused() {
    let (lab, _policies) = lab().await;
    for scopes in [
        format!("consent:{DATA} consent:urn:bank:data-2 enrollment:{DEVICE}"),
        format!("consent:{DATA} enrollment:{DEVICE} enrollment:urn:bank:device-2"),
        format!("consent:{DATA} enrollment:"),
    ] {
        let token = token(&lab, &scopes);
        for request in [accounts(&token), payment(&token)] {
            assert_stopped(&lab, &request, 401, "TOKEN_INVALIDO").await;
        }
    }
    let repeated = token(&lab, &format!("enrollment:{DEVICE} enrollment:{DEVICE}"));
    assert_eq!(lab.send(&payment(&repeated)).await.status, 201);
}

#[tokio::test]
async fn revoking_the_consent_leaves_the_enrollment() {
    let (lab, _policies) = lab().await;
    let token = both(&lab);
    assert_eq!(lab.send(&accounts(&token)).await.status, 200);
    assert_eq!(lab.send(&payment(&token)).await.status, 201);
    let own = lab.client_token("consents");
    let delete = Request::new("DELETE", &format!("/open-banking/v1/consents/{DATA}")).bearer(&own);
    assert!(lab.send(&delete).await.status.is_success());
    lab.consents.set_status(DATA, "REJECTED");
    assert_stopped(&lab, &accounts(&token), 401, CODE).await;
    assert_eq!(lab.send(&payment(&token)).await.status, 201);
}

#[tokio::test]
async fn revoking_the_enrollment_ends_what_is_kept_of_both() {
    let (lab, _policies) = lab().await;
    let token = both(&lab);
    assert_eq!(lab.send(&accounts(&token)).await.status, 200);
    assert_eq!(lab.send(&payment(&token)).await.status, 201);
    lab.consents.set_status(DEVICE, "REVOKED");
    lab.consents.set_status(DATA, "REJECTED");
    let own = lab.client_token("payments");
    let target = format!("/open-banking/v1/enrollments/{DEVICE}");
    let revoke = Request::new("PATCH", &target).content("{}").bearer(&own);
    assert_eq!(lab.send(&revoke).await.status, 200);
    assert_stopped(&lab, &accounts(&token), 401, CODE).await;
    assert_stopped(&lab, &payment(&token), 401, CODE).await;
}

#[tokio::test]
async fn a_token_may_tell_of_the_consent_and_the_registry_of_the_enrollment() {
    let (lab, _policies) = lab().await;
    lab.rewrite_config(|config| {
        let table = "[token.consent]\ndetails_type = \"urn:x:consent\"\nstatus = \"implied\"\n\
                     permissions = \"/permissions\"\n[[token.issuers]]";
        config
            .swap("keep = \"5m\"", "keep = \"5m\"\nsource = \"token\"")
            .swap("[[token.issuers]]", table)
    });
    crate::reload::reload(&lab, "configuration reloaded").await;
    let issue = |seconds: u64| {
        let scopes = format!("openid consent:{DATA} enrollment:{DEVICE} accounts payments");
        let mut grant = lab.client_grant(&scopes);
        grant.subject = Some("customer".into());
        let mut claims = grant.claims();
        let element = json!({"type": "urn:x:consent", "permissions": ["ACCOUNTS_READ"]});
        claims["authorization_details"] = json!([element]);
        claims["iat"] = json!(claims["iat"].as_u64().unwrap() + seconds);
        let signer = lab.authorization.signer();
        signer.sign(&signer.header(), &claims).unwrap()
    };
    let old = issue(0);
    assert_eq!(lab.send(&accounts(&old)).await.status, 200);
    assert_eq!(lab.consents.lookups(), 0);
    assert_eq!(lab.send(&payment(&old)).await.status, 201);
    assert_eq!(lab.consents.lookups(), 1);
    let target = format!("/open-banking/v1/enrollments/{DEVICE}");
    let own = lab.client_token("payments");
    let change = Request::new("PATCH", &target).content("{}").bearer(&own);
    assert_eq!(lab.send(&change).await.status, 200);
    // What it did to the linked consent, only a token issued since can tell; of the enrollment the
    // registry does.
    assert_stopped(&lab, &accounts(&old), 401, CODE).await;
    assert_eq!(lab.send(&payment(&old)).await.status, 201);
    let is_believed = || async { lab.send(&accounts(&issue(5))).await.status == 200 };
    eventually("a newer token is believed", is_believed).await;
    // A registry that tells of consents is believed, however old the token.
    lab.rewrite_config(|config| config);
    crate::reload::reload(&lab, "configuration reloaded").await;
    assert_eq!(lab.send(&accounts(&old)).await.status, 200);
}

#[tokio::test]
async fn another_clients_enrollment_is_refused() {
    let (lab, _policies) = lab().await;
    let record = StoredConsent {
        status: "AUTHORISED".into(),
        permissions: vec!["PAYMENTS_INITIATE".into()],
        client_id: CLIENT_TWO.into(),
        ..StoredConsent::default()
    };
    lab.consents.put(DEVICE, record);
    assert_stopped(&lab, &payment(&both(&lab)), 403, CODE).await;
    let own = lab.client_token("payments");
    let target = format!("/open-banking/v1/enrollments/{DEVICE}");
    let revoke = Request::new("PATCH", &target).content("{}").bearer(&own);
    assert_stopped(&lab, &revoke, 403, CODE).await;
}
