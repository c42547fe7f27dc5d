//! The key set of the authorization server (RFC 7517): from a file or a URL, refreshed in the
//! background, swapped whole.
//!
//! A set that cannot be fetched or read never replaces one that could. Keys that cannot verify PS256
//! (other type, other use, other algorithm) are left out; an RSA key shorter than 2048 bits or a `kid`
//! that stands twice refuses the set.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use thiserror::Error;

use crate::remote::{Remote, RemoteError};

/// Why a key set was not taken.
#[derive(Debug, Error)]
pub enum KeySetError {
    /// The file cannot be read.
    #[error("cannot read the file: {0}")]
    File(#[from] std::io::Error),
    /// The authorization server gave no usable answer.
    #[error("cannot fetch: {0}")]
    Remote(#[from] RemoteError),
    /// Not a JSON Web Key Set.
    #[error("not a JSON Web Key Set: {0}")]
    Malformed(serde_json::Error),
    /// An RSA key shorter than 2048 bits.
    #[error("an RSA key is shorter than 2048 bits")]
    Weak,
    /// Two keys with one `kid`, or a key without.
    #[error("a kid stands twice or is missing among several keys")]
    Ambiguous,
    /// No key can verify PS256.
    #[error("no key can verify PS256")]
    Empty,
}

/// Keys that can verify PS256, by `kid`.
pub struct KeySet {
    by_kid: HashMap<String, DecodingKey>,
    only: Option<DecodingKey>,
    /// SHA-256 of the JSON, to tell a changed set from the same one read again.
    source: [u8; 32],
}

impl KeySet {
    /// Parses a JSON Web Key Set.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let set: JwkSet = serde_json::from_slice(json).map_err(KeySetError::Malformed)?;
        let usable: Vec<&Jwk> = set.keys.iter().filter(|jwk| can_verify_ps256(jwk)).collect();
        let mut by_kid = HashMap::new();
        for jwk in &usable {
            if modulus_bits(jwk) < 2048 {
                return Err(KeySetError::Weak);
            }
            let key = DecodingKey::from_jwk(jwk).map_err(|_| KeySetError::Empty)?;
            match &jwk.common.key_id {
                Some(kid) if by_kid.insert(kid.clone(), key).is_none() => {}
                None if usable.len() == 1 => {}
                Some(_) | None => return Err(KeySetError::Ambiguous),
            }
        }
        let only = match usable.as_slice() {
            [] => return Err(KeySetError::Empty),
            [jwk] => DecodingKey::from_jwk(jwk).ok(),
            _ => None,
        };
        let mut source = [0; 32];
        source.copy_from_slice(digest(&SHA256, json).as_ref());
        Ok(Self { by_kid, only, source })
    }

    /// The key that a token names; without a name, the only one.
    pub fn find(&self, kid: Option<&str>) -> Option<&DecodingKey> {
        match kid {
            Some(kid) => self.by_kid.get(kid),
            None => self.only.as_ref(),
        }
    }
}

fn can_verify_ps256(jwk: &Jwk) -> bool {
    let for_signatures = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let for_ps256 = matches!(jwk.common.key_algorithm, None | Some(KeyAlgorithm::PS256));
    matches!(jwk.algorithm, AlgorithmParameters::RSA(_)) && for_signatures && for_ps256
}

fn modulus_bits(jwk: &Jwk) -> usize {
    let AlgorithmParameters::RSA(parameters) = &jwk.algorithm else {
        return 0;
    };
    let modulus = URL_SAFE_NO_PAD.decode(&parameters.n).unwrap_or_default();
    let significant = modulus.iter().skip_while(|byte| **byte == 0);
    significant.count() * 8
}

/// Where the set comes from.
#[derive(Debug)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// The authorization server's `jwks_uri`.
    Url(Remote),
}

/// The current key set and how to renew it.
pub struct Jwks {
    origin: Origin,
    current: ArcSwapOption<KeySet>,
}

impl Jwks {
    /// A source that has not been read yet.
    pub fn new(origin: Origin) -> Self {
        Self { origin, current: ArcSwapOption::empty() }
    }

    /// Reads the origin once and swaps the set in; the old one stays if anything is wrong. Returns
    /// whether the set is another one than before.
    pub async fn refresh(&self) -> Result<bool, KeySetError> {
        let json = match &self.origin {
            Origin::File(path) => tokio::fs::read(path).await?,
            Origin::Url(remote) => {
                let answer = remote.get(&[]).await?;
                if answer.status != http::StatusCode::OK {
                    return Err(RemoteError::Status(answer.status).into());
                }
                answer.body
            }
        };
        Ok(self.replace(KeySet::parse(&json)?))
    }

    /// Takes a set that was read elsewhere. Returns whether it is another one than before.
    pub fn replace(&self, keys: KeySet) -> bool {
        let source = keys.source;
        let before = self.current.swap(Some(Arc::new(keys)));
        before.is_none_or(|before| before.source != source)
    }

    /// The set in force, if one was ever read.
    pub fn current(&self) -> Option<Arc<KeySet>> {
        self.current.load_full()
    }

    /// Whether `keys` is still the set in force.
    pub fn is_current(&self, keys: &Arc<KeySet>) -> bool {
        self.current.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, keys))
    }
}
