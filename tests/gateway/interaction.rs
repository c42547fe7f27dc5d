//! x-fapi-interaction-id: accepted, minted or refused by the route's rule, echoed on every answer.

use crate::harness::*;

const CONSENTS: &str = "/open-insurance/consents/v3/consents";
const AUTO_V1: &str = "/open-insurance/insurance-auto/v1/insurance-auto";
const AUTO_V2: &str = "/open-insurance/insurance-auto/v2/insurance-auto";
const OPEN: &str = "/open-insurance/channels/v2/branches";

fn is_uuid_v4(text: &str) -> bool {
    uuid::Uuid::parse_str(text).is_ok_and(|uuid| uuid.get_version_num() == 4)
}

#[tokio::test]
async fn a_valid_id_is_echoed_and_told_to_the_backend() {
    let lab = lab().await;
    let response = lab.send(&Request::get(OPEN)).await;
    assert_eq!(response.field("x-fapi-interaction-id"), Some(INTERACTION_ID));
    assert_eq!(lab.last_recorded().field("x-fapi-interaction-id"), Some(INTERACTION_ID));
}

#[tokio::test]
async fn one_id_may_serve_a_whole_flow() {
    let lab = lab().await;
    for _ in 0..3 {
        assert_eq!(lab.send(&Request::get(OPEN)).await.status, 200);
    }
}

#[tokio::test]
async fn a_missing_id_is_refused_or_minted_by_the_routes_rule() {
    let lab = lab().await;
    let consent = lab.consent(&["DAMAGES_AND_PEOPLE_AUTO_READ"]);
    let user = lab.user_token("insurance-auto", &consent);
    let response =
        lab.send(&Request::get(AUTO_V2).bearer(&user).without("x-fapi-interaction-id")).await;
    assert_refused(&response, 400, "PARAMETRO_INVALIDO");
    assert!(is_uuid_v4(response.field("x-fapi-interaction-id").unwrap()));
    lab.assert_untouched();

    let client = lab.client_token("consents");
    let create = Request::post(CONSENTS, "{}").bearer(&client).without("x-fapi-interaction-id");
    let response = lab.send(&create).await;
    assert_eq!(response.status, 201);
    let minted = response.field("x-fapi-interaction-id").unwrap();
    assert!(is_uuid_v4(minted));
    assert_eq!(lab.last_recorded().field("x-fapi-interaction-id"), Some(minted));
}

#[tokio::test]
async fn a_malformed_id_is_refused_and_never_echoed() {
    let lab = lab().await;
    let consent = lab.consent(&["DAMAGES_AND_PEOPLE_AUTO_READ"]);
    let token = lab.user_token("insurance-auto", &consent);
    let long = "a".repeat(101);
    for (route, id) in [
        (AUTO_V2, "flow-1"),
        (AUTO_V2, "d78fc4e5-37ca-4da3-adf2-9b082bf92280x"),
        (AUTO_V2, "<script>"),
        (AUTO_V1, "-flow"),
        (AUTO_V1, "a_b"),
        (AUTO_V1, long.as_str()),
        (AUTO_V1, ""),
    ] {
        let request = Request::get(route).without("x-fapi-interaction-id").bearer(&token);
        let response = lab.send(&request.with("x-fapi-interaction-id", id)).await;
        assert_refused(&response, 400, "PARAMETRO_INVALIDO");
        assert!(is_uuid_v4(response.field("x-fapi-interaction-id").unwrap()), "{id}");
    }
    let twice = Request::get(AUTO_V2).bearer(&token).with("x-fapi-interaction-id", INTERACTION_ID);
    assert_refused(&lab.send(&twice).await, 400, "PARAMETRO_INVALIDO");
    lab.assert_untouched();
}

#[tokio::test]
async fn the_alphanumeric_pattern_of_version_1_admits_more_than_uuids() {
    let lab = lab().await;
    let consent = lab.consent(&["DAMAGES_AND_PEOPLE_AUTO_READ"]);
    let token = lab.user_token("insurance-auto", &consent);
    let request = Request::get(AUTO_V1).without("x-fapi-interaction-id").bearer(&token);
    let response = lab.send(&request.with("x-fapi-interaction-id", "flow-1")).await;
    assert_eq!(
        (response.status.as_u16(), response.field("x-fapi-interaction-id")),
        (200, Some("flow-1"))
    );
}

#[tokio::test]
async fn every_status_carries_an_id() {
    let lab = lab().await;
    let id = lab.consents.create(CLIENT_ONE, &[], "AUTHORISED");
    let token = lab.client_token("consents");
    let delete = Request::new("DELETE", &format!("{CONSENTS}/{id}")).bearer(&token);
    for (request, status) in [
        (delete, 204),
        (Request::get("/nowhere"), 404),
        (Request::new("PUT", OPEN), 405),
        (Request::get(AUTO_V2), 401),
        (Request::get(&format!("{OPEN}?lab=status:500")), 500),
        (Request::get(&format!("{OPEN}?lab=malformed")), 503),
    ] {
        let response = lab.send(&request).await;
        assert_eq!(response.status, status, "{request:?}");
        assert_eq!(response.field("x-fapi-interaction-id"), Some(INTERACTION_ID), "{request:?}");
    }
}

/// An answer never echoes what its route's rule does not admit, however early the request is refused.
#[tokio::test]
async fn a_refusal_echoes_no_id_that_the_route_does_not_admit() {
    let lab = lab().await;
    let odd = |request: Request| {
        request.without("x-fapi-interaction-id").with("x-fapi-interaction-id", "123")
    };
    let consent = format!("{CONSENTS}/urn:x:1");
    for (request, status) in [
        (Request::get(AUTO_V2), 401),
        (Request::get(&consent), 401),
        (Request::get(&consent).bearer(&lab.client_token("resources")), 403),
        (Request::get("/nowhere"), 404),
        (Request::new("PUT", &consent), 405),
        (Request::get(AUTO_V2).with("Accept", "text/html"), 406),
        (Request::post(CONSENTS, "{}").with("Content-Encoding", "gzip"), 415),
    ] {
        let response = lab.send(&odd(request)).await;
        assert_eq!(response.status, status);
        let id = response.field("x-fapi-interaction-id").unwrap();
        assert!(uuid::Uuid::try_parse(id).is_ok(), "{status}: {id}");
    }
    lab.assert_untouched();
}

#[tokio::test]
async fn http2_carries_the_id_too() {
    let lab = lab().await;
    let request = http::Request::get(format!("https://localhost{OPEN}"))
        .header("x-fapi-interaction-id", INTERACTION_ID)
        .body(())
        .unwrap();
    let response = lab.http2().await.exchange(request, bytes::Bytes::new()).await.unwrap();
    assert_eq!(response.field("x-fapi-interaction-id"), Some(INTERACTION_ID));
}

/// Each attempt to notify has an id of its own, which its answer echoes.
#[tokio::test]
async fn a_callback_says_which_attempt_it_is_and_hears_it_again() {
    const CALLBACK: &str = "/open-insurance/dynamic-fields/v2/callback/damage-and-person";
    const FIELD: &str = "x-callback-interaction-id";
    let lab = lab().await;
    let token = lab.client_token("dynamic-fields");
    let callback = || Request::post(CALLBACK, "{}").bearer(&token);
    let attempt = callback().with(FIELD, "attempt-1");
    let response = lab.send(&attempt).await;
    assert_eq!((response.status.as_u16(), response.field(FIELD)), (201, Some("attempt-1")));
    assert_eq!(response.field("x-fapi-interaction-id"), Some(INTERACTION_ID));
    assert_eq!(lab.last_recorded().field(FIELD), Some("attempt-1"));
    let reached = lab.recorded().len();
    for bad in [
        callback(),
        callback().with(FIELD, ""),
        callback().with(FIELD, "-a"),
        callback().with(FIELD, &"a".repeat(101)),
        callback().with(FIELD, "a").with(FIELD, "a"),
        callback().with("x-webhook-interaction-id", "a"),
    ] {
        let response = lab.send(&bad).await;
        assert_refused(&response, 400, "PARAMETRO_INVALIDO");
        assert_eq!(response.field(FIELD), None);
    }
    // A refusal of another kind echoes it too.
    let nameless = Request::post(CALLBACK, "{}").with(FIELD, "attempt-2");
    let response = lab.send(&nameless).await;
    assert_eq!((response.status.as_u16(), response.field(FIELD)), (401, Some("attempt-2")));
    assert_eq!(lab.recorded().len(), reached);
    // Elsewhere the field means nothing.
    let response = lab.send(&Request::get(OPEN).with(FIELD, "attempt-3")).await;
    assert_eq!((response.status.as_u16(), response.field(FIELD)), (200, None));
}
