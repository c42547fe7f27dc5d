//! Rulings: what specifications do not say, say unclearly, or say against the practice of the ecosystem.
//!
//! A file of `[[decisions]]` tables. Each names what it is about, either exact `routes` or everything
//! `below` a path, the facts that it decides, and its reason: there is no ruling without one. The more
//! exact ruling counts. The shipped file is part of the binary; another adds to it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::document::{Document, Mistakes, Place, Table};
use crate::consent::Permission;
use crate::route::lifetime::disorder;
use crate::route::{ErrorForm, PriorityClass, Template};
use crate::scope::Scope;

/// The file that is shipped.
const SHIPPED: &str = include_str!("../../policies/catalogue/decisions.toml");
const NAME_OF_SHIPPED: &str = "policies/catalogue/decisions.toml";

/// What a fact may be, in words and as a test.
type AcceptedValue = (&'static str, &'static str, fn(&str) -> bool);

/// The facts, but for `left_out` and `interaction_id`.
const FACTS: [AcceptedValue; 15] = [
    ("access", "\"open\", \"client\" or \"consented\"", |text| {
        matches!(text, "open" | "client" | "consented")
    }),
    ("available_from", "a day such as \"2026-12-31\"", is_day),
    ("class", "\"high\", \"medium\" or \"admin\"", |text| {
        PriorityClass::ALL.iter().any(|class| class.as_str() == text)
    }),
    ("consent_parameter", "a parameter of the path such as \"consentId\", or \"none\"", |text| {
        text == "none" || Template::parse(&format!("/{{{text}}}")).is_ok()
    }),
    ("consent_use", "\"read\" or \"initiate\"", |text| matches!(text, "read" | "initiate")),
    ("deprecated_from", "a day such as \"2026-12-31\"", is_day),
    ("errors", "\"common\", \"closed\", \"object\", \"dated-meta\" or \"misspelt\"", |text| {
        ErrorForm::ALL.iter().any(|form| form.as_str() == text)
    }),
    ("idempotency_key", "\"required\" or \"ignored\"", |text| {
        matches!(text, "required" | "ignored")
    }),
    ("permission", "a permission such as RESOURCES_READ, or \"none\"", |text| {
        text == "none" || Permission::new(text).is_some()
    }),
    ("request_body", "\"json\" or \"form\"", |text| matches!(text, "json" | "form")),
    ("retired_from", "a day such as \"2026-12-31\"", is_day),
    ("scope", "one scope", |text| Scope::new(text).is_some()),
    ("shadow_until", "a day such as \"2026-12-31\"", is_day),
    ("security", "\"all\": every alternative is asked for", |text| text == "all"),
    ("x_v", "\"negotiated\" or \"ignored\"", |text| matches!(text, "negotiated" | "ignored")),
];

/// The facts that are days, in their order.
const DAYS: [&str; 3] = ["available_from", "deprecated_from", "retired_from"];

/// The parts of `interaction_id`.
const INTERACTION: [AcceptedValue; 3] = [
    ("form", "\"uuid\" or \"alphanumeric\"", |text| matches!(text, "uuid" | "alphanumeric")),
    ("missing", "\"refuse\" or \"mint\"", |text| matches!(text, "refuse" | "mint")),
    ("malformed", "\"refuse\" or \"mint\"", |text| matches!(text, "refuse" | "mint")),
];

/// The name of the fact that an operation is no business of a transmitter.
pub(super) const LEFT_OUT: &str = "left_out";

fn is_day(text: &str) -> bool {
    time::Date::parse(text, time::macros::format_description!("[year]-[month]-[day]")).is_ok()
}

/// One ruling.
pub(super) struct Ruling {
    pub(super) place: Place,
    /// Paths: everything below them, by whole segments.
    below: Vec<String>,
    /// Routes: `GET /path`.
    pub(super) routes: Vec<String>,
    /// What is decided, by the name of the fact.
    pub(super) facts: BTreeMap<&'static str, String>,
    /// Why.
    pub(super) reason: String,
    /// Where the reason stands.
    pub(super) source: Option<String>,
}

/// All rulings.
pub(super) struct Rulings(Vec<Ruling>);

/// What was decided, and by which ruling.
pub(super) struct Decided<'a> {
    pub(super) value: &'a str,
    pub(super) index: usize,
    /// Whether it was decided of the very route.
    pub(super) is_exact: bool,
}

impl Rulings {
    /// The shipped rulings and those of a file, which count before equally exact ones that are shipped.
    pub(super) fn read(file: Option<&Path>, mistakes: &Mistakes) -> Self {
        let shipped = Document::of_text(NAME_OF_SHIPPED, SHIPPED.to_owned(), mistakes);
        let own = file.and_then(|file| Document::read(file, mistakes));
        let mut all = Vec::new();
        for document in [Some(shipped), own].into_iter().flatten() {
            let rulings: Option<Vec<Ruling>> = document.with_root(|root| {
                root.tables("decisions").iter().filter_map(read_ruling).collect()
            });
            let rulings = rulings.unwrap_or_default();
            reject_contradictions(&rulings);
            all.extend(rulings);
        }
        Self(all)
    }

    /// A ruling.
    pub(super) fn get(&self, index: usize) -> Option<&Ruling> {
        self.0.get(index)
    }

    /// All of them, in the order of the file.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Ruling)> {
        self.0.iter().enumerate()
    }

    /// What is decided of a fact of a route.
    pub(super) fn about(&self, method: &str, path: &str, fact: &str) -> Option<Decided<'_>> {
        let about = self.iter().filter_map(|(index, ruling)| {
            let value = ruling.facts.get(fact)?;
            let exactness = ruling.exactness(method, path)?;
            Some((exactness, Decided { value, index, is_exact: exactness == usize::MAX }))
        });
        // Of equally exact ones the last, which is the file's own.
        about.max_by_key(|(exactness, _)| *exactness).map(|(_, decided)| decided)
    }
}

impl Ruling {
    /// How exactly it is about a route: a longer path more than a shorter one, the route itself most.
    fn exactness(&self, method: &str, path: &str) -> Option<usize> {
        let is_named =
            |route: &String| route.split_once(' ').is_some_and(|(m, p)| m == method && p == path);
        if self.routes.iter().any(is_named) {
            return Some(usize::MAX);
        }
        let is_above = |below: &&String| {
            // By whole segments: /a/b is not below /a/bc, nor /ab below /a.
            path.strip_prefix(below.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.below.iter().filter(is_above).map(String::len).max()
    }
}

fn read_ruling(table: &Table<'_>) -> Option<Ruling> {
    let below =
        read_targets(table, "below", "paths such as \"/open-insurance/consents\"", |path| {
            Template::parse(path).is_ok()
        });
    let routes = read_targets(table, "routes", "routes such as \"GET /a/{b}\"", |route| {
        let method = |method: &str| method.bytes().all(|b| b.is_ascii_uppercase());
        route.split_once(' ').is_some_and(|(m, path)| method(m) && Template::parse(path).is_ok())
    });
    if below.is_empty() && routes.is_empty() && !table.has("below") && !table.has("routes") {
        table.place("").reject("is about nothing, accepted: below or routes");
    }
    let reason = table.required("reason", "why it is so");
    let source = table.string("source", "where the reason stands");
    let facts = read_facts(table);
    if facts.is_empty() {
        let known: Vec<&str> = FACTS.iter().map(|(fact, ..)| *fact).collect();
        let text = format!("decides nothing, accepted: {}, interaction_id", known.join(", "));
        table.place("").reject(text);
    }
    // Days are written so that their order is that of their texts.
    if let Some((later, text)) = disorder(&DAYS.map(|day| facts.get(day))) {
        let key = DAYS.get(later).copied().unwrap_or_default();
        table.place(key).reject(format!("{text}, accepted: days in their order"));
    }
    let (place, source) = (table.place(""), source.map(|source| source.value));
    Some(Ruling { place, below, routes, facts, reason: reason?.value, source })
}

fn read_targets(
    table: &Table<'_>,
    key: &'static str,
    accepted: &str,
    is_good: impl Fn(&str) -> bool,
) -> Vec<String> {
    let Some(targets) = table.strings(key, accepted) else {
        return Vec::new();
    };
    for target in targets.value.iter().filter(|target| !is_good(target)) {
        targets.place.reject(format!("{target:?} is not understood, accepted: {accepted}"));
    }
    targets.value
}

fn read_facts(table: &Table<'_>) -> BTreeMap<&'static str, String> {
    let mut facts = BTreeMap::new();
    let interaction = table.table("interaction_id");
    let of_interaction = interaction.iter().flat_map(|rule| INTERACTION.map(|fact| (rule, fact)));
    for (table, (fact, accepted, is_good)) in
        FACTS.map(|fact| (table, fact)).into_iter().chain(of_interaction)
    {
        let value = table.parsed(fact, accepted, |text| is_good(text).then(|| text.to_owned()));
        if let Some(value) = value {
            facts.insert(fact, value.value);
        }
    }
    if table.boolean(LEFT_OUT) == Some(true) {
        facts.insert(LEFT_OUT, "true".to_owned());
    }
    facts
}

/// Two rulings about the same thing would leave it to their order.
fn reject_contradictions(rulings: &[Ruling]) {
    let mut seen: BTreeMap<(&str, &str), &Place> = BTreeMap::new();
    for ruling in rulings {
        for target in ruling.below.iter().chain(&ruling.routes) {
            for fact in ruling.facts.keys() {
                if let Some(other) = seen.insert((target, fact), &ruling.place) {
                    let at = other.file_and_line();
                    let text =
                        format!("decides {fact} of {target}, as {at} does, accepted: one of them");
                    ruling.place.reject(text);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_rulings_have_no_mistake() {
        let mistakes = Mistakes::default();
        assert!(Rulings::read(None, &mistakes).iter().count() > 5);
        assert_eq!(mistakes.take(), []);
    }

    #[test]
    fn the_more_exact_ruling_counts() {
        let mistakes = Mistakes::default();
        let file = tempfile::NamedTempFile::new().unwrap();
        let ruling = |about: &str, class: &str| {
            format!("[[decisions]]\n{about}\nclass = \"{class}\"\nreason = \"r\"\n")
        };
        let text = ruling("below = [\"/a\"]", "high")
            + &ruling("routes = [\"GET /a/b/c\"]", "admin")
            + &ruling("below = [\"/a/b\"]", "medium");
        std::fs::write(file.path(), text).unwrap();
        let rulings = Rulings::read(Some(file.path()), &mistakes);
        assert_eq!(mistakes.take(), []);
        let class = |method: &str, path: &str| {
            rulings.about(method, path, "class").map(|decided| decided.value.to_owned())
        };
        assert_eq!(class("GET", "/a/x").as_deref(), Some("high"));
        assert_eq!(class("POST", "/a/b/c").as_deref(), Some("medium"));
        assert_eq!(class("GET", "/a/b/c").as_deref(), Some("admin"));
        assert_eq!(class("GET", "/ab"), None);
    }
}
