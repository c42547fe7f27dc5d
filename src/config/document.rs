//! Reading a TOML document so that every mistake in it is found at once, with its line.
//!
//! When a [`Table`] is dropped, every key that the table of keys does not have ([`super::keys`]) is a mistake, with the
//! nearest known key as suggestion: a key that has no effect cannot exist. Of a file whose keys stand in no table, as
//! the tools have some, it is every key that nobody asked for.

mod mistake;

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::KeysOf;

mod keyed;

pub use mistake::{Mistake, Mistakes, Place, Severity, Spot};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

/// A document that was parsed.
pub struct Document {
    file: Rc<str>,
    directory: PathBuf,
    text: String,
    /// Where its lines end: each key that is read is told by its line.
    line_ends: Vec<usize>,
    mistakes: Mistakes,
    /// Whose rows its keys have; nothing for a file that is neither configuration nor policy.
    keys: Option<KeysOf>,
    nothing: DeTable<'static>,
}

impl Document {
    /// Reads a file; reports it if it cannot be read.
    pub fn read(path: &Path, mistakes: &Mistakes) -> Option<Self> {
        let file: Rc<str> = path.display().to_string().into();
        let directory = path.parent().map(Path::to_owned).unwrap_or_default();
        mistakes.begin(&file);
        let why = match std::fs::read(path).map(String::from_utf8) {
            Ok(Ok(text)) => {
                return Some(Self { directory, ..Self::of_text(&file, text, mistakes) });
            }
            Ok(Err(error)) => match error.as_bytes() {
                // A byte order mark (RFC 2781 section 3.2): in an editor such a file looks as it should.
                [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => "is UTF-16, accepted: UTF-8".to_owned(),
                _ => "is not UTF-8, accepted: UTF-8".to_owned(),
            },
            Err(error) => format!("cannot be read ({error}), accepted: a readable TOML file"),
        };
        Place::of_file(&file, mistakes).reject(why);
        None
    }

    /// A document that is no file.
    pub fn of_text(name: &str, text: String, mistakes: &Mistakes) -> Self {
        let line_ends = memchr::memchr_iter(b'\n', text.as_bytes()).collect();
        let (mistakes, directory) = (mistakes.clone(), PathBuf::new());
        let nothing = DeTable::new();
        Self { file: name.into(), directory, text, line_ends, mistakes, keys: None, nothing }
    }

    /// The same, as a file of these keys.
    pub fn of(self, keys: KeysOf) -> Self {
        Self { keys: Some(keys), ..self }
    }

    /// Runs `read` on the document's root table. A document with a syntax error is not read: what it says from
    /// there on is anybody's guess, and so would be every further mistake.
    pub fn with_root<T>(&self, read: impl FnOnce(Table<'_>) -> T) -> Option<T> {
        let (root, errors) = DeTable::parse_recoverable(&self.text);
        let start = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
        // The first one is true; the parser stumbles over what follows from it.
        if let Some(error) = errors.iter().min_by_key(|error| start(error)) {
            let place = Place::at(&self.file, self.line_of(start(error)), "", &self.mistakes);
            place.reject(format!("{}, accepted: TOML 1.1", error.message()));
            return None;
        }
        Some(read(self.table(root.get_ref(), String::new(), 1)))
    }

    /// Runs `read` on the root table of a document that says nothing.
    pub fn with_nothing<T>(read: impl FnOnce(Table<'_>) -> T) -> T {
        let document = Self::of_text("", String::new(), &Mistakes::default());
        let document = document.of(KeysOf::Configuration);
        read(document.table(&document.nothing, String::new(), 1))
    }

    fn table<'a>(&'a self, entries: &'a DeTable<'a>, path: String, line: usize) -> Table<'a> {
        Table {
            document: self,
            entries,
            path,
            line,
            asked: RefCell::default(),
            is_partial: Cell::default(),
        }
    }

    fn line_of(&self, offset: usize) -> usize {
        1 + self.line_ends.partition_point(|end| *end < offset)
    }
}

/// A table of a document.
pub struct Table<'a> {
    document: &'a Document,
    entries: &'a DeTable<'a>,
    path: String,
    line: usize,
    asked: RefCell<Vec<&'static str>>,
    is_partial: Cell<bool>,
}

type TomlValue<'a> = Spanned<DeValue<'a>>;

impl<'a> Table<'a> {
    /// Whoever reads the table for one of its keys leaves the others to who reads it whole.
    pub fn ask_nothing_more(&self) {
        self.is_partial.set(true);
    }

    /// The place of a key; of the table, for the empty key or one that it lacks.
    pub fn place(&self, key: &str) -> Place {
        let found = self.entries.iter().find(|(name, _)| name.get_ref() == key);
        let line = found.map_or(self.line, |(name, _)| self.document.line_of(name.span().start));
        self.place_at(key, line)
    }

    fn place_at(&self, key: &str, line: usize) -> Place {
        let key = match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{key}", self.path),
        };
        let mistakes = self.document.mistakes.clone();
        Place { file: self.document.file.clone(), line, key, mistakes }
    }

    /// The directory that relative paths start from.
    pub fn directory(&self) -> &'a Path {
        &self.document.directory
    }

    fn entry(&self, key: &'static str) -> Option<(&'a TomlValue<'a>, Place)> {
        // Before it is looked for: what an unknown key's complaint lists is what the table could have had.
        self.asked.borrow_mut().push(key);
        let (name, value) = self.entries.iter().find(|(name, _)| name.get_ref() == key)?;
        let line = self.document.line_of(name.span().start);
        Some((value, self.place_at(key, line)))
    }

    /// Whether a key holds an array of nothing.
    fn is_empty_array(&self, key: &'static str) -> bool {
        self.entry(key)
            .and_then(|(value, _)| value.get_ref().as_array())
            .is_some_and(|array| array.is_empty())
    }

    /// Whether the key stands in the table.
    pub fn has(&self, key: &'static str) -> bool {
        self.entry(key).is_some()
    }

    /// The value of a key, if it is of the kind that `read` takes.
    fn value<T>(
        &self,
        key: &'static str,
        accepted: &str,
        read: impl FnOnce(&'a DeValue<'a>) -> Option<T>,
    ) -> Option<Located<T>> {
        let (value, place) = self.entry(key)?;
        match read(value.get_ref()) {
            Some(value) => Some(Located { value, place }),
            None => {
                let kind = value.get_ref().type_str();
                place.reject(format!("is of type {kind}, accepted: {accepted}"));
                None
            }
        }
    }

    /// A string, with `${VAR}` and `${VAR:-default}` replaced.
    pub fn string(&self, key: &'static str, accepted: &str) -> Option<Located<String>> {
        let text = self.value(key, accepted, |value| value.as_str().map(str::to_owned))?;
        let value = expand_at(&text.place, &text.value)?;
        Some(Located { value, place: text.place })
    }

    /// Whether a key holds this string.
    pub fn raw_is(&self, key: &'static str, text: &str) -> bool {
        self.raw(key) == Some(text)
    }

    /// A string as it stands in the file: what a variable holds may be a secret, and is not shown.
    fn raw(&self, key: &'static str) -> Option<&'a str> {
        self.entry(key)?.0.get_ref().as_str()
    }

    /// A string that must be there.
    pub fn required(&self, key: &'static str, accepted: &str) -> Option<Located<String>> {
        let found = self.string(key, accepted);
        // One of another type, or with a variable that is not set, was told already.
        if found.is_none() && !self.has(key) {
            self.place(key).reject(format!("is missing, accepted: {accepted}"));
        }
        found
    }

    /// A string that `parse` understands.
    pub fn parsed<T>(
        &self,
        key: &'static str,
        accepted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<Located<T>> {
        parse_located(self.string(key, accepted)?, self.raw(key), accepted, parse)
    }

    /// A string that must be there and that `parse` understands.
    pub fn required_parsed<T>(
        &self,
        key: &'static str,
        accepted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<Located<T>> {
        parse_located(self.required(key, accepted)?, self.raw(key), accepted, parse)
    }

    /// A boolean.
    pub fn boolean(&self, key: &'static str) -> Option<bool> {
        Some(self.value(key, "true or false", DeValue::as_bool)?.value)
    }

    /// A whole number within bounds.
    pub fn number(&self, key: &'static str, least: u64, most: u64) -> Option<u64> {
        let accepted = format!("a whole number from {least} to {most}");
        let found = self.value(key, &accepted, |value| {
            let integer = value.as_integer()?;
            // The parser leaves integers as text: one beyond 64 bits is out of bounds, not of another type.
            Some(i128::from_str_radix(integer.as_str(), integer.radix()).ok())
        })?;
        let number = found.value.and_then(|number| u64::try_from(number).ok());
        let fits = number.filter(|number| (least..=most).contains(number));
        if fits.is_none() {
            let given = found.value.map_or_else(|| "it".to_owned(), |number| number.to_string());
            found.place.reject(format!("{given} is out of bounds, accepted: {accepted}"));
        }
        fits
    }

    /// An array of strings, with variables replaced.
    pub fn strings(&self, key: &'static str, accepted: &str) -> Option<Located<Vec<String>>> {
        let texts: Located<Vec<&str>> = self.value(key, accepted, |value| {
            value.as_array()?.iter().map(|v| v.get_ref().as_str()).collect()
        })?;
        let place = texts.place;
        let value: Option<Vec<String>> =
            texts.value.into_iter().map(|text| expand_at(&place, text)).collect();
        Some(Located { value: value?, place })
    }

    /// A table.
    pub fn table(&self, key: &'static str) -> Option<Table<'a>> {
        let found = self.value(key, "a table", DeValue::as_table)?;
        Some(self.document.table(found.value, found.place.key, found.place.line))
    }

    /// An array of tables, each named by its position.
    pub fn tables(&self, key: &'static str) -> Vec<Table<'a>> {
        let Some(found) = self.value(key, "an array of tables", DeValue::as_array) else {
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (position, value) in found.value.iter().enumerate() {
            let path = format!("{}[{position}]", found.place.key);
            let line = self.document.line_of(value.span().start);
            match value.get_ref().as_table() {
                Some(entries) => tables.push(self.document.table(entries, path, line)),
                None => found.place.reject("has an entry that is no table, accepted: tables"),
            }
        }
        tables
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        if self.is_partial.get() {
            return;
        }
        let asked = self.asked.borrow();
        // Not what was asked for, where it can be told otherwise: a mistake in one key ends the reading of others.
        let known = self.names_of_rows().unwrap_or_else(|| asked.clone());
        for (name, _) in self.entries.iter() {
            let name_text: &str = name.get_ref();
            if known.contains(&name_text) {
                continue;
            }
            let line = self.document.line_of(name.span().start);
            self.place_at(name_text, line).reject(unknown_key(name_text, &known));
        }
    }
}

fn unknown_key(name: &str, known: &[&'static str]) -> String {
    let mut known: Vec<&str> = known.to_vec();
    known.sort_unstable();
    known.dedup();
    let nearest = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= 1 + name.len() / 3)
        .min_by_key(|(distance, _)| *distance);
    let suggestion = nearest.map_or_else(String::new, |(_, known)| format!(" (meant: {known}?)"));
    format!("is an unknown key{suggestion}, accepted: {}", known.join(", "))
}

fn parse_located<T>(
    text: Located<String>,
    raw: Option<&str>,
    accepted: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Option<Located<T>> {
    match parse(&text.value) {
        Some(value) => Some(Located { value, place: text.place }),
        None => {
            let shown = raw.unwrap_or_default();
            text.place.reject(format!("{shown:?} is not understood, accepted: {accepted}"));
            None
        }
    }
}

fn expand_at(place: &Place, text: &str) -> Option<String> {
    match expand(text) {
        Ok(value) => Some(value),
        Err(Unexpanded::Open) => {
            let accepted = "accepted: ${VAR} or ${VAR:-default}";
            place.reject(format!("has a ${{ without its closing brace, {accepted}"));
            None
        }
        Err(Unexpanded::NotSet(variable)) => {
            let hint = format!("accepted: a set variable, or ${{{variable}:-default}}");
            place.reject(format!("the variable {variable} is not set, {hint}"));
            None
        }
    }
}

/// Why a text with variables says nothing.
#[derive(Debug, PartialEq, Eq)]
enum Unexpanded {
    /// A `${` without its `}`.
    Open,
    /// A variable that is not set.
    NotSet(String),
}

/// Replaces `${VAR}` and `${VAR:-default}`.
fn expand(text: &str) -> Result<String, Unexpanded> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        expanded.push_str(before);
        let (inner, after) = after.split_once('}').ok_or(Unexpanded::Open)?;
        let (variable, default) = match inner.split_once(":-") {
            Some((variable, default)) => (variable, Some(default)),
            None => (inner, None),
        };
        match (std::env::var(variable), default) {
            // Once: what a variable holds may have a `${` of its own, a password for one.
            // As in a shell: `:-` stands in for a variable that is empty, too.
            (Ok(value), Some(default)) if value.is_empty() => expanded.push_str(default),
            (Ok(value), _) => expanded.push_str(&value),
            (Err(_), Some(default)) => expanded.push_str(default),
            (Err(_), None) => return Err(Unexpanded::NotSet(variable.to_owned())),
        }
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_document_with_a_syntax_error_only_that_is_told() {
        let found = mistakes("name = \"a\nb = [1\nunheard = 1\n[x\n", |root| {
            root.required("missing", "something");
        });
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("c.toml:1: "), "{found:?}");
    }

    fn mistakes(text: &str, read: impl FnOnce(Table<'_>)) -> Vec<String> {
        let mistakes = Mistakes::default();
        let document = Document::of_text("c.toml", text.to_owned(), &mistakes);
        let _ = document.with_root(read);
        mistakes.take().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_mistakes_are_found_at_once_with_their_lines() {
        let found = mistakes("name = 1\n[http]\nidle = true\nmax_feilds = 2\n", |root| {
            root.string("name", "a name");
            let http = root.table("http").unwrap();
            http.parsed("idle", "a duration", |_| Some(()));
            http.number("max_fields", 1, 5);
        });
        assert_eq!(
            found,
            [
                "c.toml:1 name: is of type integer, accepted: a name",
                "c.toml:3 http.idle: is of type boolean, accepted: a duration",
                "c.toml:4 http.max_feilds: is an unknown key (meant: max_fields?), accepted: idle, max_fields",
            ]
        );
    }

    #[test]
    fn variables_are_replaced_or_reported() {
        assert_eq!(expand("a${PORTARIA_NOT_SET:-b}c").as_deref(), Ok("abc"));
        let not_set = Unexpanded::NotSet("PORTARIA_NOT_SET".to_owned());
        assert_eq!(expand("${PORTARIA_NOT_SET}"), Err(not_set));
        assert_eq!(expand("a$b }").as_deref(), Ok("a$b }"));
        for open in ["${", "a${X", "${PORTARIA_NOT_SET:-b} ${Y", "${X:-"] {
            assert_eq!(expand(open), Err(Unexpanded::Open), "{open}");
        }
    }

    #[test]
    fn numbers_keep_within_their_bounds() {
        let found = mistakes("a = 0\nb = -1\nc = 0x10\n", |root| {
            assert_eq!(root.number("a", 1, 9), None);
            assert_eq!(root.number("b", 1, 9), None);
            assert_eq!(root.number("c", 1, 99), Some(16));
        });
        assert_eq!(
            found,
            [
                "c.toml:1 a: 0 is out of bounds, accepted: a whole number from 1 to 9",
                "c.toml:2 b: -1 is out of bounds, accepted: a whole number from 1 to 9",
            ]
        );
    }
}
