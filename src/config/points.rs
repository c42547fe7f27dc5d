//! The distribution points of a listener's `revocation`: the allow-list of URLs that are fetched.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use url::Url;

use super::document::{Located, Place, Table};
use super::endpoint::EndpointSettings;
use super::lists::Authorities;
use super::{Kept, pem, values};
use crate::identity::ListIssuers;
use crate::last_good;
use crate::listener::lists::{Point, PointSetup};
use crate::moment::Moment;

const POINTS: &str = "one or more http:// or https:// URLs of revocation lists";
const DIRECTORY: &str = "a directory that can be written, or made";
const REFRESH: (RangeInclusive<u64>, &str) = (1_000..=86_400_000, "a duration from 1s to 1d");
const TIMEOUT: (RangeInclusive<u64>, &str) = (1..=300_000, "a duration up to 5m");

/// The keys that act only with distribution points.
const ONLY_WITH_POINTS: [&str; 4] = ["directory", "refresh", "timeout", "trust_anchors"];

/// What the configuration says of a distribution point.
#[derive(PartialEq)]
pub(super) struct PointSettings {
    endpoint: EndpointSettings,
    /// Anchors and issuers.
    authorities: Arc<[CertificateDer<'static>]>,
    directory: PathBuf,
    refresh: Duration,
}

/// The points that a configuration has so far: listeners that say the same of a point share it.
#[derive(Default)]
pub(super) struct Points(RefCell<Vec<(PointSettings, Arc<Point>)>>);

impl Points {
    /// What the next reload may keep.
    pub(super) fn into_kept(self) -> Vec<(PointSettings, Arc<Point>)> {
        self.0.into_inner()
    }

    /// The first point that `is_it`, here or in the configuration in force.
    fn find(
        &self,
        before: Option<&Kept>,
        is_it: impl Fn(&PointSettings) -> bool,
    ) -> Option<Arc<Point>> {
        let point_of = |points: &[(PointSettings, Arc<Point>)]| {
            let (_, point) = points.iter().find(|(of, _)| is_it(of))?;
            Some(point.clone())
        };
        point_of(&self.0.borrow()).or_else(|| point_of(&before?.points))
    }

    fn add(&self, settings: PointSettings, point: &Arc<Point>) {
        self.0.borrow_mut().push((settings, point.clone()));
    }
}

/// Reads the points; none if there is no allow-list.
pub(super) fn read(
    table: &Table<'_>,
    authorities: Option<&Authorities>,
    points: &Points,
    before: Option<&Kept>,
) -> Option<Vec<Arc<Point>>> {
    if !table.has("distribution_points") {
        for key in ONLY_WITH_POINTS.into_iter().filter(|key| table.has(key)) {
            let place = table.place(key);
            place.reject("has no effect without distribution_points, accepted: with them");
        }
        return Some(Vec::new());
    }
    let urls = read_urls(table);
    let directory = read_directory(table);
    let refresh = read_duration(table, "refresh", REFRESH).unwrap_or(Duration::from_secs(3600));
    let timeout = read_duration(table, "timeout", TIMEOUT).unwrap_or(Duration::from_secs(30));
    let roots = read_roots(table, urls.as_ref().map(|urls| urls.value.as_slice()));
    let (urls, roots, directory) = (urls?, roots?, directory?);
    let Authorities { certificates: authorities, issuers } = authorities?;
    let point = |url: &Url| {
        let trust_anchors = if is_secure(url) { roots.clone() } else { Vec::new() };
        let settings = PointSettings {
            endpoint: EndpointSettings::open(url.clone(), trust_anchors, timeout),
            authorities: authorities.clone(),
            directory: directory.clone(),
            refresh,
        };
        make(settings, issuers, &urls.place, points, before)
    };
    urls.value.iter().map(point).collect()
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

/// The point that the same settings made before, or a new one.
fn make(
    settings: PointSettings,
    issuers: &Arc<ListIssuers>,
    place: &Place,
    points: &Points,
    before: Option<&Kept>,
) -> Option<Arc<Point>> {
    if let Some(point) = points.find(before, |other| *other == settings) {
        points.add(settings, &point);
        return Some(point);
    }
    // Another pace or another directory is no reason to forget what is revoked.
    let has_same_lists = |other: &PointSettings| {
        other.endpoint.url() == settings.endpoint.url() && other.authorities == settings.authorities
    };
    let before = points.find(before, has_same_lists).map(|point| point.list().clone());
    let setup = PointSetup {
        url: settings.endpoint.url().clone(),
        remote: settings.endpoint.remote(place)?,
        issuers: issuers.clone(),
        directory: settings.directory.clone(),
        refresh: settings.refresh,
        before,
    };
    let (point, unusable) = Point::new(setup, Moment::now());
    if let Some(unusable) = unusable {
        place.warn(format!("the kept list {unusable} is not used: it is fetched anew"));
    }
    let point = Arc::new(point);
    points.add(settings, &point);
    Some(point)
}

fn read_urls(table: &Table<'_>) -> Option<Located<Vec<Url>>> {
    let Located { value: texts, place } = table.strings("distribution_points", POINTS)?;
    if texts.is_empty() {
        place.reject(format!("is empty, accepted: {POINTS}"));
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

fn read_duration(
    table: &Table<'_>,
    key: &'static str,
    (bounds, accepted): (RangeInclusive<u64>, &str),
) -> Option<Duration> {
    let fits = |duration: &Duration| {
        u64::try_from(duration.as_millis()).is_ok_and(|duration| bounds.contains(&duration))
    };
    let read = table.parsed(key, accepted, |text| values::duration(text).filter(fits));
    Some(read?.value)
}
