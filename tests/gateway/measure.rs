//! Response time the regulator's way: what counts, what is counted apart, whose time it was.

use crate::harness::*;

const OPEN: &str = "/open-insurance/channels/v2/branches";
const STATUS: &str = "/open-insurance/discovery/v1/status";

fn series(name: &str, api: &str, class: &str) -> String {
    format!("{name}{{api=\"{api}\",class=\"{class}\"}}")
}

#[tokio::test]
async fn every_exchange_ends_in_exactly_one_sample() {
    let lab = lab().await;
    for target in [OPEN, "/open-insurance/channels/v2/branches?lab=status:500", "/nowhere", STATUS]
    {
        lab.send(&Request::get(target)).await;
    }
    lab.send(&Request::new("PUT", OPEN)).await;
    lab.send(&Request::get("/open-insurance/resources/v3/resources")).await;
    let _ = lab.http1().await.exchange(b"GET /\x01 HTTP/1.1\r\n\r\n").await;
    let total = || async {
        let metrics = lab.metrics().await;
        let of_requests =
            metrics.lines().filter(|line| line.starts_with("portaria_requests_total{"));
        of_requests
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum::<f64>()
    };
    eventually("seven samples", || async { total().await == 7.0 }).await;
    eventually("seven lines", || async { lab.gateway.access_log().len() == 7 }).await;
    lab.expect_metric(&series("portaria_response_time_seconds_count", "channels", "medium"), 2.0)
        .await;
    lab.expect_metric(&series("portaria_response_time_seconds_count", "discovery", "high"), 1.0)
        .await;
    lab.expect_metric(&series("portaria_response_time_seconds_count", "resources", "medium"), 1.0)
        .await;
}

#[tokio::test]
async fn requests_over_the_limits_leave_the_statistics() {
    let quota = "\n[limits]\nper_address = { requests = 1, per = \"1m\" }\n";
    let lab = lab_with(|config| config + quota).await;
    assert_eq!(lab.send(&Request::get(OPEN)).await.status, 200);
    for _ in 0..3 {
        assert_eq!(lab.send(&Request::get(OPEN)).await.status, 429);
    }
    lab.expect_metric("portaria_over_limit_requests_total{code=\"limits_address\"}", 3.0).await;
    let counted = series("portaria_response_time_seconds_count", "channels", "medium");
    lab.expect_metric(&counted, 1.0).await;
}

#[tokio::test]
async fn callers_that_leave_are_outside_the_statistics() {
    let lab = lab().await;
    let mut connection = lab.http1().await;
    connection.send(&Request::get(&format!("{OPEN}?lab=silent")).to_bytes()).await.unwrap();
    eventually("the backend has it", || async { lab.recorded().len() == 1 }).await;
    drop(connection);
    lab.expect_metric("portaria_client_aborts_total", 1.0).await;
    let counted = series("portaria_response_time_seconds_count", "channels", "medium");
    lab.expect_metric(&counted, 0.0).await;
}

#[tokio::test]
async fn the_backends_time_is_told_from_the_gateways() {
    let lab = lab().await;
    lab.send(&Request::get(&format!("{OPEN}?lab=slow:300"))).await;
    lab.expect_metric(&series("portaria_backend_time_seconds_count", "channels", "medium"), 1.0)
        .await;
    let sum =
        |name: &str| series(&format!("portaria_{name}_time_seconds_sum"), "channels", "medium");
    let (response, backend) =
        (lab.metric(&sum("response")).await, lab.metric(&sum("backend")).await);
    let gateway = lab.metric(&sum("gateway")).await;
    assert!(backend >= 0.3 && response >= backend, "{response} {backend}");
    assert!((gateway + backend - response).abs() < 1e-6, "{gateway} + {backend} = {response}");
    let edge =
        "portaria_response_time_seconds_bucket{api=\"channels\",class=\"medium\",le=\"0.25\"}";
    lab.expect_metric(edge, 0.0).await;
    for edge in ["1", "1.5", "4"] {
        let bucket = format!(
            "portaria_response_time_seconds_bucket{{api=\"channels\",class=\"medium\",le=\"{edge}\"}}"
        );
        lab.expect_metric(&bucket, 1.0).await;
    }
}

#[tokio::test]
async fn the_clock_starts_with_the_first_byte() {
    let lab = lab().await;
    let mut connection = lab.http1().await;
    // A head that never ends is cut 500 ms after its first byte, and measured from there.
    connection.send(&Request::get(OPEN).to_bytes()[..20]).await.unwrap();
    assert_eq!(connection.receive(false).await.unwrap().status, 408);
    eventually("it is logged", || async { lab.gateway.access_log().len() == 1 }).await;
    let line = lab.gateway.access_log().remove(0);
    let measured = line["portaria.duration_us"].as_u64().unwrap();
    assert!((500_000..5_000_000).contains(&measured), "{line}");
}

#[tokio::test]
async fn p95_is_told_per_class_for_the_day_and_the_minute() {
    let lab = lab().await;
    lab.send(&Request::get(&format!("{OPEN}?lab=slow:300"))).await;
    lab.expect_metric(&series("portaria_response_time_seconds_count", "channels", "medium"), 1.0)
        .await;
    for window in ["day", "minute"] {
        let p95 = |class: &str| {
            format!("portaria_response_time_p95_seconds{{class=\"{class}\",window=\"{window}\"}}")
        };
        let medium = lab.metric(&p95("medium")).await;
        assert!((0.3..0.9).contains(&medium), "{medium}");
        assert!(lab.metric(&p95("high")).await.is_nan(), "no exchange, no percentile");
    }
    for (class, target) in [("high", 1.0), ("medium", 1.5), ("admin", 4.0)] {
        let series = format!("portaria_response_time_target_seconds{{class=\"{class}\"}}");
        assert_eq!(lab.metric(&series).await, target);
    }
}
