//! private_key_jwt: the gateway proves who it is by a short token that it signs itself (RFC 7523 sections
//! 2.2 and 3, OpenID Connect Core 1.0 section 9), by PS256 as FAPI 1.0 Advanced section 8.6 asks.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PSS_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use uuid::Uuid;

use crate::moment::Moment;

/// `client_assertion_type` of such a token.
pub(super) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Seconds that an assertion holds: it is used at once, and clocks differ.
const LIFETIME: u64 = 60;

/// Bytes of the modulus of the shortest key (FAPI 1.0 Baseline section 5.2.2).
const SHORTEST: usize = 256;

/// Signs client assertions.
pub struct Assertion {
    client_id: String,
    audience: String,
    header: String,
    key: RsaKeyPair,
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Assertion(..)")
    }
}

impl Assertion {
    /// For a client, as the authorization server that `audience` names knows it. Nothing if the key is none
    /// for PS256 of at least 2048 bits.
    pub fn new(
        client_id: &str,
        audience: &str,
        key_id: Option<&str>,
        key: &PrivateKeyDer<'_>,
    ) -> Option<Self> {
        let key = match key {
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            // SEC1 is of elliptic curves, and PS256 is RSA.
            _ => return None,
        };
        let key = key.ok().filter(|key| key.public_modulus_len() >= SHORTEST)?;
        let header = match key_id {
            Some(kid) => json!({"alg": "PS256", "typ": "JWT", "kid": kid}),
            None => json!({"alg": "PS256", "typ": "JWT"}),
        };
        Some(Self {
            client_id: client_id.to_owned(),
            audience: audience.to_owned(),
            header: URL_SAFE_NO_PAD.encode(header.to_string()),
            key,
        })
    }

    /// An assertion, for one use.
    pub(super) fn sign(&self, now: Moment) -> Option<String> {
        let issued_at = now.unix_seconds();
        let claims = json!({
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.audience,
            // Random: servers refuse one that they have seen (RFC 7523 section 3), and threads sign at once.
            "jti": Uuid::new_v4().to_string(),
            "iat": issued_at,
            "exp": issued_at.saturating_add(LIFETIME),
        });
        let signed = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signature = vec![0; self.key.public_modulus_len()];
        let random = SystemRandom::new();
        self.key.sign(&RSA_PSS_SHA256, &random, signed.as_bytes(), &mut signature).ok()?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
