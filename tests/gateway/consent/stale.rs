//! What an outage of the registry means to each class of routes: a refusal, or for a bounded time the last
//! answer, if it was AUTHORISED and nothing else was heard since.

use serde_json::{Value, json};

use super::hostile::{HASTY, Hostile, ID, JSON, Manner, answer, lab_asking};
use super::{CLAIM, CLAIM_PERMISSION, CONSENTS, PERMISSION, read};
use crate::harness::*;

const UNAVAILABLE: &str = "SERVICO_INDISPONIVEL";
const CODE: &str = "CONSENTIMENTO_NAO_AUTORIZADO";

fn described(changes: &[(&str, Value)]) -> Manner {
    let mut data = json!({
        "consentId": ID,
        "status": "AUTHORISED",
        "permissions": [PERMISSION, CLAIM_PERMISSION],
        "expirationDateTime": "2200-01-01T00:00:00Z",
        "clientId": CLIENT_ONE,
    });
    for (name, value) in changes {
        data[*name] = value.clone();
    }
    Manner::Says(answer("200", JSON, &json!({"data": data}).to_string()))
}

fn outage() -> Manner {
    Manner::Says(answer("503", JSON, "{}"))
}

/// A registry that described the consent, and a lab that has kept that.
async fn warm(settings: &str, manner: Manner) -> (Hostile, Lab) {
    let registry = Hostile::start(manner).await;
    let settings = format!("{HASTY}{settings}");
    let lab = lab_asking(&format!("http://{}", registry.address), &settings).await;
    lab.rewrite_config(|config| config.swap("keep = \"5m\"", "keep = \"100ms\""));
    crate::reload::reload(&lab, "configuration reloaded").await;
    let request = read(&lab, ID);
    eventually("the consent is known", || async { lab.send(&request).await.status == 200 }).await;
    (registry, lab)
}

/// Waits until the kept answer has run out and the registry was asked in vain.
async fn until_asked_in_vain(lab: &Lab, registry: &Hostile) {
    let asked = registry.asked();
    eventually("the registry is asked again", || async {
        lab.send(&read(lab, ID)).await;
        registry.asked() > asked
    })
    .await;
}

async fn assert_stopped(lab: &Lab, request: &Request, status: u16, code: &str) {
    let reached = lab.recorded().len();
    assert_refused(&lab.send(request).await, status, code);
    assert_eq!(lab.recorded().len(), reached);
}

#[tokio::test]
async fn an_outage_refuses_unless_the_class_says_otherwise() {
    for (settings, serves) in [
        ("", false),
        ("stale_for = { medium = \"refuse\" }", false),
        ("stale_for = { high = \"1h\", admin = \"1h\" }", false),
        ("stale_for = { medium = \"1h\" }", true),
    ] {
        let (registry, lab) = warm(settings, described(&[])).await;
        for manner in [outage(), Manner::Silent, Manner::Resets] {
            registry.turn(manner);
            until_asked_in_vain(&lab, &registry).await;
            let request = read(&lab, ID);
            if serves {
                assert_eq!(lab.send(&request).await.status, 200);
            } else {
                assert_stopped(&lab, &request, 503, UNAVAILABLE).await;
            }
        }
        // Of a consent that was never seen there is nothing to fall back on.
        assert_stopped(&lab, &read(&lab, "urn:x:2"), 503, UNAVAILABLE).await;
        let served = lab.metric("portaria_consent_stale_answers_total").await;
        assert_eq!(served > 0.0, serves, "{settings}");
    }
}

#[tokio::test]
async fn an_old_answer_does_not_do_for_ever() {
    let (registry, lab) = warm("stale_for = { medium = \"1s\" }", described(&[])).await;
    registry.turn(outage());
    let request = read(&lab, ID);
    eventually("it is too old", || async { lab.send(&request).await.status == 503 }).await;
    assert_stopped(&lab, &request, 503, UNAVAILABLE).await;
    registry.turn(described(&[]));
    eventually("the outage is over", || async { lab.send(&request).await.status == 200 }).await;
}

#[tokio::test]
async fn an_old_answer_ends_with_the_next_one() {
    for (changes, status) in [
        ([("status", json!("REJECTED"))], 401),
        ([("status", json!("CONSUMED"))], 401),
        ([("status", json!("AWAITING_AUTHORISATION"))], 401),
        ([("status", json!("SUSPENDED"))], 503),
        ([("clientId", json!(7))], 503),
    ] {
        let (registry, lab) = warm("stale_for = { medium = \"1h\" }", described(&[])).await;
        registry.turn(described(&changes));
        let request = read(&lab, ID);
        eventually("the answer is seen", || async { lab.send(&request).await.status == status })
            .await;
        registry.turn(outage());
        eventually("the outage is seen", || async { lab.send(&request).await.status == 503 }).await;
        assert_stopped(&lab, &request, 503, UNAVAILABLE).await;
    }
    let (registry, lab) = warm("stale_for = { medium = \"1h\" }", described(&[])).await;
    let request = read(&lab, ID);
    registry.turn(Manner::Says(answer("404", JSON, "{}")));
    eventually("it is gone", || async { lab.send(&request).await.status == 404 }).await;
    registry.turn(outage());
    // What is known of unknown consents is kept for a while; then there is nothing.
    eventually("nothing is known", || async { lab.send(&request).await.status == 503 }).await;
}

#[tokio::test]
async fn an_answer_of_no_use_is_no_outage() {
    for manner in [
        Manner::Says(answer("200", "content-type: text/html\r\n", "<html>")),
        Manner::Says(answer("401", JSON, "{}")),
        Manner::Huge,
    ] {
        let (registry, lab) = warm("stale_for = { medium = \"1h\" }", described(&[])).await;
        registry.turn(manner);
        let request = read(&lab, ID);
        eventually("it is refused", || async { lab.send(&request).await.status == 503 }).await;
        assert_stopped(&lab, &request, 503, UNAVAILABLE).await;
    }
}

#[tokio::test]
async fn an_old_answer_is_judged_like_a_new_one() {
    let soon = time::OffsetDateTime::now_utc() + time::Duration::seconds(3);
    let soon = soon.format(&time::format_description::well_known::Rfc3339).unwrap();
    let (registry, lab) =
        warm("stale_for = { medium = \"1h\" }", described(&[("expirationDateTime", json!(soon))]))
            .await;
    registry.turn(outage());
    let request = read(&lab, ID);
    eventually("it expires", || async { lab.send(&request).await.status == 401 }).await;
    assert_stopped(&lab, &request, 401, CODE).await;
}

#[tokio::test]
async fn an_old_answer_lacks_the_permissions_that_it_lacked() {
    let (registry, lab) = warm("stale_for = { medium = \"1h\" }", described(&[])).await;
    registry.turn(outage());
    let other = Request::get("/open-insurance/resources/v3/resources")
        .bearer(&lab.user_token("resources", ID));
    assert_stopped(&lab, &other, 403, "PERMISSAO_INSUFICIENTE").await;
}

#[tokio::test]
async fn what_may_have_changed_a_consent_ends_its_old_answer() {
    let (registry, lab) = warm("stale_for = { medium = \"1h\" }", described(&[])).await;
    registry.turn(outage());
    until_asked_in_vain(&lab, &registry).await;
    assert_eq!(lab.send(&read(&lab, ID)).await.status, 200);
    // An initiation that the backend failed at consumes nothing, but nobody can tell that now.
    let claim = Request::post(&format!("{CLAIM}/{ID}?lab=status:500"), "{}")
        .bearer(&lab.user_token("claim-notification", ID));
    assert_eq!(lab.send(&claim).await.status, 500);
    assert_stopped(&lab, &read(&lab, ID), 503, UNAVAILABLE).await;
    assert_stopped(&lab, &claim, 503, UNAVAILABLE).await;
}

#[tokio::test]
async fn an_old_answer_does_not_bring_back_what_ended() {
    let (registry, lab) = warm("stale_for = { medium = \"1h\" }", described(&[])).await;
    registry.turn(outage());
    until_asked_in_vain(&lab, &registry).await;
    let target = format!("{CONSENTS}/{ID}");
    let delete = Request::new("DELETE", &target).bearer(&lab.client_token("consents"));
    assert_eq!(lab.send(&delete).await.status, 204, "whose it is has not changed");
    assert_stopped(&lab, &read(&lab, ID), 401, CODE).await;
}
