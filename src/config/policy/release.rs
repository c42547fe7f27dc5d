//! What a policy says of the release of its API: the version, whether callers may ask for one, from when and
//! until when it exists, and the form of its errors.

use http::HeaderValue;

use super::lifetime::{read_lifetime, read_shadow};
use crate::config::document::Table;
use crate::route::{Answers, Bounds, ErrorForm, Lifetime, ShadowMode};
use crate::version::FullVersion;

const VERSION: &str = "a full version such as \"2.0.0\"";

/// What stands at the top of a file, and may be said again for a route.
#[derive(Clone)]
pub(super) struct Release {
    pub(super) version: HeaderValue,
    full: FullVersion,
    is_negotiated: bool,
    lifetime: Lifetime,
    shadow: ShadowMode,
    errors: ErrorForm,
}

impl Release {
    /// Reads the top of a file.
    pub(super) fn of_file(root: &Table<'_>) -> Option<Self> {
        let version = root.required_parsed("version", VERSION, parse_version);
        let is_negotiated = read_x_v(root).unwrap_or(false);
        let lifetime = read_lifetime(root, &Lifetime::default());
        let shadow = read_shadow(root, ShadowMode::default());
        let (version, full) = version?.value;
        // Not for a file: operations of one specification differ in it (an object for 422, an array else).
        let errors = ErrorForm::Common;
        Some(Self { version, full, is_negotiated, lifetime, shadow, errors })
    }

    /// Reads a route. What it leaves out is as the file has it.
    pub(super) fn of_route(table: &Table<'_>, of_file: Option<&Self>) -> Option<Self> {
        let version = table.parsed("version", VERSION, parse_version);
        let x_v = read_x_v(table);
        let no_days = Lifetime::default();
        let of_its_file = of_file.map_or(&no_days, |of_file| &of_file.lifetime);
        let (lifetime, errors) = (read_lifetime(table, of_its_file), read_errors(table));
        let shadow = of_file.map(|of_file| of_file.shadow).unwrap_or_default();
        let shadow = read_shadow(table, shadow);
        let of_file = of_file?;
        let (version, full) = version
            .map_or_else(|| (of_file.version.clone(), of_file.full), |version| version.value);
        let is_negotiated = x_v.unwrap_or(of_file.is_negotiated);
        Some(Self { version, full, is_negotiated, lifetime, shadow, errors })
    }

    /// What confines a route of it, with bodies of at most so many bytes.
    pub(super) fn bounds(&self, max_body: Option<u64>) -> Bounds {
        let (lifetime, shadow) = (self.lifetime.clone(), self.shadow);
        Bounds { max_body, lifetime, shadow, listener: None }
    }

    /// What the answers of a route of it are.
    pub(super) fn answers(&self, revokes_tokens: bool) -> Answers {
        Answers { version: self.version.clone(), errors: self.errors, revokes_tokens }
    }

    /// What a caller's x-v is held against, if it is.
    pub(super) fn negotiated(&self) -> Option<FullVersion> {
        self.is_negotiated.then_some(self.full)
    }
}

fn parse_version(text: &str) -> Option<(HeaderValue, FullVersion)> {
    Some((HeaderValue::from_str(text).ok()?, FullVersion::parse(text.as_bytes())?))
}

/// Specifications that do not declare x-v leave it without meaning: it is ignored unless said otherwise.
fn read_x_v(table: &Table<'_>) -> Option<bool> {
    let rule = table.choice("x_v", |text| match text {
        "negotiated" => Some(true),
        "ignored" => Some(false),
        _ => None,
    });
    rule.map(|rule| rule.value)
}

/// Which published schema the errors satisfy; the common one, if nothing is said.
fn read_errors(table: &Table<'_>) -> ErrorForm {
    table.word_or_default("errors")
}
