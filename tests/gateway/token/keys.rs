//! Key sets: whose they are, how they rotate, and what a key that is not known yet costs.

use std::time::{Duration, Instant};

use portaria::lab::authorization::{Signer, now};
use serde_json::json;

use super::{CONSENTS, create, sign};
use crate::harness::*;
use crate::reload::reload;

pub const ISSUER: &str = "https://as.portaria-lab.example";

/// A key of its own.
pub fn signer(kid: &str) -> Signer {
    Signer::new(kid, &portaria::lab::pki::rsa_key().unwrap().serialize_pem()).unwrap()
}

/// The key that the lab's tokens are signed with.
pub fn first_signer() -> Signer {
    Signer::new("key-1", &pki().signer_pem).unwrap()
}

/// A good token of participant one, signed by this key.
pub fn token_of(lab: &Lab, signer: &Signer) -> String {
    signer.sign(&signer.header(), &lab.client_grant("consents").claims()).unwrap()
}

/// A set of these keys.
pub fn set_of(signers: &[&Signer]) -> serde_json::Value {
    let keys: Vec<_> = signers.iter().map(|signer| signer.jwks()["keys"][0].clone()).collect();
    json!({ "keys": keys })
}

/// A server with the set of the lab's key.
pub async fn key_server() -> KeyServer {
    KeyServer::start(Answering::Json(set_of(&[&first_signer()]).to_string(), "")).await
}

/// A lab whose gateway reads its keys from a server, with more keys for `[token.issuers.jwks]` and `[token]`.
pub async fn lab_with_keys(server: &KeyServer, jwks: &str, token: &str) -> Lab {
    lab_of_threads(1, server, jwks, token).await
}

async fn lab_of_threads(threads: usize, server: &KeyServer, jwks: &str, token: &str) -> Lab {
    let threads = format!("threads = {threads}");
    let url = format!("url = \"{}\"\n{jwks}", server.url());
    let limits = "\n[limits]\nglobal = { requests = 100000, per = \"1s\" }\n\
                  per_address = { requests = 1000000, per = \"1m\" }\n";
    lab_with(|config| {
        let config = config.replace("threads = 1", &threads);
        let config = config.swap("file = \"jwks.json\"", &url);
        config.swap("[[token.issuers]]", &format!("{token}\n[[token.issuers]]")) + limits
    })
    .await
}

/// Waits until the gateway has a key set.
pub async fn ready(lab: &Lab) {
    eventually("the key set is read", || async { lab.gateway.admin("/readyz").await.0 == 200 })
        .await;
}

/// Asks with a token on a connection of its own. Returns the status.
pub async fn ask(lab: &Lab, token: &str) -> u16 {
    let reached = lab.recorded().len();
    let response = lab.send(&create(token)).await;
    match response.status.as_u16() {
        401 => assert_refused(&response, 401, "TOKEN_INVALIDO"),
        503 => assert_refused(&response, 503, "SERVICO_INDISPONIVEL"),
        status => {
            assert_eq!(status, 201, "{response:?}");
            return 201;
        }
    }
    assert_eq!(lab.recorded().len(), reached, "the backend saw a request that was refused");
    response.status.as_u16()
}

pub fn refreshes(cause: &str, result: &str) -> String {
    format!(
        "portaria_key_set_refreshes_total{{cause=\"{cause}\",issuer=\"{ISSUER}\",result=\"{result}\"}}"
    )
}

#[tokio::test]
async fn a_key_set_is_read_again_before_it_is_old() {
    let server = key_server().await;
    let lab = lab_with_keys(&server, "refresh_interval = \"1s\"", "").await;
    ready(&lab).await;
    eventually("it is read again", || async { server.requests(KEY_SET) >= 3 }).await;
    assert_eq!(ask(&lab, &lab.client_token("consents")).await, 201);
    assert!(lab.metric(&refreshes("schedule", "ok")).await >= 2.0);
    let read_at = format!("portaria_key_set_read_timestamp_seconds{{issuer=\"{ISSUER}\"}}");
    assert!(lab.metric(&read_at).await > 1_700_000_000.0);
}

/// The server says that its answer does not hold for the hour that the configuration admits.
#[tokio::test]
async fn a_key_set_is_read_again_when_its_server_says_so() {
    let set = set_of(&[&first_signer()]).to_string();
    let server = KeyServer::start(Answering::Json(set, "Cache-Control: max-age=1\r\n")).await;
    let lab = lab_with_keys(&server, "refresh_interval = \"1h\"\nstale_for = \"1h\"", "").await;
    ready(&lab).await;
    eventually("it is read again", || async { server.requests(KEY_SET) >= 2 }).await;
}

#[tokio::test]
async fn a_removed_key_stops_working_for_tokens_too_that_were_verified() {
    let server = key_server().await;
    let lab = lab_with_keys(&server, "refresh_interval = \"1s\"", "").await;
    ready(&lab).await;
    let token = lab.client_token("consents");
    assert_eq!(ask(&lab, &token).await, 201);
    let other = signer("key-2");
    server.publish(&set_of(&[&other]));
    eventually("the removed key is refused", || async { ask(&lab, &token).await == 401 }).await;
    assert_eq!(ask(&lab, &token_of(&lab, &other)).await, 201);
}

/// Keys that are all gone are withdrawn keys: nothing is decided by the old ones, and nobody is told that a
/// token is bad.
#[tokio::test]
async fn a_set_without_keys_takes_the_old_ones_out_of_force() {
    let server = key_server().await;
    let lab = lab_with_keys(&server, "refresh_interval = \"1s\"", "directory = \"keys\"").await;
    ready(&lab).await;
    let token = lab.client_token("consents");
    assert_eq!(ask(&lab, &token).await, 201);
    server.publish(&json!({"keys": []}));
    eventually("nothing can be decided", || async { ask(&lab, &token).await == 503 }).await;
    let kept = lab.directory.path().join("keys");
    eventually("nothing is kept", || async { kept.read_dir().unwrap().next().is_none() }).await;
    server.publish(&set_of(&[&first_signer()]));
    eventually("it can be again", || async { ask(&lab, &token).await == 201 }).await;
}

/// Requests all the time, while the signing key changes again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_under_load_cost_one_lookup_each_and_no_wrong_answer() {
    const ROTATIONS: usize = 4;
    let cooldown = Duration::from_millis(200);
    let server = key_server().await;
    let jwks = "refresh_interval = \"1h\"\nstale_for = \"1h\"\nlookup_cooldown = \"200ms\"";
    // Requests of several threads wait for one lookup.
    let lab = lab_of_threads(2, &server, jwks, "").await;
    ready(&lab).await;
    let first = token_of(&lab, &first_signer());
    let (newest, token) = tokio::sync::watch::channel(first.clone());
    let consent = format!("{CONSENTS}/{}", lab.consent(&["RESOURCES_READ"]));
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..8 {
        let (connector, token, first) =
            (lab.connector(Some(&lab.pki.one)), token.clone(), first.clone());
        let consent = consent.clone();
        workers.spawn(async move {
            let mut connection = connector.http1().await.unwrap();
            let mut served = 0_usize;
            while token.has_changed().is_ok() {
                // Tokens of the first key are good until the end.
                let old = (served + worker).is_multiple_of(4);
                let token = if old { first.clone() } else { token.borrow().clone() };
                let request = Request::get(&consent).bearer(&token).to_bytes();
                let response = connection.exchange(&request).await.unwrap();
                assert_eq!(response.status, 200, "{response:?}");
                served += 1;
            }
            served
        });
    }
    let mut signers = vec![first_signer()];
    for rotation in 0..ROTATIONS {
        signers.push(signer(&format!("rotated-{rotation}")));
        let last = signers.last().unwrap();
        server.publish(&set_of(&signers.iter().collect::<Vec<_>>()));
        newest.send_replace(token_of(&lab, last));
        let (rotated, reached) = (Instant::now(), lab.recorded().len());
        eventually("the load goes on beyond the cool-down", || async {
            rotated.elapsed() > 2 * cooldown && lab.recorded().len() > reached + 100
        })
        .await;
    }
    drop(newest);
    let served: usize = workers.join_all().await.into_iter().sum();
    assert_eq!(lab.recorded().len(), served, "every request reached the backend, and once");
    assert_eq!(
        server.requests(KEY_SET),
        1 + ROTATIONS,
        "the first read, and one for each rotation"
    );
    lab.expect_metric(&refreshes("unknown_key", "ok"), ROTATIONS as f64).await;
}

#[tokio::test]
async fn all_who_wait_for_a_new_key_share_one_lookup() {
    let server = key_server().await;
    let lab = lab_with_keys(&server, "timeout = \"20s\"", "").await;
    ready(&lab).await;
    let rotated = signer("key-2");
    server.answer(KEY_SET, Answering::Held(set_of(&[&first_signer(), &rotated]).to_string()));
    let token = token_of(&lab, &rotated);
    let unknown = format!("portaria_unknown_keys_total{{issuer=\"{ISSUER}\"}}");
    let asking = async {
        let mut asked = Vec::new();
        for _ in 0..20 {
            let mut connection = lab.http1().await;
            connection.send(&create(&token).to_bytes()).await.unwrap();
            asked.push(connection);
        }
        lab.expect_metric(&unknown, 20.0).await;
        server.release();
        for mut connection in asked {
            assert_eq!(connection.receive(false).await.unwrap().status, 201);
        }
    };
    asking.await;
    assert_eq!(server.requests(KEY_SET), 2);
}

#[tokio::test]
async fn made_up_kids_cost_one_lookup_per_cooldown() {
    let server = key_server().await;
    let lab = lab_with_keys(&server, "lookup_cooldown = \"5m\"", "").await;
    ready(&lab).await;
    for kid in 0..100 {
        let token = sign(&lab, |header, _| header["kid"] = json!(format!("made-up-{kid}")));
        // While the set is fresh the key does not exist, then nobody knows.
        assert!(matches!(ask(&lab, &token).await, 401 | 503));
    }
    assert_eq!(server.requests(KEY_SET), 2, "the first read, and one lookup");
    assert_eq!(ask(&lab, &lab.client_token("consents")).await, 201);
    let unknown = format!("portaria_unknown_keys_total{{issuer=\"{ISSUER}\"}}");
    lab.expect_metric(&unknown, 100.0).await;
}

/// Anybody can send a made-up kid, and guess the next one: no good token is called bad for that.
#[tokio::test]
async fn a_key_that_is_published_within_the_cooldown_is_never_401() {
    let server = key_server().await;
    let lab = lab_with_keys(&server, "lookup_cooldown = \"5m\"", "").await;
    ready(&lab).await;
    let rotated = signer("key-2");
    let guessed = sign(&lab, |header, _| header["kid"] = json!("key-2"));
    assert_eq!(ask(&lab, &guessed).await, 401, "looked up");
    let read_at = format!("portaria_key_set_read_timestamp_seconds{{issuer=\"{ISSUER}\"}}");
    let read_at = lab.metric(&read_at).await;
    eventually("the set is not fresh any more", || async { now() as f64 > read_at + 2.0 }).await;
    server.publish(&set_of(&[&first_signer(), &rotated]));
    let good = token_of(&lab, &rotated);
    let response = lab.send(&create(&good)).await;
    assert_refused(&response, 503, "SERVICO_INDISPONIVEL");
    assert!(response.field("retry-after").is_some());
    lab.assert_untouched();
    assert_eq!(server.requests(KEY_SET), 2, "the cool-down was kept");
}

#[tokio::test]
async fn a_rotation_right_after_a_guess_is_found_without_a_long_cooldown() {
    let server = key_server().await;
    let lab = lab_with_keys(&server, "", "").await;
    ready(&lab).await;
    let rotated = signer("key-2");
    assert_eq!(ask(&lab, &sign(&lab, |header, _| header["kid"] = json!("key-2"))).await, 401);
    server.publish(&set_of(&[&rotated]));
    let good = token_of(&lab, &rotated);
    eventually("it is looked up", || async { ask(&lab, &good).await == 201 }).await;
}

#[tokio::test]
async fn a_kid_that_stands_twice_costs_no_other_token() {
    let server = key_server().await;
    let lab = lab_with_keys(&server, "lookup_cooldown = \"100ms\"", "").await;
    let (first, other) = (first_signer(), signer("key-1"));
    server.publish(&set_of(&[&first, &first]));
    ready(&lab).await;
    assert_eq!(ask(&lab, &lab.client_token("consents")).await, 201, "the same key twice");
    // Two different ones: nobody knows which is meant, and the rest of the set counts.
    let rotated = signer("key-2");
    server.publish(&set_of(&[&first, &other, &rotated]));
    let good = token_of(&lab, &rotated);
    eventually("the set is taken", || async { ask(&lab, &good).await == 201 }).await;
    assert_eq!(ask(&lab, &token_of(&lab, &first)).await, 503);
    assert_eq!(ask(&lab, &token_of(&lab, &other)).await, 503);
}

/// Whether the key is there by now, nobody can say: 503, and not 401.
#[tokio::test]
async fn a_new_key_that_cannot_be_looked_up_is_undecided() {
    let server = key_server().await;
    let lab = lab_with_keys(&server, "lookup_cooldown = \"100ms\"", "").await;
    ready(&lab).await;
    let (old, rotated) = (lab.client_token("consents"), signer("key-2"));
    let new = token_of(&lab, &rotated);
    server.answer(KEY_SET, Answering::Raw(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".into()));
    eventually("it is undecided", || async { ask(&lab, &new).await == 503 }).await;
    assert_eq!(ask(&lab, &old).await, 201, "what is known goes on");
    server.publish(&set_of(&[&first_signer(), &rotated]));
    eventually("it is found", || async { ask(&lab, &new).await == 201 }).await;
    assert!(lab.metric(&refreshes("unknown_key", "status")).await >= 1.0);
}

#[tokio::test]
async fn the_keys_of_one_issuer_never_verify_a_token_of_another() {
    let (first, second) = (key_server().await, KeyServer::start(Answering::Silent).await);
    let of_second = signer("key-1");
    second.publish(&set_of(&[&of_second]));
    let other = "https://second.example";
    let table = format!(
        "[[token.issuers]]\nissuer = \"{other}\"\njwks = {{ url = \"{}\" }}\n",
        second.url()
    );
    let lab = lab_with_keys(&first, "", &table).await;
    ready(&lab).await;
    let token = |signer: &Signer, issuer: &str| {
        let mut claims = lab.client_grant("consents").claims();
        claims["iss"] = json!(issuer);
        signer.sign(&signer.header(), &claims).unwrap()
    };
    let of_first = first_signer();
    for (signer, issuer, expected) in [
        (&of_first, ISSUER, 201),
        (&of_second, other, 201),
        (&of_second, ISSUER, 401),
        (&of_first, other, 401),
        (&of_first, "https://third.example", 401),
    ] {
        assert_eq!(ask(&lab, &token(signer, issuer)).await, expected, "{issuer}");
    }
    // An issuer that is not configured makes nobody ask anybody anything.
    let stranger = signer("unknown");
    assert_eq!(ask(&lab, &token(&stranger, "https://third.example")).await, 401);
    assert_eq!((first.requests(KEY_SET), second.requests(KEY_SET)), (1, 1));
    assert_eq!(lab.authorization.introspections(), 0);
}

#[tokio::test]
async fn an_issuer_without_keys_has_its_tokens_introspected() {
    let other = "https://second.example";
    let lab = lab_with(|config| {
        let table = format!("[[token.issuers]]\nissuer = \"{other}\"\n\n[[token.issuers]]");
        config.swap("[[token.issuers]]", &table)
    })
    .await;
    let token = sign(&lab, |_, claims| claims["iss"] = json!(other));
    assert_eq!(ask(&lab, &token).await, 401);
    assert_eq!(lab.authorization.introspections(), 1);
    let mut claims = lab.client_grant("consents").claims();
    claims["iss"] = json!(other);
    // Another one, for what does not hold is known for a while.
    let token = sign(&lab, |_, claims| {
        claims["iss"] = json!(other);
        claims["jti"] = json!("2");
    });
    lab.authorization.put_opaque(&token, claims.clone());
    assert_eq!(ask(&lab, &token).await, 201);
    // How it is signed is its authorization server's business.
    let header = json!({"alg": "RS256"}).to_string();
    let algorithm = jsonwebtoken::Algorithm::RS256;
    let signer = lab.authorization.signer();
    let token = signer.sign_as(algorithm, &header, &claims.to_string()).unwrap();
    lab.authorization.put_opaque(&token, claims);
    assert_eq!(ask(&lab, &token).await, 201);
}

#[tokio::test]
async fn the_issuers_metadata_says_where_its_keys_are() {
    const OPENID: &str = "/.well-known/openid-configuration";
    const OAUTH: &str = "/.well-known/oauth-authorization-server";
    let server = key_server().await;
    let issuer = format!("http://{}", server.address);
    let metadata = |issuer: &str, uri: &str| json!({"issuer": issuer, "jwks_uri": uri}).to_string();
    let lab = lab_with(|config| {
        let config = config.swap(ISSUER, &issuer);
        config.swap("file = \"jwks.json\"", "discovery = true\nrefresh_interval = \"1s\"")
    })
    .await;
    let token = sign(&lab, |_, claims| claims["iss"] = json!(issuer));
    assert_eq!(ask(&lab, &token).await, 503, "there is no metadata");
    for (fault, document) in [
        ("another issuer", metadata("https://other.example", &server.url())),
        ("a slash more", metadata(&format!("{issuer}/"), &server.url())),
        ("no jwks_uri", json!({ "issuer": issuer }).to_string()),
        ("no URL", metadata(&issuer, "jwks")),
        ("a file", metadata(&issuer, "file:///etc/passwd")),
        ("another machine, unprotected", metadata(&issuer, "http://192.0.2.1/jwks")),
        ("no JSON", "not json".to_owned()),
    ] {
        let before = server.requests(OPENID);
        server.answer(OPENID, Answering::Json(document, ""));
        eventually("it is read", || async { server.requests(OPENID) > before + 1 }).await;
        assert_eq!(ask(&lab, &token).await, 503, "{fault}");
    }
    assert_eq!(server.requests(KEY_SET), 0);
    server.answer(OPENID, Answering::Json(metadata(&issuer, &server.url()), ""));
    eventually("the keys are found", || async { ask(&lab, &token).await == 201 }).await;
    // Without OpenID Connect, the place of RFC 8414.
    let before = server.requests(KEY_SET);
    server.answer(OPENID, Answering::Raw(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".into()));
    server.answer(OAUTH, Answering::Json(metadata(&issuer, &server.url()), ""));
    let goes_on = || async { server.requests(KEY_SET) > before + 2 && server.requests(OAUTH) > 2 };
    eventually("they are found again", goes_on).await;
    assert_eq!(ask(&lab, &token).await, 201);
}

#[tokio::test]
async fn a_reload_keeps_the_keys_of_issuers_that_did_not_change() {
    let server = key_server().await;
    let lab = lab_with_keys(&server, "", "").await;
    ready(&lab).await;
    server.answer(KEY_SET, Answering::Raw(Vec::new()));
    // The rules changed, the issuer did not: its keys stay, though they cannot be read now.
    lab.rewrite_config(|config| {
        config.swap("[[token.issuers]]", "leeway = \"9s\"\n[[token.issuers]]")
    });
    reload(&lab, "configuration reloaded").await;
    assert_eq!(ask(&lab, &lab.client_token("consents")).await, 201);
    // A new issuer must have keys.
    let other = "[[token.issuers]]\nissuer = \"https://second.example\"\n\
                 jwks = { url = \"http://127.0.0.1:1/jwks\" }\n\n[[token.issuers]]";
    lab.rewrite_config(|config| config.swap("[[token.issuers]]", other));
    reload(&lab, "the one in force stays").await;
    lab.gateway.expect_log("the new key set cannot be read").await;
    assert_eq!(ask(&lab, &lab.client_token("consents")).await, 201);
}

#[tokio::test]
async fn a_key_in_a_file_is_read_again() {
    let lab = lab_with(|config| {
        config.swap("file = \"jwks.json\"", "file = \"jwks.json\"\nrefresh_interval = \"1s\"")
    })
    .await;
    let token = lab.client_token("consents");
    assert_eq!(ask(&lab, &token).await, 201);
    let other = signer("key-2");
    let set = set_of(&[&other]).to_string();
    std::fs::write(lab.directory.path().join("jwks.json"), set).unwrap();
    eventually("the removed key is refused", || async { ask(&lab, &token).await == 401 }).await;
    assert_eq!(ask(&lab, &token_of(&lab, &other)).await, 201);
}
