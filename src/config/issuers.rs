//! `[[token.issuers]]`: the authorization servers, and where their keys come from.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::document::{Located, Place, Table};
use super::endpoint::{self, EndpointSettings, Needs};
use super::services::{FIVE_MINUTES, read_age};
use super::{Kept, pem, values};
use crate::moment::Moment;
use crate::report::Metrics;
use crate::token::jwks::kept::{Keeper, Recalled};
use crate::token::jwks::origin::Metadata;
use crate::token::jwks::source::{Setup, Witness};
use crate::token::jwks::{Event, KeySet, KeySource, Origin, Pace};
use crate::token::{Algorithm, Issuer};

const ISSUERS: &str = "one or more [[token.issuers]] tables";
const ISSUER: &str = "the exact iss of its access tokens";
const ISSUER_URL: &str = "an issuer that is an https:// URL without query";
const KEYS: &str = "a JSON Web Key Set with RSA keys of at least 2048 bits for PS256";
const ONE_HOUR: (Duration, &str) = (Duration::from_secs(3600), "1h");
const ONE_DAY: (Duration, &str) = (Duration::from_secs(86_400), "1d");
const FILE_TIMEOUT: Duration = Duration::from_secs(2);

/// What all issuers have in common.
pub(super) struct Common<'a> {
    pub(super) algorithms: &'a [Algorithm],
    pub(super) directory: Option<&'a Path>,
    pub(super) has_introspection: bool,
    pub(super) metrics: &'a Metrics,
    pub(super) before: Option<&'a Kept>,
}

/// What the configuration says of an issuer.
#[derive(PartialEq)]
pub(super) struct IssuerSettings {
    pub(super) name: String,
    keys: Option<KeySettings>,
}

#[derive(PartialEq)]
struct KeySettings {
    origin: OriginSettings,
    pace: Pace,
    algorithms: Vec<Algorithm>,
    directory: Option<PathBuf>,
}

#[derive(PartialEq)]
enum OriginSettings {
    File(PathBuf),
    Url(EndpointSettings),
    Metadata(EndpointSettings),
}

type Read = (IssuerSettings, Issuer);

/// Reads the issuers.
pub(super) fn read(token: &Table<'_>, common: &Common<'_>) -> Option<Vec<Read>> {
    if !token.has("issuers") {
        token.place("issuers").reject(format!("is missing, accepted: {ISSUERS}"));
        return None;
    }
    let read: Vec<Option<Read>> =
        token.tables("issuers").iter().map(|table| read_issuer(table, common)).collect();
    if read.is_empty() {
        token.place("issuers").reject(format!("is empty, accepted: {ISSUERS}"));
    }
    let issuers: Vec<Read> = read.into_iter().collect::<Option<_>>()?;
    for (position, (settings, _)) in issuers.iter().enumerate() {
        if issuers.iter().take(position).any(|(earlier, _)| earlier.name == settings.name) {
            let place = token.place("issuers");
            place.reject(format!("names {:?} twice, accepted: distinct issuers", settings.name));
        }
    }
    Some(issuers)
}

fn read_issuer(table: &Table<'_>, common: &Common<'_>) -> Option<Read> {
    let is_given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let issuer = table.required_parsed("issuer", ISSUER, is_given);
    let keys = match table.table("jwks") {
        Some(jwks) => Some(read_keys(&jwks, issuer.as_ref(), common)?),
        None if table.has("jwks") => return None,
        None => None,
    };
    if keys.is_none() && !common.has_introspection {
        let accepted = "a table, or token.introspection for its tokens";
        table.place("jwks").reject(format!("is missing, accepted: {accepted}"));
    }
    let name = issuer?.value;
    let (settings, found) = keys.unzip();
    let settings = IssuerSettings { name: name.clone(), keys: settings };
    let kept = common.before.and_then(|kept| kept.key_source(&settings));
    let keys = kept.or_else(|| build(&settings, found?, common));
    Some((settings, Issuer { name, keys }))
}

/// Where keys come from.
struct Found {
    origin: Origin,
    /// The keys of a file, which is read here to say what is wrong with it.
    keys: Option<KeySet>,
    place: Place,
}

fn read_keys(
    table: &Table<'_>,
    issuer: Option<&Located<String>>,
    common: &Common<'_>,
) -> Option<(KeySettings, Found)> {
    let pace = read_pace(table);
    let origin = match (table.has("file"), table.has("url"), table.has("discovery")) {
        (true, false, false) => read_file(table, common.algorithms),
        (false, true, false) => read_url(table),
        (false, false, true) => read_discovery(table, issuer),
        _ => {
            let accepted = "one of file, url and discovery";
            table.place("").reject(format!("has none or several origins, accepted: {accepted}"));
            None
        }
    };
    let given = table.stand_in().and_then(|stand_in| stand_in.key_set.as_deref());
    let origin = match given {
        Some(file) => read_set(file, table.place(""), common.algorithms),
        None => origin,
    };
    let ((origin, found), mut pace) = (origin?, pace?);
    let endpoint = match &origin {
        OriginSettings::File(_) => None,
        OriginSettings::Url(endpoint) | OriginSettings::Metadata(endpoint) => Some(endpoint),
    };
    pace.timeout = endpoint.map_or(FILE_TIMEOUT, EndpointSettings::timeout);
    let directory = endpoint.and(common.directory).map(Path::to_owned);
    let algorithms = common.algorithms.to_vec();
    Some((KeySettings { origin, pace, algorithms, directory }, found))
}

fn read_pace(table: &Table<'_>) -> Option<Pace> {
    let refresh_interval = read_age(table, "refresh_interval", ONE_HOUR);
    let refresh_interval = refresh_interval.unwrap_or(Duration::from_secs(300));
    let stale_for = read_age(table, "stale_for", ONE_DAY).unwrap_or(ONE_HOUR.0);
    let lookup_cooldown = read_age(table, "lookup_cooldown", FIVE_MINUTES);
    if stale_for < refresh_interval {
        let place = table.place(if table.has("stale_for") { "stale_for" } else { "" });
        place.reject("ends before refresh_interval does, accepted: a stale_for that does not");
        return None;
    }
    Some(Pace {
        refresh_interval,
        stale_for,
        lookup_cooldown: lookup_cooldown.unwrap_or(Duration::from_secs(1)),
        timeout: FILE_TIMEOUT,
    })
}

type FoundAt = (OriginSettings, Found);

fn read_file(table: &Table<'_>, algorithms: &[Algorithm]) -> Option<FoundAt> {
    let Located { value: file, place } = pem::path(table, "file", KEYS)?;
    read_set(&file, place, algorithms)
}

fn read_set(file: &Path, place: Place, algorithms: &[Algorithm]) -> Option<FoundAt> {
    let json = pem::read(file, &place, KEYS)?;
    match KeySet::parse(&json, algorithms) {
        Ok(keys) => {
            let found = Found { origin: Origin::File(file.to_owned()), keys: Some(keys), place };
            Some((OriginSettings::File(file.to_owned()), found))
        }
        Err(error) => {
            place.reject(format!("{} is not usable ({error}), accepted: {KEYS}", file.display()));
            None
        }
    }
}

const NEEDS: Needs = Needs { certificate: false, encryption: true };

fn read_url(table: &Table<'_>) -> Option<FoundAt> {
    let (endpoint, place) = endpoint::read(table, "url", NEEDS)?;
    let origin = Origin::Url(endpoint.remote(&place)?);
    Some((OriginSettings::Url(endpoint), Found { origin, keys: None, place }))
}

fn read_discovery(table: &Table<'_>, issuer: Option<&Located<String>>) -> Option<FoundAt> {
    if table.boolean("discovery") == Some(false) {
        table.place("discovery").reject("says nothing, accepted: true, or file, or url instead");
    }
    let Some(url) = issuer.and_then(url_of) else {
        // What goes with it cannot be judged.
        for key in ["trust_anchors", "certificate", "private_key", "timeout"] {
            table.has(key);
        }
        return None;
    };
    let place = table.place("discovery");
    let located = Located { value: url, place: issuer?.place.clone() };
    let (endpoint, _) = endpoint::read_at(table, Some(located), NEEDS)?;
    let remote = endpoint.remote(&place)?;
    let metadata = Metadata::new(&issuer?.value, endpoint.url(), remote);
    let found = Found { origin: Origin::Metadata(metadata), keys: None, place };
    Some((OriginSettings::Metadata(endpoint), found))
}

fn url_of(issuer: &Located<String>) -> Option<Url> {
    let url = values::url(&issuer.value).filter(|url| url.query().is_none());
    if url.is_none() {
        issuer.place.reject(format!("cannot be discovered, accepted: {ISSUER_URL}"));
    }
    url
}

/// Builds a source that begins with what is known: the file, or what was kept.
fn build(settings: &IssuerSettings, found: Found, common: &Common<'_>) -> Option<Arc<KeySource>> {
    let keys = settings.keys.as_ref()?;
    let keeper = keys.directory.as_ref().map(|place| Keeper::new(place, &settings.name));
    let now = Moment::now();
    let begin_with = match (found.keys, &keeper) {
        (Some(keys), _) => Some(Recalled { keys, age: Duration::ZERO }),
        (None, Some(keeper)) => recall(keeper, keys, &found.place, now),
        (None, None) => None,
    };
    let source = KeySource::new(Setup {
        issuer: settings.name.clone(),
        origin: found.origin,
        algorithms: keys.algorithms.clone(),
        pace: keys.pace,
        keeper,
        witness: Some(witness(common.metrics)),
    });
    if let Some(Recalled { keys, age }) = begin_with {
        let read_at = now.unix_seconds().saturating_sub(age.as_secs());
        common.metrics.key_sets().note_in_force(&settings.name, read_at);
        source.begin_with(keys, age, now);
    }
    Some(Arc::new(source))
}

/// What was kept, unless it is too old or no key set; that is no reason not to start.
fn recall(keeper: &Keeper, keys: &KeySettings, place: &Place, now: Moment) -> Option<Recalled> {
    match keeper.recall(&keys.algorithms, now) {
        Ok(recalled) => recalled.filter(|recalled| recalled.age < keys.pace.stale_for),
        Err(error) => {
            let file = keeper.file().display();
            place.warn(format!("the kept key set {file} does not count: it {error}"));
            None
        }
    }
}

/// Counts and logs what happens to key sets.
fn witness(metrics: &Metrics) -> Witness {
    let key_sets = metrics.key_sets();
    Arc::new(move |issuer, event| match event {
        Event::Read { cause, changed } => {
            key_sets.note_read(issuer, cause.as_str(), Moment::now());
            if *changed {
                tracing::info!(issuer, cause = cause.as_str(), "the key set changed");
            }
        }
        Event::Failed { cause, error, counts_on } => {
            key_sets.note_failure(issuer, cause.as_str(), error.reason(), Moment::now());
            let cause = cause.as_str();
            match counts_on {
                true => {
                    tracing::warn!(issuer, cause, %error, "the key set was not read: the last one counts on")
                }
                false => {
                    tracing::error!(issuer, cause, %error, "the key set was not read, and there is none that counts")
                }
            }
        }
        Event::NotKept(error) => {
            tracing::warn!(issuer, %error, "the key set cannot be kept for the next start");
        }
        Event::UnknownKey => key_sets.note_unknown_key(issuer),
    })
}
