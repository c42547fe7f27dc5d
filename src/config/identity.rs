//! `[identity]`: what is asked of client certificates beyond their path.

use super::document::Table;
use super::values;
use crate::identity::{Level, Preset, Profile, Rule};

const PREFIXES: &str = "one or more prefixes of organizationIdentifier such as \"OPIBR-\"";

/// Reads the profile: a preset, and what is changed of it.
pub(super) fn read_profile(root: &Table<'_>) -> Profile {
    let Some(table) = root.table("identity") else {
        return Preset::OpinProduction.profile();
    };
    let names = Preset::ALL.map(|preset| format!("{:?}", preset.name())).join(", ");
    let preset = table.parsed("profile", &names, Preset::parse);
    let mut profile = preset.map_or(Preset::OpinProduction, |preset| preset.value).profile();
    if let Some(prefixes) = read_prefixes(&table) {
        profile.organisation_prefixes = prefixes;
    }
    let longest = table.parsed("longest_validity", values::DURATION, values::duration);
    if let Some(longest) = longest {
        profile.longest_validity = longest.value;
    }
    if let Some(rules) = table.table("rules") {
        for rule in Rule::ALL {
            let accepted = "\"enforce\", \"warn\" or \"off\"";
            if let Some(level) = rules.parsed(rule.name(), accepted, Level::parse) {
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
