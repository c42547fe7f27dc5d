//! Routes for a participant by its certificate alone, and certificates told to a backend (RFC 9440).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portaria::lab::client::Response;
use portaria::lab::pki::Identity;

use crate::harness::*;

const TOKEN: &str = "/auth/token";
const RESOURCES: &str = "/open-insurance/resources/v3/resources";
const OPEN: &str = "/open-insurance/channels/v2/branches";
const FORM: &str = "application/x-www-form-urlencoded";

/// The authorization server behind the gateway.
const POLICY: &str = r#"
api = "auth"
version = "1.0.0"
base_path = "/auth"
class = "admin"
interaction_id = { form = "uuid", missing = "mint", malformed = "mint" }
upstream = "legacy"

[[routes]]
method = "POST"
path = "/token"
access = "certificate"
request_body = "form"
idempotency_key = "ignored"
"#;

/// A lab with that policy beside the repository's, and with `key` in the upstream.
async fn lab_telling(key: &str) -> (Lab, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(policies()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    std::fs::write(directory.path().join("auth.toml"), POLICY).unwrap();
    let lab = lab_with(|config| {
        let shipped = policies().display().to_string();
        config
            .swap(&shipped, &directory.path().display().to_string())
            .swap("name = \"legacy\"", &format!("name = \"legacy\"\n{key}"))
    })
    .await;
    (lab, directory)
}

fn token_request() -> Request {
    form(FORM)
}

fn form(media: &str) -> Request {
    let request = Request::post(TOKEN, "grant_type=client_credentials");
    request.without("content-type").with("content-type", media)
}

async fn send_as(lab: &Lab, identity: &Identity, request: &Request) -> Response {
    let mut connection = lab.connector(Some(identity)).http1().await.unwrap();
    let response = connection.exchange(&request.to_bytes()).await.unwrap();
    assert_common_fields(&response);
    response
}

fn item(der: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(der))
}

#[tokio::test]
async fn a_backend_is_told_the_certificate_as_far_as_configured() {
    let one = &pki().one;
    let (leaf, issuing) = (item(&one.chain[0]), item(&one.chain[1]));
    for (key, certificate, chain) in [
        ("", None, None),
        ("forward_certificate = \"none\"", None, None),
        ("forward_certificate = \"end_entity\"", Some(&leaf), None),
        ("forward_certificate = \"chain\"", Some(&leaf), Some(&issuing)),
    ] {
        let (lab, _policies) = lab_telling(key).await;
        let forged = token_request()
            .with("Client-Cert", ":Zm9yZ2Vk:")
            .with("client-cert-chain", ":Zm9yZ2Vk:")
            .with("X-Client-Cert", "forged");
        assert_eq!(send_as(&lab, one, &forged).await.status, 201);
        let recorded = lab.last_recorded();
        assert_eq!(recorded.field("client-cert"), certificate.map(String::as_str), "{key}");
        assert_eq!(recorded.field("client-cert-chain"), chain.map(String::as_str), "{key}");
        assert_eq!(recorded.field("x-client-cert"), None);
        assert_eq!(
            recorded.field("x-portaria-organisation-id"),
            Some("d7384bd0-842f-43c5-be02-9d2b2d5efc2c")
        );
        assert_eq!(recorded.body, b"grant_type=client_credentials");
        // Once more on one connection, over HTTP/2, and on a route with a token.
        let http2 = lab.connector(Some(one)).http2().await.unwrap();
        let consent = lab.consent(&["RESOURCES_READ"]);
        for _ in 0..2 {
            let request = http::Request::get(format!("https://localhost{RESOURCES}"))
                .header(
                    "authorization",
                    format!("Bearer {}", lab.user_token("resources", &consent)),
                )
                .header("x-fapi-interaction-id", INTERACTION_ID)
                .header("client-cert", ":Zm9yZ2Vk:")
                .body(())
                .unwrap();
            let response = http2.exchange(request, bytes::Bytes::new()).await.unwrap();
            assert_eq!(response.status, 200);
            assert_eq!(lab.last_recorded().field("client-cert"), certificate.map(String::as_str));
        }
    }
}

#[tokio::test]
async fn what_a_client_sent_beside_its_path_is_shown_to_nobody() {
    let (lab, _policies) = lab_telling("forward_certificate = \"chain\"").await;
    let mut identity = pki().one.clone();
    identity.chain.insert(1, pki().other_root.certificate());
    assert_eq!(send_as(&lab, &identity, &token_request()).await.status, 201);
    let expected = item(&pki().one.chain[1]);
    assert_eq!(lab.last_recorded().field("client-cert-chain"), Some(expected.as_str()));
}

#[tokio::test]
async fn where_no_participant_is_asked_for_none_is_told() {
    let (lab, _policies) = lab_telling("forward_certificate = \"chain\"").await;
    let forged = Request::get(OPEN).with("client-cert", ":Zm9yZ2Vk:");
    assert_eq!(send_as(&lab, &pki().one, &forged).await.status, 200);
    assert_eq!(lab.last_recorded().field("client-cert"), None);
    let mut connection = lab.connector_to("public", None).http1().await.unwrap();
    assert_eq!(connection.exchange(&forged.to_bytes()).await.unwrap().status, 200);
    assert_eq!(lab.last_recorded().field("client-cert"), None);
}

#[tokio::test]
async fn a_route_for_certificates_asks_for_a_participant_and_no_token() {
    let (lab, _policies) = lab_telling("").await;
    let pki = pki();
    for nobody in [&pki.nameless, &pki.other_ecosystem, &pki.without_software] {
        let response = send_as(&lab, nobody, &token_request()).await;
        assert_refused(&response, 401, "CERTIFICADO_NAO_ACEITO");
    }
    let mut public = lab.connector_to("public", None).http1().await.unwrap();
    let response = public.exchange(&token_request().to_bytes()).await.unwrap();
    assert_refused(&response, 404, "RECURSO_NAO_ENCONTRADO");
    for media in ["application/json", "text/plain", "multipart/form-data; boundary=a"] {
        let response = send_as(&lab, &pki.one, &form(media)).await;
        assert_refused(&response, 415, "MIDIA_NAO_SUPORTADA");
    }
    let untyped = Request::post(TOKEN, "a=b").without("content-type");
    assert_eq!(send_as(&lab, &pki.one, &untyped).await.status, 415);
    lab.assert_untouched();
}
