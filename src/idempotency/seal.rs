//! The secrets of a store: what ids and fingerprints are keyed with, and what answers are sealed with.
//!
//! All of them come from the 32 bytes of the key file by HKDF (RFC 5869, SHA-256). Answers are sealed
//! with AES-256-GCM under a random nonce, bound to the operation and the expiry under which they are
//! kept: a record that was moved or prolonged does not open. Without a key file the secrets are known to
//! everybody, and nothing is sealed: then no answer is kept either (`record`).

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{hkdf, hmac};

/// Bytes of a key file's key.
pub const KEY_LENGTH: usize = 32;

const SALT: &[u8] = b"portaria idempotency 1";
const WITHOUT_KEY: &[u8; KEY_LENGTH] = b"portaria keeps no answer of this";

/// The secrets.
pub struct Secrets {
    operations: hmac::Key,
    contents: hmac::Key,
    answers: Option<RandomizedNonceKey>,
    /// Tells a store of these secrets from another's, and says nothing of them.
    check: [u8; KEY_LENGTH],
}

/// Two are equal if what one of them sealed opens with the other.
impl PartialEq for Secrets {
    fn eq(&self, other: &Self) -> bool {
        // Not in constant time: it is no secret, and stands in the store's file as it is.
        self.check == other.check
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// Derives the secrets.
    pub fn new(key: Option<&[u8; KEY_LENGTH]>) -> Result<Self, Unspecified> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT);
        let root = salt.extract(key.unwrap_or(WITHOUT_KEY));
        let derived = |purpose: &'static str| -> Result<[u8; KEY_LENGTH], Unspecified> {
            let mut bytes = [0; KEY_LENGTH];
            root.expand(&[purpose.as_bytes()], hkdf::HKDF_SHA256)?.fill(&mut bytes)?;
            Ok(bytes)
        };
        let keyed = |bytes: [u8; KEY_LENGTH]| hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        let answers = match key {
            // Random nonces of 96 bits do for 2^32 records under one key (NIST SP 800-38D section 8.3).
            Some(_) => Some(RandomizedNonceKey::new(&AES_256_GCM, &derived("answers")?)?),
            None => None,
        };
        Ok(Self {
            operations: keyed(derived("operations")?),
            contents: keyed(derived("contents")?),
            answers,
            check: derived("check")?,
        })
    }

    pub(super) fn of_operations(&self) -> &hmac::Key {
        &self.operations
    }

    pub(super) fn of_contents(&self) -> &hmac::Key {
        &self.contents
    }

    pub(super) fn check(&self) -> &[u8] {
        &self.check
    }

    /// Whether answers can be sealed, and so may be kept.
    pub(super) fn can_seal(&self) -> bool {
        self.answers.is_some()
    }

    /// Seals a record, if there is a key; `bound_to` must be the same when it is opened.
    pub(super) fn seal(
        &self,
        bound_to: &[u8],
        mut record: Vec<u8>,
    ) -> Result<Vec<u8>, Unspecified> {
        let Some(answers) = &self.answers else {
            // Hash and status only, for without a key no answer comes here (`can_seal`).
            return Ok(record);
        };
        let nonce = answers.seal_in_place_append_tag(Aad::from(bound_to), &mut record)?;
        Ok([nonce.as_ref().as_slice(), &record].concat())
    }

    /// Opens a sealed record.
    pub(super) fn open(
        &self,
        bound_to: &[u8],
        mut sealed: Vec<u8>,
    ) -> Result<Vec<u8>, Unspecified> {
        let Some(answers) = &self.answers else {
            return Ok(sealed);
        };
        let (nonce, record) = sealed.split_at_mut_checked(NONCE_LEN).ok_or(Unspecified)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce)?;
        Ok(answers.open_in_place(nonce, Aad::from(bound_to), record)?.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_where_it_was_bound() {
        let secrets = Secrets::new(Some(&[1; 32])).unwrap();
        let sealed = secrets.seal(b"here", b"a quote".to_vec()).unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"a quote"));
        assert_eq!(secrets.open(b"here", sealed.clone()).unwrap(), b"a quote");
        assert!(secrets.open(b"there", sealed.clone()).is_err());
        let other = Secrets::new(Some(&[2; 32])).unwrap();
        assert!(other.open(b"here", sealed.clone()).is_err());
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(secrets.open(b"here", changed).is_err(), "{position}");
        }
        assert!(secrets.open(b"here", Vec::new()).is_err());
        let again = secrets.seal(b"here", b"a quote".to_vec()).unwrap();
        assert_ne!(sealed, again, "a nonce is used once");
    }

    #[test]
    fn secrets_are_equal_by_their_key() {
        let of = |byte| Secrets::new(Some(&[byte; 32])).unwrap();
        assert!(of(1) == of(1) && of(1) != of(2));
        assert!(Secrets::new(None).unwrap() != of(1));
        assert!(!Secrets::new(None).unwrap().can_seal());
    }
}
