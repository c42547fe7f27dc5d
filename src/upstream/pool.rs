//! The connections to servers that wait for the next exchange.
//!
//! One pool for each thread that serves: a socket lives on the runtime that made it. Bounded for each server and in
//! time: a server that closes what is idle must not do so under a request, so its word (`Keep-Alive: timeout=n`) counts
//! where it is shorter than what is configured. The newest is taken first.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Chosen;
use super::line::Line;

/// Connections that wait for one server.
const MOST_IDLE: usize = 128;
/// How often those that waited too long are closed.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The pool of a thread.
#[derive(Default)]
pub struct Pool(Mutex<IdleLines>);

#[derive(Default)]
struct IdleLines {
    /// By the number of the server.
    idle: HashMap<u64, VecDeque<Idle>>,
    swept: Option<Instant>,
}

struct Idle {
    line: Line,
    until: Instant,
}

impl Pool {
    /// A connection to a server on which nothing came since it was put away.
    pub async fn take(&self, server: &Chosen, now: Instant) -> Option<Line> {
        loop {
            let mut idle = self.0.lock().idle.get_mut(&server.number)?.pop_back()?;
            if idle.until > now && idle.line.is_quiet().await {
                return Some(idle.line);
            }
        }
    }

    /// Puts a connection away, if its exchange ended so that it may carry another. Its server has waited since it was
    /// last `heard`.
    pub fn give_back(&self, server: &Chosen, line: Line, heard: Instant) {
        let Some(line) = line.finish() else { return };
        let said = line.patience().unwrap_or(server.idle_timeout);
        let patience = said.min(server.idle_timeout);
        // A second, less the one that is taken off for what is under way: nobody could use it.
        if patience.is_zero() {
            return;
        }
        let idle = Idle { line, until: heard + patience };
        // What is too many is dropped behind the lock.
        let _oldest = {
            let mut within = self.0.lock();
            let waiting = within.idle.entry(server.number).or_default();
            waiting.push_back(idle);
            (waiting.len() > MOST_IDLE).then(|| waiting.pop_front())
        };
    }

    /// Closes what waited too long, once a second.
    pub fn sweep(&self, now: Instant) {
        // Dropped behind the lock: closing is a system call each.
        let mut over = Vec::new();
        {
            let mut within = self.0.lock();
            if within.swept.is_some_and(|swept| now.duration_since(swept) < SWEEP_EVERY) {
                return;
            }
            within.swept = Some(now);
            for waiting in within.idle.values_mut() {
                if waiting.iter().any(|idle| idle.until <= now) {
                    let all = std::mem::take(waiting).into_iter();
                    let (gone, kept): (VecDeque<_>, _) = all.partition(|idle| idle.until <= now);
                    *waiting = kept;
                    over.extend(gone);
                }
            }
            // A reload gives servers new numbers: those of before must not stay for ever.
            within.idle.retain(|_, waiting| !waiting.is_empty());
        }
    }
}
