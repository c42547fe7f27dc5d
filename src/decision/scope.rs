//! Scopes: does the token carry the scope that the route requires?
//!
//! Takes the `scope` of a token (RFC 6749 section 3.3); gives the set, and the consent that one of its
//! members names (`consent:{consentId}`, OPIN security profile 7.1). Extra scopes are legitimate
//! (Open Banking Brasil 7.2.2 item 6); a missing one is insufficient_scope (RFC 6750 section 3.1).

use std::fmt;

use http::HeaderValue;
use thiserror::Error;

use crate::digest::Digest;

/// A scope that a route requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope(Box<str>);

impl Scope {
    /// Accepts one scope token: visible ASCII without quotes and backslashes.
    pub fn new(text: &str) -> Option<Self> {
        is_scope_token(text).then(|| Self(text.into()))
    }

    /// The scope as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_scope_token(text: &str) -> bool {
    let allowed = |b: u8| (0x21..=0x7e).contains(&b) && b != b'"' && b != b'\\';
    // Bytes, so that every character beyond ASCII is refused (RFC 6749 section 3.3).
    !text.is_empty() && text.bytes().all(allowed)
}

/// Which of a customer's consents is meant: one token may name one of each (Open Finance Brasil,
/// Jornada Otimizada).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentKind {
    /// A consent of the consents API.
    Consent,
    /// A device's enrollment, for payments without redirection.
    Enrollment,
}

/// The id of a consent: at most 256 visible ASCII characters, in practice a URN. It is personal: it
/// has no Display, and Debug hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct ConsentId {
    value: HeaderValue,
    digest: Digest,
}

impl ConsentId {
    /// Accepts 1 to 256 visible ASCII characters.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=256).contains(&text.len()) && is_scope_token(text);
        // Visible ASCII is always a field value: the conversion cannot fail.
        let value = if fits { HeaderValue::from_str(text).ok()? } else { return None };
        Some(Self { value, digest: Digest::of(text) })
    }

    /// The id as text, for the registry.
    pub fn reveal(&self) -> &str {
        // Never the default: `new` let nothing but visible ASCII in.
        self.value.to_str().unwrap_or_default()
    }

    /// The id as a field value, for the backend: cloning it copies no bytes.
    pub fn as_value(&self) -> &HeaderValue {
        &self.value
    }

    /// Its digest, computed once: what the gateway remembers of a consent is filed under it.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl fmt::Debug for ConsentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConsentId(..)")
    }
}

/// Why the token's scopes do not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScopeError {
    /// The scope of the route is not among the token's.
    #[error("the token lacks the scope of the route")]
    Insufficient,
}

/// Why a `scope` value is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScopesError {
    /// A character that may not stand in a scope.
    #[error("a scope contains a character that may not stand there")]
    Character,
    /// More scopes than any OPIN token has reason to carry.
    #[error("more than {MOST} scopes")]
    TooMany,
    /// Two different consents: which one counts would be the reader's choice.
    #[error("two consents in one token")]
    TwoConsents,
}

/// OPIN defines about 45 scopes.
const MOST: usize = 100;

/// The scopes of a token. Debug hides them: one of them names a consent.
#[derive(Clone, PartialEq, Eq)]
pub struct Scopes(Vec<Box<str>>);

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({} of them)", self.0.len())
    }
}

impl Scopes {
    /// Collects scope tokens.
    ///
    /// # Errors
    ///
    /// [`ScopesError::Character`] (RFC 6749 section 3.3) or [`ScopesError::TooMany`]: the whole token is not
    /// understood, and refused.
    pub fn new<'a>(tokens: impl Iterator<Item = &'a str>) -> Result<Self, ScopesError> {
        let mut scopes = Vec::new();
        for token in tokens {
            if !is_scope_token(token) {
                // The whole token and not this scope: a server that writes such a thing is not understood.
                return Err(ScopesError::Character);
            }
            // Before it is kept: who issues tokens decides how many there are, and each is cached.
            if scopes.len() == MOST {
                return Err(ScopesError::TooMany);
            }
            scopes.push(token.into());
        }
        Ok(Self(scopes))
    }

    /// The bytes that they take.
    pub fn size(&self) -> usize {
        self.0.iter().map(|scope| size_of_val(scope) + scope.len()).sum()
    }

    /// The scopes. One of them may name a consent.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Refuses a token without the scope of the route.
    ///
    /// # Errors
    ///
    /// [`ScopeError::Insufficient`], a refusal (RFC 6750 section 3.1).
    pub fn require(&self, scope: &Scope) -> Result<(), ScopeError> {
        // As it is written: scopes have case (RFC 6749 section 3.3).
        if self.0.contains(&scope.0) { Ok(()) } else { Err(ScopeError::Insufficient) }
    }

    /// The consent that a scope `{prefix}{consentId}` names.
    ///
    /// # Errors
    ///
    /// [`ScopesError::TwoConsents`], or [`ScopesError::Character`] if what follows the prefix can be no id:
    /// the whole token is not understood, and refused.
    pub fn consent(&self, prefix: &str) -> Result<Option<ConsentId>, ScopesError> {
        let mut found: Option<&str> = None;
        for id in self.0.iter().filter_map(|scope| scope.strip_prefix(prefix)) {
            // The same one twice leaves nothing open.
            if found.is_some_and(|other| other != id) {
                return Err(ScopesError::TwoConsents);
            }
            found = Some(id);
        }
        match found {
            None => Ok(None),
            // Not `None`: a consent that cannot be read must not make the token one without.
            Some(id) => ConsentId::new(id).map(Some).ok_or(ScopesError::Character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(text: &str) -> Result<Scopes, ScopesError> {
        Scopes::new(text.split(' '))
    }

    #[test]
    fn a_scope_must_match_whole() {
        let token = scopes("openid consent:urn:opin:1 insurance-auto").unwrap();
        assert_eq!(token.require(&Scope::new("insurance-auto").unwrap()), Ok(()));
        for lacking in ["insurance", "insurance-auto2", "INSURANCE-AUTO", "customers"] {
            let error = token.require(&Scope::new(lacking).unwrap());
            assert_eq!(error, Err(ScopeError::Insufficient), "{lacking}");
        }
    }

    #[test]
    fn one_consent_at_most() {
        let consent = |text: &str| scopes(text).unwrap().consent("consent:");
        assert_eq!(consent("openid"), Ok(None));
        assert_eq!(consent("consent:a consent:a").unwrap().unwrap().reveal(), "a");
        assert_eq!(consent("consent:a consent:b"), Err(ScopesError::TwoConsents));
        assert_eq!(consent("consent:"), Err(ScopesError::Character));
    }

    #[test]
    fn malformed_scopes_are_refused() {
        for bad in ["a  b", "a\"b", "a\\b", "é", ""] {
            assert_eq!(scopes(bad), Err(ScopesError::Character), "{bad}");
        }
        assert!(scopes(&vec!["s"; 100].join(" ")).is_ok());
        assert_eq!(scopes(&vec!["s"; 101].join(" ")), Err(ScopesError::TooMany));
    }
}
