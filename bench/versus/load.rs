//! The load: connections that ask, wait for the answer and ask again, or that ask when a clock says so.
//!
//! Every answer must be 200 or 201: anything else ends the measurement.

pub(crate) mod http1;
pub(crate) mod http2;
mod open;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use portaria::lab::Result;
use tokio::task::JoinSet;

use crate::target::Target;

/// How connections are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// So many connections, each with one request after the other.
    Http1(usize),
    /// So many connections with so many streams, each with one request after the other.
    Http2(usize, usize),
    /// So many at a time, each connection with one request.
    Handshakes(usize),
    /// So many requests per second, whatever becomes of those before.
    Open(u32),
}

/// The connections of an open loop.
const OPEN_CONNECTIONS: usize = 32;

/// What came back.
pub(crate) struct Outcome {
    pub(crate) answers: u64,
    pub(crate) latencies: Histogram<u64>,
}

impl Outcome {
    fn new() -> Result<Self> {
        Ok(Self { answers: 0, latencies: Histogram::new(3)? })
    }

    fn note(&mut self, began: Instant) -> Result<()> {
        self.answers += 1;
        Ok(self.latencies.record(u64::try_from(began.elapsed().as_nanos())?)?)
    }

    fn add(&mut self, other: &Self) -> Result<()> {
        self.answers += other.answers;
        Ok(self.latencies.add(&other.latencies)?)
    }
}

/// When a worker stops.
#[derive(Clone)]
enum Until {
    End(Instant),
    /// So many requests are left for all workers.
    Left(Arc<AtomicUsize>),
}

impl Until {
    fn goes_on(&self) -> bool {
        match self {
            Self::End(end) => Instant::now() < *end,
            Self::Left(left) => {
                let take = |n: usize| n.checked_sub(1);
                left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
            }
        }
    }
}

/// Loads for a time.
pub(crate) async fn run(target: &Target, shape: Shape, duration: Duration) -> Result<Outcome> {
    match shape {
        Shape::Open(per_second) => open::run(target, per_second, OPEN_CONNECTIONS, duration).await,
        _ => work(target, shape, &Until::End(Instant::now() + duration)).await,
    }
}

/// Makes so many requests.
pub(crate) async fn run_count(target: &Target, shape: Shape, count: usize) -> Result<Outcome> {
    work(target, shape, &Until::Left(Arc::new(AtomicUsize::new(count)))).await
}

async fn work(target: &Target, shape: Shape, until: &Until) -> Result<Outcome> {
    let mut workers: JoinSet<Result<Outcome>> = JoinSet::new();
    match shape {
        Shape::Http1(connections) => {
            for _ in 0..connections {
                workers.spawn(http1::keep_asking(target.clone(), until.clone()));
            }
        }
        Shape::Handshakes(at_a_time) => {
            for _ in 0..at_a_time {
                workers.spawn(http1::keep_connecting(target.clone(), until.clone()));
            }
        }
        Shape::Http2(connections, streams) => {
            for _ in 0..connections {
                let sender = http2::open(target).await?;
                for _ in 0..streams {
                    let asking = http2::keep_asking(sender.clone(), target.clone(), until.clone());
                    workers.spawn(asking);
                }
            }
        }
        Shape::Open(_) => return Err("an open loop has no workers".into()),
    }
    let mut outcome = Outcome::new()?;
    while let Some(worker) = workers.join_next().await {
        outcome.add(&worker??)?;
    }
    Ok(outcome)
}
