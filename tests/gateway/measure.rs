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

/// How many exchanges of an api and class count, and how many of them took no longer than `edge`.
async fn counted(lab: &Lab, api: &str, class: &str, edge: &str) -> (f64, f64) {
    let labels = format!("{{api=\"{api}\",class=\"{class}\"");
    let count = lab.metric(&format!("portaria_response_time_seconds_count{labels}}}")).await;
    let bucket = format!("portaria_response_time_seconds_bucket{labels},le=\"{edge}\"}}");
    (count, lab.metric(&bucket).await)
}

/// How many waits for a part of what callers send or take were longer than `edge`.
async fn waits_beyond(lab: &Lab, part: &str, edge: &str) -> f64 {
    let count = format!("portaria_caller_time_seconds_count{{part=\"{part}\"}}");
    let bucket = format!("portaria_caller_time_seconds_bucket{{part=\"{part}\",le=\"{edge}\"}}");
    lab.metric(&count).await - lab.metric(&bucket).await
}

#[tokio::test]
async fn a_caller_that_leaves_the_backend_waiting_counts_with_what_it_waited() {
    let lab = lab().await;
    let mut connection = lab.http1().await;
    connection.send(&Request::get(&format!("{OPEN}?lab=silent")).to_bytes()).await.unwrap();
    eventually("the backend has it", || async { lab.recorded().len() == 1 }).await;
    drop(connection);
    lab.expect_metric("portaria_client_aborts_total", 1.0).await;
    for part in ["response", "backend", "gateway"] {
        let counted = series(&format!("portaria_{part}_time_seconds_count"), "channels", "medium");
        lab.expect_metric(&counted, 1.0).await;
    }
    let p95 = "portaria_response_time_p95_seconds{class=\"medium\",window=\"day\"}";
    assert!(!lab.metric(p95).await.is_nan(), "it was forgotten");
}

#[tokio::test]
async fn whoever_never_sends_its_request_counts_nowhere() {
    let lab = lab().await;
    let connector = lab.connector_to("public", None);
    // Bodies that do not come, in any framing, and a head that does not end.
    let json = Request::get(OPEN).with("content-type", "application/json");
    let declared = json.clone().with("content-length", "10").to_bytes();
    let chunked = json.with("transfer-encoding", "chunked").to_bytes();
    let head = Request::get(OPEN).to_bytes();
    for request in [[&declared[..], b"{"].concat(), chunked, head[..head.len() - 2].to_vec()] {
        let mut connection = connector.http1().await.unwrap();
        assert_eq!(connection.exchange(&request).await.unwrap().status, 408);
    }
    // And one that leaves while its body is awaited.
    let mut connection = connector.http1().await.unwrap();
    connection.send(&[&declared[..], b"{"].concat()).await.unwrap();
    drop(connection);
    let endless = http::Request::get(format!("https://localhost{OPEN}"))
        .header("content-type", "application/json")
        .body(())
        .unwrap();
    let http2 = connector.http2().await.unwrap();
    let part = bytes::Bytes::from_static(b"{");
    assert_eq!(http2.exchange_endless(endless, part).await.unwrap().status, 408);
    eventually("five lines", || async { lab.gateway.access_log().len() == 5 }).await;
    assert_eq!(counted(&lab, "channels", "medium", "+Inf").await, (0.0, 0.0));
    lab.assert_untouched();
}

#[tokio::test]
async fn what_is_refused_for_its_form_or_to_strangers_is_no_answer() {
    let lab = lab().await;
    for (request, status) in [
        (Request::get(OPEN).with("accept", "image/png"), 406),
        (Request::get(&format!("{OPEN}?page-size=0")), 422),
        (Request::get(&format!("{OPEN}?page=x")), 422),
    ] {
        assert_eq!(lab.send(&request).await.status.as_u16(), status, "{request:?}");
    }
    assert_eq!(counted(&lab, "channels", "medium", "+Inf").await, (0.0, 0.0));
    lab.assert_untouched();
    assert_eq!(lab.send(&Request::get(OPEN)).await.status, 200);
    let series = series("portaria_response_time_seconds_count", "channels", "medium");
    lab.expect_metric(&series, 1.0).await;
}

#[tokio::test]
async fn a_slow_head_is_the_callers_time_and_both_versions_begin_where_it_ends() {
    let lab = lab_with(|config| config.swap("head_timeout = \"500ms\"", "")).await;
    let mut slow = lab.http1().await;
    let request = Request::get(STATUS).to_bytes();
    let (first, last) = request.split_at(20);
    slow.send(first).await.unwrap();
    // Meanwhile 300 ms pass.
    assert_eq!(lab.send(&Request::get(&format!("{OPEN}?lab=slow:300"))).await.status, 200);
    assert_eq!(slow.exchange(last).await.unwrap().status, 200);
    lab.expect_metric(&series("portaria_response_time_seconds_count", "discovery", "high"), 1.0)
        .await;
    assert_eq!(counted(&lab, "discovery", "high", "0.25").await, (1.0, 1.0));
    assert_eq!(waits_beyond(&lab, "head", "0.25").await, 1.0);
}

/// A lab in which the backend may take its time, and callers must take something every 1.2 s.
async fn patient_lab() -> Lab {
    lab_with(|config| {
        let patient = config.swap("first_byte_timeout = \"500ms\"", "first_byte_timeout = \"9s\"");
        let patient = patient.swap("total_timeout = \"1s\"", "total_timeout = \"9s\"");
        patient.within("[http]", "write_timeout = \"1200ms\"")
    })
    .await
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_neither_the_gateways_nor_the_backends_time() {
    let lab = patient_lab().await;
    let mut connection = lab.http1().await;
    let target = format!("{OPEN}?lab=big:16777216");
    connection.send(&Request::get(&target).to_bytes()).await.unwrap();
    lab.expect_metric("portaria_client_aborts_total", 1.0).await;
    assert_eq!(counted(&lab, "channels", "medium", "1").await, (1.0, 1.0));
    assert_eq!(waits_beyond(&lab, "answer", "1").await, 1.0);
    drop(connection);
}

#[tokio::test]
async fn streams_without_window_are_neither_the_gateways_nor_the_backends_time() {
    let lab = patient_lab().await;
    let connector = lab.connector_to("public", None);
    let connector = connector.adjust(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
    let mut builder = h2::client::Builder::new();
    let handshake =
        builder.initial_window_size(0).handshake::<_, bytes::Bytes>(connector.tls().await.unwrap());
    let (mut sender, connection) = handshake.await.unwrap();
    let driver = tokio::spawn(connection);
    let mut streams = Vec::new();
    for target in [OPEN.to_owned(), format!("{OPEN}?lab=big:300000"), format!("{OPEN}?lab=chunked")]
    {
        let request = http::Request::get(format!("https://localhost{target}")).body(()).unwrap();
        streams.push(sender.send_request(request, true).unwrap().0);
    }
    let medium = series("portaria_response_time_seconds_count", "channels", "medium");
    lab.expect_metric(&medium, 3.0).await;
    assert_eq!(counted(&lab, "channels", "medium", "1").await, (3.0, 3.0));
    assert_eq!(waits_beyond(&lab, "answer", "1").await, 3.0);
    driver.abort();
}

#[tokio::test]
async fn a_reader_that_takes_its_time_over_http2_costs_the_backend_nothing() {
    let lab = patient_lab().await;
    let connector = lab.connector_to("public", None);
    let connector = connector.adjust(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
    let handshake = h2::client::handshake(connector.tls().await.unwrap());
    let (mut sender, connection) = handshake.await.unwrap();
    let driver = tokio::spawn(connection);
    let target = format!("https://localhost{OPEN}?lab=big:300000");
    let request = http::Request::get(target).body(()).unwrap();
    let (response, _) = sender.send_request(request, true).unwrap();
    let mut body = response.await.unwrap().into_body();
    // The window is full, and nothing of it is given back while 1 s passes.
    assert_eq!(lab.send(&Request::get(&format!("{STATUS}?lab=slow:1000"))).await.status, 200);
    let mut length = 0;
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        length += piece.len();
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    assert!(length >= 300_000, "{length}");
    let medium = series("portaria_response_time_seconds_count", "channels", "medium");
    lab.expect_metric(&medium, 1.0).await;
    assert_eq!(counted(&lab, "channels", "medium", "0.5").await, (1.0, 1.0));
    let backend =
        "portaria_backend_time_seconds_bucket{api=\"channels\",class=\"medium\",le=\"0.5\"}";
    assert_eq!(lab.metric(backend).await, 1.0);
    assert_eq!(waits_beyond(&lab, "answer", "0.5").await, 1.0);
    driver.abort();
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
