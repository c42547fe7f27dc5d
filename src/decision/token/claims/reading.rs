//! The claims as they stand in a token or an introspection answer.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess};
use serde_json::{Map, Value};

use super::{ClaimRules, ParticipantRule};
use crate::strict::{self, BoundedText, Members, Object, skip, text, whole};
use crate::token::TokenError;

/// The claims that portaria looks at.
#[derive(Default)]
pub struct Claims {
    pub(super) issuer: Option<String>,
    pub(super) audience: Option<Audience>,
    pub(super) subject: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) authorized_party: Option<String>,
    pub(super) client_id_camel: Option<String>,
    pub(super) expires_at: Option<u64>,
    pub(super) not_before: Option<u64>,
    pub(super) issued_at: Option<u64>,
    pub(super) scope: Option<ScopeClaim>,
    pub(super) confirmation: Option<Confirmation>,
    pub(super) top_level_thumbprint: Option<String>,
    pub(super) organisation: Option<String>,
    pub(super) software_statement: Option<String>,
    pub(super) consent: Option<String>,
    /// Whether `token_type`, if it is there, says that the token is one for RFC 6750.
    pub(super) is_bearer: Option<bool>,
    /// Whether it says by another name that it is no access token.
    pub(super) is_of_other_use: bool,
    active: Option<bool>,
    /// What portaria does not look at itself, where the terms of the consent may stand there.
    pub(super) rest: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(BoundedText),
    Several(Vec<BoundedText>),
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum ScopeClaim {
    Text(String),
    List(Vec<String>),
}

/// `cnf` (RFC 7800), of which only the certificate's thumbprint binds here.
#[derive(Default)]
pub(super) struct Confirmation {
    pub(super) thumbprint: Option<String>,
}

impl Members for Confirmation {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "x5t#S256" => self.thumbprint = text(map)?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

/// Seconds since 1970, with or without a fraction (RFC 7519 section 2).
#[derive(Deserialize)]
#[serde(untagged)]
enum JsonSeconds {
    Whole(u64),
    Fraction(f64),
}

struct NumericDate(u64);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match JsonSeconds::deserialize(deserializer)? {
            JsonSeconds::Whole(seconds) => Ok(Self(seconds)),
            // Cut to whole seconds: `exp` comes earlier by it. What is negative or no number is no date.
            JsonSeconds::Fraction(seconds) => Duration::try_from_secs_f64(seconds)
                .map(|duration| Self(duration.as_secs()))
                .map_err(|_| D::Error::custom("no date")),
        }
    }
}

/// The names that have a meaning of their own among the claims.
const KNOWN: [&str; 19] = [
    "iss",
    "aud",
    "sub",
    "client_id",
    "azp",
    "clientId",
    "exp",
    "nbf",
    "iat",
    "jti",
    "scope",
    "cnf",
    "x5t#S256",
    "org_id",
    "software_id",
    "token_use",
    "token_type",
    "typ",
    "active",
];

/// What `typ` says of an access token among the claims, where Keycloak writes what a token is for (`Refresh`,
/// `ID`, `Offline`), or as the header would (RFC 9068 section 2.1).
const TYPES: [&str; 3] = ["Bearer", "at+jwt", "JWT"];

/// Whether a claim of this name cannot name a consent, because it says something else.
pub fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

impl Claims {
    /// Parses a JSON object.
    ///
    /// # Errors
    ///
    /// [`TokenError::Claims`] for no JSON object, a member twice, or a claim of another type than the
    /// standard's. It refuses a token; of an answer of introspection it means that nothing can be decided.
    pub fn parse(json: &[u8], rules: &ClaimRules) -> Result<Self, TokenError> {
        // Only where somebody reads them: values are allocated, and strangers send tokens.
        let rest = rules.carrying.is_some().then(|| Value::Object(Map::new()));
        let reading = ClaimsReader { claims: Self { rest, ..Self::default() }, rules };
        strict::read(json, reading).map(|reading| reading.claims).ok_or(TokenError::Claims)
    }

    /// `active` of an introspection answer.
    pub fn active(&self) -> Option<bool> {
        self.active
    }

    /// `iss`.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }
}

struct ClaimsReader<'a> {
    claims: Claims,
    rules: &'a ClaimRules,
}

impl Members for ClaimsReader<'_> {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let claims = &mut self.claims;
        match name {
            "iss" => claims.issuer = text(map)?,
            "aud" => claims.audience = Some(map.next_value()?),
            "sub" => claims.subject = text(map)?,
            "client_id" => claims.client_id = text(map)?,
            "azp" => claims.authorized_party = text(map)?,
            "clientId" => claims.client_id_camel = text(map)?,
            "exp" => claims.expires_at = date(map)?,
            "nbf" => claims.not_before = date(map)?,
            "iat" => claims.issued_at = date(map)?,
            // It means nothing here, but of another type than text it is no claim of RFC 7519 section 4.1.7.
            "jti" => drop(text(map)?),
            "scope" => claims.scope = Some(map.next_value()?),
            "cnf" => {
                claims.confirmation = Some(map.next_value_seed(Object(Confirmation::default()))?);
            }
            "active" => claims.active = Some(map.next_value()?),
            // Of any JSON type: what is no text is no access token either, and that is a verdict.
            "token_type" => claims.is_bearer = Some(is_one_of(&whole(map)?, &["Bearer"])),
            "token_use" => claims.is_of_other_use |= whole(map)? != "access_token",
            "typ" => claims.is_of_other_use |= !is_one_of(&whole(map)?, &TYPES),
            "x5t#S256" if self.rules.accept_top_level_thumbprint => {
                claims.top_level_thumbprint = text(map)?;
            }
            "org_id" if self.rules.participant != ParticipantRule::Ignore => {
                claims.organisation = text(map)?;
            }
            "software_id" if self.rules.participant != ParticipantRule::Ignore => {
                claims.software_statement = text(map)?;
            }
            other if Some(other) == self.rules.consent_claim.as_deref() => {
                claims.consent = text(map)?;
            }
            _ => match &mut claims.rest {
                // What was there under that name is refused by the reader around this one: nothing is lost.
                Some(Value::Object(rest)) => drop(rest.insert(name.to_owned(), whole(map)?)),
                Some(_) | None => skip(map)?,
            },
        }
        Ok(())
    }
}

/// Compared without case (RFC 6749 section 5.1).
fn is_one_of(value: &Value, names: &[&str]) -> bool {
    value.as_str().is_some_and(|text| names.iter().any(|name| name.eq_ignore_ascii_case(text)))
}

fn date<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<u64>, A::Error> {
    Ok(Some(map.next_value::<NumericDate>()?.0))
}
