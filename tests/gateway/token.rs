//! Tokens: one good case, then every single fault of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use portaria::lab::authorization::{AuthorizationServer, Grant, Signer, now};
use portaria::lab::consents::Store;
use serde_json::{Value, json};

use crate::harness::*;

const CONSENTS: &str = "/open-insurance/consents/v3/consents";

fn create(token: &str) -> Request {
    Request::post(CONSENTS, "{}").bearer(token)
}

/// A good token's header and claims, changed by a test and signed.
fn sign(lab: &Lab, change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let mut header = lab.authorization.signer().header();
    let mut claims = lab.client_grant("consents").claims();
    change(&mut header, &mut claims);
    lab.authorization.signer().sign(&header, &claims).unwrap()
}

#[tokio::test]
async fn a_good_token_is_admitted_whatever_the_case_of_the_scheme() {
    let lab = lab().await;
    let token = lab.client_token("consents");
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let request =
            Request::post(CONSENTS, "{}").with("Authorization", &format!("{scheme} {token}"));
        assert_eq!(lab.send(&request).await.status, 201, "{scheme}");
    }
}

#[tokio::test]
async fn every_fault_of_the_authorization_field_is_refused() {
    let lab = lab().await;
    let token = lab.client_token("consents");
    let post = || Request::post(CONSENTS, "{}");
    let megabyte = "a".repeat(1024 * 1024);
    let long = "a".repeat(9000);
    let bearer = format!("Bearer {token}");
    for (name, request) in [
        ("none", post()),
        ("empty", post().with("Authorization", "")),
        ("no token", post().with("Authorization", "Bearer")),
        ("blank", post().with("Authorization", "Bearer ")),
        ("basic", post().with("Authorization", "Basic Y2xpZW50OnNlY3JldA==")),
        ("token alone", post().with("Authorization", &token)),
        ("another scheme", post().with("Authorization", &format!("DPoP {token}"))),
        ("garbage", post().with("Authorization", "Bearer garbage")),
        ("two tokens", post().with("Authorization", &format!("Bearer {token} {token}"))),
        ("a list", post().with("Authorization", &format!("Bearer {token}, Bearer {token}"))),
        ("two fields", post().bearer(&token).bearer(&token)),
        ("two fields, one good", post().bearer("garbage").bearer(&token)),
        ("quoted", post().with("Authorization", &format!("Bearer \"{token}\""))),
        ("long", post().bearer(&long)),
        ("in the query", Request::post(&format!("{CONSENTS}?access_token={token}"), "{}")),
        ("in another field", post().with("access_token", &token).with("X-Authorization", &bearer)),
    ] {
        let response = lab.send(&request).await;
        assert_refused(&response, 401, "TOKEN_INVALIDO");
        let expected = match request.fields.iter().any(|(field, _)| field == "Authorization") {
            true => "Bearer error=\"invalid_token\"",
            false => "Bearer",
        };
        assert_eq!(response.field("www-authenticate"), Some(expected), "{name}");
    }
    let mut connection = lab.http1().await;
    let _ = connection.send(&post().bearer(&megabyte).to_bytes()).await;
    let response = connection.receive(false).await.unwrap();
    assert_refused(&response, 431, "CABECALHO_EXCEDE_LIMITE");
    lab.assert_untouched();
}

#[tokio::test]
async fn every_fault_of_a_claim_is_refused() {
    let lab = lab().await;
    assert_eq!(lab.send(&create(&sign(&lab, |_, _| {}))).await.status, 201);
    let scopes = |n: usize| (0..n).map(|i| format!("s{i}")).collect::<Vec<_>>().join(" ");
    let other = lab.pki.two.thumbprint().unwrap().to_text();
    let own = lab.pki.one.thumbprint().unwrap();
    let hex = "ab".repeat(32);
    type Change = Box<dyn FnOnce(&mut Value)>;
    let set = |name: &'static str, value: Value| -> Change { Box::new(move |c| c[name] = value) };
    let remove = |name: &'static str| -> Change {
        Box::new(move |c| {
            c.as_object_mut().unwrap().remove(name);
        })
    };
    let cases: Vec<(&str, Change)> = vec![
        ("no issuer", remove("iss")),
        ("other issuer", set("iss", json!("https://other.example"))),
        ("issuer in a list", set("iss", json!(["https://as.portaria-lab.example"]))),
        ("no audience", remove("aud")),
        ("other audience", set("aud", json!("https://other.example"))),
        ("audience null", set("aud", json!(null))),
        ("audience object", set("aud", json!({"a": 1}))),
        ("audiences without ours", set("aud", json!(["a", "b"]))),
        ("no expiry", remove("exp")),
        ("expired", set("exp", json!(now() - 1))),
        ("expires now", set("exp", json!(now()))),
        ("expiry as text", set("exp", json!("9999999999"))),
        ("expiry negative", set("exp", json!(-1))),
        ("expiry with a fraction, past", set("exp", json!(1_500_000_000.5))),
        ("two names of the client that differ", set("azp", json!("client-two"))),
        ("not yet valid", set("nbf", json!(now() + 60))),
        ("issued in the future", set("iat", json!(now() + 60))),
        ("no client", remove("client_id")),
        ("client of another type", set("client_id", json!(7))),
        ("client with control characters", set("client_id", json!("a\r\nb"))),
        ("scope of another type", set("scope", json!(7))),
        ("200 scopes", set("scope", json!(format!("consents {}", scopes(200))))),
        ("scope with quotes", set("scope", json!("consents a\"b"))),
        ("two consents", set("scope", json!("consents consent:a consent:b"))),
        ("no confirmation", remove("cnf")),
        ("confirmation null", set("cnf", json!(null))),
        ("confirmation empty", set("cnf", json!({}))),
        ("confirmation of another kind", set("cnf", json!({"jkt": own.to_text()}))),
        ("confirmation as text", set("cnf", json!(own.to_text()))),
        ("confirmation in hex", set("cnf", json!({"x5t#S256": hex}))),
        ("confirmation padded", set("cnf", json!({"x5t#S256": format!("{}=", own.to_text())}))),
        ("confirmation cut", set("cnf", json!({"x5t#S256": &own.to_text()[..42]}))),
        ("another certificate", set("cnf", json!({"x5t#S256": other}))),
        (
            "at the top level only",
            Box::new(move |c| {
                c.as_object_mut().unwrap().remove("cnf");
                c["x5t#S256"] = json!(own.to_text());
            }),
        ),
    ];
    let reached = lab.recorded().len();
    for (name, change) in cases {
        let token = sign(&lab, |_, claims| change(claims));
        let response = lab.send(&create(&token)).await;
        assert_eq!(response.status, 401, "{name}: {response:?}");
        assert_refused(&response, 401, "TOKEN_INVALIDO");
    }
    assert_eq!(lab.recorded().len(), reached, "the backend saw nothing of the refused");
}

#[tokio::test]
async fn every_fault_of_the_signature_is_refused() {
    let lab = lab().await;
    let signer = lab.authorization.signer();
    let claims = lab.client_grant("consents").claims();
    let header = signer.header();
    let good = signer.sign(&header, &claims).unwrap();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (head, payload) = signed.split_once('.').unwrap();
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let other =
        Signer::new("key-1", &portaria::lab::pki::rsa_key().unwrap().serialize_pem()).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut header = header.clone();
        change(&mut header);
        signer.sign(&header, &claims).unwrap()
    };
    let as_algorithm = |algorithm, name: &str| {
        let header = json!({"alg": name, "typ": "at+jwt", "kid": "key-1"}).to_string();
        signer.sign_as(algorithm, &header, &claims.to_string()).unwrap()
    };
    let public_key = lab.authorization.signer().jwks().to_string();
    let hmac_key = jsonwebtoken::EncodingKey::from_secret(public_key.as_bytes());
    let hmac_header = encode(r#"{"alg":"HS256","typ":"at+jwt","kid":"key-1"}"#);
    let hmac_signed = format!("{hmac_header}.{payload}");
    let hmac =
        jsonwebtoken::crypto::sign(hmac_signed.as_bytes(), &hmac_key, Algorithm::HS256).unwrap();
    let last = if signature.ends_with('A') { 'Q' } else { 'A' };
    let flipped = format!("{}{last}", &signature[..signature.len() - 1]);
    let duplicated = format!("{{\"exp\":1,{}", &claims.to_string()[1..]);
    let duplicated = signer.sign_as(Algorithm::PS256, &header.to_string(), &duplicated).unwrap();
    let deep =
        format!("{{\"a\":{}{},{}", "[".repeat(2000), "]".repeat(2000), &claims.to_string()[1..]);
    let deep = signer.sign_as(Algorithm::PS256, &header.to_string(), &deep).unwrap();
    let cases: Vec<(&str, String)> = vec![
        ("none", format!("{}.{payload}.", encode(r#"{"alg":"none"}"#))),
        ("none with signature", format!("{}.{payload}.{signature}", encode(r#"{"alg":"none"}"#))),
        ("None", format!("{}.{payload}.AA", encode(r#"{"alg":"None","kid":"key-1"}"#))),
        ("HMAC with the public key", format!("{hmac_signed}.{hmac}")),
        ("RS256", as_algorithm(Algorithm::RS256, "RS256")),
        ("PS384", as_algorithm(Algorithm::PS384, "PS384")),
        ("PS512", as_algorithm(Algorithm::PS512, "PS512")),
        ("RS256 called PS256", as_algorithm(Algorithm::RS256, "PS256")),
        ("another key", other.sign(&header, &claims).unwrap()),
        ("unknown kid", with(&|h| h["kid"] = json!("key-2"))),
        ("kid of another type", with(&|h| h["kid"] = json!(1))),
        ("kid with a path", with(&|h| h["kid"] = json!("../../key-1"))),
        ("crit", with(&|h| h["crit"] = json!(["exp"]))),
        ("b64", with(&|h| h["b64"] = json!(false))),
        ("zip", with(&|h| h["zip"] = json!("DEF"))),
        ("another type", with(&|h| h["typ"] = json!("dpop+jwt"))),
        (
            "no algorithm",
            with(&|h| {
                h.as_object_mut().unwrap().remove("alg");
            }),
        ),
        (
            "changed payload",
            format!(
                "{head}.{}.{signature}",
                encode(&claims.to_string().replace("consents", "resources"))
            ),
        ),
        ("changed signature", format!("{signed}.{flipped}")),
        ("no signature", format!("{signed}.")),
        ("signature cut", format!("{signed}.{}", &signature[..100])),
        ("signature padded", format!("{good}==")),
        ("two parts", signed.to_owned()),
        ("four parts", format!("{good}.AAAA")),
        ("header is no JSON", format!("{}.{payload}.{signature}", encode("eyes"))),
        (
            "payload is no JSON",
            signer.sign_as(Algorithm::PS256, &header.to_string(), "not json").unwrap(),
        ),
        (
            "payload is no object",
            signer.sign_as(Algorithm::PS256, &header.to_string(), "[1]").unwrap(),
        ),
        ("a member twice", duplicated),
        ("nested deeply", deep),
        (
            "trailing data",
            signer.sign_as(Algorithm::PS256, &header.to_string(), &format!("{claims} 1")).unwrap(),
        ),
    ];
    for (name, token) in cases {
        let response = lab.send(&create(&token)).await;
        assert_eq!(response.status, 401, "{name}: {response:?}");
        assert_refused(&response, 401, "TOKEN_INVALIDO");
    }
    lab.assert_untouched();
    assert_eq!(lab.send(&create(&good)).await.status, 201);
}

#[tokio::test]
async fn a_stolen_token_is_refused_with_another_certificate() {
    let lab = lab().await;
    let token = lab.client_token("consents");
    assert_eq!(lab.send(&create(&token)).await.status, 201);
    let reached = lab.recorded().len();
    let mut thief = lab.connector(Some(&lab.pki.two)).http1().await.unwrap();
    let response = thief.exchange(&create(&token).to_bytes()).await.unwrap();
    assert_refused(&response, 401, "TOKEN_INVALIDO");
    assert_eq!(lab.recorded().len(), reached);
    let counted = "portaria_refusals_total{code=\"token_other_certificate\",stage=\"token\"}";
    lab.expect_metric(counted, 1.0).await;
}

#[tokio::test]
async fn a_cached_token_is_refused_when_it_expires() {
    let lab = lab().await;
    let grant = Grant { lifetime: 2, ..lab.client_grant("consents") };
    for opaque in [false, true] {
        let token = match opaque {
            true => lab.authorization.issue_opaque(&grant),
            false => lab.authorization.issue_signed(&grant).unwrap(),
        };
        let mut connection = lab.http1().await;
        assert_eq!(connection.exchange(&create(&token).to_bytes()).await.unwrap().status, 201);
        let refused = loop {
            let response = connection.exchange(&create(&token).to_bytes()).await.unwrap();
            if response.status != 201 {
                break response;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        };
        let reached = lab.recorded().len();
        assert_refused(&refused, 401, "TOKEN_INVALIDO");
        assert_eq!(lab.recorded().len(), reached);
    }
}

#[tokio::test]
async fn an_opaque_token_is_introspected_once() {
    let lab = lab().await;
    let token = lab.authorization.issue_opaque(&lab.client_grant("consents"));
    let (a, b, c) = (create(&token), create(&token), create(&token));
    let (a, b, c) = tokio::join!(lab.send(&a), lab.send(&b), lab.send(&c));
    for response in [a, b, c, lab.send(&create(&token)).await] {
        assert_eq!(response.status, 201);
    }
    assert_eq!(lab.authorization.introspections(), 1);
    assert_eq!(lab.last_recorded().field("x-portaria-client-id"), Some(CLIENT_ONE));
}

#[tokio::test]
async fn an_opaque_token_is_held_to_the_same_rules() {
    let lab = lab().await;
    let claims = lab.client_grant("consents").claims();
    let put = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut claims = claims.clone();
        change(&mut claims);
        lab.authorization.put_opaque(name, claims);
        name.to_owned()
    };
    let remove = |c: &mut Value, name: &str| {
        c.as_object_mut().unwrap().remove(name);
    };
    let revoked = lab.authorization.issue_opaque(&lab.client_grant("consents"));
    lab.authorization.revoke(&revoked);
    for token in [
        "unknown".to_owned(),
        revoked,
        put("unbound", &|c| remove(c, "cnf")),
        put("other-certificate", &|c| {
            c["cnf"] = json!({"x5t#S256": lab.pki.two.thumbprint().unwrap().to_text()})
        }),
        put("other-issuer", &|c| c["iss"] = json!("https://other.example")),
        put("other-audience", &|c| c["aud"] = json!(["https://other.example"])),
        put("not-yet", &|c| c["nbf"] = json!(now() + 60)),
        put("nobody", &|c| remove(c, "client_id")),
    ] {
        let response = lab.send(&create(&token)).await;
        assert_eq!(response.status, 401, "{token}");
        assert_refused(&response, 401, "TOKEN_INVALIDO");
    }
    lab.assert_untouched();
    // What the authorization server leaves out, it vouches for.
    let terse = put("terse", &|c| {
        for name in ["iss", "aud", "exp", "nbf", "iat"] {
            remove(c, name);
        }
    });
    assert_eq!(lab.send(&create(&terse)).await.status, 201);
}

#[tokio::test]
async fn an_authorization_server_that_cannot_be_asked_is_503() {
    let unreachable = |config: String| {
        let start = config.find("url = \"http://").unwrap();
        let end = start + config[start..].find('\n').unwrap();
        config.replacen(
            &config[start..end].to_owned(),
            "url = \"http://127.0.0.1:1/introspect\"",
            1,
        )
    };
    let lab = lab_with(unreachable).await;
    let response = lab.send(&create("opaque-token")).await;
    assert_refused(&response, 503, "SERVICO_INDISPONIVEL");
    assert_eq!(lab.send(&create(&lab.client_token("consents"))).await.status, 201, "JWTs go on");
    assert_eq!(lab.recorded().len(), 1);
}

#[tokio::test]
async fn wrong_credentials_at_the_authorization_server_are_503_not_401() {
    let lab = lab().await;
    std::fs::write(lab.directory.path().join("secret"), "wrong").unwrap();
    lab.gateway.signal("HUP");
    eventually("reloaded", || async { lab.gateway.log_contains("configuration reloaded") }).await;
    let token = lab.authorization.issue_opaque(&lab.client_grant("consents"));
    assert_refused(&lab.send(&create(&token)).await, 503, "SERVICO_INDISPONIVEL");
    lab.assert_untouched();
}

#[tokio::test]
async fn introspection_with_a_client_certificate() {
    let pki = pki();
    let consents = Store::default();
    let signer = Signer::new("key-1", &pki.signer_pem).unwrap();
    let authorization = AuthorizationServer::new(signer, consents);
    let service = authorization.serve(LOOPBACK, Some(pki.mutual_tls())).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).unwrap();
        directory.path().join(name).display().to_string()
    };
    let (root, chain, key) = (
        write("as-root.pem", &pki.root.pem()),
        write("gateway.pem", &pki.two.chain_pem),
        write("gateway.key", &pki.two.key_pem),
    );
    let by_certificate = |config: String| {
        let start = config.find("[token.introspection]").unwrap();
        let end = config.find("[consent]").unwrap();
        let section = format!(
            "[token.introspection]\nurl = \"https://localhost:{}/introspect\"\n\
             client_auth = \"tls_client_auth\"\nclient_id = \"portaria\"\n\
             trust_anchors = \"{root}\"\ncertificate = \"{chain}\"\nprivate_key = \"{key}\"\n\n",
            service.address.port()
        );
        format!("{}{section}{}", &config[..start], &config[end..])
    };
    let lab = lab_with(by_certificate).await;
    let token = authorization.issue_opaque(&lab.client_grant("consents"));
    assert_eq!(lab.send(&create(&token)).await.status, 201);
    assert_eq!(authorization.introspections(), 1);
}

#[tokio::test]
async fn a_key_set_from_a_url_is_read_and_read_again() {
    let pki = pki();
    let signer = Signer::new("key-1", &pki.signer_pem).unwrap();
    let authorization = AuthorizationServer::new(signer, Store::default());
    let service = authorization.serve(LOOPBACK, None).await.unwrap();
    let url = format!("url = \"http://{}/jwks\"\nrefresh_interval = \"1s\"", service.address);
    let lab = lab_with(|config| config.replace("file = \"jwks.json\"", &url)).await;
    eventually("the key set is read", || async { lab.gateway.admin("/readyz").await.0 == 200 })
        .await;
    assert_eq!(lab.send(&create(&lab.client_token("consents"))).await.status, 201);
    let refreshed = "portaria_key_set_refreshes_total{cause=\"schedule\",\
                     issuer=\"https://as.portaria-lab.example\",result=\"ok\"}";
    eventually("it is read again", || async { lab.metric(refreshed).await >= 2.0 }).await;
    drop(service);
    let failed = "portaria_key_set_refreshes_total{cause=\"schedule\",\
                  issuer=\"https://as.portaria-lab.example\",result=\"connect\"}";
    eventually("a refresh fails", || async { lab.metric(failed).await >= 1.0 }).await;
    assert_eq!(
        lab.send(&create(&lab.client_token("consents"))).await.status,
        201,
        "the last set stays"
    );
}

#[tokio::test]
async fn without_a_key_set_nothing_can_be_decided() {
    let url = "url = \"http://127.0.0.1:1/jwks\"";
    let lab = lab_with(|config| config.replace("file = \"jwks.json\"", url)).await;
    let (status, body) = lab.gateway.admin("/readyz").await;
    assert_eq!((status, body.contains("token.issuers")), (503, true), "{body}");
    let response = lab.send(&create(&lab.client_token("consents"))).await;
    assert_refused(&response, 503, "SERVICO_INDISPONIVEL");
    lab.assert_untouched();
}

#[tokio::test]
async fn a_removed_key_stops_working() {
    let lab = lab_with(|config| {
        config.replace("file = \"jwks.json\"", "file = \"jwks.json\"\nrefresh_interval = \"1s\"")
    })
    .await;
    let token = lab.client_token("consents");
    assert_eq!(lab.send(&create(&token)).await.status, 201);
    let other =
        Signer::new("key-2", &portaria::lab::pki::rsa_key().unwrap().serialize_pem()).unwrap();
    std::fs::write(lab.directory.path().join("jwks.json"), other.jwks().to_string()).unwrap();
    eventually("the removed key is refused", || async {
        lab.send(&create(&token)).await.status == 401
    })
    .await;
    let reached = lab.recorded().len();
    assert_refused(&lab.send(&create(&token)).await, 401, "TOKEN_INVALIDO");
    assert_eq!(lab.recorded().len(), reached);
    let claims = lab.client_grant("consents").claims();
    let renewed = other.sign(&other.header(), &claims).unwrap();
    assert_eq!(lab.send(&create(&renewed)).await.status, 201);
}

#[tokio::test]
async fn times_may_have_fractions() {
    let lab = lab().await;
    let token = sign(&lab, |_, claims| {
        claims["exp"] = json!(9_999_999_999.5);
        claims["nbf"] = json!(1_500_000_000.25);
    });
    assert_eq!(lab.send(&create(&token)).await.status, 201);
}

#[tokio::test]
async fn a_clients_own_token_may_have_a_subject_where_the_consent_tells() {
    for (rule, status) in [("consent_or_subject", 401), ("subject_present", 401), ("consent", 201)]
    {
        let key = format!("user_token = \"{rule}\"\n[[token.issuers]]");
        let lab = lab_with(|config| config.replace("[[token.issuers]]", &key)).await;
        let token = sign(&lab, |_, claims| claims["sub"] = json!("0b1c-service-account"));
        assert_eq!(lab.send(&create(&token)).await.status, status, "{rule}");
        assert_eq!(lab.recorded().len(), usize::from(status == 201));
    }
}

#[tokio::test]
async fn the_client_id_may_have_other_names() {
    let lab = lab().await;
    for name in ["azp", "clientId"] {
        let token = sign(&lab, |_, claims| {
            claims.as_object_mut().unwrap().remove("client_id");
            claims[name] = json!("client-renamed");
        });
        assert_eq!(lab.send(&create(&token)).await.status, 201, "{name}");
        assert_eq!(lab.last_recorded().field("x-portaria-client-id"), Some("client-renamed"));
    }
}
