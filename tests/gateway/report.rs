//! What leaves the gateway about an exchange: the log, the metrics, the admin endpoint; and what never
//! does.

use serde_json::Value;

use crate::harness::*;

const AUTO: &str = "/open-insurance/insurance-auto/v2/insurance-auto";

async fn only_line(lab: &Lab) -> Value {
    eventually("a line is written", || async { !lab.gateway.access_log().is_empty() }).await;
    lab.gateway.access_log().pop().unwrap()
}

#[tokio::test]
async fn an_exchange_is_one_line_of_an_allow_list() {
    let lab = lab().await;
    let consent = lab.consent(&["DAMAGES_AND_PEOPLE_AUTO_POLICYINFO_READ"]);
    let token = lab.user_token("insurance-auto", &consent);
    let request = Request::get(&format!("{AUTO}/policy-4711/policy-info?secret=x")).bearer(&token);
    assert_eq!(lab.send(&request).await.status, 200);
    let line = only_line(&lab).await;
    let text = line.to_string();
    for personal in
        ["policy-4711", "secret", consent.as_str(), token.as_str(), CLIENT_ONE, "11222333000181"]
    {
        assert!(!text.contains(personal), "{personal} in {text}");
    }
    assert_eq!(line["http.route"], format!("{AUTO}/{{policyId}}/policy-info"));
    assert_eq!(line["http.request.method"], "GET");
    assert_eq!(line["http.response.status_code"], 200);
    assert_eq!(line["portaria.outcome"], "answered");
    assert_eq!(line["portaria.interaction_id"], INTERACTION_ID);
    assert_eq!(line["portaria.refusal.code"], Value::Null);
    assert_eq!(line["portaria.organisation_id"], "d7384bd0-842f-43c5-be02-9d2b2d5efc2c");
    assert_eq!(line["portaria.consent.pseudonym"].as_str().map(str::len), Some(16));
    let (total, backend) = (&line["portaria.duration_us"], &line["portaria.backend_duration_us"]);
    assert!(total.as_u64() >= backend.as_u64() && backend.as_u64() > Some(0), "{text}");
}

#[tokio::test]
async fn a_refusal_says_where_and_why() {
    let lab = lab().await;
    assert_eq!(lab.send(&Request::get(AUTO).bearer("garbage.token")).await.status, 401);
    let line = only_line(&lab).await;
    assert_eq!(line["portaria.refusal.stage"], "token");
    assert_eq!(line["portaria.refusal.code"], "token_inactive");
    assert_eq!(line["portaria.refusal.fault"], "client");
    assert_eq!(line["portaria.outcome"], "refused");
    assert!(!line.to_string().contains("garbage"));
}

/// Canaries in every place where a caller can put text, and then none of them in anything that leaves.
#[tokio::test]
async fn nothing_that_a_caller_sends_reaches_a_log_or_a_metric() {
    let lab = lab().await;
    let canary = "canary12345678909";
    let consent = lab.consent(&["RESOURCES_READ"]);
    let token = lab.user_token("resources", &consent);
    let requests = [
        Request::get(&format!("/{canary}?{canary}={canary}")),
        Request::get(&format!("{AUTO}/{canary}/claim")).bearer(&token),
        Request::get(AUTO).bearer(canary),
        Request::get(AUTO).with("Authorization", canary),
        Request::get(AUTO).with("Cookie", canary).with("X-Canary", canary),
        Request::new(canary, AUTO),
        Request::post("/open-insurance/consents/v3/consents", &format!("\"{canary}\""))
            .bearer(&token),
        Request::get(&format!("/open-insurance/channels/v2/branches?lab=malformed&{canary}")),
        Request::get(&format!("/open-insurance/channels/v2/branches?lab=close&{canary}")),
        Request::get(&format!("/open-insurance/channels/v2/%00{canary}")),
    ];
    for request in &requests {
        lab.send(request).await;
    }
    for bytes in [
        format!("GET /{canary}\x01 HTTP/1.1\r\n\r\n"),
        format!("{canary}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{canary}: {canary}\n\r\n"),
    ] {
        let _ = lab.http1().await.exchange(bytes.as_bytes()).await;
    }
    let lines = requests.len() + 3;
    eventually("all lines are written", || async { lab.gateway.access_log().len() == lines }).await;
    let records = lab.gateway.admin(&format!("/decisions/{INTERACTION_ID}")).await;
    assert_eq!(records.0, 200);
    let everything = format!(
        "{:?}{:?}{}{}",
        lab.gateway.log(),
        lab.gateway.access_log(),
        lab.metrics().await,
        records.1
    );
    assert!(!everything.contains(canary), "{everything}");
    for secret in [token.as_str(), consent.as_str(), "11222333000181"] {
        assert!(!everything.contains(secret));
    }
}

#[tokio::test]
async fn the_admin_endpoint_says_how_the_gateway_is() {
    let lab = lab().await;
    assert_eq!(lab.gateway.admin("/healthz").await.0, 200);
    let (status, ready) = lab.gateway.admin("/readyz").await;
    assert_eq!((status, ready.contains("\"missing\":[]")), (200, true), "{ready}");
    let (status, version) = lab.gateway.admin("/version").await;
    assert_eq!((status, version.contains(env!("CARGO_PKG_VERSION"))), (200, true));
    assert_eq!(lab.gateway.admin("/nothing").await.0, 404);
    lab.http1().await;
    lab.expect_metric("portaria_handshakes_total{listener=\"mtls\",result=\"ok\"}", 1.0).await;
    let metrics = lab.metrics().await;
    for name in ["portaria_build_info", "portaria_configuration_timestamp_seconds"] {
        assert!(metrics.contains(name), "{name}");
    }
}

#[tokio::test]
async fn the_access_log_can_be_switched_off() {
    let lab = lab_with(|config| format!("{config}\n[log]\naccess = false\n")).await;
    assert_eq!(lab.send(&Request::get("/nowhere")).await.status, 404);
    let counted = "portaria_refusals_total{code=\"route_not_found\",stage=\"route\"}";
    lab.expect_metric(counted, 1.0).await;
    assert!(lab.gateway.access_log().is_empty());
}
