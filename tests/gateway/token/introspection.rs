//! Introspection under attack and in outages: who the gateway is, what is kept, and when nobody is asked.

use std::collections::HashMap;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use portaria::lab::authorization::Signer;
use serde_json::{Value, json};

use super::keys::*;
use super::{create, sign};
use crate::harness::*;

const PATH: &str = "/introspect";
const TOKEN: &str = "opaque-1";
const OPEN: &str = "portaria_open_breakers{service=\"introspection\"}";

/// A lab whose gateway introspects at `server`, with more keys for `[token.introspection]`.
async fn lab_asking(server: &KeyServer, settings: &str) -> Lab {
    let url = format!("http://{}{PATH}", server.address);
    lab_at(&url, settings).await
}

async fn lab_at(url: &str, settings: &str) -> Lab {
    lab_with(|config| {
        let line = config.lines().find(|line| line.ends_with("/introspect\"")).unwrap().to_owned();
        config.swap(&line, &format!("url = \"{url}\"\n{settings}"))
    })
    .await
}

/// A good answer about a token of participant one.
fn active(lab: &Lab) -> Value {
    let mut claims = lab.client_grant("consents").claims();
    claims["active"] = json!(true);
    claims
}

fn put(server: &KeyServer, answer: &Value) {
    server.answer(PATH, Answering::Json(answer.to_string(), ""));
}

fn raw(text: &str) -> Answering {
    Answering::Raw(text.as_bytes().to_vec())
}

fn with_type(media_type: &str, body: &str) -> Answering {
    let length = body.len();
    raw(&format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{media_type}\r\n\r\n{body}"))
}

fn hostile(good: &str, elsewhere: &str) -> Vec<(&'static str, Answering)> {
    let redirect =
        format!("HTTP/1.1 307 Away\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n");
    let status = |line: &str| raw(&format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n"));
    let json_of = |body: String| Answering::Json(body, "");
    vec![
        ("drop by drop", Answering::Drip(good.into())),
        ("silence", Answering::Silent),
        ("100 MB", Answering::Endless),
        ("a redirect", raw(&redirect)),
        ("500", status("500 No")),
        ("429", status("429 No")),
        ("401", status("401 No")),
        ("204", raw("HTTP/1.1 204 Nothing\r\n\r\n")),
        ("another media type", with_type("Content-Type: text/html", good)),
        ("a signed answer", with_type("Content-Type: application/token-introspection+jwt", good)),
        ("no media type", with_type("X: y", good)),
        ("a reset", Answering::Reset(good.into())),
        ("no HTTP", raw("garbage\r\n\r\n")),
        ("nothing", raw("")),
        ("half a JSON", json_of(good[..good.len() - 1].into())),
        ("two JSONs", json_of(format!("{good}{good}"))),
        ("a list", json_of(format!("[{good}]"))),
        ("no verdict", json_of(good.swap("\"active\"", "\"passive\""))),
        ("a verdict in words", json_of(good.swap("\"active\":true", "\"active\":\"true\""))),
        ("two verdicts", json_of(good.replacen('{', "{\"active\":false,", 1))),
        ("no times", json_of(good.replacen('{', "{\"nbf\":\"soon\",", 1))),
        ("depth", json_of("[".repeat(100_000))),
    ]
}

#[tokio::test]
async fn a_hostile_server_decides_nothing_and_recovers_by_itself() {
    let part = |part: usize| async move {
        let server = key_server().await;
        let settings = "timeout = \"500ms\"\nbreaker = { failures = 3, open_for = \"100ms\" }";
        let lab = lab_asking(&server, settings).await;
        let good = active(&lab);
        let elsewhere = format!("http://{}/elsewhere", server.address);
        server.answer("/elsewhere", Answering::Json(good.to_string(), ""));
        let cases = hostile(&good.to_string(), &elsewhere);
        for (index, (case, answering)) in cases.into_iter().enumerate().skip(part).step_by(PARTS) {
            server.answer(PATH, answering);
            let token = format!("opaque-{index}");
            for _ in 0..4 {
                assert_eq!(ask(&lab, &token).await, 503, "{case}");
            }
            put(&server, &good);
            eventually("it recovers", || async { ask(&lab, &token).await == 201 }).await;
        }
        assert_eq!(server.requests("/elsewhere"), 0, "no redirect was followed");
        let most = 64 * 1024 * 1024;
        assert!(server.sent() < most, "somebody took {} of the endless answers", server.sent());
    };
    tokio::join!(part(0), part(1), part(2), part(3));
}

/// Gateways among which the hostile answers are divided, for most of the time they wait.
const PARTS: usize = 4;

#[tokio::test]
async fn a_server_that_is_somebody_else_or_nobody_is_not_believed() {
    let pki = pki();
    let server = key_server().await;
    let foreign = pki.other_root.server(&pki.client_key, -3600, 86_400).unwrap();
    server.speak_tls(pki.tls_of(&foreign));
    let anchors = "trust_anchors = \"roots.pem\"\nbreaker = { failures = 1000 }";
    let url = format!("https://localhost:{}{PATH}", server.address.port());
    let lab = lab_at(&url, anchors).await;
    put(&server, &active(&lab));
    assert_eq!(ask(&lab, TOKEN).await, 503);
    server.speak_tls(pki.tls_of(&pki.one));
    assert_eq!(ask(&lab, TOKEN).await, 503);
    assert_eq!(server.requests(PATH), 0, "no token was shown to them");
    server.speak_tls(pki.tls_of(&pki.server));
    assert_eq!(ask(&lab, TOKEN).await, 201);
    let nobody = lab_at("https://nowhere.invalid/introspect", anchors).await;
    assert_eq!(ask(&nobody, TOKEN).await, 503);
}

/// Said with the first answer that decides nothing, and once for each cause.
#[tokio::test]
async fn a_server_that_does_not_know_the_gateway_is_told_at_once() {
    let server = key_server().await;
    let lab = lab_asking(&server, "breaker = { failures = 1000 }").await;
    server.answer(PATH, raw("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"));
    for number in 0..3 {
        assert_eq!(ask(&lab, &format!("opaque-{number}")).await, 503);
    }
    let says = "introspection gave no answer that decides";
    lab.gateway.expect_log(says).await;
    lab.gateway.expect_log("it does not accept who the gateway says it is").await;
    server.answer(PATH, raw("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"));
    assert_eq!(ask(&lab, "opaque-4").await, 503);
    lab.gateway.expect_log("status 500").await;
    let lines = lab.gateway.log();
    let told = lines.iter().filter(|line| line.to_string().contains(says)).count();
    assert_eq!(told, 2, "{lines:?}");
}

#[tokio::test]
async fn a_failing_server_is_left_alone_and_tried_by_one_question() {
    let server = key_server().await;
    let settings = "breaker = { failures = 3, open_for = \"300ms\" }";
    let lab = lab_asking(&server, settings).await;
    put(&server, &active(&lab));
    assert_eq!(ask(&lab, "kept").await, 201);
    server.answer(PATH, raw("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"));
    let before = server.requests(PATH);
    for number in 0..20 {
        assert_eq!(ask(&lab, &format!("opaque-{number}")).await, 503);
    }
    lab.expect_metric(OPEN, 1.0).await;
    assert!(server.requests(PATH) < before + 20, "it was left alone");
    assert_eq!(ask(&lab, "kept").await, 201, "what is known goes on");
    assert!(lab.metric("portaria_introspections_total{result=\"failed\"}").await >= 20.0);
    put(&server, &active(&lab));
    eventually("it is tried again", || async { ask(&lab, TOKEN).await == 201 }).await;
    lab.expect_metric(OPEN, 0.0).await;
}

/// A server vouches for its refresh tokens too, and binds them to the same certificate.
#[tokio::test]
async fn what_is_no_access_token_is_refused_though_it_is_active() {
    let server = key_server().await;
    let lab = lab_asking(&server, "").await;
    let good = active(&lab);
    let says = |member: &str, value: Value| {
        let mut answer = good.clone();
        answer[member] = value;
        answer
    };
    let mut admitted = 0;
    for (number, (member, value, expected)) in [
        ("token_type", json!("Bearer"), 201),
        ("token_type", json!("bearer"), 201),
        ("token_use", json!("access_token"), 201),
        ("typ", json!("Bearer"), 201),
        ("typ", json!("at+jwt"), 201),
        ("token_type", json!("refresh_token"), 401),
        ("token_type", json!("id_token"), 401),
        ("token_type", json!("access_token"), 401),
        ("token_type", json!("N_A"), 401),
        ("token_type", json!("DPoP"), 401),
        ("token_type", json!("Bearer "), 401),
        ("token_type", json!(""), 401),
        ("token_type", json!("5"), 401),
        ("token_type", json!(5), 401),
        ("token_type", json!(null), 401),
        ("token_type", json!(["Bearer"]), 401),
        ("token_use", json!("refresh_token"), 401),
        ("token_use", json!("id"), 401),
        ("token_use", json!(null), 401),
        ("token_use", json!({"a": 1}), 401),
        ("typ", json!("Refresh"), 401),
        ("typ", json!("ID"), 401),
        ("typ", json!(["Bearer"]), 401),
    ]
    .into_iter()
    .enumerate()
    {
        put(&server, &says(member, value.clone()));
        let response = lab.send(&create(&format!("opaque-{number}"))).await;
        assert_eq!(response.status, expected, "{member} {value}");
        admitted += usize::from(expected == 201);
        assert_eq!(lab.recorded().len(), admitted, "{member} {value}");
        // The same claims, signed: one function judges both.
        let token = sign(&lab, |_, claims| claims[member] = value.clone());
        assert_eq!(lab.send(&create(&token)).await.status, expected, "signed {member} {value}");
        admitted += usize::from(expected == 201);
        assert_eq!(lab.recorded().len(), admitted, "signed {member} {value}");
    }
}

#[tokio::test]
async fn an_answer_says_what_the_token_is_where_that_is_required() {
    let server = key_server().await;
    let lab = lab_asking(&server, "require_token_type = true").await;
    let mut answer = active(&lab);
    put(&server, &answer);
    assert_refused(&lab.send(&create("silent")).await, 401, "TOKEN_INVALIDO");
    assert!(lab.recorded().is_empty());
    answer["token_type"] = json!("Bearer");
    put(&server, &answer);
    assert_eq!(ask(&lab, "said").await, 201);
    assert_eq!(ask(&lab, &lab.client_token("consents")).await, 201, "it is about introspection");
}

/// Nothing bounds the life of a token whose server does not say when it ends.
#[tokio::test]
async fn an_answer_without_an_end_is_refused_while_there_is_a_bound() {
    let server = key_server().await;
    let lab = lab_asking(&server, "").await;
    let mut endless = active(&lab);
    endless.as_object_mut().unwrap().remove("exp");
    put(&server, &endless);
    assert_refused(&lab.send(&create(TOKEN)).await, 401, "TOKEN_INVALIDO");
    assert!(lab.recorded().is_empty());
    lab.rewrite_config(|config| config.within("[token]", "longest_lifetime = \"any\""));
    lab.gateway.signal("HUP");
    lab.gateway.expect_log("is above the 15m that access tokens live at most (opin-v3)").await;
    eventually("there is no bound", || async { ask(&lab, TOKEN).await == 201 }).await;
}

/// An authorization server that fails at tokens that it does not know, and a participant who sends it such.
#[tokio::test]
async fn the_tokens_that_one_participant_chooses_open_no_breaker_for_another() {
    let server = key_server().await;
    let lab = lab_asking(&server, "breaker = { failures = 3, open_for = \"5m\" }").await;
    for status in ["500 No", "401 No", "429 No", "302 Away"] {
        server.answer(PATH, raw(&format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")));
        for number in 0..4 {
            let mut connection = lab.connector(Some(&lab.pki.two)).http1().await.unwrap();
            let junk = create(&format!("junk-{status}-{number}").replace(' ', "-"));
            let response = connection.exchange(&junk.to_bytes()).await.unwrap();
            assert_refused(&response, 503, "SERVICO_INDISPONIVEL");
        }
    }
    lab.assert_untouched();
    lab.expect_metric(OPEN, 1.0).await;
    put(&server, &active(&lab));
    assert_eq!(ask(&lab, TOKEN).await, 201, "participant one is served");
}

/// Whatever the outage, no answer serves beyond its ceiling.
#[tokio::test]
async fn an_answer_does_not_outlive_its_ceiling() {
    let server = key_server().await;
    let lab = lab_with(|config| {
        let line = config.lines().find(|line| line.ends_with("/introspect\"")).unwrap().to_owned();
        let url = format!("url = \"http://{}{PATH}\"", server.address);
        let config = config.swap(&line, &url);
        let audiences = "[token]\nintrospection_max_age = \"1s\"\n";
        config.swap("[token]\n", audiences)
    })
    .await;
    put(&server, &active(&lab));
    assert_eq!(ask(&lab, TOKEN).await, 201);
    server.answer(PATH, raw("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"));
    eventually("the answer is too old", || async { ask(&lab, TOKEN).await == 503 }).await;
    for _ in 0..3 {
        assert_eq!(ask(&lab, TOKEN).await, 503);
    }
}

#[tokio::test]
async fn what_does_not_hold_is_known_for_a_while() {
    let server = key_server().await;
    let lab = lab_asking(&server, "keep_inactive = \"60s\"").await;
    put(&server, &active(&lab));
    assert_eq!(ask(&lab, "good").await, 201);
    let mut others = active(&lab);
    others["aud"] = json!("https://other.example");
    for (token, answer) in [("inactive", json!({"active": false})), ("others", others)] {
        put(&server, &answer);
        let before = server.requests(PATH);
        for _ in 0..5 {
            assert_eq!(ask(&lab, token).await, 401);
        }
        assert_eq!(server.requests(PATH), before + 1, "{token}");
    }
    assert_eq!(ask(&lab, "good").await, 201, "it was not displaced");
    lab.expect_metric("portaria_introspections_total{result=\"refused\"}", 2.0).await;
    lab.expect_metric("portaria_introspections_total{result=\"active\"}", 1.0).await;
}

/// A token that its server comes to know late is refused no longer than that.
#[tokio::test]
async fn what_did_not_hold_may_hold_later() {
    let server = key_server().await;
    let lab = lab_asking(&server, "keep_inactive = \"100ms\"").await;
    put(&server, &json!({"active": false}));
    assert_eq!(ask(&lab, TOKEN).await, 401);
    put(&server, &active(&lab));
    eventually("it is asked about again", || async { ask(&lab, TOKEN).await == 201 }).await;
    // A clock that runs fast passes by itself.
    let mut early = active(&lab);
    early["nbf"] = json!(portaria::lab::authorization::now() + 3600);
    put(&server, &early);
    let lab = lab_asking(&server, "keep_inactive = \"60s\"").await;
    assert_eq!(ask(&lab, "early").await, 401);
    put(&server, &active(&lab));
    assert_eq!(ask(&lab, "early").await, 201);
}

#[tokio::test]
async fn the_gateway_proves_itself_by_an_assertion() {
    let server = key_server().await;
    let signer = Signer::new("portaria-2026", &pki().signer_pem).unwrap();
    let settings = "client_auth = \"private_key_jwt\"\nsigning_key = \"signing.key\"\n\
                    signing_key_id = \"portaria-2026\"\n\
                    assertion_audience = \"https://as.portaria-lab.example\"";
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("signing.key");
    portaria::lab::directory::write_secret(&key, &pki().signer_pem).unwrap();
    let settings = settings.swap("signing.key", &key.display().to_string());
    let lab = lab_with(|config| {
        let line = config.lines().find(|line| line.ends_with("/introspect\"")).unwrap().to_owned();
        let url = format!("url = \"http://{}{PATH}\"\n{settings}", server.address);
        let config = config.swap("client_auth = \"client_secret_basic\"\n", "");
        config.swap("client_secret_file = \"secret\"\n", "").swap(&line, &url)
    })
    .await;
    put(&server, &active(&lab));
    let mut seen = Vec::new();
    for token in ["a", "b"] {
        assert_eq!(ask(&lab, token).await, 201);
        let body = server.last_body();
        let form: HashMap<_, _> = url::form_urlencoded::parse(body.as_bytes()).collect();
        assert_eq!(form["token"], token);
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        assert_eq!(form["client_assertion_type"], kind);
        assert!(!form.contains_key("client_secret"));
        let jwk: Jwk = serde_json::from_value(signer.jwks()["keys"][0].clone()).unwrap();
        let mut rules = Validation::new(Algorithm::PS256);
        rules.set_audience(&["https://as.portaria-lab.example"]);
        rules.set_issuer(&["portaria"]);
        rules.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        let key = DecodingKey::from_jwk(&jwk).unwrap();
        let assertion =
            jsonwebtoken::decode::<Value>(&*form["client_assertion"], &key, &rules).unwrap();
        assert_eq!(assertion.header.kid.as_deref(), Some("portaria-2026"));
        let claims = assertion.claims;
        assert_eq!(claims["sub"], "portaria");
        let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        assert_eq!(lifetime, 60);
        seen.push(claims["jti"].as_str().unwrap().to_owned());
    }
    assert_ne!(seen[0], seen[1], "each is for one use");
}
