//! Authorization servers that are down, slow, hostile, or somebody else: what cannot be decided is 503, within
//! bounds, and is decided again by itself.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::keys::*;
use super::sign;
use crate::harness::*;

fn good() -> String {
    set_of(&[&first_signer()]).to_string()
}

fn raw(text: String) -> Answering {
    Answering::Raw(text.into_bytes())
}

fn json_of(body: String) -> Answering {
    Answering::Json(body, "")
}

/// Answers that give no key set, and the reason by which each is counted.
fn hostile(server: &KeyServer) -> Vec<(&'static str, Answering, &'static str)> {
    let ok = |fields: &str, body: &str| {
        let length = body.len();
        raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{fields}\r\n\r\n{body}"))
    };
    let good = good();
    let to = format!("http://{}/elsewhere", server.address);
    let redirect = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    let padded = good.replacen('{', &format!("{{{}", " ".repeat(256 * 1024)), 1);
    let mut many: Value = serde_json::from_str(&good).unwrap();
    many["keys"] = (0..101).map(|_| json!({"kty": "oct", "k": "AQ"})).collect();
    let twice = set_of(&[&first_signer(), &signer("key-1")]).to_string();
    let encryption = good.swap("\"sig\"", "\"enc\"");
    let weak = good.swap("\"AQAB\"", "\"Aw\"");
    vec![
        ("drop by drop", Answering::Drip(good.clone()), "timeout"),
        ("silence", Answering::Silent, "timeout"),
        ("100 MB", Answering::Endless, "too_long"),
        ("a byte too long", json_of(padded), "too_long"),
        ("a redirect", raw(redirect), "status"),
        ("500", raw("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".into()), "status"),
        ("401", raw("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n".into()), "status"),
        ("204", raw("HTTP/1.1 204 Nothing\r\n\r\n".into()), "status"),
        ("another media type", ok("Content-Type: text/html", &good), "media_type"),
        ("no media type", ok("X: y", &good), "media_type"),
        ("a reset", Answering::Reset(good.clone()), "broken"),
        ("no HTTP", raw("garbage\r\n\r\n".into()), "broken"),
        ("nothing", raw(String::new()), "broken"),
        ("no JSON", json_of("{".into()), "malformed"),
        ("HTML", json_of("<html></html>".into()), "malformed"),
        ("no set", json_of("{}".into()), "malformed"),
        ("a list", json_of("[]".into()), "malformed"),
        ("too many keys", json_of(many.to_string()), "too_many"),
        ("two keys of one kid", json_of(twice), "ambiguous"),
        ("keys for encryption", json_of(encryption), "empty"),
        ("keys with a small exponent", json_of(weak), "empty"),
    ]
}

#[tokio::test]
async fn a_hostile_key_set_decides_nothing_and_recovers_by_itself() {
    let part = |part: usize| async move {
        let server = key_server().await;
        let cases = hostile(&server).into_iter().skip(part).step_by(PARTS).collect();
        decides_nothing_and_recovers(server, cases).await;
    };
    tokio::join!(part(0), part(1), part(2), part(3));
}

/// Gateways among which the hostile answers are divided, for most of the time they wait.
const PARTS: usize = 4;

async fn decides_nothing_and_recovers(
    server: KeyServer,
    cases: Vec<(&'static str, Answering, &'static str)>,
) {
    server.answer("/elsewhere", Answering::Json(good(), ""));
    let (_, first, _) = &cases[0];
    server.answer(KEY_SET, first.clone());
    let jwks = "refresh_interval = \"1s\"\nstale_for = \"1s\"\ntimeout = \"500ms\"\n\
                lookup_cooldown = \"100ms\"";
    let lab = lab_with_keys(&server, jwks, "").await;
    let token = lab.client_token("consents");
    for (case, answering, reason) in cases {
        server.answer(KEY_SET, answering);
        let counted = refreshes("schedule", reason);
        let before = lab.metric(&counted).await;
        eventually("it was read", || async { lab.metric(&counted).await > before }).await;
        eventually("nothing can be decided", || async { ask(&lab, &token).await == 503 }).await;
        assert_eq!(lab.gateway.admin("/readyz").await.0, 503, "{case}");
        server.publish(&set_of(&[&first_signer()]));
        eventually("it recovers", || async { ask(&lab, &token).await == 201 }).await;
    }
    assert_eq!(server.requests("/elsewhere"), 0, "no redirect was followed");
    let most = 64 * 1024 * 1024;
    assert!(server.sent() < most, "somebody took {} of the endless documents", server.sent());
}

/// What cannot be read never replaces what could: for `stale_for` the last good set decides.
#[tokio::test]
async fn a_hostile_key_set_never_replaces_a_good_one() {
    let part = |part: usize| async move {
        let server = key_server().await;
        let cases = hostile(&server).into_iter().skip(part).step_by(PARTS).collect();
        never_replaces_a_good_one(server, cases).await;
    };
    tokio::join!(part(0), part(1), part(2), part(3));
}

async fn never_replaces_a_good_one(
    server: KeyServer,
    cases: Vec<(&'static str, Answering, &'static str)>,
) {
    let jwks = "refresh_interval = \"1s\"\ntimeout = \"500ms\"";
    let lab = lab_with_keys(&server, jwks, "").await;
    ready(&lab).await;
    let token = lab.client_token("consents");
    for (case, answering, reason) in cases {
        // A set whose keys are all unusable says that the good one was withdrawn.
        if reason == "empty" {
            continue;
        }
        server.answer(KEY_SET, answering);
        let counted = refreshes("schedule", reason);
        let before = lab.metric(&counted).await;
        eventually("it was read", || async { lab.metric(&counted).await > before }).await;
        assert_eq!(ask(&lab, &token).await, 201, "{case}");
        let failed = format!(
            "portaria_key_set_failure_timestamp_seconds{{issuer=\"{ISSUER}\",reason=\"{reason}\"}}"
        );
        assert!(lab.metric(&failed).await > 1_700_000_000.0, "{case}");
    }
}

#[tokio::test]
async fn a_server_that_is_somebody_else_is_not_believed() {
    let server = key_server().await;
    let pki = pki();
    let of = |identity: &portaria::lab::pki::Identity| {
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain.clone(), identity.key.clone_key())
            .unwrap();
        std::sync::Arc::new(config)
    };
    let foreign = pki.other_root.server(&pki.client_key, -3600, 86_400).unwrap();
    server.speak_tls(of(&foreign));
    let url = format!(
        "url = \"https://localhost:{}/jwks\"\ntrust_anchors = \"roots.pem\"\n\
         refresh_interval = \"1s\"\nlookup_cooldown = \"100ms\"",
        server.address.port()
    );
    let lab = lab_with(|config| config.swap("file = \"jwks.json\"", &url)).await;
    let token = lab.client_token("consents");
    // Nor is who has an expired certificate, or one for clients; each is told by its name.
    for (identity, reason) in
        [(&foreign, "untrusted"), (&pki.expired_server, "expired"), (&pki.one, "certificate")]
    {
        server.speak_tls(of(identity));
        let refused = refreshes("schedule", reason);
        eventually("it is refused", || async { lab.metric(&refused).await >= 1.0 }).await;
        assert_eq!(ask(&lab, &token).await, 503, "{reason}");
    }
    assert_eq!(server.requests(KEY_SET), 0, "nothing was asked of them");
    server.speak_tls(of(&pki.server));
    eventually("it is believed", || async { ask(&lab, &token).await == 201 }).await;
}

#[tokio::test]
async fn a_server_that_does_not_exist_decides_nothing() {
    let anchors = "\ntrust_anchors = \"roots.pem\"";
    for (url, anchors, cause) in [
        ("http://127.0.0.1:1/jwks", "", "no connection: the port is refused"),
        ("https://nowhere.invalid/jwks", anchors, "no connection: its name does not resolve"),
    ] {
        let url = format!("url = \"{url}\"{anchors}");
        let lab = lab_with(|config| config.swap("file = \"jwks.json\"", &url)).await;
        let (status, body) = lab.gateway.admin("/readyz").await;
        assert_eq!((status, body.contains("token.issuers")), (503, true), "{body}");
        lab.gateway.expect_log(cause).await;
        lab.gateway.expect_log("the key set was not read, and there is none that counts").await;
        assert_eq!(ask(&lab, &lab.client_token("consents")).await, 503);
        let opaque = lab.authorization.issue_opaque(&lab.client_grant("consents"));
        assert_eq!(ask(&lab, &opaque).await, 201, "opaque tokens go on");
    }
}

/// Served while the last set counts, then 503, then served again, by itself; for tokens too that were verified.
#[tokio::test]
async fn an_outage_is_bridged_for_so_long_and_no_longer() {
    let server = key_server().await;
    let jwks = "refresh_interval = \"1s\"\nstale_for = \"5s\"";
    let lab = lab_with_keys(&server, jwks, "").await;
    ready(&lab).await;
    let (known, new) = (lab.client_token("consents"), lab.client_token("consents resources"));
    assert_eq!(ask(&lab, &known).await, 201);
    server.answer(KEY_SET, Answering::Raw(Vec::new()));
    let failed = refreshes("schedule", "broken");
    eventually("it is down", || async { lab.metric(&failed).await >= 1.0 }).await;
    assert_eq!(ask(&lab, &known).await, 201);
    assert_eq!(ask(&lab, &lab.client_token("consents customers")).await, 201);
    eventually("too old to decide", || async { ask(&lab, &known).await == 503 }).await;
    assert_eq!(ask(&lab, &new).await, 503);
    assert_eq!(lab.gateway.admin("/readyz").await.0, 503);
    server.publish(&set_of(&[&first_signer()]));
    eventually("it is back", || async { ask(&lab, &known).await == 201 }).await;
    assert_eq!(ask(&lab, &new).await, 201);
}

/// The file that the gateway keeps.
fn kept(lab: &Lab) -> Option<PathBuf> {
    let mut entries = lab.directory.path().join("keys").read_dir().ok()?;
    let file = entries.next()?.ok()?.path();
    file.extension().is_some_and(|extension| extension == "json").then_some(file)
}

/// Ends the gateway and starts it anew.
async fn restart(lab: &mut Lab) {
    lab.gateway.signal("INT");
    lab.gateway.end().await;
    lab.gateway = Gateway::start(&lab.directory.path().join("config.toml")).await;
}

const KEEPING: &str = "directory = \"keys\"";

#[tokio::test]
async fn a_start_while_the_server_is_down_decides_by_what_was_kept() {
    let server = key_server().await;
    let mut lab = lab_with_keys(&server, "lookup_cooldown = \"100ms\"", KEEPING).await;
    eventually("the set is kept", || async { kept(&lab).is_some() }).await;
    let file = kept(&lab).unwrap();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o022, 0, "{mode:o}");
    server.answer(KEY_SET, Answering::Raw(Vec::new()));
    restart(&mut lab).await;
    assert_eq!(ask(&lab, &lab.client_token("consents")).await, 201);
    assert_eq!(lab.gateway.admin("/readyz").await.0, 200);
    let unknown = sign(&lab, |header, _| header["kid"] = json!("new"));
    eventually("it is undecided", || async { ask(&lab, &unknown).await == 503 }).await;
    // What is kept is replaced by what is read.
    let rotated = signer("key-2");
    server.publish(&set_of(&[&rotated]));
    let new = token_of(&lab, &rotated);
    eventually("it is back", || async { ask(&lab, &new).await == 201 }).await;
    let is_kept = || async { std::fs::read_to_string(&file).unwrap().contains("key-2") };
    eventually("the new set is kept", is_kept).await;
}

/// Each is a fault of the kept file; the gateway starts all the same and decides nothing by it.
#[tokio::test]
async fn what_was_kept_and_is_no_longer_good_decides_nothing() {
    let server = key_server().await;
    let mut lab = lab_with_keys(&server, "stale_for = \"1h\"", KEEPING).await;
    eventually("the set is kept", || async { kept(&lab).is_some() }).await;
    let file = kept(&lab).unwrap();
    server.answer(KEY_SET, Answering::Raw(Vec::new()));
    let good: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let now = good["read_at"].as_u64().unwrap();
    let with = |name: &str, value: Value| {
        let mut document = good.clone();
        document[name] = value;
        document.to_string()
    };
    for (fault, document, warning) in [
        ("too old", with("read_at", json!(now - 3600)), None),
        ("of the future", with("read_at", json!(now + 3600)), Some("was read in the future")),
        ("another issuer's", with("issuer", json!("https://x")), Some("is another issuer's")),
        ("without keys", with("key_set", json!({"keys": []})), Some("no key can verify")),
        ("no set", with("key_set", json!(1)), Some("not a JSON Web Key Set")),
        ("cut", good.to_string().split_at(100).0.to_owned(), Some("is not a kept key set")),
        ("empty", String::new(), Some("is not a kept key set")),
        ("too long", format!("{good}{}", " ".repeat(300_000)), Some("cannot be read")),
    ] {
        std::fs::write(&file, document).unwrap();
        restart(&mut lab).await;
        assert_eq!(ask(&lab, &lab.client_token("consents")).await, 503, "{fault}");
        if let Some(warning) = warning {
            lab.gateway.expect_log(warning).await;
        }
    }
    std::fs::write(&file, good.to_string()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    restart(&mut lab).await;
    assert_eq!(ask(&lab, &lab.client_token("consents")).await, 503);
    lab.gateway.expect_log("can be written to by everybody").await;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    restart(&mut lab).await;
    assert_eq!(ask(&lab, &lab.client_token("consents")).await, 201, "the good one is good");
}

#[tokio::test]
async fn a_set_that_cannot_be_kept_is_used_all_the_same() {
    let server = key_server().await;
    let lab = lab_with_keys(&server, "refresh_interval = \"1s\"", KEEPING).await;
    eventually("the set is kept", || async { kept(&lab).is_some() }).await;
    std::fs::remove_dir_all(lab.directory.path().join("keys")).unwrap();
    std::fs::write(lab.directory.path().join("keys"), "in the way").unwrap();
    let said = "the key set cannot be kept for the next start";
    eventually("it is said", || async { lab.gateway.log_contains(said) }).await;
    assert_eq!(ask(&lab, &lab.client_token("consents")).await, 201);
}
