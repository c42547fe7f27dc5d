//! Clients of the services that are asked.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use super::Assembler;
use crate::config::values::URL;
use crate::config::{EndpointSettings, Place, Secret};
use crate::listener::tls::provider;
use crate::remote::{Ask, Endpoint, Remote};

impl Assembler<'_> {
    /// The client of an endpoint, or who stands in for it.
    pub(super) fn service(&self, settings: &EndpointSettings) -> Option<Arc<dyn Ask>> {
        let place = self.mistakes.at(&settings.at);
        let tls = match settings.url.scheme() {
            "https" => Some(tls(settings, &place)?),
            _ => None,
        };
        if let Some(stand_in) = self.stand_in {
            return Some(stand_in.service(settings.table.key()));
        }
        let endpoint = Endpoint { url: settings.url.clone(), tls, timeout: settings.timeout };
        let remote = Remote::new(endpoint)
            .map_err(|error| place.reject(format!("cannot be used: {error}, accepted: {URL}")));
        Some(Arc::new(remote.ok()?))
    }
}

fn tls(settings: &EndpointSettings, place: &Place) -> Option<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for anchor in &settings.trust_anchors {
        if roots.add(anchor.clone()).is_err() {
            place.reject("has a trust anchor that cannot be parsed, accepted: X.509 roots");
            return None;
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(roots);
    match &settings.identity {
        None => Some(builder.with_no_client_auth()),
        Some((chain, Secret(key))) => {
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
