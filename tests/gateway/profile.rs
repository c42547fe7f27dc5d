//! The profile of client certificates: each rule broken alone, at each level, on the wire and through
//! `cert verify`.

use std::path::Path;

use portaria::identity::{Preset, Rule};
use portaria::inspect::cert::{self, CertificateUse, ProfileChoice};
use portaria::inspect::reading;
use portaria::lab::authorization::TokenContent;
use portaria::lab::client::Response;
use portaria::lab::pki::{ClientSubject, Identity};
use rcgen::{CertificateParams, DnType, DnValue, KeyPair, KeyUsagePurpose, SanType};

use crate::harness::*;

const RESOURCES: &str = "/open-insurance/resources/v3/resources";
const CNPJ: &[u64] = &[2, 5, 4, 5];
const CATEGORY: &[u64] = &[2, 5, 4, 15];
const IDENTIFIER: &[u64] = &[2, 5, 4, 97];
const UID: &[u64] = &[0, 9, 2342, 19_200_300, 100, 1, 1];
const JURISDICTION: &[u64] = &[1, 3, 6, 1, 4, 1, 311, 60, 2, 1, 3];

fn put(params: &mut CertificateParams, oid: &[u64], text: &str) {
    let kind = match oid {
        [2, 5, 4, 3] => DnType::CommonName,
        [2, 5, 4, 6] => DnType::CountryName,
        [2, 5, 4, 7] => DnType::LocalityName,
        _ => DnType::from_oid(oid),
    };
    params.distinguished_name.remove(kind.clone());
    if !text.is_empty() {
        params.distinguished_name.push(kind, text);
    }
}

type Change = fn(&mut CertificateParams);

/// One fault of a good certificate, and the rule that it breaks. A rule that a change of the subject cannot
/// break is broken by another key, or another profile.
const FAULTS: &[(Rule, Change)] = &[
    (Rule::OrganisationId, |p| put(p, IDENTIFIER, "OPIBR-12345")),
    (Rule::SoftwareStatementId, |p| put(p, UID, "bc97b8f0cae04f2f9978d93f0e56a833")),
    (Rule::Cnpj, |p| put(p, CNPJ, "11222333000182")),
    (Rule::Cnpj, |p| put(p, CNPJ, "12345678909")),
    (Rule::Cnpj, |p| put(p, CNPJ, "")),
    (Rule::BusinessCategory, |p| put(p, CATEGORY, "private organization")),
    (Rule::BusinessCategory, |p| put(p, CATEGORY, "")),
    (Rule::Jurisdiction, |p| put(p, JURISDICTION, "UK")),
    (Rule::Country, |p| put(p, &[2, 5, 4, 6], "PT")),
    (Rule::Names, |p| put(p, &[2, 5, 4, 7], "")),
    (Rule::Encoding, |p| {
        p.distinguished_name.remove(DnType::LocalityName);
        let city = DnValue::Ia5String("Sao Paulo".try_into().unwrap());
        p.distinguished_name.push(DnType::LocalityName, city);
    }),
    (Rule::CommonName, |p| put(p, &[2, 5, 4, 3], "Seguradora Exemplo")),
    (Rule::SubjectAlternativeName, |p| p.subject_alt_names.clear()),
    (Rule::SubjectAlternativeName, |p| {
        p.subject_alt_names = vec![SanType::DnsName("client_one".try_into().unwrap())];
    }),
    (Rule::KeyEncipherment, |p| p.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
    (Rule::Validity, |p| p.not_after = p.not_before + time::Duration::days(399)),
];

fn faulty(change: Change) -> Identity {
    let pki = pki();
    pki.issuing.client_with(&pki.client_key, &ClientSubject::default(), change).unwrap()
}

fn with_curve() -> Identity {
    pki().issuing.client(&KeyPair::generate().unwrap(), &ClientSubject::default()).unwrap()
}

async fn lab_at(level: &str) -> Lab {
    let rules: String =
        Rule::ALL.iter().map(|rule| format!("{} = \"{level}\"\n", rule.name())).collect();
    lab_with(|config| format!("{config}\n[identity.rules]\n{rules}")).await
}

async fn send_as(lab: &Lab, identity: &Identity) -> Response {
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

fn series(rule: Rule, level: &str) -> String {
    format!(
        "portaria_client_certificate_findings_total{{level=\"{level}\",listener=\"mtls\",rule=\"{}\"}}",
        rule.name()
    )
}

fn verify(identity: &Identity, profile: ProfileChoice) -> cert::ChainVerdict {
    let directory = tempfile::tempdir().unwrap();
    let (chain, anchors) = (directory.path().join("chain.pem"), directory.path().join("roots.pem"));
    std::fs::write(&chain, &identity.chain_pem).unwrap();
    std::fs::write(&anchors, pki().root.pem()).unwrap();
    let (intermediates, crl, at, purpose) = (None, Vec::new(), None, CertificateUse::Client);
    cert::verify(&cert::ChainQuestion { chain, anchors, intermediates, crl, at, purpose, profile })
        .unwrap()
}

fn rules_in_json(identity: &Identity) -> serde_json::Value {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("chain.pem");
    std::fs::write(&file, &identity.chain_pem).unwrap();
    let profile = Preset::OpinProduction;
    let reading =
        reading::run(&reading::CertificateQuestion { file, profile, subject_dn: None }).unwrap();
    serde_json::from_str::<serde_json::Value>(&reading.to_json()).unwrap()["rules"].clone()
}

#[tokio::test]
async fn each_rule_that_is_enforced_refuses_who_breaks_it() {
    let lab = lab_at("enforce").await;
    assert_eq!(send_as(&lab, &pki().one).await.status, 200);
    let reached = lab.recorded().len();
    let mut faults: Vec<(Rule, Identity)> =
        FAULTS.iter().map(|(rule, change)| (*rule, faulty(*change))).collect();
    faults.push((Rule::KeyType, with_curve()));
    for (rule, identity) in &faults {
        let before = lab.metric(&series(*rule, "enforce")).await;
        let response = send_as(&lab, identity).await;
        assert_refused(&response, 401, "CERTIFICADO_NAO_ACEITO");
        lab.expect_metric(&series(*rule, "enforce"), before + 1.0).await;
        let read = rules_in_json(identity);
        for other in Rule::ALL {
            let is_met = read[other.name()] == "met";
            assert_eq!(is_met, other != *rule, "{rule}: {other} is {}", read[other.name()]);
        }
    }
    assert_eq!(lab.recorded().len(), reached, "the backend saw nothing of the refused");
    let judged = |rule: &Rule| faults.iter().any(|(broken, _)| broken == rule);
    let left: Vec<_> = Rule::ALL.into_iter().filter(|rule| !judged(rule)).collect();
    assert_eq!(left, [Rule::Issuer], "another test's");
}

#[tokio::test]
async fn a_rule_that_warns_is_counted_once_a_connection_and_one_that_is_off_is_not() {
    let warning = lab_at("warn").await;
    for (rule, change) in FAULTS {
        let before = warning.metric(&series(*rule, "warn")).await;
        assert_eq!(send_as(&warning, &faulty(*change)).await.status, 200, "{rule}");
        warning.expect_metric(&series(*rule, "warn"), before + 1.0).await;
    }
    let off = lab_at("off").await;
    for (rule, change) in FAULTS {
        assert_eq!(send_as(&off, &faulty(*change)).await.status, 200, "{rule}");
    }
    assert!(!off.metrics().await.contains("portaria_client_certificate_findings_total{"));
}

#[tokio::test]
async fn one_environment_refuses_what_the_other_one_issues() {
    let sandbox =
        lab_with(|config| format!("{config}\n[identity]\nprofile = \"opin-sandbox\"\n")).await;
    let refused = send_as(&sandbox, &pki().one).await;
    assert_refused(&refused, 401, "CERTIFICADO_NAO_ACEITO");
    sandbox.assert_untouched();
    sandbox.expect_metric(&series(Rule::Issuer, "enforce"), 1.0).await;
    let finance =
        lab_with(|config| format!("{config}\n[identity]\nprofile = \"ofb-production\"\n")).await;
    assert_refused(&send_as(&finance, &pki().one).await, 401, "CERTIFICADO_NAO_ACEITO");
    finance.assert_untouched();
    assert_eq!(send_as(&finance, &pki().other_ecosystem).await.status, 200);
}

#[tokio::test]
async fn a_connection_that_is_refused_for_its_certificate_ends_and_another_is_judged_anew() {
    let lab = lab().await;
    let identity = faulty(|params| params.subject_alt_names.clear());
    let consent = lab.consent(&["RESOURCES_READ"]);
    let grant =
        TokenContent { thumbprint: identity.thumbprint(), ..lab.user_grant("resources", &consent) };
    let token = lab.authorization.issue_signed(&grant).unwrap();
    let ask = async |http2: &portaria::lab::client::Http2Client| {
        let request = http::Request::get(format!("https://localhost{RESOURCES}"))
            .header("authorization", format!("Bearer {token}"))
            .header("x-fapi-interaction-id", INTERACTION_ID)
            .body(())
            .unwrap();
        http2.exchange(request, bytes::Bytes::new()).await.unwrap()
    };
    let connect = async || lab.connector(Some(&identity)).http2().await.unwrap();
    let http2 = connect().await;
    assert_refused(&ask(&http2).await, 401, "CERTIFICADO_NAO_ACEITO");
    eventually("the HTTP/2 connection ends", || async { http2.is_ended() }).await;
    lab.assert_untouched();
    let rule = "[identity.rules]\nsubject_alternative_name = \"warn\"\n";
    lab.rewrite_config(|config| format!("{config}\n{rule}"));
    crate::reload::reload(&lab, "configuration reloaded").await;
    assert_eq!(ask(&connect().await).await.status, 200);
}

#[test]
fn the_command_says_what_the_gateway_would() {
    let production = ProfileChoice::Profile(Preset::OpinProduction);
    for (rule, change) in FAULTS {
        let identity = faulty(*change);
        let warned = [Rule::Names, Rule::CommonName, Rule::KeyEncipherment, Rule::Validity];
        let verdict = verify(&identity, production);
        let said: serde_json::Value = serde_json::from_str(&verdict.to_json()).unwrap();
        if warned.contains(rule) {
            assert_eq!(verdict.to_string(), "valid");
            assert_eq!(said["warnings"], serde_json::json!([rule.name()]));
        } else {
            assert_eq!(verdict.to_string(), format!("invalid: {rule}"));
            assert_eq!(said["reason"], rule.name());
        }
        assert_eq!(verify(&identity, ProfileChoice::None).to_string(), "valid");
    }
    let sandbox = verify(&pki().one, ProfileChoice::Profile(Preset::OpinSandbox));
    assert_eq!(sandbox.to_string(), "invalid: issuer");
    let finance = verify(&pki().one, ProfileChoice::Profile(Preset::OfbProduction));
    assert_eq!(finance.to_string(), "invalid: organisation_id");
    assert_eq!(verify(&with_curve(), production).to_string(), "invalid: key_type");
}

#[test]
fn attributes_may_stand_in_any_order() {
    let backwards = faulty(|params| {
        let all: Vec<(DnType, DnValue)> =
            params.distinguished_name.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in all.into_iter().rev() {
            params.distinguished_name.push(kind, value);
        }
    });
    let verdict = verify(&backwards, ProfileChoice::Profile(Preset::OpinProduction));
    assert_eq!(verdict.to_string(), "valid");
}

fn show(file: &Path, more: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_portaria"));
    command.args(["cert", "show"]).arg(file).args(more).output().unwrap()
}

#[test]
fn a_certificate_can_be_shown_and_its_name_compared() {
    let directory = tempfile::tempdir().unwrap();
    let (pem, der) = (directory.path().join("one.pem"), directory.path().join("one.der"));
    std::fs::write(&pem, &pki().one.chain_pem).unwrap();
    std::fs::write(&der, &pki().one.chain[0]).unwrap();
    let output = show(&pem, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    // 2.5.4.97 is UTF8String: #0c, its length, its bytes (OPIN certificate standard 7.1.2).
    let identifier: String = "OPIBR-d7384bd0-842f-43c5-be02-9d2b2d5efc2c"
        .bytes()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let subject = format!(
        "CN=tpp.example,UID=bc97b8f0-cae0-4f2f-9978-d93f0e56a833,2.5.4.97=#0c2a{identifier},\
         L=Sao Paulo,ST=SP,O=Seguradora Exemplo S.A.,C=BR,2.5.4.5=#130e3131323232333333303030313831,\
         1.3.6.1.4.1.311.60.2.1.3=#13024252,2.5.4.15=#0c1450726976617465204f7267616e697a6174696f6e"
    );
    assert!(text.contains(&format!("{subject}\n")), "{text}");
    assert_eq!(String::from_utf8(show(&der, &[]).stdout).unwrap(), text);
    let plain = "cn=TPP.example, uid=BC97B8F0-cae0-4f2f-9978-d93f0e56a833, \
         2.5.4.97=OPIBR-D7384bd0-842f-43c5-be02-9d2b2d5efc2c, l=Sao  Paulo, st=sp, \
         o=seguradora exemplo s.a., c=br, serialNumber=11222333000181, \
         jurisdictionCountryName=BR, businessCategory=Private Organization";
    assert_eq!(show(&pem, &["--subject-dn", plain]).status.code(), Some(0));
    assert_eq!(show(&pem, &["--subject-dn", &subject]).status.code(), Some(0));
    let other = plain.swap("TPP", "TTP");
    assert_eq!(show(&pem, &["--subject-dn", &other]).status.code(), Some(1));
    let unreadable = show(&pem, &["--subject-dn", "CN"]);
    assert_eq!(unreadable.status.code(), Some(64));
    let said = String::from_utf8(unreadable.stderr).unwrap();
    assert!(said.contains("--subject-dn: ") && said.contains("accepted: a name such as"), "{said}");
    std::fs::write(&der, &pki().one.chain[0][..200]).unwrap();
    assert_eq!(show(&der, &[]).status.code(), Some(64));
}
