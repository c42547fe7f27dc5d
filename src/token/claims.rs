//! What a token says, whether a JWT (RFC 7519, RFC 9068) or an introspection answer (RFC 7662) says
//! it, and whether that holds here and now.
//!
//! Parsing is strict: a member that stands twice, a claim of another type than the standard's or a
//! malformed scope refuses the token, because two readers could disagree on it. One function judges
//! both kinds of token, so that neither has a gap the other has not.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{Grant, TokenError, VerifiedToken};
use crate::identity::Thumbprint;
use crate::moment::Moment;
use crate::scope::{ConsentId, Scopes, ScopesError};
use crate::terms::{Carrying, Terms};

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

/// What the claims are held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRules {
    /// The only accepted `iss`.
    pub issuer: String,
    /// `aud` must contain one of these.
    pub audiences: Vec<String>,
    /// Seconds by which `nbf` and `iat` may lie ahead of the gateway's clock.
    pub leeway: u64,
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
pub enum Source {
    /// A signed token: iss, aud and exp must be there.
    Jwt,
    /// An answer of the configured authorization server: what it leaves out, it vouches for.
    Introspection,
}

/// The claims that portaria looks at.
#[derive(Default)]
pub struct Claims {
    issuer: Option<String>,
    audience: Option<Audience>,
    subject: Option<String>,
    client_id: Option<String>,
    authorized_party: Option<String>,
    client_id_camel: Option<String>,
    expires_at: Option<u64>,
    not_before: Option<u64>,
    issued_at: Option<u64>,
    scope: Option<ScopeClaim>,
    confirmation: Option<Confirmation>,
    consent: Option<String>,
    active: Option<bool>,
    /// What portaria does not look at itself, where the terms of the consent may stand there.
    rest: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ScopeClaim {
    Text(String),
    List(Vec<String>),
}

#[derive(Deserialize)]
struct Confirmation {
    #[serde(rename = "x5t#S256")]
    thumbprint: Option<String>,
}

/// Seconds since 1970, with or without a fraction (RFC 7519 section 2).
#[derive(Deserialize)]
#[serde(untagged)]
enum NumericDate {
    Whole(u64),
    Fraction(f64),
}

impl NumericDate {
    fn seconds<E: serde::de::Error>(self) -> Result<u64, E> {
        match self {
            Self::Whole(seconds) => Ok(seconds),
            Self::Fraction(seconds) => Duration::try_from_secs_f64(seconds)
                .map(|duration| duration.as_secs())
                .map_err(|_| E::custom("no date")),
        }
    }
}

/// The names that have a meaning of their own among the claims.
const KNOWN: [&str; 12] = [
    "iss",
    "aud",
    "sub",
    "client_id",
    "azp",
    "clientId",
    "exp",
    "nbf",
    "iat",
    "scope",
    "cnf",
    "active",
];

/// Whether a claim of this name cannot name a consent, because it says something else.
pub fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

impl Claims {
    /// Parses a JSON object.
    pub fn parse(json: &[u8], rules: &ClaimRules) -> Result<Self, TokenError> {
        let text = std::str::from_utf8(json).map_err(|_| TokenError::Claims)?;
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let seed = ClaimsSeed {
            consent_claim: rules.consent_claim.as_deref(),
            keeps_rest: rules.carrying.is_some(),
        };
        let claims = seed.deserialize(&mut deserializer).map_err(|_| TokenError::Claims)?;
        deserializer.end().map_err(|_| TokenError::Claims)?;
        Ok(claims)
    }

    /// `active` of an introspection answer.
    pub fn active(&self) -> Option<bool> {
        self.active
    }

    /// Holds the claims against the rules.
    pub fn judge(
        self,
        source: Source,
        rules: &ClaimRules,
        now: Moment,
    ) -> Result<VerifiedToken, TokenError> {
        self.check_issuer(source, rules)?;
        self.check_audience(source, rules)?;
        let expires_at = self.check_lifetime(source, rules, now)?;
        let thumbprint = self.thumbprint()?;
        let client_id = self.client_id()?;
        let scopes = self.scopes()?;
        let named = self.consent(&scopes, rules)?;
        let terms = self.terms(rules, named.as_ref(), &client_id)?;
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
            issued_at: self.issued_at,
            expires_at,
        })
    }

    fn check_issuer(&self, source: Source, rules: &ClaimRules) -> Result<(), TokenError> {
        match (&self.issuer, source) {
            (Some(issuer), _) if *issuer == rules.issuer => Ok(()),
            (None, Source::Introspection) => Ok(()),
            (Some(_), _) | (None, Source::Jwt) => Err(TokenError::Issuer),
        }
    }

    fn check_audience(&self, source: Source, rules: &ClaimRules) -> Result<(), TokenError> {
        let meant_for_us = |audience: &String| rules.audiences.contains(audience);
        let fits = match (&self.audience, source) {
            (Some(Audience::One(audience)), _) => meant_for_us(audience),
            (Some(Audience::Several(audiences)), _) => audiences.iter().any(meant_for_us),
            (None, Source::Introspection) => true,
            (None, Source::Jwt) => false,
        };
        if fits { Ok(()) } else { Err(TokenError::Audience) }
    }

    fn check_lifetime(
        &self,
        source: Source,
        rules: &ClaimRules,
        now: Moment,
    ) -> Result<Option<u64>, TokenError> {
        if self.expires_at.is_none() && source == Source::Jwt {
            return Err(TokenError::Claims);
        }
        if self.expires_at.is_some_and(|expires_at| expires_at <= now.unix_seconds()) {
            return Err(TokenError::Expired);
        }
        let latest = now.unix_seconds().saturating_add(rules.leeway);
        let begins = self.not_before.unwrap_or(0).max(self.issued_at.unwrap_or(0));
        if begins > latest { Err(TokenError::NotYetValid) } else { Ok(self.expires_at) }
    }

    fn thumbprint(&self) -> Result<Thumbprint, TokenError> {
        let confirmation = self.confirmation.as_ref().ok_or(TokenError::Unbound)?;
        let text = confirmation.thumbprint.as_deref().ok_or(TokenError::Unbound)?;
        Thumbprint::parse(text).ok_or(TokenError::Unbound)
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

    fn scopes(&self) -> Result<Scopes, TokenError> {
        let scopes = match &self.scope {
            None => Scopes::new(std::iter::empty()),
            Some(ScopeClaim::Text(text)) => {
                Scopes::new(text.split(' ').filter(|scope| !scope.is_empty()))
            }
            Some(ScopeClaim::List(list)) => Scopes::new(list.iter().map(String::as_str)),
        };
        scopes.map_err(|_: ScopesError| TokenError::Claims)
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

struct ClaimsSeed<'a> {
    consent_claim: Option<&'a str>,
    keeps_rest: bool,
}

impl<'de> DeserializeSeed<'de> for ClaimsSeed<'_> {
    type Value = Claims;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Claims, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ClaimsSeed<'_> {
    type Value = Claims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
        let mut claims = Claims::default();
        let mut seen = HashSet::new();
        let mut rest = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "iss" => claims.issuer = Some(map.next_value()?),
                "aud" => claims.audience = Some(map.next_value()?),
                "sub" => claims.subject = Some(map.next_value()?),
                "client_id" => claims.client_id = Some(map.next_value()?),
                "azp" => claims.authorized_party = Some(map.next_value()?),
                "clientId" => claims.client_id_camel = Some(map.next_value()?),
                "exp" => claims.expires_at = Some(map.next_value::<NumericDate>()?.seconds()?),
                "nbf" => claims.not_before = Some(map.next_value::<NumericDate>()?.seconds()?),
                "iat" => claims.issued_at = Some(map.next_value::<NumericDate>()?.seconds()?),
                "scope" => claims.scope = Some(map.next_value()?),
                "cnf" => claims.confirmation = Some(map.next_value()?),
                "active" => claims.active = Some(map.next_value()?),
                other if Some(other) == self.consent_claim => {
                    claims.consent = Some(map.next_value()?);
                }
                // Parsed rather than skipped: what nests without bounds is refused too.
                _ => {
                    let value = map.next_value::<Value>()?;
                    if self.keeps_rest {
                        rest.insert(name.clone(), value);
                    }
                }
            }
            if !seen.insert(name) {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        claims.rest = self.keeps_rest.then_some(Value::Object(rest));
        Ok(claims)
    }
}
