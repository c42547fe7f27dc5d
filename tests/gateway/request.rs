//! A backend only ever receives one canonical request per admitted request: everything that two
//! parsers could read differently is refused, and reaches no backend.

mod body;

use std::time::Duration;

use portaria::lab::client::Response;

use crate::harness::*;

const OPEN: &str = "/open-insurance/channels/v2/branches";
const POST: &str = "/open-insurance/consents/v3/consents";

/// Sends bytes on a connection of their own. The connection must end after the answer.
async fn refuse_bytes(lab: &Lab, bytes: &[u8]) -> Response {
    let mut connection = lab.http1().await;
    // The gateway may answer and end the connection before it has read everything.
    let _ = connection.send(bytes).await;
    let response = connection.receive(false).await.unwrap_or_else(|error| {
        panic!(
            "{error}: no answer to {:?}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(200)])
        )
    });
    assert_common_fields(&response);
    let ended = tokio::time::timeout(Duration::from_secs(5), connection.is_ended()).await;
    assert!(
        ended.unwrap_or(false),
        "the connection must end: {:?}",
        String::from_utf8_lossy(bytes)
    );
    response
}

#[tokio::test]
async fn every_fault_of_the_head_is_refused() {
    let lab = lab().await;
    let good = format!("GET {OPEN} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(lab.http1().await.exchange(good.as_bytes()).await.unwrap().status, 200);
    let many = "X-A: b\r\n".repeat(65);
    let field = |field: &str| format!("GET {OPEN} HTTP/1.1\r\nHost: localhost\r\n{field}\r\n\r\n");
    let line = |line: &str| format!("{line}\r\nHost: localhost\r\n\r\n");
    let target = |target: &str| line(&format!("GET {target} HTTP/1.1"));
    let cases: Vec<(String, u16, &str)> = vec![
        (good.swap("\r\nHost", "\nHost"), 400, "REQUISICAO_INVALIDA"),
        (good.swap("\r\n", "\n"), 400, "REQUISICAO_INVALIDA"),
        (field("X-A: a\rb"), 400, "REQUISICAO_INVALIDA"),
        (field("X-A: a\0b"), 400, "REQUISICAO_INVALIDA"),
        (field("X-A: b\r\n c"), 400, "REQUISICAO_INVALIDA"),
        (field("X-A : b"), 400, "REQUISICAO_INVALIDA"),
        (field(": b"), 400, "REQUISICAO_INVALIDA"),
        (field("X(A): b"), 400, "REQUISICAO_INVALIDA"),
        (field("no colon"), 400, "REQUISICAO_INVALIDA"),
        (line(&format!("GET  {OPEN} HTTP/1.1")), 400, "REQUISICAO_INVALIDA"),
        (line(&format!("GET {OPEN} HTTP/1.1 ")), 400, "REQUISICAO_INVALIDA"),
        (line(&format!("GET {OPEN} HTTP/2.0")), 400, "REQUISICAO_INVALIDA"),
        (line(&format!("GET {OPEN}")), 400, "REQUISICAO_INVALIDA"),
        (line(&format!("G[T {OPEN} HTTP/1.1")), 400, "REQUISICAO_INVALIDA"),
        (line(&format!("{} {OPEN} HTTP/1.1", "G".repeat(33))), 400, "REQUISICAO_INVALIDA"),
        (target(&format!("{OPEN}\u{e9}")), 400, "REQUISICAO_INVALIDA"),
        (target(&format!("{OPEN}\u{1}")), 400, "REQUISICAO_INVALIDA"),
        (format!("GET {OPEN} HTTP/1.1\r\n\r\n"), 400, "REQUISICAO_INVALIDA"),
        (format!("GET {OPEN} HTTP/1.0\r\n\r\n"), 400, "REQUISICAO_INVALIDA"),
        (field("Host: localhost"), 400, "REQUISICAO_INVALIDA"),
        (good.swap("localhost", "localhost, other"), 400, "REQUISICAO_INVALIDA"),
        (good.swap("localhost", "a b"), 400, "REQUISICAO_INVALIDA"),
        (good.swap("localhost", "user@localhost"), 400, "REQUISICAO_INVALIDA"),
        (good.swap("localhost", ""), 400, "REQUISICAO_INVALIDA"),
        (target(&format!("https://other{OPEN}")), 400, "REQUISICAO_INVALIDA"),
        (field("Upgrade: websocket\r\nConnection: upgrade"), 400, "REQUISICAO_INVALIDA"),
        (field("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk"), 400, "REQUISICAO_INVALIDA"),
        (field("Expect: the-unexpected"), 417, "EXPECTATIVA_NAO_SUPORTADA"),
        (field("Expect: 100-continue\r\nExpect: the-unexpected"), 417, "EXPECTATIVA_NAO_SUPORTADA"),
        (good.swap("localhost", "[]"), 400, "REQUISICAO_INVALIDA"),
        (good.swap("localhost", "[.]:443"), 400, "REQUISICAO_INVALIDA"),
        (good.swap("localhost", "[v1.a]"), 400, "REQUISICAO_INVALIDA"),
        (field(&format!("X-A: {}", "a".repeat(100_000))), 431, "CABECALHO_EXCEDE_LIMITE"),
        (field(&many), 431, "CABECALHO_EXCEDE_LIMITE"),
        (target(&format!("{OPEN}?{}", "a".repeat(20_000))), 431, "CABECALHO_EXCEDE_LIMITE"),
    ];
    for (request, status, code) in &cases {
        let response = refuse_bytes(&lab, request.as_bytes()).await;
        assert_refused(&response, *status, code);
    }
    assert_eq!(lab.recorded().len(), 1, "the backend saw nothing but the good one");
}

#[tokio::test]
async fn every_disguise_of_a_path_is_refused() {
    let lab = lab().await;
    for target in [
        "/open-insurance/channels/v2/x/../branches",
        "/open-insurance/channels/v2/./branches",
        "/open-insurance/channels/v2/%2e%2e/v2/branches",
        "/open-insurance/channels/v2/..;/v2/branches",
        "/open-insurance/channels/v2/;x/branches",
        "/open-insurance/channels/v2/%2E/branches",
        "/open-insurance/channels/v2/%252e%252e/branches",
        "/open-insurance/channels/v2/x/..%253b/branches",
        "/open-insurance/channels/v2/x/..%253B/branches",
        "/open-insurance/channels/v2\\branches",
        "/open-insurance/channels/v2%5cbranches",
        "/open-insurance/channels/v2/branches%00",
        "/open-insurance/channels/v2/branches%0a",
        "/open-insurance/channels/v2/branches%7f",
        "/open-insurance/channels/v2/%ff",
        "/open-insurance/channels/v2/%c3%28",
        "/open-insurance/channels/v2/%zz",
        "/open-insurance/channels/v2/%",
        "/open-insurance/channels/v2/branches#fragment",
        "/open-insurance/channels/v2/branches?a=\"b\"",
        "/open-insurance/channels/v2/branches?a={b}",
        "open-insurance/channels/v2/branches",
        "*",
    ] {
        let response = refuse_bytes(&lab, &Request::get(target).to_bytes()).await;
        assert_refused(&response, 400, "REQUISICAO_INVALIDA");
    }
    // Well formed, but no such path: an encoded slash is part of a segment.
    for target in
        ["/open-insurance/channels/v2%2Fbranches", "/open-insurance%2fchannels/v2/branches"]
    {
        assert_refused(&lab.send(&Request::get(target)).await, 404, "RECURSO_NAO_ENCONTRADO");
    }
    lab.assert_untouched();
}

#[tokio::test]
async fn equivalent_paths_reach_the_backend_in_one_form() {
    let lab = lab().await;
    for target in
        [OPEN, "//open-insurance/channels//v2/branches", "/open-insurance/%63hannels/v2/branches"]
    {
        assert_eq!(lab.send(&Request::get(target)).await.status, 200, "{target}");
        assert_eq!(lab.last_recorded().target, OPEN);
    }
    let absolute = format!("https://localhost{OPEN}?page=1");
    assert_eq!(lab.send(&Request::get(&absolute)).await.status, 200);
    assert_eq!(lab.last_recorded().target, format!("{OPEN}?page=1"));
    assert_eq!(lab.last_recorded().field("host"), Some("localhost"));
}

/// A POST whose framing a test changes.
fn framed(token: &str, framing: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {POST} HTTP/1.1\r\nHost: localhost\r\nx-idempotency-key: k\r\n\
         Authorization: Bearer {token}\r\nContent-Type: application/json\r\n{framing}\r\n\r\n{body}"
    )
    .into_bytes()
}

#[tokio::test]
async fn every_ambiguous_framing_is_refused() {
    let lab = lab().await;
    let token = lab.client_token("consents");
    let chunked = "Transfer-Encoding: chunked";
    let whole = "2\r\n{}\r\n0\r\n\r\n";
    for (framing, body) in [
        ("Content-Length: 2\r\nTransfer-Encoding: chunked", whole),
        ("Transfer-Encoding: chunked\r\nContent-Length: 2", whole),
        ("Content-Length: 2\r\nContent-Length: 2", "{}"),
        ("Content-Length: 2, 2", "{}"),
        ("Content-Length: +2", "{}"),
        ("Content-Length: 0x2", "{}"),
        ("Content-Length: -2", "{}"),
        ("Content-Length: 2 2", "{}"),
        ("Content-Length:", "{}"),
        ("Content_Length: 2", "{}"),
        ("Transfer_Encoding: chunked", whole),
        ("Content-Length: 2\r\nTransfer_Encoding: chunked", "{}"),
        ("Transfer-Encoding: gzip, chunked", whole),
        ("Transfer-Encoding: chunked, chunked", whole),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", whole),
        ("Transfer-Encoding: xchunked", whole),
        ("Transfer-Encoding: identity", "{}"),
        ("Transfer-Encoding :chunked", whole),
        (chunked, "2 \r\n{}\r\n0\r\n\r\n"),
        (chunked, " 2\r\n{}\r\n0\r\n\r\n"),
        (chunked, "2\t;a\r\n{}\r\n0\r\n\r\n"),
        (chunked, "2\n{}\n0\n\n"),
        (chunked, "0x2\r\n{}\r\n0\r\n\r\n"),
        (chunked, "2\r\n{}X\r\n0\r\n\r\n"),
        (chunked, "ffffffffff\r\n{}\r\n0\r\n\r\n"),
        (chunked, "-2\r\n{}\r\n0\r\n\r\n"),
    ] {
        let response = refuse_bytes(&lab, &framed(&token, framing, body)).await;
        assert_refused(&response, 400, "REQUISICAO_INVALIDA");
    }
    lab.assert_untouched();
}

#[tokio::test]
async fn a_chunked_body_reaches_the_backend_with_its_length() {
    let lab = lab().await;
    let token = lab.client_token("consents");
    let body = "4;ext=1\r\n{\"a\"\r\n3\r\n:1}\r\n0\r\nX-Trailer: b\r\n\r\n";
    let request = framed(&token, "Transfer-Encoding: chunked", body);
    let mut connection = lab.http1().await;
    assert_eq!(connection.exchange(&request).await.unwrap().status, 201);
    let recorded = lab.last_recorded();
    assert_eq!(recorded.body, b"{\"a\":1}");
    assert_eq!(recorded.field("content-length"), Some("7"));
    assert_eq!(recorded.field("transfer-encoding"), None);
    assert_eq!(recorded.field("x-trailer"), None);
    // The connection carries the next request.
    assert_eq!(connection.exchange(&Request::get(OPEN).to_bytes()).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let lab = lab().await;
    let token = lab.client_token("consents");
    let ten_megabytes = "1".repeat(10 * 1024 * 1024);
    let declared = format!("Content-Length: {}", ten_megabytes.len());
    let response = refuse_bytes(&lab, &framed(&token, &declared, &ten_megabytes)).await;
    assert_refused(&response, 413, "CORPO_EXCEDE_LIMITE");
    let chunk = format!("{:x}\r\n{}\r\n0\r\n\r\n", 65_537, &ten_megabytes[..65_537]);
    let response = refuse_bytes(&lab, &framed(&token, "Transfer-Encoding: chunked", &chunk)).await;
    assert_refused(&response, 411, "TAMANHO_OBRIGATORIO");
    lab.assert_untouched();
}

/// A body of JSON no two parts of which are the same.
fn counting(size: usize) -> String {
    let mut text: String = (0..=size / 8).map(|number| format!("{number:08}")).collect();
    text.truncate(size.saturating_sub(2));
    match size {
        0 => String::new(),
        1 => "1".to_owned(),
        _ => format!("\"{text}\""),
    }
}

#[tokio::test]
async fn bodies_of_every_admitted_size_arrive_whole() {
    let lab = lab().await;
    let token = lab.client_token("consents");
    for size in [0, 1, 65_535, 65_536, 65_537, 1024 * 1024] {
        let body = counting(size);
        let response = lab.send(&Request::post(POST, &body).bearer(&token)).await;
        assert_eq!(response.status, 201, "{size}");
        let recorded = lab.last_recorded();
        assert!(recorded.body == body.as_bytes(), "{size}: {}", recorded.body.len());
        assert_eq!(recorded.field("content-length"), Some(size.to_string().as_str()));
    }
}

#[tokio::test]
async fn http2_bodies_reach_the_backend_with_their_length() {
    let lab = lab().await;
    let token = lab.client_token("consents");
    let connection = lab.http2().await;
    let post = |length: Option<usize>| {
        let mut request = http::Request::post(format!("https://localhost{POST}"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .header("x-idempotency-key", "k");
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        request.body(()).unwrap()
    };
    for (length, size) in [(None, 7), (Some(7), 7), (None, 65_536), (Some(200_000), 200_000)] {
        let body = bytes::Bytes::from(counting(size));
        let response = connection.exchange(post(length), body.clone()).await.unwrap();
        assert_eq!(response.status, 201, "{length:?} {size}");
        let recorded = lab.last_recorded();
        assert!(recorded.body == body, "{size}: {}", recorded.body.len());
        assert_eq!(recorded.field("content-length"), Some(size.to_string().as_str()));
        assert_eq!(recorded.field("transfer-encoding"), None);
    }
    let reached = lab.recorded().len();
    let undeclared = bytes::Bytes::from(vec![b'1'; 65_537]);
    let response = connection.exchange(post(None), undeclared).await.unwrap();
    assert_refused(&response, 411, "TAMANHO_OBRIGATORIO");
    assert_eq!(lab.recorded().len(), reached);
}

#[tokio::test]
async fn a_slow_body_is_refused_at_its_timeout() {
    let lab = lab().await;
    let token = lab.client_token("consents");
    for (framing, part) in
        [("Content-Length: 10", "{\"a"), ("Transfer-Encoding: chunked", "5\r\n{")]
    {
        let response = refuse_bytes(&lab, &framed(&token, framing, part)).await;
        assert_refused(&response, 408, "TEMPO_DE_ENVIO_ESGOTADO");
    }
    lab.assert_untouched();
}

#[tokio::test]
async fn a_caller_that_leaves_in_the_middle_of_its_body_reaches_nothing() {
    let lab = lab().await;
    let token = lab.client_token("consents");
    let mut connection = lab.http1().await;
    connection.send(&framed(&token, "Content-Length: 10", "{\"a")).await.unwrap();
    drop(connection);
    let aborts = "portaria_client_aborts_total";
    lab.expect_metric(aborts, 1.0).await;
    lab.assert_untouched();
}

#[tokio::test]
async fn expect_100_continue_is_answered_before_the_body() {
    let lab = lab().await;
    let token = lab.client_token("consents");
    for (framing, body) in
        [("Content-Length: 2", "{}"), ("Transfer-Encoding: chunked", "2\r\n{}\r\n0\r\n\r\n")]
    {
        let mut connection = lab.http1().await;
        let head = framed(&token, &format!("{framing}\r\nExpect: 100-continue"), "");
        connection.send(&head).await.unwrap();
        assert!(connection.receive_head().await.unwrap().status.is_informational());
        connection.send(body.as_bytes()).await.unwrap();
        assert_eq!(connection.receive(false).await.unwrap().status, 201);
        assert_eq!(lab.last_recorded().field("expect"), None);
        assert_eq!(lab.last_recorded().body, b"{}");
    }
    // A request that is refused is refused before its body is asked for.
    let refused = framed("garbage", "Content-Length: 2\r\nExpect: 100-continue", "");
    let reached = lab.recorded().len();
    assert_refused(&refuse_bytes(&lab, &refused).await, 401, "TOKEN_INVALIDO");
    assert_eq!(lab.recorded().len(), reached);
}

#[tokio::test]
async fn only_json_in_utf8_is_spoken() {
    let lab = lab().await;
    let token = lab.client_token("consents");
    for (name, value) in [
        ("Accept", "text/html"),
        ("Accept", "application/xml;q=0.9, text/*"),
        ("Accept", "application/json;q=0"),
        ("Accept-Charset", "iso-8859-1"),
    ] {
        let response = lab.send(&Request::get(OPEN).with(name, value)).await;
        assert_refused(&response, 406, "FORMATO_NAO_ACEITAVEL");
    }
    for (name, value) in [
        ("Content-Type", "text/plain"),
        ("Content-Type", "application/xml"),
        ("Content-Type", "application/json; charset=latin1"),
        ("Content-Encoding", "gzip"),
    ] {
        let request = Request::post(POST, "{}").bearer(&token);
        let request = if name == "Content-Type" { request.without(name) } else { request };
        let response = lab.send(&request.with(name, value)).await;
        assert_refused(&response, 415, "MIDIA_NAO_SUPORTADA");
    }
    lab.assert_untouched();
    for accept in ["*/*", "application/json", "application/*", "text/html, application/json;q=0.8"]
    {
        assert_eq!(
            lab.send(&Request::get(OPEN).with("Accept", accept)).await.status,
            200,
            "{accept}"
        );
    }
    // The conformance suite sends these.
    let with_type = Request::get(OPEN).with("Content-Type", "application/json");
    assert_eq!(lab.send(&with_type.with("Accept-Charset", "utf-8")).await.status, 200);
}

#[tokio::test]
async fn an_idempotency_key_is_required_where_the_policy_says_so() {
    let lab = lab().await;
    let token = lab.client_token("consents quote-auto");
    let long = "k".repeat(41);
    let request = || Request::post(POST, "{}").bearer(&token).without("x-idempotency-key");
    for refused in [
        request(),
        request().with("x-idempotency-key", ""),
        request().with("x-idempotency-key", &long),
        request().with("x-idempotency-key", "a").with("x-idempotency-key", "a"),
    ] {
        assert_refused(&lab.send(&refused).await, 422, "ERRO_IDEMPOTENCIA");
    }
    lab.assert_untouched();
    let patch = Request::new("PATCH", "/open-insurance/quote-auto/v2/request/urn:x:1");
    assert_eq!(lab.send(&patch.content("{}").bearer(&token)).await.status, 200, "never on PATCH");
    assert_eq!(lab.send(&Request::post(POST, "{}").bearer(&token)).await.status, 201);
    assert_eq!(lab.last_recorded().field("x-idempotency-key"), Some("key-1"));
}

#[tokio::test]
async fn what_arrives_during_an_exchange_waits_for_its_turn() {
    let lab = lab().await;
    let mut connection = lab.http1().await;
    let slow = Request::get(&format!("{OPEN}?lab=slow:200")).to_bytes();
    // An empty line and another request, and later something that is none.
    for (behind, then) in
        [(Request::get("/nowhere").to_bytes(), 404), (b"garbage\r\n\r\n".to_vec(), 400)]
    {
        let reached = lab.recorded().len();
        connection.send(&slow).await.unwrap();
        eventually("the backend has it", || async { lab.recorded().len() > reached }).await;
        connection.send(&[b"\r\n", &behind[..]].concat()).await.unwrap();
        assert_eq!(connection.receive(false).await.unwrap().status, 200);
        assert_eq!(connection.receive(false).await.unwrap().status, then);
        assert_eq!(lab.recorded().len(), reached + 1);
    }
    assert!(connection.is_ended().await);
}

#[tokio::test]
async fn http2_has_the_same_bounds() {
    let lab = lab_with(|config| config.within("[http]", "max_body_size = \"16KiB\"")).await;
    let connection = lab.http2().await;
    let post = || {
        http::Request::post(format!("https://localhost{POST}"))
            .header("authorization", format!("Bearer {}", lab.client_token("consents")))
            .header("content-type", "application/json")
            .header("x-idempotency-key", "k")
    };
    let undeclared = bytes::Bytes::from(vec![b'1'; 16 * 1024 + 1]);
    let response = connection.exchange(post().body(()).unwrap(), undeclared).await.unwrap();
    assert_refused(&response, 413, "CORPO_EXCEDE_LIMITE");
    let many = (0..64).fold(post(), |request, n| request.header(format!("x-{n}"), "1"));
    let body = bytes::Bytes::from_static(b"{}");
    let response = connection.exchange(many.body(()).unwrap(), body.clone()).await.unwrap();
    assert_refused(&response, 431, "CABECALHO_EXCEDE_LIMITE");
    // Longer than a head may be, and no longer than the library reads.
    let long = post().header("x-long", "a".repeat(17_000));
    let response = connection.exchange(long.body(()).unwrap(), body).await.unwrap();
    assert_refused(&response, 431, "CABECALHO_EXCEDE_LIMITE");
    lab.assert_untouched();
}

#[tokio::test]
async fn a_refused_chunked_body_keeps_the_interaction_id_of_its_head() {
    let lab = lab().await;
    let token = lab.client_token("consents");
    let body = "zz\r\nx-fapi-interaction-id: of-the-body\r\n\r\n";
    let fields = format!("x-fapi-interaction-id: {INTERACTION_ID}\r\nTransfer-Encoding: chunked");
    let response = refuse_bytes(&lab, &framed(&token, &fields, body)).await;
    assert_refused(&response, 400, "REQUISICAO_INVALIDA");
    assert_eq!(response.field("x-fapi-interaction-id"), Some(INTERACTION_ID));
    lab.assert_untouched();
}

#[tokio::test]
async fn http_10_gets_no_chunks() {
    let lab = lab().await;
    let mut connection = lab.http1().await;
    let request = format!("GET {OPEN}?lab=chunked HTTP/1.0\r\nHost: localhost\r\n\r\n");
    connection.send(request.as_bytes()).await.unwrap();
    let head = connection.receive_head().await.unwrap();
    assert_eq!((head.status.as_u16(), head.field("transfer-encoding")), (200, None));
    let body: serde_json::Value =
        serde_json::from_slice(&connection.receive_rest().await.unwrap()).unwrap();
    assert!(body["data"].is_array());
}
