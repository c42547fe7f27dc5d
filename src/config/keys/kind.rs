//! What a key holds.

use std::time::Duration;

use crate::config::values;
use crate::config::words::Keyword;

/// What a key holds. A string may name a variable of the environment, `${NAME}`, instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A table.
    Table,
    /// An array of tables.
    Tables,
    /// Any text: what it must be, no schema can tell.
    Text,
    /// A text of a form (a regular expression that need not be anchored).
    Form(&'static str),
    /// A duration such as "250ms".
    Duration(ValueBounds),
    /// A word such as "refuse", or a duration.
    WordOrDuration(&'static str, ValueBounds),
    /// A size such as "64KiB".
    Size(ValueBounds),
    /// One of some names.
    OneOf(Vec<&'static str>),
    /// An array of texts.
    Texts,
    /// An array of some of these names.
    SomeOf(Vec<&'static str>),
    /// A whole number, from and to.
    Number(u64, u64),
    /// true or false.
    Flag,
}

/// Between which durations or sizes, as they are written; nothing where there is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValueBounds {
    least: &'static str,
    most: &'static str,
}

/// Without bounds: above zero.
pub(super) const ANY: ValueBounds = ValueBounds { least: "", most: "" };

/// Up to a bound.
pub(super) const fn up_to(most: &'static str) -> ValueBounds {
    ValueBounds { least: "", most }
}

/// Between two bounds.
pub(super) const fn between(least: &'static str, most: &'static str) -> ValueBounds {
    ValueBounds { least, most }
}

impl ValueBounds {
    /// Whether something lies between the bounds, as `read` understands them.
    fn has<T: PartialOrd>(self, what: &T, read: fn(&str) -> Option<T>) -> bool {
        let (least, most) = (read(self.least), read(self.most));
        least.is_none_or(|least| *what >= least) && most.is_none_or(|most| *what <= most)
    }

    /// `up to 5m`, if there is a bound.
    pub fn bounds(self) -> Option<String> {
        match (self.least, self.most) {
            ("", "") => None,
            ("", most) => Some(format!("up to {most}")),
            (least, most) => Some(format!("from {least} to {most}")),
        }
    }

    /// What is accepted of a kind, which is `whole` where there are no bounds.
    pub fn told(self, kind: &str, whole: &str) -> String {
        self.bounds().map_or_else(|| whole.to_owned(), |bounds| format!("a {kind} {bounds}"))
    }
}

impl Kind {
    /// One of the words of a type.
    pub(super) fn words<T: Keyword>() -> Self {
        Self::OneOf(T::WORDS.iter().map(|(word, _)| *word).collect())
    }

    /// What is accepted.
    pub fn accepted(&self) -> String {
        match self {
            Self::Table => "a table".to_owned(),
            Self::Tables => "an array of tables".to_owned(),
            Self::Text | Self::Form(_) => "a text".to_owned(),
            Self::Texts => "an array of texts".to_owned(),
            Self::Duration(span) => span.told("duration", values::DURATION),
            Self::WordOrDuration(word, span) => {
                format!("{word:?} or {}", span.told("duration", values::DURATION))
            }
            Self::Size(span) => span.told("size", values::SIZE),
            Self::OneOf(names) => one_of(names),
            Self::SomeOf(names) => format!("one or more of {}", names.join(", ")),
            Self::Number(least, most) => format!("a whole number from {least} to {most}"),
            Self::Flag => "true or false".to_owned(),
        }
    }

    /// The duration of a text, if it is one and within the bounds.
    pub fn duration(&self, text: &str) -> Option<Duration> {
        let (Self::Duration(span) | Self::WordOrDuration(_, span)) = self else { return None };
        values::duration(text).filter(|duration| span.has(duration, values::duration))
    }

    /// The size of a text, if it is one and within the bounds.
    pub fn size(&self, text: &str) -> Option<u64> {
        let Self::Size(span) = self else { return None };
        values::size(text).filter(|size| span.has(size, values::size))
    }
}

/// `"a", "b" or "c"`.
fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_is_told_with_its_bounds() {
        let told = |kind: Kind| kind.accepted();
        assert_eq!(told(Kind::Duration(up_to("5m"))), "a duration up to 5m");
        assert_eq!(told(Kind::Size(between("16MiB", "1024GiB"))), "a size from 16MiB to 1024GiB");
        assert_eq!(
            told(Kind::WordOrDuration("any", ANY)),
            format!("\"any\" or {}", values::DURATION)
        );
        assert_eq!(told(Kind::OneOf(vec!["a", "b", "c"])), "\"a\", \"b\" or \"c\"");
        assert_eq!(told(Kind::OneOf(vec!["a"])), "\"a\"");
    }

    #[test]
    fn bounds_are_within() {
        let kind = Kind::Duration(between("1s", "7d"));
        for (text, is_within) in [("1s", true), ("999ms", false), ("7d", true), ("169h", false)] {
            assert_eq!(kind.duration(text).is_some(), is_within, "{text}");
        }
        let kind = Kind::Size(up_to("1MiB"));
        for (text, is_within) in [("1MiB", true), ("1048577B", false), ("1B", true), ("0B", false)]
        {
            assert_eq!(kind.size(text).is_some(), is_within, "{text}");
        }
    }
}
