//! Tokens: one good case, then every single fault of it.

mod bad;
mod binding;
mod command;
mod introspection;
mod keys;
mod outage;
pub mod revoked;
mod rules;

use portaria::lab::authorization::{AuthorizationServer, Signer, TokenContent, now};
use portaria::lab::consents::Store;
use serde_json::{Value, json};

use crate::harness::*;

const CONSENTS: &str = "/open-insurance/consents/v3/consents";

fn create(token: &str) -> Request {
    Request::post(CONSENTS, "{}").bearer(token)
}

/// A good token's header and claims, changed by a test and signed.
pub fn sign(lab: &Lab, change: impl FnOnce(&mut Value, &mut Value)) -> String {
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
    let grant = TokenContent { lifetime: 2, ..lab.client_grant("consents") };
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

/// The authorization server decides how much it says of a token: a bound of tokens is one of bytes, too.
#[tokio::test]
async fn a_token_of_which_much_is_said_takes_the_room_of_many() {
    let lab = lab_with(|config| config.within("[token]", "cache_capacity = 8")).await;
    let many: String = (10..100).map(|number| format!(" {number}{}", "x".repeat(200))).collect();
    let scope = format!("consents{many}");
    let long = lab.authorization.issue_opaque(&lab.client_grant(&scope));
    eventually("it is asked about again", || async {
        assert_eq!(lab.send(&create(&long)).await.status, 201);
        lab.authorization.introspections() > 2
    })
    .await;
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
        for name in ["iss", "aud", "nbf", "iat"] {
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
async fn times_may_have_fractions() {
    let lab = lab().await;
    let token = sign(&lab, |_, claims| {
        claims["exp"] = json!(claims["exp"].as_f64().unwrap() - 0.5);
        claims["nbf"] = json!(1_500_000_000.25);
    });
    assert_eq!(lab.send(&create(&token)).await.status, 201);
}

#[tokio::test]
async fn a_clients_own_token_may_have_a_subject_where_the_consent_tells() {
    for (rule, status) in [("consent_or_subject", 401), ("subject_present", 401), ("consent", 201)]
    {
        let key = format!("user_token = \"{rule}\"\n[[token.issuers]]");
        let lab = lab_with(|config| config.swap("[[token.issuers]]", &key)).await;
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
