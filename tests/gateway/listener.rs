//! Handshakes, and what a connection may take its time for.

use std::sync::Arc;
use std::time::Duration;

use portaria::lab::client::Connector;
use portaria::lab::pki::Identity;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, HandshakeKind, SupportedCipherSuite, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::*;

const OPEN: &str = "/open-insurance/channels/v2/branches";

/// A request over a connection that may fail at any step.
async fn try_open_route(connector: &Connector) -> bool {
    let exchange = async {
        let mut connection = connector.http1().await?;
        connection.exchange(&Request::get(OPEN).to_bytes()).await
    };
    exchange.await.is_ok_and(|response| response.status == 200)
}

#[tokio::test]
async fn only_a_whole_chain_to_the_root_completes_the_handshake() {
    let lab = lab().await;
    let pki = lab.pki;
    assert!(try_open_route(&lab.connector(Some(&pki.one))).await);
    assert_eq!(lab.recorded().len(), 1);
    let without_intermediate = pki.one.without_intermediate();
    let refused: [(&str, Option<&Identity>); 6] = [
        ("no certificate", None),
        ("foreign root", Some(&pki.foreign)),
        ("expired", Some(&pki.expired)),
        ("serverAuth only", Some(&pki.server_only)),
        ("no extendedKeyUsage", Some(&pki.purposeless)),
        ("intermediate left out", Some(&without_intermediate)),
    ];
    for (name, identity) in refused {
        assert!(!try_open_route(&lab.connector(identity)).await, "{name}");
    }
    assert_eq!(lab.recorded().len(), 1, "the backend saw nothing of the refused");
    let failed = "portaria_handshakes_total{listener=\"mtls\",result=\"failed\"}";
    lab.expect_metric(failed, 6.0).await;
}

#[tokio::test]
async fn both_protocols_are_served_on_both_listeners() {
    let lab = lab().await;
    for (listener, identity) in [("mtls", Some(&lab.pki.one)), ("public", None)] {
        let connector = lab.connector_to(listener, identity);
        let response = connector
            .http1()
            .await
            .unwrap()
            .exchange(&Request::get(OPEN).to_bytes())
            .await
            .unwrap();
        assert_eq!(response.status, 200);
        assert_common_fields(&response);
        let request = http::Request::get(format!("https://localhost{OPEN}")).body(()).unwrap();
        let http2 = connector.http2().await.unwrap();
        let response = http2.exchange(request, bytes::Bytes::new()).await.unwrap();
        assert_eq!(response.status, 200);
        assert_common_fields(&response);
    }
    assert_eq!(lab.recorded().len(), 4);
}

fn with_suites(config: &mut ClientConfig, suites: &[SupportedCipherSuite]) {
    let tls12 = suites.iter().any(|suite| suite.tls13().is_none());
    let versions = if tls12 { [&version::TLS12] } else { [&version::TLS13] };
    let provider = rustls::crypto::CryptoProvider {
        cipher_suites: suites.to_vec(),
        ..aws_lc_rs::default_provider()
    };
    let verifier = config.client_auth_cert_resolver.clone();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pki().root.certificate()).unwrap();
    *config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(verifier);
}

#[tokio::test]
async fn tls_12_has_exactly_the_two_suites_of_the_profile() {
    let lab = lab().await;
    let mut accepted = Vec::new();
    for suite in aws_lc_rs::ALL_CIPHER_SUITES {
        let connector =
            lab.connector(Some(&lab.pki.one)).adjust(|config| with_suites(config, &[*suite]));
        if try_open_route(&connector).await {
            accepted.push(format!("{:?}", suite.suite()));
        }
    }
    accepted.sort();
    assert_eq!(
        accepted,
        [
            "TLS13_AES_128_GCM_SHA256",
            "TLS13_AES_256_GCM_SHA384",
            "TLS13_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        ]
    );
}

#[tokio::test]
async fn no_session_is_ever_resumed() {
    let lab = lab().await;
    for version in [&version::TLS12, &version::TLS13] {
        let connector = lab.connector(Some(&lab.pki.one)).adjust(|config| {
            let resolver = config.client_auth_cert_resolver.clone();
            let mut roots = rustls::RootCertStore::empty();
            roots.add(pki().root.certificate()).unwrap();
            // The default keeps sessions and offers to resume them.
            *config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(roots)
                .with_client_cert_resolver(resolver);
        });
        for _ in 0..3 {
            let mut stream = connector.tls().await.unwrap();
            stream.write_all(&Request::get(OPEN).to_bytes()).await.unwrap();
            let mut first = [0; 12];
            stream.read_exact(&mut first).await.unwrap();
            assert_eq!(&first, b"HTTP/1.1 200");
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(stream.get_ref().1.tls13_tickets_received(), 0);
        }
    }
}

#[tokio::test]
async fn half_a_handshake_is_cut_at_its_timeout() {
    let lab = lab().await;
    let mut stream = TcpStream::connect(lab.gateway.address("mtls")).await.unwrap();
    stream.write_all(&[0x16, 0x03, 0x01, 0x02]).await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the connection was never cut");
    let counted = "portaria_handshakes_total{listener=\"mtls\",result=\"timeout\"}";
    lab.expect_metric(counted, 1.0).await;
    lab.assert_untouched();
}

#[tokio::test]
async fn a_slow_head_is_refused_at_its_timeout() {
    let lab = lab().await;
    let mut connection = lab.http1().await;
    connection.send(b"GET / HTTP/1.1\r\nx-fapi-interaction-id: slow-1\r\nHost: loc").await.unwrap();
    let response = connection.receive(false).await.unwrap();
    assert_refused(&response, 408, "TEMPO_DE_ENVIO_ESGOTADO");
    assert_eq!(response.field("x-fapi-interaction-id"), Some("slow-1"));
    assert_common_fields(&response);
    assert!(connection.is_ended().await);
    lab.assert_untouched();
}

#[tokio::test]
async fn an_idle_connection_is_ended() {
    let lab = lab_with(|config| config.within("[http]", "idle_timeout = \"200ms\"")).await;
    let mut connection = lab.http1().await;
    let response = connection.exchange(&Request::get(OPEN).to_bytes()).await.unwrap();
    assert_eq!(response.status, 200);
    let ended = tokio::time::timeout(Duration::from_secs(10), connection.is_ended()).await;
    assert!(ended.expect("the idle connection was never ended"));
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut() {
    // The backend may take its time to make so much: only the reader is to be slow.
    let lab = lab_with(|config| {
        let patient = config.swap("first_byte_timeout = \"500ms\"", "first_byte_timeout = \"5s\"");
        let patient = patient.swap("total_timeout = \"1s\"", "total_timeout = \"9s\"");
        patient.within("[http]", "write_timeout = \"300ms\"")
    })
    .await;
    let mut connection = lab.http1().await;
    let target = format!("{OPEN}?lab=big:67108864");
    connection.send(&Request::get(&target).to_bytes()).await.unwrap();
    let aborts = "portaria_client_aborts_total";
    lab.expect_metric(aborts, 1.0).await;
    assert!(connection.receive(false).await.is_err(), "the answer must not be complete");
}

#[tokio::test]
async fn a_reader_that_takes_no_head_is_cut() {
    let lab = lab_with(|config| config.within("[http]", "write_timeout = \"300ms\"")).await;
    let mut connection = lab.http1().await;
    // Answers without body, none of which is read: at some point nothing more fits in between.
    let heads = Request::new("HEAD", OPEN).to_bytes().repeat(100);
    let flood = async { while connection.send(&heads).await.is_ok() {} };
    let cut = tokio::time::timeout(Duration::from_secs(20), flood).await;
    assert!(cut.is_ok(), "a caller that reads nothing was served for ever");
}

#[tokio::test]
async fn an_http2_connection_without_preface_is_cut() {
    let lab = lab().await;
    let connector = lab.connector_to("public", None);
    let http2 = connector.adjust(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
    let mut stream = http2.tls().await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the connection was never cut");
}

#[tokio::test]
async fn an_exchange_ends_in_its_time_whatever_holds_it_up() {
    let bound = "[http]\nexchange_timeout = \"300ms\"";
    let lab = lab_with(|config| config.swap("\"500ms\"", "\"9s\"").swap("[http]", bound)).await;
    let silent = format!("{OPEN}?lab=silent");
    assert!(lab.http1().await.exchange(&Request::get(&silent).to_bytes()).await.is_err());
    let over_http2 = http::Request::get(format!("https://localhost{silent}")).body(()).unwrap();
    assert!(lab.http2().await.exchange(over_http2, bytes::Bytes::new()).await.is_err());
    let post = http::Request::post("https://localhost/open-insurance/consents/v3/consents")
        .header("authorization", format!("Bearer {}", lab.client_token("consents")))
        .header("content-type", "application/json")
        .header("content-length", "200000")
        .header("x-idempotency-key", "k")
        .body(())
        .unwrap();
    let part = bytes::Bytes::from_static(b"{");
    assert!(lab.http2().await.exchange_endless(post, part).await.is_err());
    let ended = "portaria_requests_total{api=\"channels\",class=\"medium\",outcome=\"interrupted\",\
                 route=\"/open-insurance/channels/v2/branches\",status_class=\"none\"}";
    lab.expect_metric(ended, 2.0).await;
    lab.expect_metric("portaria_client_aborts_total", 1.0).await;
}

#[tokio::test]
async fn several_requests_share_a_connection() {
    let lab = lab().await;
    let mut connection = lab.http1().await;
    for number in 1..=3 {
        let target = format!("{OPEN}?page={number}");
        let response = connection.exchange(&Request::get(&target).to_bytes()).await.unwrap();
        assert_eq!(response.status, 200);
    }
    assert_eq!(lab.recorded().len(), 3);
}

#[tokio::test]
async fn requests_sent_in_one_go_are_answered_in_order() {
    let lab = lab().await;
    let mut connection = lab.http1().await;
    let two = [Request::get(OPEN).to_bytes(), Request::get("/nowhere").to_bytes()].concat();
    connection.send(&two).await.unwrap();
    assert_eq!(connection.receive(false).await.unwrap().status, 200);
    assert_eq!(connection.receive(false).await.unwrap().status, 404);
}
