//! `portaria policy cases`: the cases that every route should have, written from what its policy says.
//!
//! One allowed request, and single faults of it with the refusal that the policy asks for. The files are
//! kept beside the policies: a change of a policy then fails those that said otherwise.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use http::Method;

use super::statement::shape;
use crate::config::document::{Mistake, Mistakes, Place};
use crate::config::offline::{CONTENT_METHODS, Entry, Policies};
use crate::consent::{ConsentKind, ConsentUse};
use crate::interaction::Unusable;
use crate::request::media::Media;
use crate::route::{Access, Route};

/// How a file begins that may be written over.
const MARK: &str = "# Written by `portaria policy cases`";
const CONSENT: &str = "urn:portaria:consent:1";
const ANOTHER: &str = "urn:portaria:consent:2";
const METHODS: [Method; 5] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// The cases of one policy file.
#[derive(Debug)]
pub struct File {
    /// Its name, which is that of the policy file.
    pub name: PathBuf,
    /// Its text.
    pub text: String,
    /// How many cases it has.
    pub cases: usize,
}

/// Writes the cases of policies, a file for each policy file.
pub fn of(policies: &Policies) -> Vec<File> {
    let mut files: Vec<File> = Vec::new();
    for entry in &policies.entries {
        let name = Path::new(entry.place.file()).file_name().map(PathBuf::from);
        let name = name.unwrap_or_default();
        if files.last().is_none_or(|file| file.name != name) {
            files.push(File { text: head(entry.place.file()), name, cases: 0 });
        }
        let Some(file) = files.last_mut() else { continue };
        let cases = of_route(entry, policies);
        let title = format!("\n# {} {}\n", entry.route.method, entry.route.label);
        let cases_in_toml: Vec<String> = cases.iter().map(Case::to_toml).collect();
        file.cases += cases.len();
        file.text += &(title + &cases_in_toml.join("\n"));
    }
    files
}

/// Puts files into a directory. A file that is somebody's own work is a mistake, and nothing is written.
pub fn write(files: &[File], directory: &Path) -> Result<(), Vec<Mistake>> {
    let mistakes = Mistakes::default();
    let reject = |path: &Path, text: &str| {
        Place::of_file(&path.display().to_string(), &mistakes).reject(text);
    };
    let paths: Vec<PathBuf> = files.iter().map(|file| directory.join(&file.name)).collect();
    for path in &paths {
        if std::fs::read_to_string(path).is_ok_and(|text| !text.starts_with(MARK)) {
            reject(path, "was not written by this command, accepted: a file that was, or none");
        }
    }
    if !mistakes.prevent_loading() {
        let made = std::fs::create_dir_all(directory);
        let written = paths.iter().zip(files).map(|(path, file)| std::fs::write(path, &file.text));
        for error in std::iter::once(made).chain(written).filter_map(Result::err) {
            reject(directory, &format!("cannot be written ({error}), accepted: a directory"));
        }
    }
    if mistakes.prevent_loading() { Err(mistakes.take()) } else { Ok(()) }
}

fn head(policy: &str) -> String {
    let name = Path::new(policy).file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!(
        "{MARK} from {name}: change the policy and run it\n\
         # again, or put cases of your own into a file of another name.\n\n\
         clock = \"2026-11-22T12:00:00Z\"\n"
    )
}

/// A case in the making: what it changes of the good request.
#[derive(Clone, Debug)]
struct Case {
    name: &'static str,
    method: Method,
    path: String,
    lines: Vec<String>,
    token: Option<String>,
    consents: Vec<String>,
    headers: Vec<&'static str>,
    expect: String,
}

impl Case {
    fn named(&self, name: &'static str, expect: &str) -> Self {
        Self { name, expect: expect.to_owned(), ..self.clone() }
    }

    fn to_toml(&self) -> String {
        let mut text = "[[cases]]\n".to_owned();
        let mut line = |key: &str, value: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{key} = {value}");
        };
        line("name", &quoted(self.name));
        line("method", &quoted(self.method.as_str()));
        line("path", &quoted(&self.path));
        if let Some(token) = &self.token {
            line("token", token);
        }
        if !self.consents.is_empty() {
            line("consents", &format!("[{}]", self.consents.join(", ")));
        }
        if !self.headers.is_empty() {
            let headers: Vec<String> = self.headers.iter().map(|field| quoted(field)).collect();
            line("headers", &format!("[{}]", headers.join(", ")));
        }
        for own in &self.lines {
            let (key, value) = own.split_once(" = ").unwrap_or((own, ""));
            line(key, value);
        }
        line("expect", &quoted(&self.expect));
        text
    }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn of_route(entry: &Entry, policies: &Policies) -> Vec<Case> {
    let route = &entry.route;
    let good = good(route);
    let mut cases = match &route.access {
        Access::Open => of_open(&good),
        Access::Certificate => of_certificate(&good),
        // No policy has one: the configuration makes it.
        Access::Event => Vec::new(),
        Access::Client { scope } => of_client(&good, scope.as_str(), route),
        Access::Consented { scope, to, .. } => of_consented(&good, scope.as_str(), *to, route),
    };
    let is_without_token =
        matches!(route.access, Access::Open | Access::Certificate | Access::Event);
    if let Some(method) = other_method(entry, policies).filter(|_| is_without_token) {
        let other = good.named("another method", "405 route_method");
        cases.push(Case {
            method,
            token: None,
            consents: Vec::new(),
            headers: Vec::new(),
            ..other
        });
    }
    if route.idempotency_key {
        let mut without = good.named("no idempotency key", "422 request_idempotency_key_missing");
        without.headers.retain(|field| !field.starts_with("x-idempotency-key"));
        cases.push(without);
    }
    let mut without = match route.interaction.missing {
        Unusable::Refuse => good.named("no interaction id", "400 interaction_missing"),
        Unusable::Mint => good.named("no interaction id", "allow"),
    };
    without.lines.push("without = [\"x-fapi-interaction-id\"]".to_owned());
    cases.push(without);
    cases
}

/// A request that the policy admits.
fn good(route: &Route) -> Case {
    let segment = |segment: &str| match segment.strip_prefix('{') {
        Some(name) if route.consent_parameter.as_deref() == name.strip_suffix('}') => {
            CONSENT.to_owned()
        }
        Some(_) => "1".to_owned(),
        None => segment.to_owned(),
    };
    let path: Vec<String> = route.label.split('/').map(segment).collect();
    let mut headers = Vec::new();
    if route.idempotency_key {
        headers.push("x-idempotency-key: key-1");
    }
    if CONTENT_METHODS.contains(&route.method) && route.media == Media::Form {
        headers.push("content-type: application/x-www-form-urlencoded");
    }
    let (token, consents) = match &route.access {
        Access::Open | Access::Certificate | Access::Event => (None, Vec::new()),
        Access::Client { scope } => {
            let consents = match route.consent_parameter {
                Some(_) => vec![format!("{{ id = {CONSENT:?} }}")],
                None => Vec::new(),
            };
            (Some(own(scope.as_str())), consents)
        }
        Access::Consented { scope, permission, .. } => {
            let permission = permission.as_str();
            let consent = format!("{{ id = {CONSENT:?}, permissions = [{permission:?}] }}");
            (Some(customers(scope.as_str(), route)), vec![consent])
        }
    };
    Case {
        name: "allowed",
        method: route.method.clone(),
        path: path.join("/"),
        lines: Vec::new(),
        token,
        consents,
        headers,
        expect: "allow".to_owned(),
    }
}

fn own(scope: &str) -> String {
    format!("{{ scope = {scope:?} }}")
}

fn customers(scope: &str, route: &Route) -> String {
    let kind = match route.inquiry.kind {
        ConsentKind::Consent => "consent",
        ConsentKind::Enrollment => "enrollment",
    };
    let scope = format!("openid {kind}:{CONSENT} {scope}");
    format!("{{ sub = \"customer\", scope = {scope:?} }}")
}

fn with_token(case: Case, token: String) -> Case {
    Case { token: Some(token), ..case }
}

fn of_open(good: &Case) -> Vec<Case> {
    let mut public = good.named("allowed on a public listener", "allow");
    public.lines.push("listener = \"public\"".to_owned());
    vec![good.clone(), public]
}

fn of_certificate(good: &Case) -> Vec<Case> {
    let mut public = good.named("a public listener", "404 route_not_found");
    public.lines.push("listener = \"public\"".to_owned());
    let mut nobody = good.named("a certificate that names nobody", "401 identity_organisation");
    nobody.lines.push("certificate = { organisation_id = \"\" }".to_owned());
    vec![good.clone(), public, nobody]
}

/// What every route with a token refuses. A consent is known, but none of these comes so far.
fn of_token(good: &Case, other_scope: String, other_grant: String) -> Vec<Case> {
    let mut without = good.named("no token", "401 token_missing");
    without.token = None;
    vec![
        good.clone(),
        without,
        with_token(good.named("wrong scope", "403 scope_insufficient"), other_scope),
        with_token(good.named("wrong grant", "401 token_grant"), other_grant),
    ]
}

fn of_client(good: &Case, scope: &str, route: &Route) -> Vec<Case> {
    let other = format!("{scope}-not");
    let mut cases = of_token(good, own(&other), customers(scope, route));
    if route.consent_parameter.is_some() {
        let foreign = format!("{{ id = {CONSENT:?}, client_id = \"client-2\" }}");
        let mut another = good.named("another client's consent", "403 consent_other_client");
        another.consents = vec![foreign];
        let mut unknown = good.named("a consent that nobody knows", "404 consent_unknown");
        unknown.consents.clear();
        cases.extend([another, unknown]);
    }
    cases
}

fn of_consented(good: &Case, scope: &str, to: ConsentUse, route: &Route) -> Vec<Case> {
    let other = format!("{scope}-not");
    let mut cases = of_token(good, customers(&other, route), own(scope));
    let mut lacking = good.named("missing permission", "403 consent_permission");
    lacking.consents =
        vec![format!("{{ id = {CONSENT:?}, permissions = [\"NO_SUCH_PERMISSION\"] }}")];
    let refused = match to {
        ConsentUse::Read => "401 consent_not_authorised",
        ConsentUse::Initiate => "403 consent_not_authorised",
    };
    let mut rejected = good.named("a consent that was rejected", refused);
    let status = "status = \"REJECTED\", permissions";
    rejected.consents =
        good.consents.iter().map(|c| c.replacen("permissions", status, 1)).collect();
    cases.extend([lacking, rejected]);
    if route.consent_parameter.is_some() {
        let mut another = good.named("another consent in the path", "403 consent_other_consent");
        another.path = good.path.replacen(CONSENT, ANOTHER, 1);
        cases.push(another);
    }
    cases
}

/// A method that the path does not have.
fn other_method(entry: &Entry, policies: &Policies) -> Option<Method> {
    let path = shape(&entry.route.label);
    let has = |method: &Method| {
        let mut same = policies.entries.iter().filter(|other| shape(&other.route.label) == path);
        same.any(|other| other.route.method == *method)
    };
    METHODS.into_iter().find(|method| !has(method))
}
