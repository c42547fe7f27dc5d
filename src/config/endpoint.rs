//! A service that the gateway asks: URL, trust anchors, client certificate, deadline.

use std::fmt;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use url::Url;

use super::document::{Located, Spot, Table};
use super::secret::Secret;
use super::{pem, values};
use crate::ask::is_loopback;
use crate::listener::tls::provider;

/// What the configuration says of an endpoint.
#[derive(PartialEq)]
pub struct EndpointSettings {
    /// The table that says it.
    pub table: Spot,
    /// Where its URL stands.
    pub at: Spot,
    /// Where it is.
    pub url: Url,
    /// For `https`.
    pub trust_anchors: Vec<CertificateDer<'static>>,
    /// The gateway's certificate, the chain first.
    pub identity: Option<(Vec<CertificateDer<'static>>, Secret<PrivateKeyDer<'static>>)>,
    /// From the first byte sent to the last byte received.
    pub timeout: Duration,
}

/// Of the URL without its query, where some services have a key.
impl fmt::Debug for EndpointSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = format!("{}{}", self.url.origin().ascii_serialization(), self.url.path());
        f.debug_struct("EndpointSettings")
            .field("url", &url)
            .field("trust_anchors", &self.trust_anchors)
            .field("identity", &self.identity)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
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
) -> Option<EndpointSettings> {
    read_at(table, table.required_parsed(url_key, values::URL, values::url), needs)
}

/// The same for a URL that stands elsewhere.
pub(super) fn read_at(
    table: &Table<'_>,
    url: Option<Located<Url>>,
    needs: Needs,
) -> Option<EndpointSettings> {
    let timeout = table.duration_or_default("timeout");
    let is_secure = url.as_ref().is_some_and(|url| url.value.scheme() == "https");
    // Of a URL that is not understood it is not known whether it would have TLS: nothing is said of that.
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
    if let Some(fault) = fault_of(&trust_anchors, identity.as_ref()) {
        url.place.reject(fault);
        return None;
    }
    let table = table.place("").spot();
    let identity = identity.map(|(chain, key)| (chain, Secret(key)));
    let at = url.place.spot();
    let settings = EndpointSettings { table, at, url: url.value, trust_anchors, identity, timeout };
    Some(settings)
}

/// What is wrong with the TLS of an endpoint, as far as the files tell.
fn fault_of(
    anchors: &[CertificateDer<'static>],
    identity: Option<&(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Option<&'static str> {
    if anchors.iter().any(|anchor| webpki::anchor_from_trusted_cert(anchor).is_err()) {
        return Some("has a trust anchor that cannot be parsed, accepted: X.509 roots");
    }
    let (chain, key) = identity?;
    let pair = CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider());
    let fault = "has a client certificate that its private key does not belong to, accepted: a matching pair";
    pair.is_err().then_some(fault)
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
        // Asked for, or it would be told as an unknown key besides.
        table.has("private_key");
        table.place(at).reject("client certificates need TLS, accepted: an https:// URL");
        return None;
    }
    let chain = pem::chain(table, "certificate");
    let key = pem::private_key(table, "private_key");
    Some((chain?.value.ders, key?.value))
}
