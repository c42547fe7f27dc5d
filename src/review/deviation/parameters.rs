//! The values of parameters of path and query: those of two rules, and what lies just beyond.

use std::collections::HashSet;

use super::{Dimension, Variation};
use crate::parameters::{Admitted, PathForm, PathRule, QueryRule};
use crate::review::trial::Probe;
use crate::route::Route;

/// What good requests have in the place of a parameter, the first of them that fits.
const GOOD: [&str; 6] = ["urn:portaria:consent:1", "1", "urn:a:1", "7", "x1", "urn:p:x1"];

/// What is not known of a request whose path and query are not.
const TARGET: &str = "what the path and query were";

/// How a text begins that has the form of one.
const URN: &str = "urn:p:";

/// The values of two rules of one route.
pub(super) struct Values<'a> {
    /// The segments of the template that is meant.
    segments: Vec<&'a str>,
    both: [&'a Route; 2],
    /// Literal segments of any template: a parameter that has such a value may be another route's.
    literals: &'a HashSet<String>,
}

impl<'a> Values<'a> {
    /// The values of requests to `named`.
    pub(super) fn of(
        named: &'a Route,
        both: [&'a Route; 2],
        literals: &'a HashSet<String>,
    ) -> Self {
        let segments = named.published.label.split('/').skip(1).collect();
        Self { segments, both, literals }
    }

    fn parameters(&self) -> impl Iterator<Item = (usize, &'a str)> {
        let segments = self.segments.iter().enumerate();
        segments
            .filter_map(|(at, segment)| Some((at, segment.strip_prefix('{')?.strip_suffix('}')?)))
    }

    /// The rules of a parameter, whatever each calls it.
    fn rules(&self, at: usize) -> Vec<&'a PathRule> {
        let rule = |route: &&'a Route| {
            let name = parameter(route, at)?;
            route.asks.parameters.path.iter().find(|rule| *rule.name == *name)
        };
        self.both.iter().filter_map(rule).collect()
    }

    /// The parameters that name a consent by either rule.
    fn consents(&self) -> Vec<usize> {
        let names = |at: &usize| {
            let named = |route: &Route| {
                route.asks.consent_parameter.is_some()
                    && parameter(route, *at) == route.asks.consent_parameter.as_deref()
            };
            self.both.iter().any(|route| named(route))
        };
        self.parameters().map(|(at, _)| at).filter(names).collect()
    }

    /// The path of a good request to `own`, which fits the other rule, too, if it can; and the consent.
    pub(super) fn good(&self, own: &Route) -> (Vec<String>, String) {
        let mut path: Vec<String> = self.segments.iter().map(|part| (*part).to_owned()).collect();
        let consents = self.consents();
        let mut consent = GOOD.map(str::to_owned).into_iter().next().unwrap_or_default();
        for (at, _) in self.parameters() {
            let all = self.rules(at);
            let own = all.iter().copied().filter(|rule| {
                // By identity: both rules may say the same, and one of them is its own.
                own.asks.parameters.path.iter().any(|known| std::ptr::eq(known, *rule))
            });
            let value = self.fitting(&all).or_else(|| self.fitting(&own.collect::<Vec<_>>()));
            let value = value.unwrap_or_default();
            if consents.contains(&at) {
                consent.clone_from(&value);
            }
            if let Some(part) = path.get_mut(at) {
                *part = value;
            }
        }
        (path, consent)
    }

    fn fitting(&self, rules: &[&PathRule]) -> Option<String> {
        let fits = |text: &str| {
            rules.iter().all(|rule| {
                text.len() <= rule.longest
                    && (rule.form == PathForm::Any || text.starts_with("urn:"))
            })
        };
        let free = |text: &&str| !self.literals.contains(*text);
        GOOD.into_iter().filter(free).find(|text| fits(text)).map(str::to_owned)
    }

    /// One dimension for each parameter of the path.
    pub(super) fn of_path(&self) -> Vec<Dimension> {
        let consents = self.consents();
        let dimension = |(at, name): (usize, &str)| {
            let is_consent = consents.contains(&at);
            let put = |label: Option<String>, text: String| {
                let places = if is_consent { consents.clone() } else { vec![at] };
                Variation::new(label, move |probe| {
                    for place in &places {
                        if let Some(part) = probe.path.get_mut(*place) {
                            part.clone_from(&text);
                        }
                    }
                    if is_consent {
                        probe.consent.clone_from(&text);
                    }
                })
            };
            let mut variations = vec![Variation::none()];
            variations.push(put(Some(format!("with {name} that is no URN")), self.filled("", 1)));
            let mut bounds: Vec<usize> = self.rules(at).iter().map(|rule| rule.longest).collect();
            bounds.sort_unstable();
            for length in bounds.into_iter().flat_map(|bound| [bound, bound.saturating_add(1)]) {
                let label = Some(format!("with {name} of {length} characters"));
                variations.push(put(label.clone(), self.filled("", length)));
                variations
                    .extend((length > URN.len()).then(|| put(label, self.filled(URN, length))));
            }
            variations
                .push(put(Some(format!("with {name} that has a slash")), "urn:a:b/c".to_owned()));
            Dimension::one(TARGET, variations)
        };
        self.parameters().map(dimension).collect()
    }

    /// A text of so many characters that is no literal of a template.
    fn filled(&self, prefix: &str, length: usize) -> String {
        let fill = |by: char| -> String {
            let rest = length.saturating_sub(prefix.len()).max(1);
            prefix.chars().chain(std::iter::repeat_n(by, rest)).collect()
        };
        let texts = ('1'..='9').chain('a'..='z').map(fill);
        texts.into_iter().find(|text| !self.literals.contains(text)).unwrap_or_else(|| fill('1'))
    }

    /// The path names somebody else's consent, where either rule looks.
    pub(super) fn foreign(&self) -> Vec<Variation> {
        let label = "for a consent of the path that is not the token's or the client's own";
        let put = |at: usize| {
            Variation::told(label, move |probe: &mut Probe| {
                let mut foreign = probe.consent.clone();
                // Of the same length and form: it must be refused for whose it is, and for nothing else.
                let last = if foreign.ends_with('2') { "3" } else { "2" };
                foreign.pop();
                foreign.push_str(last);
                if let Some(part) = probe.path.get_mut(at) {
                    part.clone_from(&foreign);
                }
                probe.foreign = foreign;
            })
        };
        let others = self.consents().into_iter().map(put);
        std::iter::once(Variation::none()).chain(others).collect()
    }

    /// One dimension for each name of a query that either rule knows, and one for all others.
    pub(super) fn of_query(&self) -> Vec<Dimension> {
        let mut names: Vec<&str> = Vec::new();
        for rule in self.both.iter().flat_map(|route| &route.asks.parameters.query) {
            if !names.contains(&&*rule.name) {
                names.push(&rule.name);
            }
        }
        let longest = names.iter().map(|name| name.len()).max().unwrap_or(0);
        let mut dimensions: Vec<Dimension> = names.iter().map(|name| self.of_name(name)).collect();
        let unknown = pairs(
            "with an unknown name in its query",
            // Longer than every known name, so that it is none of them.
            vec![("x".repeat(longest + 1), "1".to_owned())],
        );
        dimensions.push(Dimension::one(TARGET, vec![Variation::none(), unknown]));
        dimensions
    }

    fn of_name(&self, name: &str) -> Dimension {
        let of_name =
            |route: &&'a Route| route.asks.parameters.query.iter().find(|r| *r.name == *name);
        let rules: Vec<&QueryRule> = self.both.iter().filter_map(of_name).collect();
        let mut variations = vec![Variation::none()];
        let texts = candidates(&rules);
        for text in &texts {
            let label = format!("with {name}={text} in its query");
            variations.push(pairs(&label, vec![(name.to_owned(), text.clone())]));
        }
        for text in texts {
            let pair = (name.to_owned(), text);
            let label = format!("with {name} twice in its query");
            variations.push(pairs(&label, vec![pair.clone(), pair]));
        }
        Dimension::one(TARGET, variations)
    }
}

fn pairs(label: &str, pairs: Vec<(String, String)>) -> Variation {
    Variation::told(label, move |probe| probe.query.extend(pairs.iter().cloned()))
}

/// What a route calls the parameter in this place.
fn parameter(route: &Route, at: usize) -> Option<&str> {
    route.published.label.split('/').nth(at + 1)?.strip_prefix('{')?.strip_suffix('}')
}

/// Values of which, if two rules differ, they judge one differently.
fn candidates(rules: &[&QueryRule]) -> Vec<String> {
    let listed: Vec<&str> = rules
        .iter()
        .flat_map(|rule| match &rule.admitted {
            Admitted::OneOf(values) => values.iter().map(|value| &**value).collect(),
            Admitted::Any | Admitted::Number { .. } => Vec::new(),
        })
        .collect();
    let longest = listed.iter().map(|value| value.len()).max().unwrap_or(0);
    let mut texts: Vec<String> = listed.iter().map(|value| (*value).to_owned()).collect();
    let mut bounds: Vec<u64> = Vec::new();
    for rule in rules {
        if let Admitted::Number { least, most } = rule.admitted {
            let beyond = [least.checked_sub(1), most.checked_add(1)];
            bounds.extend([least, most].into_iter().chain(beyond.into_iter().flatten()));
            // A number, and nothing that any list has.
            texts.push(format!("{}{least}", "0".repeat(longest)));
        }
    }
    bounds.sort_unstable();
    bounds.dedup();
    texts.extend(bounds.into_iter().map(|number| number.to_string()));
    texts.push("x".repeat(longest + 1));
    texts
}
