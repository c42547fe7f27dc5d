//! `portaria policy cases`: the cases that every route should have, written from what its policy says.
//!
//! One allowed request, what is understood like it, and single faults of it with the refusal that the policy asks for
//! under the consent rules of the configuration. The files are kept beside the policies: a change of a policy
//! then fails those that said otherwise.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use http::Method;
use time::format_description::well_known::Rfc3339;
use time::macros::{datetime, offset};
use time::{Date, Duration, OffsetDateTime};

use super::statement::shape;
use crate::config::document::{Mistake, Mistakes, Place};
use crate::config::offline::{CONTENT_METHODS, Entry, Policies};
use crate::config::values::quoted;
use crate::consent::{ConsentError, ConsentKind, ConsentRules, ConsentStatus, ConsentUse, Lapse};
use crate::interaction::Unusable;
use crate::parameters::PathForm;
use crate::refusal::Refusal;
use crate::request::media::Media;
use crate::route::lifetime::DAY;
use crate::route::{Access, Route};

/// How a file begins that may be written over.
const MARK: &str = "# Written by `portaria policy cases`";
/// Consents that paths may have room for: what is a good request's, and another one.
const CONSENTS: [(&str, &str); 3] =
    [("urn:portaria:consent:1", "urn:portaria:consent:2"), ("urn:a:1", "urn:a:2"), ("1", "2")];
/// What other parameters are.
const VALUES: [&str; 2] = ["1", "urn:a:1"];
/// When requests come, unless their route is not in force then.
const CLOCK: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
const METHODS: [Method; 5] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// The cases of one policy file.
#[derive(Debug)]
pub struct CaseFile {
    /// Its name, which is that of the policy file.
    pub name: PathBuf,
    /// Its text.
    pub text: String,
    /// How many cases it has.
    pub cases: usize,
}

/// Writes the cases of policies, a file for each policy file. `rules` are those of consents.
pub fn of(policies: &Policies, rules: &ConsentRules) -> Vec<CaseFile> {
    let mut files: Vec<CaseFile> = Vec::new();
    for entry in &policies.entries {
        let name = Path::new(entry.place.file()).file_name().map(PathBuf::from);
        let name = name.unwrap_or_default();
        if files.last().is_none_or(|file| file.name != name) {
            files.push(CaseFile { text: head(entry.place.file()), name, cases: 0 });
        }
        let Some(file) = files.last_mut() else { continue };
        let cases = of_route(entry, policies, rules);
        let title =
            format!("\n# {} {}\n", entry.route.published.method, entry.route.published.label);
        let cases_in_toml: Vec<String> = cases.iter().map(DraftCase::to_toml).collect();
        file.cases += cases.len();
        file.text += &(title + &cases_in_toml.join("\n"));
    }
    files
}

/// Puts files into a directory. A file that is somebody's own work is a mistake, and nothing is written.
pub fn write(files: &[CaseFile], directory: &Path) -> Result<(), Vec<Mistake>> {
    let mistakes = Mistakes::default();
    let reject = |path: &Path, text: &str| {
        Place::of_file(&path.display().to_string(), &mistakes).reject(text);
    };
    // All are looked at before one is written: half a set of cases would pass for a whole one.
    let paths: Vec<PathBuf> = files.iter().map(|file| directory.join(&file.name)).collect();
    for path in &paths {
        // As bytes: a file that is no UTF-8 is somebody's own, too.
        if std::fs::read(path).is_ok_and(|text| !text.starts_with(MARK.as_bytes())) {
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
         clock = \"{}\"\n",
        written(CLOCK)
    )
}

/// A case in the making: what it changes of the good request.
#[derive(Clone, Debug)]
struct DraftCase {
    name: &'static str,
    method: Method,
    path: String,
    lines: Vec<String>,
    token: Option<String>,
    consents: Vec<String>,
    headers: Vec<String>,
    expect: String,
}

impl DraftCase {
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

fn of_route(entry: &Entry, policies: &Policies, rules: &ConsentRules) -> Vec<DraftCase> {
    let route = &entry.route;
    let Some(clock) = in_force(route) else {
        // Its first day is its last.
        return of_days(&good(route), route);
    };
    let mut good = good(route);
    good.lines.extend((clock != CLOCK).then(|| format!("clock = {:?}", written(clock))));
    let mut cases = match &route.asks.access {
        Access::Open => of_open(&good),
        Access::Certificate => of_certificate(&good),
        // No policy has one: the configuration makes it.
        Access::Event => Vec::new(),
        Access::Client { scope } => of_client(&good, scope.as_str(), route),
        Access::Consented { scope, to, .. } => {
            of_consented(&good, scope.as_str(), rejected(*to, rules), route)
        }
    };
    let is_without_token =
        matches!(route.asks.access, Access::Open | Access::Certificate | Access::Event);
    if let Some(method) = other_method(entry, policies).filter(|_| is_without_token) {
        let other = good.named("another method", "405 route_method");
        cases.push(DraftCase {
            method,
            token: None,
            consents: Vec::new(),
            headers: Vec::new(),
            ..other
        });
    }
    if let Some(attempt) = route.asks.interaction.also {
        let mut without = good.named("no id of the attempt", "400 interaction_attempt");
        without.headers.retain(|field| !field.starts_with(attempt.name()));
        cases.push(without);
    }
    if route.asks.idempotency_key {
        let mut without = good.named("no idempotency key", "422 request_idempotency_key_missing");
        without.headers.retain(|field| !field.starts_with("x-idempotency-key"));
        cases.push(without);
    }
    let mut without = match route.asks.interaction.missing {
        Unusable::Refuse => good.named("no interaction id", "400 interaction_missing"),
        Unusable::Mint => good.named("no interaction id", "allow"),
    };
    without.lines.push("without = [\"x-fapi-interaction-id\"]".to_owned());
    cases.push(without);
    cases.extend(of_leniences(&good, route));
    cases.extend(of_days(&good, route));
    cases
}

/// What clients send and the gateway understands: docs/decisions/0013.
fn of_leniences(good: &DraftCase, route: &Route) -> Vec<DraftCase> {
    let mut slash = good.named("a slash at the end of the path", "allow");
    slash.path.push('/');
    let mut cases = vec![slash];
    if route.published.method == Method::GET {
        cases.push(DraftCase { method: Method::HEAD, ..good.named("HEAD", "allow") });
    }
    let version = route.answers.version.to_str().unwrap_or_default();
    let major = version.split('.').next().and_then(|major| major.parse::<u64>().ok());
    if let Some(major) = major.filter(|_| route.asks.negotiated.is_some()) {
        let asking = |name, version: String, expect| {
            let mut case = good.named(name, expect);
            case.headers.push(format!("x-v: {version}"));
            case
        };
        let unsupported = "406 version_unsupported";
        cases.push(asking("any version of its major", major.to_string(), "allow"));
        cases.push(asking("a version of the next major", format!("{}", major + 1), unsupported));
    }
    cases
}

/// The days before the first and after the last one.
fn of_days(good: &DraftCase, route: &Route) -> Vec<DraftCase> {
    let lifetime = &route.bounds.lifetime;
    let before = lifetime.available_from.map(|day| (day, -Duration::SECOND));
    let after = lifetime.retired_from.map(|day| (day, Duration::ZERO));
    let case = |name, expect, (day, shift): (Date, Duration)| {
        let mut case = good.named(name, expect);
        // TOML has a key once, and the good request may have a clock of its own.
        case.lines.retain(|line| !line.starts_with("clock"));
        // A case has no clock before 1970: no moment of the gateway's is earlier.
        let clock = midnight(day).checked_add(shift).filter(|at| at.unix_timestamp() >= 0)?;
        case.lines.push(format!("clock = {:?}", written(clock)));
        Some(case)
    };
    let before =
        before.and_then(|at| case("before its first day", "404 route_not_yet_available", at));
    let after = after.and_then(|at| case("from its last day on", "404 route_retired", at));
    before.into_iter().chain(after).collect()
}

/// A time at which a route is in force, if there is one: the usual one if it can be.
fn in_force(route: &Route) -> Option<OffsetDateTime> {
    let first = route.bounds.lifetime.available_from.map(midnight);
    let last = route.bounds.lifetime.retired_from.map(midnight);
    let fits = |at: &OffsetDateTime| {
        first.is_none_or(|first| first <= *at) && last.is_none_or(|last| *at < last)
    };
    let before_last = last.map(|last| last.saturating_sub(Duration::SECOND));
    // Not the present: a file must read the same on whichever day it is written.
    [Some(CLOCK), first, before_last].into_iter().flatten().find(fits)
}

fn midnight(day: Date) -> OffsetDateTime {
    day.midnight().assume_offset(DAY)
}

fn written(at: OffsetDateTime) -> String {
    at.to_offset(offset!(UTC)).format(&Rfc3339).unwrap_or_default()
}

/// What a consent that is not in force is answered, in the words of the gateway.
fn rejected(to: ConsentUse, rules: &ConsentRules) -> String {
    let lapse = match to {
        ConsentUse::Read => Lapse::InvalidToken,
        ConsentUse::Initiate => rules.initiation_lapse,
    };
    let status = ConsentStatus::Rejected;
    let refusal = Refusal::from(ConsentError::NotAuthorised { status, lapse });
    format!("{} {}", refusal.status().as_u16(), refusal.code())
}

/// A request that the policy admits.
fn good(route: &Route) -> DraftCase {
    let (consent, _) = consents_of(route);
    let segment = |segment: &str| {
        let name = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
        match name {
            Some(_) if route.asks.consent_parameter.as_deref() == name => consent.to_owned(),
            Some(name) => {
                let fitting = VALUES.into_iter().find(|value| fits(route, name, value));
                fitting.unwrap_or_default().to_owned()
            }
            None => segment.to_owned(),
        }
    };
    let path: Vec<String> = route.published.label.split('/').map(segment).collect();
    let mut headers = Vec::new();
    if route.asks.idempotency_key {
        headers.push("x-idempotency-key: key-1".to_owned());
    }
    if let Some(attempt) = route.asks.interaction.also {
        headers.push(format!("{}: d78fc4e5-37ca-4da3-adf2-9b082bf92280", attempt.name()));
    }
    if CONTENT_METHODS.contains(&route.published.method) && route.asks.media == Media::Form {
        headers.push("content-type: application/x-www-form-urlencoded".to_owned());
    }
    let (token, consents) = match &route.asks.access {
        Access::Open | Access::Certificate | Access::Event => (None, Vec::new()),
        Access::Client { scope } => {
            let consents = match route.asks.consent_parameter {
                Some(_) => vec![format!("{{ id = {consent:?} }}")],
                None => Vec::new(),
            };
            (Some(own(scope.as_str())), consents)
        }
        Access::Consented { scope, permission, .. } => {
            let permission = permission.as_str();
            let consent = format!("{{ id = {consent:?}, permissions = [{permission:?}] }}");
            (Some(customers(scope.as_str(), route)), vec![consent])
        }
    };
    DraftCase {
        name: "allowed",
        method: route.published.method.clone(),
        path: path.join("/"),
        lines: Vec::new(),
        token,
        consents,
        headers,
        expect: "allow".to_owned(),
    }
}

/// The consent of a good request and another one, which fit into the path.
fn consents_of(route: &Route) -> (&'static str, &'static str) {
    let name = route.asks.consent_parameter.as_deref().unwrap_or_default();
    let [usual, ..] = CONSENTS;
    CONSENTS.into_iter().find(|(own, _)| fits(route, name, own)).unwrap_or(usual)
}

fn fits(route: &Route, name: &str, value: &str) -> bool {
    route.asks.parameters.path.iter().filter(|rule| *rule.name == *name).all(|rule| {
        value.len() <= rule.longest && (rule.form == PathForm::Any || value.starts_with("urn:"))
    })
}

fn own(scope: &str) -> String {
    format!("{{ scope = {scope:?} }}")
}

fn customers(scope: &str, route: &Route) -> String {
    let kind = match route.asks.inquiry.kind {
        ConsentKind::Consent => "consent",
        ConsentKind::Enrollment => "enrollment",
    };
    let (consent, _) = consents_of(route);
    let scope = format!("openid {kind}:{consent} {scope}");
    format!("{{ sub = \"customer\", scope = {scope:?} }}")
}

fn with_token(case: DraftCase, token: String) -> DraftCase {
    DraftCase { token: Some(token), ..case }
}

fn of_open(good: &DraftCase) -> Vec<DraftCase> {
    let mut public = good.named("allowed on a public listener", "allow");
    public.lines.push("listener = \"public\"".to_owned());
    vec![good.clone(), public]
}

fn of_certificate(good: &DraftCase) -> Vec<DraftCase> {
    let mut public = good.named("a public listener", "404 route_not_found");
    public.lines.push("listener = \"public\"".to_owned());
    let mut nobody = good.named("a certificate that names nobody", "401 identity_organisation");
    nobody.lines.push("certificate = { organisation_id = \"\" }".to_owned());
    vec![good.clone(), public, nobody]
}

/// What every route with a token refuses. A consent is known, but none of these comes so far.
fn of_token(good: &DraftCase, other_scope: String, other_grant: String) -> Vec<DraftCase> {
    let mut without = good.named("no token", "401 token_missing");
    without.token = None;
    vec![
        good.clone(),
        without,
        with_token(good.named("wrong scope", "403 scope_insufficient"), other_scope),
        with_token(good.named("wrong grant", "401 token_grant"), other_grant),
    ]
}

fn of_client(good: &DraftCase, scope: &str, route: &Route) -> Vec<DraftCase> {
    let other = format!("{scope}-not");
    let mut cases = of_token(good, own(&other), customers(scope, route));
    if route.asks.consent_parameter.is_some() {
        let (consent, _) = consents_of(route);
        let foreign = format!("{{ id = {consent:?}, client_id = \"client-2\" }}");
        let mut another = good.named("another client's consent", "403 consent_other_client");
        another.consents = vec![foreign];
        let mut unknown = good.named("a consent that nobody knows", "404 consent_unknown");
        unknown.consents.clear();
        cases.extend([another, unknown]);
    }
    cases
}

/// `refused` is what a consent that is not in force is answered.
fn of_consented(good: &DraftCase, scope: &str, refused: String, route: &Route) -> Vec<DraftCase> {
    let (consent, another) = consents_of(route);
    let other = format!("{scope}-not");
    let mut cases = of_token(good, customers(&other, route), own(scope));
    let mut lacking = good.named("missing permission", "403 consent_permission");
    lacking.consents =
        vec![format!("{{ id = {consent:?}, permissions = [\"NO_SUCH_PERMISSION\"] }}")];
    let mut rejected = good.named("a consent that was rejected", &refused);
    // Before the permissions, which the consent of every good request has.
    let status = "status = \"REJECTED\", permissions";
    rejected.consents =
        good.consents.iter().map(|c| c.replacen("permissions", status, 1)).collect();
    cases.extend([lacking, rejected]);
    if route.asks.consent_parameter.is_some() {
        let mut other = good.named("another consent in the path", "403 consent_other_consent");
        other.path = named(
            &good.path,
            &route.published.label,
            route.asks.consent_parameter.as_deref(),
            another,
        );
        cases.push(other);
    }
    cases
}

/// A path with another value of one parameter.
fn named(path: &str, template: &str, parameter: Option<&str>, value: &str) -> String {
    let pairs = path.split('/').zip(template.split('/'));
    let segment = |(segment, part): (&str, &str)| {
        let name = part.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
        let is_it = name.is_some() && name == parameter;
        if is_it { value.to_owned() } else { segment.to_owned() }
    };
    pairs.map(segment).collect::<Vec<_>>().join("/")
}

/// A method that the path does not have.
fn other_method(entry: &Entry, policies: &Policies) -> Option<Method> {
    let path = shape(&entry.route.published.label);
    let has = |method: &Method| {
        let mut same =
            policies.entries.iter().filter(|other| shape(&other.route.published.label) == path);
        same.any(|other| other.route.published.method == *method)
    };
    METHODS.into_iter().find(|method| !has(method))
}
