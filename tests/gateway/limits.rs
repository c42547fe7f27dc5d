//! The limits: never below the quota, and beyond it an answer that says when to come back.

use crate::harness::*;

const OPEN: &str = "/open-insurance/channels/v2/branches";

fn limits(global: u32, address: u32) -> String {
    format!(
        "\n[limits]\nglobal = {{ requests = {global}, per = \"1m\" }}\n\
         per_address = {{ requests = {address}, per = \"1m\" }}\n"
    )
}

#[tokio::test]
async fn the_whole_quota_of_an_address_is_served() {
    // The test is faster than 300 requests per second.
    let global = "\n[limits]\nglobal = { requests = 100000, per = \"1s\" }\n";
    let lab = lab_with(|config| config + global).await;
    let mut connection = lab.http1().await;
    let request = Request::get(OPEN).to_bytes();
    for served in 1..=500 {
        let response = connection.exchange(&request).await.unwrap();
        assert_eq!(response.status, 200, "{served}");
    }
    assert_eq!(lab.recorded().len(), 500);
}

#[tokio::test]
async fn beyond_the_quota_of_the_address_is_429_with_guidance() {
    let lab = lab_with(|config| config + &limits(1000, 5)).await;
    let mut connection = lab.http1().await;
    for left in (0..5).rev() {
        let response = connection.exchange(&Request::get(OPEN).to_bytes()).await.unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(response.field("x-rate-limit-remaining"), Some(left.to_string().as_str()));
    }
    // Unknown paths, refused methods and malformed requests count and are limited like the others.
    let malformed = b"GET /\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    for request in [
        Request::get(OPEN).to_bytes(),
        Request::get("/nowhere").to_bytes(),
        Request::new("PUT", OPEN).to_bytes(),
        malformed,
    ] {
        let response = lab.http1().await.exchange(&request).await.unwrap();
        assert_common_fields(&response);
        assert_refused(&response, 429, "LIMITE_EXCEDIDO");
        assert_eq!(response.field("x-rate-limit"), Some("5"));
        assert_eq!(response.field("x-rate-limit-remaining"), Some("0"));
        assert_eq!(response.field("x-rate-limit-time"), Some("60"));
        let seconds: u64 = response.field("retry-after").unwrap().parse().unwrap();
        assert!((1..=12).contains(&seconds), "{seconds}");
    }
    assert_eq!(lab.recorded().len(), 5);
}

#[tokio::test]
async fn unknown_paths_use_up_the_quota() {
    let lab = lab_with(|config| config + &limits(1000, 3)).await;
    for _ in 0..3 {
        assert_eq!(lab.send(&Request::get("/nowhere")).await.status, 404);
    }
    assert_eq!(lab.send(&Request::get(OPEN)).await.status, 429);
    lab.assert_untouched();
}

#[tokio::test]
async fn the_quota_of_all_callers_is_a_limit_of_its_own() {
    let lab = lab_with(|config| config + &limits(3, 1000)).await;
    for _ in 0..3 {
        assert_eq!(lab.send(&Request::get(OPEN)).await.status, 200);
    }
    let response = lab.send(&Request::get(OPEN)).await;
    assert_refused(&response, 429, "LIMITE_EXCEDIDO");
    assert_eq!(response.field("x-rate-limit"), Some("3"));
    lab.expect_metric("portaria_over_limit_requests_total{code=\"limits_global\"}", 1.0).await;
    assert_eq!(lab.recorded().len(), 3);
}
