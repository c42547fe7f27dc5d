//! What a set of policies would say to requests of which something is known, and something is not.
//!
//! Takes what its line in the access log says of a request ([`LineFacts`]), and what both sets say of all that it may
//! have been ([`Survey`]). Gives what becomes of it ([`Survey::would`]): whatever it was, as far as the first set would
//! have said what the log says, is put to the second set. If that says the same of all, it is what becomes of the request;
//! if not, the log does not tell, and what tells those from each other is what is missing. Nothing here knows what a rule
//! means.
//!
//! Every stage asks for something of its own, so what a request is in one dimension says nothing of the others, and
//! the first question that refuses it for any is the one that it is refused at. Where one question is about several
//! dimensions, both sets are asked about requests that are otherwise in two of them.

use std::collections::BTreeMap;

use super::deviation::Variation;
use super::survey::{AskedDimension, Survey, VariationAt, fault};
use super::trial::{Bench, Logged, SetUpError, Side, TrialVerdict};
use crate::admission::Step;
use crate::refusal::codes;

/// What nobody knows of a line that the policies before would not have written.
const UNEXPLAINED: &str = "why the policies before said so";
/// No request is known that a rule admits.
const PATH: &str = "what the path was";

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Word {
    /// It goes on.
    Pass,
    /// It is refused, with this code if it is certain.
    Refuse(Option<String>),
    /// What is known does not tell; this is missing.
    Unknown(String),
}

impl Word {
    /// The word on a request that the policies before would not have said so of.
    pub(super) fn unexplained() -> Self {
        Self::Unknown(UNEXPLAINED.to_owned())
    }
}

/// What is known of a request: what its line says.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineFacts<'a> {
    /// What the rules said, if they refused it.
    pub(super) code: Option<&'a str>,
    /// Whether it went on all the same.
    pub(super) is_borne: bool,
    /// Whether the rules alone are compared, enforced or not.
    pub(super) is_about_rules: bool,
    /// What else the line says.
    pub(super) logged: Logged,
}

impl LineFacts<'_> {
    fn went_on(&self) -> bool {
        self.code.is_none() || self.is_borne
    }

    /// A refusal, if it is known to be another answer: one with another code, or of what went on.
    fn refuse(&self, code: Option<String>, question: String) -> Word {
        match code {
            None if !self.went_on() => Word::Unknown(question),
            code => Word::Refuse(code),
        }
    }
}

/// A request of which some is known.
struct Suspect {
    /// For each dimension, what it may be.
    may_be: Vec<Vec<usize>>,
    /// For which dimension the first set refused it.
    cause: Option<usize>,
}

/// At which question a request is refused, and with which code if it is certain.
type RefusedAt = (Step, Option<String>);

impl Survey {
    /// What becomes of a request to the first set that is one to the second.
    pub(super) fn would(
        &mut self,
        facts: &LineFacts<'_>,
        bench: &mut Bench,
    ) -> Result<Word, SetUpError> {
        let [before, after] = &self.answers;
        match after.by_rules.code() {
            Some(code) if after.step == Some(Step::Route) => {
                let is_certain = self.is_said_on_every_listener(facts, code);
                return Ok(facts.refuse(is_certain.then(|| code.to_owned()), PATH.to_owned()));
            }
            // No request is known that the second set admits, so there is nothing to vary.
            Some(_) => return Ok(Word::Unknown(PATH.to_owned())),
            None => {}
        }
        let suspects = match (before.by_rules.code(), facts.code) {
            (None, None) => vec![self.suspect(facts, None, bench)?],
            (None, Some(code)) => self.refused(code, facts, bench)?,
            // Nothing was asked of it yet.
            (Some(said), Some(code)) if said == code && before.step == Some(Step::Route) => {
                let all = |of: &AskedDimension| of.logged(facts.logged);
                vec![Suspect { may_be: self.dimensions.iter().map(all).collect(), cause: None }]
            }
            (Some(_), _) => Vec::new(),
        };
        let mut words = Vec::new();
        for suspect in suspects.iter().filter(|suspect| suspect.is_possible()) {
            words.push((self.word(facts, suspect, bench)?, suspect));
        }
        let question = |(_, suspect): &(Word, &Suspect)| self.question(suspect.cause);
        let question = words.first().map_or_else(|| UNEXPLAINED.to_owned(), question);
        Ok(agreed(words.into_iter().map(|(word, _)| word).collect(), facts, question))
    }

    /// Whether the second set says no other of the route, wherever the request may have come in.
    fn is_said_on_every_listener(&self, facts: &LineFacts<'_>, code: &str) -> bool {
        (0..).zip(&self.dimensions).all(|(at, dimension)| {
            dimension.logged(facts.logged).into_iter().all(|which| {
                let said = self.fault(Side::After, (at, which));
                said.is_none_or(|(step, said)| step != Step::Route || said == code)
            })
        })
    }

    fn question(&self, dimension: Option<usize>) -> String {
        let dimension = dimension.and_then(|at| self.dimensions.get(at));
        dimension.map_or(UNEXPLAINED, |of| &of.question).to_owned()
    }

    /// What a request may be that was refused with a code: once for each question that may have refused it.
    fn refused(
        &mut self,
        code: &str,
        facts: &LineFacts<'_>,
        bench: &mut Bench,
    ) -> Result<Vec<Suspect>, SetUpError> {
        let stage = codes::ALL.iter().find(|row| row.code == code).map(|row| row.stage.as_str());
        let exactly = |_: &Variation, (_, said): (Step, &str)| said == code;
        let like_it = |variation: &Variation, (step, _): (Step, &str)| {
            variation.is_any_fault && Some(step.stage()) == stage
        };
        let mut causes = self.causes(facts, exactly);
        // Second, for what stands for all of a stage would explain each of its codes.
        if causes.is_empty() {
            causes = self.causes(facts, like_it);
        }
        let mut suspects = Vec::new();
        for ((dimension, step), variations) in causes {
            suspects.push(self.suspect(facts, Some((dimension, step, variations)), bench)?);
        }
        Ok(suspects)
    }

    /// The variations that the first set refuses so.
    fn causes(
        &self,
        facts: &LineFacts<'_>,
        is_so: impl Fn(&Variation, (Step, &str)) -> bool,
    ) -> BTreeMap<(usize, Step), Vec<usize>> {
        let mut causes: BTreeMap<(usize, Step), Vec<usize>> = BTreeMap::new();
        for (at, dimension) in self.dimensions.iter().enumerate() {
            for which in dimension.logged(facts.logged) {
                let Some((variation, [before, _])) = dimension.variations.get(which) else {
                    continue;
                };
                let goes_on = before.in_force == TrialVerdict::Allow;
                // Whether it went on depends on the day, of which a line about the rules alone says nothing.
                let fits = facts.is_about_rules || goes_on == facts.is_borne;
                if let Some((step, said)) = fault(before).filter(|_| fits)
                    && is_so(variation, (step, said))
                {
                    causes.entry((at, step)).or_default().push(which);
                }
            }
        }
        causes
    }

    /// What a request may be that the first set admitted, or refused for one dimension, being one of these.
    fn suspect(
        &mut self,
        facts: &LineFacts<'_>,
        cause: Option<(usize, Step, Vec<usize>)>,
        bench: &mut Bench,
    ) -> Result<Suspect, SetUpError> {
        let mut may_be = Vec::new();
        for at in 0..self.dimensions.len() {
            let logged: Vec<usize> =
                self.dimensions.get(at).map(|of| of.logged(facts.logged)).unwrap_or_default();
            let mut possible = Vec::new();
            for which in logged {
                let is_possible = match &cause {
                    Some((dimension, _, which_of)) if *dimension == at => which_of.contains(&which),
                    Some((dimension, step, which_of)) => {
                        let causes = which_of.iter().map(|which| (*dimension, *which)).collect();
                        self.is_beside(facts, (at, which), (*step, causes), bench)?
                    }
                    None => self.fault(Side::Before, (at, which)).is_none(),
                };
                if is_possible {
                    possible.push(which);
                }
            }
            may_be.push(possible);
        }
        Ok(Suspect { may_be, cause: cause.map(|(dimension, ..)| dimension) })
    }

    /// Whether a request that is refused for another dimension at a step may be this, too.
    fn is_beside(
        &mut self,
        facts: &LineFacts<'_>,
        place: VariationAt,
        (step, causes): (Step, Vec<VariationAt>),
        bench: &mut Bench,
    ) -> Result<bool, SetUpError> {
        let goes_on =
            self.answer(Side::Before, place).is_some_and(|a| a.in_force == TrialVerdict::Allow);
        let Some((at, _)) = self.fault(Side::Before, place) else { return Ok(true) };
        if at < step {
            // What is borne first is what the line says.
            return Ok(goes_on && !facts.is_borne && !facts.is_about_rules);
        }
        // What went on had no fault that shadow mode does not bear.
        if facts.is_borne && !goes_on {
            return Ok(false);
        }
        if at > step {
            return Ok(true);
        }
        for cause in causes {
            let said = self.fault(Side::Before, cause).map(|(_, code)| code.to_owned());
            if self.pair(Side::Before, [cause, place], bench)?.contains(&said) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What the second set says to whatever a request may be.
    fn word(
        &mut self,
        facts: &LineFacts<'_>,
        suspect: &Suspect,
        bench: &mut Bench,
    ) -> Result<Word, SetUpError> {
        let becomes = self.becomes(facts, suspect);
        let all = || becomes.iter().flatten().flatten();
        let Some(step) = all().map(|(step, _)| *step).min() else { return Ok(Word::Pass) };
        let is_here = |fault: &Option<RefusedAt>| matches!(fault, Some((at, _)) if *at == step);
        let sure: Vec<usize> = positions(&becomes, |all| all.iter().all(is_here));
        let open = positions(&becomes, |all| all.iter().any(is_here) && !all.iter().all(is_here));
        let is_changed =
            |at: &&usize| self.dimensions.get(**at).is_some_and(AskedDimension::is_changed);
        let asked = open.iter().find(is_changed).or(open.first()).or(sure.first());
        let question = self.question(asked.copied());
        if sure.is_empty() {
            let is_refused = becomes.iter().any(|all| all.iter().all(Option::is_some));
            let word = || facts.refuse(None, question.clone());
            return Ok(if is_refused { word() } else { Word::Unknown(question) });
        }
        let mut codes = all().filter(|(at, _)| *at == step).map(|(_, code)| code);
        let first = codes.next().cloned().flatten();
        if codes.all(|code| *code == first) {
            return Ok(facts.refuse(first, question));
        }
        for at in sure {
            if let Some(code) = self.said_first(suspect, at, step, &becomes, bench)? {
                return Ok(Word::Refuse(Some(code)));
            }
        }
        Ok(facts.refuse(None, question))
    }

    /// What the second set says to each that a request may be.
    fn becomes(&self, facts: &LineFacts<'_>, suspect: &Suspect) -> Vec<Vec<Option<RefusedAt>>> {
        let of = |(at, all): (usize, &Vec<usize>)| {
            let becomes = |which: &usize| {
                let surveyed = self.dimensions.get(at)?;
                let (variation, [before, after]) = surveyed.variations.get(*which)?;
                let (step, code) = fault(after)?;
                let goes_on = after.in_force == TrialVerdict::Allow && !facts.is_about_rules;
                let is_again = suspect.cause == Some(at) && before.by_rules.code() == Some(code);
                let code = match (variation.is_any_fault, is_again) {
                    (true, true) => facts.code,
                    (true, false) => None,
                    (false, _) => Some(code),
                };
                (!goes_on).then(|| (step, code.map(str::to_owned)))
            };
            all.iter().map(becomes).collect()
        };
        suspect.may_be.iter().enumerate().map(of).collect()
    }

    /// What the second set says to a request that it refuses for a dimension at a step, if whatever else it may refuse
    /// it for there comes later.
    fn said_first(
        &mut self,
        suspect: &Suspect,
        at: usize,
        step: Step,
        becomes: &[Vec<Option<RefusedAt>>],
        bench: &mut Bench,
    ) -> Result<Option<String>, SetUpError> {
        let places = |of: usize| {
            let all = suspect.may_be.get(of).into_iter().flatten();
            all.map(move |which| (of, *which))
        };
        let own = becomes.get(at).into_iter().flatten().flatten();
        let mut codes = own.map(|(_, code)| code.clone());
        let Some(Some(code)) = codes.next().filter(|first| codes.all(|code| code == *first)) else {
            return Ok(None);
        };
        let others = (0..suspect.may_be.len()).filter(|of| *of != at).flat_map(places);
        for other in others {
            if self.fault(Side::After, other).is_none_or(|(there, _)| there != step) {
                continue;
            }
            for place in places(at) {
                let alone = self.fault(Side::After, place).map(|(_, code)| code.to_owned());
                let codes = self.pair(Side::After, [place, other], bench)?;
                if codes.iter().any(|code| *code != alone) {
                    return Ok(None);
                }
            }
        }
        Ok(Some(code))
    }
}

impl Suspect {
    /// Whether some request is so.
    fn is_possible(&self) -> bool {
        self.may_be.iter().all(|all| !all.is_empty())
    }
}

fn positions<T>(all: &[T], is_so: impl Fn(&T) -> bool) -> Vec<usize> {
    all.iter().enumerate().filter(|(_, one)| is_so(one)).map(|(at, _)| at).collect()
}

/// What becomes of a request that may be one of several, of which the question tells them from each other.
fn agreed(mut words: Vec<Word>, facts: &LineFacts<'_>, question: String) -> Word {
    words.sort();
    words.dedup();
    let unknown = words.iter().find(|word| matches!(word, Word::Unknown(_)));
    match (&*words, unknown) {
        ([only], _) => only.clone(),
        (_, Some(unknown)) => unknown.clone(),
        (all, None) if !all.is_empty() && !all.contains(&Word::Pass) => {
            facts.refuse(None, question)
        }
        _ => Word::Unknown(question),
    }
}
