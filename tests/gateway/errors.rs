//! Every error of every route validates against the schema of the route's own specification. The few
//! schemas that there are stand in `errors/schemas.json`; where `PORTARIA_OPENAPI` names the directory of
//! the official specifications, the same bodies are held against each operation's own response.

mod official;
mod refusals;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use boon::{Compiler, SchemaIndex, Schemas};
use portaria::lab::authorization::{AuthorizationServer, Signer};
use portaria::lab::client::Response;
use portaria::lab::consents::Store;
use portaria::moment::Moment;
use portaria::refusal::Refusal;
use portaria::route::{ErrorForm, Route};
use serde_json::Value;

use crate::harness::*;
use official::{Declared, Official};

/// The forms, as schemas of our own.
pub struct Forms {
    schemas: Schemas,
    /// By form and whether the status is 422.
    by_form: BTreeMap<(&'static str, bool), SchemaIndex>,
}

impl Forms {
    pub fn read() -> Self {
        let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
        compiler.enable_format_assertions();
        let text = include_str!("errors/schemas.json");
        compiler.add_resource("forms.json", serde_json::from_str(text).unwrap()).unwrap();
        let mut by_form = BTreeMap::new();
        for form in ErrorForm::ALL {
            for (is_422, suffix) in [(true, "-422"), (false, "")] {
                let location = format!("forms.json#/$defs/{}{suffix}", form.as_str());
                let schema = compiler.compile(&location, &mut schemas).unwrap();
                by_form.insert((form.as_str(), is_422), schema);
            }
        }
        Self { schemas, by_form }
    }

    pub fn accepts(&self, form: &str, status: u16, body: &Value) -> Result<(), String> {
        let (_, schema) =
            self.by_form.iter().find(|((f, u), _)| (*f, *u) == (form, status == 422)).unwrap();
        self.schemas.validate(body, *schema).map_err(|error| format!("{error:#}"))
    }

    /// What a real gateway answered.
    #[track_caller]
    pub fn assert_accepts(&self, form: &str, response: &Response) {
        let accepted = self.accepts(form, response.status.as_u16(), &response.json());
        assert_eq!(accepted, Ok(()), "{form}: {response:?}");
    }
}

/// The routes of the repository's policies, as the gateway has them.
fn routes() -> Vec<Arc<Route>> {
    let directory = tempfile::tempdir().unwrap();
    let pki = pki();
    let signer = Signer::new("key-1", &pki.signer_pem).unwrap();
    write_files(directory.path(), pki, &AuthorizationServer::new(signer, Store::default()));
    let file = directory.path().join("config.toml");
    std::fs::write(&file, default_config(LOOPBACK, LOOPBACK, LOOPBACK, &policies())).unwrap();
    let loaded = portaria::assembly::load(&file, &portaria::report::Metrics::new().unwrap(), None);
    let loaded = loaded.unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    loaded.configuration.serving.admission.routes.all().to_vec()
}

fn body(refusal: &Refusal, form: ErrorForm) -> (u16, Value) {
    let now = Moment::at(std::time::Duration::ZERO, SystemTime::now());
    let body = serde_json::from_slice(&refusal.body(form, now)).unwrap();
    (refusal.status().as_u16(), body)
}

/// Their series are there from the start: the first of a kind is an increase.
#[test]
fn whatever_is_no_callers_fault_is_counted_from_the_start() {
    use portaria::refusal::{Fault, codes};
    let own = |refusal: &Refusal| refusal.fault() != Fault::Client;
    let code = |refusal: &Refusal| (refusal.stage(), refusal.code());
    let all: BTreeSet<_> = refusals::all().iter().filter(|r| own(r)).map(code).collect();
    let counted: BTreeSet<_> = codes::own_faults().map(|row| (row.stage, row.code)).collect();
    assert_eq!(all, counted);
}

#[test]
fn no_code_of_a_refusal_is_left_out_here() {
    let document = include_str!("../../docs/refusals.md");
    let row = |line: &'static str| line.strip_prefix("| `")?.split('`').next();
    let described: BTreeSet<&str> = document.lines().filter_map(row).collect();
    let here: BTreeSet<&str> = refusals::all().iter().map(|r| r.code()).collect();
    assert_eq!(here, described);
}

#[test]
fn every_error_of_every_route_has_the_form_that_its_policy_names() {
    let (forms, routes, refusals) = (Forms::read(), routes(), refusals::all());
    let mut pairs = 0;
    for route in &routes {
        for refusal in &refusals {
            let (status, body) = body(refusal, route.answers.errors);
            let accepted = forms.accepts(route.answers.errors.as_str(), status, &body);
            assert_eq!(
                accepted,
                Ok(()),
                "{} {}: {body}",
                route.published.method,
                route.published.label
            );
            pairs += 1;
        }
    }
    assert_eq!(pairs, routes.len() * refusals.len());
    let _ = writeln!(std::io::stderr(), "{pairs} pairs of route and refusal have their form");
}

#[test]
fn the_forms_can_be_told_apart() {
    let forms = Forms::read();
    let key = refusals::all().into_iter().find(|r| r.code().ends_with("key_missing"));
    let key = key.unwrap();
    for form in ErrorForm::ALL {
        let (status, body) = body(&key, form);
        for other in ErrorForm::ALL {
            let is_accepted = forms.accepts(other.as_str(), status, &body).is_ok();
            // What idempotency keys are answered is the same with open and with closed codes.
            let plain = [ErrorForm::Common, ErrorForm::Closed];
            let is_same = form == other || plain.contains(&form) && plain.contains(&other);
            assert_eq!(is_accepted, is_same, "{form:?} as {other:?}");
        }
    }
    let mut open = body(&key, ErrorForm::Closed).1;
    open["errors"][0]["code"] = "PARAMETRO_INVALIDO".into();
    assert!(forms.accepts("closed", 422, &open).is_err());
    assert!(forms.accepts("closed", 400, &open).is_ok());
    open["errors"][0]["requestDateTime"] = "2023-11-14 22:13:20Z".into();
    assert!(forms.accepts("closed", 400, &open).is_err());
}

#[test]
fn every_error_of_every_route_validates_against_its_official_schema() {
    let Some(directory) =
        crate::policies::skipped("PORTARIA_OPENAPI", "directory of specifications")
    else {
        return;
    };
    let mut official = Official::read(Path::new(&directory));
    let (forms, routes, refusals) = (Forms::read(), routes(), refusals::all());
    let (mut declared, mut by_default, mut undeclared) = (0, 0, 0);
    for route in &routes {
        let version = route.answers.version.to_str().unwrap();
        for refusal in &refusals {
            let (status, body) = body(refusal, route.answers.errors);
            let found = official.schema(
                version,
                (route.published.method.as_str(), &route.published.label),
                &status.to_string(),
            );
            let (count, schema) = match found {
                Declared::Status(schema) => (&mut declared, schema),
                Declared::Default(schema) => (&mut by_default, schema),
                Declared::Nothing => {
                    undeclared += 1;
                    let accepted = forms.accepts("common", status, &body);
                    assert_eq!(
                        accepted,
                        Ok(()),
                        "{} {}",
                        route.published.method,
                        route.published.label
                    );
                    continue;
                }
            };
            *count += 1;
            let valid = official.schemas.validate(&body, schema).map_err(|e| format!("{e:#}"));
            assert_eq!(
                valid,
                Ok(()),
                "{} {}: {body}",
                route.published.method,
                route.published.label
            );
        }
    }
    let all = declared + by_default + undeclared;
    let _ = writeln!(
        std::io::stderr(),
        "{all} pairs of route and refusal validate: {declared} against the schema of their status, \
         {by_default} against that of default, {undeclared} against the common one, for the \
         operation declares none",
    );
    assert_eq!(all, routes.len() * refusals.len());
}
