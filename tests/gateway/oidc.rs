//! A real authorization server: oidc-provider (OpenID Certified) in its own process, with discovery, client
//! certificates, bound JWT and opaque tokens, introspection, revocation and rotation.
//!
//! Needs node and `npm ci` in tests/oidc-provider; without, the test says so and passes, unless
//! `PORTARIA_OIDC=required`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use portaria::lab::client::{Connector, Response};
use portaria::lab::pki::Identity;

use crate::harness::*;

const JWT: &str = "https://api.portaria-lab.example";
const OPAQUE: &str = "https://opaque.portaria-lab.example";
const CONSENTS: &str = "/open-insurance/consents/v3/consents";
const RESOURCES: &str = "/open-insurance/resources/v3/resources";

/// Ends with its standard input, at the latest when this is dropped.
struct Provider {
    child: Child,
    issuer: String,
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Provider {
    /// Starts it; nothing if node or its packages are absent.
    fn start(directory: &Path) -> Option<Self> {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oidc-provider");
        let has_node = Command::new("node").arg("--version").output().is_ok();
        if !has_node || !home.join("node_modules").exists() {
            let required = std::env::var("PORTARIA_OIDC").is_ok_and(|value| value == "required");
            assert!(!required, "node, or `npm ci` in tests/oidc-provider, is missing");
            let _ = writeln!(
                std::io::stdout(),
                "skipped: node, or `npm ci` in tests/oidc-provider, is missing"
            );
            return None;
        }
        let pki = pki();
        for (name, text) in [
            ("as.pem", &pki.server.chain_pem),
            ("as.key", &pki.server.key_pem),
            ("anchors.pem", &(pki.root.pem() + &pki.issuing.pem())),
        ] {
            std::fs::write(directory.join(name), text).unwrap();
        }
        let mut child = Command::new("node")
            .arg(home.join("server.mjs"))
            .args(["as.pem", "as.key", "anchors.pem"].map(|name| directory.join(name)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        Some(Self { child, issuer: told["issuer"].as_str().unwrap().to_owned() })
    }

    async fn post(&self, path: &str, form: &str, identity: &Identity) -> Response {
        let port = self.issuer.rsplit(':').next().unwrap();
        let address = format!("127.0.0.1:{port}").parse().unwrap();
        let connector = Connector::new(address, pki().root.certificate(), Some(identity)).unwrap();
        let request = Request::new("POST", path)
            .content(form)
            .without("content-type")
            .with("content-type", "application/x-www-form-urlencoded");
        connector.http1().await.unwrap().exchange(&request.to_bytes()).await.unwrap()
    }

    /// A token of the client's own.
    async fn client_token(&self, resource: &str) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id=client-one&scope=consents&resource={resource}"
        );
        let answer = self.post("/token", &form, &pki().one).await;
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// A customer's token, for a consent.
    async fn customer_token(&self, resource: &str, consent: &str) -> String {
        let form = format!("scope=resources+consent%3A{consent}&resource={resource}");
        let answer = self.post("/test/customer", &form, &pki().one).await;
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }
}

async fn lab_of(provider: &Provider) -> Lab {
    let issuer = &provider.issuer;
    lab_with(|config| {
        let at = config.find("[token]").unwrap();
        let end = config.find("[consent]").unwrap();
        let token = format!(
            r#"[token]
audiences = ["{JWT}", "{OPAQUE}"]
introspection_max_age = "1s"

[[token.issuers]]
issuer = "{issuer}"
jwks = {{ discovery = true, trust_anchors = "roots.pem", lookup_cooldown = "1s" }}

[token.introspection]
url = "{issuer}/token/introspection"
trust_anchors = "roots.pem"
client_auth = "client_secret_basic"
client_id = "portaria"
client_secret_file = "as-secret"

"#
        );
        format!("{}{token}{}", &config[..at], &config[end..])
    })
    .await
}

async fn post_consent(lab: &Lab, token: &str, identity: &Identity) -> u16 {
    let request = Request::post(CONSENTS, "{}").bearer(token);
    let mut connection = lab.connector(Some(identity)).http1().await.unwrap();
    connection.exchange(&request.to_bytes()).await.unwrap().status.as_u16()
}

#[tokio::test]
async fn a_certified_authorization_server_and_the_gateway_understand_each_other() {
    let scratch = tempfile::tempdir().unwrap();
    let Some(provider) = Provider::start(scratch.path()) else {
        return;
    };
    let lab = lab_of(&provider).await;
    let consent = lab.consent(&["RESOURCES_READ"]);
    for resource in [JWT, OPAQUE] {
        let token = provider.client_token(resource).await;
        assert_eq!(token.starts_with("eyJ"), resource == JWT);
        assert_eq!(post_consent(&lab, &token, &pki().one).await, 201, "{resource}");
        let reached = lab.recorded().len();
        assert_eq!(post_consent(&lab, &token, &pki().two).await, 401, "another's certificate");
        let customer = provider.customer_token(resource, &consent).await;
        assert_eq!(lab.recorded().len(), reached);
        let answer = lab.send(&Request::get(RESOURCES).bearer(&customer)).await;
        assert_eq!(answer.status, 200, "{resource}");
    }
    // A new key is found by the token that names it; nothing is configured or reloaded.
    for _ in 0..2 {
        provider.post("/test/rotate", "", &pki().one).await;
        let token = provider.client_token(JWT).await;
        eventually("the new key is known", || async {
            post_consent(&lab, &token, &pki().one).await == 201
        })
        .await;
    }
    // What is revoked stops working when its answer is no longer kept.
    let token = provider.client_token(OPAQUE).await;
    assert_eq!(post_consent(&lab, &token, &pki().one).await, 201);
    let form = format!("client_id=client-one&token={token}");
    assert_eq!(provider.post("/token/revocation", &form, &pki().one).await.status, 200);
    eventually("the revoked token is refused", || async {
        post_consent(&lab, &token, &pki().one).await == 401
    })
    .await;
    let reached = lab.recorded().len();
    assert_eq!(post_consent(&lab, &token, &pki().one).await, 401);
    assert_eq!(lab.recorded().len(), reached);
}
