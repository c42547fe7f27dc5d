//! What a signed token must be where the configuration says otherwise than by default.

use portaria::lab::authorization::{TokenContent, now};
use serde_json::{Value, json};

use super::keys::*;
use super::{create, sign};
use crate::harness::*;

async fn lab_with_rule(rule: &str) -> Lab {
    let rule = format!("{rule}\n[[token.issuers]]");
    lab_with(|config| config.swap("[[token.issuers]]", &rule)).await
}

#[tokio::test]
async fn good_tokens_of_every_shape_are_admitted() {
    let lab = lab().await;
    let list = json!(["https://other.example", "https://api.portaria-lab.example"]);
    type Change = Box<dyn Fn(&mut Value, &mut Value)>;
    let cases: [(&str, Change); 11] = [
        ("as it is", Box::new(|_, _| {})),
        ("typ JWT", Box::new(|header, _| header["typ"] = json!("JWT"))),
        ("typ in lower case", Box::new(|header, _| header["typ"] = json!("jwt"))),
        ("a whole media type", Box::new(|header, _| header["typ"] = json!("application/at+jwt"))),
        (
            "without a kid, of a set with one key",
            Box::new(|header, _| drop(header.as_object_mut().unwrap().remove("kid"))),
        ),
        (
            "keys of its own, which nobody looks at",
            Box::new(|header, _| {
                header["jku"] = json!("https://stranger.example");
                header["jwk"] = json!({"kty": "oct", "k": "AA"});
                header["x5c"] = json!([]);
            }),
        ),
        ("several audiences", Box::new(move |_, claims| claims["aud"] = list.clone())),
        ("scopes in a list", Box::new(|_, claims| claims["scope"] = json!(["a", "consents"]))),
        ("scopes with blanks", Box::new(|_, claims| claims["scope"] = json!(" consents  a "))),
        ("issued a little ahead", Box::new(|_, claims| claims["iat"] = json!(now() + 3))),
        ("valid in a moment", Box::new(|_, claims| claims["nbf"] = json!(now() + 3))),
    ];
    for (what, change) in cases {
        let token = sign(&lab, |header, claims| change(header, claims));
        assert_eq!(ask(&lab, &token).await, 201, "{what}");
        assert_eq!(ask(&lab, &token).await, 201, "{what}, known");
    }
}

#[tokio::test]
async fn a_token_without_type_is_admitted_where_the_list_says_so() {
    let lab = lab_with_rule("types = [\"\", \"jwt\"]").await;
    let untyped = |header: &mut Value| drop(header.as_object_mut().unwrap().remove("typ"));
    assert_eq!(ask(&lab, &sign(&lab, |header, _| untyped(header))).await, 201);
    assert_eq!(ask(&lab, &sign(&lab, |header, _| header["typ"] = json!("JWT"))).await, 201);
    assert_eq!(ask(&lab, &sign(&lab, |header, _| header["typ"] = json!("at+jwt"))).await, 401);
    assert_eq!(ask(&lab, &sign(&lab, |header, _| header["typ"] = json!(""))).await, 401);
}

#[tokio::test]
async fn other_algorithms_are_admitted_where_the_list_says_so() {
    use jsonwebtoken::Algorithm;
    let server = key_server().await;
    let lab = lab_with_keys(&server, "", "algorithms = [\"PS384\", \"ES256\"]").await;
    assert_eq!(ask(&lab, &lab.client_token("consents")).await, 401);
    // A key that is declared for nothing in particular verifies with any RSA algorithm of the list.
    let mut set = set_of(&[&first_signer()]);
    set["keys"][0].as_object_mut().unwrap().remove("alg");
    server.publish(&set);
    ready(&lab).await;
    let claims = lab.client_grant("consents").claims().to_string();
    for (algorithm, name, expected) in [
        (Algorithm::PS384, "PS384", 201),
        (Algorithm::PS256, "PS256", 401),
        (Algorithm::PS256, "PS384", 401),
        (Algorithm::PS384, "ES256", 401),
    ] {
        let header = json!({"alg": name, "typ": "at+jwt", "kid": "key-1"}).to_string();
        let token = lab.authorization.signer().sign_as(algorithm, &header, &claims).unwrap();
        assert_eq!(ask(&lab, &token).await, expected, "{algorithm:?} called {name}");
    }
}

#[tokio::test]
async fn a_token_lives_no_longer_than_the_ecosystem_says() {
    let lab = lab_with_rule("").await;
    let without_iat = |claims: &mut Value| drop(claims.as_object_mut().unwrap().remove("iat"));
    for (seconds, expected) in [(899, 201), (900, 201), (901, 401), (86_400, 401)] {
        let grant = TokenContent { lifetime: seconds, ..lab.client_grant("consents") };
        let token = lab.authorization.issue_signed(&grant).unwrap();
        assert_eq!(ask(&lab, &token).await, expected, "{seconds}");
        let opaque = lab.authorization.issue_opaque(&grant);
        assert_eq!(ask(&lab, &opaque).await, expected, "{seconds}, opaque");
    }
    let left = |exp: u64| {
        sign(&lab, |_, claims| {
            without_iat(claims);
            claims["exp"] = json!(exp);
        })
    };
    assert_eq!(ask(&lab, &left(now() + 900)).await, 201);
    assert_eq!(ask(&lab, &left(now() + 1000)).await, 401);
    assert_eq!(lab.recorded().len(), 5, "the backend saw what was admitted");
    let lab = lab_with_rule("longest_lifetime = \"any\"").await;
    let grant = TokenContent { lifetime: 86_400, ..lab.client_grant("consents") };
    assert_eq!(ask(&lab, &lab.authorization.issue_signed(&grant).unwrap()).await, 201);
    let for_ever = sign(&lab, |_, claims| claims["exp"] = json!(u64::MAX));
    assert_eq!(ask(&lab, &for_ever).await, 201);
}

#[tokio::test]
async fn percent_encoded_blanks_separate_scopes_where_that_is_said() {
    let encoded = "openid%20consents%20a";
    for (rule, expected) in [("percent_encoded_scopes = true", 201), ("", 403)] {
        let lab = lab_with_rule(rule).await;
        let token = sign(&lab, |_, claims| claims["scope"] = json!(encoded));
        let response = lab.send(&create(&token)).await;
        assert_eq!(response.status, expected, "{rule}");
        assert_eq!(lab.recorded().len(), usize::from(expected == 201));
        // Nothing else is decoded.
        let token = sign(&lab, |_, claims| claims["scope"] = json!("open%69d%09%63onsents"));
        let reached = lab.recorded().len();
        assert_eq!(lab.send(&create(&token)).await.status, 403, "{rule}");
        assert_eq!(lab.recorded().len(), reached);
    }
}
