//! The policies of the repository: every route against an independent table of what the specifications
//! say, through the real gateway. Where `PORTARIA_ROUTES_CSV` names the table of all endpoints of the
//! ecosystem, the rows are also held against it.

use std::collections::BTreeSet;
use std::io::Write;

use crate::harness::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Open,
    Client,
    Consented,
}

use Kind::{Client, Consented, Open};

struct Row {
    method: &'static str,
    template: &'static str,
    kind: Kind,
    scope: &'static str,
    permission: &'static str,
    idempotency_key: bool,
    class: &'static str,
    version: &'static str,
}

#[expect(clippy::too_many_arguments, reason = "a row of a table")]
const fn row(
    method: &'static str,
    template: &'static str,
    kind: Kind,
    scope: &'static str,
    permission: &'static str,
    idempotency_key: bool,
    class: &'static str,
    version: &'static str,
) -> Row {
    Row { method, template, kind, scope, permission, idempotency_key, class, version }
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("POST", "/open-insurance/consents/v3/consents", Client, "consents", "", true, "medium", "3.0.0"),
    row("DELETE", "/open-insurance/consents/v3/consents/{consentId}", Client, "consents", "", false, "medium", "3.0.0"),
    row("GET", "/open-insurance/consents/v3/consents/{consentId}", Client, "consents", "", false, "medium", "3.0.0"),
    row("GET", "/open-insurance/resources/v3/resources", Consented, "resources", "RESOURCES_READ", false, "medium", "3.0.0"),
    row("GET", "/open-insurance/customers/v2/business/complimentary-information", Consented, "customers", "CUSTOMERS_BUSINESS_ADDITIONALINFO_READ", false, "medium", "2.0.0"),
    row("GET", "/open-insurance/customers/v2/business/identifications", Consented, "customers", "CUSTOMERS_BUSINESS_IDENTIFICATIONS_READ", false, "medium", "2.0.0"),
    row("GET", "/open-insurance/customers/v2/business/qualifications", Consented, "customers", "CUSTOMERS_BUSINESS_QUALIFICATION_READ", false, "medium", "2.0.0"),
    row("GET", "/open-insurance/customers/v2/personal/complimentary-information", Consented, "customers", "CUSTOMERS_PERSONAL_ADDITIONALINFO_READ", false, "medium", "2.0.0"),
    row("GET", "/open-insurance/customers/v2/personal/identifications", Consented, "customers", "CUSTOMERS_PERSONAL_IDENTIFICATIONS_READ", false, "medium", "2.0.0"),
    row("GET", "/open-insurance/customers/v2/personal/qualifications", Consented, "customers", "CUSTOMERS_PERSONAL_QUALIFICATION_READ", false, "medium", "2.0.0"),
    row("GET", "/open-insurance/insurance-auto/v1/insurance-auto", Consented, "insurance-auto", "DAMAGES_AND_PEOPLE_AUTO_READ", false, "medium", "1.4.0"),
    row("GET", "/open-insurance/insurance-auto/v1/insurance-auto/{policyId}/claim", Consented, "insurance-auto", "DAMAGES_AND_PEOPLE_AUTO_CLAIM_READ", false, "medium", "1.4.0"),
    row("GET", "/open-insurance/insurance-auto/v1/insurance-auto/{policyId}/policy-info", Consented, "insurance-auto", "DAMAGES_AND_PEOPLE_AUTO_POLICYINFO_READ", false, "medium", "1.4.0"),
    row("GET", "/open-insurance/insurance-auto/v1/insurance-auto/{policyId}/premium", Consented, "insurance-auto", "DAMAGES_AND_PEOPLE_AUTO_PREMIUM_READ", false, "medium", "1.4.0"),
    row("GET", "/open-insurance/insurance-auto/v2/insurance-auto", Consented, "insurance-auto", "DAMAGES_AND_PEOPLE_AUTO_READ", false, "medium", "2.0.0"),
    row("GET", "/open-insurance/insurance-auto/v2/insurance-auto/{policyId}/claim", Consented, "insurance-auto", "DAMAGES_AND_PEOPLE_AUTO_CLAIM_READ", false, "medium", "2.0.0"),
    row("GET", "/open-insurance/insurance-auto/v2/insurance-auto/{policyId}/policy-info", Consented, "insurance-auto", "DAMAGES_AND_PEOPLE_AUTO_POLICYINFO_READ", false, "medium", "2.0.0"),
    row("GET", "/open-insurance/insurance-auto/v2/insurance-auto/{policyId}/premium", Consented, "insurance-auto", "DAMAGES_AND_PEOPLE_AUTO_PREMIUM_READ", false, "medium", "2.0.0"),
    row("POST", "/open-insurance/quote-auto/v1/lead/request", Client, "quote-auto-lead", "", true, "medium", "1.10.0"),
    row("PATCH", "/open-insurance/quote-auto/v1/lead/request/{consentId}", Client, "quote-auto-lead", "", false, "medium", "1.10.0"),
    row("POST", "/open-insurance/quote-auto/v1/request", Client, "quote-auto", "", true, "medium", "1.10.0"),
    row("PATCH", "/open-insurance/quote-auto/v1/request/{consentId}", Client, "quote-auto", "", false, "medium", "1.10.0"),
    row("GET", "/open-insurance/quote-auto/v1/request/{consentId}/quote-status", Client, "quote-auto", "", false, "medium", "1.10.0"),
    row("POST", "/open-insurance/quote-auto/v2/lead/request", Client, "quote-auto-lead", "", true, "medium", "2.0.0"),
    row("PATCH", "/open-insurance/quote-auto/v2/lead/request/{consentId}", Client, "quote-auto-lead", "", false, "medium", "2.0.0"),
    row("POST", "/open-insurance/quote-auto/v2/request", Client, "quote-auto", "", true, "medium", "2.0.0"),
    row("PATCH", "/open-insurance/quote-auto/v2/request/{consentId}", Client, "quote-auto", "", false, "medium", "2.0.0"),
    row("GET", "/open-insurance/quote-auto/v2/request/{consentId}/quote-status", Client, "quote-auto", "", false, "medium", "2.0.0"),
    row("POST", "/open-insurance/claim-notification/v2/request/damage/{consentId}", Consented, "claim-notification", "CLAIM_NOTIFICATION_REQUEST_DAMAGE_CREATE", true, "medium", "2.0.0"),
    row("POST", "/open-insurance/claim-notification/v2/request/person/{consentId}", Consented, "claim-notification", "CLAIM_NOTIFICATION_REQUEST_PERSON_CREATE", true, "medium", "2.0.0"),
    row("GET", "/open-insurance/channels/v2/branches", Open, "", "", false, "medium", "2.0.0"),
    row("GET", "/open-insurance/channels/v2/electronic-channels", Open, "", "", false, "medium", "2.0.0"),
    row("GET", "/open-insurance/channels/v2/phone-channels", Open, "", "", false, "medium", "2.0.0"),
    row("GET", "/open-insurance/channels/v2/intermediary/{countrySubDivision}", Open, "", "", false, "medium", "2.0.0"),
    row("GET", "/open-insurance/channels/v2/referenced-network/{countrySubDivision}/{serviceType}", Open, "", "", false, "medium", "2.0.0"),
    row("GET", "/open-insurance/discovery/v1/outages", Open, "", "", false, "high", "1.3.0"),
    row("GET", "/open-insurance/discovery/v1/status", Open, "", "", false, "high", "1.3.0"),
];

/// A request to a row that lacks nothing but the token.
fn request(row: &Row, consent: &str) -> Request {
    let target = row.template.replace("{consentId}", consent);
    let target = target.replace("{policyId}", "111111").replace("{countrySubDivision}", "SP");
    let target = target.replace("{serviceType}", "ASSISTENCIA");
    let request = Request::new(row.method, &target);
    match row.method {
        "GET" | "DELETE" => request,
        _ if row.idempotency_key => request.content("{}").with("x-idempotency-key", "k"),
        _ => request.content("{}"),
    }
}

async fn lab_without_limits() -> Lab {
    let limits = "\n[limits]\nglobal = { requests = 1000000, per = \"1s\" }\n\
                  per_address = { requests = 1000000, per = \"1m\" }\n";
    lab_with(|config| config + limits).await
}

#[tokio::test]
async fn every_route_admits_what_its_specification_admits() {
    let lab = lab_without_limits().await;
    for row in ROWS {
        let consent = lab.consent(&[row.permission]);
        let request = request(row, &consent);
        let request = match row.kind {
            Open => request,
            Client => request.bearer(&lab.client_token(row.scope)),
            Consented => request.bearer(&lab.user_token(row.scope, &consent)),
        };
        let before = lab.recorded().len();
        let response = lab.send(&request).await;
        assert!(response.status.is_success(), "{} {}: {response:?}", row.method, row.template);
        assert_eq!(response.field("x-v"), Some(row.version), "{}", row.template);
        assert_eq!(lab.recorded().len(), before + 1);
        let api = row.template.split('/').nth(2).unwrap();
        let series =
            format!("portaria_backend_time_seconds_count{{api=\"{api}\",class=\"{}\"}}", row.class);
        eventually(&series, || async { lab.metric(&series).await >= 1.0 }).await;
    }
}

#[tokio::test]
async fn every_route_refuses_what_its_specification_refuses() {
    let lab = lab_without_limits().await;
    for row in ROWS.iter().filter(|row| row.kind != Open) {
        let consent = lab.consent(&[row.permission]);
        let others = ["RESOURCES_READ", "DAMAGES_AND_PEOPLE_HOUSING_READ", "QUOTE_AUTO_CREATE"];
        let others: Vec<&str> = others.into_iter().filter(|p| *p != row.permission).collect();
        let wrong = lab.consent(&others);
        let cases = match row.kind {
            Open => unreachable!(),
            Client => vec![
                (request(row, &consent), 401),
                (request(row, &consent).bearer(&lab.client_token("openid other")), 403),
                (request(row, &consent).bearer(&lab.user_token(row.scope, &consent)), 401),
            ],
            Consented => vec![
                (request(row, &consent), 401),
                (request(row, &consent).bearer(&lab.user_token("other", &consent)), 403),
                (request(row, &consent).bearer(&lab.client_token(row.scope)), 401),
                (request(row, &wrong).bearer(&lab.user_token(row.scope, &wrong)), 403),
            ],
        };
        for (request, status) in cases {
            let response = lab.send(&request).await;
            assert_eq!(response.status, status, "{} {}", row.method, row.template);
        }
        if row.idempotency_key {
            let token = match row.kind {
                Consented => lab.user_token(row.scope, &consent),
                _ => lab.client_token(row.scope),
            };
            let keyless = request(row, &consent).without("x-idempotency-key").bearer(&token);
            assert_refused(&lab.send(&keyless).await, 422, "ERRO_IDEMPOTENCIA");
        }
    }
    lab.assert_untouched();
}

#[test]
fn no_route_is_listed_that_the_table_lacks() {
    let mut listed = BTreeSet::new();
    let entries = std::fs::read_dir(policies()).unwrap().map(|entry| entry.unwrap().path());
    for file in entries.filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(file).unwrap();
        let policy: toml::Table = text.parse().unwrap();
        let base = policy["base_path"].as_str().unwrap();
        for route in policy["routes"].as_array().unwrap() {
            let (method, path) =
                (route["method"].as_str().unwrap(), route["path"].as_str().unwrap());
            listed.insert(format!("{method} {base}{path}"));
        }
    }
    let table: BTreeSet<String> =
        ROWS.iter().map(|row| format!("{} {}", row.method, row.template)).collect();
    assert_eq!(listed, table);
    assert_eq!(table.len(), ROWS.len());
}

/// The rows above against the ecosystem's own table, where it is at hand.
#[test]
fn the_table_agrees_with_the_specifications() {
    let Ok(path) = std::env::var("PORTARIA_ROUTES_CSV") else {
        let mut stderr = std::io::stderr();
        let _ = writeln!(stderr, "skipped: PORTARIA_ROUTES_CSV names no table of endpoints");
        return;
    };
    let text = std::fs::read_to_string(path).unwrap();
    let specified: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    for row in ROWS {
        let found: Vec<_> = specified
            .iter()
            .filter(|cells| cells.len() > 9 && cells[3] == row.method && cells[4] == row.template)
            .filter(|cells| cells[1] == row.version)
            .collect();
        assert_eq!(found.len(), 1, "{} {}", row.method, row.template);
        let cells = found[0];
        let grant = match row.kind {
            Open => "none",
            Client => "client_credentials",
            Consented => "authorization_code",
        };
        assert_eq!(cells[5], grant, "{}", row.template);
        assert!(row.scope.is_empty() || cells[6].split(' ').any(|scope| scope == row.scope));
        assert!(row.kind != Consented || cells[7] == row.permission, "{}", row.template);
        assert_eq!(cells[8], row.class, "{}", row.template);
        assert_eq!(cells[9] == "y", row.idempotency_key, "{}", row.template);
    }
}
