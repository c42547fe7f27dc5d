//! The access token: is it valid, and is it this connection's?
//!
//! Takes the Authorization field and the connection's participant; gives a [`BoundToken`]. Refuses
//! what the authorization server did not sign or does not vouch for, what is expired, meant for
//! others, or bound to another certificate or to none. Cannot decide without keys or introspection.
//!
//! Standards: RFC 6750, 7515, 7519, 7662, 8705, 9068; PS256 only (Open Banking Brasil FAPI profile
//! 6.1). Leaves to others: scopes (`scope`), the consent that the token names (`consent`).
//!
//! Verified tokens are cached under the SHA-256 of their text, so that a signature is checked once and
//! not per request. The binding and the expiry are checked on every request all the same.

pub mod bearer;
pub mod claims;
pub mod jwks;
pub mod jwt;
pub mod introspection;
pub mod binding;

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderMap;
use moka::Expiry;
use thiserror::Error;

use crate::identity::{Participant, Thumbprint};
use crate::moment::Moment;
use crate::remote::RemoteError;
use crate::scope::{ConsentId, ConsentKind, Scopes};
use crate::terms::Terms;
pub use binding::BoundToken;
pub use claims::{ClaimRules, ClientId, GrantRule};
use introspection::{Introspection, Introspector};
use jwks::{Jwks, KeySetError};

/// Why a token was refused, or why the gateway cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// No Authorization field.
    #[error("the request has no Authorization field")]
    Missing,
    /// More than one Authorization field.
    #[error("the request has more than one Authorization field")]
    Repeated,
    /// A scheme other than Bearer.
    #[error("the authorization scheme is not Bearer")]
    Scheme,
    /// Not `Bearer` and one token.
    #[error("the Authorization field is malformed")]
    Malformed,
    /// Longer than configured.
    #[error("the token is too long")]
    TooLong,
    /// The JOSE header is malformed or has a parameter that must not be there.
    #[error("the token's header is malformed or has an unsupported parameter")]
    Header,
    /// An algorithm other than PS256.
    #[error("the token's algorithm is not PS256")]
    Algorithm,
    /// The key set has no such key.
    #[error("the token names a key that the key set does not have")]
    UnknownKey,
    /// The signature does not verify.
    #[error("the token's signature does not verify")]
    Signature,
    /// The claims are malformed or incomplete.
    #[error("the token's claims are malformed or incomplete")]
    Claims,
    /// Another issuer.
    #[error("the token has another issuer")]
    Issuer,
    /// Meant for others.
    #[error("the token is meant for another audience")]
    Audience,
    /// Expired.
    #[error("the token is expired")]
    Expired,
    /// Not valid yet.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The authorization server says that it is not active.
    #[error("the authorization server says that the token is not active")]
    Inactive,
    /// No `cnf` with a well-formed `x5t#S256`.
    #[error("the token is not bound to a certificate")]
    Unbound,
    /// Bound to another certificate.
    #[error("the token is bound to another certificate")]
    OtherCertificate,
    /// A client's own token where a user's is needed, or the other way round.
    #[error("the token comes from a grant that the route does not admit")]
    Grant,
    /// A kind of token that the configuration does not provide for.
    #[error("no key set or introspection is configured for this kind of token")]
    Unsupported,
    /// The key set was never read: cannot decide.
    #[error("the key set is not available")]
    NoKeys,
    /// The authorization server gave no usable answer: cannot decide.
    #[error("introspection failed: {0}")]
    Introspection(RemoteError),
}

/// On whose behalf a token was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// The client's own (`client_credentials`).
    Client,
    /// A user's (`authorization_code`).
    User,
}

/// What a token says, after its origin and its claims were verified. Whether it may be used on a
/// connection is the [`binding`]'s question.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    client_id: ClientId,
    scopes: Scopes,
    consent: Option<ConsentId>,
    enrollment: Option<ConsentId>,
    terms: Option<Arc<Terms>>,
    grant: Grant,
    thumbprint: Thumbprint,
    issued_at: Option<u64>,
    expires_at: Option<u64>,
}

impl VerifiedToken {
    /// The client that it was issued to.
    pub fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// Its scopes.
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// The consent of a kind that it names.
    pub fn consent(&self, kind: ConsentKind) -> Option<&ConsentId> {
        match kind {
            ConsentKind::Consent => self.consent.as_ref(),
            ConsentKind::Enrollment => self.enrollment.as_ref(),
        }
    }

    /// What it says itself of the consent that it names.
    pub fn terms(&self) -> Option<&Arc<Terms>> {
        self.terms.as_ref()
    }

    /// When it was issued, in seconds since 1970.
    pub fn issued_at(&self) -> Option<u64> {
        self.issued_at
    }

    /// Refuses a token of another grant.
    pub fn require_grant(&self, grant: Grant) -> Result<(), TokenError> {
        if self.grant == grant { Ok(()) } else { Err(TokenError::Grant) }
    }

    /// Refuses a token whose `exp` has come.
    pub fn still_valid(&self, now: Moment) -> Result<(), TokenError> {
        match self.expires_at {
            Some(expires_at) if expires_at <= now.unix_seconds() => Err(TokenError::Expired),
            Some(_) | None => Ok(()),
        }
    }

    fn lifetime(&self, now: Moment) -> Option<Duration> {
        let expires_at = self.expires_at?;
        Some(Duration::from_secs(expires_at.saturating_sub(now.unix_seconds())))
    }
}

/// Bounds of the caches and of a token's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLimits {
    /// Bytes of a token.
    pub longest: usize,
    /// Verified tokens that are kept.
    pub cached: u64,
    /// How long an introspection answer is kept at most.
    pub introspection_max_age: Duration,
}

/// The stage.
pub struct Tokens {
    rules: ClaimRules,
    longest: usize,
    jwks: Option<Jwks>,
    introspector: Option<Introspector>,
    signed: moka::sync::Cache<TokenKey, Cached, BuildHasherDefault<KeyHasher>>,
    introspected: moka::future::Cache<TokenKey, Cached, BuildHasherDefault<KeyHasher>>,
}

impl Tokens {
    /// A stage that verifies JWTs with `jwks` and opaque tokens with `introspector`; a kind without its
    /// means is refused.
    pub fn new(
        rules: ClaimRules,
        limits: TokenLimits,
        jwks: Option<Jwks>,
        introspector: Option<Introspector>,
    ) -> Self {
        let signed = moka::sync::Cache::builder()
            .max_capacity(limits.cached)
            .expire_after(UntilExpiry { ceiling: None })
            .build_with_hasher(BuildHasherDefault::default());
        let introspected = moka::future::Cache::builder()
            .max_capacity(limits.cached)
            .expire_after(UntilExpiry { ceiling: Some(limits.introspection_max_age) })
            .build_with_hasher(BuildHasherDefault::default());
        Self { rules, longest: limits.longest, jwks, introspector, signed, introspected }
    }

    /// Verifies the request's token and binds it to the connection.
    pub async fn admit(
        &self,
        headers: &HeaderMap,
        participant: &Participant,
        now: Moment,
    ) -> Result<BoundToken, TokenError> {
        let text = bearer::find(headers, self.longest)?;
        let token = self.verify(text, now).await?;
        token.still_valid(now)?;
        binding::bind(token, participant)
    }

    async fn verify(&self, text: &str, now: Moment) -> Result<Arc<VerifiedToken>, TokenError> {
        let key = TokenKey::of(text);
        match (jwt::Parts::split(text), &self.jwks, &self.introspector) {
            (Some(parts), Some(jwks), _) => self.verify_signed(key, &parts, jwks, now),
            (_, _, Some(introspector)) => self.introspect(key, text, introspector, now).await,
            (_, _, None) => Err(TokenError::Unsupported),
        }
    }

    fn verify_signed(
        &self,
        key: TokenKey,
        parts: &jwt::Parts<'_>,
        jwks: &Jwks,
        now: Moment,
    ) -> Result<Arc<VerifiedToken>, TokenError> {
        if let Some(cached) = self.signed.get(&key) {
            return Ok(cached.token);
        }
        let keys = jwks.current().ok_or(TokenError::NoKeys)?;
        let cached = Cached::new(parts.verify(&keys, &self.rules, now)?, now);
        self.signed.insert(key, cached.clone());
        // The set may have changed since it was read above, and the cache been emptied for it.
        if !jwks.is_current(&keys) {
            self.signed.invalidate(&key);
        }
        Ok(cached.token)
    }

    /// One question to the authorization server per token, however many requests wait for the answer.
    async fn introspect(
        &self,
        key: TokenKey,
        text: &str,
        introspector: &Introspector,
        now: Moment,
    ) -> Result<Arc<VerifiedToken>, TokenError> {
        let ask = async {
            match introspector.ask(text, &self.rules, now).await? {
                Introspection::Active(token) => Ok(Cached::new(*token, now)),
                Introspection::Inactive => Err(TokenError::Inactive),
            }
        };
        let answer = self.introspected.try_get_with(key, ask).await;
        answer.map(|cached| cached.token).map_err(|error| *error)
    }

    /// Reads the key set again. When it changed, tokens that the old one verified are forgotten, so
    /// that a removed key stops working.
    pub async fn refresh_keys(&self) -> Result<(), KeySetError> {
        let Some(jwks) = &self.jwks else {
            return Ok(());
        };
        if jwks.refresh().await? {
            self.signed.invalidate_all();
        }
        Ok(())
    }

    /// Whether the stage can decide: the key set, if one is configured, was read.
    pub fn is_ready(&self) -> bool {
        self.jwks.as_ref().is_none_or(|jwks| jwks.current().is_some())
    }
}

/// SHA-256 of a token's text: the text itself is not kept.
#[derive(Clone, Copy, PartialEq, Eq)]
struct TokenKey([u8; 32]);

impl TokenKey {
    fn of(text: &str) -> Self {
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Self(key)
    }
}

impl std::hash::Hash for TokenKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

/// A key that is a SHA-256 needs no further hashing: its first bytes are the hash.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().take(8).fold(0, |hash, byte| (hash << 8) | u64::from(*byte));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Clone)]
struct Cached {
    token: Arc<VerifiedToken>,
    lifetime: Option<Duration>,
}

impl Cached {
    fn new(token: VerifiedToken, now: Moment) -> Self {
        let lifetime = token.lifetime(now);
        Self { token: Arc::new(token), lifetime }
    }
}

/// Keeps an entry until the token expires, and no longer than the ceiling.
struct UntilExpiry {
    ceiling: Option<Duration>,
}

impl Expiry<TokenKey, Cached> for UntilExpiry {
    fn expire_after_create(
        &self,
        _key: &TokenKey,
        cached: &Cached,
        _created_at: Instant,
    ) -> Option<Duration> {
        match (cached.lifetime, self.ceiling) {
            (Some(lifetime), Some(ceiling)) => Some(lifetime.min(ceiling)),
            (lifetime, ceiling) => lifetime.or(ceiling),
        }
    }
}
