//! Which endpoints exist, where, and with which methods.

use crate::harness::*;

const CONSENT: &str = "/open-insurance/consents/v3/consents/urn:portaria-lab:C000000";
const OPEN: &str = "/open-insurance/channels/v2/branches";

#[tokio::test]
async fn what_no_policy_lists_does_not_exist() {
    let lab = lab().await;
    for target in [
        "/",
        "/open-insurance",
        "/open-insurance/consents/v3/consents/",
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
        ("PUT", CONSENT, "GET, DELETE"),
        ("POST", OPEN, "GET"),
        ("HEAD", OPEN, "GET"),
        ("OPTIONS", OPEN, "GET"),
        ("TRACE", OPEN, "GET"),
        ("CONNECT", OPEN, "GET"),
        ("FETCH", OPEN, "GET"),
        ("get", OPEN, "GET"),
        ("GET", "/open-insurance/quote-auto/v2/request", "POST"),
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
    let record = portaria::lab::consents::Record {
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
        ("/nowhere", None),
    ] {
        assert_eq!(lab.send(&Request::get(target)).await.field("x-v"), version, "{target}");
    }
}
