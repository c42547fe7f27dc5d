//! A breaker for each caller: for a service that is asked about what callers choose.
//!
//! Whoever chooses the question can choose those that the service fails at (an authorization server that
//! answers 500 to tokens that it does not know). With one breaker for all, one caller would have the service left alone
//! for everybody. With one for each, it is left alone for that caller only; in an outage each caller's opens after its
//! own few failures.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use super::breaker::{Breaker, BreakerSettings, BreakerWitness};
use super::{RemoteError, Reply};
use crate::moment::Moment;

/// Callers that are told apart; one more makes the gateway forget the failures of another.
const MOST_CALLERS: u64 = 10_000;
/// After so long without a question a caller's failures are forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// The breakers of one service.
pub struct Breakers<K> {
    settings: BreakerSettings,
    clock: fn() -> Moment,
    witness: BreakerWitness,
    of: moka::sync::Cache<K, Arc<Breaker>>,
}

impl<K> fmt::Debug for Breakers<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breakers").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> Breakers<K> {
    /// Breakers that are closed. The witness is told of each that opens or closes.
    pub fn new(settings: BreakerSettings, clock: fn() -> Moment, witness: BreakerWitness) -> Self {
        // Bounded, for callers are many and some are guesses; forgotten failures cost the
        // service a few questions.
        let of = moka::sync::Cache::builder()
            .max_capacity(MOST_CALLERS)
            .time_to_idle(FORGOTTEN_AFTER)
            .build();
        Self { settings, clock, witness, of }
    }

    /// Asks for a caller, if its breaker lets it.
    ///
    /// # Errors
    ///
    /// As [`Breaker::ask`].
    pub async fn ask(
        &self,
        caller: &K,
        question: impl Future<Output = Result<Reply, RemoteError>>,
    ) -> Result<Reply, RemoteError> {
        self.of(caller).ask(question).await
    }

    /// Asks for a caller unless its breaker is open, which learns nothing from it.
    ///
    /// # Errors
    ///
    /// As [`Breaker::ask_apart`].
    pub async fn ask_apart(
        &self,
        caller: &K,
        question: impl Future<Output = Result<Reply, RemoteError>>,
    ) -> Result<Reply, RemoteError> {
        self.of(caller).ask_apart(question).await
    }

    fn of(&self, caller: &K) -> Arc<Breaker> {
        let new = || Arc::new(Breaker::new(self.settings, self.clock, self.witness.clone()));
        self.of.get_with_by_ref(caller, new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_callers_failures_are_not_anothers() {
        let settings = BreakerSettings { failures: 2, open_for: Duration::from_secs(5) };
        let breakers = Breakers::new(settings, Moment::now, Arc::new(|_| {}));
        let fail = async |caller| breakers.ask(&caller, async { Err(RemoteError::Broken) }).await;
        for _ in 0..2 {
            assert_eq!(fail("one").await.unwrap_err(), RemoteError::Broken);
        }
        assert_eq!(fail("one").await.unwrap_err(), RemoteError::LeftAlone);
        assert_eq!(fail("two").await.unwrap_err(), RemoteError::Broken);
    }
}
