//! What a body may be: JSON, as deep and as large as is admitted, whether it is received whole or passed on
//! as it comes.

use super::{POST, framed, refuse_bytes};
use crate::harness::*;

/// Bodies that are no JSON, or too much of it.
fn bad_bodies() -> Vec<(String, &'static str)> {
    let mut bodies: Vec<(String, &'static str)> = [
        "{\"a\":}",
        "{\"a\":1",
        "{} {}",
        "{'a':1}",
        "[1,]",
        "tru",
        "\u{feff}{}",
        " ",
        "{\"a\":01}",
    ]
    .map(|body| (body.to_owned(), "request_json_malformed"))
    .into();
    bodies.push(("[".repeat(17) + &"]".repeat(17), "request_json_depth"));
    bodies.push(("{\"a\":".repeat(17) + "1" + &"}".repeat(17), "request_json_depth"));
    bodies.push(("{\"a\":1,\"a\":2}".to_owned(), "request_json_repeated"));
    bodies.push(("[{\"b\":{\"a\":1,\"\\u0061\":2}}]".to_owned(), "request_json_repeated"));
    bodies.push((format!("[{}1]", "1,".repeat(100)), "request_json_members"));
    bodies.push((format!("[{}{{}}]", "{\"a\":1},".repeat(50)), "request_json_members"));
    bodies
}

async fn bounded_lab() -> Lab {
    let bounds = "[http]\nmax_json_depth = 16\nmax_json_members = 100";
    lab_with(|config| config.swap("[http]", bounds)).await
}

/// JSON of exactly so many bytes, with a fault at some place if there is one.
fn long(size: usize, fault: Option<usize>) -> String {
    let body = format!("{{\"data\":\"{}\"}}", "d".repeat(size - 11));
    let Some(fault) = fault else { return body };
    // A control character is nowhere in JSON.
    format!("{}\u{1}{}", &body[..fault], &body[fault + 1..])
}

#[tokio::test]
async fn a_body_that_is_no_json_or_too_much_of_it_is_refused() {
    let lab = bounded_lab().await;
    let token = lab.client_token("consents");
    let mut refused = std::collections::BTreeMap::new();
    for (body, code) in bad_bodies() {
        let declared = framed(&token, &format!("Content-Length: {}", body.len()), &body);
        let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        let chunked = framed(&token, "Transfer-Encoding: chunked", &chunked);
        for request in [declared, chunked] {
            let response = refuse_bytes(&lab, &request).await;
            assert_refused(&response, 400, "CORPO_INVALIDO");
            *refused.entry(code).or_insert(0.0) += 1.0;
        }
    }
    lab.assert_untouched();
    for (code, count) in refused {
        let series = format!("portaria_refusals_total{{code=\"{code}\",stage=\"request\"}}");
        lab.expect_metric(&series, count).await;
    }
}

#[tokio::test]
async fn http2_bodies_are_judged_alike() {
    let lab = bounded_lab().await;
    let connection = lab.http2().await;
    for (body, _) in bad_bodies() {
        let request = http::Request::post(format!("https://localhost{POST}"))
            .header("authorization", format!("Bearer {}", lab.client_token("consents")))
            .header("content-type", "application/json")
            .header("x-idempotency-key", "k");
        let body = bytes::Bytes::from(body);
        let response = connection.exchange(request.body(()).unwrap(), body).await.unwrap();
        assert_refused(&response, 400, "CORPO_INVALIDO");
    }
    lab.assert_untouched();
}

#[tokio::test]
async fn a_refused_caller_whose_small_body_is_here_keeps_its_connection() {
    let lab = lab().await;
    let mut http1 = lab.http1().await;
    for _ in 0..3 {
        for (request, status) in [
            (Request::post(POST, "{\"a\":1}"), 401),
            (Request::post("/nowhere", "{}"), 404),
            (Request::new("PUT", POST).content("{}"), 405),
            (Request::post(POST, &"x".repeat(4000)).with("Content-Encoding", "gzip"), 415),
        ] {
            let response = http1.exchange(&request.to_bytes()).await.unwrap();
            assert_eq!(response.status, status);
            assert_eq!(response.field("connection"), Some("keep-alive"), "{status}");
        }
    }
    lab.assert_untouched();
    // What is not here is not waited for.
    let waits = "POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\n";
    let response = http1.exchange(waits.as_bytes()).await.unwrap();
    assert_eq!((response.status.as_u16(), response.field("connection")), (404, Some("close")));
}

/// A stream that is reset while its small body is on the way costs many clients the answer that they have.
#[tokio::test]
async fn a_refused_caller_that_still_sends_a_small_body_is_not_reset_over_http2() {
    let lab = lab().await;
    let http2 = lab.http2().await;
    for (method, media, status) in [
        ("POST", "text/plain", 415),
        ("PUT", "application/json", 405),
        ("POST", "application/json", 401),
    ] {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("https://localhost{POST}"))
            .header("content-type", media)
            .header("content-length", "4000")
            .body(())
            .unwrap();
        let body = bytes::Bytes::from(vec![b' '; 4000]);
        let (response, is_reset) = http2.exchange_late(request, body).await.unwrap();
        assert_eq!(response.status, status);
        assert!(!response.body.is_empty());
        assert!(!is_reset, "{status}");
    }
    lab.assert_untouched();
}

/// Whether there is a body is what arrived, not what the head suggests.
#[tokio::test]
async fn a_stream_that_ends_in_an_empty_frame_has_no_body() {
    let lab = lab().await;
    let consent = lab.consents.create(CLIENT_ONE, &[], "AUTHORISED");
    let token = lab.client_token("consents");
    let http2 = lab.http2().await;
    for (method, target, status, by_trailers) in [
        ("GET", format!("{POST}/{consent}"), 200, false),
        ("GET", format!("{POST}/{consent}"), 200, true),
        ("POST", POST.to_owned(), 201, false),
        ("POST", POST.to_owned(), 201, true),
        ("DELETE", format!("{POST}/{consent}"), 204, false),
    ] {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("https://localhost{target}"))
            .header("authorization", format!("Bearer {token}"))
            .header("x-fapi-interaction-id", INTERACTION_ID)
            .header("x-idempotency-key", "k")
            .body(())
            .unwrap();
        let response = http2.exchange_open(request, by_trailers).await.unwrap();
        assert_eq!(response.status, status, "{method}: {response:?}");
        assert!(lab.last_recorded().body.is_empty());
    }
}

#[tokio::test]
async fn json_within_its_bounds_passes() {
    let lab = bounded_lab().await;
    let token = lab.client_token("consents");
    for body in [
        "[".repeat(16) + &"]".repeat(16),
        format!("[{}1]", "1,".repeat(99)),
        "{\"a\":\"\\u00e9é\",\"b\":-1.5e+3}".to_owned(),
        "null".to_owned(),
        long(200_000, None),
    ] {
        let response = lab.send(&Request::post(POST, &body).bearer(&token)).await;
        assert_eq!(response.status, 201, "{response:?}");
        assert!(lab.last_recorded().body == body.as_bytes());
    }
}

#[tokio::test]
async fn no_backend_gets_the_whole_of_a_long_body_with_a_fault() {
    let lab = bounded_lab().await;
    let token = lab.client_token("consents");
    let size = 200_000;
    // Before and after what fits the gateway's buffer, and as the last bytes: the brace that is missing.
    for fault in [20, 70_000, 150_000, size - 2, size - 1] {
        let body = long(size, Some(fault));
        let response =
            refuse_bytes(&lab, &framed(&token, &format!("Content-Length: {size}"), &body)).await;
        assert_refused(&response, 400, "CORPO_INVALIDO");
    }
    let open = long(size - 1, None).replace('}', " ") + " ";
    let response =
        refuse_bytes(&lab, &framed(&token, &format!("Content-Length: {size}"), &open)).await;
    assert_refused(&response, 400, "CORPO_INVALIDO");
    lab.assert_untouched();
}

/// What arrives at a closed connection resets it, and the answer with it: a caller that reads only when it
/// has sent everything would never know why it was refused.
#[tokio::test]
async fn a_caller_that_still_sends_is_left_the_time_to_read_why_it_was_refused() {
    let lab = bounded_lab().await;
    let (good, sent) = (lab.client_token("consents"), 150_000);
    for (token, size, fault, status) in [
        ("none", 400_000, None, 401),
        (good.as_str(), 2_000_000, None, 413),
        (good.as_str(), 400_000, Some(100_000), 400),
    ] {
        let body = long(size, fault);
        let request = framed(token, &format!("Content-Length: {size}"), &body[..sent]);
        let mut connection = lab.http1().await;
        assert_eq!(connection.exchange(&request).await.unwrap().status, status);
        assert!(connection.receive_rest().await.unwrap().is_empty());
        for piece in body.as_bytes()[sent..400_000].chunks(5_000) {
            connection.send(piece).await.unwrap();
        }
    }
    lab.assert_untouched();
}

/// Over HTTP/2 the end of a body may be said after its last byte: by then a backend would have all of it.
#[tokio::test]
async fn a_fault_in_the_last_byte_is_found_before_the_end_is_said() {
    let lab = bounded_lab().await;
    let size = 200_000;
    let post = http::Request::post(format!("https://localhost{POST}"))
        .header("authorization", format!("Bearer {}", lab.client_token("consents")))
        .header("content-type", "application/json")
        .header("content-length", size)
        .header("x-idempotency-key", "k");
    let open = long(size - 1, None).replace('}', " ") + " ";
    let request = post.body(()).unwrap();
    let response = lab.http2().await.exchange_endless(request, open.into()).await.unwrap();
    assert_refused(&response, 400, "CORPO_INVALIDO");
    lab.assert_untouched();
}

#[tokio::test]
async fn a_route_may_have_a_bound_of_its_own() {
    let own = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(policies().join("consents-v3.toml")).unwrap();
    let bound = "path = \"/consents\"\nmax_body_size = \"1KiB\"\n";
    let text = text.swap("path = \"/consents\"\n", bound);
    std::fs::write(own.path().join("consents-v3.toml"), text).unwrap();
    std::fs::copy(policies().join("quote-auto-v2.toml"), own.path().join("quote-auto-v2.toml"))
        .unwrap();
    let (from, to) = (policies().display().to_string(), own.path().display().to_string());
    let lab = lab_with(|config| config.swap(&from, &to)).await;
    let token = lab.client_token("consents quote-auto");
    let body = long(1025, None);
    let chunked = format!("401\r\n{body}\r\n0\r\n\r\n");
    for (framing, body) in
        [("Content-Length: 1025", body.as_str()), ("Transfer-Encoding: chunked", &chunked)]
    {
        let response = refuse_bytes(&lab, &framed(&token, framing, body)).await;
        assert_refused(&response, 413, "CORPO_EXCEDE_LIMITE");
    }
    lab.assert_untouched();
    let other = Request::post("/open-insurance/quote-auto/v2/request", &body).bearer(&token);
    assert_eq!(lab.send(&other).await.status, 201);
    let response = lab.send(&Request::post(POST, &long(1024, None)).bearer(&token)).await;
    assert_eq!(response.status, 201);
}
