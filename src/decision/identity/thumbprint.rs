//! The thumbprint of a certificate: base64url(SHA-256(DER)) without padding, as in the `x5t#S256`
//! confirmation of RFC 8705 section 3.1.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// SHA-256 of a certificate's DER.
#[derive(Clone, Copy)]
pub struct Thumbprint([u8; SHA256_OUTPUT_LEN]);

impl Thumbprint {
    /// Hashes a certificate.
    pub fn of_certificate(der: &[u8]) -> Self {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest(&SHA256, der).as_ref());
        Self(bytes)
    }

    /// Parses the one accepted text form: 43 characters of base64url without padding. Hexadecimal,
    /// padded and standard base64 are refused: they are other claims than the standard's.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        // The engine refuses padding and stray bits: else one thumbprint would have several texts.
        let written = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (written == SHA256_OUTPUT_LEN).then_some(Self(bytes))
    }

    /// The text form.
    pub fn to_text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl PartialEq for Thumbprint {
    /// Compares in constant time.
    fn eq(&self, other: &Self) -> bool {
        // No secret, but whoever sends a token chooses its half: no time may tell how much of it fits.
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for Thumbprint {}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Thumbprint(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unpadded_base64url_of_32_bytes_is_a_thumbprint() {
        let text = Thumbprint::of_certificate(b"certificate").to_text();
        assert_eq!(text.len(), 43);
        assert_eq!(Thumbprint::parse(&text), Some(Thumbprint::of_certificate(b"certificate")));
        let standard = text.replace('-', "+").replace('_', "/");
        let hex = "a".repeat(64);
        for wrong in ["", "A", &format!("{text}="), &text[..42], &hex, &format!("{text}A")] {
            assert_eq!(Thumbprint::parse(wrong), None, "{wrong}");
        }
        assert!(standard == text || Thumbprint::parse(&standard).is_none());
    }
}
