//! `[[token.issuers]]`: the authorization servers, and where their keys come from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::document::{Located, Place, Spot, Table};
use super::endpoint::{self, EndpointSettings, Needs};
use super::{pem, values};
use crate::services::key_sets::Pace;
use crate::token::Algorithm;
use crate::token::jwks::KeySet;

const ISSUERS: &str = "one or more [[token.issuers]] tables";
const ISSUER: &str = "the exact iss of its access tokens";
const ISSUER_URL: &str = "an issuer that is an https:// URL without query";
const KEYS: &str = "a JSON Web Key Set with RSA keys of at least 2048 bits for PS256";
const FILE_TIMEOUT: Duration = Duration::from_secs(2);

/// What all issuers have in common.
pub(super) struct Common<'a> {
    pub(super) algorithms: &'a [Algorithm],
    pub(super) directory: Option<&'a Path>,
    pub(super) has_introspection: bool,
}

/// What the configuration says of an issuer.
#[derive(Debug, PartialEq)]
pub struct IssuerSettings {
    /// The `iss` of its tokens.
    pub name: String,
    /// Where its keys come from.
    pub keys: Option<KeySettings>,
}

/// Where keys come from, and how often they are read.
#[derive(Debug, PartialEq)]
pub struct KeySettings {
    /// Where from.
    pub origin: OriginSettings,
    /// How often.
    pub pace: Pace,
    /// What they are to verify.
    pub algorithms: Vec<Algorithm>,
    /// Where they are kept for the next start.
    pub directory: Option<PathBuf>,
    /// Where its origin stands.
    pub at: Spot,
    /// The table that says it.
    pub table: Spot,
}

/// Where keys come from.
#[derive(Debug, PartialEq)]
pub enum OriginSettings {
    /// A file, which was looked at.
    File(PathBuf),
    /// A key set.
    Url(EndpointSettings),
    /// The metadata of the issuer, which name its key set (RFC 8414).
    Metadata(EndpointSettings),
}

/// Reads the issuers.
pub(super) fn read(token: &Table<'_>, common: &Common<'_>) -> Option<Vec<IssuerSettings>> {
    let tables = token.required_tables("issuers", ISSUERS);
    let read: Vec<Option<IssuerSettings>> =
        tables.iter().map(|table| read_issuer(table, common)).collect();
    if read.is_empty() {
        return None;
    }
    let issuers: Vec<IssuerSettings> = read.into_iter().collect::<Option<_>>()?;
    for (position, settings) in issuers.iter().enumerate() {
        if issuers.iter().take(position).any(|earlier| earlier.name == settings.name) {
            let place = token.place("issuers");
            place.reject(format!("names {:?} twice, accepted: distinct issuers", settings.name));
        }
    }
    Some(issuers)
}

fn read_issuer(table: &Table<'_>, common: &Common<'_>) -> Option<IssuerSettings> {
    let is_given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let issuer = table.required_parsed("issuer", ISSUER, is_given);
    let keys = match table.table("jwks") {
        Some(jwks) => Some(read_keys(&jwks, issuer.as_ref(), common)?),
        // Of another type, which is told: not to be taken for an issuer of opaque tokens alone.
        None if table.has("jwks") => return None,
        None => None,
    };
    if keys.is_none() && !common.has_introspection {
        let accepted = "a table, or token.introspection for its tokens";
        table.place("jwks").reject(format!("is missing, accepted: {accepted}"));
    }
    Some(IssuerSettings { name: issuer?.value, keys })
}

fn read_keys(
    table: &Table<'_>,
    issuer: Option<&Located<String>>,
    common: &Common<'_>,
) -> Option<KeySettings> {
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
    let ((origin, place), mut pace) = (origin?, pace?);
    let endpoint = match &origin {
        OriginSettings::File(_) => None,
        OriginSettings::Url(endpoint) | OriginSettings::Metadata(endpoint) => Some(endpoint),
    };
    // One timeout for the whole read: with discovery two questions are asked within it.
    pace.timeout = endpoint.map_or(FILE_TIMEOUT, |endpoint| endpoint.timeout);
    let directory = endpoint.and(common.directory).map(Path::to_owned);
    let algorithms = common.algorithms.to_vec();
    let (at, table) = (place.spot(), table.place("").spot());
    Some(KeySettings { origin, pace, algorithms, directory, at, table })
}

fn read_pace(table: &Table<'_>) -> Option<Pace> {
    let refresh_interval = table.duration_or_default("refresh_interval");
    let stale_for = table.duration_or_default("stale_for");
    let lookup_cooldown = table.duration_or_default("lookup_cooldown");
    // A set would end before it is read again: no token could be verified though nothing failed.
    if stale_for < refresh_interval {
        let place = table.place(if table.has("stale_for") { "stale_for" } else { "" });
        place.reject("ends before refresh_interval does, accepted: a stale_for that does not");
        return None;
    }
    Some(Pace { refresh_interval, stale_for, lookup_cooldown, timeout: FILE_TIMEOUT })
}

type FoundAt = (OriginSettings, Place);

fn read_file(table: &Table<'_>, algorithms: &[Algorithm]) -> Option<FoundAt> {
    let Located { value: file, place } = pem::path(table, "file", KEYS)?;
    read_key_set(&file, &place, algorithms)?;
    Some((OriginSettings::File(file), place))
}

/// The key set of a file; what is wrong with it is said at the place that names it.
pub fn read_key_set(file: &Path, place: &Place, algorithms: &[Algorithm]) -> Option<KeySet> {
    let json = pem::read(file, place, KEYS)?;
    let keys = KeySet::parse(&json, algorithms).map_err(|error| {
        place.reject(format!("{} is not usable ({error}), accepted: {KEYS}", file.display()));
    });
    keys.ok()
}

const NEEDS: Needs = Needs { certificate: false, encryption: true };

fn read_url(table: &Table<'_>) -> Option<FoundAt> {
    let endpoint = endpoint::read(table, "url", NEEDS)?;
    Some((OriginSettings::Url(endpoint), table.place("url")))
}

fn read_discovery(table: &Table<'_>, issuer: Option<&Located<String>>) -> Option<FoundAt> {
    // Whoever writes it means another origin, and has named none.
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
    let endpoint = endpoint::read_at(table, Some(located), NEEDS)?;
    let endpoint = EndpointSettings { at: place.spot(), ..endpoint };
    Some((OriginSettings::Metadata(endpoint), place))
}

fn url_of(issuer: &Located<String>) -> Option<Url> {
    // RFC 8414 section 2: an issuer has no query, and no fragment, which `values::url` refuses.
    let url = values::url(&issuer.value).filter(|url| url.query().is_none());
    if url.is_none() {
        issuer.place.reject(format!("cannot be discovered, accepted: {ISSUER_URL}"));
    }
    url
}
