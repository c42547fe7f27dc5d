//! A service that the gateway asks: URL, trust anchors, client certificate, deadline.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use super::document::{Located, Place, Table};
use super::services::read_age;
use super::{pem, values};
use crate::listener::tls::provider;
use crate::remote::{Endpoint, Remote, is_loopback};

/// Callers wait for services.
const LONGEST_TIMEOUT: (Duration, &str) = (Duration::from_secs(30), "30s");

/// What the configuration says of an endpoint.
#[derive(PartialEq, Eq)]
pub(super) struct EndpointSettings {
    url: Url,
    trust_anchors: Vec<CertificateDer<'static>>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    timeout: Duration,
}

/// What an endpoint cannot do without.
#[derive(Clone, Copy, Default)]
pub(super) struct Needs {
    /// A client certificate.
    pub(super) certificate: bool,
    /// TLS: whoever stands between could make tokens.
    pub(super) encryption: bool,
}

/// What a table says of an endpoint, whose URL stands under `url_key`. A client certificate is read if it
/// is there, and missed if it is needed.
pub(super) fn read(
    table: &Table<'_>,
    url_key: &'static str,
    needs: Needs,
) -> Option<(EndpointSettings, Place)> {
    read_at(table, table.required_parsed(url_key, values::URL, values::url), needs)
}

/// The same for a URL that stands elsewhere.
pub(super) fn read_at(
    table: &Table<'_>,
    url: Option<Located<Url>>,
    needs: Needs,
) -> Option<(EndpointSettings, Place)> {
    let timeout = read_age(table, "timeout", LONGEST_TIMEOUT).unwrap_or(Duration::from_secs(2));
    let is_secure = url.as_ref().is_some_and(|url| url.value.scheme() == "https");
    let identity = read_identity(table, needs.certificate, is_secure || url.is_none());
    let trust_anchors = match is_secure {
        true => pem::certificates(table, "trust_anchors").map(|anchors| anchors.value.ders),
        false => {
            reject_without_tls(table, "trust_anchors");
            Some(Vec::new())
        }
    };
    let url = url?;
    match is_secure || is_loopback(&url.value) {
        true => {}
        false if needs.encryption => url.place.reject(
            "is not encrypted, accepted: an https:// URL, or http:// on a loopback address",
        ),
        false => url.place.warn("is not encrypted: consents cross the network in the clear"),
    }
    let trust_anchors = trust_anchors?;
    if let Some(stand_in) = table.stand_in() {
        let instead = EndpointSettings::open(stand_in.instead_of(table), Vec::new(), timeout);
        return Some((instead, url.place));
    }
    let settings = EndpointSettings { url: url.value, trust_anchors, identity, timeout };
    Some((settings, url.place))
}

/// A key that acts only with TLS has no effect without.
fn reject_without_tls(table: &Table<'_>, key: &'static str) {
    if table.has(key) {
        table.place(key).reject("has no effect with an http:// URL, accepted: an https:// URL");
    }
}

fn read_identity(
    table: &Table<'_>,
    needed: bool,
    is_secure: bool,
) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    if !needed && !table.has("certificate") && !table.has("private_key") {
        return None;
    }
    if !is_secure {
        let at = if table.has("certificate") { "certificate" } else { "" };
        table.has("private_key");
        table.place(at).reject("client certificates need TLS, accepted: an https:// URL");
        return None;
    }
    let chain = pem::chain(table, "certificate");
    let key = pem::private_key(table, "private_key");
    Some((chain?.value.ders, key?.value))
}

impl EndpointSettings {
    /// An endpoint that asks for no client certificate. `trust_anchors` are for `https`.
    pub(super) fn open(
        url: Url,
        trust_anchors: Vec<CertificateDer<'static>>,
        timeout: Duration,
    ) -> Self {
        Self { url, trust_anchors, identity: None, timeout }
    }

    /// Where it is.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// From the first byte sent to the last byte received.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Builds the client; reports what is wrong with its TLS.
    pub(super) fn remote(&self, place: &Place) -> Option<Remote> {
        let tls = match self.url.scheme() {
            "https" => Some(self.tls(place)?),
            _ => None,
        };
        let endpoint = Endpoint { url: self.url.clone(), tls, timeout: self.timeout };
        match Remote::new(endpoint) {
            Ok(remote) => Some(remote),
            Err(error) => {
                place.reject(format!("cannot be used: {error}, accepted: {}", values::URL));
                None
            }
        }
    }

    fn tls(&self, place: &Place) -> Option<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for anchor in &self.trust_anchors {
            if roots.add(anchor.clone()).is_err() {
                place.reject("has a trust anchor that cannot be parsed, accepted: X.509 roots");
                return None;
            }
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .ok()?
            .with_root_certificates(roots);
        match &self.identity {
            None => Some(builder.with_no_client_auth()),
            Some((chain, key)) => {
                let config = builder.with_client_auth_cert(chain.clone(), key.clone_key());
                if config.is_err() {
                    place.reject(
                        "has a client certificate that its private key does not belong to, \
                         accepted: a matching pair",
                    );
                }
                config.ok()
            }
        }
    }
}
