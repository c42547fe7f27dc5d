//! The JSON Schemas against the parser: every key, its kind, its names and bounds, and whether it is
//! missed, as the parser's own complaints tell them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use boon::{Compiler, Schemas};
use portaria::assembly;
use portaria::config::keys::{Absent, Key, Kind};
use portaria::config::{self, Mistake, Mistakes, Severity};
use portaria::report::Metrics;
use portaria::review::schema::{SchemaOf, keys, schema};
use serde_json::Value as Json;
use toml::{Table, Value};

use super::{repository, said};
use crate::config::{MISTAKES, POLICY, POLICY_MISTAKES, Sandbox};

/// What the parser complains of in a document.
trait Parser {
    fn subject(&self) -> SchemaOf;
    /// Good documents: together they have every table, and each key has an effect in one of them.
    fn documents(&self) -> Vec<Table>;
    fn complaints(&self, document: &Table) -> Vec<Mistake>;

    /// Whether a value earns a complaint that fits, in one of the documents.
    fn earns(
        &self,
        path: &str,
        value: &Value,
        fits: &dyn Fn(&str) -> bool,
    ) -> Result<(), Vec<String>> {
        let mut found = Vec::new();
        for mut document in self.documents() {
            put(&mut document, path, value.clone());
            let complaints = self.complaints(&document).into_iter();
            found.extend(complaints.filter(|c| plain(&c.key) == path).map(|c| c.text));
            if found.iter().any(|text| fits(text)) {
                return Ok(());
            }
        }
        Err(found)
    }
}

struct Configurations(Sandbox);
struct PolicyFiles(Sandbox);

fn parse(text: &str) -> Table {
    text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// `listeners[0].tls` without its positions.
fn plain(key: &str) -> String {
    key.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).fold(
        String::new(),
        |text, part| match text.is_empty() {
            true => part.to_owned(),
            false => format!("{text}[]{part}"),
        },
    )
}

/// Sets the value at a path, in the first table of an array; makes the tables that lack.
fn put(table: &mut Table, path: &str, value: Value) {
    let (first, rest) = match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
            return;
        }
        Some(parts) => parts,
    };
    let inner = match first.strip_suffix("[]") {
        None => table.entry(first).or_insert_with(|| Value::Table(Table::new())),
        Some(name) => {
            let tables = table.entry(name).or_insert_with(|| Value::Array(vec![]));
            let tables = tables.as_array_mut().unwrap();
            if tables.is_empty() {
                tables.push(Value::Table(Table::new()));
            }
            &mut tables[0]
        }
    };
    put(inner.as_table_mut().unwrap(), rest, value);
}

/// The table that a key stands in.
fn find<'a>(table: &'a mut Table, parents: &str) -> Option<&'a mut Table> {
    let mut table = table;
    for step in parents.split('.').filter(|step| !step.is_empty()) {
        let value = table.get_mut(step.trim_end_matches("[]"))?;
        let value = if step.ends_with("[]") { value.as_array_mut()?.first_mut()? } else { value };
        table = value.as_table_mut()?;
    }
    Some(table)
}

impl Configurations {
    fn new() -> Self {
        portaria::server::install_cryptography();
        Self(Sandbox::new())
    }
}

const MORE: &str = r#"
[identity]
[identity.rules]
[limits]
global = { requests = 300, per = "1s" }
per_address = { requests = 500, per = "1m" }
connections = { total = 8, per_address = 4, per_organisation = 4 }
under_way = { total = 8, per_address = 4, per_organisation = 4 }
[idempotency]
directory = "."
[log]
[consent.members]
"#;

impl Parser for Configurations {
    fn subject(&self) -> SchemaOf {
        SchemaOf::Config
    }

    fn documents(&self) -> Vec<Table> {
        let mut with_files = parse(&format!("{}{MORE}", self.0.config));
        let networks = "from = [\"10.0.0.4\"]";
        for (path, text) in [
            ("listeners[].proxy_protocol", networks),
            ("listeners[].forwarded_for", networks),
            ("listeners[].tls", "versions = [\"1.3\"]"),
            ("listeners[].revocation", "lists = [\"list.crl\"]"),
            ("upstreams[].tls", "server_name = \"legacy\"\ntrust_anchors = \"roots.pem\""),
        ] {
            put(&mut with_files, path, Value::Table(parse(text)));
        }
        let pair = parse("certificate = \"expired.pem\"\nprivate_key = \"server.key\"");
        let pair = Value::Array(vec![Value::Table(pair)]);
        put(&mut with_files, "listeners[].additional_certificates", pair);
        let mut with_urls = with_files.clone();
        let endpoint = |url: &str, rest: &str| {
            let text = format!(
                "{url} = \"https://service.example\"\ntrust_anchors = \"roots.pem\"\n\
                 certificate = \"server.pem\"\nprivate_key = \"server.key\"\n{rest}"
            );
            Value::Table(parse(&text))
        };
        let by_certificate =
            "client_auth = \"tls_client_auth\"\nclient_id = \"portaria\"\nbreaker = {}";
        put(&mut with_urls, "token.issuers[].jwks", endpoint("url", ""));
        let fetched = "distribution_points = [\"https://crl.example/a.crl\"]\nissuers = \"intermediate.pem\"\ndirectory = \"crl\"\ntrust_anchors = \"roots.pem\"";
        put(&mut with_urls, "listeners[].revocation", Value::Table(parse(fetched)));
        put(&mut with_urls, "token.introspection", endpoint("url", by_certificate));
        put(
            &mut with_urls,
            "consent",
            endpoint("registry", "members = {}\nbreaker = {}\nstale_for = {}"),
        );
        let mut with_discovery = with_urls.clone();
        put(&mut with_discovery, "token.issuers[].jwks", endpoint("x", "discovery = true"));
        find(&mut with_discovery, "token.issuers[].jwks").unwrap().remove("x");
        let mut public_first = parse(&self.0.config);
        public_first["listeners"].as_array_mut().unwrap().reverse();
        let by_assertion = "client_auth = \"private_key_jwt\"\nclient_id = \"portaria\"\n\
             signing_key = \"server.key\"\nassertion_audience = \"as\"\nbreaker = {}";
        put(&mut with_discovery, "token.introspection", endpoint("url", by_assertion));
        let mut by_token = with_files.clone();
        let of_token = "source = \"token\"\nmembers = {}\nbreaker = {}\nstale_for = {}";
        put(&mut by_token, "consent", Value::Table(parse(of_token)));
        let carried = "permissions = \"/permissions\"\nstatus = \"implied\"\ndetails_type = \"a\"";
        put(&mut by_token, "token.consent", Value::Table(parse(carried)));
        let webhook = "listener = \"public\"\npath = \"/events\"\nkeys = \"jwks.json\"";
        put(&mut with_urls, "consent.webhook", Value::Table(parse(webhook)));
        vec![with_files, with_urls, with_discovery, by_token, public_first]
    }

    fn complaints(&self, document: &Table) -> Vec<Mistake> {
        let file = self.0.directory.path().join("config.toml");
        std::fs::write(&file, document.to_string()).unwrap();
        match assembly::load(&file, &Metrics::new().unwrap(), None) {
            Ok(loaded) => loaded.warnings,
            Err(mistakes) => mistakes,
        }
    }
}

impl Parser for PolicyFiles {
    fn subject(&self) -> SchemaOf {
        SchemaOf::Policy
    }

    fn documents(&self) -> Vec<Table> {
        let good = parse(POLICY);
        let mut reversed = good.clone();
        reversed["routes"].as_array_mut().unwrap().reverse();
        let mut consent_in_path = good.clone();
        put(&mut consent_in_path, "routes[].path", "/things/{consentId}".into());
        put(&mut consent_in_path, "routes[].consent_parameter", "consentId".into());
        let mut each = good.clone();
        let heads = ["class", "upstream", "interaction_id"].map(|key| (key, good[key].clone()));
        for route in each["routes"].as_array_mut().unwrap() {
            route.as_table_mut().unwrap().extend(heads.clone().map(|(k, v)| (k.to_owned(), v)));
        }
        let mut open = good.clone();
        let route = parse("method = \"GET\"\npath = \"/things\"\naccess = \"open\"");
        open.insert("routes".into(), Value::Array(vec![Value::Table(route)]));
        let mut bounded = good.clone();
        put(&mut bounded, "routes[].path_parameters[].name", "thingId".into());
        put(&mut bounded, "routes[].path_parameters[].max_length", 60.into());
        put(&mut bounded, "routes[].query[].name", "page".into());
        vec![good, reversed, consent_in_path, each, open, bounded]
    }

    fn complaints(&self, document: &Table) -> Vec<Mistake> {
        let file = self.0.directory.path().join("policies/demo.toml");
        std::fs::write(&file, document.to_string()).unwrap();
        config::offline::read(&file).err().unwrap_or_default()
    }
}

fn both() -> [Box<dyn Parser>; 2] {
    [Box::new(Configurations::new()), Box::new(PolicyFiles(Sandbox::new()))]
}

fn parents(path: &str) -> (&str, &str) {
    let (parents, name) = path.rsplit_once('.').unwrap_or(("", path));
    (parents, name.trim_end_matches("[]"))
}

/// A key is nobody's own: each table gets it, and the parser says which ones it knows.
fn known_keys(parser: &dyn Parser) -> BTreeMap<String, BTreeSet<String>> {
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for mut document in parser.documents() {
        strew(&mut document);
        for complaint in parser.complaints(&document) {
            let Some(list) = complaint.text.strip_prefix("is an unknown key, accepted: ") else {
                continue;
            };
            let path = plain(&complaint.key);
            let (table, name) = parents(&path);
            assert_eq!(name, "zzz", "{complaint}");
            let names = list.split(", ").map(str::to_owned);
            known.entry(table.to_owned()).or_default().extend(names);
        }
    }
    known
}

fn strew(table: &mut Table) {
    for (_, value) in table.iter_mut() {
        match value {
            Value::Table(table) => strew(table),
            Value::Array(values) => {
                values.iter_mut().filter_map(Value::as_table_mut).for_each(strew);
            }
            _ => {}
        }
    }
    table.insert("zzz".into(), 1.into());
}

#[test]
fn the_documents_of_this_test_are_good() {
    for parser in both() {
        for document in parser.documents() {
            let complaints = parser.complaints(&document).into_iter();
            for complaint in complaints.filter(|c| c.severity == Severity::Error) {
                // Nobody made that list, or a certificate of another host.
                let is_known =
                    ["list.crl", "no host name"].iter().any(|t| complaint.text.contains(t));
                assert!(is_known, "{complaint}");
            }
        }
    }
}

#[test]
fn every_key_of_the_parser_is_in_the_schema_and_no_other() {
    for parser in both() {
        let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for key in keys(parser.subject()) {
            let (table, name) = parents(&key.path);
            assert!(told.entry(table.into()).or_default().insert(name.into()), "{}", key.path);
        }
        let known = known_keys(parser.as_ref());
        assert!(known.len() > 3, "{known:?}");
        assert_eq!(known, told, "left: the parser's keys by table, right: the schema's");
        let schema = schema(parser.subject());
        for (table, names) in told {
            let table = table.replace("[]", "/items").replace('.', "/properties/");
            let prefix = if table.is_empty() { "" } else { "/properties/" };
            let properties = schema.pointer(&format!("{prefix}{table}/properties")).unwrap();
            let listed: BTreeSet<String> =
                properties.as_object().unwrap().keys().cloned().collect();
            assert_eq!(listed, names, "{table}");
        }
    }
}

/// The names in a list such as `"a", "b" or "c"`.
fn quoted(text: &str) -> Vec<&str> {
    text.split('"').skip(1).step_by(2).collect()
}

/// What a key earns that holds something of another kind.
fn of_another_kind(key: &Key) -> (Value, String) {
    let (value, kind) = match key.kind {
        Kind::Number(..) | Kind::Flag => (Value::from("zzz"), "string"),
        _ => (Value::from(true), "boolean"),
    };
    let accepted = match key.kind {
        Kind::Number(least, most) => format!("a whole number from {least} to {most}"),
        Kind::Flag => "true or false".to_owned(),
        Kind::Table => "a table".to_owned(),
        Kind::Tables => "an array of tables".to_owned(),
        _ => String::new(),
    };
    (value, format!("is of type {kind}, accepted: {accepted}"))
}

#[test]
fn every_key_holds_what_the_schema_says() {
    for parser in both() {
        for key in keys(parser.subject()) {
            let path = key.path.trim_end_matches("[]");
            let (value, complaint) = of_another_kind(key);
            let verdict = parser.earns(path, &value, &|text| text.starts_with(&complaint));
            assert_eq!(verdict, Ok(()), "{path}: {complaint}");
            let verdict = match &key.kind {
                Kind::OneOf(names) => parser.earns(path, &"zzz".into(), &|text| {
                    text.split_once("accepted: ").is_some_and(|(_, list)| quoted(list) == *names)
                }),
                Kind::SomeOf(names) => {
                    let plainly = |text: &str| text.replace('"', "");
                    let list = format!("one or more of {}", names.join(", "));
                    let fits = |text: &str| plainly(text).ends_with(&list);
                    parser.earns(path, &vec!["zzz"].into(), &fits)
                }
                Kind::Duration(_) => {
                    parser.earns(path, &"zzz".into(), &|text| text.contains("accepted: a duration"))
                }
                Kind::WordOrDuration(word, _) => parser.earns(path, &"zzz".into(), &|text| {
                    let accepted = text.split_once("accepted: ").map_or("", |(_, list)| list);
                    accepted.contains(&format!("{word:?}")) && accepted.contains("a duration")
                }),
                Kind::Size(_) => {
                    parser.earns(path, &"zzz".into(), &|text| text.contains("accepted: a size"))
                }
                Kind::Form(_) => parser.earns(path, &" ".into(), &|_| true),
                Kind::Table | Kind::Tables | Kind::Text | Kind::Texts => Ok(()),
                Kind::Number(..) | Kind::Flag => Ok(()),
            };
            assert_eq!(verdict, Ok(()), "{path}: {:?}", key.kind);
        }
    }
}

/// A default as a value of TOML.
fn written_out(key: &Key, text: &str) -> Value {
    let is_text =
        !matches!(key.kind, Kind::Number(..) | Kind::Flag | Kind::Texts | Kind::SomeOf(_));
    let value = if is_text { format!("{text:?}") } else { text.to_owned() };
    parse(&format!("key = {value}"))["key"].clone()
}

/// A default stands in the table of keys and acts in the parser: to write it out changes nothing.
#[test]
fn a_default_that_is_written_out_changes_nothing() {
    let parser = Configurations::new();
    let settings = |document: &Table| {
        let file = parser.0.directory.path().join("config.toml");
        std::fs::write(&file, document.to_string()).unwrap();
        let mistakes = Mistakes::default();
        let read = format!("{:?}", config::read(&file, &mistakes));
        // Where a setting stands is not what it says.
        let mut parts = read.split("line: ");
        let first = parts.next().unwrap().to_owned();
        let plain = parts
            .fold(first, |text, part| text + part.trim_start_matches(|c: char| c.is_ascii_digit()));
        let is_error = |mistake: &&Mistake| mistake.severity == Severity::Error;
        (plain, mistakes.take().iter().filter(is_error).count())
    };
    let documents: Vec<_> =
        parser.documents().into_iter().map(|d| (d.clone(), settings(&d))).collect();
    let is_compared = |key: &Key, text: &str| {
        let (table, name) = parents(&key.path);
        let mut is_compared = false;
        for (document, settings_of_it) in &documents {
            let (mut bare, mut with) = (document.clone(), document.clone());
            let Some(table_of_bare) = find(&mut bare, table) else { continue };
            let (without, errors) = match table_of_bare.remove(name) {
                Some(_) => settings(&bare),
                None => settings_of_it.clone(),
            };
            put(&mut with, &key.path, written_out(key, text));
            let (with, errors_with) = settings(&with);
            // Where it has no effect, it is refused.
            if errors_with == errors {
                assert_eq!(with, without, "{}", key.path);
                is_compared = true;
            }
        }
        is_compared
    };
    let mut left = Vec::new();
    for key in keys(SchemaOf::Config) {
        if let Absent::Is(text) | Absent::IsOfPreset(text) = key.absent
            && !is_compared(key, text)
        {
            left.push(key.path.as_str());
        }
    }
    assert_eq!(left, Vec::<&str>::new());
}

#[test]
fn a_key_is_required_if_the_parser_always_misses_it() {
    for parser in both() {
        for key in keys(parser.subject()) {
            let path = key.path.trim_end_matches("[]");
            let (table, name) = parents(path);
            let missed = |document: &Table| {
                let mut complaints = parser.complaints(document).into_iter();
                complaints.any(|c| plain(&c.key) == path && c.text.starts_with("is missing"))
            };
            let mut documents = parser.documents();
            documents.retain_mut(|document| {
                let table = find(document, table);
                table.map(|table| table.remove(name)).is_some()
            });
            assert!(!documents.is_empty(), "{path} stands in no document");
            assert_eq!(documents.iter().all(missed), key.absent == Absent::Mistake, "{path}");
        }
    }
}

/// Says whether a document fits a schema.
struct Validator {
    schemas: Schemas,
    index: boon::SchemaIndex,
}

impl Validator {
    fn new(of: SchemaOf) -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("schema.json", schema(of)).unwrap();
        let index = compiler.compile("schema.json", &mut schemas).unwrap();
        Self { schemas, index }
    }

    fn fault(&self, text: &str) -> Option<String> {
        let document: Json = serde_json::to_value(parse(text)).unwrap();
        self.schemas.validate(&document, self.index).err().map(|error| format!("{error:#}"))
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_files_of_the_repository_fit_their_schemas() {
    let policy = Validator::new(SchemaOf::Policy);
    let mut files = 0;
    for entry in std::fs::read_dir(repository().join("policies")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            assert_eq!(policy.fault(&read(&path)), None, "{}", path.display());
            files += 1;
        }
    }
    assert!(files > 5);
    let config = Validator::new(SchemaOf::Config);
    let text = read(&repository().join("config.toml"));
    assert_eq!(config.fault(&text), None);
    let whole: String = text.lines().map(|line| format!("{}\n", uncommented(line))).collect();
    assert!(whole.lines().count() == text.lines().count() && whole != text);
    assert_eq!(config.fault(&whole), None, "{whole}");
}

/// Keys that are commented out show their defaults.
fn uncommented(line: &str) -> &str {
    let Some(rest) = line.strip_prefix("# ") else {
        return line;
    };
    let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
    let is_key = !name.is_empty() && rest[name.len()..].starts_with(" = ");
    if is_key || rest.starts_with('[') { rest } else { line }
}

/// What the parser refuses and no schema can: files, names, and what belongs together.
const BEYOND: [&str; 30] = [
    "cannot be used",
    "bytes that are no key",
    "is an unknown listener",
    "is too short",
    "cannot be written to",
    "cannot be served",
    "is an unknown scope",
    "distinct issuers",
    "cannot be read",
    "has no certificate",
    "has no private key",
    "holds no secret",
    "does not belong to the certificate",
    "its private key does not belong to",
    "is not usable",
    "names no address",
    "names two listeners",
    "no network that begins",
    "is an unknown upstream",
    "overlaps",
    "is the permission of the route at",
    "is no parameter of the path",
    "cannot be passed on",
    "PORTARIA_TEST_NOT_SET is not set",
    "is of no version of versions",
    "has none of TLS 1.2",
    "that those before it do not have",
    "has neither or both of",
    "client certificates need TLS",
    "trust_anchors: is missing, accepted: a PEM file",
];

/// Bounds and meanings that no pattern was written for.
const UNTOLD: [&str; 34] = [
    "passes anyway or never",
    "to nobody's check",
    "before it is available on",
    "asks for nothing",
    "stands twice, accepted: each name once",
    "a whole number from 5 to",
    "stands with bounds",
    "of http.max_body_size",
    "has no effect with this client_auth",
    "one unencrypted private key",
    "a duration from 1s to 7d",
    "a size from 16MiB",
    "a size up to 1MiB",
    "with consent.source = \"token\", accepted: a table",
    "accepted: with consent.source",
    "\"/scope\" is not understood",
    "has no effect without details_type",
    "or a consent_parameter",
    "before it is deprecated on",
    "a day such as",
    "names a whole media type",
    "has none or several origins",
    "cannot be discovered",
    "ends before refresh_interval does",
    "has no effect with client_auth",
    "a loopback address",
    "up to 60s",
    "a duration up to",
    "is empty, accepted",
    "\"127.0.0.1:0\"",
    "the exact iss of its access tokens",
    "names a consent and nothing else",
    "is not encrypted",
    "accepted: TOML 1.1",
];

#[test]
fn what_the_parser_refuses_the_schema_refuses_as_far_as_it_can() {
    let sandbox = Sandbox::new();
    let (config, policy) = (Validator::new(SchemaOf::Config), Validator::new(SchemaOf::Policy));
    assert_eq!(config.fault(&sandbox.config), None);
    assert_eq!(policy.fault(POLICY), None);
    let cases = MISTAKES.iter().map(|case| (case, &config, sandbox.config.as_str()));
    let cases = cases.chain(POLICY_MISTAKES.iter().map(|case| (case, &policy, POLICY)));
    let (mut refused, mut all, mut differing) = (0, 0, Vec::new());
    for ((good, bad, expected), validator, text) in cases {
        all += 1;
        let is_beyond = BEYOND.iter().chain(&UNTOLD).any(|part| expected.contains(part));
        // No TOML, or a change with which something else is wrong too.
        if expected.contains("duplicate key") || expected.contains("overlaps GET") {
            continue;
        }
        let fault = validator.fault(&text.replacen(good, bad, 1));
        if fault.is_none() != is_beyond {
            differing.push(format!("{bad}\n{expected}\n{fault:?}"));
        }
        refused += usize::from(fault.is_some());
    }
    assert!(differing.is_empty(), "{}", differing.join("\n\n"));
    assert!(refused > 30, "{refused} of {all}");
}

#[test]
fn the_command_prints_the_schema() {
    for (name, subject) in [("config", SchemaOf::Config), ("policy", SchemaOf::Policy)] {
        let printed: Json =
            serde_json::from_str(&said(repository(), &["schema", name], 0)).unwrap();
        assert_eq!(printed, schema(subject));
        assert_eq!(printed["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }
    let output = super::portaria(repository(), &["schema", "trust"]);
    assert_eq!(output.status.code(), Some(1));
}
