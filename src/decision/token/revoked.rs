//! Tokens that were revoked: refused from now on, whatever their signature or a server's late answer says.
//!
//! A signed token proves itself, and nobody can take that back from it; so what is known of a revocation is
//! remembered until the token would have expired anyway. For an opaque one the authorization server can be
//! asked again: there it is remembered until no answer of before can be kept any more.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::policy::EvictionPolicy;
use url::form_urlencoded;

use super::{TokenError, Tokens, VerifiedToken, jwt};
use crate::digest::{Digest, Hashing};
use crate::identity::OrganisationId;
use crate::moment::Moment;

/// Revoked tokens of each kind that are remembered; the one that was revoked first makes room.
const MOST: u64 = 100_000;

/// How long a token is remembered of which nobody knows how long it lives.
const UNKNOWN_LIFE: Duration = Duration::from_secs(86_400);

/// How long an answer about a token may be under way, and then some: no deadline of a service is longer than half
/// of it.
const UNDER_WAY: Duration = Duration::from_secs(60);

/// Which tokens were revoked, shared with the stage of the next configuration.
pub struct Revoked {
    /// Tokens whose signature was verified, and those that an operator named.
    known: Marks,
    /// Others, which anybody may have made up: apart, so that no flood of them displaces one that was issued.
    alleged: Marks,
    /// Most gateways never see a revocation, and need not look for any.
    any: AtomicBool,
}

type Marks = moka::sync::Cache<Digest, Duration, Hashing>;

impl Default for Revoked {
    fn default() -> Self {
        let marks = || {
            moka::sync::Cache::builder()
                .max_capacity(MOST)
                // The default policy would prefer what is asked for often to a new mark.
                .eviction_policy(EvictionPolicy::lru())
                .expire_after(AsMarked)
                .build_with_hasher(Hashing::default())
        };
        Self { known: marks(), alleged: marks(), any: AtomicBool::new(false) }
    }
}

impl Revoked {
    /// Whether a token was revoked, in this text or, if it is signed, in any other that the same signer signed:
    /// whoever has one of ES256 can write a second signature under it.
    pub(super) fn contain(&self, text: &Digest, signed: Option<&Digest>) -> bool {
        // Acquire: pairs with the Release in `mark`.
        self.any.load(Ordering::Acquire)
            && (self.has(text) || signed.is_some_and(|signed| self.has(signed)))
    }

    fn has(&self, digest: &Digest) -> bool {
        self.known.contains_key(digest) || self.alleged.contains_key(digest)
    }

    /// How many are remembered.
    pub fn count(&self) -> u64 {
        let count = |marks: &Marks| {
            // The library counts late by itself, and a metric must not show what has expired.
            marks.run_pending_tasks();
            marks.entry_count()
        };
        count(&self.known) + count(&self.alleged)
    }

    fn mark(&self, token: Digest, memory: RememberedAs) {
        match memory {
            RememberedAs::Known(time) => self.known.insert(token, time),
            RememberedAs::Alleged(time) => self.alleged.insert(token, time),
        }
        // After the mark, or who sees the flag could miss the mark. Never lowered: marks end by themselves.
        self.any.store(true, Ordering::Release);
    }
}

/// How long a revoked token is remembered, and among which.
#[derive(Clone, Copy)]
enum RememberedAs {
    Known(Duration),
    Alleged(Duration),
}

/// The token of a revocation request, as its digest, and how it must be remembered once it is revoked.
pub struct TokenRevocation {
    digest: Option<Digest>,
    memory: RememberedAs,
}

impl fmt::Debug for TokenRevocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenRevocation(..)")
    }
}

impl Tokens {
    /// Reads the form of a revocation request (RFC 7009 section 2.1). Nothing, if it has more than one token: no
    /// reader should have to choose (RFC 6749 section 3.2).
    pub async fn read_revocation(
        &self,
        form: &[u8],
        caller: &OrganisationId,
        now: Moment,
    ) -> Option<TokenRevocation> {
        // Decoded as the server will decode it: `%2E` is a full stop to both.
        let mut tokens = form_urlencoded::parse(form).filter(|(name, _)| name == "token");
        let token = tokens.next().map(|(_, text)| text);
        if tokens.next().is_some() {
            return None;
        }
        // No token of that length is ever admitted, so there is nothing to remember; the server decides.
        let Some(text) = token.filter(|text| text.len() <= self.limits.longest) else {
            return Some(TokenRevocation {
                digest: None,
                memory: RememberedAs::Alleged(Duration::ZERO),
            });
        };
        // Under one signed text, whoever has an ES256 token can write another signature.
        let named = jwt::Parts::split(&text).map_or(&*text, |parts| parts.signed());
        let digest = Some(Digest::of(named));
        Some(TokenRevocation { digest, memory: self.memory(&text, caller, now).await })
    }

    /// Signed tokens are verified first: a made-up one must not be remembered like one that was issued.
    async fn memory(&self, text: &str, caller: &OrganisationId, now: Moment) -> RememberedAs {
        let answers_end = self.limits.introspection_max_age + UNDER_WAY;
        let is_signed = jwt::Parts::split(text).is_some() && self.issuers.have_keys();
        if !is_signed {
            return RememberedAs::Alleged(answers_end);
        }
        // No mark: a thread must not remember a token that is about to end.
        match self.verify(Digest::of(text), None, text, caller, now).await {
            Ok(token) => RememberedAs::Known(life(&token, now).max(answers_end)),
            // What may come to hold.
            Err(TokenError::NotYetValid | TokenError::UnknownKey) => {
                RememberedAs::Alleged(UNKNOWN_LIFE)
            }
            // It does not hold now and will not: only answers under way could still say otherwise.
            Err(error) if error.is_verdict() => RememberedAs::Alleged(answers_end),
            // Nobody could tell, so it may hold; no access token of the profile lives so long (900 s, section
            // 5.2.2 item 13).
            Err(_) => RememberedAs::Alleged(UNKNOWN_LIFE),
        }
    }

    /// Refuses the token from now on: its authorization server has revoked it, or may have.
    pub fn revoke(&self, revocation: &TokenRevocation) {
        if let Some(digest) = revocation.digest {
            self.revoked.mark(digest, revocation.memory);
        }
    }

    /// Refuses a token from now on, of which somebody says that it was revoked. The digest is of its text, or
    /// of what its signature is over.
    pub fn purge(&self, token: Digest, now: Moment) {
        // Only what is in the cache tells how long: of a digest alone nothing can be verified.
        let known = self.signed.get(&token).map(|cached| cached.token);
        let time = known.as_ref().map_or(UNKNOWN_LIFE, |known| life(known, now));
        // Another text of a token that was seen is the same token.
        let signed = known.and_then(|known| known.signed);
        for digest in [Some(token), signed].into_iter().flatten() {
            self.revoked.mark(digest, RememberedAs::Known(time));
        }
    }

    /// What is known to have been revoked, which the stage of the next configuration shares.
    pub fn revoked(&self) -> Arc<Revoked> {
        self.revoked.clone()
    }
}

fn life(token: &VerifiedToken, now: Moment) -> Duration {
    token.lifetime(now).unwrap_or(UNKNOWN_LIFE)
}

struct AsMarked;

impl Expiry<Digest, Duration> for AsMarked {
    fn expire_after_create(&self, _: &Digest, time: &Duration, _: Instant) -> Option<Duration> {
        Some(*time)
    }

    fn expire_after_update(
        &self,
        _: &Digest,
        time: &Duration,
        _: Instant,
        left: Option<Duration>,
    ) -> Option<Duration> {
        // Revoked twice, it is remembered for the longer: a shorter allegation must not end a mark.
        Some(left.map_or(*time, |left| left.max(*time)))
    }
}
