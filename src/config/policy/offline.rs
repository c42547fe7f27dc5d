//! Policies by themselves, for those who write, compare and test them.
//!
//! The same parser as the gateway's, without a configuration: an upstream is whatever a file names. What
//! the gateway would not load is no policy here either.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use super::content::CONTENT_METHODS;
use super::{NamedUpstreams, Reader, list};
use crate::config::consent::StaleFor;
use crate::config::document::{Mistake, Mistakes, Place};
use crate::route::{Destination, Route, Routes};

const ACCEPTED: &str = "a policy file, or a directory of policy files (*.toml)";

/// One route, and where it stands.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The route.
    pub route: Route,
    /// The name of its upstream.
    pub upstream: String,
    /// Where it stands.
    pub place: Place,
}

/// The policies of a file or a directory.
#[derive(Debug)]
pub struct Policies {
    /// The routes, in the order of files and lines.
    pub entries: Vec<Entry>,
    /// The same, as the gateway looks them up. A route's index is its place among the entries.
    pub routes: Arc<Routes>,
}

/// Reads a policy file, or the policy files of a directory.
pub fn read(path: &Path) -> Result<Policies, Vec<Mistake>> {
    let mistakes = Mistakes::default();
    let reject = |text: String| {
        Place::of_file(&path.display().to_string(), &mistakes).reject(text);
    };
    let files = files(path).unwrap_or_else(|error| {
        reject(format!("cannot be read ({error}), accepted: {ACCEPTED}"));
        Vec::new()
    });
    if files.is_empty() && !mistakes.prevent_loading() {
        reject(format!("has no policy file, accepted: {ACCEPTED}"));
    }
    // Whoever writes policies need not have the configuration that will serve them.
    let upstreams = NamedUpstreams::Named(RefCell::default());
    // Without a configuration an outage is a refusal, and the registry tells of no changes.
    let stale_for = StaleFor::default();
    let reader = Reader { upstreams, stale_for, routes: Vec::new(), versions: Vec::new() };
    match build(reader.read_all(&files, None, &mistakes)) {
        Some(policies) if !mistakes.prevent_loading() => Ok(policies),
        _ => Err(mistakes.take()),
    }
}

fn files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if std::fs::metadata(path)?.is_dir() {
        Ok(list(path)?.files)
    } else {
        Ok(vec![path.to_owned()])
    }
}

fn build(reader: Reader<'_>) -> Option<Policies> {
    let named = reader.upstreams.names();
    let entry = |(route, place): &(Route, Place)| {
        let upstream = match route.to {
            Destination::Upstream(index) => named.get(index)?.clone(),
            // Of no policy file.
            Destination::Gateway => return None,
        };
        Some(Entry { upstream, route: route.clone(), place: place.clone() })
    };
    let entries: Vec<Entry> = reader.routes.iter().map(entry).collect::<Option<_>>()?;
    let routes = entries.iter().map(|entry| entry.route.clone()).collect();
    // Overlaps were reported with their places.
    let routes = Arc::new(Routes::new(routes, reader.versions).ok()?);
    Some(Policies { entries, routes })
}
