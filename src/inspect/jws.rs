//! `portaria jws verify`: does a key verify a token's signature?
//!
//! Judges form, header, algorithm and signature through the code that requests meet, and nothing of what the
//! token says.

use std::fmt;
use std::path::PathBuf;

use serde_json::json;

use super::{InspectError, read};
use crate::refusal::Refusal;
use crate::strict;
use crate::token::jwks::{self, KeySet, KeySetError, LeftOut};
use crate::token::jwt::Parts;
use crate::token::{Algorithm, TokenError};

/// What is asked.
pub struct SignatureQuestion {
    /// A file with a JSON Web Key, or a set of them.
    pub jwk: PathBuf,
    /// The only algorithm that is accepted.
    pub algorithm: Algorithm,
    /// The token.
    pub token: String,
}

/// What is answered.
pub enum SignatureVerdict {
    /// The signature is the key's.
    Valid,
    /// It is not, or cannot be.
    Invalid(TokenError),
    /// The key is none that could verify it.
    NoKey(Option<LeftOut>),
}

impl SignatureVerdict {
    /// Whether the signature is the key's.
    pub fn is_valid(&self) -> bool {
        matches!(self, Self::Valid)
    }
}

impl fmt::Display for SignatureVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Valid => f.write_str("valid"),
            Self::Invalid(error) => {
                write!(f, "invalid: {}", Refusal::from(*error).code())
            }
            Self::NoKey(Some(left_out)) => write!(f, "invalid: the key is {left_out}"),
            Self::NoKey(None) => f.write_str("invalid: there is no key"),
        }
    }
}

/// Verifies.
pub fn verify(question: &SignatureQuestion) -> Result<SignatureVerdict, InspectError> {
    let SignatureQuestion { jwk, algorithm, token } = question;
    let unusable = |what: String| InspectError::Key { file: jwk.clone(), what };
    // Strictly, for what is written again below would have lost a member that stands twice.
    let json = strict::value(&read(jwk)?).map_err(|error| unusable(error.to_string()))?;
    // A key by itself is judged as one of a set, by the code that reads those of issuers.
    let set = if json.get("keys").is_some() { json } else { json!({"keys": [json]}) };
    let set = set.to_string();
    let keys = match KeySet::parse(set.as_bytes(), &[*algorithm]) {
        Ok(keys) => keys,
        Err(KeySetError::Empty) => {
            let surveyed = jwks::survey(set.as_bytes(), &[*algorithm]).unwrap_or_default();
            let first = surveyed.into_iter().next().and_then(|key| key.verdict.err());
            return Ok(SignatureVerdict::NoKey(first));
        }
        Err(error) => return Err(unusable(error.to_string())),
    };
    Ok(match judge(token, &keys, *algorithm) {
        Ok(()) => SignatureVerdict::Valid,
        Err(error) => SignatureVerdict::Invalid(error),
    })
}

fn judge(token: &str, keys: &KeySet, algorithm: Algorithm) -> Result<(), TokenError> {
    let parts = Parts::split(token).ok_or(TokenError::Malformed)?;
    let header = parts.header()?;
    let algorithm = header.algorithm(&[algorithm])?;
    let named = keys.find(header.kid()).ok_or(TokenError::UnknownKey)?;
    parts.verify(named.key(algorithm)?, algorithm)
}
