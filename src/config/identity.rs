//! `[identity]`: what is asked of client certificates beyond their path.

use super::document::Table;
use crate::identity::{Level, Preset, Profile, Rule};

const PREFIXES: &str = "one or more prefixes of organizationIdentifier such as \"OPIBR-\"";

/// Reads the profile: a preset, and what is changed of it.
pub(super) fn read_profile(root: &Table<'_>) -> Profile {
    let table = root.table_or_none("identity");
    let mut profile = table.word_or_default::<Preset>("profile").profile();
    if let Some(prefixes) = read_prefixes(&table) {
        profile.organisation_prefixes = prefixes;
    }
    if let Some(longest) = table.duration("longest_validity") {
        profile.longest_validity = longest.value;
    }
    if let Some(rules) = table.table("rules") {
        for rule in Rule::ALL {
            if let Some(level) = rules.word::<Level>(rule.name()) {
                let is_weaker = level.value != Level::Enforce;
                if is_weaker && profile.levels.of(rule) == Level::Enforce {
                    level.place.warn(
                        "is enforced by the profile: certificates that break it are admitted",
                    );
                }
                profile.levels = profile.levels.with(rule, level.value);
            }
        }
    }
    profile
}

fn read_prefixes(table: &Table<'_>) -> Option<Vec<String>> {
    let prefixes = table.strings("organisation_prefixes", PREFIXES)?;
    if prefixes.value.is_empty() || prefixes.value.iter().any(String::is_empty) {
        prefixes.place.reject(format!("is or has an empty prefix, accepted: {PREFIXES}"));
    }
    Some(prefixes.value)
}
