//! Path and query parameters, as the specifications bound them.

use crate::errors::Forms;
use crate::harness::*;

const OPEN: &str = "/open-insurance/channels/v2/branches";
const POLICIES: &str = "/open-insurance/insurance-auto/v2/insurance-auto";
const METRICS: &str = "/open-insurance/admin/v1/metrics";
const CONSENTS: &str = "/open-insurance/consents/v3/consents";

/// A detail that names the parameter, and nothing of what was sent.
#[track_caller]
fn assert_names(response: &portaria::lab::client::Response, name: &str, sent: &str) {
    let body = response.json();
    let detail = body["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.ends_with(&format!("({name})")), "{detail}");
    assert!(!detail.contains(sent), "{detail}");
}

#[tokio::test]
async fn pages_out_of_bounds_are_refused() {
    let lab = lab().await;
    let permission = "DAMAGES_AND_PEOPLE_AUTO_READ";
    let consent = lab.consent(&[permission]);
    let token = lab.user_token("insurance-auto", &consent);
    let send = async |query: &str| {
        lab.send(&Request::get(&format!("{POLICIES}?{query}")).bearer(&token)).await
    };
    for (name, value) in [
        ("page", "0"),
        ("page", "-17"),
        ("page", "17.5"),
        ("page", "seventeen"),
        ("page", "17171717171717"),
        ("page-size", "0"),
        ("page-size", "1001"),
        ("page-size", "%2D17"),
    ] {
        let response = send(&format!("{name}={value}")).await;
        assert_refused(&response, 422, "PARAMETRO_INVALIDO");
        assert_names(&response, name, "17");
    }
    assert_refused(&send("page=1&page=2").await, 400, "PARAMETRO_INVALIDO");
    lab.assert_untouched();
    for query in ["page=1&page-size=1000", "page-size=1", "page=2147483647", "size=0&Page=0", ""] {
        let response = send(query).await;
        assert_eq!(response.status, 200, "{query}: {response:?}");
        assert_eq!(lab.last_recorded().target, format!("{POLICIES}?{query}"));
    }
}

#[tokio::test]
async fn a_query_is_judged_after_the_callers_rights() {
    let lab = lab().await;
    let target = format!("{POLICIES}?page=0");
    assert_refused(&lab.send(&Request::get(&target)).await, 401, "TOKEN_INVALIDO");
    let consent = lab.consent(&["RESOURCES_READ"]);
    let request = Request::get(&target).bearer(&lab.user_token("resources", &consent));
    assert_refused(&lab.send(&request).await, 403, "ESCOPO_INSUFICIENTE");
    lab.assert_untouched();
}

#[tokio::test]
async fn a_value_is_one_that_the_specification_lists() {
    let lab = lab().await;
    for period in ["current", "17", ""] {
        let response = lab.send(&Request::get(&format!("{METRICS}?period={period}"))).await;
        assert_refused(&response, 400, "PARAMETRO_INVALIDO");
        assert_names(&response, "period", "17");
    }
    lab.assert_untouched();
    assert_eq!(lab.send(&Request::get(&format!("{METRICS}?period=ALL"))).await.status, 200);
}

#[tokio::test]
async fn the_parts_of_a_path_have_their_length_and_form() {
    let lab = lab().await;
    let token = lab.client_token("consents");
    let long = format!("urn:a:{}", "b".repeat(251));
    for id in ["17", "urn:17", "urn:a_b:17", "urn:portaria-lab:17%20", "URN:a:17", &long] {
        let request = Request::get(&format!("{CONSENTS}/{id}")).bearer(&token);
        let response = lab.send(&request).await;
        assert_refused(&response, 400, "PARAMETRO_INVALIDO");
        assert_names(&response, "consentId", "17");
    }
    let quote = |id: &str| {
        let target = format!("/open-insurance/quote-auto/v2/request/{id}/quote-status");
        Request::get(&target).bearer(&lab.client_token("quote-auto"))
    };
    let response = lab.send(&quote(&"c".repeat(61))).await;
    assert_refused(&response, 400, "PARAMETRO_INVALIDO");
    lab.assert_untouched();
    assert_eq!(lab.send(&quote(&"c".repeat(60))).await.status, 200);
    let consent = lab.consent(&["RESOURCES_READ"]);
    for id in [consent.clone(), consent.replace(':', "%3A")] {
        let request = Request::get(&format!("{CONSENTS}/{id}")).bearer(&token);
        assert_eq!(lab.send(&request).await.status, 200, "{id}");
    }
}

#[tokio::test]
async fn a_policy_may_refuse_names_that_its_specification_does_not_know() {
    let change =
        |text: String| text.replacen("upstream = ", "other_query = \"refused\"\nupstream = ", 1);
    let text = std::fs::read_to_string(policies().join("channels-v2.toml")).unwrap();
    let own = tempfile::tempdir().unwrap();
    std::fs::write(own.path().join("channels-v2.toml"), change(text)).unwrap();
    let (from, to) = (policies().display().to_string(), own.path().display().to_string());
    let lab = lab_with(|config| config.swap(&from, &to)).await;
    for query in ["x=17", "page=1&PAGE=17", "17"] {
        let response = lab.send(&Request::get(&format!("{OPEN}?{query}"))).await;
        assert_refused(&response, 400, "PARAMETRO_INVALIDO");
        let body = response.json();
        assert!(!body["errors"][0]["detail"].as_str().unwrap().contains("17"), "{body}");
    }
    lab.assert_untouched();
    assert_eq!(lab.send(&Request::get(&format!("{OPEN}?page=1"))).await.status, 200);
}

#[tokio::test]
async fn bounds_of_a_form_with_closed_codes_are_told_in_that_form() {
    let change = |text: String| {
        let request = "path = \"/request\"\n";
        text.swap(request, &format!("{request}query = [{{ name = \"page\", least = 1 }}]\n"))
    };
    let own = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(policies().join("quote-auto-v1.toml")).unwrap();
    std::fs::write(own.path().join("quote-auto-v1.toml"), change(text)).unwrap();
    let (from, to) = (policies().display().to_string(), own.path().display().to_string());
    let lab = lab_with(|config| config.swap(&from, &to)).await;
    let request = Request::post("/open-insurance/quote-auto/v1/request?page=0", "{}");
    let response = lab.send(&request.bearer(&lab.client_token("quote-auto"))).await;
    assert_eq!(response.status, 422);
    Forms::read().assert_accepts("object", &response);
    assert_eq!(response.json()["errors"]["code"], "NAO_INFORMADO");
    lab.assert_untouched();
}
