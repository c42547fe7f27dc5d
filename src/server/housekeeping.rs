//! What happens beside the requests: reloads, refreshes of the key set, forgetting of idle addresses and
//! expired answers, and at the end the wait for the exchanges under way.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::live::Live;
use crate::exchange::UnderWay;
use crate::moment::Moment;

const TICK: Duration = Duration::from_secs(1);
const FORGET_EVERY: Duration = Duration::from_secs(60);
const DRAIN_TICK: Duration = Duration::from_millis(20);

/// The service.
pub(super) struct Housekeeping {
    live: Arc<Live>,
    under_way: UnderWay,
    ended: Mutex<Sender<()>>,
}

impl Housekeeping {
    pub(super) fn new(live: Arc<Live>, under_way: UnderWay, ended: Sender<()>) -> Self {
        Self { live, under_way, ended: Mutex::new(ended) }
    }

    async fn keep(&self, mut hangup: Option<Signal>, mut shutdown: ShutdownWatch) {
        let mut due = Due { keys: Instant::now(), forget: Instant::now() + FORGET_EVERY };
        loop {
            tokio::select! {
                biased;
                _ = shutdown.changed() => return,
                () = hung_up(&mut hangup) => self.live.reload().await,
                () = tokio::time::sleep(TICK) => self.tick(&mut due).await,
            }
        }
    }

    async fn tick(&self, due: &mut Due) {
        let now = Instant::now();
        let serving = self.live.serving.load_full();
        let tokens = &serving.admission.tokens;
        if !tokens.is_ready() || due.keys <= now {
            due.keys = now + self.live.key_set_refresh();
            let refreshed = tokens.refresh_keys().await;
            self.live.note_key_set_refresh(&refreshed);
        }
        if let Some(idempotency) = &serving.idempotency {
            idempotency.sweep(Moment::now());
        }
        self.live.note_idempotency(serving.idempotency.as_deref());
        if due.forget <= now {
            due.forget = now + FORGET_EVERY;
            serving.admission.limits.forget_idle(Moment::now());
        }
    }

    /// Waits until no exchange is under way and what they leave is on disk. Whoever cuts the wait short does so from outside.
    async fn drain(&self) {
        while self.under_way.count() > 0 {
            tokio::time::sleep(DRAIN_TICK).await;
        }
        if let Some(idempotency) = &self.live.serving.load_full().idempotency {
            idempotency.flush().await;
        }
        let _ = self.ended.lock().send(());
    }
}

struct Due {
    keys: Instant,
    forget: Instant,
}

/// Waits for SIGHUP; without a handler, for ever.
async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

#[async_trait]
impl BackgroundService for Housekeeping {
    async fn start(&self, shutdown: ShutdownWatch) {
        let hangup = signal(SignalKind::hangup());
        if let Err(error) = &hangup {
            tracing::error!(%error, "SIGHUP will not reload the configuration");
        }
        self.tick(&mut Due { keys: Instant::now(), forget: Instant::now() + FORGET_EVERY }).await;
        self.keep(hangup.ok(), shutdown).await;
        self.drain().await;
    }
}
