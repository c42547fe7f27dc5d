//! What is kept while the registry is well, and what an outage means.

use super::hostile::{Hostile, ID, Manner, answer, lab_asking};
use super::{AUTO, CONSENTS, PERMISSION, lab_saying, read};
use crate::harness::*;
use portaria::lab::authorization::TokenContent;
use portaria::lab::consents::StoredConsent;

const NOT_FOUND: &str = "CONSENTIMENTO_NAO_ENCONTRADO";

#[tokio::test]
async fn a_registry_that_fails_is_left_alone_for_a_while() {
    let registry = Hostile::start(Manner::Says(answer("500", "", ""))).await;
    let url = format!("http://{}", registry.address);
    let patient = |config: String| config.swap("open_for = \"100ms\"", "open_for = \"5m\"");
    let lab = lab_asking(&url, "").await;
    lab.rewrite_config(patient);
    crate::reload::reload(&lab, "configuration reloaded").await;
    for _ in 0..3 {
        assert_refused(&lab.send(&read(&lab, ID)).await, 503, "SERVICO_INDISPONIVEL");
    }
    assert_eq!(registry.asked(), 3);
    registry.turn(Manner::Good);
    for id in [ID, "urn:x:2", "urn:x:3"] {
        assert_refused(&lab.send(&read(&lab, id)).await, 503, "SERVICO_INDISPONIVEL");
    }
    assert_eq!(registry.asked(), 3, "nobody asks");
    lab.assert_untouched();
    lab.expect_metric("portaria_open_breakers{service=\"consent_registry\"}", 1.0).await;
    lab.expect_metric("portaria_consent_lookups_total{result=\"failed\"}", 6.0).await;
    lab.gateway.expect_log("failed repeatedly and is left alone").await;
    // Another configuration asks anew.
    lab.rewrite_config(|config| config.swap("failures = 3", "failures = 4"));
    crate::reload::reload(&lab, "configuration reloaded").await;
    assert_eq!(lab.send(&read(&lab, ID)).await.status, 200);
    lab.expect_metric("portaria_open_breakers{service=\"consent_registry\"}", 0.0).await;
}

/// Whose token names a consent at which the registry fails must not have it left alone for the others.
#[tokio::test]
async fn a_client_whose_consent_the_registry_fails_at_stops_nobody_else() {
    let registry = Hostile::start(Manner::Says(answer("500", "", ""))).await;
    let lab = lab_asking(&format!("http://{}", registry.address), "").await;
    lab.rewrite_config(|config| config.swap("open_for = \"100ms\"", "open_for = \"5m\""));
    crate::reload::reload(&lab, "configuration reloaded").await;
    let own = TokenContent {
        client_id: CLIENT_TWO.into(),
        thumbprint: lab.pki.two.thumbprint(),
        ..lab.user_grant("insurance-auto", "urn:x:2")
    };
    let own = lab.authorization.issue_signed(&own).unwrap();
    let mut two = lab.connector(Some(&lab.pki.two)).http1().await.unwrap();
    let request = Request::get(AUTO).bearer(&own).to_bytes();
    for _ in 0..4 {
        let response = two.exchange(&request).await.unwrap();
        assert_refused(&response, 503, "SERVICO_INDISPONIVEL");
    }
    assert_eq!(registry.asked(), 3, "it is left alone");
    lab.assert_untouched();
    registry.turn(Manner::Good);
    assert_eq!(lab.send(&read(&lab, ID)).await.status, 200, "for client two alone");
    assert_refused(&two.exchange(&request).await.unwrap(), 503, "SERVICO_INDISPONIVEL");
    lab.expect_metric("portaria_open_breakers{service=\"consent_registry\"}", 1.0).await;
}

#[tokio::test]
async fn one_question_tries_whether_the_registry_is_back() {
    let registry = Hostile::start(Manner::Says(answer("500", "", ""))).await;
    let lab = lab_asking(&format!("http://{}", registry.address), "").await;
    let request = read(&lab, ID);
    eventually("it is left alone", || async {
        assert_refused(&lab.send(&request).await, 503, "SERVICO_INDISPONIVEL");
        lab.gateway.log_contains("failed repeatedly")
    })
    .await;
    lab.assert_untouched();
    registry.turn(Manner::Good);
    eventually("it is back", || async { lab.send(&request).await.status == 200 }).await;
    lab.gateway.expect_log("the consent registry is asked again").await;
    lab.expect_metric("portaria_open_breakers{service=\"consent_registry\"}", 0.0).await;
}

#[tokio::test]
async fn questions_that_have_no_answer_are_no_outage() {
    let lab = lab_saying("breaker = { failures = 2, open_for = \"5m\" }").await;
    let odd = StoredConsent {
        status: "SUSPENDED".into(),
        client_id: CLIENT_ONE.into(),
        ..StoredConsent::default()
    };
    for number in 0..5 {
        let id = format!("urn:x:unknown-{number}");
        assert_refused(&lab.send(&read(&lab, &id)).await, 404, NOT_FOUND);
        lab.consents.put("urn:x:odd", odd.clone());
        assert_refused(&lab.send(&read(&lab, "urn:x:odd")).await, 503, "SERVICO_INDISPONIVEL");
    }
    lab.assert_untouched();
    let consent = lab.consent(&[PERMISSION]);
    assert_eq!(lab.send(&read(&lab, &consent)).await.status, 200);
    lab.expect_metric("portaria_open_breakers{service=\"consent_registry\"}", 0.0).await;
}

#[tokio::test]
async fn an_unknown_consent_is_asked_for_once_in_a_while() {
    let lab = lab_saying("keep_unknown = \"1m\"").await;
    let token = lab.client_token("consents");
    let manage = Request::get(&format!("{CONSENTS}/{ID}")).bearer(&token);
    for request in [read(&lab, ID), read(&lab, ID), manage] {
        assert_refused(&lab.send(&request).await, 404, NOT_FOUND);
    }
    assert_eq!(lab.consents.lookups(), 1);
    assert_refused(&lab.send(&read(&lab, "urn:x:2")).await, 404, NOT_FOUND);
    assert_eq!(lab.consents.lookups(), 2);
    lab.assert_untouched();
    lab.expect_metric("portaria_consent_lookups_total{result=\"unknown\"}", 2.0).await;
}

#[tokio::test]
async fn a_consent_that_appears_is_seen_in_time() {
    let lab = lab_saying("keep_unknown = \"100ms\"").await;
    let request = read(&lab, ID);
    assert_refused(&lab.send(&request).await, 404, NOT_FOUND);
    lab.assert_untouched();
    let record = StoredConsent {
        status: "AUTHORISED".into(),
        permissions: vec![PERMISSION.into()],
        client_id: CLIENT_ONE.into(),
        expiration: Some("2200-01-01T00:00:00Z".into()),
        ..StoredConsent::default()
    };
    lab.consents.put(ID, record);
    eventually("it is seen", || async { lab.send(&request).await.status == 200 }).await;
}

/// Whose consent a path names is its caller's choice; a registry that chokes on some ids is well.
#[tokio::test]
async fn ids_that_one_participant_chooses_leave_the_registry_to_the_others() {
    let registry = KeyServer::start(Answering::Silent).await;
    let description = serde_json::json!({"data": {
        "consentId": ID,
        "status": "AUTHORISED",
        "permissions": [PERMISSION],
        "expirationDateTime": "2200-01-01T00:00:00Z",
        "clientId": CLIENT_ONE,
    }});
    registry.answer(&format!("/consents/{ID}"), Answering::Json(description.to_string(), ""));
    for number in 0..3 {
        let choked = Answering::Raw(answer("500", "", ""));
        registry.answer(&format!("/consents/urn:x:choke{number}"), choked);
    }
    let url = format!("http://{}", registry.address);
    let lab = lab_asking(&url, "").await;
    lab.rewrite_config(|config| config.swap("open_for = \"100ms\"", "open_for = \"5m\""));
    crate::reload::reload(&lab, "configuration reloaded").await;
    let grant = portaria::lab::authorization::TokenContent {
        client_id: CLIENT_TWO.into(),
        thumbprint: lab.pki.two.thumbprint(),
        ..lab.client_grant("consents")
    };
    let token = lab.authorization.issue_signed(&grant).unwrap();
    let mut other = lab.connector(Some(&lab.pki.two)).http1().await.unwrap();
    for number in 0..3 {
        let choked = Request::get(&format!("{CONSENTS}/urn:x:choke{number}")).bearer(&token);
        let response = other.exchange(&choked.to_bytes()).await.unwrap();
        assert_refused(&response, 503, "SERVICO_INDISPONIVEL");
    }
    assert_eq!(lab.send(&read(&lab, ID)).await.status, 200, "another participant's consent");
}
