//! Versions side by side: which one a caller asks for, which backend has it, from when and until when.

use portaria::lab::backend::{Backend, Recorded};
use portaria::lab::client::Response;
use portaria::lab::consents::Store;

use crate::errors::Forms;
use crate::harness::*;

const RESOURCES: &str = "/open-insurance/resources/v3/resources";
const OPEN: &str = "/open-insurance/channels/v2/branches";
const REQUEST: &str = "/open-insurance/quote-auto/v1/request";

/// What a test makes of the text of a file.
type Change<'a> = &'a dyn Fn(String) -> String;

/// A lab that has some policies of the repository, changed, and nothing else.
async fn lab_of(files: &[(&str, Change<'_>)]) -> (Lab, tempfile::TempDir) {
    lab_with_files(files, "").await
}

async fn lab_with_files(files: &[(&str, Change<'_>)], more: &str) -> (Lab, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    for (name, change) in files {
        let text = std::fs::read_to_string(policies().join(name)).unwrap();
        std::fs::write(directory.path().join(name), change(text)).unwrap();
    }
    let (shipped, own) = (policies().display().to_string(), directory.path().display().to_string());
    (lab_with(|config| config.swap(&shipped, &own) + more).await, directory)
}

/// With keys at the top of the file.
fn with(keys: &'static str) -> impl Fn(String) -> String {
    move |text| text.replacen("upstream = ", &format!("{keys}\nupstream = "), 1)
}

fn resources(lab: &Lab, fields: &[(&str, &str)]) -> Request {
    let consent = lab.consent(&["RESOURCES_READ"]);
    let request = Request::get(RESOURCES).bearer(&lab.user_token("resources", &consent));
    fields.iter().fold(request, |request, (name, value)| request.with(name, value))
}

#[tokio::test]
async fn an_answer_is_of_a_version_that_was_asked_for() {
    let lab = lab().await;
    for fields in [
        vec![],
        vec![("x-v", "3.0.0")],
        vec![("x-min-v", "3.0.0")],
        vec![("x-v", "4.1.0"), ("x-min-v", "2.0.0")],
        vec![("x-v", "3.0.0"), ("x-min-v", "3.0.0")],
        vec![("x-v", "3.0.0"), ("x-min-v", "9.0.0")],
        vec![("x-v", "3")],
        vec![("x-v", "")],
        vec![("x-v", "4"), ("x-min-v", "3")],
        vec![("x-min-v", "2")],
    ] {
        let response = lab.send(&resources(&lab, &fields)).await;
        assert_eq!(response.status, 200, "{fields:?}");
        assert_eq!(response.field("x-v"), Some("3.0.0"), "{fields:?}");
    }
}

#[tokio::test]
async fn a_version_that_is_not_served_here_is_not_acceptable() {
    let lab = lab().await;
    for fields in [
        vec![("x-v", "2.0.0")],
        vec![("x-v", "3.0.1")],
        vec![("x-v", "4.0.0")],
        vec![("x-v", "2.9.9"), ("x-min-v", "1.0.0")],
        vec![("x-min-v", "3.0.1")],
        vec![("x-v", "4.0.0"), ("x-min-v", "3.0.1")],
        vec![("x-v", "2")],
        vec![("x-v", "v3.0.0")],
        vec![("x-v", "3.0.0"), ("x-min-v", "latest")],
        vec![("x-v", "3.0.0"), ("x-v", "3.0.0")],
    ] {
        let response = lab.send(&resources(&lab, &fields)).await;
        assert_refused(&response, 406, "VERSAO_NAO_SUPORTADA");
        assert_eq!(response.field("x-v"), Some("3.0.0"), "{fields:?}");
    }
    lab.assert_untouched();
    let refusals = |code| format!("portaria_refusals_total{{code=\"{code}\",stage=\"version\"}}");
    lab.expect_metric(&refusals("version_unsupported"), 7.0).await;
    lab.expect_metric(&refusals("version_malformed"), 3.0).await;
}

#[tokio::test]
async fn where_x_v_is_not_declared_it_means_nothing() {
    let lab = lab().await;
    for value in ["1.0.0", "9.9.9", "latest"] {
        let request = Request::post(REQUEST, "{}").with("x-v", value).with("x-min-v", value);
        let response = lab.send(&request.bearer(&lab.client_token("quote-auto"))).await;
        assert!(response.status.is_success(), "{value}: {response:?}");
        assert_eq!(response.field("x-v"), Some("1.10.0"), "{value}");
    }
}

#[tokio::test]
async fn two_majors_have_backends_of_their_own() {
    let old = Backend::start(LOOPBACK, Store::default(), true).await.unwrap();
    let upstream = format!("\n[[upstreams]]\nname = \"old\"\nservers = [\"{}\"]\n", old.address);
    let (to_old, unchanged) = (|text: String| text.swap("\"legacy\"", "\"old\""), |text| text);
    let files: [(&str, Change<'_>); 2] =
        [("quote-auto-v1.toml", &to_old), ("quote-auto-v2.toml", &unchanged)];
    let (lab, _policies) = lab_with_files(&files, &upstream).await;
    for (major, version) in [(1, "1.10.0"), (2, "2.0.0"), (1, "1.10.0")] {
        let target = format!("/open-insurance/quote-auto/v{major}/request");
        let request = Request::post(&target, "{}").bearer(&lab.client_token("quote-auto"));
        let response = lab.send(&request).await;
        assert!(response.status.is_success(), "{response:?}");
        assert_eq!(response.field("x-v"), Some(version), "{response:?}");
    }
    let targets = |recorded: Vec<Recorded>| -> Vec<String> {
        recorded.into_iter().map(|recorded| recorded.target).collect()
    };
    assert_eq!(targets(old.recorded()), [REQUEST, REQUEST]);
    assert_eq!(targets(lab.recorded()), ["/open-insurance/quote-auto/v2/request"]);
}

#[tokio::test]
async fn what_is_not_available_yet_or_any_more_does_not_exist() {
    for (keys, code) in [
        ("available_from = \"2999-01-01\"", "route_not_yet_available"),
        ("retired_from = \"2001-01-01\"", "route_retired"),
    ] {
        let change = with(keys);
        let (lab, _policies) = lab_of(&[("channels-v2.toml", &change)]).await;
        let response = lab.send(&Request::get(OPEN)).await;
        assert_refused(&response, 404, "RECURSO_NAO_ENCONTRADO");
        let series = format!("portaria_refusals_total{{code=\"{code}\",stage=\"route\"}}");
        lab.expect_metric(&series, 1.0).await;
        // No method of it exists either.
        let response = lab.send(&Request::new("DELETE", OPEN)).await;
        assert_refused(&response, 404, "RECURSO_NAO_ENCONTRADO");
        lab.assert_untouched();
    }
}

#[tokio::test]
async fn a_retired_route_says_so_in_the_form_of_its_api() {
    let change = with("retired_from = \"2001-01-01\"");
    let (lab, _policies) = lab_of(&[("withdrawal-v1.toml", &change)]).await;
    let target = "/open-insurance/withdrawal/v1/pension/request";
    let response = lab.send(&Request::post(target, "{}")).await;
    assert_eq!(response.status, 404);
    Forms::read().assert_accepts("dated-meta", &response);
    lab.assert_untouched();
}

#[tokio::test]
async fn the_end_of_a_version_is_announced_on_every_answer() {
    let change = with("deprecated_from = \"2024-03-01\"\nretired_from = \"2999-09-01\"");
    let unchanged = |text| text;
    let (lab, _policies) =
        lab_of(&[("channels-v2.toml", &change), ("discovery-v1.toml", &unchanged)]).await;
    let announced = |response: &Response| {
        let field = |name| response.field(name).map(str::to_owned);
        (field("deprecation"), field("sunset"))
    };
    let expected =
        (Some("@1709262000".to_owned()), Some("Sun, 01 Sep 2999 03:00:00 GMT".to_owned()));
    let served = lab.send(&Request::get(OPEN)).await;
    assert_eq!((served.status.as_u16(), announced(&served)), (200, expected.clone()));
    let refused = lab.send(&Request::get(OPEN).with("Accept", "text/html")).await;
    assert_eq!((refused.status.as_u16(), announced(&refused)), (406, expected));
    let other = lab.send(&Request::get("/open-insurance/discovery/v1/status")).await;
    assert_eq!((other.status.as_u16(), announced(&other)), (200, (None, None)));
}

#[tokio::test]
async fn a_path_tells_only_the_methods_that_it_still_has() {
    let retire = |text: String| {
        text.swap("method = \"DELETE\"", "retired_from = \"2001-01-01\"\nmethod = \"DELETE\"")
    };
    let (lab, _policies) = lab_of(&[("consents-v3.toml", &retire)]).await;
    let target = "/open-insurance/consents/v3/consents/urn:portaria-lab:C000000";
    let response = lab.send(&Request::new("PATCH", target)).await;
    assert_refused(&response, 405, "METODO_NAO_PERMITIDO");
    assert_eq!(response.field("allow"), Some("GET, HEAD"));
    let response = lab.send(&Request::new("DELETE", target)).await;
    assert_refused(&response, 404, "RECURSO_NAO_ENCONTRADO");
    lab.assert_untouched();
}
