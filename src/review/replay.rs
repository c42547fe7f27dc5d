//! `portaria policy replay`: which decisions of an access log would be others under other policies.
//!
//! A line of the log tells the route, how far the request came and who was known by then, never the path,
//! the token or the consent. Where that does not prove what would become of the request, it is counted
//! as not to be told, with what is missing. Limits are not replayed: policies have no part in them.
//!
//! A line knows its day: routes are available, retired and in shadow mode as they would have been then.

mod judge;
mod line;

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;

use serde::Serialize;

use super::columns;
use super::statement::{covers, shape};
use crate::config::offline::{Entry, Policies};
use crate::refusal::codes::route;
use crate::route::Route;
use judge::{Word, judge};
use line::{End, Line};

/// What became of requests, or would.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Fate {
    Allowed,
    /// With this code, if it is certain.
    Refused(Option<String>),
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed => f.write_str("allowed"),
            Self::Refused(None) => f.write_str("refused"),
            Self::Refused(Some(code)) => write!(f, "refused {code}"),
        }
    }
}

/// Requests of one route to which the same happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Group {
    route: Option<String>,
    method: String,
    was: Fate,
    #[serde(flatten)]
    becomes: Becomes,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Becomes {
    Will(Fate),
    /// What the log does not say.
    Untold(String),
}

/// What a replay found.
#[derive(Debug, Default)]
pub struct Replay {
    groups: BTreeMap<Group, u64>,
    unchanged: u64,
    undecided: u64,
    others: u64,
}

/// The policies that decided what is in the log, and those that would.
#[derive(Clone, Copy)]
pub struct Sets<'a> {
    /// That decided.
    pub before: &'a Policies,
    /// That would.
    pub after: &'a Policies,
}

impl Replay {
    /// Replays a log.
    pub fn of(log: impl BufRead, sets: Sets<'_>) -> std::io::Result<Self> {
        let mut replay = Self::default();
        for line in log.split(b'\n') {
            let text = line?;
            match std::str::from_utf8(&text).ok().and_then(Line::parse) {
                Some(line) => replay.take(line, sets),
                None if text.trim_ascii().is_empty() => {}
                None => replay.others += 1,
            }
        }
        Ok(replay)
    }

    fn take(&mut self, line: Line, sets: Sets<'_>) {
        let was = match line.end() {
            End::Undecided => {
                self.undecided += 1;
                return;
            }
            End::Admitted => Fate::Allowed,
            End::At(..) if line.is_borne() => Fate::Allowed,
            End::At(..) | End::NoRoute | End::Anyway => {
                Fate::Refused(line.code().map(str::to_owned))
            }
        };
        let becomes = match sets.word(&line) {
            Word::Pass => Becomes::Will(Fate::Allowed),
            Word::Refuse(code) => Becomes::Will(Fate::Refused(code)),
            Word::Unknown(what) | Word::UnknownRule(what) => Becomes::Untold(what),
        };
        if becomes == Becomes::Will(was.clone()) {
            self.unchanged += 1;
            return;
        }
        let Line { route, method, .. } = line;
        *self.groups.entry(Group { route, method, was, becomes }).or_default() += 1;
    }

    fn count(&self, wanted: impl Fn(&Group) -> bool) -> u64 {
        self.groups.iter().filter(|(group, _)| wanted(group)).map(|(_, count)| count).sum()
    }

    /// How many requests become allowed, become refused, are refused otherwise, cannot be told.
    fn counts(&self) -> [u64; 4] {
        let becomes = |was_allowed: bool, will_be_allowed: bool| {
            self.count(|group| match &group.becomes {
                Becomes::Will(fate) => {
                    (group.was == Fate::Allowed) == was_allowed
                        && (*fate == Fate::Allowed) == will_be_allowed
                }
                Becomes::Untold(_) => false,
            })
        };
        let untold = self.count(|group| matches!(group.becomes, Becomes::Untold(_)));
        [becomes(false, true), becomes(true, false), becomes(false, false), untold]
    }

    /// Whether no decision changes, as far as the log can tell.
    pub fn is_unchanged(&self) -> bool {
        let [allowed, refused, ..] = self.counts();
        allowed == 0 && refused == 0
    }

    /// What was found, as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        let [allowed, refused, otherwise, untold] = self.counts();
        let groups = self.groups.iter().map(|(group, count)| {
            let mut told = serde_json::json!(group);
            if let Some(told) = told.as_object_mut() {
                told.insert("count".to_owned(), (*count).into());
            }
            told
        });
        serde_json::json!({
            "groups": groups.collect::<Vec<_>>(),
            "become_allowed": allowed,
            "become_refused": refused,
            "refused_otherwise": otherwise,
            "cannot_be_told": untold,
            "unchanged": self.unchanged,
            "undecided": self.undecided,
            "other_lines": self.others,
        })
    }
}

impl Sets<'_> {
    /// What would be said to the request of a line.
    fn word(&self, line: &Line) -> Word {
        if line.end() == End::Anyway {
            return Word::Refuse(line.code().map(str::to_owned));
        }
        let Some(label) = &line.route else {
            return self.word_without_route(line);
        };
        let same = |entry: &&Entry| {
            entry.route.published.method == *line.method_of_route()
                && shape(&entry.route.published.label) == shape(label)
        };
        let Some(before) = self.before.entries.iter().find(same) else {
            return Word::Unknown("the policies before do not list the route".to_owned());
        };
        let covering = |entry: &&Entry| {
            entry.route.published.method == *line.method_of_route()
                && covers(&entry.route.published.label, label)
        };
        match self.after.entries.iter().find(covering) {
            Some(after) => judge(line, &before.route, &after.route),
            None => self.word_without_rule(&before.route),
        }
    }

    /// The path of a request that met no route is not in the log.
    fn word_without_route(&self, line: &Line) -> Word {
        let is_known = |after: &Entry| {
            self.before.entries.iter().any(|before| {
                before.route.published.method == after.route.published.method
                    && covers(&before.route.published.label, &after.route.published.label)
                    && before.route.asks.access.is_open() == after.route.asks.access.is_open()
            })
        };
        match self.after.entries.iter().all(is_known) {
            true => Word::Refuse(line.code().map(str::to_owned)),
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

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_untold = |group: &Group| matches!(group.becomes, Becomes::Untold(_));
        for (title, untold) in [("changes:", false), ("cannot be told:", true)] {
            let groups = self.groups.iter().filter(|(group, _)| is_untold(group) == untold);
            let rows: Vec<_> = groups.map(|(group, count)| cells(group, *count)).collect();
            if !rows.is_empty() {
                writeln!(f, "{title}\n{}", columns::align(&rows))?;
            }
        }
        let [allowed, refused, otherwise, untold] = self.counts();
        writeln!(
            f,
            "{} exchanges: {allowed} become allowed, {refused} become refused, {otherwise} are refused \
             otherwise, {untold} cannot be told, {} stay as they are",
            self.groups.values().sum::<u64>() + self.unchanged,
            self.unchanged
        )?;
        if self.undecided + self.others > 0 {
            let (undecided, others) = (self.undecided, self.others);
            writeln!(
                f,
                "left out: {undecided} that ended undecided, {others} lines of something else"
            )?;
        }
        Ok(())
    }
}

fn cells(group: &Group, count: u64) -> Vec<String> {
    let becomes = match &group.becomes {
        Becomes::Will(fate) => fate.to_string(),
        Becomes::Untold(what) => format!("unknown: {what}"),
    };
    let route = group.route.clone().unwrap_or_else(|| "-".to_owned());
    vec![format!("  {count}"), group.method.clone(), route, format!("{} -> {becomes}", group.was)]
}
