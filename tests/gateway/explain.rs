//! Decision records: each refusal can be looked up by its interaction id, with what it was held against
//! and nothing that is personal.

mod offline;
mod page;

use portaria::lab::authorization::TokenContent;
use serde_json::Value;

use crate::harness::*;

const RESOURCES: &str = "/open-insurance/resources/v3/resources";
const AUTO: &str = "/open-insurance/insurance-auto/v2/insurance-auto";

fn id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// A request of its own interaction.
fn numbered(request: Request, number: usize) -> Request {
    request.without("x-fapi-interaction-id").with("x-fapi-interaction-id", &id(number))
}

async fn record(lab: &Lab, number: usize) -> Value {
    let path = format!("/decisions/{}", id(number));
    eventually("the refusal is kept", || async { lab.gateway.admin(&path).await.0 == 200 }).await;
    let (_, text) = lab.gateway.admin(&path).await;
    let records: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(records.as_array().map(Vec::len), Some(1), "{text}");
    records[0].clone()
}

#[tokio::test]
async fn a_refusal_is_explained_by_what_was_compared() {
    let lab = lab().await;
    let consent = lab.consent(&["RESOURCES_READ"]);
    let rejected = lab.consent(&["RESOURCES_READ"]);
    lab.consents.set_status(&rejected, "REJECTED");
    let foreign =
        TokenContent { client_id: CLIENT_TWO.into(), ..lab.user_grant("resources", &consent) };
    let elsewhere = TokenContent {
        thumbprint: pki().two.thumbprint(),
        ..lab.user_grant("resources", &consent)
    };
    let issue = |grant: &TokenContent| lab.authorization.issue_signed(grant).unwrap();
    let get = |path: &str, token: &str| Request::get(path).bearer(token);
    let cases = [
        (get(AUTO, &lab.user_token("resources", &consent)), "scope", "scope", "insurance-auto"),
        (
            get(AUTO, &lab.user_token("insurance-auto", &consent)),
            "consent",
            "permission",
            "DAMAGES_AND_PEOPLE_AUTO_READ",
        ),
        (
            get(RESOURCES, &lab.user_token("resources", &rejected)),
            "consent",
            "status of the consent",
            "AUTHORISED",
        ),
        (get(RESOURCES, &issue(&foreign)), "consent", "client of the consent", ""),
        (get(RESOURCES, &issue(&elsewhere)), "token", "thumbprint of the certificate", ""),
        (get(RESOURCES, &lab.client_token("resources")), "token", "grant", "a customer's"),
    ];
    for (number, (request, stage, what, wanted)) in cases.into_iter().enumerate() {
        let status = lab.send(&numbered(request, number)).await.status;
        let record = record(&lab, number).await;
        let text = record.to_string();
        assert_eq!(record["status"], status.as_u16(), "{text}");
        assert_eq!((&record["stage"], &record["compared"]["what"]), (&stage.into(), &what.into()));
        let compared = &record["compared"];
        assert!(compared["wanted"] != compared["found"], "{text}");
        assert!(wanted.is_empty() || compared["wanted"] == wanted, "{text}");
        assert!(record["times"]["token_us"].is_u64(), "{text}");
        assert_eq!(record["times"]["consent_us"].is_u64(), stage == "consent", "{text}");
        for personal in [&consent, &rejected, CLIENT_ONE, CLIENT_TWO, "eyJ"] {
            assert!(!text.contains(personal), "{personal} in {text}");
        }
    }
    lab.assert_untouched();
}

#[tokio::test]
async fn every_stage_leaves_a_record() {
    let quota = "[limits]\nper_address = { requests = 4, per = \"10m\" }";
    let lab = lab_with(|config| format!("{config}\n{quota}")).await;
    let nameless = lab.connector(Some(&lab.pki.nameless));
    let exchange =
        async |number: usize, request: Request, connector: &portaria::lab::client::Connector| {
            let mut connection = connector.http1().await.unwrap();
            connection.exchange(&numbered(request, number).to_bytes()).await.unwrap();
            record(&lab, number).await
        };
    let one = lab.connector(Some(&lab.pki.one));
    let found = [
        exchange(0, Request::get("/open-insurance/nothing/4711"), &one).await,
        exchange(1, Request::get(RESOURCES), &nameless).await,
        exchange(2, Request::get(RESOURCES), &one).await,
        exchange(3, Request::get(RESOURCES).with("Accept", "text/html"), &one).await,
        exchange(4, Request::get(RESOURCES), &one).await,
    ];
    let stages = found.each_ref().map(|record| record["stage"].as_str().unwrap().to_owned());
    assert_eq!(stages, ["route", "identity", "token", "request", "limits"]);
    assert_eq!(found[4]["compared"]["wanted"], "4 requests in 600 s");
    assert!(!found[0].to_string().contains("4711"), "a path was kept");
}

/// One code, refused at different places: the record tells at which.
#[tokio::test]
async fn a_body_that_is_too_large_is_told_where_it_was_found_to_be() {
    let lab = lab_with(|config| config.within("[http]", "max_body_size = \"1KiB\"")).await;
    let body = format!("{{\"data\":\"{}\"}}", "d".repeat(1014));
    let http2 = lab.http2().await;
    for (number, length, step) in [(0, Some(body.len()), "head"), (1, None, "body")] {
        let mut post = http::Request::post("https://localhost/open-insurance/consents/v3/consents")
            .header("authorization", format!("Bearer {}", lab.client_token("consents")))
            .header("content-type", "application/json")
            .header("x-fapi-interaction-id", id(number))
            .header("x-idempotency-key", "k");
        if let Some(length) = length {
            post = post.header("content-length", length);
        }
        let post = post.body(()).unwrap();
        let response = http2.exchange(post, body.clone().into()).await.unwrap();
        assert_refused(&response, 413, "CORPO_EXCEDE_LIMITE");
        assert_eq!(record(&lab, number).await["step"], step);
    }
    let greeting = numbered(Request::new("OPTIONS", "*").content(&body), 2).to_bytes();
    let response = lab.http1().await.exchange(&greeting).await.unwrap();
    assert_refused(&response, 413, "CORPO_EXCEDE_LIMITE");
    assert_eq!(record(&lab, 2).await["step"], "head");
    lab.assert_untouched();
}

#[tokio::test]
async fn only_the_last_are_kept() {
    let lab = lab_with(|config| format!("{config}\n[log]\ndecisions = 4\n")).await;
    for number in 0..4 {
        lab.send(&numbered(Request::get(RESOURCES), number)).await;
        record(&lab, number).await;
    }
    assert_eq!(lab.gateway.admin(&format!("/decisions/{}", id(0))).await.0, 404);
    assert_eq!(lab.gateway.admin(&format!("/decisions/{}", id(1))).await.0, 200);
    // A flood of what anybody can have refused has a place of its own.
    for number in 10..13 {
        lab.send(&numbered(Request::get("/nothing"), number)).await;
        record(&lab, number).await;
    }
    assert_eq!(lab.gateway.admin(&format!("/decisions/{}", id(11))).await.0, 404);
    assert_eq!(lab.gateway.admin(&format!("/decisions/{}", id(1))).await.0, 200);
    let admitted = Request::get("/open-insurance/channels/v2/branches");
    assert_eq!(lab.send(&numbered(admitted, 9)).await.status, 200);
    assert_eq!(lab.gateway.admin(&format!("/decisions/{}", id(9))).await.0, 404);
}

#[tokio::test]
async fn the_command_tells_what_the_gateway_keeps() {
    let lab = lab().await;
    let consent = lab.consent(&["RESOURCES_READ"]);
    let token = lab.user_token("resources", &consent);
    lab.send(&numbered(Request::get(AUTO).bearer(&token), 1)).await;
    record(&lab, 1).await;
    let config = lab.directory.path().join("admin.toml");
    let address = lab.gateway.address("admin");
    std::fs::write(&config, format!("[admin]\naddress = \"{address}\"\n")).unwrap();
    let explain = |number: usize, more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_portaria"));
        command.args(["explain", "-c"]).arg(&config).args(["--id", &id(number)]).args(more);
        command.output().unwrap()
    };
    let output = explain(1, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "token        passed      token",
        "scope        refused     scope",
        "consent      not judged  consent",
        "refused by   scope (scope_insufficient, 403)",
        "wanted       insurance-auto",
        "answer       403, WWW-Authenticate: Bearer error=\"insufficient_scope\"",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    let json = explain(1, &["--json"]).stdout;
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json[0]["code"], "scope_insufficient");
    assert_eq!(explain(2, &[]).status.code(), Some(1));
    std::fs::write(&config, "[admin]\naddress = \"127.0.0.1:1\"\n").unwrap();
    assert_eq!(explain(1, &[]).status.code(), Some(64));
}
