//! Policy files: one per API and major version, each listing its routes and what they ask of a caller.
//!
//! Access, scope, permission and the idempotency key of methods that carry content have no defaults:
//! what a policy does not say is not allowed, and what it forgets to say is a mistake. Class, upstream
//! and the rule of the interaction id may be said once for the file.

mod access;
mod content;
mod lifetime;
pub mod offline;
mod parameters;
mod release;
mod upstreams;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use http::{HeaderValue, Method};

use super::consent::StaleFor;
use super::document::{Document, Located, Mistakes, Place, Table};
use super::keys::KeysOf;
use super::{pem, values};
use crate::consent::{ConsentKind, Inquiry};
use crate::interaction::InteractionRule;
use crate::route::{
    Access, Asks, Destination, PriorityClass, Published, Route, Routes, Template, TemplateError,
};
use access::{read_access, read_consent_parameter, read_kind};
use content::read_content;
use parameters::{read_other_query, read_parameters};
use release::Release;
use upstreams::{NamedUpstreams, UPSTREAM};

const DIRECTORY: &str = "a directory of policy files (*.toml)";
const CLASS: &str = "\"high\", \"medium\" or \"admin\"";
const INTERACTION: &str = "{ form = \"uuid\" | \"alphanumeric\", missing = \"refuse\" | \"mint\", malformed = \"refuse\" | \"mint\" }";
const TEMPLATE: &str = "a path such as \"/request/{consentId}\"";

/// All policies, and what they need.
#[derive(Debug)]
pub struct PolicySettings {
    /// The routes.
    pub routes: Routes,
    /// Where the first route stands that needs somebody who tells of consents.
    pub(super) needs_consents: Option<Place>,
    /// Where the first route stands that needs a registry: a token tells of no consent but its own, and of
    /// no enrollment.
    pub(super) needs_registry: Option<Place>,
    /// Where the first route stands that needs a listener with client certificates.
    pub(super) needs_certificates: Option<Place>,
    /// How many bytes a body may have at most, where a route stands that says so.
    pub(super) bodies: Vec<(u64, Place)>,
}

/// Reads the policy files that `[policies]` names. `upstreams` are the known ones, in their order, if it can be told;
/// `stale_for` is what an outage of the consent registry means to the routes of each class, `events` the
/// route by which it tells of changes.
pub(super) fn read_policies(
    directory: &Located<PathBuf>,
    upstreams: Option<&[&str]>,
    stale_for: StaleFor,
    events: Option<(Route, Place)>,
    mistakes: &Mistakes,
) -> Option<PolicySettings> {
    let files = policy_files(directory)?;
    let upstreams = upstreams.map_or(NamedUpstreams::Unknown, NamedUpstreams::Configured);
    let reader = Reader { upstreams, stale_for, routes: Vec::new(), versions: Vec::new() };
    let reader = reader.read_all(&files, events, mistakes);
    let first = |wanted: fn(&Route) -> bool| {
        let found = reader.routes.iter().find(|(route, _)| wanted(route));
        found.map(|(_, place)| place.clone())
    };
    let needs_consents = first(|route| matches!(route.asks.access, Access::Consented { .. }));
    let needs_registry = first(|route| match route.asks.access {
        Access::Consented { .. } => route.asks.inquiry.kind == ConsentKind::Enrollment,
        Access::Client { .. } => route.asks.consent_parameter.is_some(),
        Access::Open | Access::Certificate | Access::Event => false,
    });
    let needs_certificates = first(|route| route.asks.access.needs_participant());
    let bounded = |(route, place): &(Route, Place)| Some((route.bounds.max_body?, place.clone()));
    let bodies = reader.routes.iter().filter_map(bounded).collect();
    let routes = reader.routes.into_iter().map(|(route, _)| route).collect();
    // Overlaps were reported with their places; the table says no more than that there are some.
    let routes = Routes::new(routes, reader.versions).ok()?;
    Some(PolicySettings { routes, needs_consents, needs_registry, needs_certificates, bodies })
}

/// The `.toml` files of the directory, in the order of their names.
fn policy_files(directory: &Located<PathBuf>) -> Option<Vec<PathBuf>> {
    let accepted = DIRECTORY;
    let files = match list(&directory.value) {
        Ok(Listed { files, hidden }) => {
            for name in hidden {
                let text = "is hidden, as an editor's files are, and not read";
                directory.place.warn(format!("{} {text}", directory.value.join(name).display()));
            }
            files
        }
        Err(error) => {
            let shown = directory.value.display();
            directory
                .place
                .reject(format!("{shown} cannot be read ({error}), accepted: {accepted}"));
            return None;
        }
    };
    if files.is_empty() {
        let shown = directory.value.display();
        directory.place.reject(format!("{shown} has no policy file, accepted: {accepted}"));
    }
    Some(files)
}

/// What `[policies]` says.
pub(super) fn directory(root: &Table<'_>) -> Option<Located<PathBuf>> {
    let Some(table) = root.table("policies") else {
        root.place("policies").reject("is missing, accepted: a table with directory");
        return None;
    };
    pem::path(&table, "directory", DIRECTORY)
}

/// The policy files of a directory, and those that an editor keeps beside them.
struct Listed {
    files: Vec<PathBuf>,
    hidden: Vec<OsString>,
}

fn list(directory: &Path) -> std::io::Result<Listed> {
    let mut listed = Listed { files: Vec::new(), hidden: Vec::new() };
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        match entry.file_name() {
            name if name.as_encoded_bytes().starts_with(b".") => listed.hidden.push(name),
            _ => listed.files.push(path),
        }
    }
    // `read_dir` has no order: mistakes and the places of routes would differ from start to start.
    listed.files.sort();
    listed.hidden.sort();
    Ok(listed)
}

struct Reader<'a> {
    upstreams: NamedUpstreams<'a>,
    stale_for: StaleFor,
    routes: Vec<(Route, Place)>,
    versions: Vec<(Box<str>, HeaderValue)>,
}

/// What a file says once for its routes.
struct Head {
    api: String,
    release: Release,
    base_path: String,
    class: Option<PriorityClass>,
    upstream: Option<usize>,
    interaction: Option<InteractionRule>,
    scopes: Option<Vec<String>>,
    refuses_other_query: bool,
    /// Which of the keys that a route may leave to the file stand there, rightly or wrongly.
    says: [bool; OF_FILE_OR_ROUTE.len()],
}

/// What must be said for the file or for each route, and what is accepted.
const OF_FILE_OR_ROUTE: [(&str, &str); 3] =
    [("class", CLASS), ("upstream", UPSTREAM), ("interaction_id", INTERACTION)];

impl Reader<'_> {
    fn read_all(
        mut self,
        files: &[PathBuf],
        events: Option<(Route, Place)>,
        mistakes: &Mistakes,
    ) -> Self {
        for file in files {
            if let Some(document) = Document::read(file, mistakes) {
                // Nothing, if it is no TOML: that was reported.
                let _ = document.of(KeysOf::Policy).with_root(|root| self.read_file(&root));
            }
        }
        if let Some((route, place)) = events {
            self.routes.push((Route { index: self.routes.len(), ..route }, place));
        }
        // After the route of events, whose path a policy could else take.
        self.reject_overlaps();
        self
    }

    fn read_file(&mut self, root: &Table<'_>) {
        let head = self.read_head(root);
        let tables = root.tables("routes");
        if tables.is_empty() {
            root.place("routes").reject("is missing or empty, accepted: [[routes]] tables");
        }
        let mut permissions = HashMap::new();
        for table in &tables {
            let Some(route) = self.read_route(table, head.as_ref()) else {
                continue;
            };
            if let Access::Consented { permission, .. } = &route.asks.access {
                let place = table.place("permission");
                if let Some(other) =
                    permissions.insert(permission.as_str().to_owned(), place.clone())
                {
                    let other: Place = other;
                    let at = other.file_and_line();
                    place.reject(format!(
                        "{:?} is the permission of the route at {at} too, accepted: one route per \
                         permission",
                        permission.as_str()
                    ));
                }
            }
            self.routes.push((route, table.place("path")));
        }
        if let Some(head) = head {
            self.versions.push((head.base_path.into(), head.release.version));
        }
    }

    fn read_head(&self, root: &Table<'_>) -> Option<Head> {
        let api = root.required_parsed("api", values::NAME, values::name);
        let release = Release::of_file(root);
        let base_path = root.required_parsed(
            "base_path",
            "a path without parameters such as \"/open-insurance/consents/v3\"",
            |text| (Template::parse(text).is_ok() && !text.contains('{')).then(|| text.to_owned()),
        );
        let class = read_class(root);
        let upstream = self.upstreams.read(root);
        let interaction = read_interaction(root);
        let scopes = root.strings("scopes", "the scopes of the API's routes");
        let says = OF_FILE_OR_ROUTE.map(|(key, _)| root.has(key));
        Some(Head {
            says,
            api: api?.value,
            release: release?,
            base_path: base_path?.value,
            class,
            upstream,
            interaction,
            scopes: scopes.map(|scopes| scopes.value),
            refuses_other_query: read_other_query(root).unwrap_or(false),
        })
    }

    fn read_route(&self, table: &Table<'_>, head: Option<&Head>) -> Option<Route> {
        let method = table.required_choice("method", parse_method);
        let path = table.required("path", TEMPLATE);
        let template = head.zip(path.as_ref()).and_then(|(head, path)| full_template(head, path));
        let access = read_access(table);
        let class = read_class(table).or(head.and_then(|head| head.class));
        let upstream = self.upstreams.read(table).or(head.and_then(|head| head.upstream));
        let interaction = read_interaction(table).or(head.and_then(|head| head.interaction));
        if let Some(head) = head {
            demand(table, head.says);
        }
        let content = read_content(table, method.as_ref().map(|method| &method.value));
        let others = head.is_some_and(|head| head.refuses_other_query);
        let parameters = read_parameters(table, template.as_ref(), others);
        let consent_parameter = read_consent_parameter(table, template.as_ref());
        let release = Release::of_route(table, head.map(|head| &head.release));
        if let (Some(access), Some(head)) = (&access, head) {
            check_scope(table, access, head.scopes.as_deref());
        }
        let kind = read_kind(table, consent_parameter.as_ref().is_some_and(Option::is_some));
        // The first `?` stands behind the last key: one that was never asked for would be told as unknown.
        let (head, template, release, content) = (head?, template?, release?, content?);
        let class = class?;
        Some(Route {
            index: self.routes.len(),
            published: Published {
                api: head.api.as_str().into(),
                method: method?.value,
                label: template.to_string().into(),
                template,
                class,
            },
            asks: Asks {
                access: access?,
                interaction: interaction?,
                idempotency_key: content.idempotency_key,
                media: content.media,
                parameters,
                negotiated: release.negotiated(),
                consent_parameter: consent_parameter?,
                inquiry: Inquiry { kind, stale_for: self.stale_for.of(class) },
            },
            bounds: release.bounds(content.max_body),
            answers: release.answers(content.revokes_tokens),
            to: Destination::Upstream(upstream?),
        })
    }

    /// Two routes that one request could mean are reported at the later one.
    fn reject_overlaps(&self) {
        for (index, (route, place)) in self.routes.iter().enumerate() {
            for (other, other_place) in self.routes.iter().take(index) {
                let (route, other) = (&route.published, &other.published);
                let same = route.template == other.template;
                let clashes = if same { route.method == other.method } else { true };
                if clashes && route.template.overlaps(&other.template) {
                    let (what, at) = (&other.label, other_place.file_and_line());
                    let method = &other.method;
                    place.reject(format!(
                        "{} overlaps {method} {what} at {at}, accepted: templates of which a path \
                         matches one",
                        route.label
                    ));
                }
            }
        }
    }
}

/// What neither the route nor the top of its file says is a mistake; what is wrong was reported.
fn demand(table: &Table<'_>, said: [bool; OF_FILE_OR_ROUTE.len()]) {
    for ((key, accepted), is_said) in OF_FILE_OR_ROUTE.into_iter().zip(said) {
        if !is_said && !table.has(key) {
            let text = "is missing here and at the top of the file";
            table.place(key).reject(format!("{text}, accepted: {accepted}"));
        }
    }
}

fn full_template(head: &Head, path: &Located<String>) -> Option<Template> {
    // By itself first: "b" below "/a" would else be the valid path "/ab".
    let parsed = Template::parse(&path.value)
        .and_then(|_| Template::parse(&format!("{}{}", head.base_path, path.value)));
    parsed
        .map_err(|error: TemplateError| {
            path.place.reject(format!("{:?}: {error}, accepted: {TEMPLATE}", path.value));
        })
        .ok()
}

fn parse_method(text: &str) -> Option<Method> {
    match text {
        "GET" => Some(Method::GET),
        "POST" => Some(Method::POST),
        "PUT" => Some(Method::PUT),
        "PATCH" => Some(Method::PATCH),
        "DELETE" => Some(Method::DELETE),
        _ => None,
    }
}

fn read_class(table: &Table<'_>) -> Option<PriorityClass> {
    table.word("class").map(|class| class.value)
}

fn read_interaction(table: &Table<'_>) -> Option<InteractionRule> {
    let rule = table.table("interaction_id")?;
    let form = rule.required_word("form");
    let missing = rule.required_word("missing");
    let malformed = rule.required_word("malformed");
    let also = rule.word("also").map(|also| also.value);
    Some(InteractionRule {
        form: form?.value,
        missing: missing?.value,
        malformed: malformed?.value,
        also,
    })
}

/// Where a file says which scopes its API has, a route with another one is a slip of the pen: nobody could
/// ever call it.
fn check_scope(table: &Table<'_>, access: &Access, scopes: Option<&[String]>) {
    let (Access::Client { scope } | Access::Consented { scope, .. }) = access else {
        return;
    };
    if let Some(scopes) = scopes
        && !scopes.iter().any(|known| known == scope.as_str())
    {
        let known = scopes.join(", ");
        let text = format!("{:?} is an unknown scope, accepted: {known}", scope.as_str());
        table.place("scope").reject(text);
    }
}
