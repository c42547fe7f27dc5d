//! Signed access tokens: JWS compact serialization (RFC 7515) of an allowed algorithm, keys from the issuer's
//! key set and from nowhere else.
//!
//! The header is read by hand, because a library that is asked to "decode" accepts what must not be
//! accepted here: `crit`, `b64`, foreign algorithms. `jku`, `jwk`, `x5u` and `x5c`, by which a token names a
//! key of its own choice, mean nothing. Neither compressed nor nested tokens are opened.
//!
//! Of jsonwebtoken only `crypto::verify` is used: base64url of the signature without padding or stray bits, and
//! the signature under one key and one algorithm, whose lengths and parameters aws-lc-rs checks. It looks
//! neither at the header nor at a claim, nor whether the key suits the algorithm: a key says itself what it may
//! verify ([`super::jwks`]). What a token says is read strictly (`super::strict`) and judged in
//! [`super::claims`].

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Error as _, MapAccess};

use super::TokenError;
use super::algorithm::Algorithm;
use super::jwks::VerifyingKey;
use crate::strict::{self, Members, skip, text};

/// The three parts of a compact JWS.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
    signed: &'a str,
}

/// What a JOSE header says.
#[derive(Default)]
pub struct Header {
    algorithm: Option<String>,
    kid: Option<String>,
    kind: Option<String>,
}

impl Members for Header {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "alg" => self.algorithm = text(map)?,
            "kid" => self.kid = text(map)?,
            "typ" => self.kind = text(map)?,
            // RFC 7515 section 4.1.11 has `crit` refused by who does not understand it; `b64` is RFC 7797's.
            "crit" | "zip" | "b64" | "cty" => {
                return Err(A::Error::custom("a parameter that changes what is signed"));
            }
            _ => skip(map)?,
        }
        Ok(())
    }
}

impl Header {
    /// The algorithm, if it is an accepted one.
    ///
    /// # Errors
    ///
    /// [`TokenError::Header`] without `alg`, [`TokenError::Algorithm`] for any other than the accepted ones.
    /// Both are refusals.
    pub fn algorithm(&self, accepted: &[Algorithm]) -> Result<Algorithm, TokenError> {
        let name = self.algorithm.as_deref().ok_or(TokenError::Header)?;
        let algorithm = Algorithm::parse(name).filter(|named| accepted.contains(named));
        algorithm.ok_or(TokenError::Algorithm)
    }

    /// The name of the key.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Refuses another type than the accepted ones, which are media types without `application/`, in any case
    /// (RFC 7515 section 4.1.9); an empty one stands for a token that does not say its type.
    ///
    /// # Errors
    ///
    /// [`TokenError::Type`], a refusal.
    pub fn require_type(&self, accepted: &[String]) -> Result<(), TokenError> {
        let kind = self.kind.as_deref().unwrap_or_default();
        let prefix = kind.get(.."application/".len()).unwrap_or_default();
        let is_full = prefix.eq_ignore_ascii_case("application/");
        let kind = if is_full { kind.get(prefix.len()..).unwrap_or_default() } else { kind };
        // `application/` alone must not pass for a token that says no type.
        let is_meant = (self.kind.is_none() || !kind.is_empty())
            && accepted.iter().any(|accepted| accepted.eq_ignore_ascii_case(kind));
        if is_meant { Ok(()) } else { Err(TokenError::Type) }
    }
}

impl<'a> Parts<'a> {
    /// Splits a token that has the shape of a compact JWS; anything else is opaque.
    pub fn split(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        // `ey` is base64url of an object's beginning (`{"`). A JWE has five parts, and is opaque here.
        let shape = !payload.contains('.') && header.starts_with("ey");
        shape.then_some(Self { header, payload, signature, signed })
    }

    /// What the signature is over.
    pub fn signed(&self) -> &'a str {
        self.signed
    }

    /// The header.
    ///
    /// # Errors
    ///
    /// [`TokenError::Header`], a refusal, for no base64url, no JSON object, a member twice, or a parameter
    /// that must not be there: `crit` (RFC 7515 section 4.1.11), `b64`, `zip`, `cty`.
    pub fn header(&self) -> Result<Header, TokenError> {
        let json = URL_SAFE_NO_PAD.decode(self.header).map_err(|_| TokenError::Header)?;
        strict::read(&json, Header::default()).ok_or(TokenError::Header)
    }

    /// The payload. Nothing is known of who wrote it.
    ///
    /// # Errors
    ///
    /// [`TokenError::Claims`], a refusal, for no base64url. What it decodes to is not looked at.
    pub fn payload(&self) -> Result<Vec<u8>, TokenError> {
        URL_SAFE_NO_PAD.decode(self.payload).map_err(|_| TokenError::Claims)
    }

    /// Verifies the signature.
    ///
    /// # Errors
    ///
    /// As [`VerifyingKey::verify`].
    pub fn verify(&self, key: &VerifyingKey, algorithm: Algorithm) -> Result<(), TokenError> {
        key.verify(algorithm, self.signed.as_bytes(), self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(json: &str) -> Option<Header> {
        strict::read(json.as_bytes(), Header::default())
    }

    #[test]
    fn the_type_is_a_media_type_of_the_list() {
        let accepted = ["at+jwt".to_owned(), "JWT".to_owned()];
        let check = |json: &str| header(json).unwrap().require_type(&accepted);
        for good in ["at+jwt", "AT+JWT", "jwt", "application/at+jwt", "Application/JWT"] {
            assert_eq!(check(&format!(r#"{{"typ":"{good}"}}"#)), Ok(()), "{good}");
        }
        for bad in ["", "application/", "dpop+jwt", "at+jwt ", "text/jwt", "application/x/jwt"] {
            assert_eq!(check(&format!(r#"{{"typ":"{bad}"}}"#)), Err(TokenError::Type), "{bad}");
        }
        assert_eq!(check("{}"), Err(TokenError::Type));
        let untyped = [String::new()];
        assert_eq!(header("{}").unwrap().require_type(&untyped), Ok(()));
        assert_eq!(header(r#"{"typ":""}"#).unwrap().require_type(&untyped), Err(TokenError::Type));
        assert_eq!(
            header(r#"{"typ":"JWT"}"#).unwrap().require_type(&untyped),
            Err(TokenError::Type)
        );
    }

    #[test]
    fn parameters_that_change_what_is_signed_refuse_the_header() {
        for bad in [
            r#"{"crit":[]}"#,
            r#"{"zip":"DEF"}"#,
            r#"{"b64":true}"#,
            r#"{"cty":"JWT"}"#,
            r#"{"alg":"PS256","alg":"PS256"}"#,
            r#"{"x":1,"x":1}"#,
            r#"{"alg":1}"#,
            r#"{"kid":null}"#,
            "{} {}",
            "[]",
        ] {
            assert!(header(bad).is_none(), "{bad}");
        }
        assert!(header(r#"{"alg":"PS256","jku":"https://x","jwk":{},"x5c":[],"x5u":1}"#).is_some());
    }
}
