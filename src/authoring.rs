//! Policies from specifications: `portaria policy import openapi`.
//!
//! Decides what the policy of an endpoint is, from two sources and no third: what its specification says
//! (`openapi`, `permissions`), and what was decided where that is silent, unclear or against the practice
//! of the ecosystem (`rulings`), each ruling with its reason. Takes OpenAPI 3.0 files and the registry
//! of versions (`registry`); gives one policy file for each API and major version (`write`), and tells
//! what changes in those that are there (`difference`). Refuses all that is malformed, at once and before
//! anything is written. What cannot be told is listed and left out (`settle`).
//!
//! Leaves to others: whether a configuration can serve the policies (`config`, that is, `portaria check`).

mod rulings;
mod difference;
mod openapi;
mod output;
mod permissions;
mod policy;
mod registry;
mod settle;
mod source;
mod write;
mod yaml;

use std::cell::RefCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::config::Mistake;
use crate::config::document::{Mistakes, Place};
use openapi::Specification;
use output::{Existing, Output};
use policy::Policy;
use registry::{VersionRegistry, VersionStage};
use rulings::Rulings;
use settle::{PolicyRoute, RulingUse, Settled};

/// The upstream of a route that had none.
const UPSTREAM: &str = "legacy";

/// What is asked.
#[derive(Clone, Debug)]
pub struct SpecificationImport {
    /// OpenAPI files, and directories of them.
    pub sources: Vec<PathBuf>,
    /// The registry of versions: without it every specification is in force.
    pub registry: Option<PathBuf>,
    /// Rulings beside the shipped ones.
    pub decisions: Option<PathBuf>,
    /// The upstream of every route; without it routes keep theirs.
    pub upstream: Option<String>,
    /// The directory of the policies.
    pub output: PathBuf,
    /// Whether nothing is written.
    pub is_check: bool,
}

/// What became of it.
#[derive(Debug)]
pub struct Imported {
    /// The changes, what was left out by a ruling, and the counts.
    pub report: String,
    /// What deserves attention.
    pub notes: Vec<Mistake>,
    /// Whether a specification was left out because of a mistake in it.
    pub has_mistakes: bool,
    /// Whether an operation was left out because something of it cannot be told.
    pub is_incomplete: bool,
    /// Whether the policies differ from those in the directory.
    pub has_changes: bool,
}

/// Imports, or says everything that is wrong. A mistake in a specification is that specification's alone: the others
/// are imported, and the policies that it has a part in stay as they are.
pub fn run(import: &SpecificationImport) -> Result<Imported, Vec<Mistake>> {
    let mistakes = Mistakes::default();
    let mut work = Work::new(import, &mistakes);
    let files = source::specifications(&import.sources, &mistakes);
    let of_files: Vec<Mistakes> = files.iter().map(|file| work.read(file)).collect();
    let all = |mistakes: &Mistakes| {
        let files = of_files.iter().flat_map(Mistakes::take);
        mistakes.take().into_iter().chain(files).collect::<Vec<_>>()
    };
    let clashing = policy::reject_overlaps(&work.rules);
    // Which of the two is right nobody knows: both files stay as they are.
    work.held.extend(clashing);
    work.look_at_rulings();
    let routes = work.rules.len();
    work.sort_rules();
    let mut outputs = work.outputs();
    let is_all_wrong = !files.is_empty() && of_files.iter().all(Mistakes::prevent_loading);
    if mistakes.prevent_loading() || is_all_wrong {
        return Err(all(&mistakes));
    }
    let held = work.hold_back(&mut outputs);
    if !import.is_check {
        output::write(&outputs, &import.output, &mistakes);
    }
    if mistakes.prevent_loading() {
        return Err(all(&mistakes));
    }
    let mut report = String::new();
    outputs.iter().for_each(|output| output.report(&mut report));
    work.report(&mut report);
    // Writing to a string does not fail.
    for name in held {
        let _ = writeln!(report, "stays as it is, for a specification has mistakes: {name}");
    }
    let (files, policies, changed) = (files.len(), work.apis.len(), outputs.len());
    let _ = writeln!(
        report,
        "{files} specifications, {policies} policies, {routes} routes, {changed} policies changed"
    );
    let has_mistakes = of_files.iter().any(Mistakes::prevent_loading);
    let (is_incomplete, has_changes) = (work.is_incomplete, !outputs.is_empty());
    Ok(Imported { report, notes: all(&mistakes), has_mistakes, is_incomplete, has_changes })
}

/// An import under way.
struct Work<'a> {
    import: &'a SpecificationImport,
    mistakes: &'a Mistakes,
    rulings: Rulings,
    registry: Option<VersionRegistry>,
    uses: RefCell<RulingUse>,
    rules: Vec<PolicyRoute>,
    /// By base path.
    apis: BTreeMap<String, Policy>,
    /// How many operations of which specification are no business of a transmitter, or not any more, and
    /// why.
    left_out: BTreeMap<(String, String), usize>,
    /// Base paths of all specifications: where none has a route, the policy goes.
    bases: BTreeSet<String>,
    /// Every operation of the specifications in force.
    seen: BTreeSet<String>,
    /// Names and versions of the specifications, and those names alone.
    given: (BTreeSet<(String, String)>, BTreeSet<String>),
    /// Base paths of specifications with mistakes: what is not known of them must not be lost.
    held: BTreeSet<String>,
    /// Whether some specification with mistakes does not even say its base path.
    is_any_held: bool,
    is_incomplete: bool,
}

impl<'a> Work<'a> {
    fn new(import: &'a SpecificationImport, mistakes: &'a Mistakes) -> Self {
        let registry =
            import.registry.as_deref().and_then(|file| VersionRegistry::read(file, mistakes));
        Self {
            import,
            mistakes,
            rulings: Rulings::read(import.decisions.as_deref(), mistakes),
            registry,
            uses: RefCell::default(),
            rules: Vec::new(),
            apis: BTreeMap::new(),
            left_out: BTreeMap::new(),
            bases: BTreeSet::new(),
            seen: BTreeSet::new(),
            given: Default::default(),
            held: BTreeSet::new(),
            is_any_held: false,
            is_incomplete: false,
        }
    }

    /// Reads a specification, and gives what is wrong with it: then nothing of it is added.
    fn read(&mut self, file: &Path) -> Mistakes {
        let own = Mistakes::default();
        let before = self.rules.len();
        let read = Specification::read(file, &own);
        if let Some(specification) = &read {
            self.add(specification);
        }
        if own.prevent_loading() {
            // What was added of it goes, too: half a specification would take away the other half's routes.
            self.rules.truncate(before);
            match read.and_then(|specification| specification.base().ok()) {
                Some(base) => drop(self.held.insert(base)),
                None => self.is_any_held = true,
            }
        }
        own
    }

    /// Leaves the files alone that a specification with mistakes has, or may have, a part in. Gives their names.
    fn hold_back(&self, outputs: &mut Vec<Output>) -> Vec<String> {
        let of_base = |base: &String| Policy::new(base).map(|policy| policy.file());
        let held: BTreeSet<String> = self.held.iter().filter_map(of_base).collect();
        let is_held = |output: &Output| {
            held.contains(output.name()) || (self.is_any_held && output.loses_routes())
        };
        let names = outputs.iter().filter(|output| is_held(output));
        let names = names.map(|output| output.name().to_owned()).collect();
        outputs.retain(|output| !is_held(output));
        names
    }

    /// Adds what a specification says, if it is in force.
    fn add(&mut self, specification: &Specification) {
        let Specification { name, version, .. } = specification;
        self.given.0.insert((name.clone(), version.clone()));
        self.given.1.insert(name.clone());
        let mut stage = None;
        if let Some(registry) = &self.registry {
            stage = registry.stage(name, version);
            let Some(stage) = stage else {
                let text = format!("left out: the registry does not have {name} {version}");
                specification.place().warn(text);
                self.is_incomplete = true;
                return;
            };
            if !stage.is_in_force() {
                let why = format!("{} in the registry", stage.as_str());
                let operations = specification.count_operations();
                self.left_out.insert((format!("{name} {version}"), why), operations);
                // The successor has the same base path, and its policy must not go.
                if !registry.has_successor(name, version) {
                    self.bases.extend(specification.base().ok());
                }
                return;
            }
        }
        self.bases.extend(specification.base().ok());
        for operation in specification.operations() {
            self.seen.insert(operation.place.key().to_owned());
            match settle::settle(&operation, version, &self.rulings, &self.uses) {
                Settled::Route(rule) => self.add_rule(*rule, specification, stage),
                Settled::LeftOut(index) => {
                    let why = self.rulings.get(index).map(|ruling| ruling.reason.clone());
                    let key = (format!("{name} {version}"), why.unwrap_or_default());
                    *self.left_out.entry(key).or_default() += 1;
                }
                Settled::Unknown(unknown) => {
                    self.is_incomplete = true;
                    let unknown = unknown.join("; ");
                    operation.place.warn(format!("left out: {unknown}, accepted: a decision"));
                }
            }
        }
    }

    fn add_rule(
        &mut self,
        rule: PolicyRoute,
        specification: &Specification,
        stage: Option<VersionStage>,
    ) {
        let Specification { name, version, title, .. } = specification;
        let policy = match self.apis.entry(rule.base.clone()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => match Policy::new(&rule.base) {
                Some(policy) => entry.insert(policy),
                None => {
                    let accepted = "accepted: a path that ends with one, such as /consents/v3";
                    let text = format!("{:?} names no API and version, {accepted}", rule.base);
                    return specification.reject_servers(text);
                }
            },
        };
        // The version is what answers carry as x-v: it must not contradict the path.
        if version.split('.').next() != Some(&policy.major) {
            let major = &policy.major;
            let text = format!("are of version {major}, accepted: that of {version}");
            return specification.reject_servers(text);
        }
        policy.is_deprecated |= stage == Some(VersionStage::Deprecated);
        let stage = stage.map(|stage| format!(", {}", stage.as_str())).unwrap_or_default();
        // It stands in a comment, which a line break would end.
        let title: String = title.chars().filter(|c| !c.is_control()).collect();
        policy.sources.insert(format!("{name} {version} ({title}){stage}"));
        policy.scopes.extend(specification.scopes.iter().cloned());
        self.rules.push(rule);
    }

    /// Rulings about nothing, and about what specifications say themselves, have had their day.
    fn look_at_rulings(&self) {
        for (_, ruling) in self.rulings.iter() {
            for route in &ruling.routes {
                let is_imported = self.apis.keys().any(|base| {
                    route
                        .split_once(' ')
                        .is_some_and(|(_, path)| path.starts_with(&format!("{base}/")))
                });
                if is_imported && !self.seen.contains(route) {
                    ruling.place.warn(format!("{route} is in no specification"));
                }
            }
        }
        for (index, fact) in self.uses.borrow().needless() {
            if let Some(ruling) = self.rulings.get(*index) {
                ruling.place.warn(format!("{fact} is what the specifications say themselves"));
            }
        }
    }

    /// Gives each route to its API.
    fn sort_rules(&mut self) {
        for rule in std::mem::take(&mut self.rules) {
            if let Some(policy) = self.apis.get_mut(&rule.base) {
                policy.rules.push(rule);
            }
        }
    }

    /// The files that change.
    fn outputs(&mut self) -> Vec<Output> {
        let directory = &self.import.output;
        let mut outputs = Vec::new();
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        for (base, policy) in &mut self.apis {
            let name = policy.file();
            if let Some(other) = names.insert(name.clone(), base.clone()) {
                let text = format!("would be {name} as {other} is, accepted: one API of a name");
                Place::of_file(base, self.mistakes).reject(text);
            }
            let existing = Existing::read(directory, name, self.mistakes);
            for rule in &mut policy.rules {
                let kept = existing.upstream(&rule.method, &rule.path);
                // The file's own before the usual one: the operator may have changed it by hand.
                let upstream = self.import.upstream.as_deref().or(kept).unwrap_or(UPSTREAM);
                rule.keys.insert("upstream", upstream.to_owned());
            }
            policy.arrange();
            let text = write::text(policy, &self.rulings);
            outputs.extend(existing.become_text(Some(text), self.mistakes));
        }
        for base in &self.bases {
            let name = Policy::new(base).map(|policy| policy.file());
            if let Some(name) = name.filter(|name| !names.contains_key(name)) {
                let existing = Existing::read(directory, name, self.mistakes);
                if existing.is_there() {
                    outputs.extend(existing.become_text(None, self.mistakes));
                }
            }
        }
        outputs
    }

    /// Tells what no file of the policies shows.
    fn report(&self, report: &mut String) {
        // Writing to a string does not fail.
        for ((what, why), operations) in &self.left_out {
            let _ = writeln!(report, "left out: {what} ({operations}): {why}");
        }
        let unknown = self.apis.values().filter(|policy| policy.lacks_retirement());
        let unknown: Vec<String> = unknown.map(Policy::name).collect();
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            let _ =
                writeln!(report, "deprecated, to be retired on a day that is not known: {unknown}");
        }
        let (given, names) = &self.given;
        let in_force = self.registry.iter().flat_map(|registry| registry.in_force(names));
        let missing: Vec<String> = in_force
            .filter(|(name, version)| !given.contains(&((*name).to_owned(), (*version).to_owned())))
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            let _ = writeln!(report, "in force by the registry, but not given: {missing}");
        }
    }
}
