//! Faults of the form: parts, encodings, signatures, sizes.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};

use super::{List, encode, parts, preceded};
use crate::lab::Result;

const CLAIMS: &str = "token_claims";
const SIGNATURE: &str = "token_signature";
/// What is no JWT is opaque, and the authorization server does not know it.
const INACTIVE: &str = "token_inactive";

pub(super) fn add(list: &mut List<'_>) -> Result<()> {
    signatures(list)?;
    shapes(list)?;
    encodings(list)?;
    payloads(list)?;
    sizes(list)
}

fn signatures(list: &mut List<'_>) -> Result<()> {
    let good = list.good()?;
    let [header, payload, signature] = parts(&good)?;
    let again = list.good()?;
    let [_, _, of_another] = parts(&again)?;
    let flip = |at: usize| -> String {
        let other = |c: char| if c == 'A' { 'B' } else { 'A' };
        signature.chars().enumerate().map(|(i, c)| if i == at { other(c) } else { c }).collect()
    };
    let cut = |by: usize| signature.get(..signature.len().saturating_sub(by)).unwrap_or_default();
    for (fault, signature) in [
        ("no signature", String::new()),
        ("signature of one byte", "AA".to_owned()),
        ("signature of zeros", encode([0; 256])),
        ("signature of ones", encode([255; 256])),
        ("signature changed at its begin", flip(0)),
        ("signature changed in the middle", flip(170)),
        // The last but one: four bits of the last character are padding.
        ("signature changed at its end", flip(signature.len() - 2)),
        ("signature cut by one", cut(1).to_owned()),
        ("signature cut by a byte", cut(4).to_owned()),
        ("half a signature", cut(signature.len() / 2).to_owned()),
        ("signature with bytes more", format!("{signature}AAAA")),
        ("signature twice", format!("{signature}{signature}")),
        ("signature padded", format!("{signature}==")),
        ("signature with an impossible last character", format!("{}-", cut(1))),
    ] {
        list.add(fault, SIGNATURE, format!("{header}.{payload}.{signature}"));
    }
    let other = encode(preceded(r#""x":1"#, &list.material.claims));
    list.add("payload changed", SIGNATURE, format!("{header}.{other}.{signature}"));
    let changed = encode(list.header_but("typ", json!("JWT")).to_string());
    list.add("header changed", SIGNATURE, format!("{changed}.{payload}.{signature}"));
    list.add(
        "header changed, signature anew",
        SIGNATURE,
        format!("{changed}.{payload}.{of_another}"),
    );
    let stranger = list.material.stranger.clone();
    let text = stranger.sign(&list.signer().header(), &list.material.claims)?;
    list.add("another key of the same name", SIGNATURE, text);
    Ok(())
}

fn shapes(list: &mut List<'_>) -> Result<()> {
    let good = list.good()?;
    let [header, payload, signature] = parts(&good)?;
    for (fault, code, text) in [
        ("one part", INACTIVE, header.to_owned()),
        ("two parts", INACTIVE, format!("{header}.{payload}")),
        ("four parts", INACTIVE, format!("{good}.AAAA")),
        ("five parts, as if encrypted", INACTIVE, format!("{header}.AA.AA.AA.AA")),
        ("a dot at the end", INACTIVE, format!("{good}.")),
        ("a dot at the begin", INACTIVE, format!(".{good}")),
        ("no header", INACTIVE, format!(".{payload}.{signature}")),
        ("no payload", CLAIMS, format!("{header}..{signature}")),
        ("dots alone", INACTIVE, "..".to_owned()),
        ("parts swapped", "token_issuer", format!("{payload}.{header}.{signature}")),
        ("header for payload", CLAIMS, format!("{header}.{}.{signature}", encode("[]"))),
    ] {
        list.add(fault, code, text);
    }
    Ok(())
}

fn encodings(list: &mut List<'_>) -> Result<()> {
    let good = list.good()?;
    let [header, payload, signature] = parts(&good)?;
    // In standard base64 this has a plus and a slash.
    let claims = preceded(r#""x":">>>???>>>???""#, &list.material.claims);
    let padded = URL_SAFE.encode(format!("{claims} "));
    let padded =
        if padded.ends_with('=') { padded } else { URL_SAFE.encode(format!("{claims}  ")) };
    for (fault, code, text) in [
        (
            "payload in standard base64",
            CLAIMS,
            format!("{header}.{}.{signature}", STANDARD.encode(&claims)),
        ),
        ("payload padded", "token_malformed", format!("{header}.{padded}.{signature}")),
        ("payload cut by one", CLAIMS, format!("{header}.{}.{signature}", cut(payload))),
        (
            "header in standard base64",
            "token_header",
            format!("{}+/.{payload}.{signature}", header),
        ),
        ("header cut by one", "token_header", format!("{}.{payload}.{signature}", cut(header))),
        ("payload not encoded", CLAIMS, format!("{header}.~{payload}.{signature}")),
    ] {
        list.add(fault, code, text);
    }
    Ok(())
}

/// So that what is left has a length that no base64 has.
fn cut(text: &str) -> &str {
    let over = (text.len() + 3) % 4;
    text.get(..text.len().saturating_sub(over)).unwrap_or_default()
}

fn payloads(list: &mut List<'_>) -> Result<()> {
    let header = list.signer().header().to_string();
    let claims = list.material.claims.clone();
    let text = claims.to_string();
    let good = list.good()?;
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let latin = [text.trim_end_matches('}').as_bytes(), b",\"x\":\"\xe9\"}"].concat();
    let deep = format!(r#""x":{}{}"#, "[".repeat(1000), "]".repeat(1000));
    for (fault, payload) in [
        ("payload that is no JSON", b"not json".to_vec()),
        ("payload that is empty", Vec::new()),
        ("payload that is a list", format!("[{text}]").into_bytes()),
        ("payload that is a string", Value::from(text.as_str()).to_string().into_bytes()),
        ("payload that is a number", b"1".to_vec()),
        ("payload that is null", b"null".to_vec()),
        ("payload that is a token", good.into_bytes()),
        ("payload with something after it", format!("{text} 1").into_bytes()),
        ("payload twice", format!("{text}{text}").into_bytes()),
        ("payload cut", text.trim_end_matches('}').as_bytes().to_vec()),
        ("payload with a byte order mark", format!("\u{feff}{text}").into_bytes()),
        ("payload in UTF-16", utf16),
        ("payload in Latin-1", latin),
        ("payload that nests deeply", preceded(&deep, &claims).into_bytes()),
        ("payload with a lone surrogate", preceded(r#""x":"\ud800""#, &claims).into_bytes()),
        (
            "payload with a number beyond all bounds",
            preceded(r#""exp":1e999"#, &claims).into_bytes(),
        ),
        ("payload with a control character", preceded("\"x\":\"\u{1}\"", &claims).into_bytes()),
        ("payload with a trailing comma", text.replacen('}', ",}", 1).into_bytes()),
    ] {
        list.raw(CLAIMS, fault, &header, payload)?;
    }
    Ok(())
}

fn sizes(list: &mut List<'_>) -> Result<()> {
    let long = "a".repeat(1025);
    for name in ["iss", "sub", "client_id", "azp", "jti", "aud", "scope"] {
        list.claim(CLAIMS, name, json!(long))?;
    }
    list.claim(CLAIMS, "aud", json!([long]))?;
    list.claims("token_too_long", "8 KiB and a byte", |claims| {
        claims.insert("x".into(), json!("a".repeat(8 * 1024)));
    })
}
