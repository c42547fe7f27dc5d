//! The binding of a token to the certificate that presents it (RFC 8705 section 3).
//!
//! Compared on every request, for JWT and introspected tokens alike. A token without confirmation
//! never comes this far: it is refused when its claims are judged.

use std::sync::Arc;

use super::{TokenError, VerifiedToken};
use crate::identity::Participant;

/// A token that was verified and whose confirmation is the connection's certificate. Only this module
/// makes one:
///
/// ```compile_fail,E0451
/// use portaria::token::BoundToken;
/// fn forge(token: BoundToken) -> BoundToken { BoundToken { ..token } }
/// ```
#[derive(Clone, Debug)]
pub struct BoundToken {
    token: Arc<VerifiedToken>,
}

impl BoundToken {
    /// What the token says.
    pub fn token(&self) -> &VerifiedToken {
        &self.token
    }
}

/// Binds a token to the participant of the connection that it arrived on.
pub fn bind(
    token: Arc<VerifiedToken>,
    participant: &Participant,
) -> Result<BoundToken, TokenError> {
    if token.thumbprint == *participant.thumbprint() {
        Ok(BoundToken { token })
    } else {
        Err(TokenError::OtherCertificate)
    }
}
