//! Signed access tokens: JWS compact serialization (RFC 7515), PS256 only (Open Banking Brasil FAPI
//! profile 6.1.1), keys from the issuer's key set and from nowhere else.
//!
//! The header is read by hand, because a library that is asked to "decode" accepts what must not be
//! accepted here: `crit`, `b64`, foreign algorithms. The signature is checked before the claims are
//! looked at.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use super::TokenError;
use super::VerifiedToken;
use super::claims::{ClaimRules, Claims, Source};
use super::jwks::KeySet;
use crate::moment::Moment;

/// The three parts of a compact JWS.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
    signed: &'a str,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    #[serde(default, deserialize_with = "is_present")]
    crit: bool,
    #[serde(default, deserialize_with = "is_present")]
    zip: bool,
    #[serde(default, deserialize_with = "is_present")]
    b64: bool,
}

fn is_present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl<'a> Parts<'a> {
    /// Splits a token that has the shape of a compact JWS; anything else is opaque.
    pub fn split(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let shape = !payload.contains('.') && header.starts_with("ey");
        shape.then_some(Self { header, payload, signature, signed })
    }

    /// Verifies the signature, then judges the claims.
    pub fn verify(
        &self,
        keys: &KeySet,
        rules: &ClaimRules,
        now: Moment,
    ) -> Result<VerifiedToken, TokenError> {
        let header = self.header()?;
        let key = keys.find(header.kid.as_deref()).ok_or(TokenError::UnknownKey)?;
        let signed = self.signed.as_bytes();
        match jsonwebtoken::crypto::verify(self.signature, signed, key, Algorithm::PS256) {
            Ok(true) => {}
            Ok(false) | Err(_) => return Err(TokenError::Signature),
        }
        let payload = URL_SAFE_NO_PAD.decode(self.payload).map_err(|_| TokenError::Claims)?;
        Claims::parse(&payload, rules)?.judge(Source::Jwt, rules, now)
    }

    fn header(&self) -> Result<Header, TokenError> {
        let json = URL_SAFE_NO_PAD.decode(self.header).map_err(|_| TokenError::Header)?;
        let text = std::str::from_utf8(&json).map_err(|_| TokenError::Header)?;
        let header: Header = serde_json::from_str(text).map_err(|_| TokenError::Header)?;
        if header.alg != "PS256" {
            return Err(TokenError::Algorithm);
        }
        let typ = header.typ.as_deref().map(str::to_ascii_lowercase);
        let known_type =
            matches!(typ.as_deref(), None | Some("jwt" | "at+jwt" | "application/at+jwt"));
        if header.crit || header.zip || header.b64 || !known_type {
            return Err(TokenError::Header);
        }
        Ok(header)
    }
}
