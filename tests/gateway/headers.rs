//! What crosses from one side to the other, and what does not.

use crate::harness::*;

const OPEN: &str = "/open-insurance/channels/v2/branches";
const RESOURCES: &str = "/open-insurance/resources/v3/resources";

#[tokio::test]
async fn identity_look_alikes_from_outside_are_removed() {
    let lab = lab().await;
    let mut request = Request::get(OPEN);
    let forged = [
        "x-portaria-organisation-id",
        "X-Portaria-Client-Id",
        "x_portaria_client_id",
        "X-PORTARIA-ANYTHING",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "Forwarded",
        "X-Real-IP",
        "Client-Cert",
        "Client-Cert-Chain",
        "BANK-TLS-Certificate",
        "X-BANK-Certificate-Verify",
        "X-BANK-Certificate-DN",
        "access_token",
        "X-SSL-Client-S-DN",
        "SSL_CLIENT_CERT",
        "X-HTTP-Method-Override",
        "X-Original-URL",
        "X-Rewrite-URL",
        "Proxy",
        "Remote-User",
        "WL-Proxy-Client-IP",
        "X-ARR-ClientCert",
        "CF-Connecting-IP",
        "X-Consumer-ID",
        "X-Organisation-Id",
        "Cookie",
    ];
    for name in forged {
        request = request.with(name, "forged");
    }
    assert_eq!(lab.send(&request).await.status, 200);
    let recorded = lab.last_recorded();
    assert!(!String::from_utf8_lossy(&recorded.head).contains("forged"), "{recorded:?}");
    assert_eq!(recorded.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(recorded.field("x-forwarded-proto"), Some("https"));
    assert_eq!(recorded.field("x-forwarded-host"), Some("localhost"));
    for identity in ["organisation-id", "software-statement-id", "client-id", "consent-id"] {
        assert_eq!(
            recorded.field(&format!("x-portaria-{identity}")),
            None,
            "an open route names nobody"
        );
    }
}

#[tokio::test]
async fn hop_by_hop_fields_stay_on_their_connection() {
    let lab = lab().await;
    let request = Request::get(OPEN)
        .with("Connection", "keep-alive, x-hop")
        .with("X-Hop", "secret")
        .with("Keep-Alive", "timeout=5")
        .with("Proxy-Authorization", "Basic secret")
        .with("Proxy-Connection", "keep-alive")
        .with("TE", "trailers")
        .with("Trailer", "x-trailer");
    assert_eq!(lab.send(&request).await.status, 200);
    let recorded = lab.last_recorded();
    for name in [
        "connection",
        "x-hop",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
    ] {
        assert_eq!(recorded.field(name), None, "{name}: {recorded:?}");
    }
}

#[tokio::test]
async fn fields_of_the_ecosystem_reach_the_backend() {
    let lab = lab().await;
    let fields = [
        ("x-fapi-auth-date", "Sun, 10 Sep 2017 19:43:31 GMT"),
        ("x-fapi-customer-ip-address", "192.0.2.7"),
        ("x-customer-user-agent", "Mozilla/5.0 (çã)"),
        ("x-min-v", "1.0.0"),
        ("User-Agent", "tpp/1"),
        ("If-None-Match", "\"a\""),
    ];
    let request =
        fields.iter().fold(Request::get(OPEN), |request, (name, value)| request.with(name, value));
    assert_eq!(lab.send(&request).await.status, 200);
    for (name, value) in fields {
        assert_eq!(lab.last_recorded().field(name), Some(value));
    }
}

#[tokio::test]
async fn a_caller_cannot_take_away_what_was_judged() {
    let lab = lab().await;
    let request = Request::post("/open-insurance/consents/v3/consents", "{}")
        .bearer(&lab.client_token("consents"))
        .with("Connection", "close, x-idempotency-key, content-type, content-length");
    assert_eq!(lab.send(&request).await.status, 201);
    let recorded = lab.last_recorded();
    assert_eq!(recorded.field("x-idempotency-key"), Some("key-1"));
    assert_eq!(recorded.field("content-type"), Some("application/json"));
}

#[tokio::test]
async fn an_upstream_may_be_given_more_of_the_callers_fields() {
    let key = "name = \"legacy\"\nrequest_fields = [\"x-branch\"]";
    let lab = lab_with(|config| config.swap("name = \"legacy\"", key)).await;
    let request = Request::get(OPEN).with("X-Branch", "7").with("X-Other", "8");
    assert_eq!(lab.send(&request).await.status, 200);
    let recorded = lab.last_recorded();
    assert_eq!((recorded.field("x-branch"), recorded.field("x-other")), (Some("7"), None));
}

#[tokio::test]
async fn the_token_reaches_the_backend_only_if_configured() {
    for (forward, expected) in [(false, false), (true, true)] {
        let lab = lab_with(|config| {
            let key = format!("name = \"legacy\"\nforward_authorization = {forward}");
            config.swap("name = \"legacy\"", &key)
        })
        .await;
        let consent = lab.consent(&["RESOURCES_READ"]);
        let token = lab.user_token("resources", &consent);
        assert_eq!(lab.send(&Request::get(RESOURCES).bearer(&token)).await.status, 200);
        let forwarded =
            lab.last_recorded().field("authorization") == Some(&format!("Bearer {token}"));
        assert_eq!(forwarded, expected);
    }
}

#[tokio::test]
async fn the_backends_fields_do_not_reach_the_caller() {
    let lab = lab().await;
    let response = lab.send(&Request::get(&format!("{OPEN}?lab=verbose"))).await;
    assert_eq!(response.status, 200);
    assert_common_fields(&response);
    assert_eq!(response.field("x-v"), Some("2.0.0"));
    assert_eq!(response.field("x-fapi-interaction-id"), Some(INTERACTION_ID));
}

#[tokio::test]
async fn nor_do_the_fields_of_its_interim_answers() {
    let lab = lab().await;
    let request = Request::post("/open-insurance/consents/v3/consents?lab=verbose", "{}")
        .bearer(&lab.client_token("consents"))
        .with("Expect", "100-continue");
    let mut connection = lab.http1().await;
    connection.send(&request.to_bytes()).await.unwrap();
    let mut answer = connection.receive_head().await.unwrap();
    while answer.status.is_informational() {
        assert!(answer.headers.is_empty(), "{answer:?}");
        answer = connection.receive_head().await.unwrap();
    }
    assert_eq!(answer.status, 201);
}

#[tokio::test]
async fn bodies_and_links_pass_untouched() {
    let lab = lab().await;
    let response = lab.send(&Request::get(OPEN)).await;
    let link = format!("https://api.portaria-lab.example{OPEN}");
    assert_eq!(response.json()["links"]["self"], link);
    let big = lab.send(&Request::get(&format!("{OPEN}?lab=big:3000000"))).await;
    assert_eq!(big.body.len(), 3_000_000);
    let error = lab.send(&Request::get(&format!("{OPEN}?lab=status:422"))).await;
    assert_eq!((error.status.as_u16(), error.json()["lab"].as_str()), (422, Some("asked for")));
}

#[tokio::test]
async fn a_host_can_be_set_for_an_upstream() {
    let lab = lab_with(|config| {
        config.swap("name = \"legacy\"", "name = \"legacy\"\nhost = \"legacy.internal\"")
    })
    .await;
    assert_eq!(lab.send(&Request::get(OPEN)).await.status, 200);
    assert_eq!(lab.last_recorded().field("host"), Some("legacy.internal"));
    assert_eq!(lab.last_recorded().field("x-forwarded-host"), Some("localhost"));
}

#[tokio::test]
async fn http2_requests_reach_the_backend_as_canonical_http1() {
    let lab = lab().await;
    let request = http::Request::get(format!("https://localhost{OPEN}?page=1"))
        .header("x-portaria-client-id", "forged")
        .header("cookie", "a=b")
        .header("cookie", "c=d")
        .body(())
        .unwrap();
    let response = lab.http2().await.exchange(request, bytes::Bytes::new()).await.unwrap();
    assert_eq!(response.status, 200);
    let recorded = lab.last_recorded();
    assert!(recorded.head.starts_with(format!("GET {OPEN}?page=1 HTTP/1.1\r\n").as_bytes()));
    assert_eq!(recorded.field("host"), Some("localhost"));
    assert_eq!(recorded.field("x-portaria-client-id"), None);
}

/// HTTP/2 may send a cookie in crumbs (RFC 9113 section 8.2.3).
#[tokio::test]
async fn the_crumbs_of_a_cookie_reach_the_backend_as_one() {
    let key = "name = \"legacy\"\nrequest_fields = [\"cookie\"]";
    let lab = lab_with(|config| config.swap("name = \"legacy\"", key)).await;
    let request = http::Request::get(format!("https://localhost{OPEN}"))
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("cookie", "c=3")
        .body(())
        .unwrap();
    let response = lab.http2().await.exchange(request, bytes::Bytes::new()).await.unwrap();
    assert_eq!(response.status, 200);
    let recorded = lab.last_recorded();
    let cookies: Vec<_> =
        recorded.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("cookie")).collect();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    assert_eq!(recorded.field("cookie"), Some("a=1; b=2; c=3"));
}
