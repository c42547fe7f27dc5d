//! The verifier of client certificates as rustls calls it in the handshake.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};

use super::path::{PathVerifier, VerifiedPath};
use super::reason::{PathFault, PathReason};

/// Is told of every path that does not hold.
pub type PathWitness = Arc<dyn Fn(&PathFault) + Send + Sync>;

/// Verifies client certificates, in the handshake and outside it.
pub struct ClientVerifier {
    paths: PathVerifier,
    hints: Vec<DistinguishedName>,
    witness: Option<PathWitness>,
}

impl std::fmt::Debug for ClientVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientVerifier").field("rules", &self.paths.rules).finish_non_exhaustive()
    }
}

impl ClientVerifier {
    /// A verifier that judges by `paths` and tells `witness` what it refuses.
    pub fn new(paths: PathVerifier, witness: Option<PathWitness>) -> Self {
        // Some clients choose among certificates by these, and send none where they match nothing.
        let hints = paths.anchors.names().map(DistinguishedName::in_sequence).collect();
        Self { paths, hints, witness }
    }

    /// What it judges by.
    pub fn paths(&self) -> &PathVerifier {
        &self.paths
    }

    /// Verifies a chain, the end entity first, at a given time.
    ///
    /// # Errors
    ///
    /// As [`PathVerifier::verify`]; the witness is told.
    pub fn verify<'a>(
        &self,
        chain: &'a [CertificateDer<'a>],
        at: UnixTime,
    ) -> Result<VerifiedPath<'a>, PathFault> {
        self.paths.verify(chain, at).inspect_err(|fault| self.tell(fault))
    }

    fn tell(&self, fault: &PathFault) {
        if let Some(witness) = &self.witness {
            witness(fault);
        }
    }
}

/// The error whose alert tells the client most.
fn in_tls(fault: PathFault) -> Error {
    let error = match fault.reason {
        PathReason::UnknownIssuer | PathReason::MissingIntermediate => {
            // Both are the same alert to a client; the log says which it was.
            CertificateError::UnknownIssuer
        }
        PathReason::Expired => CertificateError::Expired,
        PathReason::NotYetValid => CertificateError::NotValidYet,
        PathReason::WrongPurpose => CertificateError::InvalidPurpose,
        PathReason::BadSignature => CertificateError::BadSignature,
        PathReason::Revoked => CertificateError::Revoked,
        PathReason::Malformed => CertificateError::BadEncoding,
        // Alert certificate_unknown: rustls has no name for what it does not judge itself.
        reason => CertificateError::Other(OtherError(Arc::new(reason))),
    };
    error.into()
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let judged = self.paths.judge(end_entity, intermediates, now, &mut |_| {});
        judged.inspect_err(|fault| self.tell(fault)).map_err(in_tls)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // The key's possession is proved here, by the library: the path says only whose key it is.
        verify_tls12_signature(message, certificate, signature, &self.paths.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.paths.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.paths.algorithms.supported_schemes()
    }
}
