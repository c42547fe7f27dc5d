//! The seam between the token stage and whoever fetches the keys of an issuer.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::TokenError;
use super::jwks::KeySet;
use crate::moment::Moment;

/// Keys that count.
pub struct KeysInForce {
    /// The keys.
    pub keys: KeySet,
    /// Tells these keys from those before.
    pub revision: u64,
}

/// The keys of one issuer, wherever they come from.
#[async_trait]
pub trait IssuerKeys: fmt::Debug + Send + Sync {
    /// Whose keys they are.
    fn issuer(&self) -> &str;

    /// Whether what the keys of a revision verified still counts.
    fn vouches_for(&self, revision: u64, now: Moment) -> bool;

    /// Whether there is a set that counts.
    fn is_ready(&self, now: Moment) -> bool;

    /// The set that has the key of a name, looked up once more if need be.
    ///
    /// # Errors
    ///
    /// [`TokenError::UnknownKey`] if it is certain that there is no such key, [`TokenError::NoKeys`] if that cannot be
    /// decided.
    async fn with_key(
        self: Arc<Self>,
        kid: Option<&str>,
        now: Moment,
    ) -> Result<Arc<KeysInForce>, TokenError>;

    /// Begins to read the set again, if it is due.
    fn refresh_if_due(self: Arc<Self>, now: Moment);

    /// Reads the set, and waits for it.
    async fn refresh(self: Arc<Self>, now: Moment);
}
