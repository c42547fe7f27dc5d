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
//! not per request; a thread remembers those that it met last (`memo`). The binding, the expiry and whether the keys that verified a token still count are checked
//! on every request all the same.

mod error;
pub mod algorithm;
pub mod bearer;
pub mod claims;
pub mod issuer;
pub mod jwks;
pub mod keys;
pub mod jwt;
pub mod introspection;
pub mod binding;
mod cache;
mod inquiry;
mod memo;
mod revoked;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;

use crate::digest::{Digest, Hashing};
use crate::identity::{OrganisationId, Participant, Thumbprint};
use crate::moment::Moment;
use crate::scope::{ConsentId, ConsentKind, Scopes};
use crate::terms::Terms;
pub use algorithm::Algorithm;
pub use binding::BoundToken;
use cache::{Cached, Signed, UntilExpiry};
pub use claims::{ClaimRules, ClientId, GrantRule, ParticipantRule};
use claims::{Claims, ClaimsSource};
pub use error::TokenError;
use inquiry::Inquiries;
pub use inquiry::{InquiryNotice, InquiryWitness, KEEP_INACTIVE};
use introspection::Introspector;
pub use issuer::{Issuer, Issuers};
pub use keys::{IssuerKeys, KeysInForce};
use memo::{RememberedToken, TokenMark};
pub use revoked::{Revoked, TokenRevocation};

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
    /// The digest of what its signature is over, if it is signed.
    signed: Option<Digest>,
}

impl VerifiedToken {
    /// The bytes that it takes.
    fn size(&self) -> usize {
        let ids = [&self.consent, &self.enrollment].into_iter().flatten();
        let names = [&self.organisation, &self.software_statement].into_iter().flatten();
        let texts: usize =
            ids.map(|id| id.reveal().len()).chain(names.map(|name| name.len())).sum();
        let terms = self.terms.as_ref().map_or(0, |terms| terms.size());
        size_of::<Self>() + self.client_id.reveal().len() + texts + self.scopes.size() + terms
    }

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

    /// When it was issued at the earliest, in seconds since 1970: its server's clock may run ahead.
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
    ///
    /// # Errors
    ///
    /// [`TokenError::Grant`], a refusal.
    pub fn require_grant(&self, grant: Grant) -> Result<(), TokenError> {
        if self.grant == grant { Ok(()) } else { Err(TokenError::Grant) }
    }

    /// Refuses a token whose `exp` has come.
    ///
    /// # Errors
    ///
    /// [`TokenError::Expired`], a refusal (RFC 7519 section 4.1.4).
    pub fn still_valid(&self, now: Moment) -> Result<(), TokenError> {
        match self.expires_at {
            // RFC 7519 section 4.1.4: on or after `exp` a token must not be accepted, so the second itself is
            // too late.
            Some(expires_at) if expires_at <= now.unix_seconds() => Err(TokenError::Expired),
            Some(_) | None => Ok(()),
        }
    }

    fn lifetime(&self, now: Moment) -> Option<Duration> {
        let expires_at = self.expires_at?;
        // Zero for a token that expired while its answer was under way: a cache keeps it no longer than that.
        Some(Duration::from_secs(expires_at.saturating_sub(now.unix_seconds())))
    }
}

/// Bounds of the caches and of a token's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLimits {
    /// Bytes of a token.
    pub longest: usize,
    /// Verified tokens that are kept, each of up to 1 KiB; a longer one counts as several.
    pub cached: u64,
    /// How long an introspection answer is kept at most.
    pub introspection_max_age: Duration,
    /// How long it is known that an opaque token does not hold.
    pub keep_inactive: Duration,
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
    limits: TokenLimits,
    issuers: Issuers,
    inquiries: Option<Inquiries>,
    signed: moka::sync::Cache<Digest, Cached, Hashing>,
    revoked: Arc<Revoked>,
    /// By which what threads remember is told from another configuration's.
    number: u64,
}

// A number and not an address, which the next stage could get again when this one is freed.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

impl Tokens {
    /// A stage that verifies JWTs with the keys of their issuer and opaque tokens with an introspector, whose
    /// answers the witness is told of; a kind without its means is refused, and so is what was revoked.
    pub fn new(
        rules: ClaimRules,
        signed_rules: SignedRules,
        limits: TokenLimits,
        issuers: Issuers,
        introspector: Option<(Introspector, InquiryWitness)>,
        revoked: Arc<Revoked>,
    ) -> Self {
        let signed = moka::sync::Cache::builder()
            .max_capacity(limits.cached)
            .weigher(Cached::places)
            .expire_after(UntilExpiry { ceiling: None })
            .build_with_hasher(Hashing::default());
        let inquiries = introspector
            .map(|(introspector, witness)| Inquiries::new(introspector, limits, witness));
        // Relaxed: nothing else is published with it, and to be different is all that it must.
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Self { rules, signed_rules, limits, issuers, inquiries, signed, revoked, number }
    }

    /// The issuers.
    pub fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    /// Verifies the request's token and binds it to the connection.
    ///
    /// # Errors
    ///
    /// [`TokenError::NoKeys`] and [`TokenError::Introspection`] mean "cannot decide"; every other
    /// [`TokenError`] that comes is a refusal. [`TokenError::Grant`] never does: it is
    /// [`VerifiedToken::require_grant`]'s.
    pub async fn admit(
        &self,
        headers: &HeaderMap,
        participant: &Participant,
        now: Moment,
    ) -> Result<BoundToken, TokenError> {
        let presented = bearer::find(headers, self.limits.longest)?;
        let mark = TokenMark::of(presented.as_bytes());
        // First what this thread knows: no SHA-256 of the text, and no lock that others hold (0.8 us of a
        // request).
        let met = mark.and_then(|mark| self.met(mark, now));
        let (key, token) = match met {
            Some(known) => known,
            None => {
                // Only here: the same bytes passed this check before they were remembered.
                let text = presented.token()?;
                let key = Digest::of(text);
                let caller = participant.organisation_id();
                (key, self.verify(key, mark, text, caller, now).await?)
            }
        };
        token.still_valid(now)?;
        // Last: while an answer was awaited, the token may have been revoked.
        if self.revoked.contain(&key, token.signed.as_ref()) {
            return Err(TokenError::Revoked);
        }
        binding::bind(token, key, participant)
    }

    /// Judges again what may have ended since a token was admitted.
    ///
    /// # Errors
    ///
    /// [`TokenError::Expired`] or [`TokenError::Revoked`]. Both are refusals.
    pub fn confirm(&self, token: &BoundToken, now: Moment) -> Result<(), TokenError> {
        token.token().still_valid(now)?;
        if self.revoked.contain(token.digest(), token.token().signed.as_ref()) {
            Err(TokenError::Revoked)
        } else {
            Ok(())
        }
    }

    /// The request's token as far as it was verified and is kept: for explaining a refusal, never for
    /// admitting anything.
    pub async fn recall(&self, headers: &HeaderMap) -> Option<Arc<VerifiedToken>> {
        let key = Digest::of(bearer::find(headers, self.limits.longest).ok()?.token().ok()?);
        let signed = self.signed.get(&key);
        let cached = match signed {
            Some(cached) => Some(cached),
            None => self.inquiries.as_ref()?.recall(&key).await,
        };
        cached.map(|cached| cached.token)
    }

    /// A token that this thread met before, and whose keys still count.
    fn met(&self, mark: TokenMark, now: Moment) -> Option<(Digest, Arc<VerifiedToken>)> {
        let RememberedToken { digest, token, signed } = memo::recall(mark, self.number)?;
        let keys = self.issuers.keys_at(signed.issuer)?;
        // Asked each time, for a key that was withdrawn must take its tokens with it at once (decision 8).
        keys.vouches_for(signed.revision, now).then_some((digest, token))
    }

    async fn verify(
        &self,
        key: Digest,
        mark: Option<TokenMark>,
        text: &str,
        caller: &OrganisationId,
        now: Moment,
    ) -> Result<Arc<VerifiedToken>, TokenError> {
        match jwt::Parts::split(text) {
            // Without any keys, what looks signed is opaque like the rest: some servers introspect their
            // JWTs.
            Some(parts) if self.issuers.have_keys() => match self.known(key, mark, now) {
                Some(token) => Ok(token),
                // Boxed: what is rare must not make every request's future larger.
                None => Box::pin(self.verify_signed(key, text, &parts, caller, now)).await,
            },
            Some(_) | None => self.introspect(key, text, caller, now).await,
        }
    }

    /// A signed token that was verified before, with keys that still count.
    fn known(
        &self,
        key: Digest,
        mark: Option<TokenMark>,
        now: Moment,
    ) -> Option<Arc<VerifiedToken>> {
        let Cached { token, signed, .. } = self.signed.get(&key)?;
        let signed = signed?;
        let keys = self.issuers.keys_at(signed.issuer)?;
        if !keys.vouches_for(signed.revision, now) {
            // Not refused: the keys that are in force now may still verify it.
            return None;
        }
        // Who sends it a second time sends it again.
        if let Some(mark) = mark {
            let known = RememberedToken { digest: key, token: token.clone(), signed };
            memo::remember(mark, self.number, known);
        }
        Some(token)
    }

    /// The claims are parsed first, and only for their issuer: what they say counts once the signature is
    /// verified.
    async fn verify_signed(
        &self,
        key: Digest,
        text: &str,
        parts: &jwt::Parts<'_>,
        caller: &OrganisationId,
        now: Moment,
    ) -> Result<Arc<VerifiedToken>, TokenError> {
        let claims = Claims::parse(&parts.payload()?, &self.rules)?;
        let name = claims.issuer().ok_or(TokenError::Issuer)?;
        let (position, issuer) = self.issuers.find(name).ok_or(TokenError::Issuer)?;
        // What the token says of itself counts for nothing from here on: the answer is judged instead.
        let Some(keys) = &issuer.keys else {
            return self.introspect(key, text, caller, now).await;
        };
        let header = parts.header()?;
        // Before keys are looked up, which may cost the authorization server a request.
        let algorithm = header.algorithm(&self.signed_rules.algorithms)?;
        header.require_type(&self.signed_rules.types)?;
        let set = keys.clone().with_key(header.kid(), now).await?;
        let named = set.keys.find(header.kid()).ok_or(TokenError::UnknownKey)?;
        // Before the claims are judged: what refuses them would tell a forger which claims would do.
        parts.verify(named.key(algorithm)?, algorithm)?;
        let mut token = claims.judge(ClaimsSource::Jwt, &self.rules, now)?;
        // An ES256 signature can be replaced by another valid one; what it is over cannot.
        token.signed = Some(Digest::of(parts.signed()));
        let signed = Signed { issuer: position, revision: set.revision };
        let cached = Cached::new(token, Some(signed), now);
        // Only what was verified: a made-up token costs a signature check each time, and displaces no good
        // one.
        self.signed.insert(key, cached.clone());
        Ok(cached.token)
    }

    async fn introspect(
        &self,
        key: Digest,
        text: &str,
        caller: &OrganisationId,
        now: Moment,
    ) -> Result<Arc<VerifiedToken>, TokenError> {
        let inquiries = self.inquiries.as_ref().ok_or(TokenError::Unsupported)?;
        inquiries.of(key, text, caller, &self.rules, now).await
    }

    /// Begins to read the key sets that are due.
    pub fn refresh_due(&self, now: Moment) {
        self.issuers.keys().for_each(|keys| keys.clone().refresh_if_due(now));
    }

    /// Whether the stage can decide: every issuer that has keys has some that count.
    pub fn is_ready(&self, now: Moment) -> bool {
        self.issuers.keys().all(|keys| keys.is_ready(now))
    }
}
