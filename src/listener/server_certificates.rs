//! The certificates that a listener presents, by the name that a client asks for (SNI, RFC 6066).

use std::collections::HashMap;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The certificate chain and key that a listener presents.
pub struct ServerIdentity {
    /// The end entity first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

impl ServerIdentity {
    /// Checks that the key belongs to the certificate.
    pub fn certified(
        self,
        provider: &CryptoProvider,
    ) -> Result<PresentedCertificate, rustls::Error> {
        let names = self.chain.first().map(|der| names_of(der)).unwrap_or_default();
        let key = CertifiedKey::from_der(self.chain, self.key, provider)?;
        Ok(PresentedCertificate { names, key: Arc::new(key) })
    }
}

/// A certificate and its key, ready to present.
#[derive(Clone, Debug)]
pub struct PresentedCertificate {
    /// The host names that it is for, in lower case; wildcards as they stand.
    pub names: Vec<String>,
    key: Arc<CertifiedKey>,
}

impl PresentedCertificate {
    /// The certificate itself.
    pub fn end_entity(&self) -> Option<&CertificateDer<'static>> {
        self.key.cert.first()
    }
}

fn names_of(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return Vec::new();
    };
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let hosts = names.filter_map(|name| match name {
        GeneralName::DNSName(host) => Some(host.to_ascii_lowercase()),
        _ => None,
    });
    hosts.collect()
}

/// Chooses by name: the certificate that has it, or a wildcard for it; else the first, so that a client
/// without SNI, or with a name that is not known here, sees at once whom it reached.
#[derive(Debug)]
pub struct ByName {
    first: PresentedCertificate,
    by_name: HashMap<String, PresentedCertificate>,
}

impl ByName {
    /// The first is for whoever asks for none of the others.
    pub fn new(first: PresentedCertificate, others: Vec<PresentedCertificate>) -> Self {
        let mut by_name = HashMap::new();
        for presented in std::iter::once(&first).chain(&others) {
            for name in &presented.names {
                // The earlier one keeps a name, so that the order of the file decides.
                by_name.entry(name.clone()).or_insert_with(|| presented.clone());
            }
        }
        Self { first, by_name }
    }

    fn find(&self, name: &str) -> &PresentedCertificate {
        // Names have no case, and clients send what was typed (RFC 6066 section 3).
        let name = name.to_ascii_lowercase();
        // One label and no more (RFC 6125 section 6.4.3); the name itself goes first.
        let wildcard = || {
            let (_, parent) = name.split_once('.')?;
            self.by_name.get(&format!("*.{parent}"))
        };
        self.by_name.get(&name).or_else(wildcard).unwrap_or(&self.first)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Never nothing: rustls would end the handshake with a bare alert, and nobody would see whom they
        // reached.
        let presented = hello.server_name().map_or(&self.first, |name| self.find(name));
        Some(presented.key.clone())
    }
}
