//! The issuers of tokens, each with keys of its own (RFC 7519 section 4.1.1).
//!
//! A token's `iss` chooses whose keys may verify it, before any signature was looked at and for nothing else:
//! the keys of one issuer never verify another's token, and an issuer that is not configured causes no request
//! to anybody.

use std::sync::Arc;

use super::keys::IssuerKeys;

/// An authorization server.
#[derive(Debug)]
pub struct Issuer {
    /// The exact `iss` of its tokens.
    pub name: String,
    /// Its keys; without, its tokens are introspected.
    pub keys: Option<Arc<dyn IssuerKeys>>,
}

/// The configured issuers.
#[derive(Debug, Default)]
pub struct Issuers(Vec<Issuer>);

impl Issuers {
    /// Issuers of distinct names.
    pub fn new(issuers: Vec<Issuer>) -> Self {
        Self(issuers)
    }

    /// The issuer at a position.
    pub fn at(&self, position: usize) -> Option<&Issuer> {
        self.0.get(position)
    }

    /// The issuer of a name, and its position.
    pub fn find(&self, name: &str) -> Option<(usize, &Issuer)> {
        // Character by character (RFC 7519 section 4.1.1, StringOrURI): a slash more is another issuer.
        self.0.iter().enumerate().find(|(_, issuer)| issuer.name == name)
    }

    /// The keys of the issuer at a position.
    pub fn keys_at(&self, position: usize) -> Option<&dyn IssuerKeys> {
        self.at(position)?.keys.as_deref()
    }

    /// Whether any issuer has keys.
    pub fn have_keys(&self) -> bool {
        self.keys().next().is_some()
    }

    /// The keys of all issuers that have any.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<dyn IssuerKeys>> {
        self.0.iter().filter_map(|issuer| issuer.keys.as_ref())
    }
}
