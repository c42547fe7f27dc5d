//! What other policies would have said to the request of a line.
//!
//! Takes the two sets and a line. Where the rule of its route is another one, both sets are asked about whatever the
//! request may have been ([`Survey`]); requests of which their lines say the same have one answer.

use std::collections::{HashMap, HashSet};

use time::{Duration, OffsetDateTime};

use super::Sets;
use super::line::AccessLogLine;
use crate::config::Judging;
use crate::config::offline::Entry;
use crate::refusal::codes::{self, Stage, identity, request, route};
use crate::review::deviation::RulePair;
use crate::review::difference::{decides_nothing, literals};
use crate::review::statement::{covers, shape};
use crate::review::survey::Survey;
use crate::review::trial::{Bench, Logged, SetUpError};
use crate::review::when::midnights;
use crate::review::would::{LineFacts, Word};
use crate::route::Route;

/// Judges lines.
pub(super) struct Judge<'a> {
    sets: Sets<'a>,
    literals: HashSet<String>,
    settings: Judging,
    /// Set up when it is needed first: of sets that say the same nobody is asked.
    bench: Option<Bench>,
    /// What the routes of lines are, by method and template.
    routes: HashMap<(String, String), Meets<'a>>,
}

/// What a route of the log is under both sets.
enum Meets<'a> {
    /// The same word for all its requests.
    Word(Word),
    /// The same rule.
    Same,
    /// Another rule.
    Other(Box<ChangedRoute<'a>>),
}

/// A route of which something else is said.
struct ChangedRoute<'a> {
    both: [&'a Route; 2],
    /// When one of the rules changes by itself: between two of them every day is like the next.
    midnights: Vec<OffsetDateTime>,
    surveys: HashMap<usize, Survey>,
    words: HashMap<LineKey, Word>,
}

/// What a line says.
#[derive(Clone, PartialEq, Eq, Hash)]
struct LineKey {
    /// After how many of the midnights it came.
    day: Option<usize>,
    code: Option<String>,
    is_borne: bool,
    logged: Logged,
}

impl<'a> Judge<'a> {
    pub(super) fn new(sets: Sets<'a>, settings: Judging) -> Self {
        let literals = [sets.before, sets.after].into_iter().flat_map(literals).collect();
        Self { sets, literals, settings, bench: None, routes: HashMap::new() }
    }

    /// What would be said to the request of a line.
    pub(super) fn word(&mut self, line: &AccessLogLine) -> Result<Word, SetUpError> {
        let code = line.code();
        let again = || Word::Refuse(code.map(str::to_owned));
        if code.is_some_and(is_before_policies) {
            return Ok(again());
        }
        let Some(label) = &line.route else {
            return Ok(self.sets.word_without_route(code));
        };
        let method = line.method_of_route();
        let sets = self.sets;
        let key = (method.to_owned(), label.clone());
        let changed = match self.routes.entry(key).or_insert_with(|| sets.meets(method, label)) {
            Meets::Word(word) => return Ok(word.clone()),
            Meets::Same if line.code().is_some() && !line.is_borne() => return Ok(again()),
            Meets::Same => return Ok(Word::Pass),
            Meets::Other(changed) => changed,
        };
        let after_policies = code.filter(|code| is_after_policies(code));
        let code = code.filter(|_| after_policies.is_none()).map(str::to_owned);
        let day = line.time().map(|time| changed.day(time));
        let known = LineKey { day, code, is_borne: line.is_borne(), logged: line.logged() };
        let bench = match &mut self.bench {
            Some(bench) => bench,
            None => {
                let sets = [sets.before, sets.after].map(|set| set.routes.clone());
                self.bench.insert(Bench::new(sets, self.settings.clone())?)
            }
        };
        let word = changed.word(known, line.time(), &self.literals, bench)?;
        let is_about_body = after_policies.is_some() || line.is_repetition();
        Ok(match word {
            Word::Pass if is_about_body && !changed.treats_bodies_alike() => {
                Word::Unknown("what its body was".to_owned())
            }
            Word::Pass if after_policies.is_some() => again(),
            word => word,
        })
    }
}

impl ChangedRoute<'_> {
    fn day(&self, time: OffsetDateTime) -> usize {
        self.midnights.iter().filter(|midnight| **midnight <= time).count()
    }

    /// Whether what comes after admission is the same.
    fn treats_bodies_alike(&self) -> bool {
        let [before, after] = self.both.map(|route| (route.asks.media, route.asks.idempotency_key));
        before == after
    }

    fn word(
        &mut self,
        known: LineKey,
        time: Option<OffsetDateTime>,
        literals: &HashSet<String>,
        bench: &mut Bench,
    ) -> Result<Word, SetUpError> {
        if let Some(word) = self.words.get(&known) {
            return Ok(word.clone());
        }
        let word = match (known.day, time) {
            (Some(day), Some(time)) => self.word_of_day(&known, day, time, literals, bench)?,
            _ => self.word_of_any_day(&known, literals, bench)?,
        };
        self.words.insert(known, word.clone());
        Ok(word)
    }

    fn word_of_day(
        &mut self,
        known: &LineKey,
        day: usize,
        time: OffsetDateTime,
        literals: &HashSet<String>,
        bench: &mut Bench,
    ) -> Result<Word, SetUpError> {
        if !self.surveys.contains_key(&day) {
            let [named, _] = self.both;
            let rules = RulePair { named, both: self.both, literals };
            let dimensions = rules.unknowns(bench.max_body());
            self.surveys.insert(day, Survey::new(&rules, dimensions, time, bench)?);
        }
        // It was put there just before.
        let Some(survey) = self.surveys.get_mut(&day) else { return Err(SetUpError::Request) };
        let facts = LineFacts {
            code: known.code.as_deref(),
            is_borne: known.is_borne,
            is_about_rules: known.day.is_none(),
            logged: known.logged,
        };
        survey.would(&facts, bench)
    }

    /// Of a line without a day the rules alone are compared, as they are on any day on which it can have come.
    fn word_of_any_day(
        &mut self,
        known: &LineKey,
        literals: &HashSet<String>,
        bench: &mut Bench,
    ) -> Result<Word, SetUpError> {
        let first = self.midnights.first().copied().unwrap_or_else(OffsetDateTime::now_utc);
        // The day before the first midnight stands for all that came before it.
        let days =
            std::iter::once(first.saturating_sub(Duration::DAY)).chain(self.midnights.clone());
        let mut words = Vec::new();
        for (day, time) in days.enumerate() {
            let word = self.word_of_day(known, day, time, literals, bench)?;
            if word != Word::unexplained() && !words.contains(&word) {
                words.push(word);
            }
        }
        Ok(match &*words {
            [] => Word::unexplained(),
            [only] => only.clone(),
            _ => Word::Unknown("on which day it came".to_owned()),
        })
    }
}

/// Which segment of its path names a consent.
fn consent_place(route: &Route) -> Option<usize> {
    let named = format!("{{{}}}", route.asks.consent_parameter.as_deref()?);
    route.published.label.split('/').position(|segment| segment == named)
}

/// Whether a code is of what no policy has a part in, for it is decided before the route is.
fn is_before_policies(code: &str) -> bool {
    let asked = [
        request::IDEMPOTENCY_KEY_MISSING,
        request::IDEMPOTENCY_KEY_MALFORMED,
        request::NOT_ACCEPTABLE,
        request::MEDIA_TYPE,
        request::BODY_TOO_LARGE,
    ];
    let row = codes::ALL.iter().find(|row| row.code == code);
    row.is_some_and(|row| match row.stage {
        Stage::Limits | Stage::Gateway => true,
        Stage::Request => !asked.contains(row) && !is_after_policies(code),
        _ => *row == identity::UNTRUSTED,
    })
}

/// Whether a code is of what is decided of requests that are admitted: the body, and whether it was carried out before.
fn is_after_policies(code: &str) -> bool {
    let of_body = [request::BODY_TIMEOUT, request::BODY_INCOMPLETE, request::LENGTH_REQUIRED];
    let row = codes::ALL.iter().find(|row| row.code == code);
    row.is_some_and(|row| {
        row.stage == Stage::Idempotency
            || of_body.contains(row)
            || code.starts_with("request_json_")
    })
}

impl<'a> Sets<'a> {
    fn meets(self, method: &str, label: &str) -> Meets<'a> {
        let is_same = |entry: &&Entry| {
            entry.route.published.method == *method
                && shape(&entry.route.published.label) == shape(label)
        };
        let covers_it = |entry: &&Entry| {
            entry.route.published.method == *method && covers(&entry.route.published.label, label)
        };
        let Some(before) = self.before.entries.iter().find(is_same) else {
            let what = "the policies before do not list the route";
            return Meets::Word(Word::Unknown(what.to_owned()));
        };
        let Some(after) = self.after.entries.iter().find(covers_it) else {
            return Meets::Word(self.word_without_rule(&before.route));
        };
        if decides_nothing([Some(before), Some(after)]) {
            return Meets::Same;
        }
        let both = [&before.route, &after.route];
        Meets::Other(Box::new(ChangedRoute {
            both,
            midnights: midnights(both),
            surveys: HashMap::new(),
            words: HashMap::new(),
        }))
    }

    /// The path of a request that met no route is not in the log.
    fn word_without_route(&self, code: Option<&str>) -> Word {
        let is_known = |after: &Entry| {
            self.before.entries.iter().any(|before| {
                before.route.published.method == after.route.published.method
                    && covers(&before.route.published.label, &after.route.published.label)
                    && before.route.asks.access.is_open() == after.route.asks.access.is_open()
                    // What names a consent may have what no other part of a path may.
                    && consent_place(&after.route)
                        .is_none_or(|place| consent_place(&before.route) == Some(place))
            })
        };
        match self.after.entries.iter().all(is_known) {
            true => Word::Refuse(code.map(str::to_owned)),
            false => Word::Unknown("what the path was".to_owned()),
        }
    }

    /// No rule covers the whole route: it is gone, has other methods, or only some of its paths are left.
    fn word_without_rule(&self, before: &Route) -> Word {
        let meets =
            |entry: &&Entry| entry.route.published.template.overlaps(&before.published.template);
        let met: Vec<&Entry> = self.after.entries.iter().filter(meets).collect();
        if met.iter().any(|entry| entry.route.published.method == before.published.method) {
            return Word::Unknown("what the path was".to_owned());
        }
        let other_methods =
            met.iter().any(|entry| covers(&entry.route.published.label, &before.published.label));
        Word::Refuse(match (met.is_empty(), other_methods) {
            (true, _) => Some(route::NOT_FOUND.code.to_owned()),
            (false, true) => Some(route::METHOD.code.to_owned()),
            (false, false) => None,
        })
    }
}
