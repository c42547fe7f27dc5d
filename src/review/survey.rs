//! What both sets of policies say of requests to one route that are good but for one thing.
//!
//! Takes two rules and what requests may differ in (`deviation`), and asks the gateway's own stages about each variation
//! (`Bench`). Gives the answers: to `rule_difference`, which tells where they differ, and to `would`, which tells what
//! becomes of a request that may be one of several.

use std::collections::HashMap;

use time::OffsetDateTime;

use super::deviation::{Dimension, RulePair, Variation};
use super::trial::{Bench, BenchAnswer, Logged, Probe, SetUpError, Side, TrialVerdict};
use crate::admission::Step;

/// What both sets say of requests that are good but for one thing.
pub(super) struct Survey {
    /// Good requests of each.
    good: [Probe; 2],
    /// What they say of them.
    pub(super) answers: [BenchAnswer; 2],
    pub(super) dimensions: Vec<AskedDimension>,
    /// What a set says to requests that are otherwise in two things.
    pairs: HashMap<(Side, [VariationAt; 2]), Vec<Option<String>>>,
}

/// A dimension, and what both said of each of its variations.
pub(super) struct AskedDimension {
    /// What somebody does not know who does not know which variation a request is.
    pub(super) question: String,
    pub(super) is_one_enough: bool,
    pub(super) variations: Vec<(Variation, [BenchAnswer; 2])>,
}

/// A variation: of which dimension, and which of them.
pub(super) type VariationAt = (usize, usize);

impl Survey {
    /// Asks both sets about requests at a time.
    pub(super) fn new(
        rules: &RulePair<'_>,
        dimensions: Vec<Dimension>,
        clock: OffsetDateTime,
        bench: &mut Bench,
    ) -> Result<Self, SetUpError> {
        let good = [Side::Before, Side::After].map(|side| rules.good(side, clock));
        let [before, after] = &good;
        let mut both = |before: &Probe, after: &Probe| -> Result<[BenchAnswer; 2], SetUpError> {
            Ok([bench.ask_one(Side::Before, before)?, bench.ask_one(Side::After, after)?])
        };
        let answers = both(before, after)?;
        let mut surveyed = Vec::new();
        for Dimension { question, variations, is_one_enough } in dimensions {
            let mut told = Vec::new();
            for variation in variations {
                let answers = both(&variation.of(before), &variation.of(after))?;
                told.push((variation, answers));
            }
            surveyed.push(AskedDimension { question, is_one_enough, variations: told });
        }
        Ok(Self { good, answers, dimensions: surveyed, pairs: HashMap::new() })
    }

    /// Requests that each set admits; the same, but for what they cannot have in common.
    pub(super) fn common(&self) -> [Probe; 2] {
        let common = |probe: &Probe| {
            let all = self.dimensions.iter().filter_map(AskedDimension::common);
            all.fold(probe.clone(), |probe, variation| variation.of(&probe))
        };
        let [before, after] = &self.good;
        [common(before), common(after)]
    }

    /// Whether some request is admitted by both.
    pub(super) fn is_common(&self) -> bool {
        self.dimensions.iter().all(|dimension| dimension.common().is_some())
    }

    /// What a set says of a variation.
    pub(super) fn answer(&self, side: Side, (at, which): VariationAt) -> Option<&BenchAnswer> {
        let (_, [before, after]) = self.dimensions.get(at)?.variations.get(which)?;
        Some(match side {
            Side::Before => before,
            Side::After => after,
        })
    }

    /// The refusal of a variation by the rules of a set.
    pub(super) fn fault(&self, side: Side, place: VariationAt) -> Option<(Step, &str)> {
        fault(self.answer(side, place)?)
    }

    /// With which code a set refuses requests that are otherwise in two things: one code, or one for each order, of
    /// what has an order in a request.
    pub(super) fn pair(
        &mut self,
        side: Side,
        mut places: [VariationAt; 2],
        bench: &mut Bench,
    ) -> Result<Vec<Option<String>>, SetUpError> {
        // Both orders of asking are one question, which is asked once.
        places.sort_unstable();
        if let Some(known) = self.pairs.get(&(side, places)) {
            return Ok(known.clone());
        }
        let [before, after] = &self.good;
        let good = if side == Side::Before { before } else { after };
        let [one, other] = places;
        let [first, last] = [[one, other], [other, one]].map(|places| {
            let variation =
                |(at, which): VariationAt| self.dimensions.get(at)?.variations.get(which);
            let both = places.into_iter().filter_map(variation);
            both.fold(good.clone(), |probe, (variation, _)| variation.of(&probe))
        });
        let mut code = |probe: &Probe| -> Result<Option<String>, SetUpError> {
            Ok(bench.ask_one(side, probe)?.by_rules.code().map(str::to_owned))
        };
        let mut codes = vec![code(&first)?];
        if first != last {
            codes.push(code(&last)?);
        }
        self.pairs.insert((side, places), codes.clone());
        Ok(codes)
    }
}

impl AskedDimension {
    /// The first variation that both admit.
    fn common(&self) -> Option<&Variation> {
        let mut both = self.variations.iter().filter(|(_, answers)| admitted(answers) == [true; 2]);
        both.next().map(|(variation, _)| variation)
    }

    /// The variations whose requests the log would tell so of, as far as it tells them from others; of those that both
    /// judge alike, the first.
    pub(super) fn logged(&self, log: Logged) -> Vec<usize> {
        let logged = |answers: &[BenchAnswer; 2]| {
            let [before, _] = answers;
            before.logged
        };
        let all = || self.variations.iter();
        let has = |is: fn(Logged) -> bool| all().any(|(_, a)| is(logged(a)) == is(log));
        // Where no variation agrees with the line in something, that is not this dimension's to tell.
        let (participants, uuids) = (has(|l| l.has_participant), has(|l| l.has_uuid));
        let fits = |(_, answers): &&(Variation, [BenchAnswer; 2])| {
            let logged = logged(answers);
            (!participants || logged.has_participant == log.has_participant)
                && (!uuids || logged.has_uuid == log.has_uuid)
        };
        let is_new = |at: usize, (variation, answers): &(Variation, [BenchAnswer; 2])| {
            all().take(at).all(|(other, others)| {
                other.is_any_fault != variation.is_any_fault || others != answers
            })
        };
        let fitting = all().enumerate().filter(|(at, of)| fits(of) && is_new(*at, of));
        fitting.map(|(at, _)| at).collect()
    }

    /// Whether the two judge any variation differently.
    pub(super) fn is_changed(&self) -> bool {
        self.variations.iter().any(|(_, [before, after])| fault(before) != fault(after))
    }
}

/// Which sets admit a request by their rules.
pub(super) fn admitted(answers: &[BenchAnswer; 2]) -> [bool; 2] {
    let [before, after] = answers;
    [before, after].map(|answer| answer.by_rules == TrialVerdict::Allow)
}

/// A refusal by the rules, and at which question.
pub(super) fn fault(answer: &BenchAnswer) -> Option<(Step, &str)> {
    let code = answer.by_rules.code()?;
    // Whoever gets no connection is not asked anything.
    Some((answer.step.unwrap_or(Step::Trust), code))
}
