//! What requests to one route may differ in, as far as one of two rules of it can tell: the bounds of each key,
//! and what lies just beyond them.
//!
//! Takes the two rules; gives a good request of each, and the dimensions. Every stage of admission asks for something
//! of its own, so two rules admit the same requests if and only if they admit the same of each of these dimensions.
//! Variations that stand for all others are enough: what lies between two bounds is judged alike.

mod callers;
mod parameters;

use std::collections::HashSet;

use http::Method;
use time::OffsetDateTime;

use super::trial::{Probe, Side};
use crate::config::offline::CONTENT_METHODS;
use crate::interaction::Attempt;
use crate::request::media::Media;
use crate::route::{Access, Route};
pub(super) use callers::describe;
use callers::{Callers, credential};
use parameters::Values;

/// One way to be.
pub(super) struct Variation {
    /// In the words of a difference; nothing, if it is only there to be good, or to be refused by the rules.
    pub(super) label: Option<String>,
    /// The rule of which it brings all.
    pub(super) held: Option<Access>,
    /// Whether it stands for every other fault that its stage finds by itself, whatever the rule.
    pub(super) is_any_fault: bool,
    change: Box<dyn Fn(&mut Probe)>,
}

impl Variation {
    fn new(label: Option<String>, change: impl Fn(&mut Probe) + 'static) -> Self {
        Self { label, held: None, is_any_fault: false, change: Box::new(change) }
    }

    fn told(label: impl Into<String>, change: impl Fn(&mut Probe) + 'static) -> Self {
        Self::new(Some(label.into()), change)
    }

    fn silent(change: impl Fn(&mut Probe) + 'static) -> Self {
        Self::new(None, change)
    }

    /// A request like any good one.
    fn none() -> Self {
        Self::silent(|_| ())
    }

    fn any_fault(self) -> Self {
        Self { is_any_fault: true, ..self }
    }

    /// A request that is so.
    pub(super) fn of(&self, probe: &Probe) -> Probe {
        let mut changed = probe.clone();
        (self.change)(&mut changed);
        changed
    }
}

/// What requests differ in.
pub(super) struct Dimension {
    /// What somebody does not know who does not know which variation a request is.
    pub(super) question: String,
    pub(super) variations: Vec<Variation>,
    /// Whether one variation that is judged otherwise stands for the others.
    pub(super) is_one_enough: bool,
}

impl Dimension {
    fn all(question: impl Into<String>, variations: Vec<Variation>) -> Self {
        Self { question: question.into(), variations, is_one_enough: false }
    }

    fn one(question: impl Into<String>, variations: Vec<Variation>) -> Self {
        Self { question: question.into(), variations, is_one_enough: true }
    }
}

/// Two rules of one route.
pub(super) struct RulePair<'a> {
    /// The route that is meant.
    pub(super) named: &'a Route,
    /// What decides in the first set and in the second.
    pub(super) both: [&'a Route; 2],
    /// Literal segments of any template: a parameter that has such a value may be another route's.
    pub(super) literals: &'a HashSet<String>,
}

impl RulePair<'_> {
    /// A request that one of the rules admits, and the other if it can.
    pub(super) fn good(&self, side: Side, clock: OffsetDateTime) -> Probe {
        let [before, after] = self.both;
        let own = match side {
            Side::Before => before,
            Side::After => after,
        };
        let (path, consent) = self.values().good(own);
        let most = self.both.iter().filter_map(|route| route.bounds.max_body).min();
        Probe {
            method: own.published.method.clone(),
            path,
            query: Vec::new(),
            clock,
            credential: credential(&own.asks.access),
            foreign: format!("{consent}2"),
            consent,
            kinds: Probe::KINDS,
            status: Some("AUTHORISED"),
            is_own: true,
            judged_as: Probe::KINDS,
            all_permissions: Callers { both: self.both }.permissions(),
            // A UUID is an id of either form.
            interaction_id: Some("d78fc4e5-37ca-4da3-adf2-9b082bf92280"),
            attempts: Attempt::ALL.to_vec(),
            idempotency_key: Some("key-1"),
            x_v: None,
            accepts_json: true,
            body: body(&own.published.method, own.asks.media, most.unwrap_or(u64::MAX)),
            is_created: false,
        }
    }

    /// What requests differ in that somebody may send. `most` is how many bytes any body may have.
    pub(super) fn dimensions(&self, most: u64) -> Vec<Dimension> {
        let callers = Callers { both: self.both };
        let mut dimensions = vec![callers.credentials()];
        dimensions.extend(callers.consents(&self.values()));
        dimensions.extend(self.messages(most, Vec::new()));
        dimensions
    }

    /// What requests differ in that somebody did send: each thing by itself that the log may not tell, with what is
    /// refused by either rule, too.
    pub(super) fn unknowns(&self, most: u64) -> Vec<Dimension> {
        let callers = Callers { both: self.both };
        let mut dimensions = callers.presented();
        dimensions.extend(callers.registered(&self.values()));
        dimensions.push(accepted());
        let bodiless = Variation::silent(|probe| probe.body = None);
        dimensions.extend(self.messages(most, vec![bodiless]));
        dimensions
    }

    fn values(&self) -> Values<'_> {
        Values::of(self.named, self.both, self.literals)
    }

    /// What the message is, whoever sends it; its body may be one of `others`, too.
    fn messages(&self, most: u64, others: Vec<Variation>) -> Vec<Dimension> {
        let mut dimensions = vec![versions(self.both), interaction_ids()];
        dimensions.extend(attempts(self.both));
        let [method, _] = self.both.map(|route| &route.published.method);
        if CONTENT_METHODS.contains(method) {
            dimensions.extend(contents(self.both, most, others));
        }
        dimensions.extend(self.values().of_path());
        dimensions.extend(self.values().of_query());
        dimensions
    }
}

fn interaction_ids() -> Dimension {
    let told = |label: &str, id: Option<&'static str>| {
        Variation::told(label, move |probe| probe.interaction_id = id)
    };
    Dimension::all(
        "which x-fapi-interaction-id was sent",
        vec![
            Variation::none(),
            told("without x-fapi-interaction-id", None),
            told("with an x-fapi-interaction-id that is no UUID", Some("a-1")),
            told("with an x-fapi-interaction-id of no known form", Some("-")).any_fault(),
        ],
    )
}

/// The ids of an attempt to notify, of rules that ask for one: for each by itself, if they do not ask for the same.
fn attempts(both: [&Route; 2]) -> Option<Dimension> {
    let asked: Vec<Attempt> = both.iter().filter_map(|route| route.asks.interaction.also).collect();
    let without = |label: String, kept: Vec<Attempt>| {
        Variation::told(label, move |probe| probe.attempts.clone_from(&kept))
    };
    let told: Vec<Variation> = match &*asked {
        [] => return None,
        [one, other] if one != other => [(one, other), (other, one)]
            .map(|(missing, kept)| without(format!("without {}", missing.name()), vec![*kept]))
            .into(),
        _ => vec![without("without the id of the attempt".to_owned(), Vec::new())],
    };
    let variations = std::iter::once(Variation::none()).chain(told).collect();
    Some(Dimension::all("which id of an attempt was sent", variations))
}

fn versions(both: [&Route; 2]) -> Dimension {
    let asking = |label: &str, version: String| {
        Variation::told(label, move |probe| probe.x_v = Some(version.clone()))
    };
    let unserved = "asking for a version that is not served";
    let unserved = asking(unserved, "999999999.0.0".to_owned()).any_fault();
    let mut variations = vec![Variation::none(), unserved];
    for route in both {
        let version = route.answers.version.to_str().unwrap_or_default();
        variations.push(asking(&format!("asking for version {version}"), version.to_owned()));
    }
    Dimension::one("which x-v was sent", variations)
}

/// Whether the caller takes an answer of JSON.
fn accepted() -> Dimension {
    let other = Variation::silent(|probe| probe.accepts_json = false);
    Dimension::all("which Accept was sent", vec![Variation::none(), other])
}

/// What a body is written in, how long it is, and the key of methods that have one.
fn contents(both: [&Route; 2], most: u64, others: Vec<Variation>) -> [Dimension; 3] {
    let media = [
        ("with a body of application/json", Media::Json),
        ("with a body of a form", Media::Form),
        ("with a body of a signed event", Media::Jws),
    ];
    let written = media.map(|(label, media)| {
        Variation::told(label, move |probe| {
            probe.body = probe.body.map(|(_, length)| (essence(media), length));
        })
    });
    let mut bounds = both.map(|route| route.bounds.max_body.unwrap_or(most));
    bounds.sort_unstable();
    let long =
        bounds.into_iter().flat_map(|bound| [bound, bound.saturating_add(1)]).map(|length| {
            Variation::told(format!("with a body of {length} bytes"), move |probe| {
                probe.body = probe.body.map(|(media, _)| (media, length));
            })
        });
    let lengths = std::iter::once(Variation::none()).chain(long).collect();
    let keyless = |probe: &mut Probe| probe.idempotency_key = None;
    let keys = vec![
        Variation::none(),
        Variation::told("without x-idempotency-key", keyless),
        // No key by the published pattern, `^(?!\s)(.*)(\S)$`, and so by no rule.
        Variation::silent(|probe| probe.idempotency_key = Some(" ")),
    ];
    [
        Dimension::all("what the body was written in", written.into_iter().chain(others).collect()),
        Dimension::one("how long the body was", lengths),
        Dimension::all("which x-idempotency-key was sent", keys),
    ]
}

fn essence(media: Media) -> &'static str {
    media.essences().first().copied().unwrap_or_default()
}

/// The body of a good request, of rules that admit no more bytes than these.
fn body(method: &Method, media: Media, most: u64) -> Option<(&'static str, u64)> {
    // As long as `{}`, unless a rule bears even less.
    CONTENT_METHODS.contains(method).then(|| (essence(media), most.min(2)))
}
