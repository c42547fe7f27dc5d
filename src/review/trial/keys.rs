//! The keys of the trial's authorization server.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::token::ISSUER;
use crate::moment::Moment;
use crate::token::{IssuerKeys, KeysInForce, TokenError};

/// Keys that are there from the beginning and count to the end of the run.
pub(super) struct TrialKeys(Arc<KeysInForce>);

impl TrialKeys {
    pub(super) fn new(keys: KeysInForce) -> Self {
        Self(Arc::new(keys))
    }
}

impl fmt::Debug for TrialKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrialKeys")
    }
}

#[async_trait]
impl IssuerKeys for TrialKeys {
    fn issuer(&self) -> &str {
        ISSUER
    }

    fn vouches_for(&self, revision: u64, _: Moment) -> bool {
        self.0.revision == revision
    }

    fn is_ready(&self, _: Moment) -> bool {
        true
    }

    async fn with_key(
        self: Arc<Self>,
        kid: Option<&str>,
        _: Moment,
    ) -> Result<Arc<KeysInForce>, TokenError> {
        let keys = &self.0;
        keys.keys.find(kid).map(|_| keys.clone()).ok_or(TokenError::UnknownKey)
    }

    fn refresh_if_due(self: Arc<Self>, _: Moment) {}

    async fn refresh(self: Arc<Self>, _: Moment) {}
}
