//! What may be wrong with a token, and why the gateway may be unable to tell.

use thiserror::Error;

use crate::ask::RemoteError;

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
    /// Another type than the configured ones, or no access token at all.
    #[error("the token is no access token, or of no accepted type (typ)")]
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
    /// It lives longer than configured, or has no end.
    #[error("the token lives too long")]
    Lifetime,
    /// It was revoked before the gateway's eyes, or the operator said so.
    #[error("the token was revoked")]
    Revoked,
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

impl TokenError {
    /// Whether this is a verdict on the token; not that the gateway cannot tell.
    pub fn is_verdict(self) -> bool {
        !matches!(self, Self::NoKeys | Self::Introspection(_))
    }
}
