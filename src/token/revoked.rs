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

use super::cache::Hash;
use super::{Tokens, VerifiedToken, jwt};
use crate::digest::Digest;
use crate::moment::Moment;

/// Revoked tokens that are remembered; the one that was asked for least lately makes room.
const MOST: u64 = 100_000;

/// How long a token is remembered of which nobody knows how long it lives.
const UNKNOWN_LIFE: Duration = Duration::from_secs(86_400);

/// How long an answer about a token may be under way, and then some.
const UNDER_WAY: Duration = Duration::from_secs(60);

/// Which tokens were revoked, shared with the stage of the next configuration.
pub struct Revoked {
    marks: moka::sync::Cache<Digest, Duration, Hash>,
    /// Most gateways never see a revocation, and need not look for any.
    any: AtomicBool,
}

impl Default for Revoked {
    fn default() -> Self {
        let marks = moka::sync::Cache::builder()
            .max_capacity(MOST)
            // The default policy would prefer what is asked for often to a new mark.
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(AsMarked)
            .build_with_hasher(Hash::default());
        Self { marks, any: AtomicBool::new(false) }
    }
}

impl Revoked {
    /// Whether a token was revoked.
    pub(super) fn contain(&self, token: &Digest) -> bool {
        self.any.load(Ordering::Acquire) && self.marks.contains_key(token)
    }

    /// How many are remembered.
    pub fn count(&self) -> u64 {
        self.marks.run_pending_tasks();
        self.marks.entry_count()
    }

    /// Remembers a token for a time; one that is remembered for longer stays so.
    pub(super) fn mark(&self, token: Digest, time: Duration) {
        self.marks.insert(token, time);
        self.any.store(true, Ordering::Release);
    }
}

/// The tokens of a revocation request, as their digests, and for how long each must be remembered once they
/// are revoked.
pub struct Revocation(Vec<(Digest, Duration)>);

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Revocation(..)")
    }
}

impl Tokens {
    /// Reads the form of a revocation request (RFC 7009 section 2.1). Of one with several tokens, which no
    /// reader should have to choose from, all count.
    pub async fn read_revocation(&self, form: &[u8], now: Moment) -> Revocation {
        let mut tokens = Vec::new();
        for (name, text) in form_urlencoded::parse(form) {
            if name == "token" && text.len() <= self.limits.longest {
                tokens.push((Digest::of(&text), self.time_to_remember(&text, now).await));
            }
        }
        Revocation(tokens)
    }

    /// Signed tokens are verified first: of made-up ones nothing need be remembered for long.
    async fn time_to_remember(&self, text: &str, now: Moment) -> Duration {
        let answers_end = self.limits.introspection_max_age + UNDER_WAY;
        let is_signed = jwt::Parts::split(text).is_some() && self.issuers.have_keys();
        if !is_signed {
            return answers_end;
        }
        match self.verify(Digest::of(text), text, now).await {
            Ok(token) => life(&token, now).max(answers_end),
            Err(error) if error.is_verdict() => answers_end,
            Err(_) => UNKNOWN_LIFE,
        }
    }

    /// Refuses the tokens from now on: their authorization server has revoked them, or may have.
    pub fn revoke(&self, revocation: &Revocation) {
        for (token, time) in &revocation.0 {
            self.revoked.mark(*token, *time);
        }
    }

    /// Refuses a token from now on, of which somebody says that it was revoked.
    pub fn purge(&self, token: Digest, now: Moment) {
        let known = self.signed.get(&token).map(|cached| life(&cached.token, now));
        self.revoked.mark(token, known.unwrap_or(UNKNOWN_LIFE));
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
        Some(left.map_or(*time, |left| left.max(*time)))
    }
}
