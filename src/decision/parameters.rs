//! The parameters: are those of the path and of the query what the route's specification publishes?
//!
//! Takes the values as they stand in the target and a route's rules, built once per configuration; refuses a
//! part of the path that is too long or not of its form, a number out of its bounds (OPIN answers 422 to
//! those of pages), a value that is not listed, a parameter of the rules that stands twice, and, where the
//! policy says so, names that the rules do not know. What is judged is the decoded value, as a backend would
//! read it. An error names the parameter as the policy spells it, never what the caller sent.
//!
//! Source: OPIN specifications, parameters of path and query. Their one pattern is checked by hand, in one
//! walk over the value. Leaves to others: what a consent id means (`consent`).

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use thiserror::Error;

/// Why parameters were refused. The name is the policy's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParameterError {
    /// A part of the path is too long, or not of its form.
    #[error("the path parameter {0} is too long or not of its form")]
    Path(Arc<str>),
    /// A number is out of its bounds, or none.
    #[error("the query parameter {0} is out of its bounds")]
    Bounds(Arc<str>),
    /// A value is not among those that the specification lists.
    #[error("the query parameter {0} has a value that is not listed")]
    Value(Arc<str>),
    /// A parameter stands more than once.
    #[error("the query parameter {0} is repeated")]
    Repeated(Arc<str>),
    /// A parameter that the specification does not know.
    #[error("the query has a parameter that the route does not know")]
    Unknown,
}

impl ParameterError {
    /// The parameter, as the policy names it.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Path(name) | Self::Bounds(name) | Self::Value(name) | Self::Repeated(name) => {
                Some(name)
            }
            Self::Unknown => None,
        }
    }
}

/// A published pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathForm {
    /// Any characters.
    Any,
    /// `^urn:[a-zA-Z0-9][a-zA-Z0-9-]{0,31}:[a-zA-Z0-9()+,\-.:=@;$_!*'%\/?#]+$`.
    Urn,
}

/// The rule of a part of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRule {
    /// Its name in the template.
    pub name: Arc<str>,
    /// The most characters.
    pub longest: usize,
    /// Its pattern.
    pub form: PathForm,
}

/// The values that a query parameter may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// Anything.
    Any,
    /// A whole number within bounds.
    Number {
        /// The lowest.
        least: u64,
        /// The highest.
        most: u64,
    },
    /// One of these.
    OneOf(Vec<Box<str>>),
}

/// The rule of a query parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryRule {
    /// Its name, decoded.
    pub name: Arc<str>,
    /// Its values.
    pub admitted: Admitted,
}

/// The rules of a route. Without any, nothing is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParameterRules {
    /// Of the path.
    pub path: Vec<PathRule>,
    /// Of the query: a bound of bits below limits how many there are.
    pub query: Vec<QueryRule>,
    /// Whether names that stand in no rule are refused.
    pub refuses_others: bool,
}

impl ParameterRules {
    /// The most rules of a query.
    pub const MOST: usize = 64;

    /// Judges the parts of a path, by name and as they stand in it, and a query.
    ///
    /// # Errors
    ///
    /// The first fault, a refusal: [`ParameterError::Path`]; of the query [`ParameterError::Bounds`],
    /// [`ParameterError::Value`], [`ParameterError::Repeated`] or, where others are refused,
    /// [`ParameterError::Unknown`].
    pub fn check<'a>(
        &self,
        path: impl Iterator<Item = (&'a str, &'a str)>,
        query: Option<&str>,
    ) -> Result<(), ParameterError> {
        if !self.path.is_empty() {
            path.into_iter().try_for_each(|(name, value)| self.check_part(name, value))?;
        }
        match query {
            Some(query) if self.refuses_others || !self.query.is_empty() => self.check_query(query),
            _ => Ok(()),
        }
    }

    fn check_part(&self, name: &str, value: &str) -> Result<(), ParameterError> {
        let Some(rule) = self.path.iter().find(|rule| &*rule.name == name) else {
            return Ok(());
        };
        let fits = percent_decode_str(value).decode_utf8().is_ok_and(|value| rule.admits(&value));
        if fits { Ok(()) } else { Err(ParameterError::Path(rule.name.clone())) }
    }

    fn check_query(&self, query: &str) -> Result<(), ParameterError> {
        let mut seen = 0_u64;
        // As parsers of forms read it: nothing between two of them is no parameter.
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name);
            let found = self.query.iter().enumerate().find(|(_, rule)| *rule.name == *name);
            let Some((position, rule)) = found else {
                if self.refuses_others {
                    return Err(ParameterError::Unknown);
                }
                continue;
            };
            // Loading refuses more rules than bits, so no two share one.
            let bit = 1 << (position % Self::MOST);
            if seen & bit != 0 {
                return Err(ParameterError::Repeated(rule.name.clone()));
            }
            seen |= bit;
            rule.check(&decoded(value))?;
        }
        Ok(())
    }
}

impl PathRule {
    fn admits(&self, value: &str) -> bool {
        // A character has up to four bytes, so most values are judged by their bytes alone.
        let fits = value.len() <= self.longest || value.chars().count() <= self.longest;
        let has_form = match self.form {
            PathForm::Any => true,
            PathForm::Urn => is_urn(value),
        };
        fits && has_form
    }
}

impl QueryRule {
    fn check(&self, value: &str) -> Result<(), ParameterError> {
        match &self.admitted {
            Admitted::Any => Ok(()),
            Admitted::Number { least, most } => {
                // `parse` alone would take a plus sign, which in a query means a blank.
                let is_number = value.bytes().all(|b| b.is_ascii_digit());
                let number = value.parse().ok().filter(|_| is_number);
                if number.is_some_and(|number: u64| (*least..=*most).contains(&number)) {
                    Ok(())
                } else {
                    Err(ParameterError::Bounds(self.name.clone()))
                }
            }
            Admitted::OneOf(listed) if listed.iter().any(|one| **one == *value) => Ok(()),
            Admitted::OneOf(_) => Err(ParameterError::Value(self.name.clone())),
        }
    }
}

/// A name or value as a backend reads it. What is no UTF-8 is no name of a rule, and no number.
fn decoded(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

fn is_urn(value: &str) -> bool {
    let Some((namespace, rest)) = value.strip_prefix("urn:").and_then(|v| v.split_once(':')) else {
        return false;
    };
    let in_namespace = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let in_rest = |b: u8| b.is_ascii_alphanumeric() || b"()+,-.:=@;$_!*'%/?#".contains(&b);
    (1..=32).contains(&namespace.len())
        && !namespace.starts_with('-')
        && namespace.bytes().all(in_namespace)
        && !rest.is_empty()
        && rest.bytes().all(in_rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(refuses_others: bool) -> ParameterRules {
        let number = |most| Admitted::Number { least: 1, most };
        let listed = Admitted::OneOf(vec!["CURRENT".into(), "ALL".into()]);
        let query = |(name, admitted): (&str, Admitted)| QueryRule { name: name.into(), admitted };
        let pages = [("page", number(2_147_483_647)), ("page-size", number(1000))];
        let others = [("period", listed), ("line", Admitted::Any)];
        ParameterRules {
            path: vec![
                PathRule { name: "policyId".into(), longest: 5, form: PathForm::Any },
                PathRule { name: "consentId".into(), longest: 256, form: PathForm::Urn },
            ],
            query: pages.into_iter().chain(others).map(query).collect(),
            refuses_others,
        }
    }

    fn query(text: &str) -> Result<(), ParameterError> {
        rules(false).check(std::iter::empty(), Some(text))
    }

    fn part(name: &str, value: &str) -> Result<(), ParameterError> {
        rules(false).check(std::iter::once((name, value)), None)
    }

    #[test]
    fn pages_keep_within_their_bounds() {
        for good in [
            "",
            "page=1",
            "page=2147483647&page-size=1000",
            "page-size=1",
            "page=%31",
            "p%61ge=7",
            "page=01",
            "&page=1&",
            "line=&period=ALL",
            "other=0&other=0",
            "Page=0",
        ] {
            assert_eq!(query(good), Ok(()), "{good}");
        }
        let page = || Err(ParameterError::Bounds("page".into()));
        for bad in [
            "page=0",
            "page=",
            "page",
            "page=-1",
            "page=+1",
            "page=1.0",
            "page=1e3",
            "page=a",
            "page=2147483648",
            "page=99999999999999999999",
            "page=%30",
            "p%61ge=0",
            "page=1%00",
            "page=%FF",
            "page=%D9%A1",
            "x=1&page=0",
        ] {
            assert_eq!(query(bad), page(), "{bad}");
        }
        for bad in ["page-size=0", "page-size=1001"] {
            assert_eq!(query(bad), Err(ParameterError::Bounds("page-size".into())), "{bad}");
        }
    }

    #[test]
    fn values_are_listed_and_names_stand_once() {
        for bad in ["period=current", "period=", "period=ALL%20"] {
            assert_eq!(query(bad), Err(ParameterError::Value("period".into())), "{bad}");
        }
        for bad in ["page=1&page=1", "page=1&x=2&%70age=1"] {
            assert_eq!(query(bad), Err(ParameterError::Repeated("page".into())), "{bad}");
        }
    }

    #[test]
    fn unknown_names_are_refused_where_that_is_said() {
        let check = |text| rules(true).check(std::iter::empty(), Some(text));
        assert_eq!(check("page=1&line=x"), Ok(()));
        for bad in ["x=1", "page=1&Page=1", "page=1&x", "page%00=1", "%FF=1"] {
            assert_eq!(check(bad), Err(ParameterError::Unknown), "{bad}");
        }
    }

    #[test]
    fn parts_of_a_path_have_their_length_and_form() {
        for good in ["12345", "%31%32%33%34%35", "%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9"] {
            assert_eq!(part("policyId", good), Ok(()), "{good}");
        }
        for bad in ["123456", "%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9", "%FF"] {
            assert_eq!(
                part("policyId", bad),
                Err(ParameterError::Path("policyId".into())),
                "{bad}"
            );
        }
        assert_eq!(part("planId", "1234567"), Ok(()));
        let namespace = "n".repeat(32);
        for good in [
            "urn:a:b",
            "urn%3Aa-1:b",
            "urn:A:()+,-.:=@;$_!*'%25%2F%3F%23",
            &format!("urn:{namespace}:x"),
        ] {
            assert_eq!(part("consentId", good), Ok(()), "{good}");
        }
        let long = format!("urn:a:{}", "b".repeat(251));
        for bad in [
            "",
            "x",
            "URN:a:b",
            "urn:a",
            "urn:a:",
            "urn::b",
            "urn:-a:b",
            "urn:a_b:c",
            "urn:a:b%20c",
            "urn:a:%C3%A9",
            "urn:a:b%0A",
            "urn:a:%22",
            &format!("urn:{namespace}n:x"),
            &long,
        ] {
            assert_eq!(
                part("consentId", bad),
                Err(ParameterError::Path("consentId".into())),
                "{bad}"
            );
        }
    }
}
