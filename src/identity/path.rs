//! Certification paths of client certificates: the trust anchors and the verification.
//!
//! Takes the certificates that the client sent; gives a [`VerifiedPath`] if they lead to a trust
//! anchor (RFC 5280 section 6, through rustls-webpki, with extendedKeyUsage clientAuth). Only
//! self-signed roots are anchors: the intermediates must come from the client, as RFC 5246 section
//! 7.4.2 asks, so a chain without them is refused. Revocation and the key-usage walk belong here too
//! and are not built yet.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
};
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Why a set of anchors or a path was refused.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum PathError {
    /// A certificate among the anchors cannot be parsed.
    #[error("certificate {position} cannot be parsed")]
    UnreadableAnchor {
        /// Counted from 1.
        position: usize,
    },
    /// A certificate among the anchors is not a self-signed CA.
    #[error("certificate {position} is not a root: subject and issuer differ, or it is not a CA")]
    NotARoot {
        /// Counted from 1.
        position: usize,
    },
    /// There is no anchor at all.
    #[error("no trust anchor")]
    NoAnchor,
    /// The path does not hold.
    #[error("the certification path does not hold: {0}")]
    Invalid(rustls::Error),
    /// The client sent nothing.
    #[error("no certificate")]
    Empty,
}

/// The roots that client certificates must lead to.
#[derive(Debug)]
pub struct TrustAnchors(RootCertStore);

impl TrustAnchors {
    /// Takes self-signed CA certificates. An intermediate among them is an error: as an anchor it
    /// would be trusted without its issuer's consent.
    pub fn new(roots: Vec<CertificateDer<'static>>) -> Result<Self, PathError> {
        let mut store = RootCertStore::empty();
        for (index, root) in roots.into_iter().enumerate() {
            let position = index + 1;
            let (_, parsed) = X509Certificate::from_der(&root)
                .map_err(|_| PathError::UnreadableAnchor { position })?;
            if parsed.subject() != parsed.issuer() || !parsed.is_ca() {
                return Err(PathError::NotARoot { position });
            }
            store.add(root).map_err(|_| PathError::UnreadableAnchor { position })?;
        }
        if store.is_empty() { Err(PathError::NoAnchor) } else { Ok(Self(store)) }
    }
}

/// A chain that was verified up to a trust anchor. Only this module makes one.
///
/// ```compile_fail,E0451
/// use portaria::identity::VerifiedPath;
/// fn forge(path: VerifiedPath<'_>) -> VerifiedPath<'_> { VerifiedPath { ..path } }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct VerifiedPath<'a> {
    end_entity: &'a CertificateDer<'a>,
}

impl<'a> VerifiedPath<'a> {
    /// The chain of a connection whose handshake ran [`ClientVerifier`]: rustls completes a handshake
    /// with client authentication only after the verifier said yes.
    pub(crate) fn from_handshake(chain: &'a [CertificateDer<'a>]) -> Option<Self> {
        chain.first().map(|end_entity| Self { end_entity })
    }

    /// DER of the client's own certificate.
    pub fn end_entity(&self) -> &'a [u8] {
        self.end_entity
    }
}

/// Verifies client certificates, in the handshake (as rustls' verifier) and outside it.
#[derive(Debug)]
pub struct ClientVerifier {
    inner: Arc<dyn ClientCertVerifier>,
}

impl ClientVerifier {
    /// A verifier for these anchors.
    pub fn new(anchors: TrustAnchors, provider: Arc<CryptoProvider>) -> Result<Self, PathError> {
        WebPkiClientVerifier::builder_with_provider(Arc::new(anchors.0), provider)
            .build()
            .map(|inner| Self { inner })
            .map_err(|_| PathError::NoAnchor)
    }

    /// Verifies a chain, the end entity first, at a given time.
    pub fn verify<'a>(
        &self,
        chain: &'a [CertificateDer<'a>],
        at: UnixTime,
    ) -> Result<VerifiedPath<'a>, PathError> {
        let (end_entity, intermediates) = chain.split_first().ok_or(PathError::Empty)?;
        self.verify_client_cert(end_entity, intermediates, at)
            .map(|_| VerifiedPath { end_entity })
            .map_err(PathError::Invalid)
    }
}

fn names_client_authentication(end_entity: &[u8]) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(end_entity) else {
        return false;
    };
    let usage = certificate.extended_key_usage();
    usage.is_ok_and(|usage| usage.is_some_and(|usage| usage.value.client_auth))
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        // webpki takes a certificate without extendedKeyUsage for one that may do anything.
        match names_client_authentication(end_entity) {
            true => Ok(verified),
            false => Err(CertificateError::InvalidPurpose.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
