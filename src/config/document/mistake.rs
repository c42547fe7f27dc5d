//! What is wrong in a document, and where.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// How bad a mistake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is loaded.
    Error,
    /// It is loaded, and said.
    Warning,
}

/// One mistake: `file:line key: what is wrong, what is accepted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as it was named.
    pub file: String,
    /// The line, counted from 1; 0 for the file as a whole.
    pub line: usize,
    /// The key, from the top of the file.
    pub key: String,
    /// What is wrong and what is accepted.
    pub text: String,
}

impl Mistake {
    /// Whether it is about a table of the file's top level, or anything in it.
    pub fn is_of(&self, table: &str) -> bool {
        let rest = self.key.strip_prefix(table);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }

    /// Whether nothing is loaded because of it.
    pub fn prevents_loading(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        if !self.key.is_empty() {
            write!(f, " {}", self.key)?;
        }
        f.write_str(": ")?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.text)
    }
}

/// All mistakes found so far, shared by everything that reads.
#[derive(Clone, Debug, Default)]
pub struct Mistakes(Rc<RefCell<Found>>);

#[derive(Debug, Default)]
struct Found {
    all: Vec<Mistake>,
    /// The files, in the order in which they were begun: a file is told before those that it names.
    files: Vec<String>,
}

impl Mistakes {
    /// A file is about to be read.
    pub fn begin(&self, file: &str) {
        self.0.borrow_mut().files.push(file.to_owned());
    }

    /// Adds one.
    pub fn add(&self, mistake: Mistake) {
        self.0.borrow_mut().all.push(mistake);
    }

    /// A place that a setting kept.
    pub fn at(&self, spot: &Spot) -> Place {
        let Spot { file, line, key } = spot.clone();
        Place { file: file.into(), line, key, mistakes: self.clone() }
    }

    /// Whether any of them prevents loading.
    pub fn prevent_loading(&self) -> bool {
        self.0.borrow().all.iter().any(Mistake::prevents_loading)
    }

    /// All of them, in the order of files and lines.
    pub fn take(&self) -> Vec<Mistake> {
        let Found { mut all, files } = self.0.take();
        let turn = |mistake: &Mistake| files.iter().position(|file| *file == mistake.file);
        // What was begun by nobody comes after the rest.
        let rank = |mistake: &Mistake| turn(mistake).unwrap_or(usize::MAX);
        all.sort_by(|a, b| {
            (rank(a), &a.file, a.line, &a.key).cmp(&(rank(b), &b.file, b.line, &b.key))
        });
        // A table that two readers look at (`ask_nothing_more`) has its mistakes told by each.
        all.dedup();
        all
    }
}

/// A place in a document, to report a mistake at.
#[derive(Clone, Debug)]
pub struct Place {
    pub(super) file: Rc<str>,
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) mistakes: Mistakes,
}

/// Where a setting stands, for who finds out later that it cannot be followed. Equal to any other: a setting that
/// moved within its file is the same.
#[derive(Clone, Debug, Default)]
pub struct Spot {
    file: String,
    line: usize,
    key: String,
}

impl PartialEq for Spot {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Spot {}

impl Spot {
    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl Place {
    /// The place, as a setting keeps it.
    pub fn spot(&self) -> Spot {
        Spot { file: self.file.to_string(), line: self.line, key: self.key.clone() }
    }

    /// The place of a file as a whole.
    pub fn of_file(file: &str, mistakes: &Mistakes) -> Self {
        Self { file: file.into(), line: 0, key: String::new(), mistakes: mistakes.clone() }
    }

    /// A line of a file that is written in another language than TOML.
    pub fn at(file: &str, line: usize, key: impl Into<String>, mistakes: &Mistakes) -> Self {
        Self { file: file.into(), line, key: key.into(), mistakes: mistakes.clone() }
    }

    /// Reports that something here is wrong.
    pub fn reject(&self, text: impl Into<String>) {
        self.report(Severity::Error, text.into());
    }

    /// Reports something here that deserves attention.
    pub fn warn(&self, text: impl Into<String>) {
        self.report(Severity::Warning, text.into());
    }

    fn report(&self, severity: Severity, text: String) {
        let (file, line, key) = (self.file.to_string(), self.line, self.key.clone());
        self.mistakes.add(Mistake { severity, file, line, key, text });
    }

    /// The file, as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line, counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The place as `file:line`.
    pub fn file_and_line(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}
