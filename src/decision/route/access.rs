//! What a route asks of a caller.

use crate::consent::{ConsentUse, Permission};
use crate::scope::Scope;

/// The access rule of a route. A permission without a token cannot be written:
///
/// ```compile_fail,E0559
/// use portaria_decision::{consent::Permission, route::Access};
/// fn forge(permission: Permission) -> Access { Access::Open { permission } }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone, with or without certificate (phase 1, discovery).
    Open,
    /// A participant by its certificate alone: the authorization server behind the gateway issues the
    /// tokens, and cannot ask for one.
    Certificate,
    /// The consent registry, by events that it signs: answered by the gateway itself.
    Event,
    /// A participant with a token of its own (`client_credentials`).
    Client {
        /// The scope that the token must carry.
        scope: Scope,
    },
    /// A participant with a customer's token and consent.
    Consented {
        /// The scope that the token must carry.
        scope: Scope,
        /// The permission that the consent must contain.
        permission: Permission,
        /// What the route does under the consent.
        to: ConsentUse,
    },
}

impl Access {
    /// Whether the caller must be a participant.
    pub fn needs_participant(&self) -> bool {
        match self {
            Self::Open | Self::Event => false,
            Self::Certificate | Self::Client { .. } | Self::Consented { .. } => true,
        }
    }

    /// Whether the route answers on a listener without client authentication.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }
}
