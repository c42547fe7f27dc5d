//! The tokens that a thread met last.
//!
//! A client sends one token with request after request. To find it among all that are kept takes the SHA-256 of its
//! text and a look into a cache that threads share; a thread remembers a few and needs neither. What it remembers a
//! token by is a keyed hash (GMAC under a key of the process, which is never told to anybody),
//! not the text; and it remembers that the token was verified, by which keys, and nothing else. Whether those keys still
//! count, whether the token has expired, was revoked, or is bound to this connection is asked every time.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;

use super::VerifiedToken;
use super::cache::Signed;
use crate::digest::Digest;

/// Tokens that a thread remembers. A power of two.
const MOST: usize = 64;

/// A keyed hash of a token's text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct TokenMark([u8; 16]);

/// A token that was verified.
#[derive(Clone)]
pub(super) struct RememberedToken {
    pub(super) digest: Digest,
    pub(super) token: Arc<VerifiedToken>,
    pub(super) signed: Signed,
}

static KEY: LazyLock<Option<LessSafeKey>> = LazyLock::new(|| {
    let mut key = [0; 16];
    // Without randomness nothing is remembered, which costs time and no safety.
    rand::fill(&mut key).ok()?;
    UnboundKey::new(&AES_128_GCM, &key).ok().map(LessSafeKey::new)
});

thread_local! {
    /// By the mark's first bits; the newer takes the place of the older.
    static MET: RefCell<Vec<Option<(TokenMark, u64, RememberedToken)>>> =
        RefCell::new(std::iter::repeat_with(|| None).take(MOST).collect());
}

impl TokenMark {
    /// The mark of a text; none, if there is no key to make it with.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        // The same for each: a hash is what is wanted, and nobody sees two of them.
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let key = KEY.as_ref()?;
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(text), &mut []).ok()?;
        tag.as_ref().try_into().ok().map(Self)
    }

    fn place(self) -> usize {
        // Keyed, so that nobody can choose tokens that push another's out of its place.
        usize::from(self.0.first().copied().unwrap_or(0)) % MOST
    }
}

/// What this thread remembers of a token, of the stage that is told.
pub(super) fn recall(mark: TokenMark, stage: u64) -> Option<RememberedToken> {
    MET.with_borrow(|met| match met.get(mark.place()) {
        // Rules of claims differ between configurations: what one admitted, the next may not.
        Some(Some((known, of, token))) if *known == mark && *of == stage => Some(token.clone()),
        _ => None,
    })
}

/// Remembers a token that was verified.
pub(super) fn remember(mark: TokenMark, stage: u64, known: RememberedToken) {
    MET.with_borrow_mut(|met| {
        if let Some(place) = met.get_mut(mark.place()) {
            *place = Some((mark, stage, known));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_that_of_its_text_alone() {
        let text = "a".repeat(1000);
        let mark = |text: &str| TokenMark::of(text.as_bytes());
        assert!(mark(&text) == mark(&text) && mark(&text).is_some());
        for other in [&text[1..], &format!("{text}a"), &format!("b{}", &text[1..]), ""] {
            assert!(mark(other) != mark(&text), "{}", other.len());
        }
    }
}
