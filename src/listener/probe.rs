//! A listener that asks for certificates proves, before it serves, that it refuses who has none; one that
//! does not, that it admits anybody.
//!
//! A configuration can be read as intended and built wrong. So a client without a certificate shakes hands
//! with the very TLS configuration that connections will meet, in memory and with each version that is
//! spoken. The first kind of listener must refuse it for want of a certificate and for nothing else, the
//! second must complete; otherwise the listener is not built.

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

/// Requires that a client without a certificate is refused for want of one, or admitted if none is asked for.
pub(super) fn prove(
    server: &Arc<ServerConfig>,
    parameters: &Parameters,
    asks_for_certificates: bool,
) -> Result<(), Error> {
    // Each of them: TLS 1.2 and 1.3 ask for certificates at different points of the handshake.
    for version in parameters.versions() {
        let shaken = shake_hands(server, parameters.provider(), version)?;
        match (shaken, asks_for_certificates) {
            // Any other failure proves nothing: the server might refuse everybody.
            (Ok(()), false) | (Err(Error::NoCertificatesPresented), true) => {}
            (Ok(()), true) => {
                return Err(Error::General("it admits clients without a certificate".into()));
            }
            (Err(error), _) => return Err(error),
        }
    }
    Ok(())
}

/// What the server makes of the handshake.
fn shake_hands(
    server: &Arc<ServerConfig>,
    provider: &Arc<CryptoProvider>,
    version: &'static SupportedProtocolVersion,
) -> Result<Result<(), Error>, Error> {
    let client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Indifferent))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(|e| Error::General(e.to_string()))?;
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(server.clone())?;
    for _ in 0..MOST_FLIGHTS {
        if let Err(error) = carry(&mut client, &mut server) {
            return Ok(Err(error));
        }
        // The server's side decides: in TLS 1.3 a client believes to be through before it was judged.
        if !server.is_handshaking() {
            return Ok(Ok(()));
        }
        // What the client makes of it does not matter: if it gives up, the server gets no further.
        let _ = carry(&mut server, &mut client);
    }
    Ok(Err(Error::HandshakeNotComplete))
}

/// Carries one flight from one side to the other.
fn carry<A, B>(
    from: &mut impl DerefMut<Target = ConnectionCommon<A>>,
    to: &mut impl DerefMut<Target = ConnectionCommon<B>>,
) -> Result<(), Error> {
    let broken = |error: std::io::Error| Error::General(error.to_string());
    let mut flight = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut flight).map_err(broken)?;
    }
    let mut rest = flight.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).map_err(broken)?;
        to.process_new_packets()?;
    }
    Ok(())
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
        let open = Arc::new(open);
        let parameters = Parameters::fapi_br();
        assert!(prove(&open, &parameters, true).is_err());
        assert_eq!(prove(&open, &parameters, false), Ok(()));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots.clone()),
            Arc::new(provider()),
        );
        let strict = builder().with_client_cert_verifier(verifier.build().unwrap());
        let strict = strict.with_single_cert(chain(), key()).unwrap();
        let strict = Arc::new(strict);
        assert_eq!(prove(&strict, &parameters, true), Ok(()));
        assert!(prove(&strict, &parameters, false).is_err());
        let suites = vec![
            crate::listener::parameters::suite("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256").unwrap(),
        ];
        let unusable =
            Parameters::new(Some(vec![&rustls::version::TLS12]), Some(suites), None).unwrap();
        assert!(
            prove(&strict, &unusable, true).is_err(),
            "a failure for another reason is no proof"
        );
        let lenient = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::new(provider()),
        );
        let lenient = lenient.allow_unauthenticated().build().unwrap();
        let lenient = builder().with_client_cert_verifier(lenient);
        let lenient = lenient.with_single_cert(chain(), key()).unwrap();
        assert!(prove(&Arc::new(lenient), &parameters, true).is_err());
    }
}
