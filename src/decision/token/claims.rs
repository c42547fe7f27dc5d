//! What a token says, whether a JWT (RFC 7519, RFC 9068) or an introspection answer (RFC 7662) says
//! it, and whether that holds here and now.
//!
//! Parsing is strict (`reading`). One function judges both kinds of token, so that neither has a gap the
//! other has not.

mod reading;

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;

use super::{Grant, TokenError, VerifiedToken};
use crate::identity::Thumbprint;
use crate::moment::Moment;
use crate::scope::{ConsentId, Scopes, ScopesError};
use crate::strict::{BoundedText, LONGEST_TEXT};
use crate::terms::{Carrying, Terms};
use reading::{Audience, ScopeClaim};
pub use reading::{Claims, is_known};

/// The id of the client that a token was issued to (RFC 6749 section 2.2). Debug hides it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClientId(HeaderValue);

impl ClientId {
    /// Accepts 1 to 255 visible ASCII characters, so that the id can stand in a field value.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if fits { HeaderValue::from_str(text).ok().map(Self) } else { None }
    }

    /// The id as text, for comparison with the consent's.
    pub fn reveal(&self) -> &str {
        // Never the default: `new` let nothing but visible ASCII in.
        self.0.to_str().unwrap_or_default()
    }

    /// The id as a field value, for the backend: cloning it copies no bytes.
    pub fn as_value(&self) -> &HeaderValue {
        &self.0
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientId(..)")
    }
}

/// How a user's token is told from a client's own (`client_credentials`): no standard claim says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantRule {
    /// A user's if a consent is bound or `sub` differs from the client id. Fits RFC 9068 tokens, whose
    /// client_credentials tokens have a `sub`.
    ConsentOrSubject,
    /// A user's if a consent is bound. Fits authorization servers that give every token a `sub` of their
    /// own making.
    Consent,
    /// A user's if `sub` is present. Fits authorization servers that leave it out otherwise.
    SubjectPresent,
}

/// Whether `org_id` and `software_id` of a token are held against the certificate, beside its thumbprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParticipantRule {
    /// They are not looked at.
    Ignore,
    /// Those that are there must be the certificate's.
    IfPresent,
    /// Both must be there, and be the certificate's.
    Require,
}

/// What the claims are held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRules {
    /// The accepted `iss`.
    pub issuers: Vec<String>,
    /// `aud` must contain one of these.
    pub audiences: Vec<String>,
    /// Seconds by which `nbf` and `iat` may lie ahead of the gateway's clock.
    pub leeway: u64,
    /// Seconds that a token may live, from `iat` to `exp`. With it, one without `exp` lives too long.
    pub longest_lifetime: Option<u64>,
    /// Whether an answer of introspection must have `token_type`: some servers leave it out exactly for
    /// refresh tokens.
    pub require_token_type: bool,
    /// Whether `%20` separates scopes as a blank does.
    pub percent_encoded_scopes: bool,
    /// Whether a thumbprint beside `cnf` binds as one within it does.
    pub accept_top_level_thumbprint: bool,
    /// Whether the token's participant must be the certificate's.
    pub participant: ParticipantRule,
    /// A scope with this prefix names the consent.
    pub consent_scope_prefix: String,
    /// A scope with this prefix names the enrollment.
    pub enrollment_scope_prefix: String,
    /// A claim that names the consent when no scope does.
    pub consent_claim: Option<String>,
    /// How the grant is told.
    pub grant: GrantRule,
    /// How the terms of the consent are carried, if they are.
    pub carrying: Option<Carrying>,
}

/// Where claims come from: the standards require different members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimsSource {
    /// A signed token: iss, aud and exp must be there.
    Jwt,
    /// An answer of the configured authorization server: what it leaves out, it vouches for.
    Introspection,
}

impl Claims {
    /// Holds the claims against the rules.
    ///
    /// # Errors
    ///
    /// The first fault, a refusal: `Type`, `Issuer`, `Audience`, `Expired`, `NotYetValid`, `Lifetime` or
    /// `Unbound` of [`TokenError`], or [`TokenError::Claims`] where a claim is missing, is none, or
    /// contradicts another.
    pub fn judge(
        self,
        source: ClaimsSource,
        rules: &ClaimRules,
        now: Moment,
    ) -> Result<VerifiedToken, TokenError> {
        // What the token is comes before what it says: a refresh token is good in all the rest.
        self.check_use(source, rules)?;
        self.check_issuer(source, rules)?;
        self.check_audience(source, rules)?;
        let expires_at = self.check_lifetime(source, rules, now)?;
        let thumbprint = self.thumbprint()?;
        self.check_participant(rules)?;
        let client_id = self.client_id()?;
        let scopes = self.scopes(rules)?;
        let named = self.consent(&scopes, rules)?;
        let terms = self.terms(rules, named.as_ref(), &client_id)?;
        // Scope and claim first: terms are optional, and were held against that id if there is one.
        let consent = named.or_else(|| terms.as_ref().map(|terms| terms.id.clone()));
        let enrollment = scopes.consent(&rules.enrollment_scope_prefix);
        let enrollment = enrollment.map_err(|_: ScopesError| TokenError::Claims)?;
        let is_bound = consent.is_some() || enrollment.is_some();
        let subject_is_other =
            self.subject.as_deref().is_some_and(|subject| subject != client_id.reveal());
        let by_user = match rules.grant {
            GrantRule::ConsentOrSubject => is_bound || subject_is_other,
            GrantRule::Consent => is_bound,
            GrantRule::SubjectPresent => self.subject.is_some(),
        };
        let grant = if by_user { Grant::User } else { Grant::Client };
        Ok(VerifiedToken {
            client_id,
            scopes,
            consent,
            enrollment,
            terms,
            grant,
            thumbprint,
            organisation: self.organisation.map(String::into_boxed_str),
            software_statement: self.software_statement.map(String::into_boxed_str),
            // A server's clock may run ahead by as much: its token must not look newer than what it is held
            // against.
            issued_at: self.issued_at.map(|at| at.saturating_sub(rules.leeway)),
            expires_at,
            signed: None,
        })
    }

    /// Whether it is an access token at all: a server vouches for its refresh tokens too (`active`), and they
    /// are bound to the same certificate. RFC 7662 section 2.2 has `token_type`, Hydra and Cognito `token_use`.
    fn check_use(&self, source: ClaimsSource, rules: &ClaimRules) -> Result<(), TokenError> {
        // A JWT says by `typ` and audience what it is (RFC 9068); `token_type` is of answers.
        let may_be_silent = source == ClaimsSource::Jwt || !rules.require_token_type;
        if self.is_of_other_use || !self.is_bearer.unwrap_or(may_be_silent) {
            return Err(TokenError::Type);
        }
        Ok(())
    }

    fn check_issuer(&self, source: ClaimsSource, rules: &ClaimRules) -> Result<(), TokenError> {
        match (&self.issuer, source) {
            (Some(issuer), _) if rules.issuers.contains(issuer) => Ok(()),
            // RFC 7662 section 2.2 has `iss` optional; who answered was chosen by the configuration.
            (None, ClaimsSource::Introspection) => Ok(()),
            (Some(_), _) | (None, ClaimsSource::Jwt) => Err(TokenError::Issuer),
        }
    }

    fn check_audience(&self, source: ClaimsSource, rules: &ClaimRules) -> Result<(), TokenError> {
        let meant_for_us = |audience: &BoundedText| rules.audiences.contains(&audience.0);
        let fits = match (&self.audience, source) {
            (Some(Audience::One(audience)), _) => meant_for_us(audience),
            (Some(Audience::Several(audiences)), _) => audiences.iter().any(meant_for_us),
            (None, ClaimsSource::Introspection) => true,
            (None, ClaimsSource::Jwt) => false,
        };
        if fits { Ok(()) } else { Err(TokenError::Audience) }
    }

    /// Gives when the token expires. `exp` is exact; the leeway is for clocks that run ahead of ours.
    fn check_lifetime(
        &self,
        source: ClaimsSource,
        rules: &ClaimRules,
        now: Moment,
    ) -> Result<Option<u64>, TokenError> {
        if self.expires_at.is_none() && source == ClaimsSource::Jwt {
            return Err(TokenError::Claims);
        }
        if self.expires_at.is_some_and(|expires_at| expires_at <= now.unix_seconds()) {
            return Err(TokenError::Expired);
        }
        let latest = now.unix_seconds().saturating_add(rules.leeway);
        // Some servers write `iat` and no `nbf`: before it was made no token holds.
        let begins = self.not_before.unwrap_or(0).max(self.issued_at.unwrap_or(0));
        if begins > latest {
            return Err(TokenError::NotYetValid);
        }
        self.check_length_of_life(rules, latest)?;
        Ok(self.expires_at)
    }

    /// Without `iat`, what is left of the life counts; without `exp`, nothing bounds it.
    fn check_length_of_life(&self, rules: &ClaimRules, latest: u64) -> Result<(), TokenError> {
        let Some(longest) = rules.longest_lifetime else {
            return Ok(());
        };
        let expires_at = self.expires_at.ok_or(TokenError::Lifetime)?;
        let life = expires_at.saturating_sub(self.issued_at.unwrap_or(latest));
        if life > longest { Err(TokenError::Lifetime) } else { Ok(()) }
    }

    /// The thumbprint of `cnf`; without `cnf`, the one beside it where that is accepted. Two that differ
    /// leave open which one binds.
    fn thumbprint(&self) -> Result<Thumbprint, TokenError> {
        let within = self.confirmation.as_ref().map(|confirmation| &confirmation.thumbprint);
        let text = match (within, &self.top_level_thumbprint) {
            (Some(Some(within)), Some(beside)) if within != beside => {
                return Err(TokenError::Claims);
            }
            // A `cnf` of another kind (`jwk` of DPoP) binds to something else: the one beside it does not
            // replace it.
            (Some(within), _) => within.as_deref(),
            (None, beside) => beside.as_deref(),
        };
        text.and_then(Thumbprint::parse).ok_or(TokenError::Unbound)
    }

    fn check_participant(&self, rules: &ClaimRules) -> Result<(), TokenError> {
        let is_named = self.organisation.is_some() && self.software_statement.is_some();
        if rules.participant == ParticipantRule::Require && !is_named {
            return Err(TokenError::Claims);
        }
        Ok(())
    }

    /// The client id under any of the names that authorization servers give it; all that are there agree,
    /// or two readers could disagree whose token it is.
    fn client_id(&self) -> Result<ClientId, TokenError> {
        let mut names =
            [&self.client_id, &self.authorized_party, &self.client_id_camel].into_iter().flatten();
        let text = names.next().ok_or(TokenError::Claims)?;
        if names.any(|other| other != text) {
            return Err(TokenError::Claims);
        }
        ClientId::new(text).ok_or(TokenError::Claims)
    }

    fn scopes(&self, rules: &ClaimRules) -> Result<Scopes, TokenError> {
        let text = |text: &str| {
            // Only the blank: to decode the rest would make scopes of texts that hold none.
            let decoded = rules.percent_encoded_scopes.then(|| text.replace("%20", " "));
            let text = decoded.as_deref().unwrap_or(text);
            // Two blanks name nothing, though RFC 6749 section 3.3 has one.
            collect(text.split(' ').filter(|scope| !scope.is_empty()))
        };
        match &self.scope {
            None => collect(std::iter::empty()),
            Some(ScopeClaim::Text(scopes)) => text(scopes),
            Some(ScopeClaim::List(list)) => collect(list.iter().map(String::as_str)),
        }
    }

    /// The consent of the scope or of the configured claim; if both name one, they agree.
    fn consent(
        &self,
        scopes: &Scopes,
        rules: &ClaimRules,
    ) -> Result<Option<ConsentId>, TokenError> {
        let of_scope =
            scopes.consent(&rules.consent_scope_prefix).map_err(|_| TokenError::Claims)?;
        let Some(text) = &self.consent else {
            return Ok(of_scope);
        };
        let of_claim = ConsentId::new(text).ok_or(TokenError::Claims)?;
        // Two readers (we and the backend) could otherwise act on two consents.
        match of_scope {
            Some(of_scope) if of_scope != of_claim => Err(TokenError::Claims),
            Some(_) | None => Ok(Some(of_claim)),
        }
    }

    /// What the token says of its consent, if anything; half of it is refused.
    fn terms(
        &self,
        rules: &ClaimRules,
        named: Option<&ConsentId>,
        client_id: &ClientId,
    ) -> Result<Option<Arc<Terms>>, TokenError> {
        let (Some(carrying), Some(rest)) = (&rules.carrying, &self.rest) else {
            return Ok(None);
        };
        let terms = carrying.read(rest, named, client_id.reveal());
        Ok(terms.map_err(|_| TokenError::Claims)?.map(Arc::new))
    }
}

fn collect<'a>(scopes: impl Iterator<Item = &'a str> + Clone) -> Result<Scopes, TokenError> {
    if scopes.clone().any(|scope| scope.len() > LONGEST_TEXT) {
        return Err(TokenError::Claims);
    }
    Scopes::new(scopes).map_err(|_: ScopesError| TokenError::Claims)
}
