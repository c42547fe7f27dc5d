//! Where a key set comes from: a file, a URL, or the metadata of the issuer (OpenID Connect Discovery 1.0
//! section 4, RFC 8414).
//!
//! Gives the JSON as it is, and for how long its server says that it holds. Refuses what is too long, does not
//! call itself JSON, or comes by way of metadata that another issuer published.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use url::Url;

use super::KeySetFetchError;
use crate::ask::{Ask, LONGEST_ANSWER, Question, RemoteError, Reply, is_loopback};

/// Where the set comes from.
#[derive(Debug)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// The authorization server's `jwks_uri`.
    Url(Arc<dyn Ask>),
    /// The authorization server's metadata, which names the `jwks_uri`.
    Metadata(Metadata),
}

/// How the metadata of an issuer is found.
#[derive(Debug)]
pub struct Metadata {
    issuer: String,
    service: Arc<dyn Ask>,
    places: [Url; 2],
}

/// What was read.
pub struct Fetched {
    /// The set.
    pub json: Vec<u8>,
    /// How long its server says that it holds.
    pub max_age: Option<Duration>,
}

#[derive(Deserialize)]
struct ServerMetadata {
    issuer: String,
    jwks_uri: String,
}

impl Metadata {
    /// The metadata of an issuer that is a URL; `service` reaches its host.
    pub fn new(issuer: &str, url: &Url, service: Arc<dyn Ask>) -> Self {
        // Both standards take a slash at the end away before they append (Discovery 4.1, RFC 8414 3.1).
        let path = url.path().trim_end_matches('/').to_owned();
        let at = |path: String| {
            let mut place = url.clone();
            place.set_path(&path);
            place
        };
        let places = [
            at(format!("{path}/.well-known/openid-configuration")),
            at(format!("/.well-known/oauth-authorization-server{path}")),
        ];
        Self { issuer: issuer.to_owned(), service, places }
    }

    async fn read(&self) -> Result<Fetched, KeySetFetchError> {
        let [openid, oauth] = &self.places;
        let answer = match ask(&*self.service, Question::get_at(openid.clone())).await {
            // 404 alone says that the place does not exist; asking elsewhere after a 500 would double an
            // outage's load.
            Err(KeySetFetchError::Remote(RemoteError::Status(StatusCode::NOT_FOUND))) => {
                ask(&*self.service, Question::get_at(oauth.clone())).await?
            }
            answer => answer?,
        };
        let place = self.key_set_of(&answer.body)?;
        read(&*self.service, Question::get_at(place)).await
    }

    /// The metadata must be the issuer's own (OpenID Connect Discovery section 4.3, RFC 8414 section 3.3), and
    /// lead to no place that is less protected than where it came from.
    fn key_set_of(&self, json: &[u8]) -> Result<Url, KeySetFetchError> {
        let document: ServerMetadata = serde_json::from_slice(json)
            .map_err(|_| KeySetFetchError::Metadata("is not JSON with an issuer and a jwks_uri"))?;
        // Exactly, as `iss` is compared: else one server could publish another's keys.
        if document.issuer != self.issuer {
            return Err(KeySetFetchError::Metadata("is another issuer's"));
        }
        let [openid, _] = &self.places;
        let is_acceptable = |url: &Url| match url.scheme() {
            // Plain HTTP is for a server on this machine; a https one must not lead down to it.
            "https" => openid.scheme() == "https",
            "http" => openid.scheme() == "http" && is_loopback(url),
            _ => false,
        };
        let url = Url::parse(&document.jwks_uri).ok().filter(is_acceptable);
        url.ok_or(KeySetFetchError::Metadata("names no acceptable jwks_uri"))
    }
}

impl Origin {
    /// Reads the set.
    pub async fn read(&self) -> Result<Fetched, KeySetFetchError> {
        match self {
            Self::File(path) => read_file(path).await,
            Self::Url(service) => read(&**service, Question::get(&[])).await,
            Self::Metadata(metadata) => metadata.read().await,
        }
    }

    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Url(_) => "url",
            Self::Metadata(_) => "discovery",
        }
    }
}

async fn read_file(path: &PathBuf) -> Result<Fetched, KeySetFetchError> {
    let file = tokio::fs::File::open(path).await?;
    let mut json = Vec::new();
    // A constant that fits; the fallback is never met.
    let bound = u64::try_from(LONGEST_ANSWER).unwrap_or(u64::MAX);
    // One more than the bound, so that what is too long shows without being read whole.
    file.take(bound.saturating_add(1)).read_to_end(&mut json).await?;
    if json.len() > LONGEST_ANSWER {
        return Err(RemoteError::TooLong.into());
    }
    // A file says nothing of its life: it is read again at the refresh interval.
    Ok(Fetched { json, max_age: None })
}

async fn read(service: &dyn Ask, question: Question<'_>) -> Result<Fetched, KeySetFetchError> {
    let answer = ask(service, question).await?;
    Ok(Fetched { max_age: max_age(&answer.fields), json: answer.body })
}

/// A JSON document.
async fn ask(service: &dyn Ask, question: Question<'_>) -> Result<Reply, KeySetFetchError> {
    let answer = service.ask(question).await?;
    // No redirect is followed: it would lead to a place that nobody configured.
    if answer.status != StatusCode::OK {
        return Err(RemoteError::Status(answer.status).into());
    }
    if answer.is_json() { Ok(answer) } else { Err(RemoteError::MediaType.into()) }
}

/// `max-age` of Cache-Control less `Age` (RFC 9111 sections 4.2 and 5.2.2); nothing to keep is zero.
fn max_age(fields: &HeaderMap) -> Option<Duration> {
    let values = fields.get_all(header::CACHE_CONTROL).iter();
    let text = values.filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",");
    let text = text.to_ascii_lowercase();
    let mut directives = text.split(',').map(str::trim);
    // They win over a `max-age` beside them; the pace keeps ten seconds of life all the same.
    if directives.clone().any(|directive| matches!(directive, "no-store" | "no-cache")) {
        return Some(Duration::ZERO);
    }
    // Quoted, too: RFC 9111 section 5.2 bids recipients to take both forms.
    let seconds = |text: &str| text.trim_matches('"').parse().ok().map(Duration::from_secs);
    let life = directives.find_map(|directive| seconds(directive.strip_prefix("max-age=")?))?;
    let age = fields.get(header::AGE).and_then(|value| seconds(value.to_str().ok()?.trim()));
    // An `Age` that is no number is none: the set is then read a little later than it could be.
    Some(life.saturating_sub(age.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn fields(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        list.iter().map(field).collect()
    }

    #[test]
    fn the_server_says_how_long_an_answer_holds() {
        for (list, expected) in [
            (&[][..], None),
            (&[("cache-control", "max-age=60")], Some(60)),
            (&[("cache-control", "public, Max-Age=\"60\", must-revalidate")], Some(60)),
            (&[("cache-control", "max-age=60"), ("age", "20")], Some(40)),
            (&[("cache-control", "max-age=60"), ("age", "90")], Some(0)),
            (&[("cache-control", "public"), ("cache-control", "max-age=5")], Some(5)),
            (&[("cache-control", "max-age=60, no-store")], Some(0)),
            (&[("cache-control", "no-cache")], Some(0)),
            (&[("cache-control", "max-age=-1")], None),
            (&[("cache-control", "max-age=soon")], None),
            (&[("cache-control", "s-maxage=60")], None),
        ] {
            assert_eq!(max_age(&fields(list)), expected.map(Duration::from_secs), "{list:?}");
        }
    }
}
