//! `portaria policy show` and `portaria policy list`: what the policies say of a route, and which routes ask
//! for something.
//!
//! A path is looked up the way the gateway looks it up; a template is found by its shape, whatever its
//! parameters are called.

use std::fmt;

use http::Method;
use thiserror::Error;

use super::columns;
use super::statement::{Statement, shape};
use crate::config::offline::{Entry, Policies};
use crate::moment::Moment;
use crate::request::{Target, TargetError};
use crate::route::{Door, Exposure, PriorityClass, RouteError};

/// Paths that are named where one is not known.
const MOST_NEAREST: usize = 3;

/// Why there is no route to show.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum NotShown {
    /// The path is refused, whatever the policies say.
    #[error("the path is refused: {0}")]
    Target(TargetError),
    /// The path has other methods.
    #[error("{path} has no {method}, it has {allow}")]
    Method {
        /// The path.
        path: String,
        /// The method.
        method: String,
        /// The methods that it has.
        allow: String,
    },
    /// No policy lists it.
    #[error("no policy lists {path}: the gateway answers 404{}", told(.nearest))]
    Path {
        /// The path.
        path: String,
        /// Templates that resemble it.
        nearest: Vec<String>,
    },
    /// No route has what was asked for.
    #[error("no route has {wanted}{}", told(.nearest))]
    Nothing {
        /// What was asked for.
        wanted: String,
        /// What resembles it.
        nearest: Vec<String>,
    },
}

fn told(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; near: {}", nearest.join(", ")) }
}

/// A listener that has every route of policies.
const DOOR: Door = Door { exposure: Exposure::Mutual, listener: 0 };

/// Finds the route of a request, or of a template.
pub fn find(policies: &Policies, method: &str, path: &str) -> Result<Statement, NotShown> {
    let method = method.to_ascii_uppercase();
    let (path, query) = path.split_once('?').map_or((path, None), |(path, q)| (path, Some(q)));
    if path.contains('{') {
        return find_template(policies, &method, path);
    }
    let target = Target::parse(path, query).map_err(NotShown::Target)?;
    // What is no method is answered like TRACE, which no policy can have.
    let known = Method::from_bytes(method.as_bytes()).unwrap_or(Method::TRACE);
    match policies.routes.find(&known, target.path(), DOOR, Moment::now()) {
        Ok(found) => {
            let entry = policies.entries.get(found.route.index);
            entry.map(Statement::of).ok_or_else(|| unknown(policies, path))
        }
        Err(RouteError::Method { allow, .. }) => {
            let allow = allow.to_str().unwrap_or_default().to_owned();
            Err(NotShown::Method { path: path.to_owned(), method, allow })
        }
        Err(RouteError::NotFound | RouteError::NotYetAvailable | RouteError::Retired) => {
            Err(unknown(policies, path))
        }
    }
}

fn find_template(policies: &Policies, method: &str, path: &str) -> Result<Statement, NotShown> {
    let wanted = shape(path);
    let same: Vec<&Entry> = policies
        .entries
        .iter()
        .filter(|entry| shape(&entry.route.published.label) == wanted)
        .collect();
    if let Some(entry) = same.iter().find(|entry| entry.route.published.method == method) {
        return Ok(Statement::of(entry));
    }
    let allow: Vec<&str> = same.iter().map(|entry| entry.route.published.method.as_str()).collect();
    if allow.is_empty() {
        return Err(unknown(policies, path));
    }
    let (path, method) = (path.to_owned(), method.to_owned());
    Err(NotShown::Method { path, method, allow: allow.join(", ") })
}

fn unknown(policies: &Policies, path: &str) -> NotShown {
    let mut labels: Vec<&str> =
        policies.entries.iter().map(|entry| &*entry.route.published.label).collect();
    labels.dedup();
    let like = |label: &&str| filled(label, path);
    NotShown::Path { path: path.to_owned(), nearest: nearest(path, &labels, like) }
}

/// A template with its parameters as a path has them.
fn filled(label: &str, path: &str) -> String {
    let mut given = path.split('/');
    let segments = label.split('/').map(|segment| {
        let given = given.next().unwrap_or_default();
        if segment.starts_with('{') { given } else { segment }
    });
    segments.collect::<Vec<_>>().join("/")
}

/// The candidates that differ from a text in a third of it at most, the nearest first.
fn nearest<T: ToString>(
    text: &str,
    candidates: &[T],
    written: impl Fn(&T) -> String,
) -> Vec<String> {
    let distance = |candidate: &T| strsim::damerau_levenshtein(text, &written(candidate));
    let all = candidates.iter().map(|candidate| (distance(candidate), candidate.to_string()));
    let mut near: Vec<_> = all.filter(|(distance, _)| *distance <= 1 + text.len() / 3).collect();
    near.sort();
    near.dedup();
    near.into_iter().take(MOST_NEAREST).map(|(_, candidate)| candidate).collect()
}

/// Which routes are asked for: all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The scope.
    pub scope: Option<String>,
    /// The permission.
    pub permission: Option<String>,
    /// The API.
    pub api: Option<String>,
}

impl Filter {
    fn admits(&self, statement: &Statement) -> bool {
        let fits = |wanted: &Option<String>, has: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == has
        };
        fits(&self.scope, statement.scope.as_deref())
            && fits(&self.permission, statement.permission.as_deref())
            && fits(&self.api, Some(&statement.api))
    }

    /// What was asked for in vain, and what there is instead.
    fn missed(&self, all: &[Statement]) -> NotShown {
        type Has = fn(&Statement) -> Option<&String>;
        let asked: [(&str, &Option<String>, Has); 3] = [
            ("scope", &self.scope, |statement| statement.scope.as_ref()),
            ("permission", &self.permission, |statement| statement.permission.as_ref()),
            ("api", &self.api, |statement| Some(&statement.api)),
        ];
        let (mut wanted, mut near) = (Vec::new(), Vec::new());
        for (key, value, has) in asked {
            let Some(value) = value else { continue };
            wanted.push(format!("{key} {value}"));
            let mut known: Vec<&String> = all.iter().filter_map(has).collect();
            known.sort();
            known.dedup();
            if !known.contains(&value) {
                near.extend(nearest(value, &known, ToString::to_string));
            }
        }
        let wanted = if wanted.is_empty() { "been read".to_owned() } else { wanted.join(", ") };
        NotShown::Nothing { wanted, nearest: near }
    }
}

/// The routes that a filter asks for.
#[derive(Debug)]
pub struct Listing(Vec<Statement>);

/// Lists the routes that a filter asks for.
pub fn list(policies: &Policies, filter: &Filter) -> Result<Listing, NotShown> {
    let all: Vec<Statement> = policies.entries.iter().map(Statement::of).collect();
    let found: Vec<Statement> =
        all.iter().filter(|statement| filter.admits(statement)).cloned().collect();
    if found.is_empty() { Err(filter.missed(&all)) } else { Ok(Listing(found)) }
}

impl Listing {
    /// The routes.
    pub fn statements(&self) -> &[Statement] {
        &self.0
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["METHOD", "PATH", "ACCESS", "SCOPE", "PERMISSION", "CLASS"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        for statement in &self.0 {
            let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
            rows.push(vec![
                statement.method.clone(),
                statement.path.clone(),
                statement.access.to_owned(),
                or_dash(statement.scope.as_deref()),
                or_dash(statement.permission.as_deref()),
                statement.class.to_owned(),
            ]);
        }
        f.write_str(&columns::align(&rows))?;
        writeln!(f, "{} route{}", self.0.len(), if self.0.len() == 1 { "" } else { "s" })
    }
}

/// One route for a person: what it states, and what that means.
pub fn describe(statement: &Statement) -> String {
    let mut rows = Vec::new();
    for (key, value) in statement.facts() {
        let Some(value) = value else { continue };
        let meaning = meaning(key, value).map(|meaning| format!("({meaning})"));
        rows.push(vec![format!("  {key}"), value.to_owned(), meaning.unwrap_or_default()]);
    }
    rows.push(vec!["  stands at".to_owned(), statement.file_and_line()]);
    format!("{} {}\n{}", statement.method, statement.path, columns::align(&rows))
}

fn meaning(key: &str, value: &str) -> Option<String> {
    let text = match (key, value) {
        ("access", "open") => "anyone, on every listener",
        ("access", "certificate") => "a participant by its certificate",
        ("access", "client") => "a participant for itself: certificate, token, scope",
        ("access", "consented") => "a participant for a customer: the customer's token and consent",
        ("consent_use", "read") => "a consent that is not AUTHORISED is 401",
        ("consent_use", "initiate") => "a consent that is not AUTHORISED is 403",
        ("consent_parameter", _) => "the path's consent must be the caller's own",
        ("class", name) => {
            let class = PriorityClass::ALL.into_iter().find(|class| class.as_str() == name)?;
            return Some(format!("p95 at most {} ms", class.target_ms()));
        }
        _ => return None,
    };
    Some(text.to_owned())
}
