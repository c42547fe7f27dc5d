//! The catalogue of the repository: every route against an independent table of what the specifications
//! ask, through the real gateway. Where `PORTARIA_ROUTES_CSV` names the table of all endpoints of the
//! ecosystem, that table is held against it row by row; where `PORTARIA_OPENAPI` names the directory of the
//! official specifications and their registry, the catalogue is what the import makes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use crate::errors::Forms;
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
    errors: &'static str,
}

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let lines = include_str!("catalogue.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(row).collect()
});

fn row(line: &'static str) -> Row {
    let cells: Vec<&str> = line.split(' ').collect();
    let [method, template, access, scope, permission, key, class, version, errors] = cells[..]
    else {
        panic!("{line}");
    };
    let kind = match access {
        "open" => Open,
        "client" => Client,
        "consented" => Consented,
        _ => panic!("{line}"),
    };
    let plain = |cell: &'static str| if cell == "-" { "" } else { cell };
    let (scope, permission, idempotency_key) = (plain(scope), plain(permission), key == "key");
    Row { method, template, kind, scope, permission, idempotency_key, class, version, errors }
}

/// A request to a row that lacks nothing but the token.
fn request(row: &Row, consent: &str) -> Request {
    let segment = |segment: &str| match segment {
        "{consentId}" => consent.to_owned(),
        parameter if parameter.starts_with('{') => "111111".to_owned(),
        literal => literal.to_owned(),
    };
    let target: Vec<String> = row.template.split('/').map(segment).collect();
    let request = Request::new(row.method, &target.join("/"));
    let request = match row.template.contains("/callback/") {
        true => request.with("x-callback-interaction-id", "attempt-1"),
        false => request,
    };
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
    let mut measured = BTreeSet::new();
    for row in ROWS.iter() {
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
        measured.insert(format!(
            "portaria_backend_time_seconds_count{{api=\"{api}\",class=\"{}\"}}",
            row.class
        ));
    }
    for series in measured {
        eventually(&series, || async { lab.metric(&series).await >= 1.0 }).await;
    }
}

#[tokio::test]
async fn every_route_refuses_what_its_specification_refuses() {
    let (lab, forms) = (lab_without_limits().await, Forms::read());
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
            forms.assert_accepts(row.errors, &response);
        }
        if row.idempotency_key {
            let token = match row.kind {
                Consented => lab.user_token(row.scope, &consent),
                _ => lab.client_token(row.scope),
            };
            let keyless = request(row, &consent).without("x-idempotency-key").bearer(&token);
            let response = lab.send(&keyless).await;
            assert_eq!(response.status, 422, "{} {}", row.method, row.template);
            forms.assert_accepts(row.errors, &response);
        }
    }
    lab.assert_untouched();
}

#[tokio::test]
async fn every_path_has_its_methods_and_no_near_miss() {
    let (lab, forms) = (lab_without_limits().await, Forms::read());
    let mut methods: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in ROWS.iter() {
        methods.entry(row.template).or_default().insert(row.method);
    }
    let mut connection = lab.http1().await;
    for row in ROWS.iter() {
        let target = request(row, "urn:portaria-lab:none").target;
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            if !methods[row.template].contains(method) {
                let bytes = Request::new(method, &target).to_bytes();
                let response = connection.exchange(&bytes).await.unwrap();
                assert_eq!(response.status, 405);
                forms.assert_accepts(row.errors, &response);
            }
        }
        let (longer, other) = (format!("{target}/x/x/x/x"), target.replacen("/v", "/w", 1));
        for miss in [longer, other] {
            let response = connection.exchange(&Request::get(&miss).to_bytes()).await.unwrap();
            assert_refused(&response, 404, "RECURSO_NAO_ENCONTRADO");
        }
    }
    lab.assert_untouched();
}

/// Retired by the registry, and called by who has not moved on: served where an operator chooses so.
#[tokio::test]
async fn consents_of_version_2_are_served_where_that_is_chosen() {
    let directory = tempfile::tempdir().unwrap();
    for file in ["consents-v3.toml", "retired/consents-v2.toml"] {
        let name = Path::new(file).file_name().unwrap();
        std::fs::copy(policies().join(file), directory.path().join(name)).unwrap();
    }
    let (shipped, own) = (policies().display().to_string(), directory.path().display().to_string());
    let lab = lab_with(|config| config.swap(&shipped, &own)).await;
    for (version, full) in [("v2", "2.7.0"), ("v3", "3.0.0")] {
        let create = Request::post(&format!("/open-insurance/consents/{version}/consents"), "{}");
        let response = lab.send(&create.bearer(&lab.client_token("consents"))).await;
        assert_eq!((response.status.as_u16(), response.field("x-v")), (201, Some(full)));
        assert_eq!(response.field("x-fapi-interaction-id"), Some(INTERACTION_ID));
    }
    let plain = crate::harness::lab().await;
    let create = Request::post("/open-insurance/consents/v2/consents", "{}");
    let response = plain.send(&create.bearer(&plain.client_token("consents"))).await;
    assert_refused(&response, 404, "RECURSO_NAO_ENCONTRADO");
    plain.assert_untouched();
}

/// The policy files of the repository.
fn files() -> Vec<(String, String)> {
    let entries = std::fs::read_dir(policies()).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|name| name == "toml"));
    let mut files: Vec<(String, String)> = files
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn no_route_is_listed_that_the_table_lacks() {
    let mut listed = BTreeSet::new();
    for (_, text) in files() {
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

/// What a route's policy says in its comments: those before it, and those at the top of its file.
fn comments(method: &str, template: &str) -> String {
    for (_, text) in files() {
        let policy: toml::Table = text.parse().unwrap();
        let base = policy["base_path"].as_str().unwrap();
        let Some(path) = template.strip_prefix(base) else { continue };
        let route = format!("[[routes]]\nmethod = \"{method}\"\npath = \"{path}\"\n");
        let Some(at) = text.find(&route) else { continue };
        let top = text.split("\n\n").next().unwrap();
        let own = text[..at].rsplit("\n\n").next().unwrap();
        return format!("{top}{own}").swap("\n# ", " ");
    }
    panic!("{method} {template} is in no policy");
}

pub fn skipped(variable: &str, what: &str) -> Option<String> {
    let value = std::env::var(variable).ok();
    if value.is_none() {
        let _ = writeln!(std::io::stderr(), "skipped: {variable} names no {what}");
    }
    value
}

/// The rows of `PORTARIA_ROUTES_CSV`: cells by the name of their column.
fn specified() -> Option<Vec<BTreeMap<String, String>>> {
    let path = skipped("PORTARIA_ROUTES_CSV", "table of endpoints")?;
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(cells);
    let names = lines.next().unwrap();
    let row = |cells: Vec<String>| {
        assert_eq!(cells.len(), names.len(), "{cells:?}");
        names.iter().cloned().zip(cells).collect()
    };
    Some(lines.map(row).collect())
}

/// The cells of a line, quoted or not. No cell holds a line break.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                cell.extend(characters.next());
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => cells.push(std::mem::take(&mut cell)),
            c => cell.push(c),
        }
    }
    cells.push(cell);
    cells
}

/// Row by row: what differs, and the reason if it is one that was decided.
#[test]
fn the_table_agrees_with_the_specifications() {
    let Some(specified) = specified() else { return };
    let (mut differences, mut decided) = (Vec::new(), Vec::new());
    let served: Vec<_> =
        specified.iter().filter(|cells| cells["served_by"].contains("transmitter")).collect();
    let mut unmatched: BTreeSet<String> =
        ROWS.iter().map(|row| format!("{} {}", row.method, row.template)).collect();
    for cells in &served {
        let name = format!("{} {}", cells["method"], cells["path"]);
        let Some(row) = ROWS.iter().find(|row| format!("{} {}", row.method, row.template) == name)
        else {
            match cells["registry_stage"].as_str() {
                "retired" => decided.push(format!("{name}: retired, so it does not exist")),
                _ => differences.push(format!("{name}: no such route")),
            }
            continue;
        };
        unmatched.remove(&name);
        let own = |scope: &&str| *scope != "openid" && !scope.starts_with("consent:");
        let scope: Vec<&str> = cells["required_scopes"].split(' ').filter(own).collect();
        let permission = match row.kind {
            Consented => cells["required_permission"].as_str(),
            _ => "",
        };
        let grant = match row.kind {
            Open => "none",
            Client => "client_credentials",
            Consented => "authorization_code",
        };
        for (what, ours, theirs) in [
            ("access", grant, cells["auth"].as_str()),
            ("scope", row.scope, &scope.join(" ")),
            ("permission", row.permission, permission),
            ("class", row.class, &cells["priority_class"]),
            ("idempotency", if row.idempotency_key { "y" } else { "n" }, &cells["idempotency_key"]),
            ("x-v", row.version, &cells["api_version"]),
        ] {
            let difference = format!("{name}: {what} {ours:?}, not {theirs:?}");
            match (what, theirs) {
                _ if ours == theirs => {}
                ("class", "unknown") => {
                    assert!(comments(row.method, row.template).contains("Decided: class"));
                    decided.push(difference);
                }
                _ => differences.push(difference),
            }
        }
        if cells["permission_enforceable_by_gateway"] == "y" && row.kind != Consented {
            differences.push(format!("{name}: its permission could be asked for"));
        }
    }
    differences.extend(unmatched.into_iter().map(|name| format!("{name}: not in the table")));
    for line in &decided {
        let _ = writeln!(std::io::stderr(), "decided: {line}");
    }
    assert_eq!(differences, Vec::<String>::new());
    assert_eq!((served.len(), decided.len()), (244, 15), "{decided:#?}");
}

/// Where a specification contradicts practice, the policy says what was decided, and why.
#[test]
fn every_contradiction_is_decided_with_its_reason() {
    let Some(specified) = specified() else { return };
    let contradictions = specified.iter().filter(|cells| cells["notes"].starts_with("CONFLICT"));
    let mut count = 0;
    for cells in contradictions {
        let said = comments(&cells["method"], &cells["path"]);
        for part in [
            "Decided: access = \"client\"",
            "The specification ",
            "initiator's own journey",
            "Source: ",
        ] {
            assert!(said.contains(part), "{}: {said}", cells["path"]);
        }
        count += 1;
    }
    assert_eq!(count, 36);
}

#[test]
fn the_catalogue_is_what_the_import_makes_of_the_specifications() {
    let Some(directory) = skipped("PORTARIA_OPENAPI", "directory of specifications") else {
        return;
    };
    let registry = Path::new(&directory).join("registry.json");
    let output = Command::new(env!("CARGO_BIN_EXE_portaria"))
        .args(["policy", "import", "openapi", "--check", "--registry"])
        .arg(registry)
        .arg("-o")
        .arg(policies())
        .arg(directory)
        .output()
        .unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert!(
        report.ends_with("91 specifications, 53 policies, 237 routes, 0 policies changed\n"),
        "{report}"
    );
}
