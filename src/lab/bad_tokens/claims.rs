//! Faults of the claims: missing, doubled, of another type, of another time, for others, for another certificate.

use serde_json::{Value, json};

use super::{List, at, preceded};
use crate::lab::Result;
use crate::lab::authorization::{AUDIENCE, ISSUER, now};

const CLAIMS: &str = "token_claims";
const ISSUER_CODE: &str = "token_issuer";
const AUDIENCE_CODE: &str = "token_audience";
const EXPIRED: &str = "token_expired";
const NOT_YET: &str = "token_not_yet_valid";
const UNBOUND: &str = "token_unbound";

pub(super) fn add(list: &mut List<'_>) -> Result<()> {
    missing(list)?;
    doubled(list)?;
    types(list)?;
    times(list)?;
    parties(list)?;
    scopes(list)?;
    confirmations(list)
}

fn missing(list: &mut List<'_>) -> Result<()> {
    for (name, code) in [
        ("iss", ISSUER_CODE),
        ("aud", AUDIENCE_CODE),
        ("exp", CLAIMS),
        ("client_id", CLAIMS),
        ("cnf", UNBOUND),
    ] {
        list.claims(code, format!("no {name}"), |claims| drop(claims.remove(name)))?;
    }
    Ok(())
}

/// The same value twice is doubt enough.
fn doubled(list: &mut List<'_>) -> Result<()> {
    let (header, claims) = (list.signer().header().to_string(), list.material.claims.clone());
    for name in ["iss", "aud", "exp", "nbf", "iat", "client_id", "scope", "cnf"] {
        let member = format!("\"{name}\":{}", at(&claims, &format!("/{name}")));
        list.raw(CLAIMS, &format!("{name} twice"), &header, preceded(&member, &claims))?;
    }
    let escaped = format!("\"\\u0069ss\":{}", at(&claims, "/iss"));
    list.raw(CLAIMS, "iss twice, once escaped", &header, preceded(&escaped, &claims))?;
    list.raw(CLAIMS, "x twice", &header, preceded(r#""x":1,"x":1"#, &claims))?;
    let thumbprint = at(&claims, "/cnf/x5t#S256");
    let twice = format!(r#"{{"x5t#S256":{thumbprint},"x5t#S256":{thumbprint}}}"#);
    let text = claims.to_string().replace(&at(&claims, "/cnf").to_string(), &twice);
    list.raw(CLAIMS, "x5t#S256 twice", &header, text)
}

fn types(list: &mut List<'_>) -> Result<()> {
    for (name, value) in [
        ("iss", json!([ISSUER])),
        ("iss", json!(null)),
        ("iss", json!(1)),
        ("aud", json!(null)),
        ("aud", json!(1)),
        ("aud", json!({"a": AUDIENCE})),
        ("aud", json!([AUDIENCE, 1])),
        ("aud", json!([[AUDIENCE]])),
        ("exp", json!("9999999999")),
        ("exp", json!(-1)),
        ("exp", json!(null)),
        ("exp", json!(true)),
        ("exp", json!([9_999_999_999_u64])),
        ("exp", json!(1e300)),
        ("nbf", json!("1")),
        ("nbf", json!(-1)),
        ("iat", json!("1")),
        ("iat", json!({})),
        ("sub", json!(1)),
        ("client_id", json!(7)),
        ("client_id", json!("")),
        ("client_id", json!("a\r\nb")),
        ("client_id", json!("ação")),
        ("client_id", json!("a".repeat(256))),
        ("azp", json!("client-two")),
        ("clientId", json!("client-two")),
        ("clientId", json!(1)),
        ("jti", json!(1)),
        ("scope", json!(7)),
        ("scope", json!({})),
        ("scope", json!([1])),
        ("scope", json!([["consents"]])),
        ("scope", json!(null)),
        ("cnf", json!([])),
        ("cnf", json!("x5t#S256")),
        ("cnf", json!(null)),
        ("cnf", json!({"x5t#S256": 1})),
        ("cnf", json!({"x5t#S256": null})),
        ("active", json!("true")),
    ] {
        list.claim(CLAIMS, name, value)?;
    }
    Ok(())
}

fn times(list: &mut List<'_>) -> Result<()> {
    let now = now();
    for (code, name, value) in [
        (EXPIRED, "exp", json!(0)),
        // RFC 7519 section 4.1.4: not accepted on or after this second.
        (EXPIRED, "exp", json!(now)),
        (EXPIRED, "exp", json!(now - 1)),
        (EXPIRED, "exp", json!(1_500_000_000.5)),
        (NOT_YET, "nbf", json!(now + 3600)),
        (NOT_YET, "nbf", json!(now as f64 + 3600.5)),
        (NOT_YET, "nbf", json!(9_999_999_999_u64)),
        (NOT_YET, "nbf", json!(u64::MAX)),
        (NOT_YET, "iat", json!(now + 3600)),
        (NOT_YET, "iat", json!(u64::MAX)),
    ] {
        list.claim(code, name, value)?;
    }
    Ok(())
}

fn parties(list: &mut List<'_>) -> Result<()> {
    // Compared as it stands, case and all (RFC 7519 section 2, StringOrURI).
    for issuer in ["", "https://other.example", &format!("{ISSUER}/"), &ISSUER.to_uppercase()] {
        list.claim(ISSUER_CODE, "iss", json!(issuer))?;
    }
    let near = [
        format!("{AUDIENCE}/"),
        AUDIENCE.to_uppercase(),
        AUDIENCE.trim_end_matches("example").to_owned(),
    ];
    for audience in near.into_iter().chain(["".into(), "*".into(), "https://other.example".into()])
    {
        list.claim(AUDIENCE_CODE, "aud", json!(audience))?;
        list.claim(AUDIENCE_CODE, "aud", json!(["a", audience]))?;
    }
    list.claim(AUDIENCE_CODE, "aud", json!([]))
}

fn scopes(list: &mut List<'_>) -> Result<()> {
    let many: Vec<String> = (0..101).map(|n| format!("s{n}")).collect();
    for scope in [
        json!(many.join(" ")),
        json!(many),
        json!("consents a\"b"),
        json!("consents a\\b"),
        json!("consents\tresources"),
        json!("consents\u{a0}resources"),
        json!("consents ação"),
        json!(["consents resources"]),
        json!(["consents", ""]),
        json!("consents consent:a consent:b"),
        json!("consents consent:"),
    ] {
        list.claim(CLAIMS, "scope", scope)?;
    }
    Ok(())
}

fn confirmations(list: &mut List<'_>) -> Result<()> {
    let own = at(&list.material.claims, "/cnf/x5t#S256").as_str().unwrap_or_default().to_owned();
    let thumbprint = |text: &str| json!({ "x5t#S256": text });
    let cut = own.get(..42).unwrap_or_default();
    for value in [
        json!({}),
        json!({ "jkt": own }),
        json!({ "x5t": own }),
        json!({ "X5T#S256": own }),
        thumbprint(""),
        thumbprint(cut),
        thumbprint(&format!("{own}=")),
        thumbprint(&format!("{own}A")),
        thumbprint(&format!(" {own}")),
        thumbprint(&"ab".repeat(32)),
        thumbprint(&format!("{cut}+")),
    ] {
        list.claim(UNBOUND, "cnf", value)?;
    }
    let other = list.material.other.to_text();
    list.claim("token_other_certificate", "cnf", thumbprint(&other))?;
    list.claims(UNBOUND, "x5t#S256 beside cnf", |claims| {
        claims.remove("cnf");
        claims.insert("x5t#S256".into(), Value::from(own));
    })
}
