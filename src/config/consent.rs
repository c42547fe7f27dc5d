//! `[consent]`: by which rules consents are judged, and who says what of them.

use std::time::Duration;

use super::document::Table;
use super::endpoint::{self, EndpointSettings, Needs};
use super::listeners::ListenerSettings;
use super::webhook::{WebhookSettings, read_webhook};
use super::words::Keyword;
use super::{breaker, traffic};
use crate::ask::BreakerSettings;
use crate::consent::{ConsentKind, ConsentPreset, ConsentRules, ConsentSource, Memory};
use crate::route::PriorityClass;
use crate::terms::{MemberPointers, MissingExpiration, Reading, States};

/// What `[consent]` says.
#[derive(Debug, PartialEq)]
pub struct ConsentSettings {
    /// The ecosystem.
    pub preset: ConsentPreset,
    /// Who says what a consent permits.
    pub teller: ConsentSource,
    /// The registry, if there is one.
    pub registry: Option<EndpointSettings>,
    /// How its descriptions of consents are read.
    pub consents: Reading,
    /// How its descriptions of enrollments are read.
    pub enrollments: Reading,
    /// By which consents are judged.
    pub rules: ConsentRules,
    /// What is kept of answers.
    pub memory: Memory,
    /// When the registry is left alone.
    pub breaker: BreakerSettings,
    /// What an outage means to each class of routes.
    pub stale_for: StaleFor,
    /// How the registry tells of changes.
    pub webhook: Option<WebhookSettings>,
}

/// For how long each class of routes is content with an answer that is out of date, when the registry
/// cannot be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StaleFor([Option<Duration>; PriorityClass::ALL.len()]);

impl StaleFor {
    /// For how long a class is.
    pub fn of(&self, class: PriorityClass) -> Option<Duration> {
        let [high, medium, admin] = self.0;
        match class {
            PriorityClass::High => high,
            PriorityClass::Medium => medium,
            PriorityClass::Admin => admin,
        }
    }
}

impl Default for ConsentSettings {
    fn default() -> Self {
        let preset = ConsentPreset::default();
        let reading = |kind| Reading {
            kind,
            members: MemberPointers::of(kind),
            states: preset.rules().states(),
            missing_expiration: preset.missing_expiration(),
        };
        Self {
            preset,
            teller: ConsentSource::Registry,
            registry: None,
            consents: reading(ConsentKind::Consent),
            enrollments: reading(ConsentKind::Enrollment),
            rules: preset.rules(),
            memory: Memory {
                keep: Duration::from_secs(5),
                keep_unknown: Duration::from_secs(5),
                capacity: 100_000,
                // As long as an access token of the profile lives.
                ended: Duration::from_secs(900),
                stale_for: None,
            },
            breaker: breaker::DEFAULT,
            stale_for: StaleFor::default(),
            webhook: None,
        }
    }
}

/// Reads `[consent]`. Without the table there is no registry: routes that need a consent cannot be decided, which is
/// reported where such routes are configured.
pub(super) fn read_consents(
    root: &Table<'_>,
    listeners: &[ListenerSettings],
) -> Option<ConsentSettings> {
    let mut settings = ConsentSettings::default();
    let Some(table) = root.table("consent") else {
        return (!root.has("consent")).then_some(settings);
    };
    read_rules(&table, &mut settings);
    if let Some(members) = table.table("members") {
        read_members(&members, &mut settings);
    }
    settings.memory = read_memory(&table);
    settings.breaker = breaker::read(&table);
    settings.stale_for = read_stale_for(&table);
    // Kept as long as the most patient class bears it; each request asks how old it may be for its own.
    settings.memory.stale_for = settings.stale_for.0.into_iter().flatten().max();
    let names = traffic::names_of(root, "listeners");
    settings.webhook = read_webhook(&table, listeners, names.as_deref());
    settings.teller = table.word_or_default("source");
    // A path may name a consent of the caller's, which no token tells of.
    if settings.teller == ConsentSource::Registry || table.has("registry") {
        settings.registry = endpoint::read(&table, "registry", Needs::default());
    }
    Some(settings)
}

impl ConsentSettings {
    /// How the state and the end of a consent are understood, whoever tells them.
    pub(super) fn states_and_missing_expiration(&self) -> (States, MissingExpiration) {
        (self.consents.states, self.consents.missing_expiration)
    }
}

/// The keys of the rules by which consents are judged.
pub(super) const RULES: [&str; 6] = [
    "preset",
    "authorisation_window",
    "consumed_after",
    "renamed_permissions",
    "lapsed_initiation",
    "missing_expiration",
];

/// The preset, and what single settings say otherwise.
fn read_rules(table: &Table<'_>, settings: &mut ConsentSettings) {
    let preset: ConsentPreset = table.word_or_default("preset");
    settings.preset = preset;
    let mut rules = preset.rules();
    let window = table.duration_or_word("authorisation_window");
    rules.authorisation_window = window.map_or(rules.authorisation_window, |window| window.value);
    rules.consumption = of_preset(table, "consumed_after", rules.consumption);
    rules.renamed = of_preset(table, "renamed_permissions", rules.renamed);
    rules.initiation_lapse = of_preset(table, "lapsed_initiation", rules.initiation_lapse);
    settings.rules = rules;
    let missing_expiration = of_preset(table, "missing_expiration", preset.missing_expiration());
    for reading in [&mut settings.consents, &mut settings.enrollments] {
        reading.states = rules.states();
        reading.missing_expiration = missing_expiration;
        reading.members.linked = preset.linked_member().map(str::to_owned);
    }
}

/// What a key says, or else the preset.
fn of_preset<T: Keyword>(table: &Table<'_>, key: &'static str, preset: T) -> T {
    table.word(key).map_or(preset, |word| word.value)
}

fn read_memory(table: &Table<'_>) -> Memory {
    Memory {
        keep: table.duration_or_default("keep"),
        keep_unknown: table.duration_or_default("keep_unknown"),
        capacity: table.count("cache_capacity"),
        ended: table.duration_or_default("remember_ended"),
        stale_for: None,
    }
}

fn read_stale_for(table: &Table<'_>) -> StaleFor {
    let table = table.table_or_none("stale_for");
    StaleFor(PriorityClass::ALL.map(|class| {
        let read = table.duration_or_word(class.as_str())?;
        if read.value.is_some() {
            let text =
                "a consent that is revoked elsewhere during an outage stays in force so long";
            read.place.warn(text);
        }
        read.value
    }))
}

/// The members have the same names in both kinds of descriptions, but for the id.
fn read_members(table: &Table<'_>, settings: &mut ConsentSettings) {
    let accepted = "a JSON pointer (RFC 6901) such as \"/data/status\"";
    let pointer = |key| {
        let is_pointer = |text: &str| text.starts_with('/').then(|| text.to_owned());
        Some(table.parsed(key, accepted, is_pointer)?.value)
    };
    let replace = |member: &mut String, key| {
        if let Some(pointer) = pointer(key) {
            *member = pointer;
        }
    };
    let members = &mut settings.consents.members;
    replace(&mut members.id, "id");
    replace(&mut members.status, "status");
    replace(&mut members.permissions, "permissions");
    replace(&mut members.expiration, "expiration");
    replace(&mut members.created, "created");
    replace(&mut members.client_id, "client_id");
    // After `read_rules`, which puts the preset's there.
    members.linked = pointer("linked").or(members.linked.take());
    let mut of_enrollments =
        MemberPointers { id: settings.enrollments.members.id.clone(), ..members.clone() };
    replace(&mut of_enrollments.id, "enrollment_id");
    settings.enrollments.members = of_enrollments;
}
