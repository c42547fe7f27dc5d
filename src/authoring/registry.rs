//! The registry of API versions: which specifications are in force.
//!
//! The ecosystem publishes it as JSON, `{"urls": [{"group", "version", "stage"}]}`; a group is the name of
//! a specification's file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::openapi::full_version;
use super::source;
use super::yaml::Node;
use crate::config::document::{Mistakes, Place};

/// The official registry has a tenth of a megabyte.
const LARGEST: u64 = 4 * 1024 * 1024;

/// What the registry says of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VersionStage {
    Developing,
    Current,
    Deprecated,
    Retired,
}

impl VersionStage {
    const ALL: [Self; 4] = [Self::Developing, Self::Current, Self::Deprecated, Self::Retired];

    /// The name in the registry.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Developing => "developing",
            Self::Current => "current",
            Self::Deprecated => "deprecated",
            Self::Retired => "retired",
        }
    }

    /// Whether participants serve it.
    pub(super) fn is_in_force(self) -> bool {
        matches!(self, Self::Current | Self::Deprecated)
    }
}

/// Stages by group and version.
pub(super) struct VersionRegistry(BTreeMap<(String, String), VersionStage>);

impl VersionRegistry {
    /// Reads a registry, or reports what is wrong with it.
    pub(super) fn read(path: &Path, mistakes: &Mistakes) -> Option<Self> {
        let file = path.display().to_string();
        let text = source::read(path, LARGEST, mistakes)?;
        let reject = |line, text: String| Place::at(&file, line, "urls", mistakes).reject(text);
        let root = Node::parse(&text).map_err(|fault| reject(fault.line, fault.text)).ok()?;
        let entries = root.get("urls").map(Node::items).unwrap_or_default();
        if entries.is_empty() {
            reject(1, "is missing or empty, accepted: the versions of the APIs".to_owned());
        }
        let mut stages = BTreeMap::new();
        for entry in entries {
            let accepted = "accepted: group, version and stage, each version once";
            let stage = entry.text_of("stage").unwrap_or_default();
            let stage = VersionStage::ALL.into_iter().find(|known| known.as_str() == stage);
            match (entry.text_of("group"), entry.text_of("version"), stage) {
                (Some(group), Some(version), Some(stage)) => {
                    // As it stands if it is none: then no specification has it, and it is in nobody's way.
                    let version = full_version(version).unwrap_or_else(|| version.to_owned());
                    let key = (group.to_owned(), version.clone());
                    if stages.insert(key, stage).is_some_and(|other| other != stage) {
                        reject(
                            entry.line(),
                            format!("{group} {version} has two stages, {accepted}"),
                        );
                    }
                }
                _ => reject(entry.line(), format!("has an entry that lacks something, {accepted}")),
            }
        }
        Some(Self(stages))
    }

    /// The versions of some specifications that are in force.
    pub(super) fn in_force<'a>(
        &'a self,
        groups: &'a BTreeSet<String>,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let in_force = self
            .0
            .iter()
            .filter(|((group, _), stage)| groups.contains(group) && stage.is_in_force());
        in_force.map(|((group, version), _)| (group.as_str(), version.as_str()))
    }

    /// Whether another version of the same major, which has the same paths, is in force.
    pub(super) fn has_successor(&self, group: &str, version: &str) -> bool {
        let major = |version: &str| version.split('.').next().map(str::to_owned);
        self.0.iter().any(|((other, of_other), stage)| {
            other == group && major(of_other) == major(version) && stage.is_in_force()
        })
    }

    /// The stage of a version.
    pub(super) fn stage(&self, group: &str, version: &str) -> Option<VersionStage> {
        self.0.get(&(group.to_owned(), version.to_owned())).copied()
    }
}
