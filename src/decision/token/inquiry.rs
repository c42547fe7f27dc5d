//! What the authorization server said of opaque tokens, kept briefly: one question per token, however many
//! requests wait for the answer, and none to a server that fails repeatedly.
//!
//! A token that holds is kept to its `exp` and no longer than the ceiling; that one does not hold is kept for
//! a shorter time, apart, so that made-up tokens displace no good one. What the server left open is not
//! kept at all: the next request asks again.

use std::sync::Arc;
use std::time::Duration;

use super::cache::{Cached, UntilExpiry};
use super::introspection::{Introspection, Introspector};
use super::{ClaimRules, TokenError, TokenLimits, VerifiedToken, jwt};
use crate::ask::RemoteError;
use crate::digest::{Digest, Hashing};
use crate::identity::OrganisationId;
use crate::moment::Moment;

/// What there is to tell of the authorization server's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InquiryNotice {
    /// The token is active.
    Active,
    /// It is not, or is not what it must be here.
    Refused,
    /// There was no answer, or none that was understood.
    Failed(RemoteError),
}

impl InquiryNotice {
    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Refused => "refused",
            Self::Failed(_) => "failed",
        }
    }
}

/// Is told of the answers.
pub type InquiryWitness = Arc<dyn Fn(InquiryNotice) + Send + Sync>;

/// Tokens that do not hold are a caller's guess or slip: they need not be remembered like those that do.
const MOST_REFUSED: u64 = 10_000;

/// The authorization server, and what is kept of its answers.
pub(super) struct Inquiries {
    introspector: Introspector,
    active: moka::future::Cache<Digest, Cached, Hashing>,
    refused: moka::sync::Cache<Digest, TokenError, Hashing>,
    witness: InquiryWitness,
}

impl Inquiries {
    pub(super) fn new(
        introspector: Introspector,
        limits: TokenLimits,
        witness: InquiryWitness,
    ) -> Self {
        let active = moka::future::Cache::builder()
            .max_capacity(limits.cached)
            .weigher(Cached::places)
            .expire_after(UntilExpiry { ceiling: Some(limits.introspection_max_age) })
            .build_with_hasher(Hashing::default());
        let refused = moka::sync::Cache::builder()
            .max_capacity(limits.cached.min(MOST_REFUSED))
            .time_to_live(limits.keep_inactive)
            .build_with_hasher(Hashing::default());
        Self { introspector, active, refused, witness }
    }

    /// What the authorization server says of a token.
    pub(super) async fn of(
        &self,
        key: Digest,
        text: &str,
        caller: &OrganisationId,
        rules: &ClaimRules,
        now: Moment,
    ) -> Result<Arc<VerifiedToken>, TokenError> {
        if let Some(cached) = self.active.get(&key).await {
            return Ok(cached.token);
        }
        if let Some(error) = self.refused.get(&key) {
            return Err(error);
        }
        // Boxed: what is rare must not make every request's future larger.
        let ask = Box::pin(self.ask(key, text, caller, rules, now));
        // All who come with the same token meanwhile wait for one question; moka keeps no error.
        let answer = Box::pin(self.active.try_get_with(key, ask)).await;
        answer.map(|cached| cached.token).map_err(|error| *error)
    }

    /// What is kept of a token that holds.
    pub(super) async fn recall(&self, key: &Digest) -> Option<Cached> {
        self.active.get(key).await
    }

    async fn ask(
        &self,
        key: Digest,
        text: &str,
        caller: &OrganisationId,
        rules: &ClaimRules,
        now: Moment,
    ) -> Result<Cached, TokenError> {
        let answer = match self.introspector.ask(text, caller, rules, now).await {
            Ok(Introspection::Active(mut token)) => {
                // Though its signature was not looked at: a revocation may name it by what it signs.
                token.signed = jwt::Parts::split(text).map(|parts| Digest::of(parts.signed()));
                Ok(Cached::new(*token, None, now))
            }
            Ok(Introspection::Inactive) => Err(TokenError::Inactive),
            Err(error) => Err(error),
        };
        // Here and not where the answer is used: of many who wait, one asked.
        (self.witness)(match &answer {
            Ok(_) => InquiryNotice::Active,
            Err(TokenError::Introspection(error)) => InquiryNotice::Failed(*error),
            Err(_) => InquiryNotice::Refused,
        });
        if let Err(error) = answer
            && error.is_verdict()
            // A clock that runs behind makes it a verdict for a second or two; then it holds.
            && error != TokenError::NotYetValid
        {
            self.refused.insert(key, error);
        }
        answer
    }
}

/// How long what is told of a token that does not hold is kept, unless configured.
pub const KEEP_INACTIVE: Duration = Duration::from_secs(5);
