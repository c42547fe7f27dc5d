//! Links of answers get the host that callers know, where one is configured.

use crate::harness::*;

const QUOTE: &str = "/open-insurance/quote-auto/v2/request";
const OPEN: &str = "/open-insurance/channels/v2/branches";

async fn lab_with_public_url() -> Lab {
    let key = "name = \"legacy\"\npublic_url = \"https://api.seguradora.example\"";
    lab_with(|config| config.swap("name = \"legacy\"", key)).await
}

/// A request that the backend answers with this.
fn echo(lab: &Lab, body: &str, demand: &str) -> Request {
    let request = Request::post(&format!("{QUOTE}?lab={demand}"), body);
    request.bearer(&lab.client_token("quote-auto"))
}

fn page(host: &str, filling: usize) -> String {
    let links = format!(
        "{{\"self\":\"{host}/open-insurance/quote-auto/v2/x?page=2\",\"next\":\"{host}/y?page=3\"}}"
    );
    let data = format!("{{\"url\":\"{host}/data\",\"filling\":\"{}\"}}", "x".repeat(filling));
    format!(
        "{{\"data\":{data},\"links\":{links},\"meta\":{{\"totalRecords\":1,\"totalPages\":3}}}}"
    )
}

/// What becomes of a page: its links change, its data does not.
fn rewritten(host: &str, filling: usize) -> String {
    let (data, links) = (page(host, filling), page("https://api.seguradora.example", filling));
    let (data, _) = data.split_once("\"links\"").unwrap();
    let (_, links) = links.split_once("\"links\"").unwrap();
    format!("{data}\"links\"{links}")
}

#[tokio::test]
async fn links_get_the_public_host_and_nothing_else_changes() {
    let lab = lab_with_public_url().await;
    let mut connection = lab.http1().await;
    for (host, filling) in [
        ("http://legacy.internal:8080", 0),
        ("https://legacy.internal", 10),
        ("", 5),
        ("http://10.0.0.7", 900_000),
        ("https://api.seguradora.example", 0),
    ] {
        let request = echo(&lab, &page(host, filling), "echo");
        let response = connection.exchange(&request.to_bytes()).await.unwrap();
        assert_eq!(response.status, 200, "{host}");
        assert_common_fields(&response);
        let body = String::from_utf8(response.body.to_vec()).unwrap();
        assert!(body == rewritten(host, filling), "{host} {filling}");
        assert_eq!(response.field("content-length"), None);
        assert_eq!(response.field("transfer-encoding"), Some("chunked"));
    }
}

#[tokio::test]
async fn every_protocol_gets_them() {
    let lab = lab_with_public_url().await;
    let body = page("http://legacy.internal", 200_000);
    let request = http::Request::post(format!("https://localhost{QUOTE}?lab=echo"))
        .header("authorization", format!("Bearer {}", lab.client_token("quote-auto")))
        .header("content-type", "application/json")
        .header("content-length", body.len())
        .header("x-fapi-interaction-id", INTERACTION_ID)
        .header("x-idempotency-key", "k");
    let connection = lab.http2().await;
    let response = connection.exchange(request.body(()).unwrap(), body.clone().into()).await;
    let response = response.unwrap();
    assert!(response.body == rewritten("http://legacy.internal", 200_000), "HTTP/2");
    // HTTP/1.0 knows no chunks: the end of the connection is the end of the answer.
    let body = page("http://legacy.internal", 100);
    let bytes = String::from_utf8(echo(&lab, &body, "echo").to_bytes()).unwrap();
    let mut connection = lab.http1().await;
    connection.send(bytes.swap("HTTP/1.1", "HTTP/1.0").as_bytes()).await.unwrap();
    let head = connection.receive_head().await.unwrap();
    assert_eq!((head.status.as_u16(), head.field("transfer-encoding")), (200, None));
    let rest = connection.receive_rest().await.unwrap();
    assert!(rest == rewritten("http://legacy.internal", 100), "HTTP/1.0");
}

#[tokio::test]
async fn an_answer_in_chunks_has_links_too() {
    let lab = lab_with_public_url().await;
    let response = lab.send(&Request::get(&format!("{OPEN}?lab=chunked"))).await;
    let link = response.json()["links"]["self"].clone();
    assert_eq!(link, format!("https://api.seguradora.example{OPEN}"));
    // An answer without links, and one that is no JSON though it says so.
    let response = lab.send(&Request::get(&format!("{OPEN}?lab=big:100000"))).await;
    assert_eq!((response.status.as_u16(), response.body.len()), (200, 100_000));
}

/// What is compressed cannot be rewritten: the backend is not asked for it.
#[tokio::test]
async fn a_caller_that_accepts_compression_gets_its_links_too() {
    let lab = lab_with_public_url().await;
    for accepts in ["gzip", "gzip, br", "identity;q=0, gzip"] {
        let request = Request::get(&format!("{OPEN}?lab=compressed"));
        let response = lab.send(&request.with("Accept-Encoding", accepts)).await;
        assert_eq!(response.field("content-encoding"), None);
        let link = response.json()["links"]["self"].clone();
        assert_eq!(link, format!("https://api.seguradora.example{OPEN}"));
        assert_eq!(lab.last_recorded().field("accept-encoding"), Some("identity"));
    }
    // Whoever says nothing accepts any coding (RFC 9110 section 12.5.3).
    lab.send(&Request::get(&format!("{OPEN}?lab=compressed"))).await;
    assert_eq!(lab.last_recorded().field("accept-encoding"), Some("identity"));
    let plain = crate::harness::lab().await;
    let request = Request::get(&format!("{OPEN}?lab=compressed")).with("Accept-Encoding", "gzip");
    let response = plain.http1().await.exchange(&request.to_bytes()).await.unwrap();
    assert_eq!(response.field("content-encoding"), Some("gzip"));
}

/// Asks for fields that the usual answers have not.
async fn ask(lab: &Lab, demand: &str) -> portaria::lab::client::Response {
    let request = Request::get(&format!("{OPEN}?lab={demand}"));
    lab.http1().await.exchange(&request.to_bytes()).await.unwrap()
}

#[tokio::test]
async fn fields_that_name_a_place_lead_to_the_public_host() {
    let key = "name = \"legacy\"\nhost = \"legacy.internal\"\n\
               public_url = \"https://api.seguradora.example\"";
    let lab = lab_with(|config| config.swap("name = \"legacy\"", key)).await;
    let response = ask(&lab, "elsewhere").await;
    assert_eq!(response.field("location"), Some("https://api.seguradora.example/a?b#c"));
    assert_eq!(response.field("content-location"), Some("https://api.seguradora.example/d"));
    // Without a scheme it is the host all the same.
    let response = ask(&lab, "elsewhere-alike").await;
    assert_eq!(response.field("location"), Some("https://api.seguradora.example/a"));
    assert_eq!(response.field("content-location"), Some("//other.example/d"));
    // Where a login ends is no place of the backend's.
    let response = ask(&lab, "to-the-client").await;
    assert_eq!(response.field("location"), Some("https://client.example/callback?code=1"));
    let plain = crate::harness::lab().await;
    let response = ask(&plain, "elsewhere").await;
    assert_eq!(response.field("location"), Some("http://legacy.internal:8080/a?b#c"));
}

#[tokio::test]
async fn a_broken_answer_stays_broken() {
    let lab = lab_with_public_url().await;
    for demand in ["truncated", "truncated-chunked"] {
        let mut connection = lab.http1().await;
        let request = Request::get(&format!("{OPEN}?lab={demand}"));
        assert!(connection.exchange(&request.to_bytes()).await.is_err(), "{demand}");
    }
}

#[tokio::test]
async fn errors_and_unconfigured_upstreams_keep_what_they_say() {
    let lab = lab_with_public_url().await;
    let response = lab.send(&Request::get(&format!("{OPEN}?lab=status:404"))).await;
    assert_eq!(response.status, 404);
    assert!(response.field("content-length").is_some());
    let plain = crate::harness::lab().await;
    let body = page("http://legacy.internal", 10);
    let response = plain.send(&echo(&plain, &body, "echo")).await;
    assert!(response.body == body);
    assert_eq!(response.field("content-length"), Some(body.len().to_string().as_str()));
}
