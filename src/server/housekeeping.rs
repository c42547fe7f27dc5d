//! What happens beside the requests: reloads, reads of key sets, forgetting of idle addresses and expired
//! answers, and at the end the wait for the exchanges under way.

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
    hangup: Mutex<Option<Signal>>,
}

impl Housekeeping {
    /// `hangup` has been listening since before there was anything to reload.
    pub(super) fn new(
        live: Arc<Live>,
        under_way: UnderWay,
        ended: Sender<()>,
        hangup: Option<Signal>,
    ) -> Self {
        Self { live, under_way, ended: Mutex::new(ended), hangup: Mutex::new(hangup) }
    }

    async fn keep(&self, mut hangup: Option<Signal>, mut shutdown: ShutdownWatch) {
        let mut forget = Instant::now() + FORGET_EVERY;
        loop {
            tokio::select! {
                biased;
                _ = shutdown.changed() => return,
                () = hung_up(&mut hangup) => self.live.reload().await,
                () = tokio::time::sleep(TICK) => self.tick(&mut forget),
            }
        }
    }

    fn tick(&self, forget: &mut Instant) {
        let now = Instant::now();
        let serving = self.live.serving.load_full();
        let admission = &serving.admission;
        admission.tokens.refresh_due(Moment::of(now));
        if let Some(idempotency) = &serving.idempotency {
            idempotency.sweep(Moment::of(now));
        }
        self.live.note_revoked_tokens(&admission.tokens);
        self.live.note_idempotency(serving.idempotency.as_deref());
        if *forget <= now {
            *forget = now + FORGET_EVERY;
            admission.limits.forget_idle(Moment::of(now));
            admission.consents.forget_ended(Moment::of(now));
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

/// Listens for SIGHUP from now on: a process that listens does not end by it.
pub(super) fn listen_for_hangup() -> Option<Signal> {
    let hangup = signal(SignalKind::hangup());
    if let Err(error) = &hangup {
        tracing::error!(%error, "SIGHUP will not reload the configuration");
    }
    hangup.ok()
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
        let hangup = self.hangup.lock().take();
        self.live.serving.load_full().admission.tokens.refresh_due(Moment::now());
        self.keep(hangup, shutdown).await;
        self.drain().await;
    }
}
