//! The binding of a token to the certificate that presents it (RFC 8705 section 3).
//!
//! Compared on every request, for JWT and introspected tokens alike. A token without confirmation
//! never comes this far: it is refused when its claims are judged. Where the configuration asks for it, the
//! participant that the token names must be the certificate's too.

use std::sync::Arc;

use http::HeaderValue;

use super::{TokenError, VerifiedToken};
use crate::digest::Digest;
use crate::identity::Participant;

/// A token that was verified and whose confirmation is the connection's certificate. Only this module
/// makes one:
///
/// ```compile_fail,E0451
/// use portaria_decision::token::BoundToken;
/// fn forge(token: BoundToken) -> BoundToken { BoundToken { ..token } }
/// ```
#[derive(Clone, Debug)]
pub struct BoundToken {
    token: Arc<VerifiedToken>,
    digest: Digest,
}

impl BoundToken {
    /// What the token says.
    pub fn token(&self) -> &VerifiedToken {
        &self.token
    }

    /// The digest of its text.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }
}

/// Binds a token to the participant of the connection that it arrived on.
///
/// # Errors
///
/// [`TokenError::OtherCertificate`] (RFC 8705 section 3) or [`TokenError::OtherParticipant`]. Both are
/// refusals.
pub fn bind(
    token: Arc<VerifiedToken>,
    digest: Digest,
    participant: &Participant,
) -> Result<BoundToken, TokenError> {
    // First, and in constant time: whoever has only the token learns nothing of whom it names.
    if token.thumbprint != *participant.thumbprint() {
        return Err(TokenError::OtherCertificate);
    }
    let organisation = participant.organisation_id().as_value();
    let software_statement = participant.software_statement_id().as_value();
    let is_own = is_own(token.organisation.as_deref(), organisation)
        && is_own(token.software_statement.as_deref(), software_statement);
    if is_own { Ok(BoundToken { token, digest }) } else { Err(TokenError::OtherParticipant) }
}

/// Ids of the directory are UUIDs: their case means nothing.
fn is_own(named: Option<&str>, own: &HeaderValue) -> bool {
    // A token that names nobody is bound by its thumbprint alone; whether it may was judged with its claims.
    named.is_none_or(|named| named.as_bytes().eq_ignore_ascii_case(own.as_bytes()))
}
