//! Which requests two rules of one route decide differently.
//!
//! Nothing here knows what a rule means: both sets of policies are served by the gateway's own stages, and asked
//! (`Bench`). From a request that its rule admits, each of what requests may differ in is changed by itself
//! (`deviation`); what the two then say differently is told, with the request. What is told may happen now
//! or on a later day; what was yesterday, no policy changes.

use std::collections::HashSet;

use serde::Serialize;
use time::OffsetDateTime;

use super::deviation::{RulePair, describe};
use super::survey::{Survey, admitted};
use super::trial::{Bench, BenchAnswer, Probe, SetUpError, Side, TrialVerdict};
use super::when::{self, Instants};
use crate::refusal::codes;
use crate::route::{Access, Route};

/// Requests of one kind to one route, and what becomes of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleDifference {
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
    fn of(before: &TrialVerdict, after: &TrialVerdict) -> Option<Self> {
        match (before == &TrialVerdict::Allow, after == &TrialVerdict::Allow) {
            (false, true) => Some(Self::Allowed),
            (true, false) => Some(Self::Refused),
            (false, false) if before != after => Some(Self::Otherwise),
            (true, true) | (false, false) => None,
        }
    }
}

/// What becomes of the requests to a route, by what decides in the first set and in the second.
pub(super) fn compare(
    rules: [Option<&Route>; 2],
    among: Among<'_>,
    bench: &mut Bench,
) -> Result<Vec<RuleDifference>, SetUpError> {
    let mut asking = Asking { among, bench, found: Vec::new() };
    match rules {
        [None, None] => {}
        [Some(only), None] | [None, Some(only)] => asking.only(only)?,
        [Some(before), Some(after)] => asking.both([before, after])?,
    }
    Ok(asking.found)
}

/// What routes are asked about.
#[derive(Clone, Copy)]
pub(super) struct Among<'a> {
    /// The route that is meant.
    pub(super) named: &'a Route,
    /// Literal segments of any template.
    pub(super) literals: &'a HashSet<String>,
    /// The present.
    pub(super) now: OffsetDateTime,
}

struct Asking<'a> {
    among: Among<'a>,
    bench: &'a mut Bench,
    found: Vec<RuleDifference>,
}

impl<'a> Asking<'a> {
    /// A route of one set only: whatever it admits, the other does not know.
    fn only(&mut self, route: &Route) -> Result<(), SetUpError> {
        let good = self.rules([route; 2]).good(Side::Before, self.among.now);
        let instants = Instants::of(self.among.now, [route; 2]);
        for at in instants.all() {
            let probe = Probe { clock: at, ..good.clone() };
            let answers = self.bench.ask(&probe)?;
            let access = Some(&route.asks.access);
            // The first instant at which somebody notices is told; the later ones say the same.
            if self.tell(&describe(&route.asks.access), access, &probe, verdicts(&answers)) {
                break;
            }
        }
        Ok(())
    }

    fn both(&mut self, both: [&Route; 2]) -> Result<(), SetUpError> {
        let rules = self.rules(both);
        let good = [Side::Before, Side::After].map(|side| rules.good(side, self.among.now));
        let instants = Instants::of(self.among.now, both);
        let mut open: Vec<(OffsetDateTime, [bool; 2])> = Vec::new();
        for at in instants.all() {
            let mut is_open = [false; 2];
            let probes = good.iter().map(|good| Probe { clock: at, ..good.clone() });
            for ((side, is_open), probe) in is_open.iter_mut().enumerate().zip(probes) {
                let answers = self.bench.ask(&probe)?;
                *is_open = answers.get(side).is_some_and(|a| a.by_rules == TrialVerdict::Allow);
            }
            open.push((at, is_open));
        }
        self.days(&good, &instants, &open)?;
        let in_force: Vec<OffsetDateTime> =
            open.iter().filter(|(_, open)| *open == [true; 2]).map(|(at, _)| *at).collect();
        // Of two rules that are never in force together nothing differs but their days.
        let Some(first) = in_force.first() else { return Ok(()) };
        let dimensions = rules.dimensions(self.bench.max_body());
        let survey = Survey::new(&rules, dimensions, *first, self.bench)?;
        self.flips(&survey, &in_force, &instants)?;
        self.revocation(both, &survey);
        self.shadow(both, &survey, &in_force)
    }

    fn rules<'r>(&self, both: [&'r Route; 2]) -> RulePair<'r>
    where
        'a: 'r,
    {
        RulePair { named: self.among.named, both, literals: self.among.literals }
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
                self.tell(&instants.told(&at), None, &probe, verdicts(&answers));
            }
        }
        Ok(())
    }

    /// What the two judge differently, and when.
    fn flips(
        &mut self,
        survey: &Survey,
        in_force: &[OffsetDateTime],
        instants: &Instants,
    ) -> Result<(), SetUpError> {
        let [before, after] = survey.common();
        for dimension in &survey.dimensions {
            let mut told: Vec<Becomes> = Vec::new();
            for (variation, answers) in &dimension.variations {
                let Some(label) = &variation.label else { continue };
                let admitted = admitted(answers);
                let probe = variation.of(if admitted == [false, true] { &after } else { &before });
                let mut flipping = Vec::new();
                for at in in_force.iter().filter(|_| admitted != [true; 2]) {
                    let probe = Probe { clock: *at, ..probe.clone() };
                    let answers = self.bench.ask(&probe)?;
                    // What only shadow mode tells apart is told once, below.
                    if let (Some(becomes), Some(_)) = (becomes(&answers), by_rules(&answers)) {
                        flipping.push((*at, becomes, probe, answers));
                    }
                }
                let Some((_, becomes, probe, answers)) = flipping.first() else { continue };
                // Two faults at once are refused for the one or for the other.
                let is_alone = survey.is_common() && !dimension.is_one_enough;
                let is_told = dimension.is_one_enough && told.contains(becomes);
                if is_told || (*becomes == Becomes::Otherwise && !is_alone) {
                    continue;
                }
                told.push(*becomes);
                let at: Vec<OffsetDateTime> = flipping.iter().map(|(at, ..)| *at).collect();
                let label = match at == in_force {
                    true => label.clone(),
                    false => format!("{label}, {}", instants.told(&at)),
                };
                self.tell(&label, variation.held.as_ref(), probe, verdicts(answers));
            }
        }
        Ok(())
    }

    /// What the rules refuse, where only one of the two enforces them yet.
    fn shadow(
        &mut self,
        both: [&Route; 2],
        survey: &Survey,
        in_force: &[OffsetDateTime],
    ) -> Result<(), SetUpError> {
        let common = survey.common();
        let mut told: Vec<Becomes> = Vec::new();
        for at in in_force {
            let [before, after] = both.map(|route| route.bounds.shadow.is_on(when::moment(*at)));
            let (wanted, good) = match (before, after) {
                (false, true) => (Becomes::Allowed, common.first()),
                (true, false) => (Becomes::Refused, common.last()),
                _ => continue,
            };
            let Some(good) = good.filter(|_| !told.contains(&wanted)) else { continue };
            let good = Probe { clock: *at, ..good.clone() };
            for (variation, _) in survey.dimensions.iter().flat_map(|of| &of.variations) {
                let probe = variation.of(&good);
                let answers = self.bench.ask(&probe)?;
                let is_by_shadow = answers.iter().any(|a| a.by_rules != a.in_force);
                if is_by_shadow && becomes(&answers) == Some(wanted) {
                    let label = "that the rules refuse, before the day of shadow_until";
                    self.tell(label, None, &probe, verdicts(&answers));
                    told.push(wanted);
                    break;
                }
            }
        }
        Ok(())
    }

    /// What a revocation does, it does after its answer and to other requests: no stage is asked about it.
    fn revocation(&mut self, both: [&Route; 2], survey: &Survey) {
        let [before, after] = both.map(|route| match route.answers.revokes_tokens {
            true => {
                TrialVerdict::Refuse { status: 401, code: codes::token::REVOKED.code.to_owned() }
            }
            false => TrialVerdict::Allow,
        });
        let [probe, _] = survey.common();
        let label = "afterwards, with a token that was revoked by it";
        self.tell(label, None, &probe, [&before, &after]);
    }

    /// Tells what becomes of a request, if something does.
    fn tell(
        &mut self,
        request: &str,
        held: Option<&Access>,
        probe: &Probe,
        [before, after]: [&TrialVerdict; 2],
    ) -> bool {
        let Some(becomes) = Becomes::of(before, after) else { return false };
        let (scope, permission) = held.map(asked).unwrap_or_default();
        self.found.push(RuleDifference {
            method: self.among.named.published.method.to_string(),
            path: self.among.named.published.label.to_string(),
            request: request.to_owned(),
            scope,
            permission,
            becomes,
            example: format!("{} {}", probe.method, probe.target()),
            before: before.to_string(),
            after: after.to_string(),
        });
        true
    }
}

fn verdicts([before, after]: &[BenchAnswer; 2]) -> [&TrialVerdict; 2] {
    [&before.in_force, &after.in_force]
}

fn becomes(answers: &[BenchAnswer; 2]) -> Option<Becomes> {
    let [before, after] = verdicts(answers);
    Becomes::of(before, after)
}

fn by_rules(answers: &[BenchAnswer; 2]) -> Option<Becomes> {
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
