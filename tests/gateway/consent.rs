//! The customer's consent: whose it is, in which state, for what; and what ends what is kept of it.

use portaria::lab::consents::StoredConsent;
use serde_json::json;

use crate::harness::*;

mod carried;
mod ended;
mod event;
mod hostile;
mod outage;
mod preset;
pub mod purge;
mod races;
mod stale;
mod two;

const AUTO: &str = "/open-insurance/insurance-auto/v2/insurance-auto";
const CONSENTS: &str = "/open-insurance/consents/v3/consents";
const PERMISSION: &str = "DAMAGES_AND_PEOPLE_AUTO_READ";
const CLAIM: &str = "/open-insurance/claim-notification/v2/request/damage";
const CLAIM_PERMISSION: &str = "CLAIM_NOTIFICATION_REQUEST_DAMAGE_CREATE";

fn read(lab: &Lab, consent: &str) -> Request {
    Request::get(AUTO).bearer(&lab.user_token("insurance-auto", consent))
}

fn claim(lab: &Lab, consent: &str) -> Request {
    let token = lab.user_token("claim-notification", consent);
    Request::post(&format!("{CLAIM}/{consent}"), "{}").bearer(&token)
}

/// A lab whose `[consent]` says more.
async fn lab_saying(settings: &str) -> Lab {
    let settings = format!("keep = \"5m\"\n{settings}");
    lab_with(|config| patient(config).swap("keep = \"5m\"", &settings)).await
}

/// Tests of consents do not ask how long a caller or a backend may take, nor how many requests fit in a
/// minute: a busy machine may be slow, an idle one fast.
fn patient(config: String) -> String {
    let limits = "\n[limits]\nglobal = { requests = 1000000, per = \"1s\" }\n\
                  per_address = { requests = 1000000, per = \"1m\" }\n";
    config.swap("\"500ms\"", "\"9s\"").swap("\"1s\"", "\"9s\"") + limits
}

/// A lab whose `[consent]` says more, with one policy, of its own.
async fn lab_with_policy(settings: &str, policy: &str) -> (Lab, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("own.toml"), policy).unwrap();
    let settings = format!("keep = \"5m\"\n{settings}");
    let (shipped, own) = (policies().display().to_string(), directory.path().display().to_string());
    let change = |config| patient(config).swap(&shipped, &own).swap("keep = \"5m\"", &settings);
    (lab_with(change).await, directory)
}

#[tokio::test]
async fn an_authorised_consent_with_the_permission_is_admitted() {
    let lab = lab().await;
    let consent = lab.consent(&["RESOURCES_READ", PERMISSION]);
    assert_eq!(lab.send(&read(&lab, &consent)).await.status, 200);
    assert_eq!(lab.last_recorded().field("x-portaria-consent-id"), Some(consent.as_str()));
}

#[tokio::test]
async fn reading_needs_an_authorised_consent() {
    let lab = lab().await;
    for status in ["AWAITING_AUTHORISATION", "REJECTED", "CONSUMED"] {
        let consent = lab.consents.create(CLIENT_ONE, &[PERMISSION], status);
        let response = lab.send(&read(&lab, &consent)).await;
        assert_refused(&response, 401, "CONSENTIMENTO_NAO_AUTORIZADO");
        assert_eq!(response.field("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    }
    lab.assert_untouched();
}

#[tokio::test]
async fn initiating_without_an_authorised_consent_is_403() {
    let lab = lab().await;
    for status in ["AWAITING_AUTHORISATION", "REJECTED", "CONSUMED"] {
        let consent = lab.consents.create(CLIENT_ONE, &[CLAIM_PERMISSION], status);
        assert_refused(
            &lab.send(&claim(&lab, &consent)).await,
            403,
            "CONSENTIMENTO_NAO_AUTORIZADO",
        );
    }
    lab.assert_untouched();
}

#[tokio::test]
async fn expiry_is_judged_when_the_consent_is_used() {
    let lab = lab().await;
    let put = |id: &str, expiration: Option<&str>| {
        let record = StoredConsent {
            status: "AUTHORISED".into(),
            permissions: vec![PERMISSION.into()],
            client_id: CLIENT_ONE.into(),
            expiration: expiration.map(str::to_owned),
            ..StoredConsent::default()
        };
        lab.consents.put(id, record);
        read(&lab, id)
    };
    let past = put("urn:x:past", Some("2020-01-01T00:00:00Z"));
    assert_refused(&lab.send(&past).await, 401, "CONSENTIMENTO_NAO_AUTORIZADO");
    lab.assert_untouched();
    for (id, expiration) in [
        ("urn:x:dummy", Some("2300-01-01T00:00:00Z")),
        ("urn:x:offset", Some("2099-12-31T21:00:00-03:00")),
    ] {
        assert_eq!(lab.send(&put(id, expiration)).await.status, 200, "{id}");
    }
}

#[tokio::test]
async fn a_consent_without_expiration_is_judged_as_configured() {
    for (missing, status) in [("refuse", 503), ("never_expires", 200)] {
        let key = format!("keep = \"5m\"\nmissing_expiration = \"{missing}\"");
        let lab = lab_with(|config| config.swap("keep = \"5m\"", &key)).await;
        let record = StoredConsent {
            status: "AUTHORISED".into(),
            permissions: vec![PERMISSION.into()],
            client_id: CLIENT_ONE.into(),
            ..StoredConsent::default()
        };
        lab.consents.put("urn:x:1", record);
        assert_eq!(lab.send(&read(&lab, "urn:x:1")).await.status, status);
        assert_eq!(lab.recorded().len(), usize::from(status == 200));
    }
}

#[tokio::test]
async fn a_consent_without_the_routes_permission_is_refused() {
    let lab = lab().await;
    let consent = lab.consent(&["RESOURCES_READ", "DAMAGES_AND_PEOPLE_AUTO_CLAIM_READ"]);
    assert_refused(&lab.send(&read(&lab, &consent)).await, 403, "PERMISSAO_INSUFICIENTE");
    let none = lab.consent(&[]);
    assert_refused(&lab.send(&read(&lab, &none)).await, 403, "PERMISSAO_INSUFICIENTE");
    lab.assert_untouched();
}

#[tokio::test]
async fn another_clients_consent_is_refused() {
    let lab = lab().await;
    let consent = lab.consents.create(CLIENT_TWO, &[PERMISSION, CLAIM_PERMISSION], "AUTHORISED");
    assert_refused(&lab.send(&read(&lab, &consent)).await, 403, "CONSENTIMENTO_NAO_AUTORIZADO");
    assert_refused(&lab.send(&claim(&lab, &consent)).await, 403, "CONSENTIMENTO_NAO_AUTORIZADO");
    let token = lab.client_token("consents");
    for method in ["GET", "DELETE"] {
        let request = Request::new(method, &format!("{CONSENTS}/{consent}")).bearer(&token);
        assert_refused(&lab.send(&request).await, 403, "CONSENTIMENTO_NAO_AUTORIZADO");
    }
    lab.assert_untouched();
}

#[tokio::test]
async fn an_unknown_consent_is_404() {
    let lab = lab().await;
    assert_refused(
        &lab.send(&read(&lab, "urn:x:unknown")).await,
        404,
        "CONSENTIMENTO_NAO_ENCONTRADO",
    );
    let token = lab.client_token("consents");
    let request = Request::get(&format!("{CONSENTS}/urn:x:unknown")).bearer(&token);
    assert_refused(&lab.send(&request).await, 404, "CONSENTIMENTO_NAO_ENCONTRADO");
    lab.assert_untouched();
}

#[tokio::test]
async fn a_customers_token_without_consent_is_403() {
    let lab = lab().await;
    let mut grant = lab.client_grant("openid insurance-auto");
    grant.subject = Some("customer".into());
    let token = lab.authorization.issue_signed(&grant).unwrap();
    let response = lab.send(&Request::get(AUTO).bearer(&token)).await;
    assert_refused(&response, 403, "CONSENTIMENTO_NAO_AUTORIZADO");
    lab.assert_untouched();
}

#[tokio::test]
async fn each_route_admits_one_grant() {
    let lab = lab().await;
    let consent = lab.consent(&[PERMISSION]);
    let clients_own = Request::get(AUTO).bearer(&lab.client_token("insurance-auto"));
    assert_refused(&lab.send(&clients_own).await, 401, "TOKEN_INVALIDO");
    let customers = lab.user_token("consents quote-auto", &consent);
    for target in [CONSENTS, "/open-insurance/quote-auto/v2/request"] {
        let response = lab.send(&Request::post(target, "{}").bearer(&customers)).await;
        assert_refused(&response, 401, "TOKEN_INVALIDO");
    }
    lab.assert_untouched();
    // RFC 9068 tokens of client_credentials have a `sub`: the client's own id.
    let mut grant = lab.client_grant("consents");
    grant.subject = Some(CLIENT_ONE.into());
    let token = lab.authorization.issue_signed(&grant).unwrap();
    assert_eq!(lab.send(&Request::post(CONSENTS, "{}").bearer(&token)).await.status, 201);
}

#[tokio::test]
async fn the_path_must_name_the_tokens_consent() {
    let lab = lab().await;
    let (own, other) = (lab.consent(&[CLAIM_PERMISSION]), lab.consent(&[CLAIM_PERMISSION]));
    let token = lab.user_token("claim-notification", &own);
    let request = Request::post(&format!("{CLAIM}/{other}"), "{}").bearer(&token);
    assert_refused(&lab.send(&request).await, 403, "CONSENTIMENTO_NAO_AUTORIZADO");
    lab.assert_untouched();
    assert_eq!(lab.send(&claim(&lab, &own)).await.status, 201);
}

#[tokio::test]
async fn the_consent_of_a_quote_is_not_looked_up() {
    let lab = lab().await;
    let token = lab.client_token("quote-auto");
    let status = "/open-insurance/quote-auto/v2/request/urn:initiator:1%2Fa/quote-status";
    assert_eq!(lab.send(&Request::get(status).bearer(&token)).await.status, 200);
    assert_eq!(lab.consents.lookups(), 0);
}

#[tokio::test]
async fn the_consent_may_stand_in_a_claim() {
    let lab = lab_with(|config| {
        config.swap("[[token.issuers]]", "consent_claim = \"consentId\"\n[[token.issuers]]")
    })
    .await;
    let consent = lab.consent(&[PERMISSION]);
    let mut claims = lab.client_grant("insurance-auto").claims();
    claims["consentId"] = json!(consent);
    let signer = lab.authorization.signer();
    let token = signer.sign(&signer.header(), &claims).unwrap();
    assert_eq!(lab.send(&Request::get(AUTO).bearer(&token)).await.status, 200);
    // A scope and a claim that name different consents contradict each other.
    claims["scope"] = json!("insurance-auto consent:urn:x:other");
    let token = signer.sign(&signer.header(), &claims).unwrap();
    let reached = lab.recorded().len();
    assert_refused(&lab.send(&Request::get(AUTO).bearer(&token)).await, 401, "TOKEN_INVALIDO");
    assert_eq!(lab.recorded().len(), reached);
}

/// The registry decides how many permissions a consent has: a bound of consents is one of bytes, too.
#[tokio::test]
async fn a_consent_of_which_much_is_said_takes_the_room_of_many() {
    let lab = lab_with(|config| config.within("[consent]", "cache_capacity = 8")).await;
    let many: Vec<String> = (0..1_000).map(|number| format!("PERMISSION_{number:010}")).collect();
    let permissions: Vec<&str> = many.iter().map(String::as_str).chain([PERMISSION]).collect();
    let request = read(&lab, &lab.consent(&permissions));
    eventually("it is asked about again", || async {
        assert_eq!(lab.send(&request).await.status, 200);
        lab.consents.lookups() > 2
    })
    .await;
}

#[tokio::test]
async fn one_lookup_serves_all_requests_that_wait_for_it() {
    let lab = lab().await;
    let consent = lab.consent(&[PERMISSION]);
    let request = read(&lab, &consent);
    let all = tokio::join!(
        lab.send(&request),
        lab.send(&request),
        lab.send(&request),
        lab.send(&request)
    );
    for response in [all.0, all.1, all.2, all.3, lab.send(&request).await] {
        assert_eq!(response.status, 200);
    }
    assert_eq!(lab.consents.lookups(), 1);
}

#[tokio::test]
async fn a_consent_that_was_just_confirmed_is_admitted_at_once() {
    let lab = lab().await;
    let consent = lab.consents.create(CLIENT_ONE, &[PERMISSION], "AWAITING_AUTHORISATION");
    let request = read(&lab, &consent);
    assert_refused(&lab.send(&request).await, 401, "CONSENTIMENTO_NAO_AUTORIZADO");
    lab.assert_untouched();
    lab.consents.set_status(&consent, "AUTHORISED");
    assert_eq!(lab.send(&request).await.status, 200);
}

#[tokio::test]
async fn what_is_kept_of_a_consent_ends_in_time() {
    let lab = lab_with(|config| config.swap("keep = \"5m\"", "keep = \"200ms\"")).await;
    let consent = lab.consent(&[PERMISSION]);
    assert_eq!(lab.send(&read(&lab, &consent)).await.status, 200);
    lab.consents.set_status(&consent, "REJECTED");
    let request = read(&lab, &consent);
    eventually("the new state is seen", || async { lab.send(&request).await.status == 401 }).await;
}

#[tokio::test]
async fn after_a_deletion_the_very_next_request_is_refused() {
    let lab = lab().await;
    for http2 in [false, true] {
        let consent = lab.consent(&[PERMISSION]);
        let request = read(&lab, &consent);
        assert_eq!(lab.send(&request).await.status, 200);
        assert_eq!(lab.send(&request).await.status, 200, "kept");
        let token = lab.client_token("consents");
        let target = format!("{CONSENTS}/{consent}");
        let deleted = if http2 {
            let delete = http::Request::delete(format!("https://localhost{target}"))
                .header("authorization", format!("Bearer {token}"))
                .body(())
                .unwrap();
            lab.http2().await.exchange(delete, bytes::Bytes::new()).await.unwrap()
        } else {
            lab.send(&Request::new("DELETE", &target).bearer(&token)).await
        };
        assert_eq!(deleted.status, 204);
        assert_eq!(lab.consents.get(&consent).unwrap().status, "REJECTED");
        let reached = lab.recorded().len();
        assert_refused(&lab.send(&request).await, 401, "CONSENTIMENTO_NAO_AUTORIZADO");
        assert_eq!(lab.recorded().len(), reached);
    }
}

#[tokio::test]
async fn an_initiation_consumes_its_consent_at_once() {
    let lab = lab().await;
    for answer in ["", "?lab=status:422", "?lab=status:500", "?lab=truncated"] {
        let consent = lab.consent(&[CLAIM_PERMISSION]);
        let token = lab.user_token("claim-notification", &consent);
        let request = Request::post(&format!("{CLAIM}/{consent}{answer}"), "{}").bearer(&token);
        let _ = lab.http1().await.exchange(&request.to_bytes()).await;
        // Whatever the backend did with the consent, the next request is judged on it.
        lab.consents.set_status(&consent, "CONSUMED");
        let reached = lab.recorded().len();
        assert_refused(&lab.send(&request).await, 403, "CONSENTIMENTO_NAO_AUTORIZADO");
        assert_eq!(lab.recorded().len(), reached, "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_is_held_back_gains_nothing_from_a_consent_that_ends_meanwhile() {
    let lab = lab_with(|config| config.swap("\"500ms\"", "\"5s\"")).await;
    // Short: received whole before a backend is chosen. Long: passed on as it comes.
    for size in [1000, 100_000] {
        let consent = lab.consent(&[CLAIM_PERMISSION]);
        let token = lab.user_token("claim-notification", &consent);
        let request = Request::post(&format!("{CLAIM}/{consent}"), &"1".repeat(size));
        let request = request.bearer(&token).to_bytes();
        let (most, last) = request.split_at(request.len() - 1);
        let mut held_back = lab.http1().await;
        let lookups = lab.consents.lookups();
        held_back.send(most).await.unwrap();
        eventually("it is judged", || async { lab.consents.lookups() > lookups }).await;
        let token = lab.client_token("consents");
        let delete = Request::new("DELETE", &format!("{CONSENTS}/{consent}")).bearer(&token);
        assert_eq!(lab.send(&delete).await.status, 204);
        let reached = lab.recorded().len();
        let answer = held_back.exchange(last).await.unwrap();
        assert_refused(&answer, 403, "CONSENTIMENTO_NAO_AUTORIZADO");
        assert_eq!(lab.recorded().len(), reached, "{size} bytes");
    }
}

#[tokio::test]
async fn a_lookup_under_way_serves_no_request_that_comes_after_a_deletion() {
    let lab = lab().await;
    let consent = lab.consent(&[PERMISSION]);
    let request = read(&lab, &consent);
    let token = lab.client_token("consents");
    let delete = Request::new("DELETE", &format!("{CONSENTS}/{consent}")).bearer(&token);
    let (_, deleted) = tokio::join!(lab.send(&request), lab.send(&delete));
    assert_eq!(deleted.status, 204);
    assert_refused(&lab.send(&request).await, 401, "CONSENTIMENTO_NAO_AUTORIZADO");
}

#[tokio::test]
async fn a_registry_that_cannot_be_asked_is_503() {
    let mut lab = lab().await;
    let consent = lab.consent(&[PERMISSION]);
    lab.stop_registry();
    assert_refused(&lab.send(&read(&lab, &consent)).await, 503, "SERVICO_INDISPONIVEL");
    lab.assert_untouched();
}

#[tokio::test]
async fn an_answer_of_the_registry_that_is_not_understood_is_503() {
    let lab = lab().await;
    let record = |status: &str, expiration: &str| StoredConsent {
        status: status.into(),
        permissions: vec![PERMISSION.into()],
        client_id: CLIENT_ONE.into(),
        expiration: Some(expiration.into()),
        ..StoredConsent::default()
    };
    lab.consents.put("urn:x:1", record("SUSPENDED", "2099-01-01T00:00:00Z"));
    lab.consents.put("urn:x:2", record("AUTHORISED", "soon"));
    for id in ["urn:x:1", "urn:x:2"] {
        assert_refused(&lab.send(&read(&lab, id)).await, 503, "SERVICO_INDISPONIVEL");
    }
    lab.assert_untouched();
}
