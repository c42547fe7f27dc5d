//! The key sets of authorization servers (RFC 7517): what a set says, where it comes from ([`origin`]),
//! when it is read again ([`pace`]), for how long the last good one counts ([`source`]) and what is kept of it
//! for the next start ([`kept`]).
//!
//! Keys that cannot verify a token here are left out, as RFC 7517 section 5 has it: another type, use,
//! operation or algorithm, too short, malformed, or without a name among several. A set of which two usable
//! keys have one `kid`, or that has too many keys, is no set.

mod flight;
pub mod kept;
pub mod origin;
pub mod pace;
pub mod source;

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{
    AlgorithmParameters, Jwk, KeyOperations, PublicKeyUse, RSAKeyParameters, ThumbprintHash,
};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::TokenError;
use super::algorithm::Algorithm;
use crate::remote::RemoteError;
pub use origin::Origin;
pub use pace::Pace;
pub use source::{Cause, Event, KeySource};

/// Keys of a set. Authorization servers have a handful.
const MOST_KEYS: usize = 100;
/// Bytes of a `kid`: what is longer names no key.
const LONGEST_KID: usize = 256;
const SHORTEST_RSA_BITS: usize = 2048;
const LONGEST_RSA_BITS: usize = 8192;

/// Why a key set was not taken.
#[derive(Debug, Error)]
pub enum KeySetError {
    /// The file cannot be read.
    #[error("cannot read the file: {0}")]
    File(#[from] std::io::Error),
    /// The authorization server gave no usable answer.
    #[error("cannot fetch: {0}")]
    Remote(#[from] RemoteError),
    /// The issuer's metadata is not JSON, is another issuer's, or names no acceptable `jwks_uri`.
    #[error("the issuer's metadata {0}")]
    Metadata(&'static str),
    /// Not a JSON Web Key Set.
    #[error("not a JSON Web Key Set: {0}")]
    Malformed(serde_json::Error),
    /// More keys than any authorization server has reason to have.
    #[error("more than {MOST_KEYS} keys")]
    TooMany,
    /// Two usable keys with one `kid`.
    #[error("a kid stands twice")]
    Ambiguous,
    /// No key of the set can verify a token.
    #[error("no key can verify a token of the accepted algorithms")]
    Empty,
}

impl KeySetError {
    /// The name in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Remote(error) => error.reason(),
            Self::Metadata(_) => "metadata",
            Self::Malformed(_) => "malformed",
            Self::TooMany => "too_many",
            Self::Ambiguous => "ambiguous",
            Self::Empty => "empty",
        }
    }
}

/// Why a key of a set is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LeftOut {
    /// Not a JSON Web Key with the members of its type.
    #[error("malformed, or of a type that is not understood")]
    Malformed,
    /// `use` is not `sig`, or `key_ops` lacks `verify`.
    #[error("not for verifying signatures")]
    Purpose,
    /// No accepted algorithm is one of its type, curve and `alg`.
    #[error("of no accepted algorithm")]
    Algorithm,
    /// RSA shorter than 2048 or longer than 8192 bits, or with a small public exponent.
    #[error("too weak, or too long to verify with")]
    Size,
    /// No `kid`, while others could be meant.
    #[error("without a kid among several keys")]
    Unnamed,
    /// Its `kid` is too long.
    #[error("its kid is too long")]
    LongName,
}

/// A key that can verify.
#[derive(Clone)]
pub struct Key {
    verifying: DecodingKey,
    algorithms: Vec<Algorithm>,
    /// RFC 7638: what tells one key from another.
    thumbprint: String,
}

impl Key {
    /// Verifies a signature in base64url. A key declared for another algorithm verifies nothing.
    pub fn verify(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &str,
    ) -> Result<(), TokenError> {
        if !self.algorithms.contains(&algorithm) {
            return Err(TokenError::Algorithm);
        }
        let (key, algorithm) = (&self.verifying, algorithm.library());
        match jsonwebtoken::crypto::verify(signature, message, key, algorithm) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(TokenError::Signature),
        }
    }

    fn is_same_as(&self, other: &Self) -> bool {
        self.thumbprint == other.thumbprint && self.algorithms == other.algorithms
    }
}

/// What became of one key of a set.
pub struct Surveyed {
    /// Its name, if it has a readable one.
    pub kid: Option<String>,
    /// What it can verify, or why it is not used.
    pub verdict: Result<Key, LeftOut>,
}

impl Surveyed {
    /// The algorithms that it verifies; nothing if it is left out.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        let key = self.verdict.as_ref().ok();
        key.into_iter().flat_map(|key| key.algorithms.iter().copied())
    }
}

/// The usable keys of a set: named ones, or a single one that needs no name.
pub struct KeySet {
    by_kid: HashMap<String, Key>,
    only: Option<Key>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Parses a JSON Web Key Set, for tokens of the `accepted` algorithms.
    pub fn parse(json: &[u8], accepted: &[Algorithm]) -> Result<Self, KeySetError> {
        let surveyed = survey(json, accepted)?;
        let usable = surveyed.into_iter().filter_map(|key| Some((key.kid, key.verdict.ok()?)));
        let usable: Vec<(Option<String>, Key)> = usable.collect();
        let only = match usable.as_slice() {
            [] => return Err(KeySetError::Empty),
            [(_, key)] => Some(key.clone()),
            _ => None,
        };
        let mut by_kid = HashMap::new();
        for (kid, key) in usable {
            if kid.is_some_and(|kid| by_kid.insert(kid, key).is_some()) {
                return Err(KeySetError::Ambiguous);
            }
        }
        Ok(Self { by_kid, only })
    }

    /// The key that a token names; without a name, the only one.
    pub fn find(&self, kid: Option<&str>) -> Option<&Key> {
        match kid {
            Some(kid) => self.by_kid.get(kid),
            None => self.only.as_ref(),
        }
    }

    /// Whether another set has the same usable keys.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let same = |a: Option<&Key>, b: Option<&Key>| match (a, b) {
            (None, None) => true,
            (Some(a), Some(b)) => a.is_same_as(b),
            _ => false,
        };
        self.by_kid.len() == other.by_kid.len()
            && self.by_kid.iter().all(|(kid, key)| same(Some(key), other.by_kid.get(kid)))
            && same(self.only.as_ref(), other.only.as_ref())
    }
}

/// What becomes of each key of a set.
pub fn survey(json: &[u8], accepted: &[Algorithm]) -> Result<Vec<Surveyed>, KeySetError> {
    let document: Document = serde_json::from_slice(json).map_err(KeySetError::Malformed)?;
    if document.keys.len() > MOST_KEYS {
        return Err(KeySetError::TooMany);
    }
    let mut surveyed: Vec<Surveyed> =
        document.keys.iter().map(|key| judge(key, accepted)).collect();
    if surveyed.iter().filter(|key| key.verdict.is_ok()).count() > 1 {
        for key in surveyed.iter_mut().filter(|key| key.kid.is_none() && key.verdict.is_ok()) {
            key.verdict = Err(LeftOut::Unnamed);
        }
    }
    Ok(surveyed)
}

fn judge(key: &Value, accepted: &[Algorithm]) -> Surveyed {
    let Ok(jwk) = Jwk::deserialize(key) else {
        return Surveyed { kid: None, verdict: Err(LeftOut::Malformed) };
    };
    let verdict = usable(&jwk, accepted);
    let kid = jwk.common.key_id;
    match kid {
        Some(kid) if kid.len() > LONGEST_KID => {
            Surveyed { kid: None, verdict: verdict.and(Err(LeftOut::LongName)) }
        }
        kid => Surveyed { kid, verdict },
    }
}

fn usable(jwk: &Jwk, accepted: &[Algorithm]) -> Result<Key, LeftOut> {
    if let AlgorithmParameters::Other(_) = jwk.algorithm {
        return Err(LeftOut::Malformed);
    }
    let common = &jwk.common;
    let is_of_use = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
    let operations = common.key_operations.as_ref();
    if !is_of_use || !operations.is_none_or(|list| list.contains(&KeyOperations::Verify)) {
        return Err(LeftOut::Purpose);
    }
    let suits = |algorithm: &Algorithm| algorithm.suits(&jwk.algorithm, common.key_algorithm);
    let algorithms: Vec<Algorithm> = accepted.iter().copied().filter(suits).collect();
    if algorithms.is_empty() {
        return Err(LeftOut::Algorithm);
    }
    let verifying = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) => rsa(key)?,
        _ => DecodingKey::from_jwk(jwk).map_err(|_| LeftOut::Malformed)?,
    };
    let thumbprint = jwk.thumbprint(ThumbprintHash::SHA256).map_err(|_| LeftOut::Malformed)?;
    Ok(Key { verifying, algorithms, thumbprint })
}

/// RSA keys must be long enough to hold, short enough to verify with in time, and of an exponent above
/// 2^16 (FIPS 186-5 section 5.1): small ones have made forgeries out of careless implementations. Some
/// authorization servers write a zero before the modulus, which means nothing (RFC 7518 section 6.3.1.1).
fn rsa(key: &RSAKeyParameters) -> Result<DecodingKey, LeftOut> {
    let (modulus, exponent) = (number(&key.n)?, number(&key.e)?);
    let fits = (SHORTEST_RSA_BITS..=LONGEST_RSA_BITS).contains(&bits(&modulus));
    if !fits || bits(&exponent) <= 16 {
        return Err(LeftOut::Size);
    }
    Ok(DecodingKey::from_rsa_raw_components(&modulus, &exponent))
}

/// A number without leading zeros.
fn number(text: &str) -> Result<Vec<u8>, LeftOut> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| LeftOut::Malformed)?;
    Ok(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
}

fn bits(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |byte| byte.leading_zeros() as usize);
    (number.len() * 8).saturating_sub(unused)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ACCEPTED: [Algorithm; 2] = [Algorithm::Ps256, Algorithm::Es256];

    fn rsa_of(bits: usize) -> Value {
        let modulus = [vec![0x80 >> (7 - (bits - 1) % 8)], vec![1; (bits - 1) / 8]].concat();
        json!({"kty": "RSA", "kid": "a", "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB"})
    }

    fn with(member: &str, value: Value) -> Value {
        let mut key = rsa_of(2048);
        key[member] = value;
        key
    }

    fn without(member: &str) -> Value {
        let mut key = rsa_of(2048);
        key.as_object_mut().unwrap().remove(member);
        key
    }

    fn parse(keys: &[Value]) -> Result<KeySet, KeySetError> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), &ACCEPTED)
    }

    #[test]
    fn keys_that_cannot_verify_a_token_here_are_left_out() {
        use LeftOut as L;
        let on_curve = |curve| json!({"kty": "EC", "crv": curve, "x": "AQ", "y": "AQ"});
        let zeros = format!("AAAA{}", rsa_of(2048)["n"].as_str().unwrap());
        for (key, expected) in [
            (rsa_of(2048), Ok(())),
            (rsa_of(8192), Ok(())),
            (with("n", json!(zeros)), Ok(())),
            (rsa_of(2047), Err(L::Size)),
            (rsa_of(8193), Err(L::Size)),
            (with("e", json!("AQ")), Err(L::Size)),
            (with("e", json!("Aw")), Err(L::Size)),
            (with("e", json!("AAAD")), Err(L::Size)),
            (with("n", json!("=")), Err(L::Malformed)),
            (without("n"), Err(L::Malformed)),
            (with("kty", json!("AKP")), Err(L::Malformed)),
            (with("kid", json!(1)), Err(L::Malformed)),
            (with("kid", json!("k".repeat(257))), Err(L::LongName)),
            (with("use", json!("sig")), Ok(())),
            (with("use", json!("enc")), Err(L::Purpose)),
            (with("key_ops", json!(["verify"])), Ok(())),
            (with("key_ops", json!(["encrypt"])), Err(L::Purpose)),
            (with("key_ops", json!([])), Err(L::Purpose)),
            (with("alg", json!("PS256")), Ok(())),
            (with("alg", json!("PS384")), Err(L::Algorithm)),
            (with("alg", json!("RS256")), Err(L::Algorithm)),
            (with("alg", json!("RSA-OAEP")), Err(L::Algorithm)),
            (with("alg", json!("unheard")), Err(L::Algorithm)),
            (json!({"kty": "oct", "k": "c2VjcmV0"}), Err(L::Algorithm)),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": "AQ"}), Err(L::Algorithm)),
            (on_curve("P-256"), Ok(())),
            (on_curve("P-384"), Err(L::Algorithm)),
            (on_curve("secp256k1"), Err(L::Malformed)),
            (json!("no key"), Err(L::Malformed)),
        ] {
            let set = json!({ "keys": [key] }).to_string();
            let mut surveyed = survey(set.as_bytes(), &ACCEPTED).unwrap();
            assert_eq!(surveyed.pop().unwrap().verdict.map(drop), expected, "{key}");
        }
    }

    #[test]
    fn a_key_without_a_name_counts_only_alone() {
        let unnamed = without("kid");
        let alone = parse(&[unnamed.clone(), json!({"kty": "oct", "k": "AQ"})]).unwrap();
        assert!(alone.find(None).is_some() && alone.find(Some("a")).is_none());
        let both = parse(&[unnamed.clone(), rsa_of(2048)]).unwrap();
        assert!(both.find(Some("a")).is_some());
        assert!(matches!(parse(&[unnamed.clone(), unnamed]), Err(KeySetError::Empty)));
    }

    #[test]
    fn what_is_no_set_is_refused_whole() {
        assert!(matches!(parse(&[rsa_of(2048), rsa_of(3072)]), Err(KeySetError::Ambiguous)));
        assert!(matches!(parse(&[]), Err(KeySetError::Empty)));
        assert!(matches!(parse(&vec![rsa_of(2048); 101]), Err(KeySetError::TooMany)));
        for bad in ["", "[1]", "{}", r#"{"keys":{}}"#, "{\"keys\":[]} x", "\u{feff}{\"keys\":[]}"] {
            let parsed = KeySet::parse(bad.as_bytes(), &ACCEPTED);
            assert!(matches!(parsed, Err(KeySetError::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn sets_are_the_same_if_their_usable_keys_are() {
        let other = with("kid", json!("b"));
        let before = parse(&[rsa_of(2048), other.clone()]).unwrap();
        let encryption = json!({"kty": "RSA", "use": "enc", "n": "AQ", "e": "AQAB"});
        let moved = parse(&[other.clone(), encryption, rsa_of(2048)]).unwrap();
        assert!(before.is_same_as(&moved));
        for keys in [
            vec![rsa_of(2048)],
            vec![rsa_of(2048), with("kid", json!("c"))],
            vec![rsa_of(3072), other.clone()],
            vec![rsa_of(2048), other, with("kid", json!("c"))],
        ] {
            assert!(!before.is_same_as(&parse(&keys).unwrap()), "{keys:?}");
        }
        assert!(!parse(&[without("kid")]).unwrap().is_same_as(&parse(&[rsa_of(2048)]).unwrap()));
    }
}
