//! Shadow mode: what the rules of a route refuse goes on and is told; who the caller is, is never in it.

use std::path::Path;

use portaria::lab::authorization::TokenContent;
use portaria::lab::client::Response;
use portaria::lab::consents::StoredConsent;
use serde_json::Value;
use tempfile::TempDir;

use crate::consent::purge::purge;
use crate::harness::*;
use crate::reload::reload;
use crate::token::{revoked, sign};

const BASE: &str = "/open-insurance/demo/v1";

/// Every rule that a policy may write down.
const POLICY: &str = r#"api = "demo"
version = "1.2.3"
base_path = "/open-insurance/demo/v1"
class = "medium"
interaction_id = { form = "uuid", missing = "refuse", malformed = "refuse" }
upstream = "legacy"
x_v = "negotiated"
shadow_until = "2999-01-01"

[[routes]]
method = "GET"
path = "/policies/{policyId}"
access = "consented"
scope = "demo"
permission = "DEMO_READ"
consent_use = "read"
other_query = "refused"

[[routes.query]]
name = "page"
least = 1
most = 10

[[routes.query]]
name = "period"
values = ["CURRENT", "ALL"]

[[routes]]
method = "GET"
path = "/enforced/{policyId}"
access = "consented"
scope = "demo"
permission = "DEMO_ENFORCED"
consent_use = "read"
shadow_until = "2001-01-01"

[[routes]]
method = "POST"
path = "/orders"
access = "consented"
scope = "demo"
permission = "DEMO_ORDER"
consent_use = "initiate"
idempotency_key = "required"

[[routes]]
method = "POST"
path = "/things"
access = "client"
scope = "demo"
idempotency_key = "required"

[[routes]]
method = "DELETE"
path = "/consents/{consentId}"
access = "client"
scope = "demo"
consent_parameter = "consentId"
"#;

struct Shadowed {
    lab: Lab,
    files: TempDir,
}

impl Shadowed {
    async fn new() -> Self {
        Self::with(|config| config).await
    }

    async fn with(change: impl FnOnce(String) -> String) -> Self {
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("demo.toml"), POLICY).unwrap();
        let (shipped, own) = (policies().display().to_string(), files.path().display().to_string());
        let lab = lab_with(|config| change(config.swap(&shipped, &own))).await;
        Self { lab, files }
    }

    fn policy(&self) -> &Path {
        self.files.path()
    }

    fn read(&self, consent: &str) -> Request {
        self.read_with(&self.lab.user_token("demo", consent))
    }

    fn read_with(&self, token: &str) -> Request {
        Request::get(&format!("{BASE}/policies/1?page=2")).bearer(token)
    }

    fn enforced(&self, consent: &str) -> Request {
        let token = self.lab.user_token("demo", consent);
        Request::get(&format!("{BASE}/enforced/1")).bearer(&token)
    }

    fn order(&self, consent: &str) -> Request {
        let token = self.lab.user_token("demo", consent);
        Request::post(&format!("{BASE}/orders"), "{}").bearer(&token)
    }

    fn thing(&self) -> Request {
        let token = self.lab.client_token("demo");
        Request::post(&format!("{BASE}/things"), "{}").bearer(&token)
    }

    async fn send(&self, request: &Request) -> Response {
        self.lab.send(request).await
    }

    /// The lines of the access log about what would have been refused so.
    fn logged(&self, code: &str) -> Vec<Value> {
        let mut lines = self.lab.gateway.access_log();
        lines.retain(|line| line["portaria.would_refuse.code"] == code);
        lines
    }

    /// The request reaches the backend, and what would have refused it is counted and logged.
    async fn assert_borne(&self, request: &Request, code: &str) {
        let (reached, logged) = (self.lab.recorded().len(), self.logged(code).len());
        let stage = code.split('_').next().unwrap();
        let series = format!(
            "portaria_would_refuse_total{{api=\"demo\",code=\"{code}\",stage=\"{stage}\"}}"
        );
        let counted = self.lab.metric(&series).await;
        let response = self.send(request).await;
        assert!(response.status.is_success(), "{code}: {response:?}");
        assert_eq!(self.lab.recorded().len(), reached + 1, "{code}");
        self.lab.expect_metric(&series, counted + 1.0).await;
        eventually("the access log has it", || async { self.logged(code).len() > logged }).await;
        let line = self.logged(code).pop().unwrap();
        assert_eq!(line["portaria.would_refuse.stage"], stage, "{line}");
        assert!(line["portaria.would_refuse.reason"].is_string(), "{line}");
        assert_eq!(line["portaria.refusal.code"], Value::Null, "{line}");
        assert_eq!(line["portaria.outcome"], "answered", "{line}");
    }

    /// The request is refused as if there were no shadow mode.
    async fn assert_refused(&self, request: &Request, status: u16) {
        let reached = self.lab.recorded().len();
        let response = self.send(request).await;
        assert_eq!(response.status, status, "{request:?}: {response:?}");
        assert_eq!(self.lab.recorded().len(), reached, "{request:?}");
    }
}

#[tokio::test]
async fn what_the_rules_refuse_goes_on_and_is_told() {
    let shadowed = Shadowed::new().await;
    let lab = &shadowed.lab;
    let good = lab.consent(&["DEMO_READ"]);
    let read = || shadowed.read(&good);
    let at = |target: &str| Request { target: format!("{BASE}/policies/1{target}"), ..read() };
    let with_id = |id| read().without("x-fapi-interaction-id").with("x-fapi-interaction-id", id);
    let scope = shadowed.read_with(&lab.user_token("other", &good));
    let key = |key| shadowed.thing().without("x-idempotency-key").with("x-idempotency-key", key);
    for (request, code) in [
        (read().with("x-v", "9.0.0"), "version_unsupported"),
        (read().with("x-v", "latest"), "version_malformed"),
        (scope, "scope_insufficient"),
        (read().without("x-fapi-interaction-id"), "interaction_missing"),
        (with_id("none"), "interaction_malformed"),
        (at("?page=0"), "parameters_bounds"),
        (at("?page=one"), "parameters_bounds"),
        (at("?period=NEVER"), "parameters_value"),
        (at("?page=1&page=1"), "parameters_repeated"),
        (at("?sort=name"), "parameters_unknown"),
        (shadowed.thing().without("x-idempotency-key"), "request_idempotency_key_missing"),
        (key(&"k".repeat(101)), "request_idempotency_key_malformed"),
    ] {
        shadowed.assert_borne(&request, code).await;
    }
    let response = shadowed.send(&read()).await;
    assert_eq!(response.status, 200);
    assert_eq!(lab.last_recorded().field("x-portaria-consent-id"), Some(good.as_str()));
    lab.gateway.expect_log("what these rules refuse goes on to the backend").await;
}

#[tokio::test]
async fn a_consent_that_does_not_permit_it_is_told_and_not_told_of() {
    let mut shadowed = Shadowed::new().await;
    let lab = &shadowed.lab;
    let of_other = StoredConsent {
        client_id: "other".into(),
        ..lab.consents.get(&lab.consent(&["DEMO_READ"])).unwrap()
    };
    lab.consents.put("urn:portaria-lab:OTHER", of_other);
    let rejected = lab.consent(&["DEMO_READ"]);
    lab.consents.set_status(&rejected, "REJECTED");
    for (consent, code) in [
        (lab.consent(&["RESOURCES_READ"]), "consent_permission"),
        (rejected, "consent_not_authorised"),
        ("urn:portaria-lab:NONE".to_owned(), "consent_unknown"),
    ] {
        shadowed.assert_borne(&shadowed.read(&consent), code).await;
        assert_eq!(lab.last_recorded().field("x-portaria-consent-id"), None, "{code}");
    }
    let unseen = lab.consent(&["DEMO_READ"]);
    shadowed.lab.stop_registry();
    shadowed.assert_borne(&shadowed.read(&unseen), "consent_registry_unavailable").await;
}

#[tokio::test]
async fn the_first_that_would_have_refused_is_the_one_that_is_told() {
    let shadowed = Shadowed::new().await;
    let consent = shadowed.lab.consent(&["RESOURCES_READ"]);
    let request = Request {
        target: format!("{BASE}/policies/1?page=0"),
        ..shadowed.read_with(&shadowed.lab.user_token("other", &consent))
    };
    shadowed.assert_borne(&request.without("x-fapi-interaction-id"), "scope_insufficient").await;
}

#[tokio::test]
async fn who_the_caller_is_and_what_its_token_is_are_never_in_shadow_mode() {
    let shadowed = Shadowed::with(|config| {
        config + "\n[limits]\nper_address = { requests = 28, per = \"1h\" }\n"
    })
    .await;
    let lab = &shadowed.lab;
    let consent = lab.consent(&["DEMO_READ"]);
    let read = || shadowed.read(&consent);
    // TLS: no certificate, one of nobody's.
    for identity in [None, Some(&lab.pki.foreign), Some(&lab.pki.expired)] {
        let connected = lab.connector(identity).http1().await;
        let answered = match connected {
            Ok(mut connection) => connection.exchange(&read().to_bytes()).await,
            Err(error) => Err(error),
        };
        assert!(answered.is_err(), "{answered:?}");
    }
    // Binding: the token of one, sent by two.
    let mut two = lab.connector(Some(&lab.pki.two)).http1().await.unwrap();
    let stolen = two.exchange(&read().to_bytes()).await.unwrap();
    assert_refused(&stolen, 401, "TOKEN_INVALIDO");
    // The token.
    let changed = |change: fn(&mut Value)| {
        let token = sign(lab, |_, claims| change(claims));
        shadowed.read_with(&token)
    };
    for request in [
        read().without("Authorization"),
        shadowed.read_with("none"),
        shadowed.read_with(&(lab.user_token("demo", &consent) + "A")),
        changed(|claims| claims["exp"] = 1_000_000_000.into()),
        changed(|claims| claims["aud"] = "other".into()),
        changed(|claims| claims["iss"] = "other".into()),
        changed(|claims| claims["cnf"] = Value::Null),
    ] {
        shadowed.assert_refused(&request, 401).await;
    }
    // The form of the message.
    let client = lab.client_token("demo");
    let long = format!("\"{}\"", "x".repeat(1_100_000));
    for (request, status) in [
        (Request::get(&format!("{BASE}/nothing")), 404),
        (Request { method: "PUT".into(), ..read() }, 405),
        (read().with("Accept", "text/html"), 406),
        (shadowed.thing().without("Content-Type").with("Content-Type", "text/plain"), 415),
        (Request { body: "{]".into(), ..shadowed.thing() }, 400),
        (read().with("Transfer-Encoding", "gzip"), 400),
        (Request::post(&format!("{BASE}/things"), &long).bearer(&client), 413),
    ] {
        shadowed.assert_refused(&request, status).await;
    }
    // Whose data it is: a token without a customer, one of a customer without a consent, and one under
    // somebody else's consent.
    let consentless =
        TokenContent { scope: "openid demo".into(), ..lab.user_grant("demo", &consent) };
    let consentless = lab.authorization.issue_signed(&consentless).unwrap();
    shadowed.assert_refused(&shadowed.read_with(&client), 401).await;
    shadowed.assert_refused(&shadowed.read_with(&consentless), 403).await;
    let of_other =
        StoredConsent { client_id: "other".into(), ..lab.consents.get(&consent).unwrap() };
    lab.consents.put("urn:portaria-lab:OTHER", of_other);
    shadowed.assert_refused(&shadowed.read("urn:portaria-lab:OTHER"), 403).await;
    for (id, status) in [("urn:portaria-lab:OTHER", 403), ("urn:portaria-lab:NONE", 404)] {
        let delete = Request::new("DELETE", &format!("{BASE}/consents/{id}")).bearer(&client);
        shadowed.assert_refused(&delete, status).await;
    }
    // The limits.
    let mut answered = 0;
    while shadowed.send(&read()).await.status == 200 {
        answered += 1;
        assert!(answered < 28, "no limit holds");
    }
    shadowed.assert_refused(&read(), 429).await;
    assert_eq!(lab.recorded().len(), answered);
}

#[tokio::test]
async fn a_token_that_is_revoked_while_its_body_is_awaited_is_refused() {
    let shadowed = Shadowed::with(|config| config.swap("\"500ms\"", "\"9s\"")).await;
    let lab = &shadowed.lab;
    let token = lab.user_token("demo", &lab.consent(&["DEMO_READ"]));
    let request = Request::post(&format!("{BASE}/orders"), "{}").bearer(&token).to_bytes();
    let mut connection = lab.http1().await;
    connection.send(&request[..request.len() - 1]).await.unwrap();
    eventually("the consent was asked for", || async { lab.consents.lookups() > 0 }).await;
    assert_eq!(lab.gateway.ask_admin("DELETE", &revoked::path(&token)).await.0, 204);
    let response = connection.exchange(b"}").await.unwrap();
    assert_refused(&response, 401, "TOKEN_INVALIDO");
    lab.assert_untouched();
}

#[tokio::test]
async fn the_rules_are_enforced_from_their_day_on_and_where_a_route_says_so() {
    let shadowed = Shadowed::new().await;
    let consent = shadowed.lab.consent(&["DEMO_READ"]);
    shadowed.assert_refused(&shadowed.enforced(&consent), 403).await;
    shadowed.assert_borne(&shadowed.order(&consent), "consent_permission").await;
    let file = shadowed.policy().join("demo.toml");
    let over = POLICY.swap("2999-01-01", "2020-01-01");
    std::fs::write(&file, over).unwrap();
    reload(&shadowed.lab, "configuration reloaded").await;
    shadowed.assert_refused(&shadowed.order(&consent), 403).await;
}

#[tokio::test]
async fn after_an_initiation_that_went_on_the_registry_is_asked_again() {
    let shadowed = Shadowed::new().await;
    let lab = &shadowed.lab;
    let consent = lab.consent(&["DEMO_ENFORCED"]);
    assert_eq!(shadowed.send(&shadowed.enforced(&consent)).await.status, 200);
    shadowed.assert_borne(&shadowed.order(&consent), "consent_permission").await;
    lab.consents.set_status(&consent, "CONSUMED");
    shadowed.assert_refused(&shadowed.enforced(&consent), 401).await;
}

#[tokio::test]
async fn a_consent_that_ends_while_its_body_is_awaited_is_told_and_goes_on() {
    let shadowed = Shadowed::with(|config| config.swap("\"500ms\"", "\"9s\"")).await;
    let lab = &shadowed.lab;
    let consent = lab.consent(&["DEMO_ORDER"]);
    let request = shadowed.order(&consent).to_bytes();
    let mut connection = lab.http1().await;
    connection.send(&request[..request.len() - 1]).await.unwrap();
    eventually("the consent was asked for", || async { lab.consents.lookups() > 0 }).await;
    lab.consents.set_status(&consent, "REJECTED");
    purge(lab, &consent).await;
    assert_eq!(connection.exchange(b"}").await.unwrap().status, 201);
    assert_eq!(lab.last_recorded().field("x-portaria-consent-id"), None);
    let series = "portaria_would_refuse_total{api=\"demo\",code=\"consent_not_authorised\",stage=\"consent\"}";
    lab.expect_metric(series, 1.0).await;
}

#[tokio::test]
async fn what_went_on_is_explained() {
    let shadowed = Shadowed::new().await;
    let lab = &shadowed.lab;
    let consent = lab.consent(&["RESOURCES_READ"]);
    shadowed.assert_borne(&shadowed.read(&consent), "consent_permission").await;
    let (status, record) = lab.gateway.admin(&format!("/decisions/{INTERACTION_ID}")).await;
    assert_eq!(status, 200);
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record[0]["verdict"], "would_refuse");
    assert_eq!(record[0]["code"], "consent_permission");
    assert_eq!(record[0]["status"], 403);
    assert_eq!(record[0]["compared"]["wanted"], "DEMO_READ");
    let config = lab.directory.path().join("admin.toml");
    let address = lab.gateway.address("admin");
    std::fs::write(&config, format!("[admin]\naddress = \"{address}\"\n")).unwrap();
    let told = std::process::Command::new(env!("CARGO_BIN_EXE_portaria"))
        .args(["explain", "--id", INTERACTION_ID, "-c"])
        .arg(&config)
        .output()
        .unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    for line in [
        "parameters   passed      parameters",
        "consent      refuses     consent",
        "would refuse consent (consent_permission, 403)",
        "but          shadow mode: it reaches the backend",
        "would answer 403, WWW-Authenticate: Bearer error=\"insufficient_scope\"",
    ] {
        assert!(told.lines().any(|found| found == line), "{line} in\n{told}");
    }
}

/// A long body is passed on as it comes: its backend was told of the consent before it ended.
#[tokio::test]
async fn no_backend_gets_the_whole_of_a_long_body_under_a_consent_that_ended_meanwhile() {
    let shadowed = Shadowed::with(|config| {
        let config = config.swap("total_timeout = \"1s\"", "total_timeout = \"20s\"");
        config.swap("\"500ms\"", "\"9s\"")
    })
    .await;
    let lab = &shadowed.lab;
    let consent = lab.consent(&["DEMO_ORDER"]);
    let token = lab.user_token("demo", &consent);
    let body = format!("\"{}\"", "x".repeat(199_998));
    let request = Request::post(&format!("{BASE}/orders"), &body).bearer(&token).to_bytes();
    let mut connection = lab.http1().await;
    connection.send(&request[..request.len() - 1]).await.unwrap();
    eventually("the consent was asked for", || async { lab.consents.lookups() > 0 }).await;
    lab.consents.set_status(&consent, "REJECTED");
    purge(lab, &consent).await;
    let answered = connection.exchange(b"\"").await.unwrap();
    assert_refused(&answered, 403, "CONSENTIMENTO_NAO_AUTORIZADO");
    lab.assert_untouched();
}

/// Another participant's order, with a token that names somebody else's consent.
async fn order_of_another(lab: &Lab, consent: &str) -> Response {
    let grant = TokenContent {
        client_id: CLIENT_TWO.into(),
        thumbprint: lab.pki.two.thumbprint(),
        ..lab.user_grant("demo", consent)
    };
    let token = lab.authorization.issue_signed(&grant).unwrap();
    let order = Request::post(&format!("{BASE}/orders"), "{}").bearer(&token);
    let mut two = lab.connector(Some(&lab.pki.two)).http1().await.unwrap();
    two.exchange(&order.to_bytes()).await.unwrap()
}

/// Whoever names the consent of somebody else ends nothing that is that client's.
#[tokio::test]
async fn no_client_uses_up_the_consent_of_another() {
    let shadowed = Shadowed::new().await;
    let lab = &shadowed.lab;
    let consent = lab.consent(&["DEMO_ENFORCED"]);
    assert_eq!(shadowed.send(&shadowed.enforced(&consent)).await.status, 200);
    let answered = order_of_another(lab, &consent).await;
    assert_refused(&answered, 403, "CONSENTIMENTO_NAO_AUTORIZADO");
    let response = shadowed.send(&shadowed.enforced(&consent)).await;
    assert_eq!(response.status, 200, "used up by a stranger");
}

/// That a consent has ended is known here, and whose it was must be asked all the same.
#[tokio::test]
async fn a_consent_of_another_that_has_ended_is_still_anothers() {
    let shadowed = Shadowed::new().await;
    let lab = &shadowed.lab;
    let consent = lab.consent(&["DEMO_ORDER"]);
    assert_eq!(shadowed.send(&shadowed.order(&consent)).await.status, 201);
    shadowed.assert_borne(&shadowed.order(&consent), "consent_not_authorised").await;
    let reached = lab.recorded().len();
    let answered = order_of_another(lab, &consent).await;
    assert_refused(&answered, 403, "CONSENTIMENTO_NAO_AUTORIZADO");
    assert_eq!(lab.recorded().len(), reached);
}

/// What is refused for another reason did not go on, and nobody may be told that it did.
#[tokio::test]
async fn what_was_refused_after_all_is_not_told_as_gone_on() {
    let shadowed = Shadowed::new().await;
    let lab = &shadowed.lab;
    let consent = lab.consent(&["RESOURCES_READ"]);
    let token = lab.user_token("demo", &consent);
    let order = Request::post(&format!("{BASE}/orders"), "{]").bearer(&token);
    shadowed.assert_refused(&order, 400).await;
    eventually("it is logged", || async { lab.gateway.access_log().len() == 1 }).await;
    let (_, records) = lab.gateway.admin(&format!("/decisions/{INTERACTION_ID}")).await;
    let records: Value = serde_json::from_str(&records).unwrap();
    let shadow = records.as_array().unwrap().iter().find(|r| r["verdict"] == "would_refuse");
    let series =
        "portaria_would_refuse_total{api=\"demo\",code=\"consent_permission\",stage=\"consent\"}";
    let counted = lab.metric(series).await;
    assert!(counted == 0.0 && shadow.is_none(), "counted {counted}, told {records}");
}

/// The path says whose consent it is: another client's, which the token's consent has nothing to do with.
#[tokio::test]
async fn nobody_reaches_the_consent_of_another_by_naming_it_in_the_path() {
    let shadowed = Shadowed::new().await;
    let lab = &shadowed.lab;
    let file = shadowed.policy().join("demo.toml");
    let claims = "\n[[routes]]\nmethod = \"POST\"\npath = \"/claims/{consentId}\"\naccess = \"consented\"\n\
                  scope = \"demo\"\npermission = \"DEMO_CLAIM\"\nconsent_use = \"initiate\"\n\
                  consent_parameter = \"consentId\"\nidempotency_key = \"required\"\n";
    std::fs::write(&file, format!("{POLICY}{claims}")).unwrap();
    reload(lab, "configuration reloaded").await;
    let own = lab.consent(&["DEMO_CLAIM"]);
    let of_other = lab.consents.create(CLIENT_TWO, &["DEMO_CLAIM"], "AUTHORISED");
    let token = lab.user_token("demo", &own);
    let claim = |id: &str| Request::post(&format!("{BASE}/claims/{id}"), "{}").bearer(&token);
    shadowed.assert_refused(&claim(&of_other), 403).await;
}
