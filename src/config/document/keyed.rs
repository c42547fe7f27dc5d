//! Reading keys as their rows say ([`keys`]): what they hold, between which bounds, and what they are without.

use std::time::Duration;

use super::{Located, Place, Table};
use crate::config::keys::{self, Key, Kind};
use crate::config::values;
use crate::config::words::{DefaultKeyword, Keyword};

impl<'a> Table<'a> {
    /// A table; one that says nothing, if it is not there.
    pub fn table_or_none(&self, key: &'static str) -> Table<'a> {
        self.table(key).unwrap_or_else(|| {
            let path = self.place(key).key;
            self.document.table(&self.document.nothing, path, self.line)
        })
    }

    /// A duration.
    pub fn duration(&self, key: &'static str) -> Option<Located<Duration>> {
        let row = self.row(key)?;
        self.parsed(key, &row.kind.accepted(), |text| row.kind.duration(text))
    }

    /// A duration, or the default.
    pub fn duration_or_default(&self, key: &'static str) -> Duration {
        let given = self.duration(key).map(|given| given.value);
        // Never zero for want of a default: that each can be read, and acts, are tests (decision 27).
        given.or_else(|| values::duration(self.row(key)?.default()?)).unwrap_or_default()
    }

    /// A duration; nothing inside for the word that stands for none.
    pub fn duration_or_word(&self, key: &'static str) -> Option<Located<Option<Duration>>> {
        let row = self.row(key)?;
        let Kind::WordOrDuration(word, _) = row.kind else { return None };
        self.parsed(key, &row.kind.accepted(), |text| match text {
            text if text == word => Some(None),
            text => row.kind.duration(text).map(Some),
        })
    }

    /// A size in bytes.
    pub fn size(&self, key: &'static str) -> Option<Located<u64>> {
        let row = self.row(key)?;
        self.parsed(key, &row.kind.accepted(), |text| row.kind.size(text))
    }

    /// A size in bytes, or the default.
    pub fn size_or_default(&self, key: &'static str) -> u64 {
        let given = self.size(key).map(|given| given.value);
        given.or_else(|| values::size(self.row(key)?.default()?)).unwrap_or_default()
    }

    /// A whole number.
    pub fn whole(&self, key: &'static str) -> Option<u64> {
        let Kind::Number(least, most) = self.row(key)?.kind else { return None };
        self.number(key, least, most)
    }

    /// A whole number, or the default.
    pub fn count<T: TryFrom<u64> + Default>(&self, key: &'static str) -> T {
        let number = self.whole(key).or_else(|| self.row(key)?.default()?.parse().ok());
        // The bounds of a row are narrower than the type that it is read into.
        number.and_then(|number| T::try_from(number).ok()).unwrap_or_default()
    }

    /// Whether something is so, or the default.
    pub fn flag(&self, key: &'static str) -> bool {
        let default = || self.row(key).and_then(Key::default) == Some("true");
        self.boolean(key).unwrap_or_else(default)
    }

    /// A word.
    pub fn word<T: Keyword>(&self, key: &'static str) -> Option<Located<T>> {
        self.parsed(key, &self.row(key)?.kind.accepted(), T::parse)
    }

    /// A word that must be there.
    pub fn required_word<T: Keyword>(&self, key: &'static str) -> Option<Located<T>> {
        self.required_parsed(key, &self.row(key)?.kind.accepted(), T::parse)
    }

    /// A word, or the default.
    pub fn word_or_default<T: DefaultKeyword>(&self, key: &'static str) -> T {
        self.word(key).map_or(T::DEFAULT, |word| word.value)
    }

    /// One of the words of the key's row, which mean something at this place only.
    pub fn choice<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<Located<T>> {
        self.parsed(key, &self.row(key)?.kind.accepted(), parse)
    }

    /// The same for a key that must be there.
    pub fn required_choice<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<Located<T>> {
        self.required_parsed(key, &self.row(key)?.kind.accepted(), parse)
    }

    /// What a key holds where it is not there.
    pub fn default_text(&self, key: &'static str) -> String {
        self.row(key).and_then(Key::default).unwrap_or_default().to_owned()
    }

    /// Tables of which there must be one.
    pub fn required_tables(&self, key: &'static str, accepted: &str) -> Vec<Table<'a>> {
        let tables = self.tables(key);
        match (self.has(key), self.is_empty_array(key)) {
            (false, _) => self.place(key).reject(format!("is missing, accepted: {accepted}")),
            (true, true) => self.place(key).reject(format!("is empty, accepted: {accepted}")),
            // Of another type, or with entries that are no tables: that was told.
            (true, false) => {}
        }
        tables
    }

    /// The names of the rows of this table; nothing, if its file is of no table of keys.
    pub(super) fn names_of_rows(&self) -> Option<Vec<&'static str>> {
        let rows = keys::of(self.document.keys?);
        let path = without_positions(&self.path);
        let within = rows.iter().filter_map(|row| {
            let (table, name) = row.path.rsplit_once('.').unwrap_or(("", &row.path));
            (table == path).then_some(name)
        });
        Some(within.collect())
    }

    /// The row of a key. That there is none is a slip of ours, which every test that reads the key finds.
    fn row(&self, key: &'static str) -> Option<&'static Key> {
        let Place { key: path, .. } = self.place_at(key, self.line);
        let path = without_positions(&path);
        let rows = self.document.keys.map(keys::of).unwrap_or_default();
        let row = rows.iter().find(|row| row.path == path);
        if row.is_none() {
            self.place(key).reject("is read, and is no key of the table of keys");
        }
        row
    }
}

/// `listeners[0].tls` as `listeners[].tls`.
fn without_positions(path: &str) -> String {
    let mut parts = path.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| {
        let rest = part.split_once(']').map_or("", |(_, rest)| rest);
        format!("{plain}[]{rest}")
    })
}
