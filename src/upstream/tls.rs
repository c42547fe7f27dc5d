//! TLS towards the servers of an upstream: which roots, which name.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

use super::UpstreamTls;

/// How a connection to a server is secured.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client(..)")
    }
}

/// Why no connection could be secured.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ClientError {
    /// What the certificates must be for is no name.
    #[error("server_name is no host name")]
    Name,
    /// A root is none, or there is none.
    #[error("a trust anchor cannot be used: {0}")]
    Anchor(rustls::Error),
}

impl ServerTls {
    /// A client that accepts the server of this name, by these roots and no others.
    pub fn new(tls: &UpstreamTls) -> Result<Self, ClientError> {
        let name = ServerName::try_from(tls.server_name.clone()).map_err(|_| ClientError::Name)?;
        let mut roots = RootCertStore::empty();
        for anchor in &tls.trust_anchors {
            roots.add(anchor.clone()).map_err(ClientError::Anchor)?;
        }
        // Named: the process' default is whatever crate set it first.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(ClientError::Anchor)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config), name })
    }

    pub(super) fn connector(&self) -> tokio_rustls::TlsConnector {
        self.config.clone().into()
    }

    pub(super) fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }
}
