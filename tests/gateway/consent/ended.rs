//! Consents that ended before the gateway's eyes stay ended, whatever a registry says that learns of it
//! late.

use super::{CLAIM, CLAIM_PERMISSION, CONSENTS, PERMISSION, lab_saying, read};
use crate::harness::*;
use crate::reload::reload;

const CODE: &str = "CONSENTIMENTO_NAO_AUTORIZADO";

/// An initiation whose backend answers as `demand` says.
fn initiation(lab: &Lab, consent: &str, demand: &str) -> Request {
    let token = lab.user_token("claim-notification", consent);
    Request::post(&format!("{CLAIM}/{consent}{demand}"), "{}").bearer(&token)
}

async fn assert_stopped(lab: &Lab, request: &Request, status: u16) {
    let (reached, lookups) = (lab.recorded().len(), lab.consents.lookups());
    assert_refused(&lab.send(request).await, status, CODE);
    assert_eq!(lab.recorded().len(), reached);
    assert_eq!(lab.consents.lookups(), lookups, "nobody needs to be asked");
}

#[tokio::test]
async fn an_initiation_answered_201_or_422_consumes_its_consent() {
    for (settings, demand, is_consumed) in [
        ("", "", true),
        ("", "?lab=status:422", true),
        ("", "?lab=status:200", false),
        ("", "?lab=status:400", false),
        ("", "?lab=status:409", false),
        ("", "?lab=status:500", false),
        ("", "?lab=status:503", false),
        ("", "?lab=close", false),
        ("consumed_after = \"201\"", "", true),
        ("consumed_after = \"201\"", "?lab=status:422", false),
        ("consumed_after = \"never\"", "", false),
        ("preset = \"ofb\"", "", false),
        ("preset = \"ofb\"", "?lab=status:422", false),
    ] {
        let lab = lab_saying(settings).await;
        let consent = lab.consent(&[CLAIM_PERMISSION]);
        let request = initiation(&lab, &consent, demand);
        let _ = lab.http1().await.exchange(&request.to_bytes()).await;
        assert!(!lab.recorded().is_empty());
        // The registry has not heard of it.
        lab.consents.set_status(&consent, "AUTHORISED");
        let again = initiation(&lab, &consent, "");
        if is_consumed {
            assert_stopped(&lab, &again, 403).await;
        } else {
            assert_eq!(lab.send(&again).await.status, 201, "{settings} {demand}");
        }
    }
}

#[tokio::test]
async fn a_refusal_of_the_gateway_itself_consumes_nothing() {
    let lab = lab_saying("").await;
    let consent = lab.consent(&[CLAIM_PERMISSION]);
    let keyless = initiation(&lab, &consent, "").without("x-idempotency-key");
    assert_refused(&lab.send(&keyless).await, 422, "ERRO_IDEMPOTENCIA");
    lab.assert_untouched();
    assert_eq!(lab.send(&initiation(&lab, &consent, "")).await.status, 201);
}

#[tokio::test]
async fn a_consumed_consent_ends_reading_too() {
    let lab = lab_saying("").await;
    let consent = lab.consent(&[CLAIM_PERMISSION, PERMISSION]);
    assert_eq!(lab.send(&read(&lab, &consent)).await.status, 200);
    assert_eq!(lab.send(&initiation(&lab, &consent, "")).await.status, 201);
    lab.consents.set_status(&consent, "AUTHORISED");
    assert_stopped(&lab, &read(&lab, &consent), 401).await;
}

#[tokio::test]
async fn a_deleted_consent_stays_deleted() {
    let lab = lab_saying("").await;
    let (consent, other) = (lab.consent(&[PERMISSION]), lab.consent(&[PERMISSION]));
    let request = read(&lab, &consent);
    assert_eq!(lab.send(&request).await.status, 200);
    let token = lab.client_token("consents");
    let target = format!("{CONSENTS}/{consent}");
    let delete = Request::new("DELETE", &target).bearer(&token);
    assert_eq!(lab.send(&delete).await.status, 204);
    lab.consents.set_status(&consent, "AUTHORISED");
    assert_stopped(&lab, &request, 401).await;
    // Its owner may go on managing it, and no other consent is concerned.
    assert_eq!(lab.send(&Request::get(&target).bearer(&token)).await.status, 200);
    assert_eq!(lab.send(&read(&lab, &other)).await.status, 200);
}

#[tokio::test]
async fn a_deletion_that_the_backend_declines_is_none() {
    let lab = lab_saying("").await;
    for demand in ["?lab=status:422", "?lab=status:500", "?lab=close"] {
        let consent = lab.consent(&[PERMISSION]);
        let target = format!("{CONSENTS}/{consent}{demand}");
        let delete = Request::new("DELETE", &target).bearer(&lab.client_token("consents"));
        assert!(!lab.send(&delete).await.status.is_success());
        assert_eq!(lab.send(&read(&lab, &consent)).await.status, 200, "{demand}");
    }
}

#[tokio::test]
async fn another_configuration_knows_what_ended_under_the_one_before() {
    let lab = lab_saying("").await;
    let consent = lab.consent(&[CLAIM_PERMISSION]);
    assert_eq!(lab.send(&initiation(&lab, &consent, "")).await.status, 201);
    lab.consents.set_status(&consent, "AUTHORISED");
    lab.rewrite_config(|config| config.swap("keep = \"5m\"", "keep = \"4m\""));
    reload(&lab, "configuration reloaded").await;
    assert_stopped(&lab, &initiation(&lab, &consent, ""), 403).await;
}

#[tokio::test]
async fn what_ended_is_remembered_for_as_long_as_configured() {
    let lab = lab_saying("remember_ended = \"1s\"").await;
    let consent = lab.consent(&[CLAIM_PERMISSION]);
    assert_eq!(lab.send(&initiation(&lab, &consent, "")).await.status, 201);
    lab.consents.set_status(&consent, "AUTHORISED");
    let again = initiation(&lab, &consent, "?lab=status:500");
    eventually("the registry is believed again", || async { lab.send(&again).await.status == 500 })
        .await;
}
