//! Refusals that only a gateway can tell: of the wire, of what was before, of services that are down.

use portaria::lab::authorization::{Signer, now};
use portaria::lab::pki::rsa_key;
use serde_json::json;

use super::{Example, ask, digest_of, fresh, look_up};
use crate::ceilings::{hold, lab_of};
use crate::harness::*;
use crate::reload::reload;
use crate::token::revoked::{form, lab_revoking, revocation};

const OPEN: &str = "/open-insurance/channels/v2/branches";
const RESOURCES: &str = "/open-insurance/resources/v3/resources";
const LEAD: &str = "/open-insurance/quote-auto/v2/lead/request";
const DEAD: &str = "127.0.0.1:1";

fn example(code: &'static str, online: String) -> Example {
    Example { code, arguments: None, online }
}

/// Every example.
pub async fn all() -> Vec<Example> {
    let mut examples = wire().await;
    examples.extend(bodies().await);
    examples.extend(limits().await);
    examples.extend(outages().await);
    examples.extend(upstreams().await);
    examples.extend(events().await);
    examples.extend(repetitions().await);
    examples.push(outdated().await);
    examples.push(revoked().await);
    examples.push(repeated_token().await);
    examples.push(untrusted().await);
    examples
}

/// Heads that are none.
async fn wire() -> Vec<Example> {
    let lab = lab().await;
    let host = "Host: localhost\r\n";
    let fields: String = (0..70).map(|number| format!("a-{number}: b\r\n")).collect();
    let long = format!("a: {}\r\n", "b".repeat(17_000));
    let head = |middle: &str| format!("GET {OPEN} HTTP/1.1\r\n{host}{middle}\r\n");
    let mut examples = Vec::new();
    for (code, text) in [
        ("request_line", format!("GET {OPEN} HTTP/1.1 x\r\n{host}\r\n")),
        ("request_line_ending", format!("GET {OPEN} HTTP/1.1\n{host}\r\n")),
        ("request_folded_field", head("a: b\r\n c\r\n")),
        ("request_field_name", head("a : b\r\n")),
        ("request_head_too_large", head(&long)),
        ("request_too_many_fields", head(&fields)),
        ("request_length", head("content-length: 1\r\ncontent-length: 2\r\n")),
        ("request_transfer_coding", head("transfer-encoding: gzip\r\n")),
        ("request_head_timeout", format!("GET {OPEN} HTTP/1.1\r\n{host}")),
    ] {
        examples.push(example(code, ask(&lab, "public", None, text.as_bytes()).await));
    }
    lab.assert_untouched();
    examples
}

async fn bodies() -> Vec<Example> {
    let lab = lab().await;
    let request = |field: &str, value: &str| {
        Request::new("POST", LEAD)
            .with("x-idempotency-key", "key-1")
            .with("content-type", "application/json")
            .with(field, value)
            .bearer(&lab.client_token("quote-auto-lead"))
            .to_bytes()
    };
    let chunked = || request("transfer-encoding", "chunked");
    let long = format!("{:x}\r\n{}\r\n0\r\n\r\n", 66_000, "1".repeat(66_000)).into_bytes();
    let many = format!("[{}1", "1,".repeat(100_000)).into_bytes();
    let mut examples = Vec::new();
    for (code, bytes) in [
        ("request_json_malformed", [request("content-length", "3"), b"{,}".to_vec()].concat()),
        ("request_json_depth", [request("content-length", "65"), vec![b'['; 65]].concat()),
        (
            "request_json_repeated",
            [request("content-length", "13"), br#"{"a":1,"a":2}"#.to_vec()].concat(),
        ),
        ("request_json_members", [request("content-length", "200002"), many].concat()),
        ("request_chunk", [chunked(), b"zz\r\n".to_vec()].concat()),
        ("request_length_required", [chunked(), long].concat()),
        ("request_body_timeout", [request("content-length", "10"), b"{".to_vec()].concat()),
    ] {
        examples.push(example(code, ask(&lab, "mtls", Some("chain.pem"), &bytes).await));
    }
    lab.assert_untouched();
    examples
}

async fn limits() -> Vec<Example> {
    let mut examples = Vec::new();
    for (code, quota) in [("limits_address", "per_address"), ("limits_global", "global")] {
        let limits = format!("\n[limits]\n{quota} = {{ requests = 1, per = \"10m\" }}\n");
        let lab = lab_with(|config| config + &limits).await;
        let bytes = Request::get("/open-insurance/nothing").to_bytes();
        let mut connection = lab.connector_to("public", None).http1().await.unwrap();
        let response = loop {
            let response = connection.exchange(&fresh(&bytes)).await.unwrap();
            if response.status == 429 {
                break response;
            }
        };
        examples.push(example(code, look_up(&lab, &response).await));
        lab.assert_untouched();
    }
    for (code, ceiling) in [
        ("limits_under_way_address", "per_address"),
        ("limits_under_way_organisation", "per_organisation"),
        ("limits_under_way_total", "total"),
    ] {
        let ceilings = format!("under_way = {{ per_address = 9, {ceiling} = 1 }}");
        let ceilings = ceilings.replace("per_address = 9, per_address", "per_address");
        let lab = lab_of(&ceilings, |config| config).await;
        let held = hold(&lab, lab.http1().await).await;
        let bytes = Request::get(OPEN).to_bytes();
        examples.push(example(code, ask(&lab, "mtls", Some("chain.pem"), &bytes).await));
        assert_eq!(lab.recorded().len(), 1);
        drop(held);
    }
    examples
}

/// Services that do not answer.
async fn outages() -> Vec<Example> {
    let mut examples = Vec::new();
    let keys = |config: String| {
        let start = config.find("[token.introspection]").unwrap();
        let end = config.find("[consent]").unwrap();
        let url = format!("url = \"http://{DEAD}/jwks\"");
        config.swap(&config[start..end], "").swap("file = \"jwks.json\"", &url)
    };
    let lab = lab_with(keys).await;
    let signed = lab.user_token("resources", "urn:insurer:C1");
    for (code, token) in [("token_keys_unavailable", &*signed), ("token_unsupported", "opaque")] {
        let bytes = Request::get(RESOURCES).bearer(token).to_bytes();
        examples.push(example(code, ask(&lab, "mtls", Some("chain.pem"), &bytes).await));
    }
    lab.assert_untouched();
    let introspection = |config: String| {
        let start = config.find("url = \"http://").unwrap();
        let end = start + config[start..].find('\n').unwrap();
        config.swap(&config[start..end], &format!("url = \"http://{DEAD}/introspect\""))
    };
    let lab = lab_with(introspection).await;
    let bytes = Request::get(RESOURCES).bearer("opaque").to_bytes();
    let told = ask(&lab, "mtls", Some("chain.pem"), &bytes).await;
    examples.push(example("token_introspection_unavailable", told));
    lab.assert_untouched();
    examples
}

async fn upstreams() -> Vec<Example> {
    let mut examples = Vec::new();
    let lab = lab().await;
    for (code, demand) in [
        ("upstream_timeout", "silent"),
        ("upstream_broken", "close"),
        ("upstream_malformed", "malformed"),
    ] {
        let bytes = Request::get(&format!("{OPEN}?lab={demand}")).to_bytes();
        examples.push(example(code, ask(&lab, "public", None, &bytes).await));
    }
    let dead = |config: String| {
        let start = config.find("servers = [\"").unwrap();
        let end = start + config[start..].find('\n').unwrap();
        config.replacen(&config[start..end], &format!("servers = [\"{DEAD}\"]"), 1)
    };
    let lab = lab_with(dead).await;
    let told = ask(&lab, "public", None, &Request::get(OPEN).to_bytes()).await;
    examples.push(example("upstream_unreachable", told));
    examples
}

async fn events() -> Vec<Example> {
    const PATH: &str = "/portaria/consents";
    let webhook = format!(
        "keep = \"5m\"\nwebhook = {{ listener = \"public\", path = \"{PATH}\", keys = \"jwks.json\" }}"
    );
    let lab = lab_with(|config| config.swap("keep = \"5m\"", &webhook)).await;
    let header = json!({"alg": "PS256", "typ": "secevent+jwt", "kid": "key-1"});
    let claims = |age: u64| json!({"iat": now() - age, "jti": "1", "consentId": "urn:insurer:C1"});
    let signer = lab.authorization.signer();
    let stranger = Signer::new("key-1", &rsa_key().unwrap().serialize_pem()).unwrap();
    let event = |body: &str| {
        let mut request =
            Request::new("POST", PATH).with("Content-Type", "application/secevent+jwt");
        request.body = body.into();
        request.with("Content-Length", &body.len().to_string()).to_bytes()
    };
    let good = event(&signer.sign(&header, &claims(0)).unwrap());
    let mut connection = lab.connector_to("public", None).http1().await.unwrap();
    assert_eq!(connection.exchange(&good).await.unwrap().status, 204);
    let mut examples = Vec::new();
    for (code, bytes) in [
        ("consent_event_malformed", event("no event")),
        ("consent_event_signature", event(&stranger.sign(&header, &claims(0)).unwrap())),
        ("consent_event_time", event(&signer.sign(&header, &claims(3600)).unwrap())),
        ("consent_event_replayed", good),
    ] {
        examples.push(example(code, ask(&lab, "public", None, &bytes).await));
    }
    lab.assert_untouched();
    examples
}

/// An operation that was carried out, by a gateway that keeps no answers.
async fn repetitions() -> Vec<Example> {
    let store = tempfile::tempdir().unwrap();
    let table = format!("\n[idempotency]\ndirectory = \"{}\"\n", store.path().display());
    let lab = lab_with(|config| config + &table).await;
    let consents = "/open-insurance/consents/v3/consents";
    let token = lab.client_token("consents");
    let request = |body: &str| Request::post(consents, body).bearer(&token).to_bytes();
    let body = "{\"data\": {\"permissions\": [\"RESOURCES_READ\"]}}";
    let created = lab.http1().await.exchange(&request(body)).await.unwrap();
    assert_eq!(created.status, 201, "{created:?}");
    let mut examples = Vec::new();
    for (code, body) in [("idempotency_answer_not_kept", body), ("idempotency_other_content", "{}")]
    {
        let told = ask(&lab, "mtls", Some("chain.pem"), &request(body)).await;
        examples.push(example(code, told));
    }
    assert_eq!(lab.recorded().len(), 1);
    examples
}

/// The registry said that the consent changed; its tokens are older.
async fn outdated() -> Example {
    let lab = lab_with(|config| {
        let table = "[token.consent]\npermissions = \"/permissions\"\nstatus = \"implied\"\n";
        config
            .swap("keep = \"5m\"", "source = \"token\"")
            .swap("[[token.issuers]]", &format!("{table}[[token.issuers]]"))
    })
    .await;
    let consent = "urn:insurer:C1";
    let mut claims = lab.user_grant("resources", consent).claims();
    claims["permissions"] = json!(["RESOURCES_READ"]);
    let signer = lab.authorization.signer();
    let token = signer.sign(&signer.header(), &claims).unwrap();
    let path = format!("/consents/{}", digest_of(consent));
    assert_eq!(lab.gateway.ask_admin("DELETE", &path).await.0, 204);
    let bytes = Request::get(RESOURCES).bearer(&token).to_bytes();
    let told = ask(&lab, "mtls", Some("chain.pem"), &bytes).await;
    lab.assert_untouched();
    example("consent_outdated", told)
}

/// An operator said that the token was revoked.
async fn revoked() -> Example {
    let lab = lab().await;
    let token = lab.user_token("resources", "urn:insurer:C1");
    let path = format!("/tokens/{}", digest_of(&token));
    assert_eq!(lab.gateway.ask_admin("DELETE", &path).await.0, 204);
    let bytes = Request::get(RESOURCES).bearer(&token).to_bytes();
    let told = ask(&lab, "mtls", Some("chain.pem"), &bytes).await;
    lab.assert_untouched();
    example("token_revoked", told)
}

/// An anchor is taken away while a connection is open.
async fn untrusted() -> Example {
    let lab = lab().await;
    let mut connection = lab.http1().await;
    let bytes = Request::get(RESOURCES).to_bytes();
    assert_eq!(connection.exchange(&bytes).await.unwrap().status, 401);
    std::fs::write(lab.directory.path().join("roots.pem"), pki().other_root.pem()).unwrap();
    reload(&lab, "configuration reloaded").await;
    let response = connection.exchange(&fresh(&bytes)).await.unwrap();
    let told = look_up(&lab, &response).await;
    lab.assert_untouched();
    example("identity_untrusted", told)
}

async fn repeated_token() -> Example {
    let (lab, _policies) = lab_revoking(|config| config).await;
    let request = revocation("status:200", &form(&["one", "two"]));
    let online = ask(&lab, "mtls", Some("chain.pem"), &request.to_bytes()).await;
    lab.assert_untouched();
    example("request_repeated_token", online)
}
