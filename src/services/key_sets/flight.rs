//! Reads of a key set under way: one at a time, whoever wants it. All who wait share its outcome and its
//! deadline, and it goes on when they go away.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Cause, KeySetEvent, KeySetFetchError, KeySource};
use crate::moment::Moment;
use crate::token::IssuerKeys;
use crate::token::jwks::{KeySet, KeySetError};

/// Reads that a lookup waits for at most: one that began before its token arrived, and its own.
const MOST_WAITS: usize = 2;

/// What is under way, and what comes next.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) revision: u64,
    flight: Option<Flight>,
    due: Duration,
    failures: u32,
    last_lookup: Option<Duration>,
}

#[cfg(test)]
impl Plan {
    pub(super) fn flight_cause(&self) -> Option<Cause> {
        self.flight.as_ref().map(|flight| flight.cause)
    }
}

/// A read that is under way.
#[derive(Clone)]
struct Flight {
    began: Duration,
    cause: Cause,
    landed: watch::Receiver<Option<bool>>,
}

impl Flight {
    /// Waits for its end. Returns whether the set was read.
    async fn landing(mut self) -> bool {
        self.landed.wait_for(Option::is_some).await.is_ok_and(|landed| *landed == Some(true))
    }
}

/// What came of looking a key up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// The set was read.
    Read {
        /// Whether the read began after the question.
        since_asked: bool,
    },
    /// It could not be read.
    Failed,
    /// The last lookup was not long ago.
    Cooling,
}

struct Fresh {
    keys: KeySet,
    json: Vec<u8>,
    max_age: Option<Duration>,
}

impl KeySource {
    /// Begins a read if one is due.
    pub(super) fn begin_if_due(self: &Arc<Self>, now: Moment) {
        self.join_or_depart(Cause::Schedule, now, |plan| plan.due <= now.since_start());
    }

    /// Reads the set, and waits for it.
    pub(super) async fn read_and_wait(self: &Arc<Self>, now: Moment) {
        for _ in 0..MOST_WAITS {
            let Some(flight) = self.join_or_depart(Cause::Schedule, now, |_| true) else {
                return;
            };
            // One that began before may have read what was replaced since.
            let is_enough = flight.began >= now.since_start();
            flight.landing().await;
            if is_enough {
                return;
            }
        }
    }

    /// Waits for a read that can say whether a key is there: one that began after the question, or another
    /// lookup. Begins one, unless the last was not long ago.
    pub(super) async fn look_up(self: &Arc<Self>, cause: Cause, now: Moment) -> Lookup {
        let cooldown = self.setup.pace.lookup_cooldown;
        // Monotonic: a clock that is set back must not make a cool-down of hours.
        let is_over = |last: Duration| last.saturating_add(cooldown) <= now.since_start();
        let mut outcome = Lookup::Cooling;
        for _ in 0..MOST_WAITS {
            let may_depart = |plan: &Plan| plan.last_lookup.is_none_or(is_over);
            let Some(flight) = self.join_or_depart(cause, now, may_depart) else {
                return outcome;
            };
            let since_asked = flight.began >= now.since_start();
            // After somebody else's lookup the cool-down forbids another anyway; a scheduled read begins
            // none.
            let is_enough = since_asked || flight.cause != Cause::Schedule;
            outcome = match flight.landing().await {
                true => Lookup::Read { since_asked },
                false => Lookup::Failed,
            };
            if is_enough {
                break;
            }
        }
        outcome
    }

    /// The read that is under way, or one that begins now if it may; in a task of its own, for who asked may go
    /// away.
    fn join_or_depart(
        self: &Arc<Self>,
        cause: Cause,
        now: Moment,
        may_depart: impl FnOnce(&Plan) -> bool,
    ) -> Option<Flight> {
        let (sender, landed) = watch::channel(None);
        let flight = Flight { began: now.since_start(), cause, landed };
        {
            let mut plan = self.plan.lock();
            if let Some(under_way) = &plan.flight {
                return Some(under_way.clone());
            }
            if !may_depart(&plan) {
                return None;
            }
            plan.flight = Some(flight.clone());
            // Counted from its beginning: while it is under way everybody joins it anyway.
            if cause != Cause::Schedule {
                plan.last_lookup = Some(now.since_start());
            }
        }
        // Not under the lock: a runtime that ends drops the task here and now, and with it the landing.
        let landing = Landing { source: self.clone(), sender, succeeded: false };
        tokio::spawn(landing.fly(cause, now));
        Some(flight)
    }

    async fn read_fresh(&self) -> Result<Fresh, KeySetFetchError> {
        let read = self.read().await?;
        let keys = KeySet::parse(&read.json, &self.setup.algorithms)?;
        Ok(Fresh { keys, json: read.json, max_age: read.max_age })
    }

    fn take(&self, fresh: Fresh, cause: Cause, now: Moment) -> Vec<u8> {
        let pace = &self.setup.pace;
        let mut plan = self.plan.lock();
        plan.failures = 0;
        if cause == Cause::NoKeys {
            // What was looked for is here; a key that is new after it may be looked up at once.
            plan.last_lookup = None;
        }
        // From when the read began, as the answer may be as old as that.
        plan.due = now.since_start().saturating_add(pace.after_success(fresh.max_age));
        // Under the lock: two reads must not put their sets in force in the other order than their revisions.
        let changed = self.put_in_force(&mut plan, fresh.keys, Duration::ZERO, now);
        // Before the witness, which is code of others and may ask for the plan.
        drop(plan);
        self.tell(&KeySetEvent::Read { cause, changed });
        fresh.json
    }

    fn bear(&self, error: &KeySetFetchError, cause: Cause, now: Moment) {
        let mut plan = self.plan.lock();
        plan.failures = plan.failures.saturating_add(1);
        let pause = self.setup.pace.after_failure(plan.failures);
        plan.due = now.since_start().saturating_add(pause);
        // Only this one: the server says that the keys are withdrawn (decision 8). Any other failure replaces nothing.
        if let KeySetFetchError::KeySet(KeySetError::Empty) = error {
            self.withdraw();
        }
        drop(plan);
        self.tell(&KeySetEvent::Failed { cause, error, counts_on: self.is_ready(now) });
    }

    /// Keeps the set for the next start, or nothing.
    async fn keep(self: Arc<Self>, json: Option<Vec<u8>>, now: Moment) {
        let Some(keeper) = self.setup.keeper.clone() else {
            return;
        };
        // A thread that serves must not wait for the disk.
        let kept = tokio::task::spawn_blocking(move || keeper.keep(json.as_deref(), now)).await;
        // An outer error is a runtime that ends: the next start reads the set anew.
        if let Ok(Err(error)) = kept {
            self.tell(&KeySetEvent::NotKept(&error));
        }
    }
}

/// Ends a flight, whatever ends its task.
struct Landing {
    source: Arc<KeySource>,
    sender: watch::Sender<Option<bool>>,
    succeeded: bool,
}

impl Landing {
    async fn fly(mut self, cause: Cause, now: Moment) {
        let source = self.source.clone();
        match source.read_fresh().await {
            Ok(fresh) => {
                let json = source.take(fresh, cause, now);
                self.succeeded = true;
                // Whoever waits goes on before the disk is asked.
                drop(self);
                source.keep(Some(json), now).await;
            }
            Err(error) => {
                source.bear(&error, cause, now);
                drop(self);
                if let KeySetFetchError::KeySet(KeySetError::Empty) = error {
                    source.keep(None, now).await;
                }
            }
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        // Before anybody is woken: who goes on to a second read must not find this one under way.
        self.source.plan.lock().flight = None;
        self.sender.send_replace(Some(self.succeeded));
    }
}
