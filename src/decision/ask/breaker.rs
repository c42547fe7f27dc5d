//! A breaker: a service that failed several times in a row is left alone for a while.
//!
//! Takes questions; passes them on, or refuses them at once while it is open. After its time one question
//! goes through to try: an answer closes the breaker, another failure opens it anew. A question whose
//! asker goes away says nothing about the service.
//!
//! A failure is what speaks of the service and not of the question: no connection, no answer in time, an
//! answer without bounds, a status of its own trouble (5xx) or of the gateway's standing with it (401,
//! 403, 408, 429), a redirect, an answer that is not JSON.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;

use super::{RemoteError, Reply};
use crate::moment::Moment;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row that open it.
    pub failures: u64,
    /// For how long nothing is asked.
    pub open_for: Duration,
}

/// Learns when the breaker opens (`true`) and when it closes.
pub type BreakerWitness = Arc<dyn Fn(bool) + Send + Sync>;

/// The breaker of one service.
pub struct Breaker {
    settings: BreakerSettings,
    clock: fn() -> Moment,
    witness: BreakerWitness,
    state: Mutex<BreakerState>,
}

#[derive(Default)]
struct BreakerState {
    failures: u64,
    /// On the monotonic clock.
    open_until: Option<Duration>,
    probing: bool,
}

impl std::fmt::Debug for Breaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Breaker").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Breaker {
    /// A closed breaker. A question ends later than it began, so the breaker has a clock of its own.
    pub fn new(settings: BreakerSettings, clock: fn() -> Moment, witness: BreakerWitness) -> Self {
        Self { settings, clock, witness, state: Mutex::default() }
    }

    /// Asks, if the breaker lets it.
    ///
    /// # Errors
    ///
    /// [`RemoteError::LeftAlone`] if it is open, or if another question tries already: nothing was asked.
    /// Else the question's own. Both mean "cannot decide".
    pub async fn ask(
        &self,
        question: impl Future<Output = Result<Reply, RemoteError>>,
    ) -> Result<Reply, RemoteError> {
        let attempt = self.attempt()?;
        let outcome = question.await;
        attempt.end(is_failure(&outcome));
        outcome
    }

    /// Asks unless the breaker is open, and learns nothing from it: for questions of a caller's choice, who could
    /// choose those that the service fails at, and have it left alone for all others.
    ///
    /// # Errors
    ///
    /// [`RemoteError::LeftAlone`] if it is open: nothing was asked. Else the question's own. Both mean
    /// "cannot decide".
    pub async fn ask_apart(
        &self,
        question: impl Future<Output = Result<Reply, RemoteError>>,
    ) -> Result<Reply, RemoteError> {
        // Not `probing`: who learns nothing must not take the one question that would.
        let open_until = self.state.lock().open_until;
        if open_until.is_some_and(|until| self.now() < until) {
            return Err(RemoteError::LeftAlone);
        }
        question.await
    }

    fn attempt(&self) -> Result<QuestionUnderWay<'_>, RemoteError> {
        let mut state = self.state.lock();
        let is_probe = match state.open_until {
            None => false,
            Some(until) if state.probing || self.now() < until => {
                return Err(RemoteError::LeftAlone);
            }
            Some(_) => true,
        };
        state.probing |= is_probe;
        Ok(QuestionUnderWay { breaker: self, is_probe })
    }

    fn now(&self) -> Duration {
        (self.clock)().since_start()
    }

    /// Takes the outcome of an attempt; says so if the breaker opened or closed.
    fn learn(&self, failed: bool, is_probe: bool) {
        let changed = {
            let mut state = self.state.lock();
            let was_open = state.open_until.is_some();
            // Also of a question from before it opened: that it is answered shows that the service is there.
            if !failed {
                *state = BreakerState::default();
                was_open.then_some(false)
            } else if was_open && !is_probe {
                // Asked before it opened.
                None
            } else {
                state.failures += 1;
                // One failure of a probe is enough: it was asked because nobody believed otherwise.
                let opens = is_probe || state.failures >= self.settings.failures;
                if opens {
                    state.open_until = Some(self.now() + self.settings.open_for);
                }
                (opens && !was_open).then_some(true)
            }
        };
        // Behind the lock: whoever is told may take others.
        if let Some(is_open) = changed {
            (self.witness)(is_open);
        }
    }
}

/// A breaker that goes away is open no longer.
impl Drop for Breaker {
    fn drop(&mut self) {
        if self.state.lock().open_until.is_some() {
            (self.witness)(false);
        }
    }
}

/// A question under way.
struct QuestionUnderWay<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
}

impl QuestionUnderWay<'_> {
    fn end(self, failed: bool) {
        self.breaker.learn(failed, self.is_probe);
    }
}

/// Ended or given up, the next question may try.
impl Drop for QuestionUnderWay<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            self.breaker.state.lock().probing = false;
        }
    }
}

fn is_failure(outcome: &Result<Reply, RemoteError>) -> bool {
    match outcome {
        Err(_) => true,
        // A page with 200 comes from what stands before the service, while that is away.
        Ok(answer) if answer.status == StatusCode::OK => !answer.is_json(),
        Ok(answer) => {
            answer.status.is_server_error()
                || answer.status.is_redirection()
                || matches!(answer.status.as_u16(), 401 | 403 | 408 | 429)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::UNIX_EPOCH;

    use super::*;

    static SECONDS: AtomicU64 = AtomicU64::new(0);

    fn clock() -> Moment {
        Moment::at(Duration::from_secs(SECONDS.load(Ordering::SeqCst)), UNIX_EPOCH)
    }

    fn answer(status: StatusCode, media_type: &'static str) -> Reply {
        let value = http::HeaderValue::from_static(media_type);
        let fields = [(http::header::CONTENT_TYPE, value)].into_iter().collect();
        Reply { status, fields, body: Vec::new() }
    }

    fn outcome(status: u16) -> Result<Reply, RemoteError> {
        let status = StatusCode::from_u16(status).unwrap();
        Ok(answer(status, "application/json"))
    }

    /// One test, for the clock is shared.
    #[tokio::test]
    async fn the_life_of_a_breaker() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let witness: BreakerWitness = Arc::new({
            let told = told.clone();
            move |is_open| told.lock().push(is_open)
        });
        let settings = BreakerSettings { failures: 3, open_for: Duration::from_secs(5) };
        let breaker = Breaker::new(settings, clock, witness);
        let fail = async || breaker.ask(async { Err(RemoteError::Broken) }).await;
        let succeed = async || breaker.ask(async { outcome(200) }).await;
        let is_left_alone =
            |outcome: &Result<Reply, RemoteError>| matches!(outcome, Err(RemoteError::LeftAlone));

        for _ in 0..2 {
            fail().await.unwrap_err();
        }
        succeed().await.unwrap();
        for _ in 0..3 {
            assert!(!is_left_alone(&fail().await), "two failures and a success are forgotten");
        }
        assert!(is_left_alone(&succeed().await));
        SECONDS.store(4, Ordering::SeqCst);
        assert!(is_left_alone(&succeed().await));

        SECONDS.store(5, Ordering::SeqCst);
        let probe = breaker.attempt().unwrap();
        assert!(is_left_alone(&succeed().await), "one tries at a time");
        drop(probe);
        assert!(!is_left_alone(&fail().await), "a probe that is given up makes room");
        SECONDS.store(9, Ordering::SeqCst);
        assert!(is_left_alone(&succeed().await), "the failed probe opened it anew");
        SECONDS.store(10, Ordering::SeqCst);
        succeed().await.unwrap();
        for _ in 0..2 {
            fail().await.unwrap_err();
            assert!(!is_left_alone(&fail().await));
            succeed().await.unwrap();
        }
        assert_eq!(*told.lock(), [true, false]);

        for _ in 0..3 {
            fail().await.unwrap_err();
        }
        drop(breaker);
        assert_eq!(*told.lock(), [true, false, true, false]);
    }

    #[test]
    fn what_speaks_of_the_question_is_no_failure() {
        for status in [200, 204, 400, 404, 410, 422] {
            assert!(!is_failure(&outcome(status)), "{status}");
        }
        for status in [301, 302, 401, 403, 408, 429, 500, 502, 503, 504] {
            assert!(is_failure(&outcome(status)), "{status}");
        }
        assert!(is_failure(&Ok(answer(StatusCode::OK, "text/html"))));
        assert!(is_failure(&Err(RemoteError::TooLong)));
    }
}
