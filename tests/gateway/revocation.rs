//! Revocation lists that are fetched: from the first handshake, on connections that are open, and whatever
//! becomes of the distribution point.

use std::path::PathBuf;
use std::sync::Arc;

use portaria::identity::{
    Certified, ClientVerifier, FetchedList, IdentityError, Leniency, ListFault, ListIssuers,
    PathReason, PathRules, PathVerifier, Peer, Preset, Revocation, RevocationList, Trust,
    TrustAnchors, TrustDomain,
};
use portaria::lab::pki::{CertificationAuthority, Identity};
use portaria::moment::Moment;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;

use crate::harness::*;
use crate::reload::reload;
use crate::trust::Caller;

const HOUR: i64 = 3600;
const LARGEST: usize = 64 * 1024 * 1024;
const OPEN: &str = "/open-insurance/channels/v2/branches";
const ROOT: &str = "/root.crl";
const ISSUING: &str = "/issuing.crl";

fn of_root() -> String {
    pki().root.revocation_list(1, &[], -HOUR, HOUR).unwrap()
}

fn of_issuing(number: u64, revoked: &[&Identity]) -> String {
    pki().issuing.revocation_list(number, revoked, -HOUR, HOUR).unwrap()
}

fn in_der(pem: &str) -> Vec<u8> {
    CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

/// A distribution point, and a place for what the gateway keeps of it.
struct Points {
    point: DistributionPoint,
    place: tempfile::TempDir,
}

impl Points {
    /// The root revokes nobody, the issuing authority these.
    async fn revoking(revoked: &[&Identity]) -> Self {
        let (point, place) = (DistributionPoint::start().await, tempfile::tempdir().unwrap());
        point.publish(ROOT, &of_root());
        point.publish(ISSUING, &of_issuing(5, revoked));
        std::fs::write(place.path().join("issuers.pem"), pki().issuing.pem()).unwrap();
        Self { point, place }
    }

    fn directory(&self) -> PathBuf {
        self.place.path().join("crl")
    }

    /// The configuration of a listener, with more keys.
    fn revocation(&self, more: &str) -> String {
        format!(
            "revocation = {{ distribution_points = [{:?}, {:?}], issuers = {:?}, directory = {:?}, \
             refresh = \"1s\", timeout = \"3s\"{more} }}",
            self.point.url(ROOT),
            self.point.url(ISSUING),
            self.place.path().join("issuers.pem"),
            self.directory(),
        )
    }

    fn configure(&self, config: &str, more: &str) -> String {
        let anchors = "trust_anchors = \"roots.pem\"\n";
        config.swap(anchors, &format!("{anchors}{}\n", self.revocation(more)))
    }

    async fn lab(&self) -> Lab {
        self.lab_with("").await
    }

    async fn lab_with(&self, more: &str) -> Lab {
        lab_with(|config| self.configure(&config, more)).await
    }

    /// The file that the list of a path is kept in.
    fn kept(&self, path: &str) -> PathBuf {
        let name = path.trim_start_matches('/').trim_end_matches(".crl");
        let mut entries = std::fs::read_dir(self.directory()).unwrap().map(|e| e.unwrap().path());
        let is_it = |file: &PathBuf| file.file_name().unwrap().to_str().unwrap().contains(name);
        entries.find(is_it).unwrap()
    }

    async fn fetched(&self, lab: &Lab, path: &str, result: &str) -> f64 {
        lab.metric(&self.series(path, result)).await
    }

    fn series(&self, path: &str, result: &str) -> String {
        let url = self.point.url(path);
        format!("portaria_crl_fetches_total{{point=\"{url}\",result=\"{result}\"}}")
    }

    /// Has the points asked again, and waits until one of them was, with this result.
    async fn expect(&self, lab: &Lab, path: &str, result: &str) {
        let before = self.fetched(lab, path, result).await;
        reload(lab, "configuration reloaded").await;
        eventually(result, || async { self.fetched(lab, path, result).await > before }).await;
    }

    fn entries(&self) -> String {
        let url = self.point.url(ISSUING);
        format!(
            "portaria_crl_entries{{list=\"{url}\",listener=\"mtls\",source=\"distribution_point\"}}"
        )
    }
}

/// Ends the gateway as a crash would, and starts it again with the same configuration.
async fn restart(lab: &mut Lab) {
    lab.gateway.kill();
    lab.gateway = Gateway::start(&lab.directory.path().join("config.toml")).await;
}

/// One is refused and the backend saw nothing of it; two is served.
async fn assert_one_is_revoked(lab: &Lab) {
    let reached = lab.recorded().len();
    assert!(!lab.admits(&pki().one).await);
    assert_eq!(lab.recorded().len(), reached);
    assert!(lab.admits(&pki().two).await);
}

async fn readiness(lab: &Lab) -> (u16, String) {
    lab.gateway.admin("/readyz").await
}

async fn refusals(lab: &Lab, reason: &str) -> f64 {
    let series = "portaria_client_certificate_refusals_total";
    lab.metric(&format!("{series}{{listener=\"mtls\",reason=\"{reason}\"}}")).await
}

#[tokio::test]
async fn a_fetched_list_counts_from_the_first_handshake() {
    let points = Points::revoking(&[&pki().one]).await;
    let lab = points.lab().await;
    assert!(!lab.admits(&pki().one).await);
    lab.assert_untouched();
    assert_one_is_revoked(&lab).await;
    assert_eq!(readiness(&lab).await.0, 200);
    assert_eq!(refusals(&lab, "revoked").await, 2.0);
    lab.expect_metric(&points.entries(), 1.0).await;
    for path in [ROOT, ISSUING] {
        assert_eq!(points.fetched(&lab, path, "updated").await, 1.0);
        let kept = std::fs::read(points.kept(path)).unwrap();
        assert_eq!(kept, points.point.document(path));
    }
}

#[tokio::test]
async fn a_list_that_comes_acts_on_open_connections_and_harms_no_other() {
    let points = Points::revoking(&[]).await;
    let limits = "\n[limits]\nglobal = { requests = 100000, per = \"1s\" }\n\
                  per_address = { requests = 1000000, per = \"1m\" }\n";
    let lab = lab_with(|config| points.configure(&config, "") + limits).await;
    let mut one = Caller::connect(&lab, &pki().one).await;
    let mut two = Caller::connect(&lab, &pki().two).await;
    let mut open_data = lab.http1().await;
    let request = Request::get(OPEN).to_bytes();
    one.assert_served().await;
    assert_eq!(open_data.exchange(&request).await.unwrap().status, 200);
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let load = async {
        let mut rounds = 0;
        while stopped.try_recv().is_err() {
            two.assert_served().await;
            assert!(lab.admits(&pki().two).await);
            rounds += 1;
        }
        rounds
    };
    let swap = async {
        points.point.publish(ISSUING, &of_issuing(6, &[&pki().one]));
        lab.expect_metric(&points.entries(), 1.0).await;
        // A few rounds under the new list, too.
        for _ in 0..3 {
            assert!(!lab.admits(&pki().one).await);
        }
        stop.send(()).unwrap();
    };
    let (rounds, ()) = tokio::join!(load, swap);
    assert!(rounds > 0);
    one.assert_refused(&lab).await;
    let reached = lab.recorded().len();
    assert_refused(&open_data.exchange(&request).await.unwrap(), 401, "CERTIFICADO_NAO_ACEITO");
    assert_eq!(lab.recorded().len(), reached);
    two.assert_served().await;
    lab.expect_metric("portaria_reloads_total{result=\"ok\"}", 0.0).await;
}

#[tokio::test]
async fn no_connection_slips_past_a_list_that_comes_during_its_handshake() {
    let points = Points::revoking(&[]).await;
    // As many as come before the list does.
    let limits = "\n[limits]\nglobal = { requests = 100000, per = \"1s\" }\n\
                  per_address = { requests = 1000000, per = \"1m\" }\n";
    let lab = lab_with(|config| points.configure(&config, "") + limits).await;
    points.point.publish(ISSUING, &of_issuing(6, &[&pki().one]));
    let mut open = Vec::new();
    while let Ok(connection) = lab.connector(Some(&pki().one)).http1().await {
        open.push(connection);
        if lab.metric(&points.entries()).await == 1.0 {
            break;
        }
    }
    lab.expect_metric(&points.entries(), 1.0).await;
    assert!(!open.is_empty());
    for mut connection in open {
        // Over TLS 1.3 a client may take its handshake for complete before the gateway refuses it.
        if let Ok(response) = connection.exchange(&Request::get(OPEN).to_bytes()).await {
            assert_refused(&response, 401, "CERTIFICADO_NAO_ACEITO");
        }
    }
    lab.assert_untouched();
}

/// What a listener trusts: the lab's root or another one, and these lists.
fn trust(root: &CertificationAuthority, lists: &[&Arc<FetchedList>]) -> Arc<Trust> {
    let revocation = Revocation::new(Vec::new(), Leniency::Refuse, Leniency::Refuse);
    let lists = lists.iter().map(|list| Arc::clone(list)).collect();
    let algorithms = portaria::listener::tls::provider().signature_verification_algorithms;
    let paths = PathVerifier {
        anchors: TrustAnchors::new(vec![root.certificate()]).unwrap(),
        rules: PathRules::OF_LISTENERS,
        revocation: Some(Arc::new(revocation.with_fetched(lists))),
        algorithms,
    };
    let profile = Preset::OpinProduction.profile();
    Arc::new(Trust::new(ClientVerifier::new(paths, None), profile, None))
}

fn fetched(list: String) -> RevocationList {
    issuers().read(list.as_bytes(), "point").unwrap()
}

fn connected(
    identity: &Identity,
    judged_by: &Trust,
    domain: &Arc<TrustDomain>,
    at: Moment,
) -> Peer {
    let certified = Certified::in_handshake(&identity.chain, None, judged_by, domain.clone(), at);
    Peer::Certified(Box::new(certified.unwrap()))
}

/// The same without luck: the list comes after the handshake judged the chain, and before the handshake ends
/// and the connection is known.
#[test]
fn a_chain_that_met_the_list_before_is_judged_again_at_the_first_request() {
    let (pki, now) = (pki(), Moment::now());
    let root = Arc::new(FetchedList::new(Some(fetched(of_root()))));
    let issuing = Arc::new(FetchedList::new(Some(fetched(of_issuing(5, &[])))));
    let trust = trust(&pki.root, &[&root, &issuing]);
    let domain = Arc::new(TrustDomain::new(trust.clone()));
    let early = connected(&pki.one, &trust, &domain, now);
    let other = connected(&pki.two, &trust, &domain, now);
    assert_eq!(early.still_trusted(now), Ok(()));
    issuing.offer(fetched(of_issuing(6, &[&pki.one])), now).unwrap();
    let late = connected(&pki.one, &trust, &domain, now);
    let revoked = Err(IdentityError::Untrusted(PathReason::Revoked));
    assert_eq!((early.still_trusted(now), late.still_trusted(now)), (revoked.clone(), revoked));
    assert_eq!(other.still_trusted(now), Ok(()));
    issuing.offer(fetched(of_issuing(7, &[])), now).unwrap();
    assert_eq!((early.still_trusted(now), late.still_trusted(now)), (Ok(()), Ok(())));
}

/// A reload makes its trust, waits for lists, and only then puts it in force.
#[test]
fn a_list_that_comes_during_a_reload_does_not_hide_the_reload() {
    let (pki, now) = (pki(), Moment::now());
    let root = Arc::new(FetchedList::new(Some(fetched(of_root()))));
    let issuing = Arc::new(FetchedList::new(Some(fetched(of_issuing(5, &[])))));
    let before = trust(&pki.root, &[&root, &issuing]);
    let domain = Arc::new(TrustDomain::new(before.clone()));
    let open = connected(&pki.one, &before, &domain, now);
    let after = trust(&pki.other_root, &[&root, &issuing]);
    issuing.offer(fetched(of_issuing(6, &[])), now).unwrap();
    assert_eq!(open.still_trusted(now), Ok(()));
    domain.replace(after);
    let unknown = Err(IdentityError::Untrusted(PathReason::UnknownIssuer));
    assert_eq!(open.still_trusted(now), unknown);
}

/// An issuing authority that may not sign lists has the name and key of one that may.
fn of_unentitled(points: &Points) -> String {
    let key = portaria::lab::pki::rsa_key().unwrap().serialize_pem();
    let key = || rcgen::KeyPair::from_pem(&key).unwrap();
    // Below no anchor: for one that is, there would have to be a list.
    let root = &pki().other_root;
    let entitled = root.issuing("Lab SSL v2", key()).unwrap();
    let only_certificates = |params: &mut rcgen::CertificateParams| {
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    };
    let unentitled = root.issuing_with("Lab SSL v2", key(), only_certificates).unwrap();
    let issuers = pki().issuing.pem() + &unentitled.pem();
    std::fs::write(points.place.path().join("issuers.pem"), issuers).unwrap();
    entitled.revocation_list(9, &[], -HOUR, HOUR).unwrap()
}

/// What a distribution point may serve, and why it is not put in force.
fn bad_lists(points: &Points) -> Vec<(Serving, &'static str)> {
    let issuing = &pki().issuing;
    let list = |number, from, until| issuing.revocation_list(number, &[], from, until).unwrap();
    let document = |text: String| Serving::Document(text.into_bytes());
    let good = of_issuing(9, &[]);
    let der = in_der(&good);
    let forged = |place: usize| {
        let mut forged = der.clone();
        forged[place] ^= 1;
        Serving::Document(forged)
    };
    let answer = |head: &str, body: &[u8]| Serving::Raw([head.as_bytes(), body].concat());
    let moved = format!(
        "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
        points.point.url("/elsewhere.crl")
    );
    let longer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", der.len() + 1);
    vec![
        (document("garbage".into()), "unreadable"),
        (document(String::new()), "unreadable"),
        (document(pki().issuing.pem()), "unreadable"),
        (document(good.clone() + &good), "unreadable"),
        (Serving::Document(der[..der.len() - 1].to_vec()), "unreadable"),
        (Serving::Document([der.as_slice(), b"0"].concat()), "unreadable"),
        (forged(der.len() - 1), "bad_signature"),
        (forged(der.len() / 3), "bad_signature"),
        (
            document(pki().other_root.revocation_list(9, &[], -HOUR, HOUR).unwrap()),
            "unknown_issuer",
        ),
        (document(of_unentitled(points)), "key_usage"),
        (document(of_root()), "other_scope"),
        (
            document(issuing.revocation_list_of_point("http://x/y", 9, -HOUR, HOUR).unwrap()),
            "other_scope",
        ),
        (document(list(9, HOUR, 2 * HOUR)), "future"),
        (document(list(9, -HOUR / 2, -60)), "expired"),
        (document(list(4, -2 * HOUR, HOUR)), "older"),
        (Serving::Chunked(vec![b'0'; LARGEST]), "unreadable"),
        (Serving::Chunked(vec![b'0'; LARGEST + 1]), "too_long"),
        (Serving::Drip(good.clone().into_bytes()), "timeout"),
        (Serving::Silent, "timeout"),
        (Serving::Reset(der.clone()), "broken"),
        (answer(&longer, &der), "broken"),
        (Serving::Raw(b"no HTTP at all\r\n\r\n".to_vec()), "broken"),
        (answer(&moved, b""), "status"),
        (answer("HTTP/1.1 500 Oh\r\n\r\n", &der), "status"),
        (answer("HTTP/1.1 206 Part\r\n\r\n", &der), "status"),
        (answer("HTTP/1.1 304 Same\r\n\r\n", b""), "status"),
    ]
}

#[tokio::test]
async fn no_bad_list_takes_the_place_of_a_good_one() {
    let points = Points::revoking(&[&pki().one]).await;
    points.point.publish("/elsewhere.crl", &of_issuing(9, &[]));
    let bad = bad_lists(&points);
    let lab = points.lab().await;
    let good = points.point.document(ISSUING);
    for (number, (serving, reason)) in bad.into_iter().enumerate() {
        points.point.serve(ISSUING, serving);
        points.expect(&lab, ISSUING, reason).await;
        assert!(!lab.admits(&pki().one).await, "{number} {reason}");
        assert!(lab.admits(&pki().two).await, "{number} {reason}");
        assert_eq!(std::fs::read(points.kept(ISSUING)).unwrap(), good, "{number} {reason}");
    }
    assert_eq!(lab.metric(&points.entries()).await, 1.0);
    assert_eq!(points.point.asked("/elsewhere.crl"), 0, "no redirect is followed");
    assert_eq!(points.fetched(&lab, ISSUING, "updated").await, 1.0);
    assert_eq!(readiness(&lab).await.0, 200);
    for said in ["\"reason\":\"older\"", "\"reason\":\"bad_signature\"", &points.point.url(ISSUING)]
    {
        lab.gateway.expect_log(said).await;
    }
    // And a good one does.
    points.point.serve(ISSUING, Serving::Document(in_der(&of_issuing(6, &[]))));
    points.expect(&lab, ISSUING, "updated").await;
    assert!(lab.admits(&pki().one).await);
}

#[tokio::test]
async fn a_list_that_is_served_again_changes_nothing() {
    let points = Points::revoking(&[&pki().one]).await;
    let list = points.point.document(ISSUING);
    points.point.serve(ISSUING, Serving::Tagged(list, "\"version-5\""));
    let lab = points.lab().await;
    points.expect(&lab, ISSUING, "unchanged").await;
    points.expect(&lab, ROOT, "unchanged").await;
    assert!(points.point.heads().iter().any(|head| head.contains("if-none-match: \"version-5\"")));
    assert_eq!(points.fetched(&lab, ISSUING, "updated").await, 1.0);
    assert_one_is_revoked(&lab).await;
    // What was refused is not asked for as known: the tag is that of the list in force.
    points.point.serve(ISSUING, Serving::Tagged(b"garbage".to_vec(), "\"version-6\""));
    points.expect(&lab, ISSUING, "unreadable").await;
    points.expect(&lab, ISSUING, "unreadable").await;
    assert!(!points.point.heads().iter().any(|head| head.contains("version-6")));
}

#[tokio::test]
async fn a_start_without_the_point_serves_from_disk() {
    let points = Points::revoking(&[&pki().one]).await;
    let mut lab = points.lab().await;
    let served = points.point.document(ISSUING);
    points.point.serve(ROOT, Serving::Reset(Vec::new()));
    points.point.serve(ISSUING, Serving::Reset(Vec::new()));
    restart(&mut lab).await;
    assert_eq!(readiness(&lab).await.0, 200);
    assert_one_is_revoked(&lab).await;
    lab.expect_metric(&points.entries(), 1.0).await;
    for path in [ROOT, ISSUING] {
        assert!(points.fetched(&lab, path, "broken").await >= 1.0);
    }
    // What was kept counts as known: an older list does not take its place after a restart either.
    let older = pki().issuing.revocation_list(4, &[], -2 * HOUR, HOUR).unwrap();
    points.point.publish(ISSUING, &older);
    points.point.publish(ROOT, &of_root());
    points.expect(&lab, ISSUING, "older").await;
    assert_one_is_revoked(&lab).await;
    points.point.serve(ISSUING, Serving::Document(served));
    points.expect(&lab, ISSUING, "unchanged").await;
    assert_eq!(points.fetched(&lab, ISSUING, "updated").await, 0.0);
}

#[tokio::test]
async fn one_fetch_of_a_point_is_under_way_at_a_time() {
    let points = Points::revoking(&[&pki().one]).await;
    let patient = |config: String| points.configure(&config, "").swap("\"3s\" }", "\"1m\" }");
    let lab = lab_with(patient).await;
    points.point.serve(ISSUING, Serving::Silent);
    let before = points.point.asked(ISSUING);
    eventually("it is asked", || async { points.point.asked(ISSUING) > before }).await;
    let asked = points.point.asked(ISSUING);
    for _ in 0..3 {
        reload(&lab, "configuration reloaded").await;
    }
    points.expect(&lab, ROOT, "unchanged").await;
    assert_eq!(points.point.asked(ISSUING), asked);
    assert_one_is_revoked(&lab).await;
}

#[tokio::test]
async fn a_chain_is_judged_once_for_each_list_that_comes() {
    let points = Points::revoking(&[]).await;
    let lab = points.lab().await;
    let connection = lab.http2().await;
    let request = || http::Request::get(format!("https://localhost{OPEN}")).body(()).unwrap();
    let ask = || connection.exchange(request(), bytes::Bytes::new());
    assert_eq!(ask().await.unwrap().status, 200);
    let reached = lab.recorded().len();
    points.point.publish(ISSUING, &of_issuing(6, &[&pki().one]));
    lab.expect_metric(&points.entries(), 1.0).await;
    // At once, for the connection ends with them.
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    for refused in [one, two, three] {
        assert_refused(&refused.unwrap(), 401, "CERTIFICADO_NAO_ACEITO");
    }
    assert_eq!(refusals(&lab, "revoked").await, 1.0, "a refused client costs no second path");
    assert_eq!(lab.recorded().len(), reached);
}

#[tokio::test]
async fn a_kept_list_that_has_expired_counts_as_the_configuration_says() {
    let points = Points::revoking(&[]).await;
    let mut lab = points.lab().await;
    let stale = pki().issuing.revocation_list(7, &[&pki().two], -2 * HOUR, -HOUR).unwrap();
    std::fs::write(points.kept(ISSUING), stale).unwrap();
    points.point.serve(ISSUING, Serving::Reset(Vec::new()));
    restart(&mut lab).await;
    let reached = lab.recorded().len();
    assert!(!lab.admits(&pki().one).await);
    assert_eq!(refusals(&lab, "crl_expired").await, 1.0);
    assert_eq!(lab.recorded().len(), reached);
    lab.rewrite_config(|config| config.swap("\"3s\" }", "\"3s\", expired = \"2h\" }"));
    reload(&lab, "configuration reloaded").await;
    for _ in 0..3 {
        assert!(lab.admits(&pki().one).await);
        assert!(!lab.admits(&pki().two).await, "what is revoked stays revoked");
    }
    lab.gateway.expect_log("used past its nextUpdate").await;
    let warned = |line: &serde_json::Value| line.to_string().contains("used past its nextUpdate");
    let warnings: Vec<_> = lab.gateway.log().into_iter().filter(warned).collect();
    assert_eq!(warnings.len(), 1, "once, and not for each handshake: {warnings:?}");
    assert_eq!(warnings[0]["fields"]["source"], points.point.url(ISSUING));
    // A point that goes on serving what has expired gives nothing.
    points.point.serve(ISSUING, Serving::Document(std::fs::read(points.kept(ISSUING)).unwrap()));
    points.expect(&lab, ISSUING, "expired").await;
}

#[tokio::test]
async fn a_kept_file_that_is_no_good_list_is_fetched_anew() {
    let points = Points::revoking(&[&pki().one]).await;
    let mut lab = points.lab().await;
    let foreign = pki().other_root.revocation_list(9, &[], -HOUR, HOUR).unwrap();
    let future = pki().issuing.revocation_list(9, &[], HOUR, 2 * HOUR).unwrap();
    for bad in ["", "garbage", &foreign, &future] {
        std::fs::write(points.kept(ISSUING), bad).unwrap();
        restart(&mut lab).await;
        lab.gateway.expect_log("is not used: it is fetched anew").await;
        assert_one_is_revoked(&lab).await;
        assert_eq!(std::fs::read(points.kept(ISSUING)).unwrap(), points.point.document(ISSUING));
    }
}

#[tokio::test]
async fn a_point_that_never_gave_a_list_refuses_until_it_does() {
    let points = Points::revoking(&[]).await;
    let list = points.point.document(ISSUING);
    points.point.serve(ISSUING, Serving::Raw(b"HTTP/1.1 503 Soon\r\n\r\n".to_vec()));
    let lab = points.lab().await;
    assert!(!lab.admits(&pki().one).await);
    assert_eq!(refusals(&lab, "crl_missing").await, 1.0);
    lab.assert_untouched();
    let (status, body) = readiness(&lab).await;
    assert_eq!((status, body.contains("\"missing\":[\"revocation\"]")), (503, true), "{body}");
    points.point.serve(ISSUING, Serving::Document(list));
    eventually("it is ready", || async { readiness(&lab).await.0 == 200 }).await;
    assert!(lab.admits(&pki().one).await);
}

#[tokio::test]
async fn what_another_point_covers_is_not_missing() {
    let points = Points::revoking(&[&pki().one]).await;
    let list = points.point.document(ISSUING);
    points.point.serve(ISSUING, Serving::Silent);
    points.point.serve("/mirror.crl", Serving::Document(list));
    let more = format!("distribution_points = [{:?}, ", points.point.url("/mirror.crl"));
    let both =
        |config: String| points.configure(&config, "").swap("distribution_points = [", &more);
    let lab = lab_with(both).await;
    assert_eq!(readiness(&lab).await.0, 200);
    assert_one_is_revoked(&lab).await;
}

#[tokio::test]
async fn a_start_under_which_nobody_gets_through_is_not_ready() {
    let points = Points::revoking(&[]).await;
    for serving in [
        // A list that has expired, another's, and none.
        Serving::Document(
            pki().issuing.revocation_list(9, &[], -2 * HOUR, -HOUR).unwrap().into_bytes(),
        ),
        Serving::Document(of_root().into_bytes()),
        Serving::Reset(Vec::new()),
    ] {
        points.point.serve(ISSUING, serving);
        let lab = points.lab().await;
        let (status, body) = readiness(&lab).await;
        assert_eq!((status, body.contains("\"missing\":[\"revocation\"]")), (503, true), "{body}");
        assert!(!lab.admits(&pki().two).await);
        lab.assert_untouched();
    }
}

#[tokio::test]
async fn a_reload_under_which_an_authority_loses_its_clients_is_refused() {
    let points = Points::revoking(&[&pki().one]).await;
    let lab = points.lab().await;
    let without = format!(", {:?}]", points.point.url(ISSUING));
    lab.rewrite_config(|config| config.swap(&without, "]"));
    reload(&lab, "the one in force stays").await;
    lab.gateway.expect_log("no revocation list in force of these authorities").await;
    assert_one_is_revoked(&lab).await;
    assert_eq!(readiness(&lab).await.0, 200);
}

#[tokio::test]
async fn a_hangup_while_a_start_waits_for_lists_reloads_and_does_not_end_the_process() {
    let points = Points::revoking(&[&pki().one]).await;
    let mut lab = points.lab().await;
    lab.gateway.kill();
    let before = points.point.asked(ISSUING);
    points.point.serve(ISSUING, Serving::Silent);
    let starting = Gateway::spawn(&lab.directory.path().join("config.toml"));
    eventually("it waits", || async { points.point.asked(ISSUING) > before }).await;
    assert!(!starting.log_contains("listening"));
    starting.signal("HUP");
    lab.gateway = starting.listening().await;
    eventually("it reloads", || async { lab.gateway.log_contains("configuration reloaded") }).await;
    assert_one_is_revoked(&lab).await;
}

#[tokio::test]
async fn what_is_missing_admits_if_the_configuration_says_so() {
    let points = Points::revoking(&[]).await;
    points.point.serve(ISSUING, Serving::Reset(Vec::new()));
    let lab = points.lab_with(", missing = \"allow\"").await;
    assert!(lab.admits(&pki().one).await);
    points.point.publish(ISSUING, &of_issuing(5, &[&pki().one]));
    lab.expect_metric(&points.entries(), 1.0).await;
    assert_one_is_revoked(&lab).await;
}

#[tokio::test]
async fn a_reload_keeps_what_was_fetched() {
    let points = Points::revoking(&[&pki().one]).await;
    let lab = points.lab().await;
    let mut two = Caller::connect(&lab, &pki().two).await;
    for path in [ROOT, ISSUING] {
        points.point.serve(path, Serving::Reset(Vec::new()));
    }
    // Without the files on disk, what counts is what the process has.
    std::fs::remove_dir_all(points.directory()).unwrap();
    points.expect(&lab, ISSUING, "broken").await;
    assert_one_is_revoked(&lab).await;
    two.assert_served().await;
    lab.expect_metric(&points.entries(), 1.0).await;
}

#[tokio::test]
async fn other_settings_of_a_point_forget_nothing() {
    let points = Points::revoking(&[&pki().one]).await;
    let lab = points.lab().await;
    for path in [ROOT, ISSUING] {
        points.point.serve(path, Serving::Reset(Vec::new()));
    }
    let elsewhere = format!("{:?}", points.place.path().join("elsewhere"));
    let here = format!("{:?}", points.directory());
    let lenient = |config: String| config.swap("\"3s\" }", "\"3s\", missing = \"allow\" }");
    lab.rewrite_config(|config| lenient(config.swap(&here, &elsewhere)));
    reload(&lab, "configuration reloaded").await;
    assert_one_is_revoked(&lab).await;
    // Where it is kept now, it is kept anew.
    points.point.publish(ISSUING, &of_issuing(6, &[&pki().one]));
    let kept = || std::fs::read_dir(points.place.path().join("elsewhere")).is_ok();
    eventually("it is kept elsewhere", || async { kept() }).await;
    // Other issuers accept what is on disk, or not: a list of nobody's counts for nothing.
    let strangers = points.place.path().join("issuers.pem");
    std::fs::write(strangers, pki().other_root.pem()).unwrap();
    lab.rewrite_config(|config| config);
    reload(&lab, "the one in force stays").await;
    lab.gateway.expect_log("neither a trust anchor nor among the issuers").await;
    assert_one_is_revoked(&lab).await;
}

#[tokio::test]
async fn a_reload_that_brings_a_point_without_a_list_is_refused() {
    let points = Points::revoking(&[&pki().one]).await;
    let lab = points.lab().await;
    let more = format!("distribution_points = [{:?}, ", points.point.url("/nothing.crl"));
    lab.rewrite_config(|config| config.swap("distribution_points = [", &more));
    reload(&lab, "the one in force stays").await;
    lab.gateway.expect_log("the new distribution points gave no revocation list").await;
    assert_one_is_revoked(&lab).await;
    assert_eq!(readiness(&lab).await.0, 200);
    // Nobody goes on asking for it: the reload after this one finds it new again.
    points.point.publish("/nothing.crl", &of_root());
    reload(&lab, "configuration reloaded").await;
    assert_one_is_revoked(&lab).await;
}

#[tokio::test]
async fn taking_a_point_away_ends_its_fetches() {
    let points = Points::revoking(&[]).await;
    let lab = points.lab().await;
    let without = |config: String| config.swap(&points.revocation(""), "");
    lab.rewrite_config(without);
    reload(&lab, "configuration reloaded").await;
    assert!(!lab.metrics().await.contains("portaria_crl_entries{"));
    let before = points.point.asked(ISSUING);
    // Another one with the same pace outlives it by some rounds.
    let other = Points::revoking(&[]).await;
    let rewritten = other.configure(&without(lab.config.clone()), "");
    lab.rewrite_config(|_| rewritten);
    reload(&lab, "configuration reloaded").await;
    eventually("some rounds", || async { other.point.asked(ISSUING) >= 4 }).await;
    assert!(points.point.asked(ISSUING) <= before + 1, "one may have been on its way");
}

#[tokio::test]
async fn listeners_that_name_the_same_point_share_it() {
    let points = Points::revoking(&[&pki().one]).await;
    let lab = lab_with(|config| {
        let first = config.find("[[listeners]]").unwrap();
        let second = config.find("[[listeners]]\nname = \"public\"").unwrap();
        let twin = config[first..second].swap("\"mtls\"", "\"twin\"");
        points.configure(&format!("{}{twin}{}", &config[..second], &config[second..]), "")
    })
    .await;
    for path in [ROOT, ISSUING] {
        assert_eq!(points.fetched(&lab, path, "updated").await, 1.0);
    }
    let series = points.entries();
    lab.expect_metric(&series, 1.0).await;
    lab.expect_metric(&series.swap("mtls", "twin"), 1.0).await;
    points.point.publish(ISSUING, &of_issuing(6, &[&pki().two]));
    for listener in ["mtls", "twin"] {
        eventually("the list came", || async {
            let connection = lab.connector_to(listener, Some(&pki().one)).http1().await;
            let request = Request::get(OPEN).to_bytes();
            match connection {
                Ok(mut connection) => connection.exchange(&request).await.is_ok(),
                Err(_) => false,
            }
        })
        .await;
    }
}

#[tokio::test]
async fn of_lists_from_files_and_points_the_newest_counts() {
    let points = Points::revoking(&[]).await;
    let file = points.place.path().join("file.crl");
    let more = format!(", lists = [{file:?}]");
    let issuing = |number, since, revoked: &[&Identity]| {
        pki().issuing.revocation_list(number, revoked, since, HOUR).unwrap()
    };
    std::fs::write(&file, issuing(6, -HOUR / 2, &[&pki().one])).unwrap();
    let lab = points.lab_with(&more).await;
    assert_one_is_revoked(&lab).await;
    points.point.publish(ISSUING, &issuing(7, -HOUR / 4, &[&pki().two]));
    lab.expect_metric(&points.entries(), 1.0).await;
    assert!(lab.admits(&pki().one).await);
    assert!(!lab.admits(&pki().two).await);
    let in_file = "{list=\"file.crl\",listener=\"mtls\",source=\"file\"}";
    assert_eq!(lab.metric(&format!("portaria_crl_entries{in_file}")).await, 1.0);
}

#[tokio::test]
async fn only_what_is_on_the_allow_list_is_fetched() {
    use portaria::lab::pki::ClientSubject;
    let points = Points::revoking(&[]).await;
    points.point.publish("/secret.crl", &of_issuing(9, &[]));
    let subject = ClientSubject {
        distribution_points: vec![points.point.url("/secret.crl")],
        ..ClientSubject::default()
    };
    let client = pki().issuing.client(&pki().client_key, &subject).unwrap();
    let lab = points.lab().await;
    assert!(lab.admits(&client).await);
    points.expect(&lab, ISSUING, "unchanged").await;
    assert_eq!(points.point.asked("/secret.crl"), 0);
    let paths = points.point.heads();
    let allowed = |head: &String| [ROOT, ISSUING].iter().any(|path| head.contains(*path));
    assert!(!paths.is_empty() && paths.iter().all(allowed), "{paths:?}");
}

#[tokio::test]
async fn a_point_with_tls_is_asked_only_with_the_roots_that_are_named() {
    use portaria::lab::http::{Handler, ServiceResponse, serve};
    let points = Points::revoking(&[]).await;
    let list = of_issuing(6, &[&pki().one]).into_bytes();
    let handler: Handler = Arc::new(move |_| {
        let body = list.clone();
        Box::pin(async move { ServiceResponse { status: http::StatusCode::OK, body } })
    });
    let service = serve(LOOPBACK, Some(pki().server_tls()), handler).await.unwrap();
    let secure = format!("https://{}/issuing.crl", service.address);
    for (roots, admitted) in [(&pki().root, true), (&pki().other_root, false)] {
        let file = points.place.path().join("point-roots.pem");
        std::fs::write(&file, roots.pem()).unwrap();
        let more = format!(", missing = \"allow\", trust_anchors = {file:?}");
        let config = |config: String| {
            points.configure(&config, &more).swap(&points.point.url(ISSUING), &secure)
        };
        let _ = std::fs::remove_dir_all(points.directory());
        let lab = lab_with(config).await;
        let result = if admitted { "updated" } else { "untrusted" };
        let series =
            format!("portaria_crl_fetches_total{{point=\"{secure}\",result=\"{result}\"}}");
        assert!(lab.metric(&series).await >= 1.0, "{}", lab.metrics().await);
        assert_eq!(!lab.admits(&pki().one).await, admitted);
    }
}

#[tokio::test]
async fn what_is_kept_can_be_shown_and_nothing_is_fetched_for_it() {
    let points = Points::revoking(&[&pki().one]).await;
    let mut lab = points.lab().await;
    lab.gateway.kill();
    let (issuing, root) = (points.point.url(ISSUING), points.point.url(ROOT));
    let asked = points.point.heads().len();
    std::fs::remove_file(points.kept(ROOT)).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_portaria"))
        .args(["trust", "show", "-c"])
        .arg(lab.directory.path().join("config.toml"))
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let line = |end: String| shown.lines().find(|line| line.ends_with(&end)).map(str::to_owned);
    let kept = line(format!("{issuing} (kept)")).unwrap_or_else(|| panic!("{shown}"));
    assert!(kept.contains("valid") && kept.contains("number 05, 1 entries"), "{kept}");
    assert_eq!(line(root.clone()), Some(format!("  list    none kept  {root}")));
    assert_eq!(points.point.heads().len(), asked);
}

#[tokio::test]
async fn a_list_that_cannot_be_kept_counts_all_the_same() {
    let points = Points::revoking(&[&pki().one]).await;
    let lab = points.lab().await;
    std::fs::remove_dir_all(points.directory()).unwrap();
    std::fs::write(points.directory(), "a file is in the way").unwrap();
    points.point.publish(ISSUING, &of_issuing(6, &[&pki().two]));
    let series = points.series(ISSUING, "not_kept");
    eventually("it was told", || async { lab.metric(&series).await >= 1.0 }).await;
    assert!(!lab.admits(&pki().two).await);
    assert!(lab.admits(&pki().one).await);
    std::fs::remove_file(points.directory()).unwrap();
    eventually("it is kept at last", || async {
        points.directory().exists() && points.fetched(&lab, ISSUING, "unchanged").await >= 1.0
    })
    .await;
    assert_eq!(std::fs::read(points.kept(ISSUING)).unwrap(), points.point.document(ISSUING));
}

fn issuers() -> ListIssuers {
    ListIssuers::new(&[pki().root.certificate()], &[pki().issuing.certificate()]).unwrap()
}

fn unix_seconds() -> i64 {
    i64::try_from(Moment::now().unix_seconds()).unwrap()
}

#[test]
fn of_two_lists_of_one_age_the_one_that_revokes_is_the_later() {
    let (issuers, now) = (issuers(), unix_seconds());
    let read =
        |revoked: &[&Identity]| issuers.read(of_issuing(5, revoked).as_bytes(), "point").unwrap();
    // Lists are made with the clock: until no second ended in between.
    let (none, one, both) = loop {
        let made = (read(&[]), read(&[&pki().one]), read(&[&pki().two, &pki().one]));
        if made.0.this_update == made.2.this_update {
            break made;
        }
    };
    for (list, in_force, verdict) in [
        (&one, Some(&none), Ok(())),
        (&both, Some(&one), Ok(())),
        (&one, Some(&one), Ok(())),
        (&none, Some(&one), Err(ListFault::Older)),
        (&one, Some(&both), Err(ListFault::Older)),
        (&none, None, Ok(())),
    ] {
        assert_eq!(list.may_follow(in_force, now), verdict);
    }
}

#[test]
fn every_changed_byte_of_a_list_is_refused() {
    let (issuers, good) = (issuers(), in_der(&of_issuing(5, &[&pki().one])));
    assert!(issuers.read(&good, "point").is_ok());
    for place in 0..good.len() {
        let mut changed = good.clone();
        changed[place] ^= 0x41;
        assert!(issuers.read(&changed, "point").is_err(), "byte {place}");
        assert!(issuers.read(&good[..place], "point").is_err(), "cut at {place}");
    }
}
