//! A listener that asks for certificates proves, before it serves, that it refuses who has none.
//!
//! A configuration can be read as intended and built wrong. So a client without a certificate shakes hands
//! with the very TLS configuration that connections will meet, in memory and with each version that is spoken; if either
//! handshake completes, the listener is not built.

use std::ops::DerefMut;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ServerConfig;
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, DigitallySignedStruct, Error,
    ServerConnection, SignatureScheme, SupportedProtocolVersion,
};

use super::parameters::Parameters;
use super::tls::provider;

/// Flights of a handshake, and more than any has.
const MOST_FLIGHTS: usize = 10;

/// Whether a client without a certificate gets through a handshake.
pub(super) fn admits_anyone(
    server: &Arc<ServerConfig>,
    parameters: &Parameters,
) -> Result<bool, Error> {
    for version in parameters.versions() {
        if shakes_hands(server, parameters.provider(), version)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn shakes_hands(
    server: &Arc<ServerConfig>,
    provider: &Arc<CryptoProvider>,
    version: &'static SupportedProtocolVersion,
) -> Result<bool, Error> {
    let client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Indifferent))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(|e| Error::General(e.to_string()))?;
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(server.clone())?;
    for _ in 0..MOST_FLIGHTS {
        if !is_carried(&mut client, &mut server) {
            return Ok(false);
        }
        if !server.is_handshaking() {
            return Ok(true);
        }
        if !is_carried(&mut server, &mut client) {
            return Ok(false);
        }
    }
    Ok(false)
}

/// Carries one flight from one side to the other; returns whether the other goes on.
fn is_carried<A, B>(
    from: &mut impl DerefMut<Target = ConnectionCommon<A>>,
    to: &mut impl DerefMut<Target = ConnectionCommon<B>>,
) -> bool {
    let mut flight = Vec::new();
    while from.wants_write() {
        if from.write_tls(&mut flight).is_err() {
            return false;
        }
    }
    let mut rest = flight.as_slice();
    while !rest.is_empty() {
        if to.read_tls(&mut rest).is_err() || to.process_new_packets().is_err() {
            return false;
        }
    }
    true
}

/// The probe does not care whose server it is: it knows, and nothing of it leaves the process.
#[derive(Debug)]
struct Indifferent;

impl ServerCertVerifier for Indifferent {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(all(test, feature = "lab"))]
mod tests {
    use rustls::pki_types::PrivateKeyDer;

    use super::*;

    #[test]
    fn a_server_that_asks_for_nothing_is_found_out() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let builder = || {
            ServerConfig::builder_with_provider(Arc::new(provider()))
                .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
                .unwrap()
        };
        let key = || PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let chain = || vec![certificate.der().clone()];
        let open = builder().with_no_client_auth().with_single_cert(chain(), key()).unwrap();
        assert!(admits_anyone(&Arc::new(open), &Parameters::fapi_br()).unwrap());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots.clone()),
            Arc::new(provider()),
        );
        let strict = builder().with_client_cert_verifier(verifier.build().unwrap());
        let strict = strict.with_single_cert(chain(), key()).unwrap();
        assert!(!admits_anyone(&Arc::new(strict), &Parameters::fapi_br()).unwrap());
        let lenient = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::new(provider()),
        );
        let lenient = lenient.allow_unauthenticated().build().unwrap();
        let lenient = builder().with_client_cert_verifier(lenient);
        let lenient = lenient.with_single_cert(chain(), key()).unwrap();
        assert!(admits_anyone(&Arc::new(lenient), &Parameters::fapi_br()).unwrap());
    }
}
