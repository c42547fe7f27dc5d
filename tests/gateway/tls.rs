//! What a listener presents and negotiates, by configuration; whom a request is meant for.

use std::sync::Arc;

use portaria::lab::client::Connector;
use portaria::lab::pki::Identity;
use rustls::crypto::aws_lc_rs;
use rustls::version;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::*;
use crate::reload::reload;

const OPEN: &str = "/open-insurance/channels/v2/branches";

fn write(lab: &Lab, name: &str, identity: &Identity) {
    std::fs::write(lab.directory.path().join(format!("{name}.pem")), &identity.chain_pem).unwrap();
    let key = lab.directory.path().join(format!("{name}.key"));
    portaria::lab::directory::write_secret(&key, &identity.key_pem).unwrap();
}

/// Adds certificates to the mTLS listener.
fn with_certificates(config: &str, names: &[&str]) -> String {
    let tables: String = names
        .iter()
        .map(|name| format!("{{ certificate = \"{name}.pem\", private_key = \"{name}.key\" }}, "))
        .collect();
    let keys = format!("name = \"mtls\"\nadditional_certificates = [{tables}]");
    config.replacen("name = \"mtls\"", &keys, 1)
}

/// The certificate that is presented to who asks for a host; nothing if it is none for that host.
async fn presented(lab: &Lab, host: &str) -> Option<Vec<u8>> {
    let connector = lab.connector(Some(&lab.pki.one)).asking_for(host).unwrap();
    let mut stream = connector.tls().await.ok()?;
    let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    let request = Request::get(OPEN).without("host").with("Host", host);
    stream.write_all(&request.to_bytes()).await.unwrap();
    let mut line = [0; 12];
    stream.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"HTTP/1.1 200", "{host}");
    Some(leaf)
}

#[tokio::test]
async fn the_certificate_is_chosen_by_the_host_that_is_asked_for() {
    let lab = lab().await;
    let pki = pki();
    let b = pki.issuing.server_for(&pki.client_key, &["b.example", "*.c.example"]).unwrap();
    let d = pki.issuing.server_for(&pki.client_key, &["d.example", "x.c.example"]).unwrap();
    write(&lab, "b", &b);
    write(&lab, "d", &d);
    lab.rewrite_config(|config| with_certificates(&config, &["b", "d"]));
    reload(&lab, "configuration reloaded").await;
    for (host, identity) in [
        ("localhost", Some(&pki.server)),
        ("b.example", Some(&b)),
        ("B.example", Some(&b)),
        ("www.c.example", Some(&b)),
        ("x.c.example", Some(&d)),
        ("d.example", Some(&d)),
        ("unknown.example", None),
        ("a.www.c.example", None),
        ("c.example", None),
    ] {
        let expected = identity.map(|identity| identity.chain[0].to_vec());
        assert!(presented(&lab, host).await == expected, "another certificate for {host}");
    }
    // Renewed on disk, presented after SIGHUP.
    let renewed = pki.issuing.server_for(&pki.client_key, &["b.example"]).unwrap();
    write(&lab, "b", &renewed);
    reload(&lab, "configuration reloaded").await;
    assert!(presented(&lab, "b.example").await == Some(renewed.chain[0].to_vec()));
}

/// Clients would refuse it from that second on; a start with it serves nobody worse.
#[tokio::test]
async fn a_reload_brings_no_certificate_that_clients_will_not_take() {
    let pki = pki();
    let lab = lab_with(|config| with_certificates(&config, &[])).await;
    let day = 86_400;
    for (not_before, not_after, what) in
        [(-2 * day, -day, "the certificate expired on"), (day, 2 * day, "is not valid before")]
    {
        let bad = pki.issuing.server(&pki.client_key, not_before, not_after).unwrap();
        write(&lab, "server", &bad);
        reload(&lab, "the one in force stays").await;
        lab.gateway.expect_log(what).await;
        assert!(presented(&lab, "localhost").await == Some(pki.server.chain[0].to_vec()));
        assert!(lab.admits(&pki.one).await);
    }
    write(&lab, "server", &pki.server);
    reload(&lab, "configuration reloaded").await;
    let renewed = pki.issuing.server(&pki.client_key, -day, 2 * day).unwrap();
    write(&lab, "server", &renewed);
    reload(&lab, "configuration reloaded").await;
    assert!(presented(&lab, "localhost").await == Some(renewed.chain[0].to_vec()));
}

#[tokio::test]
async fn a_certificate_that_has_expired_already_keeps_no_reload_back() {
    let expired = &pki().expired_server;
    let directory = tempfile::tempdir().unwrap();
    let (chain, key) = (directory.path().join("old.pem"), directory.path().join("old.key"));
    std::fs::write(&chain, &expired.chain_pem).unwrap();
    portaria::lab::directory::write_secret(&key, &expired.key_pem).unwrap();
    let lab = lab_with(|config| {
        config.replacen("\"server.pem\"", &format!("{chain:?}"), 1).replacen(
            "\"server.key\"",
            &format!("{key:?}"),
            1,
        )
    })
    .await;
    reload(&lab, "configuration reloaded").await;
}

#[tokio::test]
async fn a_request_for_another_host_than_its_connections_is_misdirected() {
    let lab = lab().await;
    let ask = async |connector: &Connector, host: &str| {
        let request = Request::get(OPEN).without("host").with("Host", host);
        let mut http1 = connector.http1().await.unwrap();
        let response = http1.exchange(&request.to_bytes()).await.unwrap();
        let request = http::Request::get(format!("https://{host}{OPEN}")).body(()).unwrap();
        let http2 = connector.http2().await.unwrap();
        [response, http2.exchange(request, bytes::Bytes::new()).await.unwrap()]
    };
    let connector = lab.connector(Some(&lab.pki.one));
    for host in ["other.example", "localhost.example", "127.0.0.1", "127.0.0.1:8443", "[::1]"] {
        for response in ask(&connector, host).await {
            assert_refused(&response, 421, "REQUISICAO_MAL_DIRECIONADA");
        }
    }
    lab.assert_untouched();
    for host in ["localhost", "LOCALHOST", "localhost:8443", "localhost.", "localhost.:8443"] {
        for response in ask(&connector, host).await {
            assert_eq!(response.status, 200, "{host}");
        }
    }
    let nameless = connector.clone().adjust(|config| config.enable_sni = false);
    for response in ask(&nameless, "other.example").await {
        assert_eq!(response.status, 200);
    }
    let public = lab.connector_to("public", None);
    for response in ask(&public, "other.example").await {
        assert_eq!(response.status, 200);
    }
}

/// What a client that offers everything gets: version, suite and group; nothing if the handshake fails.
async fn negotiated(lab: &Lab, offer: &'static rustls::SupportedProtocolVersion) -> Option<String> {
    let connector = lab.connector(Some(&lab.pki.one)).adjust(|config| {
        let resolver = config.client_auth_cert_resolver.clone();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(pki().root.certificate()).unwrap();
        let provider = rustls::crypto::CryptoProvider {
            kx_groups: aws_lc_rs::ALL_KX_GROUPS.to_vec(),
            ..aws_lc_rs::default_provider()
        };
        *config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[offer])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_cert_resolver(resolver);
    });
    let stream = connector.tls().await.ok()?;
    let tls = stream.get_ref().1;
    let suite = tls.negotiated_cipher_suite()?.suite();
    Some(format!("{suite:?} {:?}", tls.negotiated_key_exchange_group()?.name()))
}

#[tokio::test]
async fn what_is_negotiated_can_be_configured() {
    let lab_of = async |tls: &str| {
        let keys = format!("name = \"mtls\"\ntls = {tls}");
        lab_with(|config| config.replacen("name = \"mtls\"", &keys, 1)).await
    };
    let preset = lab_of("{ preset = \"fapi-br\" }").await;
    assert!(negotiated(&preset, &version::TLS13).await.is_some());
    assert!(negotiated(&preset, &version::TLS12).await.is_some());
    let modern = lab_of(
        "{ versions = [\"1.3\"], cipher_suites = [\"TLS_CHACHA20_POLY1305_SHA256\"], groups = [\"secp384r1\"] }",
    )
    .await;
    let expected = "TLS13_CHACHA20_POLY1305_SHA256 secp384r1";
    assert_eq!(negotiated(&modern, &version::TLS13).await.as_deref(), Some(expected));
    assert_eq!(negotiated(&modern, &version::TLS12).await, None);
    let old = lab_of(
        "{ versions = [\"1.2\"], cipher_suites = [\"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\"] }",
    )
    .await;
    assert_eq!(negotiated(&old, &version::TLS13).await, None);
    let got = negotiated(&old, &version::TLS12).await.unwrap();
    assert!(got.starts_with("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 "), "{got}");
}
