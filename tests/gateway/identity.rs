//! Who is on the other end: read once per connection, told to the backend, checked again when the
//! certificate may have expired since.

use std::time::Duration;

use portaria::lab::authorization::TokenContent;
use portaria::lab::pki::{ClientSubject, Identity};

use crate::harness::*;

const RESOURCES: &str = "/open-insurance/resources/v3/resources";
const OPEN: &str = "/open-insurance/channels/v2/branches";

/// A request with a good token, bound to whatever certificate presents it.
async fn send_as(lab: &Lab, identity: &Identity) -> portaria::lab::client::Response {
    let consent = lab.consent(&["RESOURCES_READ"]);
    let grant =
        TokenContent { thumbprint: identity.thumbprint(), ..lab.user_grant("resources", &consent) };
    let token = lab.authorization.issue_signed(&grant).unwrap();
    let request = Request::get(RESOURCES).bearer(&token);
    let mut connection = lab.connector(Some(identity)).http1().await.unwrap();
    let response = connection.exchange(&request.to_bytes()).await.unwrap();
    assert_common_fields(&response);
    response
}

#[tokio::test]
async fn the_backend_is_told_organisation_and_software_statement() {
    let lab = lab().await;
    assert_eq!(send_as(&lab, &lab.pki.one).await.status, 200);
    let recorded = lab.last_recorded();
    let told = |name: &str| recorded.field(name).map(str::to_owned);
    assert_eq!(
        told("x-portaria-organisation-id").as_deref(),
        Some("d7384bd0-842f-43c5-be02-9d2b2d5efc2c")
    );
    assert_eq!(
        told("x-portaria-software-statement-id").as_deref(),
        Some("bc97b8f0-cae0-4f2f-9978-d93f0e56a833")
    );
    assert_eq!(told("x-portaria-client-id").as_deref(), Some(CLIENT_ONE));
}

#[tokio::test]
async fn printable_strings_identify_like_utf8_strings() {
    let lab = lab().await;
    assert_eq!(send_as(&lab, &lab.pki.two).await.status, 200);
    let organisation = lab.last_recorded().field("x-portaria-organisation-id").map(str::to_owned);
    assert_eq!(organisation.as_deref(), Some("1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9"));
}

#[tokio::test]
async fn a_certificate_that_names_no_participant_is_refused() {
    let lab = lab().await;
    for (identity, code) in [
        (&lab.pki.nameless, "identity_organisation"),
        (&lab.pki.other_ecosystem, "identity_organisation"),
        (&lab.pki.without_software, "identity_software_statement"),
    ] {
        assert_refused(&send_as(&lab, identity).await, 401, "CERTIFICADO_NAO_ACEITO");
        let counted = format!("portaria_refusals_total{{code=\"{code}\",stage=\"identity\"}}");
        eventually(code, || async { lab.metric(&counted).await >= 1.0 }).await;
    }
    lab.assert_untouched();
}

#[tokio::test]
async fn the_prefix_of_another_ecosystem_can_be_configured() {
    let prefixes = "[identity]\norganisation_prefixes = [\"OPIBR-\", \"OFBBR-\"]\n";
    let lab = lab_with(|config| format!("{config}\n{prefixes}")).await;
    assert_eq!(send_as(&lab, &lab.pki.other_ecosystem).await.status, 200);
}

#[tokio::test]
async fn a_certificate_that_expires_while_its_connection_lives_is_refused() {
    let lab = lab().await;
    let subject = ClientSubject { not_after: 3, ..ClientSubject::default() };
    let identity = lab.pki.issuing.client(&lab.pki.client_key, &subject).unwrap();
    let consent = lab.consent(&["RESOURCES_READ"]);
    let grant =
        TokenContent { thumbprint: identity.thumbprint(), ..lab.user_grant("resources", &consent) };
    let token = lab.authorization.issue_signed(&grant).unwrap();
    let request = Request::get(RESOURCES).bearer(&token).to_bytes();
    let mut http1 = lab.connector(Some(&identity)).http1().await.unwrap();
    let http2 = lab.connector(Some(&identity)).http2().await.unwrap();
    let http2_request = || {
        http::Request::get(format!("https://localhost{RESOURCES}"))
            .header("authorization", format!("Bearer {token}"))
            .header("x-fapi-interaction-id", INTERACTION_ID)
            .body(())
            .unwrap()
    };
    assert_eq!(http1.exchange(&request).await.unwrap().status, 200);
    assert_eq!(http2.exchange(http2_request(), bytes::Bytes::new()).await.unwrap().status, 200);
    let refused = loop {
        let response = http1.exchange(&request).await.unwrap();
        if response.status != 200 {
            break response;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let reached = lab.recorded().len();
    assert_refused(&refused, 401, "CERTIFICADO_NAO_ACEITO");
    assert!(http1.is_ended().await);
    let response = http2.exchange(http2_request(), bytes::Bytes::new()).await.unwrap();
    assert_refused(&response, 401, "CERTIFICADO_NAO_ACEITO");
    assert_eq!(lab.recorded().len(), reached);
    // An open route needs no certificate, valid or not.
    let mut connection = lab.connector_to("public", None).http1().await.unwrap();
    assert_eq!(connection.exchange(&Request::get(OPEN).to_bytes()).await.unwrap().status, 200);
}
