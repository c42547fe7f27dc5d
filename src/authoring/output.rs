//! A policy file as it is in the directory and as it shall be.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::difference::View;
use crate::config::document::{Mistakes, Place};

/// What is in the directory under the name of a policy.
pub(super) struct Existing {
    path: PathBuf,
    name: String,
    text: Option<String>,
    view: View,
}

/// A file that is written, or goes.
pub(super) struct Output {
    path: PathBuf,
    name: String,
    state: &'static str,
    /// Nothing: the file goes.
    text: Option<String>,
    changes: Vec<String>,
}

impl Existing {
    /// Looks for a file. One that cannot be read is reported: what it says would be lost unseen.
    pub(super) fn read(directory: &Path, name: String, mistakes: &Mistakes) -> Self {
        let path = directory.join(&name);
        let place = |line| Place::at(&path.display().to_string(), line, "", mistakes);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) => {
                // No directory is said when it is written to.
                let is_none = [ErrorKind::NotFound, ErrorKind::NotADirectory];
                if !is_none.contains(&error.kind()) {
                    place(0).reject(format!("cannot be read ({error}), accepted: a policy file"));
                }
                None
            }
        };
        let view = text.as_deref().map(View::parse).transpose().unwrap_or_else(|(line, wrong)| {
            place(line).reject(format!("{wrong}, accepted: TOML 1.1, or no file"));
            None
        });
        let view = view.unwrap_or_default();
        Self { path, name, text, view }
    }

    /// Whether there is a file.
    pub(super) fn is_there(&self) -> bool {
        self.text.is_some()
    }

    /// The upstream that it gives a route.
    pub(super) fn upstream(&self, method: &str, path: &str) -> Option<&str> {
        self.view.upstream(method, path)
    }

    /// What becomes of it. `text` is the whole file, or nothing if it shall go. Gives nothing if nothing
    /// changes.
    pub(super) fn become_text(self, text: Option<String>, mistakes: &Mistakes) -> Option<Output> {
        if self.text == text {
            return None;
        }
        // Read again before it is written: what is no TOML must not replace a policy that is.
        let new = match text.as_deref().map(View::parse) {
            Some(Ok(view)) => view,
            None => View::default(),
            Some(Err((line, wrong))) => {
                let text = format!("would be no policy ({wrong}), accepted: another specification");
                Place::at(&self.name, line, "", mistakes).reject(text);
                return None;
            }
        };
        let mut changes = self.view.changes(&new);
        let state = match (&self.text, &text) {
            (None, _) => " (new)",
            (_, None) => " (goes)",
            _ if changes.is_empty() => " (comments and order only)",
            _ => "",
        };
        if self.text.is_none() || text.is_none() {
            // Of a whole file only its routes are news.
            changes.retain(|change| !change.starts_with('~'));
        }
        Some(Output { path: self.path, name: self.name, state, text, changes })
    }
}

/// Writes the files into their directory, which is made if it is not there.
pub(super) fn write(outputs: &[Output], directory: &Path, mistakes: &Mistakes) {
    if let Err(error) = std::fs::create_dir_all(directory) {
        let place = Place::of_file(&directory.display().to_string(), mistakes);
        let accepted = "accepted: a directory, or a place where one can be made";
        place.reject(format!("cannot be made ({error}), {accepted}"));
        return;
    }
    outputs.iter().for_each(|output| output.apply(mistakes));
}

impl Output {
    /// The name of the file.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether a route that is there goes.
    pub(super) fn loses_routes(&self) -> bool {
        self.text.is_none() || self.changes.iter().any(|change| change.starts_with('-'))
    }

    /// Adds what changes to a report.
    pub(super) fn report(&self, report: &mut String) {
        // Writing to a string does not fail.
        let _ = writeln!(report, "{}{}", self.name, self.state);
        for change in &self.changes {
            let _ = writeln!(report, "  {change}");
        }
    }

    /// Writes the file, or removes it.
    fn apply(&self, mistakes: &Mistakes) {
        let done = match &self.text {
            Some(text) => std::fs::write(&self.path, text),
            None => std::fs::remove_file(&self.path),
        };
        if let Err(error) = done {
            let place = Place::of_file(&self.path.display().to_string(), mistakes);
            place.reject(format!("cannot be written ({error}), accepted: a writable directory"));
        }
    }
}
