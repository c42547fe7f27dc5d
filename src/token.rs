//! The access token: is it valid, and is it this connection's?
//!
//! Takes the Authorization field and the connection's participant; gives a [`BoundToken`]. Refuses
//! what the authorization server did not sign or does not vouch for, what is expired, meant for
//! others, or bound to another certificate or to none. Cannot decide without keys or introspection.
//!
//! Standards: RFC 6750, 7515, 7519, 7662, 8705, 9068; PS256 unless configured (Open Banking Brasil FAPI
//! profile 6.1). Leaves to others: scopes (`scope`), the consent that the token names (`consent`).
//!
//! Verified tokens are cached under the SHA-256 of their text, so that a signature is checked once and
//! not per request. The binding, the expiry and whether the keys that verified a token still count are checked
//! on every request all the same.

pub mod algorithm;
pub mod bearer;
mod strict;
pub mod claims;
pub mod issuer;
pub mod jwks;
pub mod jwt;
pub mod introspection;
pub mod binding;
mod cache;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use thiserror::Error;
use tokio::task::JoinSet;

use crate::identity::{Participant, Thumbprint};
use crate::moment::Moment;
use crate::remote::RemoteError;
use crate::scope::{ConsentId, ConsentKind, Scopes};
use crate::terms::Terms;
pub use algorithm::Algorithm;
pub use binding::BoundToken;
use cache::{Cached, Hash, Signed, TokenKey, UntilExpiry};
pub use claims::{ClaimRules, ClientId, GrantRule, ParticipantRule};
use claims::{Claims, Source};
use introspection::{Introspection, Introspector};
pub use issuer::{Issuer, Issuers};

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
    /// Another type than the configured ones.
    #[error("the token's type (typ) is not an accepted one")]
    Type,
    /// An algorithm that is not accepted, or not the key's.
    #[error("the token's algorithm is not an accepted one")]
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
    /// It lives longer than configured.
    #[error("the token lives too long")]
    Lifetime,
    /// The authorization server says that it is not active.
    #[error("the authorization server says that the token is not active")]
    Inactive,
    /// No `cnf` with a well-formed `x5t#S256`.
    #[error("the token is not bound to a certificate")]
    Unbound,
    /// Bound to another certificate.
    #[error("the token is bound to another certificate")]
    OtherCertificate,
    /// It names another participant than the certificate.
    #[error("the token names another organisation or software statement than the certificate")]
    OtherParticipant,
    /// A client's own token where a user's is needed, or the other way round.
    #[error("the token comes from a grant that the route does not admit")]
    Grant,
    /// A kind of token that the configuration does not provide for.
    #[error("no key set or introspection is configured for this kind of token")]
    Unsupported,
    /// The issuer's key set was never read, is too old, or may lack a new key: cannot decide.
    #[error("no key set of the issuer is available that could tell")]
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
    organisation: Option<Box<str>>,
    software_statement: Option<Box<str>>,
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

    /// Whose it is.
    pub fn grant(&self) -> Grant {
        self.grant
    }

    /// The certificate that it is bound to.
    pub fn thumbprint(&self) -> &Thumbprint {
        &self.thumbprint
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

/// What a signed token must be, beside its claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRules {
    /// The accepted algorithms.
    pub algorithms: Vec<Algorithm>,
    /// The accepted `typ`, without `application/`; an empty one for tokens without.
    pub types: Vec<String>,
}

/// The stage.
pub struct Tokens {
    rules: ClaimRules,
    signed_rules: SignedRules,
    longest: usize,
    issuers: Issuers,
    introspector: Option<Introspector>,
    signed: moka::sync::Cache<TokenKey, Cached, Hash>,
    introspected: moka::future::Cache<TokenKey, Cached, Hash>,
}

impl Tokens {
    /// A stage that verifies JWTs with the keys of their issuer and opaque tokens with `introspector`; a kind
    /// without its means is refused.
    pub fn new(
        rules: ClaimRules,
        signed_rules: SignedRules,
        limits: TokenLimits,
        issuers: Issuers,
        introspector: Option<Introspector>,
    ) -> Self {
        let signed = moka::sync::Cache::builder()
            .max_capacity(limits.cached)
            .expire_after(UntilExpiry { ceiling: None })
            .build_with_hasher(Hash::default());
        let introspected = moka::future::Cache::builder()
            .max_capacity(limits.cached)
            .expire_after(UntilExpiry { ceiling: Some(limits.introspection_max_age) })
            .build_with_hasher(Hash::default());
        let longest = limits.longest;
        Self { rules, signed_rules, longest, issuers, introspector, signed, introspected }
    }

    /// The issuers.
    pub fn issuers(&self) -> &Issuers {
        &self.issuers
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

    /// The request's token as far as it was verified and is kept: for explaining a refusal, never for
    /// admitting anything.
    pub async fn recall(&self, headers: &HeaderMap) -> Option<Arc<VerifiedToken>> {
        let key = TokenKey::of(bearer::find(headers, self.longest).ok()?);
        let signed = self.signed.get(&key);
        let cached = match signed {
            Some(cached) => Some(cached),
            None => self.introspected.get(&key).await,
        };
        cached.map(|cached| cached.token)
    }

    async fn verify(&self, text: &str, now: Moment) -> Result<Arc<VerifiedToken>, TokenError> {
        let key = TokenKey::of(text);
        match jwt::Parts::split(text) {
            Some(parts) if self.issuers.have_keys() => match self.known(key, now) {
                Some(token) => Ok(token),
                // Boxed: what is rare must not make every request's future larger.
                None => Box::pin(self.verify_signed(key, text, &parts, now)).await,
            },
            Some(_) | None => self.introspect(key, text, now).await,
        }
    }

    /// A signed token that was verified before, with keys that still count.
    fn known(&self, key: TokenKey, now: Moment) -> Option<Arc<VerifiedToken>> {
        let Cached { token, signed, .. } = self.signed.get(&key)?;
        let signed = signed?;
        let keys = self.issuers.keys_at(signed.issuer)?;
        keys.vouches_for(signed.revision, now).then_some(token)
    }

    /// The claims are parsed first, and only for their issuer: what they say counts once the signature is
    /// verified.
    async fn verify_signed(
        &self,
        key: TokenKey,
        text: &str,
        parts: &jwt::Parts<'_>,
        now: Moment,
    ) -> Result<Arc<VerifiedToken>, TokenError> {
        let claims = Claims::parse(&parts.payload()?, &self.rules)?;
        let name = claims.issuer().ok_or(TokenError::Issuer)?;
        let (position, issuer) = self.issuers.find(name).ok_or(TokenError::Issuer)?;
        let Some(keys) = &issuer.keys else {
            return self.introspect(key, text, now).await;
        };
        let header = parts.header()?;
        let algorithm = header.algorithm(&self.signed_rules.algorithms)?;
        header.require_type(&self.signed_rules.types)?;
        let set = keys.with_key(header.kid(), now).await?;
        parts.verify(set.keys.find(header.kid()).ok_or(TokenError::UnknownKey)?, algorithm)?;
        let token = claims.judge(Source::Jwt, &self.rules, now)?;
        let signed = Signed { issuer: position, revision: set.revision };
        let cached = Cached::new(token, Some(signed), now);
        self.signed.insert(key, cached.clone());
        Ok(cached.token)
    }

    /// One question to the authorization server per token, however many requests wait for the answer.
    async fn introspect(
        &self,
        key: TokenKey,
        text: &str,
        now: Moment,
    ) -> Result<Arc<VerifiedToken>, TokenError> {
        let introspector = self.introspector.as_ref().ok_or(TokenError::Unsupported)?;
        let ask = async {
            match introspector.ask(text, &self.rules, now).await? {
                Introspection::Active(token) => Ok(Cached::new(*token, None, now)),
                Introspection::Inactive => Err(TokenError::Inactive),
            }
        };
        let answer = self.introspected.try_get_with(key, ask).await;
        answer.map(|cached| cached.token).map_err(|error| *error)
    }

    /// Begins to read the key sets that are due.
    pub fn refresh_due(&self, now: Moment) {
        self.issuers.key_sources().for_each(|keys| keys.refresh_if_due(now));
    }

    /// Reads all key sets, at the same time, and waits for them.
    pub async fn refresh(&self, now: Moment) {
        let mut reads = JoinSet::new();
        for keys in self.issuers.key_sources() {
            let keys = keys.clone();
            reads.spawn(async move { keys.refresh(now).await });
        }
        reads.join_all().await;
    }

    /// Whether the stage can decide: every issuer that has keys has some that count.
    pub fn is_ready(&self, now: Moment) -> bool {
        self.issuers.key_sources().all(|keys| keys.is_ready(now))
    }
}
