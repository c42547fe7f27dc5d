//! The certificate of a connection as a backend is told it (RFC 9440).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use rustls::pki_types::CertificateDer;

/// The values of Client-Cert and Client-Cert-Chain: DER as byte sequences (RFC 8941 section 3.3.5). Made
/// when a backend first needs them, and kept with the connection.
pub struct CertificateFields {
    end_entity: HeaderValue,
    chain: Option<HeaderValue>,
}

impl std::fmt::Debug for CertificateFields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CertificateFields(..)")
    }
}

impl CertificateFields {
    /// Writes an end entity and the issuers of its path.
    pub(super) fn new(
        end_entity: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
    ) -> Option<Self> {
        let issuers: Vec<String> = issuers.iter().map(|der| item(der)).collect();
        // RFC 9440 section 2.3 has the field only where there is something to list.
        let chain = if issuers.is_empty() { None } else { Some(secret(&issuers.join(", "))?) };
        Some(Self { end_entity: secret(&item(end_entity))?, chain })
    }

    /// Client-Cert: the end entity.
    pub fn end_entity(&self) -> &HeaderValue {
        &self.end_entity
    }

    /// Client-Cert-Chain: the intermediates of the path that was verified, without the anchor. What else a
    /// client sent is its own word, and shown to nobody.
    pub fn chain(&self) -> Option<&HeaderValue> {
        self.chain.as_ref()
    }
}

fn item(der: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(der))
}

/// A value that is never shown.
fn secret(text: &str) -> Option<HeaderValue> {
    // Cannot fail on base64 and colons.
    let mut value = HeaderValue::from_str(text).ok()?;
    // A certificate names a company, and may name a person: Debug of a request must not show it.
    value.set_sensitive(true);
    Some(value)
}
