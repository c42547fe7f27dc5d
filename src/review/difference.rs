//! `portaria policy diff`: what two sets of policies say differently, and which requests become allowed or
//! refused.
//!
//! Routes are the same if they have the same method and match the same paths, whatever files they stand
//! in and whatever their parameters are called.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use time::OffsetDateTime;

use super::columns;
use super::rule_difference::{self, Among, Becomes, RuleDifference};
use super::statement::{Statement, covers, shape};
use super::trial::{Bench, SetUpError};
use crate::config::Judging;
use crate::config::offline::{Entry, Policies};
use crate::route::Route;

/// What differs, in the order of paths and methods.
#[derive(Debug, Default, Serialize)]
pub struct Difference {
    /// Routes of the second set only.
    pub added: Vec<Statement>,
    /// Routes of the first set only.
    pub removed: Vec<Statement>,
    /// Routes of which something else is said.
    pub changed: Vec<ChangedStatement>,
    /// What becomes of requests.
    pub decisions: Vec<RuleDifference>,
}

/// A route of which something else is said.
#[derive(Debug, Serialize)]
pub struct ChangedStatement {
    /// The method.
    pub method: String,
    /// The template, as the second set has it.
    pub path: String,
    /// What is said differently.
    pub changes: Vec<KeyChange>,
}

/// One key.
#[derive(Debug, Serialize)]
pub struct KeyChange {
    /// As in policy files.
    pub key: &'static str,
    /// What the first set says.
    pub before: Option<String>,
    /// What the second set says.
    pub after: Option<String>,
}

/// Compares two sets of policies, with what else `settings` judges requests by.
pub fn compare(
    before: &Policies,
    after: &Policies,
    settings: Judging,
) -> Result<Difference, SetUpError> {
    let mut difference = Difference::default();
    let literals = [before, after].into_iter().flat_map(literals).collect();
    let mut bench = Bench::new([before, after].map(|set| set.routes.clone()), settings)?;
    for [was, is] in pairs(before, after) {
        let Some(named) = is.or(was) else { continue };
        let rules =
            [was.or_else(|| covering(before, named)), is.or_else(|| covering(after, named))];
        if !decides_nothing(rules) {
            let (named, rules) = (&named.route, rules.map(route));
            let now = OffsetDateTime::now_utc();
            let among = Among { named, literals: &literals, now };
            difference.decisions.extend(rule_difference::compare(rules, among, &mut bench)?);
        }
        difference.add(was, is);
    }
    Ok(difference)
}

/// The routes of both sets, each with the one that is the same in the other.
fn pairs<'a>(before: &'a Policies, after: &'a Policies) -> Vec<[Option<&'a Entry>; 2]> {
    let mut pairs: BTreeMap<(String, &str), [Option<&Entry>; 2]> = BTreeMap::new();
    for (entries, side) in [(&before.entries, 0), (&after.entries, 1)] {
        for entry in entries {
            let key = (shape(&entry.route.published.label), entry.route.published.method.as_str());
            if let Some(place) = pairs.entry(key).or_default().get_mut(side) {
                *place = Some(entry);
            }
        }
    }
    pairs.into_values().collect()
}

/// Segments that stand in templates as they are.
pub(super) fn literals(policies: &Policies) -> impl Iterator<Item = String> {
    let segments = policies.entries.iter().flat_map(|entry| entry.route.published.label.split('/'));
    segments.filter(|segment| !segment.starts_with('{')).map(str::to_owned)
}

/// What no request is admitted or refused by.
const WITHOUT_VERDICT: [&str; 5] = ["api", "class", "upstream", "deprecated_from", "errors"];

/// Whether two rules say the same of what decides.
pub(super) fn decides_nothing(rules: [Option<&Entry>; 2]) -> bool {
    let [Some(before), Some(after)] = rules.map(|rule| rule.map(Statement::of)) else {
        return false;
    };
    // Though `class` chooses how stale an answer of the registry may be: an outage is no rule (decision 23).
    changes(&before, &after).iter().all(|change| WITHOUT_VERDICT.contains(&change.key))
}

fn route(entry: Option<&Entry>) -> Option<&Route> {
    entry.map(|entry| &entry.route)
}

/// The route of a set that all requests to a route meet which the set lacks.
fn covering<'a>(policies: &'a Policies, lacking: &Entry) -> Option<&'a Entry> {
    let fits = |entry: &&Entry| {
        entry.route.published.method == lacking.route.published.method
            && covers(&entry.route.published.label, &lacking.route.published.label)
    };
    policies.entries.iter().find(fits)
}

impl Difference {
    fn add(&mut self, before: Option<&Entry>, after: Option<&Entry>) {
        match (before.map(Statement::of), after.map(Statement::of)) {
            (None, Some(added)) => self.added.push(added),
            (Some(removed), None) => self.removed.push(removed),
            (Some(before), Some(after)) => {
                let changes = changes(&before, &after);
                if !changes.is_empty() {
                    let Statement { method, path, .. } = after;
                    self.changed.push(ChangedStatement { method, path, changes });
                }
            }
            (None, None) => {}
        }
    }

    /// Whether both sets say the same.
    pub fn is_empty(&self) -> bool {
        // What becomes of requests follows from what is said: of rules that say the same nobody is asked.
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

fn changes(before: &Statement, after: &Statement) -> Vec<KeyChange> {
    let path = ("path", Some(before.path.as_str()), Some(after.path.as_str()));
    // Both list the same keys in one order.
    let facts = before.facts().into_iter().zip(after.facts());
    let facts = facts.map(|((key, before), (_, after))| (key, before, after));
    std::iter::once(path)
        .chain(facts)
        .filter(|(_, before, after)| before != after)
        .map(|(key, before, after)| {
            let (before, after) = (before.map(str::to_owned), after.map(str::to_owned));
            KeyChange { key, before, after }
        })
        .collect()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "no difference");
        }
        let listed = [("+", &self.added), ("-", &self.removed)];
        let rows = listed.into_iter().flat_map(|(sign, routes)| {
            routes.iter().map(move |route| vec![format!("{sign} {}", route.method), told(route)])
        });
        f.write_str(&columns::align(&rows.collect::<Vec<_>>()))?;
        for ChangedStatement { method, path, changes } in &self.changed {
            writeln!(f, "~ {method} {path}")?;
            let rows: Vec<_> = changes.iter().map(KeyChange::cells).collect();
            f.write_str(&columns::align(&rows))?;
        }
        for (becomes, title) in [
            (Becomes::Allowed, "becomes allowed"),
            (Becomes::Refused, "becomes refused"),
            (Becomes::Otherwise, "is refused otherwise"),
        ] {
            let of_kind = self.decisions.iter().filter(|decision| decision.becomes == becomes);
            let rows: Vec<_> = of_kind.map(cells).collect();
            if !rows.is_empty() {
                write!(f, "\n{title}:\n{}", columns::align(&rows))?;
            }
        }
        let count = |becomes| self.decisions.iter().filter(|d| d.becomes == becomes).count();
        writeln!(
            f,
            "\n{} added, {} removed, {} changed; {} become allowed, {} become refused, \
             {} are refused otherwise",
            self.added.len(),
            self.removed.len(),
            self.changed.len(),
            count(Becomes::Allowed),
            count(Becomes::Refused),
            count(Becomes::Otherwise)
        )
    }
}

fn told(route: &Statement) -> String {
    let asked = [Some(route.access), route.scope.as_deref(), route.permission.as_deref()];
    let asked: Vec<&str> = asked.into_iter().flatten().collect();
    format!("{}  ({})", route.path, asked.join(", "))
}

fn cells(decision: &RuleDifference) -> Vec<String> {
    let RuleDifference { method, path, request, before, after, .. } = decision;
    let verdicts = format!("{before} -> {after}");
    vec![format!("  {method}"), path.clone(), request.clone(), verdicts]
}

impl KeyChange {
    fn cells(&self) -> Vec<String> {
        let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_owned());
        let change = format!("{} -> {}", shown(&self.before), shown(&self.after));
        vec![format!("    {}", self.key), change]
    }
}
