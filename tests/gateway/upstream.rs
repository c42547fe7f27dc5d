//! The backend: in turn, within its time, tried again only where that is safe; and what its faults mean
//! to the caller.

use portaria::lab::backend::Backend;

use crate::harness::*;

const OPEN: &str = "/open-insurance/channels/v2/branches";
const CONSENTS: &str = "/open-insurance/consents/v3/consents";

/// What two readers understand differently is no answer, over either version; nor is the version the backend's.
#[tokio::test]
async fn the_framing_of_a_backends_answer_stays_on_its_side() {
    let lab = lab().await;
    let http2 = lab.http2().await;
    for odd in [
        "two-lengths",
        "two-lengths-in-one",
        "negative-length",
        "identity",
        "gzip-in-chunks",
        "chunked-in-1.0",
    ] {
        let target = format!("{OPEN}?lab=raw:{odd}");
        let response = lab.send(&Request::get(&target)).await;
        assert_refused(&response, 503, "SERVICO_INDISPONIVEL");
        let request = http::Request::get(format!("https://localhost{target}")).body(()).unwrap();
        let response = http2.exchange(request, bytes::Bytes::new()).await.unwrap();
        assert_refused(&response, 503, "SERVICO_INDISPONIVEL");
    }
    // Chunks override a length (RFC 9112 section 6.3), and the framework has dropped it.
    let response = lab.send(&Request::get(&format!("{OPEN}?lab=raw:length-and-chunks"))).await;
    assert_eq!((response.status.as_u16(), response.field("content-length")), (200, None));
    let mut http1 = lab.http1().await;
    http1
        .send(&Request::get(&format!("{OPEN}?lab=raw:no-content-in-chunks")).to_bytes())
        .await
        .unwrap();
    let response = http1.receive(false).await.unwrap();
    assert_eq!((response.status.as_u16(), response.field("transfer-encoding")), (204, None));
    let mut http1 = lab.http1().await;
    http1.send(&Request::get(&format!("{OPEN}?lab=raw:old")).to_bytes()).await.unwrap();
    let response = http1.receive(false).await.unwrap();
    assert_eq!((response.status.as_u16(), response.body.as_ref()), (200, &b"{\"a\":1}"[..]));
}

/// A web server's page, with a stack trace, is no error of the ecosystem.
#[tokio::test]
async fn a_backends_error_that_is_no_json_becomes_the_ecosystems() {
    let lab = lab().await;
    let mut http1 = lab.http1().await;
    let http2 = lab.http2().await;
    for (answered, expected) in
        [(502, 500), (500, 500), (503, 503), (504, 504), (404, 404), (418, 400), (422, 422)]
    {
        let target = format!("{OPEN}?lab=page:{answered}");
        let response = http1.exchange(&Request::get(&target).to_bytes()).await.unwrap();
        assert_eq!(response.status, expected);
        assert_common_fields(&response);
        let media = response.field("content-type");
        assert_eq!(media, Some("application/json; charset=utf-8"));
        let error = response.json()["errors"][0].clone();
        for member in ["code", "title", "detail", "requestDateTime"] {
            assert!(error[member].is_string(), "{response:?}");
        }
        assert!(!format!("{response:?}").contains("legacy"), "{response:?}");
        let request = http::Request::get(format!("https://localhost{target}")).body(()).unwrap();
        let over_http2 = http2.exchange(request, bytes::Bytes::new()).await.unwrap();
        assert_eq!(
            (over_http2.status, over_http2.body.len()),
            (response.status, response.body.len())
        );
        let head = Request::new("HEAD", &target).to_bytes();
        let of_head = http1.exchange(&head).await.unwrap();
        assert_eq!((of_head.status, of_head.body.len()), (response.status, 0));
        assert_common_fields(&of_head);
        for name in ["content-type", "content-length"] {
            assert_eq!(of_head.field(name), response.field(name), "{answered}");
        }
        let request = http::Request::head(format!("https://localhost{target}")).body(()).unwrap();
        let over_http2 = http2.exchange(request, bytes::Bytes::new()).await.unwrap();
        assert_eq!((over_http2.status, over_http2.body.len()), (response.status, 0));
    }
    // What the backend says in JSON is its word.
    let response =
        http1.exchange(&Request::get(&format!("{OPEN}?lab=status:500")).to_bytes()).await;
    assert_eq!(response.unwrap().json()["lab"], "asked for");
    // So is what is no error.
    let response = http1.exchange(&Request::get(&format!("{OPEN}?lab=page:200")).to_bytes()).await;
    assert!(response.unwrap().body.starts_with(b"<html>"));
}

#[tokio::test]
async fn an_error_without_a_body_announces_no_more_than_it_has() {
    let lab = lab().await;
    for (name, status, has_body) in [
        ("empty-page", 502, false),
        ("empty-page-of-zeros", 502, false),
        ("empty-page-in-chunks", 500, true),
        ("empty-page-to-the-end", 500, true),
    ] {
        let target = format!("{OPEN}?lab=raw:{name}");
        let response = lab.http1().await.exchange(&Request::get(&target).to_bytes()).await.unwrap();
        assert_eq!(
            (response.status.as_u16(), !response.body.is_empty()),
            (status, has_body),
            "{name}"
        );
        let request = http::Request::get(format!("https://localhost{target}")).body(()).unwrap();
        let over_http2 = lab.http2().await.exchange(request, bytes::Bytes::new()).await.unwrap();
        assert_eq!(
            (over_http2.status, over_http2.body.len()),
            (response.status, response.body.len()),
            "{name}"
        );
        let announced = over_http2.field("content-length").and_then(|length| length.parse().ok());
        assert_eq!(announced, Some(over_http2.body.len()), "{name}");
    }
}

#[tokio::test]
async fn a_backends_pages_and_cookies_pass_where_that_is_said() {
    let lab = lab().await;
    let verbose = Request::get(&format!("{OPEN}?lab=verbose"));
    assert_eq!(lab.send(&verbose).await.field("set-cookie"), None);
    let keys = "name = \"legacy\"\nerror_bodies = \"backend\"\nanswer_fields = [\"set-cookie\"]";
    let lab = lab_with(|config| config.swap("name = \"legacy\"", keys)).await;
    let response = lab.http1().await.exchange(&verbose.to_bytes()).await.unwrap();
    assert_eq!(response.field("set-cookie"), Some("JSESSIONID=1"));
    let response = lab.send(&Request::get(&format!("{OPEN}?lab=page:502"))).await;
    assert_eq!(
        (response.status.as_u16(), response.field("content-type")),
        (502, Some("text/html"))
    );
}

#[tokio::test]
async fn faults_of_the_backend_get_the_same_error_body() {
    let lab = lab().await;
    for (demand, status, code) in [
        ("silent", 504, "TEMPO_DE_RESPOSTA_ESGOTADO"),
        ("slow:700", 504, "TEMPO_DE_RESPOSTA_ESGOTADO"),
        ("malformed", 503, "SERVICO_INDISPONIVEL"),
        ("switching", 503, "SERVICO_INDISPONIVEL"),
        ("interim", 503, "SERVICO_INDISPONIVEL"),
        ("close", 503, "SERVICO_INDISPONIVEL"),
        ("status:700", 503, "SERVICO_INDISPONIVEL"),
    ] {
        let response = lab.send(&Request::get(&format!("{OPEN}?lab={demand}"))).await;
        assert_refused(&response, status, code);
        let http2 = lab.http2().await;
        let uri = format!("https://localhost{OPEN}?lab={demand}");
        let request = http::Request::get(uri).body(()).unwrap();
        let response = http2.exchange(request, bytes::Bytes::new()).await.unwrap();
        assert_refused(&response, status, code);
    }
}

#[tokio::test]
async fn a_broken_answer_is_never_taken_for_a_whole_one() {
    let lab = lab().await;
    for demand in ["truncated", "truncated-chunked", "drip"] {
        let target = format!("{OPEN}?lab={demand}");
        let answer = lab.http1().await.exchange(&Request::get(&target).to_bytes()).await;
        assert!(answer.is_err(), "{demand}: {answer:?}");
        let request = http::Request::get(format!("https://localhost{target}")).body(()).unwrap();
        let answer = lab.http2().await.exchange(request, bytes::Bytes::new()).await;
        assert!(answer.is_err(), "{demand}: {answer:?}");
    }
    let interrupted = "portaria_requests_total{api=\"channels\",class=\"medium\",outcome=\"interrupted\",\
                       route=\"/open-insurance/channels/v2/branches\",status_class=\"2xx\"}";
    lab.expect_metric(interrupted, 6.0).await;
}

#[tokio::test]
async fn a_backend_that_is_down_is_503() {
    let lab = lab_with(|config| {
        let start = config.find("servers = [\"").unwrap();
        let end = start + config[start..].find('\n').unwrap();
        config.replacen(&config[start..end].to_owned(), "servers = [\"127.0.0.1:1\"]", 1)
    })
    .await;
    assert_refused(&lab.send(&Request::get(OPEN)).await, 503, "SERVICO_INDISPONIVEL");
    let refusals = "portaria_refusals_total{code=\"upstream_unreachable\",stage=\"upstream\"}";
    lab.expect_metric(refusals, 1.0).await;
}

#[tokio::test]
async fn connections_to_the_backend_are_kept() {
    let lab = lab().await;
    for _ in 0..5 {
        assert_eq!(lab.send(&Request::get(OPEN)).await.status, 200);
    }
    assert_eq!(lab.recorded().len(), 5);
    assert_eq!(lab.backend.connections(), 1);
}

#[tokio::test]
async fn an_idempotent_request_is_tried_again_once() {
    let lab = lab().await;
    let request = Request::get(&format!("{OPEN}?lab=close-once&n=1"));
    assert_eq!(lab.send(&request).await.status, 200);
    assert_eq!(lab.recorded().len(), 2);
    let always = Request::get(&format!("{OPEN}?lab=close"));
    assert_refused(&lab.send(&always).await, 503, "SERVICO_INDISPONIVEL");
    assert_eq!(lab.recorded().len(), 4, "twice, and no more");
    let silent = Request::get(&format!("{OPEN}?lab=silent"));
    assert_refused(&lab.send(&silent).await, 504, "TEMPO_DE_RESPOSTA_ESGOTADO");
    assert_eq!(lab.recorded().len(), 5, "silence is not tried again");
}

#[tokio::test]
async fn a_post_is_never_sent_twice() {
    let lab = lab().await;
    let token = lab.client_token("consents");
    let request = Request::post(&format!("{CONSENTS}?lab=close-once"), "{}").bearer(&token);
    assert_refused(&lab.send(&request).await, 503, "SERVICO_INDISPONIVEL");
    assert_eq!(lab.recorded().len(), 1);
}

/// A configuration with a second server.
fn with_server(config: &str, address: &str) -> String {
    config.replacen("servers = [\"", &format!("servers = [\"{address}\", \""), 1)
}

#[tokio::test]
async fn servers_take_turns_and_a_dead_one_is_left_out() {
    let second = Backend::start(LOOPBACK, Default::default(), true).await.unwrap();
    let address = second.address.to_string();
    let lab = lab_with(|config| with_server(&config, &address)).await;
    for _ in 0..4 {
        assert_eq!(lab.send(&Request::get(OPEN)).await.status, 200);
    }
    assert_eq!((lab.recorded().len(), second.recorded().len()), (2, 2));

    let dead = free_address();
    let briefly = "first_byte_timeout = \"500ms\"\neject_for = \"1s\"";
    let lab = lab_with(|config| {
        with_server(&config, &dead.to_string()).swap("first_byte_timeout = \"500ms\"", briefly)
    })
    .await;
    let token = lab.client_token("consents");
    for _ in 0..10 {
        assert_eq!(lab.send(&Request::get(OPEN)).await.status, 200, "another server may try");
        let post = Request::post(CONSENTS, "{}").bearer(&token);
        assert_eq!(lab.send(&post).await.status, 201, "nothing was sent to the dead one");
    }
    assert_eq!(lab.recorded().len(), 20);
    lab.gateway.expect_log("a server of the upstream is left out").await;
    let _alive = Backend::start(dead, Default::default(), true).await.unwrap();
    eventually("it is asked again", || async {
        assert_eq!(lab.send(&Request::get(OPEN)).await.status, 200);
        lab.gateway.log_contains("a server of the upstream answers again")
    })
    .await;
    let is_out = |line: &&serde_json::Value| line.to_string().contains("is left out");
    assert_eq!(lab.gateway.log().iter().filter(is_out).count(), 1, "it is said once");
}

#[tokio::test]
async fn a_backend_over_tls_must_prove_who_it_is() {
    let pki = pki();
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, pem: &str| {
        std::fs::write(directory.path().join(name), pem).unwrap();
        directory.path().join(name).display().to_string()
    };
    let (good, other) =
        (write("root.pem", &pki.root.pem()), write("other.pem", &pki.other_root.pem()));
    let handler: portaria::lab::http::Handler = std::sync::Arc::new(|_| {
        Box::pin(async {
            portaria::lab::http::ServiceResponse::json(http::StatusCode::OK, &serde_json::json!({}))
        })
    });
    let service =
        portaria::lab::http::serve(LOOPBACK, Some(pki.server_tls()), handler).await.unwrap();
    for (name, root, status) in
        [("localhost", &good, 200), ("localhost", &other, 503), ("example", &good, 503)]
    {
        let lab = lab_with(|config| {
            let start = config.find("servers = [\"").unwrap();
            let end = start + config[start..].find('\n').unwrap();
            let servers = format!(
                "servers = [\"{}\"]\ntls = {{ server_name = \"{name}\", trust_anchors = \"{root}\" }}",
                service.address
            );
            config.replacen(&config[start..end].to_owned(), &servers, 1)
        })
        .await;
        assert_eq!(lab.send(&Request::get(OPEN)).await.status, status, "{name} {root}");
    }
}

/// A body that is passed on as it comes.
fn long_post(lab: &Lab) -> Vec<u8> {
    let token = lab.client_token("consents");
    Request::post(CONSENTS, &"1".repeat(100_000)).bearer(&token).to_bytes()
}

#[tokio::test]
async fn a_caller_that_stalls_its_upload_is_no_fault_of_the_backend() {
    let lab = lab().await;
    let request = long_post(&lab);
    let mut connection = lab.http1().await;
    connection.send(&request[..50_000]).await.unwrap();
    assert_refused(&connection.receive(false).await.unwrap(), 408, "TEMPO_DE_ENVIO_ESGOTADO");
    let post = http::Request::post(format!("https://localhost{CONSENTS}"))
        .header("authorization", format!("Bearer {}", lab.client_token("consents")))
        .header("content-type", "application/json")
        .header("content-length", "100000")
        .header("x-idempotency-key", "k")
        .body(())
        .unwrap();
    let part = bytes::Bytes::from_static(b"{");
    let response = lab.http2().await.exchange_endless(post, part).await.unwrap();
    assert_refused(&response, 408, "TEMPO_DE_ENVIO_ESGOTADO");
    lab.assert_untouched();
}

#[tokio::test]
async fn the_backends_time_runs_from_the_end_of_the_body() {
    let lab = lab_with(|config| {
        let total = config.swap("total_timeout = \"1s\"", "total_timeout = \"300ms\"");
        total.swap("body_timeout = \"500ms\"", "body_timeout = \"9s\"")
    })
    .await;
    let request = long_post(&lab);
    let (most, last) = request.split_at(request.len() - 1);
    let mut connection = lab.http1().await;
    connection.send(most).await.unwrap();
    let early =
        tokio::time::timeout(std::time::Duration::from_millis(700), connection.receive(false));
    assert!(early.await.is_err(), "an answer to half a request");
    assert_eq!(connection.exchange(last).await.unwrap().status, 201);
}

#[tokio::test]
async fn an_answer_to_a_failure_announces_the_end_of_the_connection() {
    let lab = lab().await;
    let mut connection = lab.http1().await;
    let request = Request::get(&format!("{OPEN}?lab=malformed")).to_bytes();
    let response = connection.exchange(&request).await.unwrap();
    assert_eq!(response.field("connection"), Some("close"));
    assert!(connection.is_ended().await);
}

#[tokio::test]
async fn a_caller_that_leaves_is_counted_apart() {
    let lab = lab().await;
    let mut connection = lab.http1().await;
    connection.send(&Request::get(&format!("{OPEN}?lab=silent")).to_bytes()).await.unwrap();
    eventually("the backend has it", || async { lab.recorded().len() == 1 }).await;
    drop(connection);
    lab.expect_metric("portaria_client_aborts_total", 1.0).await;
}

/// A server whose backlog is full: connections to it hang.
async fn stuck_server() -> (tokio::net::TcpListener, Vec<tokio::net::TcpStream>) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(LOOPBACK).unwrap();
    let listener = socket.listen(1).unwrap();
    let mut held = Vec::new();
    loop {
        let connect = tokio::net::TcpStream::connect(listener.local_addr().unwrap());
        match tokio::time::timeout(std::time::Duration::from_millis(300), connect).await {
            Ok(stream) => held.push(stream.unwrap()),
            Err(_) => return (listener, held),
        }
    }
}

#[tokio::test]
async fn what_ended_while_a_server_was_awaited_is_not_sent_to_another() {
    let (stuck, _held) = stuck_server().await;
    let address = stuck.local_addr().unwrap();
    let lab = lab_with(|config| {
        config.swap("servers = [", &format!("servers = [\"{address}\", ")).swap(
            "first_byte_timeout = \"500ms\"\ntotal_timeout = \"1s\"",
            "connect_timeout = \"5s\"",
        )
    })
    .await;
    let consent = lab.consent(&["RESOURCES_READ"]);
    let token = lab.user_token("resources", &consent);
    let request = Request::get("/open-insurance/resources/v3/resources").bearer(&token).to_bytes();
    // Servers are taken in turn: one of the two requests meets the stuck one first.
    let (mut one, mut two) = (lab.http1().await, lab.http1().await);
    one.send(&request).await.unwrap();
    two.send(&request).await.unwrap();
    eventually("the other one is served", || async { lab.recorded().len() == 1 }).await;
    lab.rewrite_config(|config| format!("{config}\n[identity]\nprofile = \"opin-sandbox\"\n"));
    crate::reload::reload(&lab, "configuration reloaded").await;
    let answers = [one.receive(false).await.unwrap(), two.receive(false).await.unwrap()];
    let mut statuses = answers.each_ref().map(|answer| answer.status.as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401], "{answers:?}");
    assert_eq!(lab.recorded().len(), 1, "the second server saw nothing");
}
