//! An open loop: requests at a steady rate, whatever becomes of those before. A request that finds no free
//! connection waits, and its waiting counts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use portaria::lab::Result;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::JoinSet;

use super::Outcome;
use super::http1::Connection;
use crate::target::Target;

pub(super) async fn run(
    target: &Target,
    per_second: u32,
    connections: usize,
    duration: Duration,
) -> Result<Outcome> {
    let mut free = Vec::new();
    for _ in 0..connections {
        free.push(Connection::open(target).await?);
    }
    let mut due = pace(per_second, duration);
    let outcome = Arc::new(Mutex::new(Outcome::new()?));
    let mut asked: JoinSet<Result<Connection>> = JoinSet::new();
    while let Some(began) = due.recv().await {
        while let Some(done) = asked.try_join_next() {
            free.push(done??);
        }
        let mut connection = match free.pop() {
            Some(connection) => connection,
            None => asked.join_next().await.ok_or("no connection")???,
        };
        let (target, outcome) = (target.clone(), outcome.clone());
        asked.spawn(async move {
            connection.ask(target.next(&mut Vec::new())).await?;
            outcome.lock().note(began)?;
            Ok(connection)
        });
    }
    while let Some(done) = asked.join_next().await {
        done??;
    }
    let mutex = Arc::into_inner(outcome).ok_or("a request is still under way")?;
    Ok(mutex.into_inner())
}

/// The moments at which to ask, from a thread of their own: the runtime's clock ticks in milliseconds.
fn pace(per_second: u32, duration: Duration) -> UnboundedReceiver<Instant> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let (start, step) = (Instant::now(), Duration::from_secs(1) / per_second);
        let mut due = start;
        while due < start + duration {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if sender.send(Instant::now()).is_err() {
                return;
            }
            due += step;
        }
    });
    receiver
}
