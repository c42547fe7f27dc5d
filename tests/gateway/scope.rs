//! The scope of the route must be among the token's; more may be there.

use crate::harness::*;

#[tokio::test]
async fn a_token_without_the_routes_scope_is_refused() {
    let lab = lab().await;
    let consent = lab.consent(&["DAMAGES_AND_PEOPLE_AUTO_READ", "RESOURCES_READ"]);
    let post =
        |target: &str, scope: &str| Request::post(target, "{}").bearer(&lab.client_token(scope));
    let get =
        |target: &str, scope: &str| Request::get(target).bearer(&lab.user_token(scope, &consent));
    for request in [
        post("/open-insurance/consents/v3/consents", "resources"),
        post("/open-insurance/consents/v3/consents", "consents2"),
        post("/open-insurance/consents/v3/consents", ""),
        post("/open-insurance/quote-auto/v2/request", "quote-auto-lead"),
        post("/open-insurance/quote-auto/v2/lead/request", "quote-auto"),
        get("/open-insurance/insurance-auto/v2/insurance-auto", "resources customers"),
        get("/open-insurance/resources/v3/resources", "insurance-auto"),
    ] {
        let response = lab.send(&request).await;
        assert_refused(&response, 403, "ESCOPO_INSUFICIENTE");
        let challenge = response.field("www-authenticate");
        assert_eq!(challenge, Some("Bearer error=\"insufficient_scope\""));
    }
    lab.assert_untouched();
}

#[tokio::test]
async fn extra_scopes_are_legitimate() {
    let lab = lab().await;
    let consent = lab.consent(&["RESOURCES_READ"]);
    let token = lab.user_token("resources customers consents insurance-auto", &consent);
    let request = Request::get("/open-insurance/resources/v3/resources").bearer(&token);
    assert_eq!(lab.send(&request).await.status, 200);
}
