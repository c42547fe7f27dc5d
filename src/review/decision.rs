//! Which requests two rules of one route decide differently.
//!
//! Nothing here knows what a rule means: both sets of policies are served by the gateway's own stages, and asked
//! (`Bench`). From a request that its rule admits, each of what requests may differ in is changed by itself
//! (`deviation`); what the two then say differently is told, with the request. What is told may happen now
//! or on a later day; what was yesterday, no policy changes.

use std::collections::HashSet;

use serde::Serialize;
use time::OffsetDateTime;

use super::deviation::{self, Dimension, Value, Values, credential, describe, dimensions};
use super::trial::{Answer, Bench, Probe, SetUpError, Verdict};
use crate::refusal::codes;
use crate::route::{Access, Route};
use when::Instants;

mod when;

/// Requests of one kind to one route, and what becomes of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The method.
    pub method: String,
    /// The template.
    pub path: String,
    /// What the requests bring.
    pub request: String,
    /// The scope of their tokens, if that tells them from others.
    pub scope: Option<String>,
    /// The permission of their consents, if that tells them from others.
    pub permission: Option<String>,
    /// What becomes of them.
    pub becomes: Becomes,
    /// The target of one of them.
    pub example: String,
    /// What the first set says to it: `allow`, or status and code of the refusal.
    pub before: String,
    /// What the second set says to it.
    pub after: String,
}

/// What becomes of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Becomes {
    /// They were refused.
    Allowed,
    /// They were allowed.
    Refused,
    /// They were refused, and are with another answer.
    Otherwise,
}

impl Becomes {
    fn of(before: &Verdict, after: &Verdict) -> Option<Self> {
        match (before == &Verdict::Allow, after == &Verdict::Allow) {
            (false, true) => Some(Self::Allowed),
            (true, false) => Some(Self::Refused),
            (false, false) if before != after => Some(Self::Otherwise),
            (true, true) | (false, false) => None,
        }
    }
}

/// A route of either set, and what decides on its requests.
pub(super) struct Question<'a> {
    /// The route that is meant.
    pub(super) named: &'a Route,
    /// What decides in the first set and in the second.
    pub(super) rules: [Option<&'a Route>; 2],
    /// Literal segments of any template.
    pub(super) literals: &'a HashSet<String>,
    /// The present.
    pub(super) now: OffsetDateTime,
}

/// What becomes of the requests to a route.
pub(super) fn compare(
    question: &Question<'_>,
    bench: &mut Bench,
) -> Result<Vec<Decision>, SetUpError> {
    let mut comparison = Comparison { question, bench, found: Vec::new() };
    match question.rules {
        [None, None] => {}
        [Some(only), None] | [None, Some(only)] => comparison.only(only)?,
        [Some(before), Some(after)] => comparison.both([before, after])?,
    }
    Ok(comparison.found)
}

struct Comparison<'a> {
    question: &'a Question<'a>,
    bench: &'a mut Bench,
    found: Vec<Decision>,
}

impl Comparison<'_> {
    /// A route of one set only: whatever it admits, the other does not know.
    fn only(&mut self, route: &Route) -> Result<(), SetUpError> {
        let good = self.good(route, [route; 2]);
        let instants = Instants::of(self.question.now, [route; 2]);
        for at in instants.all() {
            let probe = Probe { clock: at, ..good.clone() };
            let answers = self.bench.ask(&probe)?;
            let access = Some(&route.asks.access);
            if self.tell(&describe(&route.asks.access), access, &probe, &answers) {
                break;
            }
        }
        Ok(())
    }

    fn both(&mut self, both: [&Route; 2]) -> Result<(), SetUpError> {
        let good = both.map(|route| self.good(route, both));
        let instants = Instants::of(self.question.now, both);
        let mut open: Vec<(OffsetDateTime, [bool; 2])> = Vec::new();
        for at in instants.all() {
            let mut is_open = [false; 2];
            let probes = good.iter().map(|good| Probe { clock: at, ..good.clone() });
            for ((side, is_open), probe) in is_open.iter_mut().enumerate().zip(probes) {
                let answers = self.bench.ask(&probe)?;
                *is_open = answers.get(side).is_some_and(|a| a.by_rules == Verdict::Allow);
            }
            open.push((at, is_open));
        }
        self.days(&good, &instants, &open)?;
        let in_force: Vec<OffsetDateTime> =
            open.iter().filter(|(_, open)| *open == [true; 2]).map(|(at, _)| *at).collect();
        let Some(first) = in_force.first() else { return Ok(()) };
        let good = good.map(|good| Probe { clock: *first, ..good });
        let values = Values::of(self.question.named, both, self.question.literals);
        let dimensions = dimensions(both, &values, self.bench.max_body());
        let judged = self.judge(&good, &dimensions)?;
        self.flips(&judged, &in_force, &instants)?;
        self.revocation(both, &judged);
        self.shadow(both, &judged, &in_force)
    }

    /// From when and until when only one of the two is in force.
    fn days(
        &mut self,
        good: &[Probe; 2],
        instants: &Instants,
        open: &[(OffsetDateTime, [bool; 2])],
    ) -> Result<(), SetUpError> {
        for state in [[true, false], [false, true]] {
            let at: Vec<OffsetDateTime> =
                open.iter().filter(|(_, open)| *open == state).map(|(at, _)| *at).collect();
            let [before, after] = good;
            let good = if state == [true, false] { before } else { after };
            if let Some(first) = at.first() {
                let probe = Probe { clock: *first, ..good.clone() };
                let answers = self.bench.ask(&probe)?;
                self.tell(&instants.told(&at), None, &probe, &answers);
            }
        }
        Ok(())
    }

    /// A request that a rule admits, and the other if it can.
    fn good(&self, own: &Route, both: [&Route; 2]) -> Probe {
        let values = Values::of(self.question.named, both, self.question.literals);
        let (path, consent) = values.good(own);
        let most = both.iter().filter_map(|route| route.bounds.max_body).min();
        Probe {
            method: own.published.method.clone(),
            path,
            query: Vec::new(),
            clock: self.question.now,
            credential: credential(&own.asks.access),
            foreign: format!("{consent}2"),
            consent,
            kinds: Probe::KINDS,
            status: "AUTHORISED",
            interaction_id: Some("d78fc4e5-37ca-4da3-adf2-9b082bf92280"),
            has_attempt: true,
            has_idempotency_key: true,
            x_v: None,
            body: deviation::body(&own.published.method, own.asks.media, most.unwrap_or(u64::MAX)),
            is_created: false,
        }
    }

    /// Asks both about every value, each from a request that is good otherwise.
    fn judge<'d>(
        &mut self,
        good: &[Probe; 2],
        dimensions: &'d [Dimension],
    ) -> Result<Judged<'d>, SetUpError> {
        let [before, after] = good;
        let mut rows = Vec::new();
        for dimension in dimensions {
            let mut row = Vec::new();
            for value in &dimension.values {
                let [of_before, _] = self.bench.ask(&value.of(before))?;
                let [_, of_after] = self.bench.ask(&value.of(after))?;
                row.push((value, [of_before, of_after].map(|a| a.by_rules == Verdict::Allow)));
            }
            rows.push(Row { values: row, is_one_enough: dimension.is_one_enough });
        }
        let common = |probe: &Probe| {
            rows.iter().filter_map(Row::common).fold(probe.clone(), |probe, value| value.of(&probe))
        };
        Ok(Judged { good: [common(before), common(after)], rows })
    }

    /// What the two judge differently, and when.
    fn flips(
        &mut self,
        judged: &Judged<'_>,
        in_force: &[OffsetDateTime],
        instants: &Instants,
    ) -> Result<(), SetUpError> {
        for row in &judged.rows {
            let mut told: Vec<Becomes> = Vec::new();
            for (value, admitted) in &row.values {
                let Some(label) = &value.label else { continue };
                let [before, after] = &judged.good;
                let probe = value.of(if *admitted == [false, true] { after } else { before });
                let mut flipping = Vec::new();
                for at in in_force.iter().filter(|_| *admitted != [true; 2]) {
                    let probe = Probe { clock: *at, ..probe.clone() };
                    let answers = self.bench.ask(&probe)?;
                    // What only shadow mode tells apart is told once, below.
                    if let (Some(becomes), Some(_)) = (becomes(&answers), by_rules(&answers)) {
                        flipping.push((*at, becomes, probe, answers));
                    }
                }
                let Some((_, becomes, probe, answers)) = flipping.first() else { continue };
                // Two faults at once are refused for the one or for the other.
                let is_alone = judged.is_common() && !row.is_one_enough;
                let is_told = row.is_one_enough && told.contains(becomes);
                if is_told || (*becomes == Becomes::Otherwise && !is_alone) {
                    continue;
                }
                told.push(*becomes);
                let at: Vec<OffsetDateTime> = flipping.iter().map(|(at, ..)| *at).collect();
                let label = match at == in_force {
                    true => label.clone(),
                    false => format!("{label}, {}", instants.told(&at)),
                };
                self.tell(&label, value.held.as_ref(), probe, answers);
            }
        }
        Ok(())
    }

    /// What the rules refuse, where only one of the two enforces them yet.
    fn shadow(
        &mut self,
        both: [&Route; 2],
        judged: &Judged<'_>,
        in_force: &[OffsetDateTime],
    ) -> Result<(), SetUpError> {
        let mut told: Vec<Becomes> = Vec::new();
        for at in in_force {
            let [before, after] = both.map(|route| route.bounds.shadow.is_on(when::moment(*at)));
            let (wanted, good) = match (before, after) {
                (false, true) => (Becomes::Allowed, judged.good.first()),
                (true, false) => (Becomes::Refused, judged.good.last()),
                _ => continue,
            };
            let Some(good) = good.filter(|_| !told.contains(&wanted)) else { continue };
            let good = Probe { clock: *at, ..good.clone() };
            for (value, _) in judged.rows.iter().flat_map(|row| &row.values) {
                let probe = value.of(&good);
                let answers = self.bench.ask(&probe)?;
                let is_by_shadow = answers.iter().any(|a| a.by_rules != a.in_force);
                if is_by_shadow && becomes(&answers) == Some(wanted) {
                    let label = "that the rules refuse, before the day of shadow_until";
                    self.tell(label, None, &probe, &answers);
                    told.push(wanted);
                    break;
                }
            }
        }
        Ok(())
    }

    /// What a revocation does, it does after its answer and to other requests: no stage is asked about it.
    fn revocation(&mut self, both: [&Route; 2], judged: &Judged<'_>) {
        let [before, after] = both.map(|route| match route.answers.revokes_tokens {
            true => Verdict::Refuse { status: 401, code: codes::token::REVOKED.code.to_owned() },
            false => Verdict::Allow,
        });
        let answers = [before, after].map(|v| Answer { by_rules: v.clone(), in_force: v });
        let [probe, _] = &judged.good;
        self.tell("afterwards, with a token that was revoked by it", None, probe, &answers);
    }

    /// Tells what becomes of a request, if something does.
    fn tell(
        &mut self,
        request: &str,
        held: Option<&Access>,
        probe: &Probe,
        answers: &[Answer; 2],
    ) -> bool {
        let Some(becomes) = becomes(answers) else { return false };
        let (scope, permission) = held.map(asked).unwrap_or_default();
        let [before, after] = answers;
        self.found.push(Decision {
            method: self.question.named.published.method.to_string(),
            path: self.question.named.published.label.to_string(),
            request: request.to_owned(),
            scope,
            permission,
            becomes,
            example: format!("{} {}", probe.method, probe.target()),
            before: before.in_force.to_string(),
            after: after.in_force.to_string(),
        });
        true
    }
}

/// What both said of every value.
struct Judged<'d> {
    /// Requests that each side admits; the same, but for what they cannot have in common.
    good: [Probe; 2],
    rows: Vec<Row<'d>>,
}

struct Row<'d> {
    values: Vec<(&'d Value, [bool; 2])>,
    is_one_enough: bool,
}

impl<'d> Row<'d> {
    /// The first value that both admit.
    fn common(&self) -> Option<&'d Value> {
        let both = self.values.iter().find(|(_, admitted)| *admitted == [true; 2]);
        both.map(|(value, _)| *value)
    }
}

impl Judged<'_> {
    /// Whether some request is admitted by both.
    fn is_common(&self) -> bool {
        self.rows.iter().all(|row| row.common().is_some())
    }
}

fn becomes(answers: &[Answer; 2]) -> Option<Becomes> {
    let [before, after] = answers;
    Becomes::of(&before.in_force, &after.in_force)
}

fn by_rules(answers: &[Answer; 2]) -> Option<Becomes> {
    let [before, after] = answers;
    Becomes::of(&before.by_rules, &after.by_rules)
}

fn asked(access: &Access) -> (Option<String>, Option<String>) {
    match access {
        Access::Open | Access::Certificate | Access::Event => (None, None),
        Access::Client { scope } => (Some(scope.as_str().to_owned()), None),
        Access::Consented { scope, permission, to: _ } => {
            (Some(scope.as_str().to_owned()), Some(permission.as_str().to_owned()))
        }
    }
}
