//! What is kept of a consent ends when somebody who knows better says so: the operator.

use aws_lc_rs::digest::{SHA256, digest};
use portaria::lab::consents::StoredConsent;

use super::carried::{self, DETAILS, lab_told};
use super::hostile::{HASTY, Hostile, ID, Manner, answer, lab_asking};
use super::{PERMISSION, lab_saying, read};
use crate::harness::*;

const CODE: &str = "CONSENTIMENTO_NAO_AUTORIZADO";

/// The path of a consent on the admin endpoint.
fn path(id: &str) -> String {
    let digest = digest(&SHA256, id.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("/consents/{hex}")
}

/// Ends what the gateway keeps of a consent.
pub async fn purge(lab: &Lab, id: &str) {
    let (status, body) = lab.gateway.ask_admin("DELETE", &path(id)).await;
    assert_eq!((status, body.as_str()), (204, ""));
}

/// A page of a browser on the machine reaches the endpoint too: by a name of its own that leads here, or by a form.
#[tokio::test]
async fn a_page_that_somebody_shows_to_a_browser_ends_nothing() {
    let lab = lab_saying("").await;
    let consent = lab.consent(&[PERMISSION]);
    assert_eq!(lab.send(&read(&lab, &consent)).await.status, 200);
    let path = path(&consent);
    let port = lab.gateway.address("admin").port();
    let intended = "x-portaria-admin: 1\r\n";
    for host in [
        "evil.example",
        &format!("evil.example:{port}"),
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "localhost@evil.example",
        "0.0.0.0",
        "10.0.0.1",
        "[::2]",
        "",
        "localhost\r\nhost: evil.example",
    ] {
        let fields = format!("host: {host}\r\n{intended}");
        let (status, _) = lab.gateway.ask_admin_with("DELETE", &path, &fields).await;
        assert!(matches!(status, 0 | 400 | 421), "{host:?}: {status}");
        let (status, _) = lab.gateway.ask_admin_with("GET", "/metrics", &fields).await;
        assert!(matches!(status, 0 | 400 | 421), "{host:?}: {status}");
    }
    let elsewhere = format!("http://evil.example{path}");
    let fields = format!("host: localhost\r\n{intended}");
    assert_ne!(lab.gateway.ask_admin_with("DELETE", &elsewhere, &fields).await.0, 204);
    assert_eq!(lab.gateway.ask_admin_with("DELETE", &path, "host: localhost\r\n").await.0, 403);
    let purges = "portaria_consent_purges_total{by=\"admin\"}";
    assert_eq!(lab.metric(purges).await, 0.0);
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1", &format!("127.0.0.1:{port}"), "[::1]:9"] {
        let fields = format!("host: {host}\r\n{intended}");
        assert_eq!(lab.gateway.ask_admin_with("DELETE", &path, &fields).await.0, 204, "{host}");
    }
}

#[tokio::test]
async fn the_operator_ends_what_is_kept_of_a_consent() {
    let lab = lab_saying("").await;
    let (consent, other) = (lab.consent(&[PERMISSION]), lab.consent(&[PERMISSION]));
    let request = read(&lab, &consent);
    for id in [&consent, &other] {
        assert_eq!(lab.send(&read(&lab, id)).await.status, 200);
        lab.consents.set_status(id, "REJECTED");
    }
    assert_eq!(lab.send(&request).await.status, 200, "kept");
    purge(&lab, &consent).await;
    let reached = lab.recorded().len();
    assert_refused(&lab.send(&request).await, 401, CODE);
    assert_eq!(lab.recorded().len(), reached);
    lab.expect_metric("portaria_consent_purges_total{by=\"admin\"}", 1.0).await;
    let everything =
        format!("{:?}{:?}{}", lab.gateway.log(), lab.gateway.access_log(), lab.metrics().await);
    assert!(!everything.contains(&path(&consent)), "not even the digest is told");
}

#[tokio::test]
async fn a_purged_consent_that_is_in_force_is_asked_for_anew() {
    let lab = lab_saying("").await;
    let consent = lab.consent(&[PERMISSION]);
    for lookups in [1, 2] {
        assert_eq!(lab.send(&read(&lab, &consent)).await.status, 200);
        assert_eq!(lab.send(&read(&lab, &consent)).await.status, 200);
        assert_eq!(lab.consents.lookups(), lookups);
        purge(&lab, &consent).await;
    }
}

#[tokio::test]
async fn a_purge_ends_what_is_known_of_unknown_consents() {
    let lab = lab_saying("keep_unknown = \"1m\"").await;
    let request = read(&lab, ID);
    assert_refused(&lab.send(&request).await, 404, "CONSENTIMENTO_NAO_ENCONTRADO");
    let record = StoredConsent {
        status: "AUTHORISED".into(),
        permissions: vec![PERMISSION.into()],
        client_id: CLIENT_ONE.into(),
        expiration: Some("2200-01-01T00:00:00Z".into()),
        ..StoredConsent::default()
    };
    lab.consents.put(ID, record);
    assert_refused(&lab.send(&request).await, 404, "CONSENTIMENTO_NAO_ENCONTRADO");
    lab.assert_untouched();
    purge(&lab, ID).await;
    assert_eq!(lab.send(&request).await.status, 200);
}

#[tokio::test]
async fn a_purge_ends_what_would_do_in_an_outage() {
    let registry = Hostile::start(Manner::Good).await;
    let url = format!("http://{}", registry.address);
    let lab = lab_asking(&url, &format!("{HASTY}stale_for = {{ medium = \"1h\" }}")).await;
    let request = read(&lab, ID);
    eventually("it is known", || async { lab.send(&request).await.status == 200 }).await;
    registry.turn(Manner::Says(answer("503", "", "")));
    assert_eq!(lab.send(&request).await.status, 200, "kept");
    purge(&lab, ID).await;
    let reached = lab.recorded().len();
    assert_refused(&lab.send(&request).await, 503, "SERVICO_INDISPONIVEL");
    assert_eq!(lab.recorded().len(), reached);
}

#[tokio::test]
async fn after_a_purge_only_newer_tokens_are_believed() {
    let (lab, _policies) = lab_told(DETAILS, "").await;
    let signer = lab.authorization.signer();
    let mut claims = carried::claims(&lab, &carried::details(&[carried::consent()]));
    let old = carried::policies_of(&signer.sign(&signer.header(), &claims).unwrap());
    assert_eq!(lab.send(&old).await.status, 200);
    purge(&lab, carried::ID).await;
    let reached = lab.recorded().len();
    assert_refused(&lab.send(&old).await, 401, CODE);
    claims.as_object_mut().unwrap().remove("iat");
    let undated = carried::policies_of(&signer.sign(&signer.header(), &claims).unwrap());
    assert_refused(&lab.send(&undated).await, 401, CODE);
    assert_eq!(lab.recorded().len(), reached);
    // Newer by more than clocks may differ.
    let newer = || {
        let mut claims = carried::claims(&lab, &carried::details(&[carried::consent()]));
        claims["iat"] = (claims["iat"].as_u64().unwrap() + 5).into();
        carried::policies_of(&signer.sign(&signer.header(), &claims).unwrap())
    };
    let is_believed = || async { lab.send(&newer()).await.status == 200 };
    eventually("a newer one is believed", is_believed).await;
}

#[tokio::test]
async fn the_admin_endpoint_takes_a_digest_and_nothing_else() {
    let lab = lab_saying("").await;
    let good = path(ID);
    for bad in ["/consents/", "/consents/urn:x:1", &format!("{good}0"), &good[..good.len() - 1]] {
        let (status, body) = lab.gateway.ask_admin("DELETE", bad).await;
        assert_eq!(status, 400, "{bad}");
        assert!(body.contains("SHA-256"), "{body}");
    }
    for method in ["GET", "POST", "PUT"] {
        assert_eq!(lab.gateway.ask_admin(method, &good).await.0, 405);
    }
    for target in ["/metrics", "/healthz", "/consents"] {
        assert_eq!(lab.gateway.ask_admin("DELETE", target).await.0, 405);
    }
    assert_eq!(lab.gateway.admin("/consents").await.0, 404);
    assert_eq!(lab.metric("portaria_consent_purges_total{by=\"admin\"}").await, 0.0);
}

/// The authorization server's clock runs ahead, as `token.leeway` admits.
#[tokio::test]
async fn after_a_purge_a_token_that_was_used_before_is_not_believed() {
    let (lab, _policies) = lab_told(DETAILS, "").await;
    let signer = lab.authorization.signer();
    let mut claims = carried::claims(&lab, &carried::details(&[carried::consent()]));
    claims["iat"] = (claims["iat"].as_u64().unwrap() + 4).into();
    let old = carried::policies_of(&signer.sign(&signer.header(), &claims).unwrap());
    assert_eq!(lab.send(&old).await.status, 200);
    purge(&lab, carried::ID).await;
    let reached = lab.recorded().len();
    assert_refused(&lab.send(&old).await, 401, CODE);
    assert_eq!(lab.recorded().len(), reached);
}
