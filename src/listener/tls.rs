//! The TLS of a listener.
//!
//! Whatever is negotiated ([`super::parameters`]): no tickets, no session storage, so that every connection
//! is a full handshake in which the client chain is verified (profile 6.1.3 item 3; rustls restores the chain of
//! a resumed session without verifying it again).

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::ServerConnection;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::parameters::Parameters;
use super::probe;
use super::server_certificates::ByName;
use crate::course::Connection;
use crate::identity::{Certified, Peer, Trust, TrustDomain};
use crate::moment::Moment;

/// The cryptography of every connection unless configured: aws-lc-rs, with the suites of the profile.
pub fn provider() -> CryptoProvider {
    use aws_lc_rs::cipher_suite::{
        TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
    };
    let cipher_suites = vec![
        TLS13_AES_256_GCM_SHA384,
        TLS13_AES_128_GCM_SHA256,
        TLS13_CHACHA20_POLY1305_SHA256,
        TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ];
    CryptoProvider { cipher_suites, ..aws_lc_rs::default_provider() }
}

/// What a listener asks of its clients.
#[derive(Clone, Debug)]
pub struct Clients {
    /// What handshakes are judged by.
    pub trust: Arc<Trust>,
    /// What open connections are judged by.
    pub domain: Arc<TrustDomain>,
}

/// What makes the TLS of a listener.
pub struct TlsSetup {
    /// What it negotiates from.
    pub parameters: Parameters,
    /// What it presents.
    pub presented: ByName,
    /// What it asks of clients: nothing on a public listener.
    pub clients: Option<Clients>,
}

impl TlsSetup {
    /// Builds the acceptor. Fails if a listener that asks for certificates admits who has none, or one
    /// shakes hands with nobody.
    pub fn acceptor(self) -> Result<Acceptor, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(self.parameters.provider().clone())
            .with_protocol_versions(self.parameters.versions())?;
        let builder = match &self.clients {
            Some(clients) => builder.with_client_cert_verifier(clients.trust.verifier.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(self.presented));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // What is configured first is what is wanted most.
        config.ignore_client_order = true;
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // The very one that is served with: a copy could differ from what was proved.
        let config = Arc::new(config);
        probe::prove(&config, &self.parameters, self.clients.is_some())?;
        Ok(Acceptor { config, clients: self.clients })
    }
}

/// What shakes hands with the clients of a listener.
pub struct Acceptor {
    config: Arc<ServerConfig>,
    clients: Option<Clients>,
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor(..)")
    }
}

impl Acceptor {
    /// Shakes hands, and reads whom the client's certificate names, if one was asked for.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<(TlsStream<TcpStream>, Connection)> {
        let stream = TlsAcceptor::from(self.config.clone()).accept(tcp).await?;
        let session = stream.get_ref().1;
        let certified = self.clients.as_ref().and_then(|clients| identify(clients, session));
        let peer = certified.map(|certified| Peer::Certified(Box::new(certified)));
        Ok((stream, Connection::new(peer)))
    }
}

fn identify(clients: &Clients, session: &ServerConnection) -> Option<Certified> {
    let Clients { trust, domain } = clients;
    let chain = session.peer_certificates()?;
    Certified::in_handshake(chain, session.server_name(), trust, domain.clone(), Moment::now())
}
