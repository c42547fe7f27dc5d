//! The registry says that a consent has changed: by a signed event, on one listener, within the limits.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use portaria::lab::authorization::{Signer, now};
use portaria::lab::client::Response;
use portaria::lab::pki::rsa_key;
use serde_json::{Value, json};

use super::{PERMISSION, lab_saying, patient, read};
use crate::harness::*;

const CODE: &str = "EVENTO_NAO_ACEITO";
const PATH: &str = "/portaria/consents";
const WEBHOOK: &str =
    "webhook = { listener = \"public\", path = \"/portaria/consents\", keys = \"jwks.json\" }";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn header() -> Value {
    json!({"alg": "PS256", "typ": "secevent+jwt", "kid": "key-1"})
}

fn claims(consent: &str) -> Value {
    json!({"iat": now(), "jti": uuid::Uuid::new_v4().to_string(), "consentId": consent})
}

fn signed(lab: &Lab, claims: &Value) -> String {
    lab.authorization.signer().sign(&header(), claims).unwrap()
}

fn by_secret(secret: &str, header: &Value, claims: &Value) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn event(body: &str) -> Request {
    let mut request = Request::new("POST", PATH).with("Content-Type", "application/secevent+jwt");
    request.body = body.into();
    request.with("Content-Length", &body.len().to_string())
}

/// Sends as the registry does: on the public listener, without a certificate.
async fn send(lab: &Lab, request: &Request) -> Response {
    let mut connection = lab.connector_to("public", None).http1().await.unwrap();
    let response = connection.exchange(&request.to_bytes()).await.unwrap();
    assert_common_fields(&response);
    response
}

/// A consent that is kept as AUTHORISED and is REJECTED by now.
async fn outdated(lab: &Lab) -> String {
    let consent = lab.consent(&[PERMISSION]);
    assert_eq!(lab.send(&read(lab, &consent)).await.status, 200);
    lab.consents.set_status(&consent, "REJECTED");
    consent
}

async fn is_kept(lab: &Lab, consent: &str) -> bool {
    let reached = lab.recorded().len();
    let answer = lab.send(&read(lab, consent)).await;
    if answer.status == 200 {
        return true;
    }
    assert_refused(&answer, 401, "CONSENTIMENTO_NAO_AUTORIZADO");
    assert_eq!(lab.recorded().len(), reached);
    false
}

#[tokio::test]
async fn an_event_ends_what_is_kept_of_its_consent() {
    let lab = lab_saying(WEBHOOK).await;
    let (consent, other) = (outdated(&lab).await, outdated(&lab).await);
    let reached = lab.recorded().len();
    let answer = send(&lab, &event(&signed(&lab, &claims(&consent)))).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!((answer.body.len(), answer.field("content-length")), (0, None));
    assert_eq!(lab.recorded().len(), reached, "no backend sees it");
    assert!(!is_kept(&lab, &consent).await);
    assert!(is_kept(&lab, &other).await);
    lab.expect_metric("portaria_consent_purges_total{by=\"event\"}", 1.0).await;
    let counted = "portaria_requests_total{api=\"consent-events\",class=\"admin\",\
                   outcome=\"answered\",route=\"/portaria/consents\",status_class=\"2xx\"}";
    lab.expect_metric(counted, 1.0).await;
    let everything =
        format!("{:?}{:?}{}", lab.gateway.log(), lab.gateway.access_log(), lab.metrics().await);
    assert!(!everything.contains(&consent));
}

#[tokio::test]
async fn events_come_over_http2_and_in_chunks_too() {
    let lab = lab_saying(WEBHOOK).await;
    let consent = outdated(&lab).await;
    let body = signed(&lab, &claims(&consent));
    let http2 = lab.connector_to("public", None).http2().await.unwrap();
    let request = http::Request::post(format!("https://localhost{PATH}"))
        .header("content-type", "application/jwt")
        .body(())
        .unwrap();
    let answer = http2.exchange(request, bytes::Bytes::from(body)).await.unwrap();
    assert_eq!(answer.status, 204);
    assert!(!is_kept(&lab, &consent).await);
    let consent = outdated(&lab).await;
    let body = signed(&lab, &claims(&consent));
    let mut chunked = Request::new("POST", PATH)
        .with("Content-Type", "application/jose")
        .with("Transfer-Encoding", "chunked");
    chunked.body = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    assert_eq!(send(&lab, &chunked).await.status, 204);
    assert!(!is_kept(&lab, &consent).await);
}

#[tokio::test]
async fn an_event_that_is_not_signed_as_configured_is_refused() {
    let lab = lab_saying(WEBHOOK).await;
    let consent = outdated(&lab).await;
    let (ours, good) = (lab.authorization.signer(), claims(&consent));
    let stranger = Signer::new("key-1", &rsa_key().unwrap().serialize_pem()).unwrap();
    let with = |changes: Value| {
        let mut header = header();
        for (name, value) in changes.as_object().unwrap() {
            header[name] = value.clone();
        }
        header
    };
    let public = lab.authorization.signer().jwks().to_string();
    let text = |header: &Value| header.to_string();
    let mut tampered = signed(&lab, &good);
    tampered.replace_range(60..61, if &tampered[60..61] == "A" { "B" } else { "A" });
    let unsigned = signed(&lab, &good);
    let unsigned = &unsigned[..=unsigned.rfind('.').unwrap()];
    let rs256 = with(json!({"alg": "RS256"}));
    for body in [
        stranger.sign(&header(), &good).unwrap(),
        ours.sign(&with(json!({"kid": "key-2"})), &good).unwrap(),
        ours.sign_as(Algorithm::RS256, &text(&rs256), &good.to_string()).unwrap(),
        ours.sign_as(Algorithm::RS256, &text(&header()), &good.to_string()).unwrap(),
        ours.sign(&with(json!({"alg": "none"})), &good).unwrap(),
        by_secret(SECRET, &with(json!({"alg": "HS256"})), &good),
        by_secret(&public, &with(json!({"alg": "HS256"})), &good),
        unsigned.to_owned(),
    ] {
        assert_refused(&send(&lab, &event(&body)).await, 401, CODE);
    }
    let answer = send(&lab, &event(&tampered)).await;
    assert!(matches!(answer.status.as_u16(), 400 | 401), "{answer:?}");
    assert!(is_kept(&lab, &consent).await, "nothing was believed");
}

#[tokio::test]
async fn an_event_that_is_malformed_is_refused() {
    let lab = lab_saying(WEBHOOK).await;
    let consent = outdated(&lab).await;
    let ours = lab.authorization.signer();
    let good = claims(&consent);
    let mut bodies: Vec<String> =
        ["", "a.b", "a.b.c", "{}", "....", "é.é.é"].map(str::to_owned).into();
    for (name, value) in [
        ("iat", Value::Null),
        ("iat", json!("now")),
        ("iat", json!(-1)),
        ("jti", Value::Null),
        ("jti", json!(7)),
        ("jti", json!("")),
        ("jti", json!("j".repeat(257))),
        ("consentId", Value::Null),
        ("consentId", json!(7)),
        ("consentId", json!("")),
        ("consentId", json!("a b")),
    ] {
        let mut changed = good.clone();
        changed[name] = value.clone();
        bodies.push(signed(&lab, &changed));
        changed.as_object_mut().unwrap().remove(name);
        bodies.push(signed(&lab, &changed));
    }
    for (name, value) in [
        ("crit", json!(["b64"])),
        ("b64", json!(false)),
        ("typ", json!("at+jwt")),
        ("alg", json!(1)),
    ] {
        let mut changed = header();
        changed[name] = value;
        bodies.push(ours.sign(&changed, &good).unwrap());
    }
    bodies.push(ours.sign_as(Algorithm::PS256, &header().to_string(), "[]").unwrap());
    // What stands twice, two readers understand differently.
    let twice = |object: &Value, member: &str| {
        object.to_string().replacen('{', &format!("{{\"{member}\":\"other\","), 1)
    };
    let mut push = |header: &str, claims: &str| {
        bodies.push(ours.sign_as(Algorithm::PS256, header, claims).unwrap());
    };
    for member in ["consentId", "jti", "iat"] {
        push(&header().to_string(), &twice(&good, member));
    }
    for member in ["kid", "typ", "alg"] {
        push(&twice(&header(), member), &good.to_string());
    }
    for body in &bodies {
        assert_refused(&send(&lab, &event(body)).await, 400, CODE);
    }
    assert!(is_kept(&lab, &consent).await, "nothing was believed");
}

#[tokio::test]
async fn an_access_token_is_no_event() {
    let lab = lab_saying(WEBHOOK).await;
    let consent = outdated(&lab).await;
    let mut claims = lab.user_grant("insurance-auto", &consent).claims();
    claims["consentId"] = json!(consent);
    claims["jti"] = json!("1");
    let signer = lab.authorization.signer();
    let token = signer.sign(&signer.header(), &claims).unwrap();
    assert_refused(&send(&lab, &event(&token)).await, 400, CODE);
    assert!(is_kept(&lab, &consent).await);
}

#[tokio::test]
async fn an_event_is_taken_once_and_within_five_minutes() {
    let lab = lab_saying(WEBHOOK).await;
    let consent = outdated(&lab).await;
    for ahead in [-400_i64, 400] {
        let mut late = claims(&consent);
        late["iat"] = json!(i64::try_from(now()).unwrap() + ahead);
        assert_refused(&send(&lab, &event(&signed(&lab, &late))).await, 401, CODE);
    }
    assert!(is_kept(&lab, &consent).await);
    for ahead in [-200_i64, 200] {
        let mut good = claims(&consent);
        good["iat"] = json!(i64::try_from(now()).unwrap() + ahead);
        assert_eq!(send(&lab, &event(&signed(&lab, &good))).await.status, 204);
    }
    let once = claims(&consent);
    assert_eq!(send(&lab, &event(&signed(&lab, &once))).await.status, 204);
    // The signature is another one each time, the id of the event is not.
    assert_refused(&send(&lab, &event(&signed(&lab, &once))).await, 401, CODE);
    // Nor does another configuration take it again.
    lab.rewrite_config(|config| config.swap("keep = \"5m\"", "keep = \"4m\""));
    crate::reload::reload(&lab, "configuration reloaded").await;
    assert_refused(&send(&lab, &event(&signed(&lab, &once))).await, 401, CODE);
    let replays = "portaria_refusals_total{code=\"consent_event_replayed\",stage=\"consent\"}";
    lab.expect_metric(replays, 2.0).await;
}

#[tokio::test]
async fn a_shared_secret_does_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    portaria::lab::directory::write_secret(&file, SECRET).unwrap();
    let webhook = format!(
        "webhook = {{ listener = \"public\", path = \"{PATH}\", secret_file = \"{}\", claim = \"id\" }}",
        file.display()
    );
    let lab = lab_saying(&webhook).await;
    let consent = outdated(&lab).await;
    let own = |secret: &str, alg: &str| {
        let claims = json!({"iat": now(), "jti": uuid::Uuid::new_v4().to_string(), "id": consent});
        by_secret(secret, &json!({"alg": alg}), &claims)
    };
    for bad in [own("another secret of thirty-two byte", "HS256"), own(SECRET, "HS512")] {
        assert_refused(&send(&lab, &event(&bad)).await, 401, CODE);
    }
    let ps256 = lab.authorization.signer().sign(&header(), &claims(&consent)).unwrap();
    assert_refused(&send(&lab, &event(&ps256)).await, 401, CODE);
    assert!(is_kept(&lab, &consent).await);
    assert_eq!(send(&lab, &event(&own(SECRET, "HS256"))).await.status, 204);
    assert!(!is_kept(&lab, &consent).await);
}

#[tokio::test]
async fn events_have_one_listener_one_path_one_method_and_one_media_type() {
    let lab = lab_saying(WEBHOOK).await;
    let consent = outdated(&lab).await;
    let body = signed(&lab, &claims(&consent));
    let good = event(&body);
    assert_refused(&lab.send(&good).await, 404, "RECURSO_NAO_ENCONTRADO");
    let elsewhere = Request { target: "/portaria/consent".into(), ..good.clone() };
    assert_refused(&send(&lab, &elsewhere).await, 404, "RECURSO_NAO_ENCONTRADO");
    assert_refused(&send(&lab, &Request::get(PATH)).await, 405, "METODO_NAO_PERMITIDO");
    let json = good.clone().without("content-type").with("Content-Type", "application/json");
    assert_refused(&send(&lab, &json).await, 415, "MIDIA_NAO_SUPORTADA");
    let untyped = good.clone().without("content-type");
    assert_refused(&send(&lab, &untyped).await, 415, "MIDIA_NAO_SUPORTADA");
    let long = event(&"e".repeat(70_000));
    assert_refused(&send(&lab, &long).await, 413, "CORPO_EXCEDE_LIMITE");
    assert!(is_kept(&lab, &consent).await, "nothing was believed");
    assert_eq!(send(&lab, &good).await.status, 204);
}

#[tokio::test]
async fn without_a_webhook_there_is_none() {
    let lab = lab_saying("").await;
    let body = signed(&lab, &claims("urn:x:1"));
    assert_refused(&send(&lab, &event(&body)).await, 404, "RECURSO_NAO_ENCONTRADO");
    lab.assert_untouched();
}

#[tokio::test]
async fn events_count_against_the_limits() {
    let few = |config: String| {
        let keyed = config.swap("keep = \"5m\"", &format!("keep = \"5m\"\n{WEBHOOK}"));
        let unlimited = "per_address = { requests = 1000000, per = \"1m\" }";
        patient(keyed).swap(unlimited, "per_address = { requests = 3, per = \"1h\" }")
    };
    let lab = lab_with(few).await;
    for _ in 0..3 {
        let body = signed(&lab, &claims("urn:x:1"));
        assert_eq!(send(&lab, &event(&body)).await.status, 204);
    }
    let body = signed(&lab, &claims("urn:x:1"));
    assert_refused(&send(&lab, &event(&body)).await, 429, "LIMITE_EXCEDIDO");
    lab.assert_untouched();
}

#[tokio::test]
async fn a_listener_of_participants_may_take_events_too() {
    let lab = lab_saying(&WEBHOOK.swap("public", "mtls")).await;
    let consent = outdated(&lab).await;
    let body = signed(&lab, &claims(&consent));
    assert_refused(&send(&lab, &event(&body)).await, 404, "RECURSO_NAO_ENCONTRADO");
    assert!(is_kept(&lab, &consent).await);
    assert_eq!(lab.send(&event(&body)).await.status, 204);
    assert!(!is_kept(&lab, &consent).await);
}
