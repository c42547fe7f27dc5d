//! Bad tokens, each made from a good one by a single fault.

use std::collections::BTreeMap;

use portaria::lab::authorization::Signer;
use portaria::lab::bad_tokens::{self, Material};

use super::{CONSENTS, sign};
use crate::harness::*;

fn material(lab: &Lab) -> Material {
    let stranger = portaria::lab::pki::rsa_key().unwrap().serialize_pem();
    Material {
        signer: lab.authorization.signer(),
        stranger: Signer::new("key-1", &stranger).unwrap(),
        claims: lab.client_grant("consents").claims(),
        other: lab.pki.two.thumbprint().unwrap(),
    }
}

#[tokio::test]
async fn every_bad_token_is_refused_for_its_fault() {
    let limits = "\n[limits]\nper_address = { requests = 100000, per = \"1m\" }\n";
    let lab = lab_with(|config| config + limits).await;
    let tokens = bad_tokens::all(&material(&lab)).unwrap();
    assert!(tokens.len() >= 60, "{}", tokens.len());
    let consent = format!("{CONSENTS}/{}", lab.consent(&["RESOURCES_READ"]));
    let mut connection = lab.http1().await;
    let mut expected: BTreeMap<&str, usize> = BTreeMap::new();
    for token in &tokens {
        let request = Request::get(&consent).bearer(&token.text);
        let response = connection.exchange(&request.to_bytes()).await;
        let response = response.unwrap_or_else(|error| panic!("{}: {error}", token.fault));
        assert_common_fields(&response);
        assert_eq!(response.status, 401, "{}: {response:?}", token.fault);
        assert_refused(&response, 401, "TOKEN_INVALIDO");
        *expected.entry(token.code).or_default() += 1;
    }
    lab.assert_untouched();
    let lines = || lab.gateway.access_log();
    eventually("every line is written", || async { lines().len() == tokens.len() }).await;
    let lines = lines();
    let codes = lines.iter().map(|line| line["portaria.refusal.code"].as_str().unwrap());
    let wrong: Vec<_> = codes.zip(&tokens).filter(|(code, token)| *code != token.code).collect();
    let wrong: Vec<_> =
        wrong.iter().map(|(code, token)| format!("{}: {code}", token.fault)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (code, count) in expected {
        let counted = format!("portaria_refusals_total{{code=\"{code}\",stage=\"token\"}}");
        lab.expect_metric(&counted, count as f64).await;
    }
    let good = Request::get(&consent).bearer(&sign(&lab, |_, _| {}));
    assert_eq!(connection.exchange(&good.to_bytes()).await.unwrap().status, 200);
}

/// What is too long to be a token is refused at the size of a head, whatever it is.
#[tokio::test]
async fn a_token_of_a_megabyte_is_refused_unread() {
    let lab = lab().await;
    let good = sign(&lab, |_, _| {});
    for long in ["a".repeat(1024 * 1024), format!("{good}.{}", "a".repeat(1024 * 1024))] {
        let mut connection = lab.http1().await;
        // The gateway may have answered and gone before all was sent.
        let _ = connection.send(&Request::post(CONSENTS, "{}").bearer(&long).to_bytes()).await;
        let response = connection.receive(false).await.unwrap();
        assert_refused(&response, 431, "CABECALHO_EXCEDE_LIMITE");
    }
    lab.assert_untouched();
}
