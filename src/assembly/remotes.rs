//! Clients of the services that are asked.

use std::fmt;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use super::Assembler;
use crate::ask::Ask;
use crate::config::values::URL;
use crate::config::{EndpointSettings, Secret};
use crate::listener::tls::provider;
use crate::services::{Endpoint, Remote};

impl Assembler<'_> {
    /// The client of an endpoint, or who stands in for it.
    pub(super) fn service(&self, settings: &EndpointSettings) -> Option<Arc<dyn Ask>> {
        if let Some(stand_in) = self.stand_in {
            return Some(stand_in.service(settings.table.key()));
        }
        let place = self.mistakes.at(&settings.at);
        let cannot = |error: &dyn fmt::Display| {
            place.reject(format!("cannot be used: {error}, accepted: {URL}"));
        };
        let tls = match settings.url.scheme() {
            "https" => Some(tls(settings).map_err(|error| cannot(&error)).ok()?),
            // `http`: where that leaves the machine, reading has refused it or warned of it.
            _ => None,
        };
        let endpoint = Endpoint { url: settings.url.clone(), tls, timeout: settings.timeout };
        let remote = Remote::new(endpoint).map_err(|error| cannot(&error)).ok()?;
        Some(Arc::new(remote))
    }
}

/// Anchors and pair were looked at when they were read.
fn tls(settings: &EndpointSettings) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    settings.trust_anchors.iter().try_for_each(|anchor| roots.add(anchor.clone()))?;
    let builder = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    match &settings.identity {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, Secret(key))) => builder.with_client_auth_cert(chain.clone(), key.clone_key()),
    }
}
