//! Whom the gateway trusts: every reason by name, in the handshake and on the command line; and what a
//! change means to connections that are open.

use std::path::PathBuf;
use std::process::Command;

use portaria::lab::authorization::Grant;
use portaria::lab::client::{Http1, Http2, Response};
use portaria::lab::pki::Identity;

use crate::harness::*;

const RESOURCES: &str = "/open-insurance/resources/v3/resources";
const OPEN: &str = "/open-insurance/channels/v2/branches";
const HOUR: i64 = 3600;

const REVOCATION: &str =
    "trust_anchors = \"roots.pem\"\nrevocation = { lists = [\"root.crl\", \"issuing.crl\"] }";

/// A lab whose mTLS listener looks certificates up; `write` is given the directory before it starts.
async fn lab_with_lists(write: impl FnOnce(&std::path::Path)) -> Lab {
    // The files are written between the configuration and the start: `lab_with` hands the text over.
    let directory = tempfile::tempdir().unwrap();
    write(directory.path());
    let at = directory.path().display().to_string();
    let revocation = REVOCATION.replace("\"root.crl\"", &format!("\"{at}/root.crl\""));
    let revocation = revocation.replace("\"issuing.crl\"", &format!("\"{at}/issuing.crl\""));
    let mut lab =
        lab_with(|config| config.replace("trust_anchors = \"roots.pem\"", &revocation)).await;
    lab.lists = Some(directory);
    lab
}

fn good_lists(directory: &std::path::Path) {
    let root = pki().root.revocation_list(1, &[], -HOUR, HOUR).unwrap();
    let issuing = pki().issuing.revocation_list(1, &[], -HOUR, HOUR).unwrap();
    std::fs::write(directory.join("root.crl"), root).unwrap();
    std::fs::write(directory.join("issuing.crl"), issuing).unwrap();
}

fn put(lab: &Lab, name: &str, text: &str) {
    std::fs::write(list(lab, name), text).unwrap();
}

fn list(lab: &Lab, name: &str) -> PathBuf {
    lab.lists.as_ref().unwrap().path().join(name)
}

pub async fn try_handshake(lab: &Lab, identity: &Identity) -> bool {
    let exchange = async {
        let mut connection = lab.connector(Some(identity)).http1().await?;
        connection.exchange(&Request::get(OPEN).to_bytes()).await
    };
    exchange.await.is_ok_and(|response| response.status == 200)
}

/// What `portaria cert verify` says of the same chain, anchors and lists.
fn command_says(lab: &Lab, identity: &Identity) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let chain = scratch.path().join("chain.pem");
    let pem: Vec<String> = identity
        .chain
        .iter()
        .map(|der| {
            let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
            format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
        })
        .collect();
    std::fs::write(&chain, pem.concat()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_portaria"))
        .args(["cert", "verify", "--chain"])
        .arg(&chain)
        .arg("--anchors")
        .arg(lab.directory.path().join("roots.pem"))
        .arg("--crl")
        .arg(list(lab, "root.crl"))
        .arg("--crl")
        .arg(list(lab, "issuing.crl"))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

async fn assert_reason(lab: &Lab, identity: &Identity, reason: &str) {
    let series = format!(
        "portaria_client_certificate_refusals_total{{listener=\"mtls\",reason=\"{reason}\"}}"
    );
    let before = lab.metric(&series).await;
    assert!(!try_handshake(lab, identity).await, "{reason}");
    lab.expect_metric(&series, before + 1.0).await;
    assert_eq!(command_says(lab, identity), format!("invalid: {reason}"));
}

#[tokio::test]
async fn every_reason_is_the_same_in_the_handshake_and_on_the_command_line() {
    let pki = pki();
    let lab = lab_with_lists(good_lists).await;
    assert!(try_handshake(&lab, &pki.one).await);
    assert_eq!(command_says(&lab, &pki.one), "valid");
    let reached = lab.recorded().len();
    let alone = pki.one.without_intermediate();
    for (identity, reason) in [
        (&pki.foreign, "unknown_issuer"),
        (&alone, "missing_intermediate"),
        (&pki.expired, "expired"),
        (&pki.not_yet_valid, "not_yet_valid"),
        (&pki.server_only, "wrong_purpose"),
        (&pki.purposeless, "wrong_purpose"),
    ] {
        assert_reason(&lab, identity, reason).await;
    }
    assert_eq!(lab.recorded().len(), reached, "the backend saw nothing of the refused");
}

#[tokio::test]
async fn every_state_of_the_lists_has_its_reason() {
    let pki = pki();
    let issuing = &pki.issuing;
    let revoking = issuing.revocation_list(2, &[&pki.one], -HOUR, HOUR).unwrap();
    let stale = issuing.revocation_list(2, &[], -2 * HOUR, -HOUR).unwrap();
    let stale_revoking = issuing.revocation_list(2, &[&pki.one], -2 * HOUR, -HOUR).unwrap();
    let future = issuing.revocation_list(2, &[], HOUR, 2 * HOUR).unwrap();
    let older = issuing.revocation_list(1, &[], -2 * HOUR, HOUR).unwrap();
    let of_root = pki.root.revocation_list(1, &[], -HOUR, HOUR).unwrap();
    let hidden = older + &revoking;
    for (text, reason) in [
        (&revoking, "revoked"),
        (&hidden, "revoked"),
        (&stale, "crl_expired"),
        (&stale_revoking, "revoked"),
        (&future, "crl_invalid"),
        (&of_root, "crl_missing"),
    ] {
        let lab = lab_with_lists(|directory| {
            good_lists(directory);
            std::fs::write(directory.join("issuing.crl"), text).unwrap();
        })
        .await;
        assert_reason(&lab, &pki.one, reason).await;
        lab.assert_untouched();
    }
}

#[tokio::test]
async fn leniency_admits_what_it_says() {
    let pki = pki();
    let stale = pki.issuing.revocation_list(2, &[&pki.two], -2 * HOUR, -HOUR).unwrap();
    for (expired, admitted) in [("30m", false), ("2h", true)] {
        let lab = lab_with_lists(|directory| {
            good_lists(directory);
            std::fs::write(directory.join("issuing.crl"), &stale).unwrap();
        })
        .await;
        lab.rewrite_config(|config| {
            config
                .replace("issuing.crl\"] }", &format!("issuing.crl\"], expired = \"{expired}\" }}"))
        });
        crate::reload::reload(&lab, "configuration reloaded").await;
        assert_eq!(try_handshake(&lab, &pki.one).await, admitted, "{expired}");
        assert!(!try_handshake(&lab, &pki.two).await, "what is revoked stays revoked");
    }
}

/// A participant with both kinds of connection open.
pub struct Caller {
    http1: Http1,
    http2: Http2,
    token: String,
}

impl Caller {
    pub async fn connect(lab: &Lab, identity: &Identity) -> Self {
        let consent = lab.consent(&["RESOURCES_READ"]);
        let grant =
            Grant { thumbprint: identity.thumbprint(), ..lab.user_grant("resources", &consent) };
        let connector = lab.connector(Some(identity));
        Self {
            http1: connector.http1().await.unwrap(),
            http2: connector.http2().await.unwrap(),
            token: lab.authorization.issue_signed(&grant).unwrap(),
        }
    }

    pub async fn ask(&mut self) -> [Response; 2] {
        let request = Request::get(RESOURCES).bearer(&self.token).to_bytes();
        let over_http2 = http::Request::get(format!("https://localhost{RESOURCES}"))
            .header("authorization", format!("Bearer {}", self.token))
            .header("x-fapi-interaction-id", INTERACTION_ID)
            .body(())
            .unwrap();
        [
            self.http1.exchange(&request).await.unwrap(),
            self.http2.exchange(over_http2, bytes::Bytes::new()).await.unwrap(),
        ]
    }

    pub async fn assert_served(&mut self) {
        for response in self.ask().await {
            assert_eq!(response.status, 200, "{response:?}");
        }
    }

    pub async fn assert_refused(&mut self, lab: &Lab) {
        let reached = lab.recorded().len();
        for response in self.ask().await {
            assert_refused(&response, 401, "CERTIFICADO_NAO_ACEITO");
        }
        assert!(self.http1.is_ended().await);
        eventually("the HTTP/2 connection ends", || async { self.http2.is_ended() }).await;
        assert_eq!(lab.recorded().len(), reached);
    }
}

#[tokio::test]
async fn a_revocation_acts_on_connections_that_are_open() {
    let pki = pki();
    let lab = lab_with_lists(good_lists).await;
    let entries = "portaria_crl_entries{list=\"issuing.crl\",listener=\"mtls\",source=\"file\"}";
    lab.expect_metric(entries, 0.0).await;
    let mut one = Caller::connect(&lab, &pki.one).await;
    let mut two = Caller::connect(&lab, &pki.two).await;
    let mut open_data = lab.http1().await;
    one.assert_served().await;
    two.assert_served().await;
    assert_eq!(open_data.exchange(&Request::get(OPEN).to_bytes()).await.unwrap().status, 200);
    let revoking = pki.issuing.revocation_list(2, &[&pki.one], -HOUR, HOUR).unwrap();
    put(&lab, "issuing.crl", &revoking);
    crate::reload::reload(&lab, "configuration reloaded").await;
    lab.expect_metric(entries, 1.0).await;
    one.assert_refused(&lab).await;
    two.assert_served().await;
    let refused = open_data.exchange(&Request::get(OPEN).to_bytes()).await.unwrap();
    assert_refused(&refused, 401, "CERTIFICADO_NAO_ACEITO");
    assert!(!try_handshake(&lab, &pki.one).await);
    let series = "portaria_refusals_total{code=\"identity_untrusted\",stage=\"identity\"}";
    lab.expect_metric(series, 3.0).await;
}

#[tokio::test]
async fn taking_an_anchor_away_acts_on_connections_that_are_open() {
    let pki = pki();
    let lab = lab().await;
    let mut one = Caller::connect(&lab, &pki.one).await;
    one.assert_served().await;
    std::fs::write(lab.directory.path().join("roots.pem"), pki.other_root.pem()).unwrap();
    crate::reload::reload(&lab, "configuration reloaded").await;
    one.assert_refused(&lab).await;
    assert!(!try_handshake(&lab, &pki.one).await);
}

#[tokio::test]
async fn a_bad_list_never_replaces_a_good_one() {
    let pki = pki();
    let lab = lab_with_lists(good_lists).await;
    let revoking = pki.issuing.revocation_list(2, &[&pki.one], -HOUR, HOUR).unwrap();
    put(&lab, "issuing.crl", &revoking);
    crate::reload::reload(&lab, "configuration reloaded").await;
    let cut = &revoking[..revoking.len() / 2];
    for bad in ["", "garbage", cut, "-----BEGIN X509 CRL-----\nMAMCAQE=\n-----END X509 CRL-----\n"]
    {
        put(&lab, "issuing.crl", bad);
        crate::reload::reload(&lab, "the one in force stays").await;
        assert!(!try_handshake(&lab, &pki.one).await, "{bad}");
        assert!(try_handshake(&lab, &pki.two).await, "{bad}");
    }
}

#[test]
fn an_open_connection_is_judged_again_each_minute() {
    use portaria::identity::verifier::ClientVerifier;
    use portaria::identity::{
        Certified, IdentityError, PathReason, PathRules, PathVerifier, Peer, Preset, Trust,
        TrustAnchors, TrustDomain,
    };
    use portaria::lab::pki::{Authority, Subject, rsa_key};
    use portaria::moment::Moment;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    let root = Authority::root_until("ends soon", rsa_key().unwrap(), 30).unwrap();
    let issuing = root.issuing("issuing", rsa_key().unwrap()).unwrap();
    let client = issuing.client(&pki().client_key, &Subject::default()).unwrap();
    let paths = PathVerifier {
        anchors: TrustAnchors::new(vec![root.certificate()]).unwrap(),
        rules: PathRules::OF_LISTENERS,
        revocation: None,
        algorithms: portaria::listener::tls::provider().signature_verification_algorithms,
    };
    let profile = Preset::OpinProduction.profile();
    let trust = Arc::new(Trust::new(ClientVerifier::new(paths, None), profile, None));
    let domain = Arc::new(TrustDomain::new(trust.clone()));
    let at = |seconds| Moment::at(Duration::ZERO, SystemTime::now() + Duration::from_secs(seconds));
    let certified = Certified::in_handshake(&client.chain, None, &trust, domain, at(0)).unwrap();
    let peer = Peer::Certified(Box::new(certified));
    assert_eq!(peer.still_trusted(at(0)), Ok(()));
    assert!(peer.participant(at(0)).is_ok());
    // The anchor has ended, and is found out within the minute.
    let ended = IdentityError::Untrusted(PathReason::Expired);
    assert_eq!(peer.still_trusted(at(61)), Err(ended.clone()));
    assert_eq!(peer.participant(at(61)).err(), Some(ended));
}
