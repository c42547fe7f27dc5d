//! The keys of config.toml and of policy files: one row each, and all that is to be known of it.
//!
//! Gives the name of a key, what it holds, what it means that it is absent, what it is for, and from when a change of it
//! acts. The parser takes bounds and defaults from here ([`super::document::Table`]), `portaria schema` its schema,
//! docs/configuration.md its tables and config.toml its comments; a test holds each to it.

mod configuration;
mod kind;
mod listeners;
mod policy;
mod services;

use std::sync::LazyLock;

pub use kind::{Kind, ValueBounds};

use super::words::DefaultKeyword;

/// What keys are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysOf {
    /// config.toml.
    Configuration,
    /// A policy file.
    Policy,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// From the top of the file, such as `listeners[].tls.groups`; `[]` stands for each table of an array.
    pub path: String,
    /// What it holds.
    pub kind: Kind,
    /// What it means that it is not there.
    pub absent: Absent,
    /// What it is for.
    pub says: &'static str,
    /// From when a change of it acts.
    pub acts: Acts,
}

/// What it means that a key is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It is missed, wherever its table stands.
    Mistake,
    /// It is as if this stood there.
    Is(&'static str),
    /// What the preset of the ecosystem says, which is this for Open Insurance Brasil.
    IsOfPreset(&'static str),
    /// This.
    Means(&'static str),
    /// That nothing is said.
    Nothing,
}

/// From when a change of a key acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acts {
    /// From a reload on.
    Reload,
    /// From a reload on, for connections that are accepted after it.
    NewConnections,
    /// From a restart or an upgrade on; a reload that changes it is refused.
    Restart,
}

impl Acts {
    /// In a word or two.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::NewConnections => "reload, new connections",
            Self::Restart => "restart",
        }
    }
}

/// The keys of a kind of file, a table before what stands in it.
pub fn of(file: KeysOf) -> &'static [Key] {
    static CONFIGURATION: LazyLock<Vec<Key>> = LazyLock::new(configuration::keys);
    static POLICY: LazyLock<Vec<Key>> = LazyLock::new(policy::keys);
    match file {
        KeysOf::Configuration => &CONFIGURATION,
        KeysOf::Policy => &POLICY,
    }
}

impl Key {
    /// What stands there if nothing does, as it is written.
    pub fn default(&self) -> Option<&'static str> {
        match self.absent {
            Absent::Is(text) => Some(text),
            Absent::Mistake | Absent::IsOfPreset(_) | Absent::Means(_) | Absent::Nothing => None,
        }
    }

    fn with(self, absent: Absent) -> Self {
        Self { absent, ..self }
    }
}

fn required(path: &str, kind: Kind, says: &'static str) -> Key {
    Key { path: path.to_owned(), kind, absent: Absent::Mistake, says, acts: Acts::Reload }
}

fn optional(path: &str, kind: Kind, says: &'static str) -> Key {
    required(path, kind, says).with(Absent::Nothing)
}

/// A key that is as good as there when it is not.
fn default(path: &str, kind: Kind, text: &'static str, says: &'static str) -> Key {
    required(path, kind, says).with(Absent::Is(text))
}

/// A key whose absence means something that is no value of it.
fn absent(path: &str, kind: Kind, means: &'static str, says: &'static str) -> Key {
    required(path, kind, says).with(Absent::Means(means))
}

/// A key that holds a word; without it, it is the type's default.
fn word<T: DefaultKeyword>(path: &str, says: &'static str) -> Key {
    required(path, Kind::words::<T>(), says).with(Absent::Is(T::DEFAULT.word()))
}

/// The keys, all of which act from then on.
fn acting(acts: Acts, keys: impl IntoIterator<Item = Key>) -> impl Iterator<Item = Key> {
    keys.into_iter().map(move |key| Key { acts, ..key })
}

/// Keys of a table; of the top, if it has no name.
fn within(table: &str, keys: impl IntoIterator<Item = Key>) -> Vec<Key> {
    let dot = if table.is_empty() { "" } else { "." };
    let prefixed = |key: Key| Key { path: format!("{table}{dot}{}", key.path), ..key };
    keys.into_iter().map(prefixed).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::config::values;

    fn all() -> impl Iterator<Item = &'static Key> {
        of(KeysOf::Configuration).iter().chain(of(KeysOf::Policy))
    }

    #[test]
    fn defaults_are_of_their_kinds() {
        for key in all() {
            let (Absent::Is(text) | Absent::IsOfPreset(text)) = key.absent else { continue };
            let fits = match &key.kind {
                Kind::Duration(_) => key.kind.duration(text).is_some(),
                Kind::WordOrDuration(word, _) => text == *word || key.kind.duration(text).is_some(),
                Kind::Size(_) => key.kind.size(text).is_some(),
                Kind::OneOf(names) => names.contains(&text),
                Kind::Number(least, most) => {
                    text.parse().is_ok_and(|number: u64| (*least..=*most).contains(&number))
                }
                Kind::Flag => ["true", "false"].contains(&text),
                Kind::Texts | Kind::SomeOf(_) => text.starts_with('[') && text.ends_with(']'),
                Kind::Text | Kind::Form(_) => !text.is_empty(),
                Kind::Table | Kind::Tables => false,
            };
            assert!(fits, "{key:?}");
        }
    }

    #[test]
    fn bounds_can_be_read() {
        for key in all() {
            let read = |span: ValueBounds, read: fn(&str) -> bool| {
                let bounds = span.bounds().unwrap_or_default();
                bounds
                    .split(' ')
                    .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()))
                    .all(read)
            };
            let is_read = match key.kind {
                Kind::Duration(span) | Kind::WordOrDuration(_, span) => {
                    read(span, |text| values::duration(text).is_some())
                }
                Kind::Size(span) => read(span, |text| values::size(text).is_some()),
                _ => true,
            };
            assert!(is_read, "{key:?}");
        }
    }

    #[test]
    fn a_key_stands_once() {
        for file in [KeysOf::Configuration, KeysOf::Policy] {
            let mut seen = HashSet::new();
            for key in of(file) {
                assert!(seen.insert(&key.path), "{}", key.path);
            }
        }
    }
}
