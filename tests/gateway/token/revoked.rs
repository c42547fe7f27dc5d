//! Tokens that were revoked, through the gateway or by an operator: refused from then on.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use serde_json::json;

use super::keys::{ask, key_server};
use super::{create, sign};
use crate::harness::*;

const REVOKE: &str = "/open-insurance/as/v1/revoke";
const REVOKED: &str = "portaria_refusals_total{code=\"token_revoked\",stage=\"token\"}";

const POLICY: &str = r#"
api = "authorization-server"
version = "1.0.0"
base_path = "/open-insurance/as/v1"
class = "admin"
upstream = "legacy"
interaction_id = { form = "uuid", missing = "mint", malformed = "mint" }

[[routes]]
method = "POST"
path = "/revoke"
access = "certificate"
request_body = "form"
idempotency_key = "ignored"
token_revocation = true
"#;

/// A lab through whose gateway tokens may be revoked.
pub async fn lab_revoking(change: impl FnOnce(String) -> String) -> (Lab, tempfile::TempDir) {
    let policies = tempfile::tempdir().unwrap();
    let shipped = crate::harness::policies();
    let consents = policies.path().join("consents.toml");
    std::fs::copy(shipped.join("consents-v3.toml"), consents).unwrap();
    std::fs::write(policies.path().join("as.toml"), POLICY).unwrap();
    let lab = lab_with(|config| {
        let config = config.within("[token]", "introspection_max_age = \"5m\"");
        let to = policies.path().display().to_string();
        change(config.swap(&shipped.display().to_string(), &to))
    })
    .await;
    (lab, policies)
}

pub fn revocation(demand: &str, form: &str) -> Request {
    let mut request = Request::new("POST", &format!("{REVOKE}?lab={demand}"));
    request.body = form.into();
    request
        .with("Content-Type", "application/x-www-form-urlencoded")
        .with("Content-Length", &form.len().to_string())
}

pub fn form(tokens: &[&str]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for token in tokens {
        form.append_pair("token", token);
    }
    form.append_pair("token_type_hint", "access_token").finish()
}

pub fn path(token: &str) -> String {
    let digest = digest(&SHA256, token.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("/tokens/{hex}")
}

#[tokio::test]
async fn a_token_that_was_revoked_through_the_gateway_is_refused() {
    let (lab, _policies) = lab_revoking(|config| config).await;
    let opaque = lab.authorization.issue_opaque(&lab.client_grant("consents"));
    let other = sign(&lab, |_, claims| claims["jti"] = json!("other"));
    for token in [lab.client_token("consents"), opaque] {
        assert_eq!(ask(&lab, &token).await, 201);
        let answer = lab.send(&revocation("status:200", &form(&[&token]))).await;
        assert_eq!(answer.status, 200);
        assert_eq!(lab.last_recorded().body, form(&[&token]).as_bytes(), "it was passed on");
        assert_eq!(ask(&lab, &token).await, 401);
    }
    lab.expect_metric(REVOKED, 2.0).await;
    assert_eq!(ask(&lab, &other).await, 201, "no other token is");
    eventually("they are counted", || async { lab.metric("portaria_revoked_tokens").await == 2.0 })
        .await;
}

/// Not in its cache, the gateway may never have seen the token.
#[tokio::test]
async fn a_token_that_was_never_seen_is_refused_after_its_revocation() {
    let (lab, _policies) = lab_revoking(|config| config).await;
    let (one, two) =
        (lab.client_token("consents"), sign(&lab, |_, claims| claims["jti"] = json!("2")));
    for token in [&one, "made-up", &two] {
        let answer = lab.send(&revocation("status:200", &form(&[token]))).await;
        assert_eq!(answer.status, 200);
    }
    for token in [one, two] {
        assert_eq!(ask(&lab, &token).await, 401);
    }
}

#[tokio::test]
async fn what_the_answer_leaves_open_is_taken_for_revoked() {
    let (lab, _policies) = lab_revoking(|config| config).await;
    for (demand, admitted) in [
        ("status:400", 201),
        ("status:401", 201),
        ("status:500", 401),
        ("close", 401),
        ("silent", 401),
    ] {
        let claims = |_: &mut _, claims: &mut serde_json::Value| claims["jti"] = json!(demand);
        let token = sign(&lab, claims);
        assert_eq!(ask(&lab, &token).await, 201);
        lab.send(&revocation(demand, &form(&[&token]))).await;
        assert_eq!(ask(&lab, &token).await, admitted, "{demand}");
    }
}

#[tokio::test]
async fn a_revocation_outlives_a_reload() {
    let (lab, _policies) = lab_revoking(|config| config).await;
    let token = lab.client_token("consents");
    assert_eq!(lab.send(&revocation("status:200", &form(&[&token]))).await.status, 200);
    lab.rewrite_config(|config| config.within("[token]", "leeway = \"6s\""));
    lab.gateway.signal("HUP");
    eventually("reloaded", || async { lab.gateway.log_contains("configuration reloaded") }).await;
    assert_eq!(ask(&lab, &token).await, 401);
}

#[tokio::test]
async fn a_form_that_is_too_long_reaches_nobody() {
    let (lab, _policies) = lab_revoking(|config| config).await;
    let long = form(&[&"x".repeat(70_000)]);
    let answer = lab.send(&revocation("status:200", &long)).await;
    assert_refused(&answer, 413, "CORPO_EXCEDE_LIMITE");
    lab.assert_untouched();
}

#[tokio::test]
async fn the_operator_refuses_a_token_on_connections_that_stand() {
    let lab = lab().await;
    let opaque = lab.authorization.issue_opaque(&lab.client_grant("consents"));
    for token in [lab.client_token("consents"), opaque] {
        let (mut http1, http2) = (lab.http1().await, lab.http2().await);
        let over_http2 = || {
            let bearer = format!("Bearer {token}");
            let request = http::Request::post(format!("https://localhost{}", super::CONSENTS))
                .header("authorization", bearer)
                .header("content-type", "application/json")
                .header("x-idempotency-key", "key-1")
                .header("x-fapi-interaction-id", INTERACTION_ID);
            http2.exchange(request.body(()).unwrap(), Bytes::from_static(b"{}"))
        };
        assert_eq!(http1.exchange(&create(&token).to_bytes()).await.unwrap().status, 201);
        assert_eq!(over_http2().await.unwrap().status, 201);
        let (status, body) = lab.gateway.ask_admin("DELETE", &path(&token)).await;
        assert_eq!((status, body.as_str()), (204, ""));
        let reached = lab.recorded().len();
        let answer = http1.exchange(&create(&token).to_bytes()).await.unwrap();
        assert_refused(&answer, 401, "TOKEN_INVALIDO");
        assert_eq!(over_http2().await.unwrap().status, 401);
        assert_eq!(lab.recorded().len(), reached);
    }
    let everything = format!("{:?}{:?}", lab.gateway.log(), lab.gateway.access_log());
    assert!(!everything.contains("/tokens/"), "not even the digest is told");
}

#[tokio::test]
async fn the_admin_endpoint_takes_the_digest_of_a_token_and_nothing_else() {
    let lab = lab().await;
    let good = path("a");
    for bad in ["/tokens/", "/tokens/abc", &format!("{good}0"), &good.replace('c', "g")] {
        let (status, body) = lab.gateway.ask_admin("DELETE", bad).await;
        assert_eq!(status, 400, "{bad}");
        assert_eq!(body, "accepted: a SHA-256 in 64 hexadecimal digits\n");
    }
    for method in ["GET", "POST"] {
        assert_eq!(lab.gateway.ask_admin(method, &good).await.0, 405);
    }
}

/// The last byte of the body comes after the revocation.
#[tokio::test]
async fn who_holds_its_body_back_is_judged_again() {
    let lab = lab().await;
    let token = lab.client_token("consents");
    let bytes = create(&token).to_bytes();
    let mut connection = lab.http1().await;
    connection.send(&bytes[..bytes.len() - 1]).await.unwrap();
    // Another request of the connection's thread is answered: the first was admitted before.
    assert_eq!(ask(&lab, &lab.client_token("consents")).await, 201);
    let reached = lab.recorded().len();
    assert_eq!(lab.gateway.ask_admin("DELETE", &path(&token)).await.0, 204);
    let answer = connection.exchange(&bytes[bytes.len() - 1..]).await.unwrap();
    assert_refused(&answer, 401, "TOKEN_INVALIDO");
    assert_eq!(lab.recorded().len(), reached);
}

/// An answer that was on its way while the token was revoked says what held before.
#[tokio::test]
async fn an_answer_under_way_does_not_undo_a_revocation() {
    let server = key_server().await;
    let lab = lab_with(|config| {
        let line = config.lines().find(|line| line.ends_with("/introspect\"")).unwrap().to_owned();
        config.swap(&line, &format!("url = \"http://{}/introspect\"", server.address))
    })
    .await;
    let mut claims = lab.client_grant("consents").claims();
    claims["active"] = json!(true);
    server.answer("/introspect", Answering::Held(claims.to_string()));
    let mut connection = lab.http1().await;
    connection.send(&create("opaque").to_bytes()).await.unwrap();
    eventually("it is asked", || async { server.requests("/introspect") == 1 }).await;
    assert_eq!(lab.gateway.ask_admin("DELETE", &path("opaque")).await.0, 204);
    server.release();
    let answer = connection.receive(false).await.unwrap();
    assert_refused(&answer, 401, "TOKEN_INVALIDO");
    assert_eq!(ask(&lab, "opaque").await, 401);
    lab.assert_untouched();
}

/// Which one an authorization server takes, nobody can tell.
#[tokio::test]
async fn a_form_of_several_tokens_reaches_nobody() {
    let (lab, _policies) = lab_revoking(|config| config).await;
    let (one, two) = (lab.client_token("consents"), "made-up".to_owned());
    for tokens in [[&*one, &*two], [&*two, &*one], [&*one, &*one]] {
        let answer = lab.send(&revocation("status:200", &form(&tokens))).await;
        assert_refused(&answer, 400, "REQUISICAO_INVALIDA");
    }
    lab.assert_untouched();
    assert_eq!(ask(&lab, &one).await, 201);
}

/// The order of P-256.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
    0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The other signature of an ECDSA signature's message, which needs no key: (r, n - s).
fn mirrored(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(32);
    let (mut mirrored, mut borrow) = (vec![0; 32], 0);
    for place in (0..32).rev() {
        let difference = i32::from(ORDER[place]) - i32::from(s[place]) - borrow;
        borrow = i32::from(difference < 0);
        mirrored[place] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    [r, &mirrored].concat()
}

/// Whoever has an ES256 token can write another text of it that verifies as well.
#[tokio::test]
async fn a_revoked_token_with_its_signature_mirrored_is_refused() {
    for by_operator in [false, true] {
        mirrored_is_refused(by_operator).await;
    }
}

async fn mirrored_is_refused(by_operator: bool) {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    let set = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "ec", "alg": "ES256",
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)}]});
    let (lab, _policies) = lab_revoking(|config| config).await;
    std::fs::write(lab.directory.path().join("jwks.json"), set.to_string()).unwrap();
    let algorithms = "[token]\nalgorithms = [\"ES256\"]\n";
    lab.rewrite_config(|config| config.swap("[token]\n", algorithms));
    lab.gateway.signal("HUP");
    eventually("reloaded", || async { lab.gateway.log_contains("configuration reloaded") }).await;

    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "ec"}).to_string();
    let claims = lab.client_grant("consents").claims().to_string();
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    let signature = signature.as_ref();
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    let other_text = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mirrored(signature)));
    assert_eq!(ask(&lab, &token).await, 201);
    match by_operator {
        true => assert_eq!(lab.gateway.ask_admin("DELETE", &path(&token)).await.0, 204),
        false => {
            let answer = lab.send(&revocation("status:200", &form(&[&token]))).await;
            assert_eq!(answer.status, 200);
        }
    }
    assert_eq!(ask(&lab, &token).await, 401);
    assert_eq!(ask(&lab, &other_text).await, 401, "a revoked token came back in another text");
}

/// Over HTTP/2 a body that is whole by its declared length is not said to end before END_STREAM comes. The
/// backend has a whole request then, and must not while the caller is judged no more.
#[tokio::test]
async fn who_holds_the_end_of_a_stream_back_is_judged_again() {
    let lab = lab_with(|config| {
        let config = config.swap("total_timeout = \"1s\"", "total_timeout = \"20s\"");
        config.swap("body_timeout = \"500ms\"", "body_timeout = \"9s\"")
    })
    .await;
    let token = lab.client_token("consents");
    let connector = lab.connector(Some(&lab.pki.one));
    let connector = connector.adjust(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
    let (sender, connection) = h2::client::handshake(connector.tls().await.unwrap()).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    let request = http::Request::post(format!("https://localhost{}", super::CONSENTS))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("content-length", "100000")
        .header("x-idempotency-key", "key-1")
        .header("x-fapi-interaction-id", INTERACTION_ID)
        .body(())
        .unwrap();
    let (answer, mut stream) = sender.send_request(request, false).unwrap();
    stream.send_data(Bytes::from("1".repeat(99_999)), false).unwrap();
    eventually("it is being taken in", || async { stream.capacity() == 0 }).await;
    // Another request of the connection's thread is answered: the first was admitted before.
    assert_eq!(ask(&lab, &sign(&lab, |_, claims| claims["jti"] = json!("2"))).await, 201);
    let reached = lab.recorded().len();
    assert_eq!(lab.gateway.ask_admin("DELETE", &path(&token)).await.0, 204);
    assert_eq!(ask(&lab, &token).await, 401);
    stream.send_data(Bytes::from_static(b"1"), false).unwrap();
    let answer = tokio::time::timeout(std::time::Duration::from_secs(5), answer).await;
    let status = answer.map(|answer| answer.map(|answer| answer.status().as_u16()));
    assert_eq!(lab.recorded().len(), reached, "the backend has the request, answered {status:?}");
    driver.abort();
}
