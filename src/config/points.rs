//! The distribution points of a listener's `revocation`: the allow-list of URLs that are fetched.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use url::Url;

use super::document::{Located, Table};
use super::endpoint::EndpointSettings;
use super::lists::Authorities;
use super::{pem, values};
use crate::last_good;

const POINTS: &str = "one or more http:// or https:// URLs of revocation lists";
const DIRECTORY: &str = "a directory that can be written, or made";

/// The keys that act only with distribution points.
const ONLY_WITH_POINTS: [&str; 4] = ["directory", "refresh", "timeout", "trust_anchors"];

/// What the configuration says of a distribution point.
#[derive(Debug, PartialEq)]
pub struct PointSettings {
    /// Where the list is.
    pub endpoint: EndpointSettings,
    /// Anchors and issuers.
    pub authorities: Arc<[CertificateDer<'static>]>,
    /// Where the list is kept.
    pub directory: PathBuf,
    /// The longest pause between two fetches.
    pub refresh: Duration,
}

/// Reads the points; none if there is no allow-list.
pub(super) fn read(
    table: &Table<'_>,
    authorities: Option<&Authorities>,
) -> Option<Vec<PointSettings>> {
    if !table.has("distribution_points") {
        for key in ONLY_WITH_POINTS.into_iter().filter(|key| table.has(key)) {
            let place = table.place(key);
            place.reject("has no effect without distribution_points, accepted: with them");
        }
        return Some(Vec::new());
    }
    let urls = read_urls(table);
    let directory = read_directory(table);
    let refresh = table.duration_or_default("refresh");
    let timeout = table.duration_or_default("timeout");
    let roots = read_roots(table, urls.as_ref().map(|urls| urls.value.as_slice()));
    let (urls, roots, directory) = (urls?, roots?, directory?);
    let authorities = authorities?.certificates.clone();
    let point = |url: &Url| PointSettings {
        endpoint: EndpointSettings {
            table: table.place("").spot(),
            at: urls.place.spot(),
            url: url.clone(),
            trust_anchors: if is_secure(url) { roots.clone() } else { Vec::new() },
            identity: None,
            timeout,
        },
        authorities: authorities.clone(),
        directory: directory.clone(),
        refresh,
    };
    Some(urls.value.iter().map(point).collect())
}

fn is_secure(url: &Url) -> bool {
    url.scheme() == "https"
}

/// The roots of the points' own TLS, if any has it.
fn read_roots(table: &Table<'_>, urls: Option<&[Url]>) -> Option<Vec<CertificateDer<'static>>> {
    if urls.is_some_and(|urls| urls.iter().any(is_secure)) {
        return Some(pem::certificates(table, "trust_anchors")?.value.ders);
    }
    if table.has("trust_anchors") && urls.is_some() {
        let place = table.place("trust_anchors");
        place.reject("has no effect with http:// URLs, accepted: an https:// URL");
    }
    Some(Vec::new())
}

fn read_urls(table: &Table<'_>) -> Option<Located<Vec<Url>>> {
    let Located { value: texts, place } = table.strings("distribution_points", POINTS)?;
    if texts.is_empty() {
        place.reject(format!("is empty, accepted: {POINTS}"));
        return None;
    }
    let mut urls = Vec::new();
    let mut seen = HashSet::new();
    for text in &texts {
        // The text is not shown: it may come from a variable.
        let Some(url) = values::url(text) else {
            place.reject(format!("has an entry that is no such URL, accepted: {POINTS}"));
            return None;
        };
        if !seen.insert(url.clone()) {
            place.reject("names a point twice, accepted: distinct URLs");
        }
        urls.push(url);
    }
    Some(Located { value: urls, place })
}

fn read_directory(table: &Table<'_>) -> Option<PathBuf> {
    let Located { value: directory, place } = pem::path(table, "directory", DIRECTORY)?;
    if let Err(error) = last_good::is_writable(&directory) {
        let shown = directory.display();
        place.reject(format!("{shown} cannot be written ({error}), accepted: {DIRECTORY}"));
        return None;
    }
    Some(directory)
}
