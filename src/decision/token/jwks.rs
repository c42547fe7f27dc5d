//! The key sets of authorization servers (RFC 7517): what a set says. Where it comes from, when it is read again and for
//! how long the last good one counts is `services::key_sets`'s.
//!
//! Keys that cannot verify a token here are left out, as RFC 7517 section 5 has it: another type, use,
//! operation or algorithm, too short, malformed, or without a name among several. Keys may share a `kid` (RFC
//! 7517 section 4.5 has an example of two types): an algorithm that two different ones of them could verify is
//! verified by neither. A set that has too many keys is no set.
//!
//! The library reads a key's members and not whether they stand twice, are long enough, or fit together: that is
//! judged here.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{
    AlgorithmParameters, Jwk, KeyOperations, PublicKeyUse, RSAKeyParameters, ThumbprintHash,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use super::TokenError;
use super::algorithm::Algorithm;
use crate::strict;

/// Keys of a set. Authorization servers have a handful.
const MOST_KEYS: usize = 100;
/// Bytes of a `kid`: what is longer names no key.
pub const LONGEST_KID: usize = 256;
const SHORTEST_RSA_BITS: usize = 2048;
const LONGEST_RSA_BITS: usize = 8192;

/// Why a text is no key set.
#[derive(Debug, Error)]
pub enum KeySetError {
    /// Not a JSON Web Key Set.
    #[error("not a JSON Web Key Set: {0}")]
    Malformed(serde_json::Error),
    /// More keys than any authorization server has reason to have.
    #[error("more than {MOST_KEYS} keys")]
    TooMany,
    /// Every usable key has another one of its `kid` and algorithms beside it.
    #[error("no key can be told from another one of its kid")]
    Ambiguous,
    /// No key of the set can verify a token.
    #[error("no key can verify a token of the accepted algorithms")]
    Empty,
}

impl KeySetError {
    /// The name in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
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
    /// Another key has its `kid`, and verifies the same algorithms.
    #[error("of a kid that another key has, too")]
    Ambiguous,
    /// Its `kid` is too long.
    #[error("its kid is too long")]
    LongName,
}

/// A key that can verify.
#[derive(Clone)]
pub struct VerifyingKey {
    verifying: DecodingKey,
    algorithms: Vec<Algorithm>,
    /// RFC 7638: what tells one key from another.
    thumbprint: String,
}

impl VerifyingKey {
    /// Verifies a signature in base64url. A key declared for another algorithm verifies nothing.
    ///
    /// # Errors
    ///
    /// [`TokenError::Algorithm`] if the key is not for this one, [`TokenError::Signature`] if the signature
    /// is not its own or is no base64url. Both are refusals.
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
        // `false` and an error alike: a signature that cannot be decoded is as bad as one that does not fit.
        match jsonwebtoken::crypto::verify(signature, message, key, algorithm) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(TokenError::Signature),
        }
    }

    fn is_same_as(&self, other: &Self) -> bool {
        // A key that was republished for other algorithms is another: what it verified was judged by the old
        // ones.
        self.thumbprint == other.thumbprint && self.algorithms == other.algorithms
    }
}

/// What became of one key of a set.
pub struct Surveyed {
    /// Its name, if it has a readable one.
    pub kid: Option<String>,
    /// What it can verify, or why it is not used.
    pub verdict: Result<VerifyingKey, LeftOut>,
    /// What it could verify, if no other key of its `kid` could.
    pub ambiguous: Vec<Algorithm>,
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
    by_kid: HashMap<String, KeysOfName>,
    only: Option<KeysOfName>,
}

/// The keys of one name, of different algorithms.
#[derive(Clone, Default)]
pub struct KeysOfName {
    keys: Vec<VerifyingKey>,
    /// What two of the keys with this name verify.
    ambiguous: Vec<Algorithm>,
}

impl KeysOfName {
    /// Adds a key, unless the same one is there.
    fn add(&mut self, key: Option<VerifyingKey>, ambiguous: &[Algorithm]) {
        let is_new = |key: &VerifyingKey| !self.keys.iter().any(|known| known.is_same_as(key));
        let new = key.filter(is_new);
        self.keys.extend(new);
        let known = self.ambiguous.clone();
        self.ambiguous.extend(ambiguous.iter().filter(|algorithm| !known.contains(algorithm)));
    }

    /// The key that verifies an algorithm. Where that is left open, nothing can be decided.
    ///
    /// # Errors
    ///
    /// [`TokenError::NoKeys`] if two keys of the name verify it: cannot decide. [`TokenError::Algorithm`], a
    /// refusal, if none does.
    pub fn key(&self, algorithm: Algorithm) -> Result<&VerifyingKey, TokenError> {
        if self.ambiguous.contains(&algorithm) {
            // 503 and not 401: the token may be good, and the fault is the set's.
            return Err(TokenError::NoKeys);
        }
        let key = self.keys.iter().find(|key| key.algorithms.contains(&algorithm));
        key.ok_or(TokenError::Algorithm)
    }

    fn is_same_as(&self, other: &Self) -> bool {
        let has = |key: &VerifyingKey| other.keys.iter().any(|other| key.is_same_as(other));
        self.keys.len() == other.keys.len()
            && self.keys.iter().all(has)
            && self.ambiguous == other.ambiguous
    }
}

/// A JWK Set (RFC 7517 section 5). The log says of what is none that it is no `struct Document`.
#[derive(Deserialize)]
#[serde(expecting = "struct Document")]
struct JwkSet {
    keys: Vec<Box<RawValue>>,
}

impl KeySet {
    /// Parses a JSON Web Key Set, for tokens of the `accepted` algorithms.
    ///
    /// # Errors
    ///
    /// As [`survey`]; [`KeySetError::Empty`] if no key can be used, [`KeySetError::Ambiguous`] if none can be
    /// told from another one. What that makes of the last good set is decided by whoever keeps it.
    pub fn parse(json: &[u8], accepted: &[Algorithm]) -> Result<Self, KeySetError> {
        let mut by_kid: HashMap<String, KeysOfName> = HashMap::new();
        let mut all = KeysOfName::default();
        for Surveyed { kid, verdict, ambiguous } in survey(json, accepted)? {
            let key = verdict.ok();
            // A name of which nothing is usable is unknown, so that a lookup may find what is new under it.
            if let Some(kid) = kid.filter(|_| key.is_some() || !ambiguous.is_empty()) {
                by_kid.entry(kid).or_default().add(key.clone(), &ambiguous);
            }
            all.add(key, &ambiguous);
        }
        match (all.keys.len(), all.ambiguous.is_empty()) {
            (0, true) => Err(KeySetError::Empty),
            // Told apart from `Empty`, which withdraws the keys: this set says only that it cannot be used.
            (0, false) => Err(KeySetError::Ambiguous),
            // RFC 7515 section 4.1.4 has `kid` optional: where there is one key, it is the one.
            (1, true) => Ok(Self { by_kid, only: Some(all) }),
            _ => Ok(Self { by_kid, only: None }),
        }
    }

    /// The keys that a token names; without a name, the only one.
    pub fn find(&self, kid: Option<&str>) -> Option<&KeysOfName> {
        match kid {
            Some(kid) => self.by_kid.get(kid),
            // Never tried one by one: each try is a signature check that a stranger asks for.
            None => self.only.as_ref(),
        }
    }

    /// Whether another set has the same usable keys.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let same = |a: Option<&KeysOfName>, b: Option<&KeysOfName>| match (a, b) {
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
///
/// # Errors
///
/// [`KeySetError::Malformed`] or [`KeySetError::TooMany`]. A key that cannot be used is no error: its verdict
/// says why.
pub fn survey(json: &[u8], accepted: &[Algorithm]) -> Result<Vec<Surveyed>, KeySetError> {
    let document: JwkSet = serde_json::from_slice(json).map_err(KeySetError::Malformed)?;
    // Before any key is judged: comparing each with the others takes the square of their number.
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
    tell_apart(&mut surveyed);
    Ok(surveyed)
}

/// What two different keys of one `kid` could verify is verified by neither.
fn tell_apart(surveyed: &mut [Surveyed]) {
    let named =
        // Copied before any verdict is changed: which key is met first must decide nothing.
        surveyed.iter().filter_map(|key| Some((key.kid.clone()?, key.verdict.clone().ok()?)));
    let named: Vec<(String, VerifyingKey)> = named.collect();
    for Surveyed { kid, verdict, ambiguous } in surveyed {
        let (Some(kid), Ok(key)) = (kid.as_ref(), verdict.as_mut()) else {
            continue;
        };
        let is_other = |(name, other): &&(String, VerifyingKey)| {
            name == kid && other.thumbprint != key.thumbprint
        };
        let others: Vec<&VerifyingKey> =
            named.iter().filter(is_other).map(|(_, other)| other).collect();
        let is_told = |algorithm: &Algorithm| {
            !others.iter().any(|other| other.algorithms.contains(algorithm))
        };
        let (told, left): (Vec<_>, Vec<_>) = key.algorithms.iter().copied().partition(is_told);
        *ambiguous = left;
        if told.is_empty() {
            *verdict = Err(LeftOut::Ambiguous);
        } else {
            key.algorithms = told;
        }
    }
}

fn judge(key: &RawValue, accepted: &[Algorithm]) -> Surveyed {
    // Each key by itself, so that one that is malformed does not take the others along (RFC 7517 section 5).
    let read = strict::value(key.get().as_bytes());
    let Ok(jwk) = read.and_then(Jwk::deserialize) else {
        return Surveyed { kid: None, verdict: Err(LeftOut::Malformed), ambiguous: Vec::new() };
    };
    let verdict = usable(&jwk, accepted);
    let (kid, verdict) = match jwk.common.key_id {
        Some(kid) if kid.len() > LONGEST_KID => (None, verdict.and(Err(LeftOut::LongName))),
        kid => (kid, verdict),
    };
    Surveyed { kid, verdict, ambiguous: Vec::new() }
}

fn usable(jwk: &Jwk, accepted: &[Algorithm]) -> Result<VerifyingKey, LeftOut> {
    // The library reads types that it does not know as `Other` and says nothing.
    if let AlgorithmParameters::Other(_) = jwk.algorithm {
        return Err(LeftOut::Malformed);
    }
    let common = &jwk.common;
    // RFC 7517 sections 4.2 and 4.3: both are optional, and without them a key is for anything.
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
        // The library's own way looks at neither length nor exponent, and keeps zeros before the modulus.
        AlgorithmParameters::RSA(key) => rsa(key)?,
        _ => DecodingKey::from_jwk(jwk).map_err(|_| LeftOut::Malformed)?,
    };
    let thumbprint = jwk.thumbprint(ThumbprintHash::SHA256).map_err(|_| LeftOut::Malformed)?;
    Ok(VerifyingKey { verifying, algorithms, thumbprint })
}

/// RSA keys must be long enough to hold, short enough to verify with in time, and of an exponent above
/// 2^16 (FIPS 186-5 section 5.1): small ones have made forgeries out of careless implementations. Some
/// authorization servers write a zero before the modulus, which means nothing (RFC 7518 section 6.3.1.1).
fn rsa(key: &RSAKeyParameters) -> Result<DecodingKey, LeftOut> {
    let (modulus, exponent) = (number(&key.n)?, number(&key.e)?);
    let fits = (SHORTEST_RSA_BITS..=LONGEST_RSA_BITS).contains(&bits(&modulus));
    // 17 bits or more: 65537, the usual one, has 17.
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
    use serde_json::{Value, json};

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
    fn a_key_of_which_a_member_stands_twice_is_left_out_alone() {
        let doubled = rsa_of(2048).to_string().replacen('{', "{\"e\":\"AQAB\",", 1);
        let other = with("kid", json!("b"));
        let set = KeySet::parse(format!("{{\"keys\":[{doubled},{other}]}}").as_bytes(), &ACCEPTED);
        let set = set.unwrap();
        assert!(set.find(Some("a")).is_none() && set.find(Some("b")).is_some());
    }

    #[test]
    fn keys_of_one_kid_are_told_apart_by_type_and_algorithm() {
        use Algorithm::{Es256, Ps256, Ps384};
        let accepted = [Ps256, Ps384, Es256];
        let ec = json!({"kty": "EC", "kid": "a", "crv": "P-256", "x": "AQ", "y": "AQ"});
        let of_alg = |alg: &str, mut key: Value| {
            key["alg"] = json!(alg);
            key
        };
        let (one, two) = (rsa_of(2048), rsa_of(3072));
        let (good, open) = (Ok(()), Err(TokenError::NoKeys));
        for (keys, expected) in [
            // The same key twice, as it is and as it was before it had an algorithm.
            (vec![one.clone(), one.clone()], [good, good, Err(TokenError::Algorithm)]),
            (
                vec![one.clone(), of_alg("PS256", one.clone())],
                [good, good, Err(TokenError::Algorithm)],
            ),
            // RFC 7517 section 4.5: RSA and EC under one name.
            (vec![one.clone(), ec.clone()], [good, good, good]),
            (vec![one.clone(), two.clone(), ec], [open, open, good]),
            (
                vec![of_alg("PS256", one.clone()), of_alg("PS384", two.clone())],
                [good, good, Err(TokenError::Algorithm)],
            ),
            (
                vec![of_alg("PS256", one.clone()), two.clone()],
                [open, good, Err(TokenError::Algorithm)],
            ),
        ] {
            let text = json!({ "keys": keys }).to_string();
            let set = KeySet::parse(text.as_bytes(), &accepted).unwrap();
            let named = set.find(Some("a")).unwrap();
            let found = accepted.map(|algorithm| named.key(algorithm).map(drop));
            assert_eq!(found, expected, "{text}");
        }
        let both = json!({"keys": [&one, &two, &with("kid", json!("b"))]}).to_string();
        let surveyed = survey(both.as_bytes(), &accepted).unwrap();
        let left_out = |key: &Surveyed| key.verdict.as_ref().err().copied();
        let told: Vec<_> = surveyed.iter().map(left_out).collect();
        assert_eq!(told, [Some(LeftOut::Ambiguous), Some(LeftOut::Ambiguous), None]);
        let twice = json!({"keys": [&one, &one]}).to_string();
        let set = KeySet::parse(twice.as_bytes(), &accepted).unwrap();
        assert!(set.find(None).is_some(), "it is a single key");
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
        assert!(matches!(
            KeySet::parse(br#"{"keys":[],"keys":[]}"#, &ACCEPTED),
            Err(KeySetError::Malformed(_))
        ));
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
