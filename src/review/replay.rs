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
use thiserror::Error;

use super::columns;
use super::trial::SetUpError;
use super::would::Word;
use crate::config::Judging;
use crate::config::offline::Policies;
use judge::Judge;
use line::AccessLogLine;

/// What became of requests, or would.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Treatment {
    Allowed,
    /// With this code, if it is certain.
    Refused(Option<String>),
}

impl fmt::Display for Treatment {
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
    was: Treatment,
    #[serde(flatten)]
    becomes: Foretold,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Foretold {
    Will(Treatment),
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

/// Holds lines of access logs against two sets of policies.
pub struct Replayer<'a>(Judge<'a>);

/// Why a log was not replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error("{0}")]
    Log(#[from] std::io::Error),
    /// Nobody can be asked.
    #[error("{0}")]
    SetUp(#[from] SetUpError),
}

impl<'a> Replayer<'a> {
    /// Of two sets, with what else `settings` judges requests by.
    pub fn new(sets: Sets<'a>, settings: Judging) -> Self {
        Self(Judge::new(sets, settings))
    }

    /// Replays a log.
    pub fn replay(&mut self, log: impl BufRead) -> Result<Replay, ReplayError> {
        let mut replay = Replay::default();
        // Bytes, and not `lines`: one line that is no UTF-8 would end the replay.
        for line in log.split(b'\n') {
            let text = line?;
            match std::str::from_utf8(&text).ok().and_then(AccessLogLine::parse) {
                Some(line) if !line.is_decided() => replay.undecided += 1,
                Some(line) => {
                    let word = self.0.word(&line)?;
                    replay.take(line, word);
                }
                None if text.trim_ascii().is_empty() => {}
                None => replay.others += 1,
            }
        }
        Ok(replay)
    }
}

impl Replay {
    fn take(&mut self, line: AccessLogLine, word: Word) {
        let was = match line.code() {
            Some(code) if !line.is_borne() => Treatment::Refused(Some(code.to_owned())),
            _ => Treatment::Allowed,
        };
        let becomes = match word {
            Word::Pass => Foretold::Will(Treatment::Allowed),
            Word::Refuse(None) if was != Treatment::Allowed => {
                Foretold::Untold("with which code it is refused".to_owned())
            }
            Word::Refuse(code) => Foretold::Will(Treatment::Refused(code)),
            Word::Unknown(what) => Foretold::Untold(what),
        };
        if becomes == Foretold::Will(was.clone()) {
            self.unchanged += 1;
            return;
        }
        let AccessLogLine { route, method, .. } = line;
        *self.groups.entry(Group { route, method, was, becomes }).or_default() += 1;
    }

    fn count(&self, wanted: impl Fn(&Group) -> bool) -> u64 {
        self.groups.iter().filter(|(group, _)| wanted(group)).map(|(_, count)| count).sum()
    }

    /// How many requests become allowed, become refused, are refused otherwise, cannot be told.
    fn counts(&self) -> [u64; 4] {
        let becomes = |was_allowed: bool, will_be_allowed: bool| {
            self.count(|group| match &group.becomes {
                Foretold::Will(decided) => {
                    (group.was == Treatment::Allowed) == was_allowed
                        && (*decided == Treatment::Allowed) == will_be_allowed
                }
                Foretold::Untold(_) => false,
            })
        };
        let untold = self.count(|group| matches!(group.becomes, Foretold::Untold(_)));
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

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_untold = |group: &Group| matches!(group.becomes, Foretold::Untold(_));
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
        Foretold::Will(decided) => decided.to_string(),
        Foretold::Untold(what) => format!("unknown: {what}"),
    };
    let route = group.route.clone().unwrap_or_else(|| "-".to_owned());
    vec![format!("  {count}"), group.method.clone(), route, format!("{} -> {becomes}", group.was)]
}
