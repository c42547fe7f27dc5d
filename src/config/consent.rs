//! `[consent]`: by which rules consents are judged, and who says what of them.

use std::sync::Arc;
use std::time::Duration;

use super::Kept;
use super::document::{Place, Table};
use super::endpoint::{self, EndpointSettings, Needs};
use super::services::{FIVE_MINUTES, read_age};
use super::values;
use crate::consent::preset::Consumption;
use crate::consent::{Consents, Lapse, Preset, Registry, Rules};
use crate::terms::permission::Renamed;
use crate::terms::{Members, MissingExpiration, Reading};

/// What `[consent]` says.
#[derive(PartialEq)]
pub(super) struct ConsentSettings {
    registry: Option<EndpointSettings>,
    reading: Reading,
    rules: Rules,
    keep: Duration,
    capacity: u64,
}

impl Default for ConsentSettings {
    fn default() -> Self {
        let preset = Preset::default();
        Self {
            registry: None,
            reading: Reading {
                members: Members::default(),
                states: preset.rules().states(),
                missing_expiration: preset.missing_expiration(),
            },
            rules: preset.rules(),
            keep: Duration::from_secs(5),
            capacity: 100_000,
        }
    }
}

/// Reads `[consent]` and builds the stage, or keeps the one that the same settings built before. Without
/// the table there is no registry: routes that need a consent cannot be decided, which is reported where
/// such routes are configured.
pub(super) fn read_consents(
    root: &Table<'_>,
    before: Option<&Kept>,
) -> Option<(ConsentSettings, Arc<Consents>)> {
    let mut settings = ConsentSettings::default();
    let mut registry = None;
    if let Some(table) = root.table("consent") {
        read_rules(&table, &mut settings);
        settings.reading.members =
            table.table("members").map_or_else(Members::default, |t| read_members(&t));
        settings.keep = read_age(&table, "keep", FIVE_MINUTES).unwrap_or(settings.keep);
        settings.capacity =
            table.number("cache_capacity", 1, 10_000_000).unwrap_or(settings.capacity);
        let (endpoint, place): (EndpointSettings, Place) =
            endpoint::read(&table, "registry", Needs::default())?;
        registry = Some(Registry::new(endpoint.remote(&place)?, settings.reading.clone()));
        settings.registry = Some(endpoint);
    } else if root.has("consent") {
        return None;
    }
    if let Some(kept) = before.filter(|kept| kept.consent.0 == settings) {
        return Some((settings, kept.consent.1.clone()));
    }
    let revisions = before.map(|kept| kept.consent.1.revisions()).unwrap_or_default();
    let (keep, capacity) = (settings.keep, settings.capacity);
    let consents = Consents::new(registry, settings.rules, keep, capacity, revisions);
    Some((settings, Arc::new(consents)))
}

impl ConsentSettings {
    /// Whether a registry is configured.
    pub(super) fn has_registry(&self) -> bool {
        self.registry.is_some()
    }
}

/// The preset, and what single settings say otherwise.
fn read_rules(table: &Table<'_>, settings: &mut ConsentSettings) {
    let presets = Preset::ALL.map(|preset| (preset.name(), preset));
    let preset = choose(table, "preset", &presets).unwrap_or_default();
    let mut rules = preset.rules();
    rules.authorisation_window = read_window(table).unwrap_or(rules.authorisation_window);
    let consumptions = [
        ("201_or_422", Consumption::CreatedOrDeclined),
        ("201", Consumption::Created),
        ("never", Consumption::Never),
    ];
    rules.consumption = choose(table, "consumed_after", &consumptions).unwrap_or(rules.consumption);
    let renamed = [("accept", Renamed::Accept), ("refuse", Renamed::Refuse)];
    rules.renamed = choose(table, "renamed_permissions", &renamed).unwrap_or(rules.renamed);
    let lapses =
        [("insufficient_scope", Lapse::InsufficientScope), ("invalid_token", Lapse::InvalidToken)];
    let lapse = choose(table, "lapsed_initiation", &lapses);
    rules.initiation_lapse = lapse.unwrap_or(rules.initiation_lapse);
    settings.rules = rules;
    settings.reading.states = rules.states();
    let missing =
        [("refuse", MissingExpiration::Refuse), ("never_expires", MissingExpiration::NeverExpires)];
    settings.reading.missing_expiration =
        choose(table, "missing_expiration", &missing).unwrap_or(preset.missing_expiration());
}

/// The value that goes with one of a few words.
fn choose<T: Copy>(table: &Table<'_>, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
    let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
    let accepted = match words.split_last() {
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    };
    let value_of =
        |text: &str| choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    Some(table.parsed(key, &accepted, value_of)?.value)
}

/// The window of authorisation, or nothing inside if there is to be none.
fn read_window(table: &Table<'_>) -> Option<Option<Duration>> {
    let accepted = format!("{} or \"none\"", values::DURATION);
    let window = table.parsed("authorisation_window", &accepted, |text| match text {
        "none" => Some(None),
        _ => values::duration(text).map(Some),
    });
    window.map(|window| window.value)
}

fn read_members(table: &Table<'_>) -> Members {
    let accepted = "a JSON pointer (RFC 6901) such as \"/data/status\"";
    let is_pointer = |text: &str| text.starts_with('/').then(|| text.to_owned());
    let defaults = Members::default();
    let pointer = |key, default| {
        table.parsed(key, accepted, is_pointer).map_or(default, |pointer| pointer.value)
    };
    Members {
        id: pointer("id", defaults.id),
        status: pointer("status", defaults.status),
        permissions: pointer("permissions", defaults.permissions),
        expiration: pointer("expiration", defaults.expiration),
        created: pointer("created", defaults.created),
        client_id: pointer("client_id", defaults.client_id),
    }
}
