//! The certificate of a connection as a backend is told it (RFC 9440).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use rustls::pki_types::CertificateDer;

/// The values of Client-Cert and Client-Cert-Chain: DER as byte sequences (RFC 8941 section 3.3.5). Made
/// when a backend first needs them, and kept with the connection.
pub struct Presented {
    end_entity: HeaderValue,
    chain: Option<HeaderValue>,
}

impl std::fmt::Debug for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Presented(..)")
    }
}

impl Presented {
    /// Writes a chain, the end entity first.
    pub(super) fn new(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let (end_entity, rest) = chain.split_first()?;
        let rest: Vec<String> = rest.iter().map(|der| item(der)).collect();
        let chain = if rest.is_empty() { None } else { Some(secret(&rest.join(", "))?) };
        Some(Self { end_entity: secret(&item(end_entity))?, chain })
    }

    /// Client-Cert: the end entity.
    pub fn end_entity(&self) -> &HeaderValue {
        &self.end_entity
    }

    /// Client-Cert-Chain: what the client sent behind it, in its order.
    pub fn chain(&self) -> Option<&HeaderValue> {
        self.chain.as_ref()
    }
}

fn item(der: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(der))
}

/// A value that is never shown.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
