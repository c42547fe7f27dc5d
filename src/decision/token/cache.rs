//! Verified tokens, kept under the SHA-256 of their text: the text itself is not kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;

use super::VerifiedToken;
use crate::digest::{self, Digest};
use crate::moment::Moment;

/// What nothing else ends is forgotten after a day.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Whose keys verified a token, and which revision of them.
#[derive(Clone, Copy)]
pub(super) struct Signed {
    /// The issuer's position among the configured ones.
    pub(super) issuer: usize,
    pub(super) revision: u64,
}

#[derive(Clone)]
pub(super) struct Cached {
    pub(super) token: Arc<VerifiedToken>,
    /// Nothing for a token that was introspected.
    pub(super) signed: Option<Signed>,
    lifetime: Option<Duration>,
}

impl Cached {
    pub(super) fn new(token: VerifiedToken, signed: Option<Signed>, now: Moment) -> Self {
        // Counted from here on by moka's own monotonic clock; `exp` itself is asked again at every request.
        let lifetime = token.lifetime(now);
        Self { token: Arc::new(token), signed, lifetime }
    }

    /// How many places it takes: who issues tokens decides how long they are.
    pub(super) fn places(_: &Digest, cached: &Self) -> u32 {
        digest::places(cached.token.size())
    }
}

/// Keeps an entry until the token expires, and no longer than the ceiling.
pub(super) struct UntilExpiry {
    pub(super) ceiling: Option<Duration>,
}

impl Expiry<Digest, Cached> for UntilExpiry {
    fn expire_after_create(
        &self,
        _key: &Digest,
        cached: &Cached,
        _created_at: Instant,
    ) -> Option<Duration> {
        let ceiling = self.ceiling.unwrap_or(LONGEST);
        // Without an end of its own an expired token would hold its places until the cache is full.
        Some(cached.lifetime.map_or(ceiling, |lifetime| lifetime.min(ceiling)))
    }

    /// An entry of the same token takes the old one's place when the keys changed.
    fn expire_after_update(
        &self,
        key: &Digest,
        cached: &Cached,
        updated_at: Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(key, cached, updated_at)
    }
}
