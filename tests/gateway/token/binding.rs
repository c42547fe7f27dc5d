//! The truth table of docs/tokens.md: what a token says of a certificate, which certificate it comes with, and
//! whether it is signed or opaque.

use portaria::lab::authorization::TokenContent;
use portaria::lab::pki::ClientSubject;
use serde_json::{Value, json};

use super::{CONSENTS, sign};
use crate::harness::*;

/// What a token says: the members that take the place of `cnf`, and the code of the refusal with the token's own
/// certificate, for signed and for opaque tokens; none if it is admitted.
struct Row {
    says: &'static str,
    members: Value,
    signed: Option<&'static str>,
    opaque: Option<&'static str>,
}

const UNBOUND: Option<&str> = Some("token_unbound");
const CLAIMS: Option<&str> = Some("token_claims");
/// An answer of introspection that is malformed is no verdict on a token.
const NO_ANSWER: Option<&str> = Some("token_introspection_unavailable");

fn rows(own: &str, other: &str, accepts_beside: bool) -> Vec<Row> {
    let row = |says, members, code| Row { says, members, signed: code, opaque: code };
    let malformed = |says, members| Row { says, members, signed: CLAIMS, opaque: NO_ANSWER };
    let within = |text: &str| json!({"cnf": {"x5t#S256": text}});
    let hexadecimal = "0123456789abcdef".repeat(4);
    let beside = if accepts_beside { None } else { UNBOUND };
    let contradiction = if accepts_beside { CLAIMS } else { None };
    vec![
        row("its own", within(own), None),
        row("another", within(other), Some("token_other_certificate")),
        row("nothing", json!({}), UNBOUND),
        row("empty", json!({"cnf": {}}), UNBOUND),
        malformed("null", json!({"cnf": null})),
        malformed("a string", json!({ "cnf": own })),
        malformed("a number", json!({"cnf": {"x5t#S256": 1}})),
        row("another kind", json!({"cnf": {"jkt": own}}), UNBOUND),
        row("its own, and another kind", json!({"cnf": {"x5t#S256": own, "jkt": own}}), None),
        row("hexadecimal", within(&hexadecimal), UNBOUND),
        row("padded", within(&format!("{own}=")), UNBOUND),
        row("standard base64", within(&format!("{}+", &own[..42])), UNBOUND),
        row("cut", within(&own[..42]), UNBOUND),
        row("too long", within(&format!("{own}A")), UNBOUND),
        row("beside", json!({ "x5t#S256": own }), beside),
        row("beside, hexadecimal", json!({ "x5t#S256": hexadecimal }), UNBOUND),
        row("beside an empty cnf", json!({"cnf": {}, "x5t#S256": own}), UNBOUND),
        row("beside another kind", json!({"cnf": {"jkt": own}, "x5t#S256": own}), UNBOUND),
        row("within and beside", json!({"cnf": {"x5t#S256": own}, "x5t#S256": own}), None),
        row(
            "within, and another beside",
            json!({"cnf": {"x5t#S256": own}, "x5t#S256": other}),
            contradiction,
        ),
    ]
}

fn claims(lab: &Lab, members: &Value) -> Value {
    let grant = TokenContent { thumbprint: None, ..lab.client_grant("consents") };
    let mut claims = grant.claims();
    for (name, value) in members.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// The answer to a request with a token, on a connection of this participant; and the code of a refusal.
async fn ask(lab: &Lab, token: &str, is_one: bool) -> (u16, Option<String>) {
    let identity = if is_one { &lab.pki.one } else { &lab.pki.two };
    let mut connection = lab.connector(Some(identity)).http1().await.unwrap();
    let lines = lab.gateway.access_log().len();
    let request = Request::post(CONSENTS, "{}").bearer(token);
    let response = connection.exchange(&request.to_bytes()).await.unwrap();
    eventually("a line", || async { lab.gateway.access_log().len() > lines }).await;
    let code = lab.gateway.access_log()[lines]["portaria.refusal.code"].clone();
    (response.status.as_u16(), code.as_str().map(str::to_owned))
}

async fn the_table_holds(accepts_beside: bool) {
    let option = format!("accept_top_level_thumbprint = {accepts_beside}\n[[token.issuers]]");
    let lab = lab_with(|config| config.swap("[[token.issuers]]", &option)).await;
    let own = lab.pki.one.thumbprint().unwrap().to_text();
    let other = lab.pki.two.thumbprint().unwrap().to_text();
    for row in rows(&own, &other, accepts_beside) {
        let claims = claims(&lab, &row.members);
        let signed = sign(&lab, |_, good| *good = claims.clone());
        let opaque = format!("opaque-{}", row.says.replace([' ', ','], "-"));
        lab.authorization.put_opaque(&opaque, claims);
        for (token, expected) in [(signed, row.signed), (opaque, row.opaque)] {
            let reached = lab.recorded().len();
            let (status, code) = ask(&lab, &token, true).await;
            let says = row.says;
            assert_eq!(code.as_deref(), expected, "{says}");
            assert_eq!(status == 201, expected.is_none(), "{says}");
            assert_eq!(lab.recorded().len(), reached + usize::from(status == 201), "{says}");
            // With another certificate nothing is ever admitted but what is bound to that one.
            let reached = lab.recorded().len();
            let (status, code) = ask(&lab, &token, false).await;
            let expected = match expected {
                None => Some("token_other_certificate"),
                Some("token_other_certificate") => None,
                unusable => unusable,
            };
            assert_eq!(code.as_deref(), expected, "{says}, other certificate");
            assert_eq!(lab.recorded().len(), reached + usize::from(status == 201), "{says}");
        }
    }
}

#[tokio::test]
async fn a_token_is_admitted_with_its_own_certificate_alone() {
    the_table_holds(false).await;
}

#[tokio::test]
async fn a_thumbprint_beside_cnf_binds_only_where_that_is_accepted() {
    the_table_holds(true).await;
}

#[tokio::test]
async fn a_token_may_have_to_name_the_certificates_participant() {
    let (one, two) = (ClientSubject::default(), ClientSubject::second());
    let organisation = |subject: &ClientSubject| subject.organisation_identifier.swap("OPIBR-", "");
    let (own, others) = (organisation(&one), organisation(&two));
    let (software, others_software) = (one.software_statement_id, two.software_statement_id);
    for (rule, other, alone, none) in [
        ("ignore", None, None, None),
        ("if_present", Some("token_other_participant"), None, None),
        ("require", Some("token_other_participant"), CLAIMS, CLAIMS),
    ] {
        let key = format!("participant_claims = \"{rule}\"\n[[token.issuers]]");
        let lab = lab_with(|config| config.swap("[[token.issuers]]", &key)).await;
        for (says, expected) in [
            (json!({"org_id": own, "software_id": software}), None),
            (json!({"org_id": own.to_uppercase(), "software_id": software}), None),
            (json!({"org_id": others, "software_id": software}), other),
            (json!({"org_id": own, "software_id": others_software}), other),
            (json!({"org_id": one.organisation_identifier, "software_id": software}), other),
            (json!({"org_id": "", "software_id": software}), other),
            (json!({ "org_id": own }), alone),
            (json!({}), none),
        ] {
            let token = sign(&lab, |_, claims| {
                for (name, value) in says.as_object().unwrap() {
                    claims[name] = value.clone();
                }
            });
            let reached = lab.recorded().len();
            let (status, code) = ask(&lab, &token, true).await;
            assert_eq!(code.as_deref(), expected, "{rule} {says}");
            assert_eq!(lab.recorded().len(), reached + usize::from(status == 201), "{rule} {says}");
        }
    }
}
