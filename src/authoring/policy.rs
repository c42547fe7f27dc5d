//! Routes to policies: one for each API and major version.

use std::collections::{BTreeMap, BTreeSet};

use super::settle::{PolicyKeys, PolicyRoute};
use crate::config::values;

/// Keys that a file may say once for its routes. The most frequent value stands at its top.
const SAID_ONCE: [&str; 4] = ["version", "class", "interaction_id", "upstream"];
/// Keys that stand at the top only if they are those of every route.
const SAID_FOR_ALL: [&str; 5] =
    ["x_v", "available_from", "deprecated_from", "retired_from", "shadow_until"];

/// What a policy file will say.
pub(super) struct Policy {
    pub(super) api: String,
    pub(super) major: String,
    pub(super) base: String,
    /// What stands at its top, for its routes.
    pub(super) head: PolicyKeys,
    /// The scopes of its API.
    pub(super) scopes: BTreeSet<String>,
    /// In the order of their paths. What the top says is not repeated.
    pub(super) rules: Vec<PolicyRoute>,
    /// Its specifications, each in words.
    pub(super) sources: BTreeSet<String>,
    /// Whether the registry has one of them as deprecated.
    pub(super) is_deprecated: bool,
}

impl Policy {
    /// An API without routes yet. The base path must end with its name and major version.
    pub(super) fn new(base: &str) -> Option<Self> {
        let (rest, version) = base.rsplit_once('/')?;
        let (_, api) = rest.rsplit_once('/')?;
        let major = version.strip_prefix('v')?;
        let is_major = !major.is_empty() && major.bytes().all(|b| b.is_ascii_digit());
        let api = values::name(api).filter(|_| is_major)?;
        Some(Self {
            api,
            major: major.to_owned(),
            base: base.to_owned(),
            head: PolicyKeys::new(),
            scopes: BTreeSet::new(),
            rules: Vec::new(),
            sources: BTreeSet::new(),
            is_deprecated: false,
        })
    }

    /// Its API and major version.
    pub(super) fn name(&self) -> String {
        format!("{}-v{}", self.api, self.major)
    }

    /// The name of its file.
    pub(super) fn file(&self) -> String {
        format!("{}.toml", self.name())
    }

    /// Whether it will be retired on a day that nobody told.
    pub(super) fn lacks_retirement(&self) -> bool {
        self.is_deprecated && !self.head.contains_key("retired_from")
    }

    /// Brings it into the form in which it is written.
    pub(super) fn arrange(&mut self) {
        // Sorted: a specification that was only rearranged changes no policy.
        self.rules.sort_by_key(|rule| (rule.path.clone(), order(&rule.method)));
        for name in SAID_ONCE.into_iter().chain(SAID_FOR_ALL) {
            let mut values: BTreeMap<&str, usize> = BTreeMap::new();
            for value in self.rules.iter().filter_map(|rule| rule.keys.get(name)) {
                *values.entry(value).or_default() += 1;
            }
            // Of equally frequent ones the last in the order of their texts, which is the newest version.
            let Some((value, count)) = values.into_iter().max_by_key(|(_, count)| *count) else {
                continue;
            };
            if SAID_FOR_ALL.contains(&name) && count < self.rules.len() {
                continue;
            }
            let value = value.to_owned();
            for rule in &mut self.rules {
                if rule.keys.get(name) == Some(&value) {
                    rule.keys.remove(name);
                }
            }
            self.head.insert(name, value);
        }
    }
}

/// Methods in the order in which a file lists those of a path.
fn order(method: &str) -> usize {
    ["GET", "POST", "PUT", "PATCH", "DELETE"].iter().position(|known| *known == method).unwrap_or(5)
}

/// Two routes that one request could mean are reported at the later one. Gives the base paths of both.
pub(super) fn reject_overlaps(rules: &[PolicyRoute]) -> BTreeSet<String> {
    let mut clashing = BTreeSet::new();
    for (index, rule) in rules.iter().enumerate() {
        for other in rules.iter().take(index) {
            let is_same = rule.template == other.template;
            let clashes = !is_same || rule.method == other.method;
            if clashes && rule.template.overlaps(&other.template) {
                let (method, template) = (&other.method, &other.template);
                let at = other.place.file_and_line();
                let accepted = "accepted: templates of which a path matches one, each method once";
                rule.place.reject(format!("overlaps {method} {template} at {at}, {accepted}"));
                clashing.extend([rule.base.clone(), other.base.clone()]);
            }
        }
    }
    clashing
}
