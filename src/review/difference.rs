//! `portaria policy diff`: what two sets of policies say differently, and which requests become allowed or
//! refused.
//!
//! Routes are the same if they have the same method and match the same paths, whatever files they stand
//! in and whatever their parameters are called.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::columns;
use super::decision::{self, Becomes, Decision};
use super::statement::{Statement, covers, shape};
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
    pub changed: Vec<Changed>,
    /// What becomes of requests.
    pub decisions: Vec<Decision>,
}

/// A route of which something else is said.
#[derive(Debug, Serialize)]
pub struct Changed {
    /// The method.
    pub method: String,
    /// The template, as the second set has it.
    pub path: String,
    /// What is said differently.
    pub changes: Vec<Change>,
}

/// One key.
#[derive(Debug, Serialize)]
pub struct Change {
    /// As in policy files.
    pub key: &'static str,
    /// What the first set says.
    pub before: Option<String>,
    /// What the second set says.
    pub after: Option<String>,
}

/// Compares two sets of policies.
pub fn compare(before: &Policies, after: &Policies) -> Difference {
    let mut pairs: BTreeMap<(String, &str), [Option<&Entry>; 2]> = BTreeMap::new();
    for (entries, side) in [(&before.entries, 0), (&after.entries, 1)] {
        for entry in entries {
            let key = (shape(&entry.route.label), entry.route.method.as_str());
            if let Some(place) = pairs.entry(key).or_default().get_mut(side) {
                *place = Some(entry);
            }
        }
    }
    let mut difference = Difference::default();
    for [was, is] in pairs.into_values() {
        let Some(named) = is.or(was) else { continue };
        let decided_by = was.or_else(|| covering(before, named));
        let decides = is.or_else(|| covering(after, named));
        let decisions = decision::compare(&named.route, route(decided_by), route(decides));
        difference.decisions.extend(decisions);
        difference.add(was, is);
    }
    difference
}

fn route(entry: Option<&Entry>) -> Option<&Route> {
    entry.map(|entry| &entry.route)
}

/// The route of a set that all requests to a route meet which the set lacks.
fn covering<'a>(policies: &'a Policies, lacking: &Entry) -> Option<&'a Entry> {
    let fits = |entry: &&Entry| {
        entry.route.method == lacking.route.method
            && covers(&entry.route.label, &lacking.route.label)
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
                    self.changed.push(Changed { method, path, changes });
                }
            }
            (None, None) => {}
        }
    }

    /// Whether both sets say the same.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

fn changes(before: &Statement, after: &Statement) -> Vec<Change> {
    let path = ("path", Some(before.path.as_str()), Some(after.path.as_str()));
    let facts = before.facts().into_iter().zip(after.facts());
    let facts = facts.map(|((key, before), (_, after))| (key, before, after));
    std::iter::once(path)
        .chain(facts)
        .filter(|(_, before, after)| before != after)
        .map(|(key, before, after)| {
            let (before, after) = (before.map(str::to_owned), after.map(str::to_owned));
            Change { key, before, after }
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
        for Changed { method, path, changes } in &self.changed {
            writeln!(f, "~ {method} {path}")?;
            let rows: Vec<_> = changes.iter().map(Change::cells).collect();
            f.write_str(&columns::align(&rows))?;
        }
        for (becomes, title) in
            [(Becomes::Allowed, "becomes allowed"), (Becomes::Refused, "becomes refused")]
        {
            let of_kind = self.decisions.iter().filter(|decision| decision.becomes == becomes);
            let rows: Vec<_> = of_kind.map(cells).collect();
            if !rows.is_empty() {
                write!(f, "\n{title}:\n{}", columns::align(&rows))?;
            }
        }
        let count = |becomes| self.decisions.iter().filter(|d| d.becomes == becomes).count();
        writeln!(
            f,
            "\n{} added, {} removed, {} changed; {} become allowed, {} become refused",
            self.added.len(),
            self.removed.len(),
            self.changed.len(),
            count(Becomes::Allowed),
            count(Becomes::Refused)
        )
    }
}

fn told(route: &Statement) -> String {
    let asked = [Some(route.access), route.scope.as_deref(), route.permission.as_deref()];
    let asked: Vec<&str> = asked.into_iter().flatten().collect();
    format!("{}  ({})", route.path, asked.join(", "))
}

fn cells(decision: &Decision) -> Vec<String> {
    vec![format!("  {}", decision.method), decision.path.clone(), decision.request.clone()]
}

impl Change {
    fn cells(&self) -> Vec<String> {
        let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_owned());
        let change = format!("{} -> {}", shown(&self.before), shown(&self.after));
        vec![format!("    {}", self.key), change]
    }
}
