//! Which endpoints exist, where, and with which methods.

use portaria::lab::backend::Recorded;

use crate::harness::*;

const CONSENT: &str = "/open-insurance/consents/v3/consents/urn:portaria-lab:C000000";
const OPEN: &str = "/open-insurance/channels/v2/branches";

#[tokio::test]
async fn what_no_policy_lists_does_not_exist() {
    let lab = lab().await;
    for target in [
        "/",
        "/open-insurance",
        "/open-insurance/consents/v3/",
        "/open-insurance/consents/v3/consents/a/b",
        "/open-insurance/consents/v33/consents",
        "/open-insurance/consents/V3/consents",
        "/open-insurance/quote-auto/v2/request/urn:x:1/quotes",
        "/open-insurance/customers/v2/personal",
        "/metrics",
        "/readyz",
    ] {
        let response = lab.send(&Request::get(target)).await;
        assert_refused(&response, 404, "RECURSO_NAO_ENCONTRADO");
    }
    lab.assert_untouched();
}

#[tokio::test]
async fn a_known_path_tells_its_methods() {
    let lab = lab().await;
    for (method, target, allow) in [
        ("PUT", CONSENT, "GET, HEAD, DELETE"),
        ("POST", OPEN, "GET, HEAD"),
        ("OPTIONS", OPEN, "GET, HEAD"),
        ("TRACE", OPEN, "GET, HEAD"),
        ("CONNECT", OPEN, "GET, HEAD"),
        ("FETCH", OPEN, "GET, HEAD"),
        ("get", OPEN, "GET, HEAD"),
        ("GET", "/open-insurance/quote-auto/v2/request", "POST"),
        ("HEAD", "/open-insurance/quote-auto/v2/request", "POST"),
    ] {
        let request = Request::new(method, target);
        let mut connection = lab.http1().await;
        let response = connection.exchange(&request.to_bytes()).await.unwrap();
        assert_common_fields(&response);
        if method == "HEAD" {
            assert_eq!((response.status.as_u16(), response.body.len()), (405, 0));
        } else {
            assert_refused(&response, 405, "METODO_NAO_PERMITIDO");
        }
        assert_eq!(response.field("allow"), Some(allow), "{method} {target}");
    }
    lab.assert_untouched();
}

/// What may be read may be asked for its fields: judged like a GET, and a HEAD for the backend.
#[tokio::test]
async fn what_may_be_read_may_be_asked_for_its_fields() {
    let lab = lab().await;
    let head = Request::new("HEAD", OPEN);
    let mut http1 = lab.http1().await;
    for _ in 0..2 {
        http1.send(&head.to_bytes()).await.unwrap();
        let response = http1.receive(true).await.unwrap();
        assert_eq!((response.status.as_u16(), response.body.len()), (200, 0));
        assert_common_fields(&response);
        assert_eq!(lab.last_recorded().method, "HEAD");
    }
    let request = http::Request::head(format!("https://localhost{OPEN}")).body(()).unwrap();
    let response = lab.http2().await.exchange(request, bytes::Bytes::new()).await.unwrap();
    assert_eq!((response.status.as_u16(), response.body.len()), (200, 0));
    let reached = lab.recorded().len();
    http1.send(&Request::new("HEAD", CONSENT).to_bytes()).await.unwrap();
    let refused = http1.receive(true).await.unwrap();
    assert_eq!((refused.status.as_u16(), refused.body.len()), (401, 0), "it asks for a token");
    assert_eq!(lab.recorded().len(), reached);
}

/// Some servers answer a HEAD with a body: on a connection that is kept it would be taken for the answer to whoever
/// comes next.
#[tokio::test]
async fn what_a_backend_sends_after_an_answer_to_head_is_nobodys_answer() {
    let lab = lab().await;
    let mut http1 = lab.http1().await;
    let (head, get) = (Request::new("HEAD", OPEN), Request::get(OPEN));
    let empty = Request::new("HEAD", &format!("{OPEN}?lab=big:0"));
    for (request, connections) in [(&get, 1), (&empty, 1), (&get, 2), (&head, 2), (&get, 3)] {
        assert_eq!(http1.exchange(&request.to_bytes()).await.unwrap().status, 200);
        assert_eq!(lab.backend.connections(), connections, "{request:?}");
    }
    let said = |request: &Recorded| request.field("connection") == Some("close");
    let said: Vec<bool> = lab.recorded().iter().map(said).collect();
    assert_eq!(said, [false, true, false, true, false]);
}

/// Some participants registered their base paths with a slash at the end, and tools append to them.
#[tokio::test]
async fn a_slash_at_the_end_means_nothing() {
    let lab = lab().await;
    for target in [format!("{OPEN}/"), format!("{OPEN}//"), format!("{OPEN}/?page=1")] {
        let response = lab.send(&Request::get(&target)).await;
        assert_eq!(response.status, 200, "{target}");
        let reached = lab.last_recorded().target;
        assert_eq!(reached, target.trim_end_matches('/').replace("/?", "?"), "{target}");
    }
    let refused = lab.send(&Request::get(&format!("{CONSENT}/"))).await;
    assert_refused(&refused, 401, "TOKEN_INVALIDO");
    assert_eq!(lab.recorded().len(), 3);
}

#[tokio::test]
async fn who_asks_of_nothing_in_particular_hears_that_somebody_is_there() {
    let lab =
        lab_with(|config| config + "\n[limits]\nper_address = { requests = 3, per = \"1m\" }\n")
            .await;
    let mut http1 = lab.http1().await;
    for _ in 0..2 {
        let response = http1.exchange(&Request::new("OPTIONS", "*").to_bytes()).await.unwrap();
        assert_eq!((response.status.as_u16(), response.body.len()), (204, 0));
        assert_common_fields(&response);
        let allow = response.field("allow");
        assert_eq!(allow, Some("GET, HEAD, POST, PUT, PATCH, DELETE"));
    }
    let bad = Request::get("*");
    assert_refused(&http1.exchange(&bad.to_bytes()).await.unwrap(), 400, "REQUISICAO_INVALIDA");
    let response = lab.send(&Request::new("OPTIONS", "*")).await;
    assert_refused(&response, 429, "LIMITE_EXCEDIDO");
    lab.assert_untouched();
}

#[tokio::test]
async fn http2_connect_is_refused_like_any_other_method() {
    let lab = lab().await;
    let request = http::Request::builder().method("CONNECT").uri("localhost:443").body(()).unwrap();
    let response = lab.http2().await.exchange(request, bytes::Bytes::new()).await.unwrap();
    assert!(response.status.is_client_error(), "{response:?}");
    lab.assert_untouched();
}

#[tokio::test]
async fn an_mtls_route_never_answers_on_a_public_listener() {
    let lab = lab().await;
    let token = lab.client_token("consents");
    let public = lab.connector_to("public", None);
    for (method, target) in [
        ("GET", CONSENT),
        ("DELETE", CONSENT),
        ("PUT", CONSENT),
        ("GET", "/open-insurance/insurance-auto/v2/insurance-auto"),
    ] {
        let request = Request::new(method, target).bearer(&token);
        let mut connection = public.http1().await.unwrap();
        let response = connection.exchange(&request.to_bytes()).await.unwrap();
        assert_refused(&response, 404, "RECURSO_NAO_ENCONTRADO");
    }
    lab.assert_untouched();
    let mut connection = public.http1().await.unwrap();
    assert_eq!(connection.exchange(&Request::get(OPEN).to_bytes()).await.unwrap().status, 200);
}

#[tokio::test]
async fn open_routes_ask_for_nothing() {
    let lab = lab().await;
    for target in [
        OPEN,
        "/open-insurance/channels/v2/referenced-network/SP/ASSISTENCIA",
        "/open-insurance/discovery/v1/status",
        "/open-insurance/discovery/v1/outages",
    ] {
        let bare = Request::get(target).without("x-fapi-interaction-id");
        assert_eq!(lab.send(&bare).await.status, 200, "{target}");
        assert_eq!(lab.send(&bare.bearer("garbage")).await.status, 200, "{target}");
        assert_eq!(lab.last_recorded().field("authorization"), None);
    }
}

#[tokio::test]
async fn a_percent_encoded_consent_id_is_one_segment() {
    let lab = lab().await;
    let id = "urn:portaria-lab:a/b?c";
    let record = portaria::lab::consents::StoredConsent {
        status: "AUTHORISED".into(),
        permissions: vec![],
        client_id: CLIENT_ONE.into(),
        expiration: Some("2300-01-01T00:00:00Z".into()),
        ..Default::default()
    };
    lab.consents.put(id, record);
    let target = "/open-insurance/consents/v3/consents/urn%3aportaria-lab%3Aa%2fb%3fc";
    let request = Request::get(target).bearer(&lab.client_token("consents"));
    assert_eq!(lab.send(&request).await.status, 200);
    let canonical = "/open-insurance/consents/v3/consents/urn%3Aportaria-lab%3Aa%2Fb%3Fc";
    assert_eq!(lab.last_recorded().target, canonical);
    assert_eq!(lab.last_recorded().field("x-portaria-consent-id"), Some(id));
    // Only a consent id may contain a slash.
    let policy = "/open-insurance/insurance-auto/v2/insurance-auto/a%2Fb/claim";
    assert_refused(&lab.send(&Request::get(policy)).await, 404, "RECURSO_NAO_ENCONTRADO");
}

#[tokio::test]
async fn answers_name_the_version_of_their_api() {
    let lab = lab().await;
    for (target, version) in [
        (OPEN, Some("2.0.0")),
        ("/open-insurance/discovery/v1/status", Some("1.3.0")),
        ("/open-insurance/insurance-auto/v1/insurance-auto", Some("1.4.0")),
        ("/open-insurance/consents/v3/nothing", Some("3.0.0")),
        ("/open-insurance/consents/v3", Some("3.0.0")),
        ("/open-insurance//consents/v3/nothing/", Some("3.0.0")),
        ("/nowhere", None),
    ] {
        assert_eq!(lab.send(&Request::get(target)).await.field("x-v"), version, "{target}");
    }
}
