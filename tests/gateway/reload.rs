//! A reload takes everything or nothing, and drops no connection; the end of the process drops no
//! exchange.

use std::time::Duration;

use crate::harness::*;

const OPEN: &str = "/open-insurance/channels/v2/branches";

pub async fn reload(lab: &Lab, expected: &str) {
    let before =
        lab.gateway.log().iter().filter(|line| line.to_string().contains(expected)).count();
    lab.gateway.signal("HUP");
    eventually(expected, || async {
        lab.gateway.log().iter().filter(|line| line.to_string().contains(expected)).count() > before
    })
    .await;
}

/// A directory with some of the repository's policies.
fn some_policies(lab: &Lab, names: &[&str]) -> String {
    let directory = lab.directory.path().join(names.join("-"));
    std::fs::create_dir_all(&directory).unwrap();
    for name in names {
        std::fs::copy(
            policies().join(format!("{name}.toml")),
            directory.join(format!("{name}.toml")),
        )
        .unwrap();
    }
    directory.display().to_string()
}

#[tokio::test]
async fn a_reload_swaps_the_policies_and_keeps_connections() {
    let lab = lab().await;
    let mut http1 = lab.http1().await;
    let http2 = lab.http2().await;
    let request = Request::get(OPEN).to_bytes();
    let over_http2 = || http::Request::get(format!("https://localhost{OPEN}")).body(()).unwrap();
    assert_eq!(http1.exchange(&request).await.unwrap().status, 200);
    assert_eq!(http2.exchange(over_http2(), bytes::Bytes::new()).await.unwrap().status, 200);
    let fewer = some_policies(&lab, &["discovery-v1"]);
    lab.rewrite_config(|config| config.swap(&policies().display().to_string(), &fewer));
    reload(&lab, "configuration reloaded").await;
    assert_eq!(
        http1.exchange(&request).await.unwrap().status,
        404,
        "the same connection, the new policies"
    );
    assert_eq!(http2.exchange(over_http2(), bytes::Bytes::new()).await.unwrap().status, 404);
    lab.rewrite_config(|config| config);
    reload(&lab, "configuration reloaded").await;
    assert_eq!(http1.exchange(&request).await.unwrap().status, 200);
    lab.expect_metric("portaria_reloads_total{result=\"ok\"}", 2.0).await;
}

#[tokio::test]
async fn a_reload_with_mistakes_changes_nothing_and_says_why() {
    let lab = lab().await;
    lab.rewrite_config(|config| config.swap("threads = 1", "thraeds = 1"));
    reload(&lab, "the one in force stays").await;
    lab.gateway.expect_log("server.thraeds: is an unknown key (meant: threads?)").await;
    assert_eq!(lab.send(&Request::get(OPEN)).await.status, 200);
    lab.expect_metric("portaria_reloads_total{result=\"refused\"}", 1.0).await;
    // What only a restart can change is refused as well.
    lab.rewrite_config(|config| config.swap("threads = 1", "threads = 2"));
    reload(&lab, "can only change with a restart").await;
    assert_eq!(lab.send(&Request::get(OPEN)).await.status, 200);
}

#[tokio::test]
async fn a_reload_keeps_the_counts_of_the_limits() {
    let quota = "\n[limits]\nper_address = { requests = 2, per = \"1m\" }\n";
    let lab = lab_with(|config| config + quota).await;
    for _ in 0..2 {
        assert_eq!(lab.send(&Request::get(OPEN)).await.status, 200);
    }
    reload(&lab, "configuration reloaded").await;
    assert_eq!(lab.send(&Request::get(OPEN)).await.status, 429);
}

#[tokio::test]
async fn a_reload_changes_the_server_certificate_for_new_connections() {
    let lab = lab().await;
    let serial = |stream: &tokio_rustls::client::TlsStream<tokio::net::TcpStream>| {
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let before = serial(&lab.connector(Some(&lab.pki.one)).tls().await.unwrap());
    let renewed = lab.pki.issuing.server(&lab.pki.client_key, -60, 7200).unwrap();
    std::fs::write(lab.directory.path().join("server.pem"), &renewed.chain_pem).unwrap();
    reload(&lab, "configuration reloaded").await;
    let after = serial(&lab.connector(Some(&lab.pki.one)).tls().await.unwrap());
    assert!(before != after && after == renewed.chain[0]);
}

#[tokio::test]
async fn a_reload_reads_the_key_set_again() {
    let lab = lab().await;
    let consents = "/open-insurance/consents/v3/consents";
    let before = Request::post(consents, "{}").bearer(&lab.client_token("consents"));
    assert_eq!(lab.send(&before).await.status, 201);
    let key = portaria::lab::pki::rsa_key().unwrap().serialize_pem();
    let signer = portaria::lab::authorization::Signer::new("key-2", &key).unwrap();
    std::fs::write(lab.directory.path().join("jwks.json"), signer.jwks().to_string()).unwrap();
    reload(&lab, "configuration reloaded").await;
    let reached = lab.recorded().len();
    assert_refused(&lab.send(&before).await, 401, "TOKEN_INVALIDO");
    assert_eq!(lab.recorded().len(), reached);
    let claims = lab.client_grant("consents").claims();
    let token = signer.sign(&signer.header(), &claims).unwrap();
    let after = Request::post(consents, "{}").bearer(&token);
    assert_eq!(lab.send(&after).await.status, 201);
}

#[tokio::test]
async fn a_deletion_under_way_during_a_reload_ends_what_the_new_configuration_keeps() {
    let patient = |config: String| config.swap("\"500ms\"", "\"5s\"").swap("\"1s\"", "\"9s\"");
    let lab = lab_with(patient).await;
    let consent = lab.consent(&["DAMAGES_AND_PEOPLE_AUTO_READ"]);
    let read = Request::get("/open-insurance/insurance-auto/v2/insurance-auto")
        .bearer(&lab.user_token("insurance-auto", &consent));
    let target = format!("/open-insurance/consents/v3/consents/{consent}?lab=slow:2000");
    let delete = Request::new("DELETE", &target).bearer(&lab.client_token("consents"));
    let mut deleting = lab.http1().await;
    deleting.send(&delete.to_bytes()).await.unwrap();
    eventually("the backend has it", || async { lab.recorded().len() == 1 }).await;
    lab.rewrite_config(|config| config.swap("keep = \"5m\"", "keep = \"4m\""));
    reload(&lab, "configuration reloaded").await;
    assert_eq!(lab.send(&read).await.status, 200, "not deleted yet, and kept");
    assert_eq!(deleting.receive(false).await.unwrap().status, 204);
    let reached = lab.recorded().len();
    assert_refused(&lab.send(&read).await, 401, "CONSENTIMENTO_NAO_AUTORIZADO");
    assert_eq!(lab.recorded().len(), reached);
}

#[tokio::test]
async fn no_request_fails_while_configurations_change() {
    let global = "\n[limits]\nglobal = { requests = 100000, per = \"1s\" }\n\
                  per_address = { requests = 1000000, per = \"1m\" }\n";
    let lab = lab_with(|config| config + global).await;
    let mut connection = lab.http1().await;
    let request = Request::get(OPEN).to_bytes();
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let requests = async {
        let mut served = 0;
        while stopped.try_recv().is_err() {
            assert_eq!(connection.exchange(&request).await.unwrap().status, 200);
            served += 1;
        }
        served
    };
    let reloads = async {
        for _ in 0..5 {
            reload(&lab, "configuration reloaded").await;
        }
        stop.send(()).unwrap();
    };
    let (served, ()) = tokio::join!(requests, reloads);
    assert_eq!(lab.recorded().len(), served);
}

#[tokio::test]
async fn termination_waits_for_the_exchange_under_way() {
    let mut lab = lab().await;
    let mut busy = lab.http1().await;
    let mut idle = lab.http1().await;
    assert_eq!(idle.exchange(&Request::get(OPEN).to_bytes()).await.unwrap().status, 200);
    busy.send(&Request::get(&format!("{OPEN}?lab=slow:400")).to_bytes()).await.unwrap();
    eventually("the backend has it", || async { lab.recorded().len() == 2 }).await;
    lab.gateway.signal("TERM");
    lab.gateway.expect_log("draining: exchanges are under way").await;
    assert_eq!(busy.receive(false).await.unwrap().status, 200);
    assert!(idle.is_ended().await);
    let ended = tokio::time::timeout(Duration::from_secs(4), lab.gateway.end()).await;
    assert!(ended.expect("it must end before the drain timeout").success());
    assert_eq!(lab.gateway.access_log().len(), 2, "the log is complete");
}

#[tokio::test]
async fn interruption_ends_at_once() {
    let mut lab = lab().await;
    lab.gateway.signal("INT");
    let ended = tokio::time::timeout(Duration::from_secs(4), lab.gateway.end()).await;
    assert!(ended.expect("it must end at once").success());
}
