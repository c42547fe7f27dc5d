//! Whom the gateway trusts: every reason by name, in the handshake and on the command line; and what a
//! change means to connections that are open.

use std::path::PathBuf;

use portaria::identity::PathReason;
use portaria::lab::authorization::TokenContent;
use portaria::lab::client::{Http1Client, Http2Client, Response};
use portaria::lab::directory::LabDirectory;
use portaria::lab::pki::{ClientSubject, Identity, rsa_key};

use crate::harness::*;

const RESOURCES: &str = "/open-insurance/resources/v3/resources";
const OPEN: &str = "/open-insurance/channels/v2/branches";
const HOUR: i64 = 3600;

const REVOCATION: &str = "trust_anchors = \"roots.pem\"\nrevocation = { lists = [\"root.crl\", \"issuing.crl\"], issuers = \"issuers.pem\" }";

/// A lab whose mTLS listener looks certificates up; `write` is given the directory before it starts.
async fn lab_with_lists(write: impl FnOnce(&std::path::Path)) -> Lab {
    // The files are written between the configuration and the start: `lab_with` hands the text over.
    let directory = tempfile::tempdir().unwrap();
    write(directory.path());
    let at = directory.path().display().to_string();
    let revocation = REVOCATION.swap("\"root.crl\"", &format!("\"{at}/root.crl\""));
    let revocation = revocation.swap("\"issuing.crl\"", &format!("\"{at}/issuing.crl\""));
    let revocation = revocation.swap("issuers.pem", &format!("{at}/issuers.pem"));
    let mut lab =
        lab_with(|config| config.swap("trust_anchors = \"roots.pem\"", &revocation)).await;
    lab.lists = Some(directory);
    lab
}

/// Issued before those that a test puts in their place, however long it takes to begin.
const BEFORE: i64 = -HOUR - 60;

fn good_lists(directory: &std::path::Path) {
    let root = pki().root.revocation_list(1, &[], BEFORE, HOUR).unwrap();
    let issuing = pki().issuing.revocation_list(1, &[], BEFORE, HOUR).unwrap();
    std::fs::write(directory.join("root.crl"), root).unwrap();
    std::fs::write(directory.join("issuing.crl"), issuing).unwrap();
    std::fs::write(directory.join("issuers.pem"), pki().issuing.pem()).unwrap();
}

fn put(lab: &Lab, name: &str, text: &str) {
    std::fs::write(list(lab, name), text).unwrap();
}

fn list(lab: &Lab, name: &str) -> PathBuf {
    lab.lists.as_ref().unwrap().path().join(name)
}

fn lists(lab: &Lab) -> [PathBuf; 2] {
    [list(lab, "root.crl"), list(lab, "issuing.crl")]
}

/// The same verdict in the handshake and on the command line.
async fn assert_reason(lab: &Lab, identity: &Identity, reason: &str) {
    let anchors = lab.directory.path().join("roots.pem");
    assert_eq!(verdict(identity, &anchors, &lists(lab)), format!("invalid: {reason}"));
    lab.assert_handshake_refused(identity, reason, reason).await;
}

/// A gateway that trusts what `portaria-lab init` wrote, under one configuration for all reasons.
async fn lab_of(place: &LabDirectory) -> Lab {
    let (anchors, issuers) = (place.file("trust-anchors.pem"), place.file("authorities/all.pem"));
    let mut lists = place.lists().unwrap();
    lists.retain(|list| !list.ends_with("late.crl"));
    let trust = format!(
        "trust_anchors = {anchors:?}\nrevocation = {{ lists = {lists:?}, issuers = {issuers:?} }}"
    );
    lab_with(|config| config.swap("trust_anchors = \"roots.pem\"", &trust)).await
}

/// The chains are those of the lab: whoever tries them by hand meets the same.
#[tokio::test]
async fn every_reason_is_the_same_in_the_handshake_and_on_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let place = LabDirectory::new(directory.path());
    place.init(&policies()).unwrap();
    let lab = lab_of(&place).await;
    let (anchors, lists) = (place.file("trust-anchors.pem"), place.lists().unwrap());
    for reason in PathReason::ALL {
        let (identity, reason) = (place.refused(*reason).unwrap(), reason.to_string());
        assert_eq!(verdict(&identity, &anchors, &lists), format!("invalid: {reason}"));
        // A gateway puts no list in force that has expired: there is none for it.
        let met = if reason == "crl_expired" { "crl_missing" } else { &reason };
        lab.assert_handshake_refused(&identity, met, &reason).await;
    }
    lab.assert_untouched();
    for name in ["participant-one", "participant-two", "participant-three"] {
        let identity = place.identity(name).unwrap();
        assert_eq!(verdict(&identity, &anchors, &lists), "valid", "{name}");
        assert!(lab.admits(&identity).await, "{name}");
    }
}

#[tokio::test]
async fn other_ways_to_a_reason_are_told_alike() {
    let pki = pki();
    let subject = ClientSubject::default();
    let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let gone = pki.root.issuing_with("gone", rsa_key().unwrap(), |params| {
        params.not_after = time::OffsetDateTime::now_utc() - time::Duration::HOUR;
    });
    let of_gone = gone.unwrap().client(&pki.client_key, &subject).unwrap();
    let lab = lab_with_lists(good_lists).await;
    for (identity, reason) in [
        (&pki.purposeless, "wrong_purpose"),
        (&pki.issuing.client(&ed25519, &subject).unwrap(), "weak_key"),
        (&of_gone, "expired"),
        (&of_gone.without_intermediate(), "missing_intermediate"),
    ] {
        assert_reason(&lab, identity, reason).await;
    }
    lab.assert_untouched();
}

#[test]
fn a_cross_signed_issuer_leads_to_either_root() {
    let directory = tempfile::tempdir().unwrap();
    let place = LabDirectory::new(directory.path());
    place.init(&policies()).unwrap();
    let (identity, lists) = (place.identity("participant-three").unwrap(), place.lists().unwrap());
    for root in ["root-one", "root-two"] {
        let anchors = place.file(&format!("authorities/{root}.pem"));
        assert_eq!(verdict(&identity, &anchors, &lists), "valid", "{root}");
    }
    // Of the others' paths, the second root is no part.
    let two = place.identity("participant-two").unwrap();
    let root_two = place.file("authorities/root-two.pem");
    assert_eq!(verdict(&two, &root_two, &lists), "invalid: unknown_issuer");
    place.revoke(&identity).unwrap();
    let anchors = place.file("trust-anchors.pem");
    assert_eq!(verdict(&identity, &anchors, &lists), "invalid: revoked", "whichever way it goes");
}

#[test]
fn the_lab_revokes_one_certificate_after_another() {
    let directory = tempfile::tempdir().unwrap();
    let place = LabDirectory::new(directory.path());
    place.init(&policies()).unwrap();
    let (anchors, lists) = (place.file("trust-anchors.pem"), place.lists().unwrap());
    let one = place.identity("participant-one").unwrap();
    let before = place.refused(PathReason::Revoked).unwrap();
    place.revoke(&one).unwrap();
    place.revoke(&place.identity("participant-two").unwrap()).unwrap();
    for identity in [&one, &before, &place.identity("participant-two").unwrap()] {
        assert_eq!(verdict(identity, &anchors, &lists), "invalid: revoked");
    }
    let three = place.identity("participant-three").unwrap();
    assert_eq!(verdict(&three, &anchors, &lists), "valid");
    assert!(place.revoke(&place.refused(PathReason::UnknownIssuer).unwrap()).is_err());
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
    for (text, reason, is_taken) in [
        (&revoking, "revoked", true),
        (&hidden, "revoked", true),
        // What a gateway does not put in force, the command line judges all the same.
        (&stale, "crl_expired", false),
        (&stale_revoking, "revoked", false),
        (&future, "crl_invalid", false),
        (&of_root, "crl_missing", false),
    ] {
        let lab = lab_with_lists(good_lists).await;
        put(&lab, "issuing.crl", text);
        let (roots, lists) = (lab.directory.path().join("roots.pem"), lists(&lab));
        assert_eq!(verdict(&pki.one, &roots, &lists), format!("invalid: {reason}"));
        if is_taken {
            crate::reload::reload(&lab, "configuration reloaded").await;
            lab.assert_handshake_refused(&pki.one, reason, reason).await;
        } else {
            crate::reload::reload(&lab, "the one in force stays").await;
        }
        lab.assert_untouched();
    }
}

#[tokio::test]
async fn leniency_admits_what_it_says() {
    let pki = pki();
    let stale = pki.issuing.revocation_list(2, &[&pki.two], -2 * HOUR, -HOUR).unwrap();
    for (expired, is_taken) in [("30m", false), ("2h", true)] {
        let older = pki.issuing.revocation_list(1, &[], -3 * HOUR, HOUR).unwrap();
        let lab = lab_with_lists(|directory| {
            good_lists(directory);
            std::fs::write(directory.join("issuing.crl"), &older).unwrap();
        })
        .await;
        put(&lab, "issuing.crl", &stale);
        lab.rewrite_config(|config| {
            config.swap(".pem\" }", &format!(".pem\", expired = \"{expired}\" }}"))
        });
        let said = if is_taken { "configuration reloaded" } else { "the one in force stays" };
        crate::reload::reload(&lab, said).await;
        assert!(lab.admits(&pki.one).await);
        assert_eq!(lab.admits(&pki.two).await, !is_taken, "what is revoked stays revoked");
        assert_eq!(lab.gateway.log_contains("is past its nextUpdate, and counts"), is_taken);
    }
}

/// A participant with both kinds of connection open.
pub struct Caller {
    http1: Http1Client,
    http2: Http2Client,
    token: String,
}

impl Caller {
    pub async fn connect(lab: &Lab, identity: &Identity) -> Self {
        let consent = lab.consent(&["RESOURCES_READ"]);
        let grant = TokenContent {
            thumbprint: identity.thumbprint(),
            ..lab.user_grant("resources", &consent)
        };
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
    assert!(!lab.admits(&pki.one).await);
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
    assert!(!lab.admits(&pki.one).await);
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
        assert!(!lab.admits(&pki.one).await, "{bad}");
        assert!(lab.admits(&pki.two).await, "{bad}");
    }
}

#[test]
fn an_open_connection_is_judged_again_each_minute() {
    use portaria::identity::verifier::ClientVerifier;
    use portaria::identity::{
        Certified, IdentityError, PathReason, PathRules, PathVerifier, Peer, Preset, Trust,
        TrustAnchors, TrustDomain,
    };
    use portaria::lab::pki::{CertificationAuthority, ClientSubject, rsa_key};
    use portaria::moment::Moment;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    let root = CertificationAuthority::root_until("ends soon", rsa_key().unwrap(), 30).unwrap();
    let issuing = root.issuing("issuing", rsa_key().unwrap()).unwrap();
    let client = issuing.client(&pki().client_key, &ClientSubject::default()).unwrap();
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

/// webpki takes an anchor's name and key, and passes by what else it says.
#[test]
fn an_anchor_that_asks_for_what_is_not_understood_is_refused() {
    use portaria::identity::TrustAnchors;
    use portaria::identity::anchors::AnchorError;
    use rcgen::CustomExtension;

    let root = |is_critical: bool, twice: bool| {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let mut private =
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 9999, 1], vec![5, 0]);
        private.set_criticality(is_critical);
        params.custom_extensions = vec![private; 1 + usize::from(twice)];
        params.self_signed(&rsa_key().unwrap()).unwrap().der().clone()
    };
    assert!(TrustAnchors::new(vec![root(false, false)]).is_ok());
    for bad in [root(true, false), root(false, true)] {
        let refused = TrustAnchors::new(vec![pki().root.certificate(), bad]).map(|_| ());
        assert_eq!(refused.unwrap_err(), AnchorError::Form { position: 2 });
    }
}

/// Outside the checkout there are no policies: that is said, with what to do, and nothing is left behind.
#[test]
fn the_lab_says_what_is_missing_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let init = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_portaria-lab"))
            .current_dir(directory.path())
            .arg("init")
            .args(arguments)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let what_to_do = "run `portaria-lab init` where portaria was checked out, or name its policies with --policies DIR\n";
    let (code, complaint) = init(&[]);
    assert_eq!(code, Some(1));
    let begins = "portaria-lab: policies is no directory of policies (";
    assert!(complaint.starts_with(begins) && complaint.ends_with(what_to_do), "{complaint}");
    std::fs::create_dir(directory.path().join("empty")).unwrap();
    let (_, complaint) = init(&["--policies", "empty"]);
    let told = format!("portaria-lab: empty has no policy file (*.toml): {what_to_do}");
    assert_eq!(complaint, told);
    assert!(!directory.path().join("certs").exists());
    // With policies it works from anywhere; where it cannot write, it says where.
    let policies = policies().display().to_string();
    assert_eq!(init(&["--policies", &policies]), (Some(0), String::new()));
    assert!(directory.path().join("certs/lab/config.toml").exists());
    std::fs::write(directory.path().join("file"), "").unwrap();
    let (code, complaint) = init(&["--policies", &policies, "--dir", "file"]);
    assert_eq!(code, Some(1));
    assert!(complaint.starts_with("portaria-lab: file/authorities: "), "{complaint}");
}
