//! What happens beside the requests: reloads, reads of key sets, forgetting of idle addresses and expired
//! answers, and at the end the wait for the exchanges under way.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::signal::unix::Signal;

use super::Ended;
use super::live::Live;
use super::signals::heard;
use super::start::Debut;
use crate::course::ExchangesUnderWay;
use crate::moment::Moment;

const TICK: Duration = Duration::from_secs(1);
const FORGET_EVERY: Duration = Duration::from_secs(60);
const DRAIN_TICK: Duration = Duration::from_millis(20);

/// The service.
pub(super) struct Housekeeping {
    live: Arc<Live>,
    under_way: ExchangesUnderWay,
    ended: Mutex<Sender<Ended>>,
    hangup: Mutex<Option<Signal>>,
    debut: Mutex<Option<Debut>>,
}

impl Housekeeping {
    /// `hangup` has been listening since before there was anything to reload.
    pub(super) fn new(
        live: Arc<Live>,
        under_way: ExchangesUnderWay,
        ended: Sender<Ended>,
        hangup: Option<Signal>,
        debut: Debut,
    ) -> Self {
        let (hangup, debut) = (Mutex::new(hangup), Mutex::new(Some(debut)));
        Self { live, under_way, ended: Mutex::new(ended), hangup, debut }
    }

    async fn keep(&self, mut hangup: Option<Signal>, mut shutdown: ShutdownWatch) {
        let mut forget = Instant::now() + FORGET_EVERY;
        loop {
            tokio::select! {
                biased;
                // The end first: a reload that is asked for as well would only delay it.
                _ = shutdown.changed() => return,
                () = heard(&mut hangup) => self.live.reload().await,
                // No interval, which would make up at once for the ticks that a reload took.
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
        let mut say = Instant::now();
        while !self.under_way.close() {
            if say <= Instant::now() {
                tracing::info!(left = self.under_way.count(), "draining: exchanges are under way");
                say += TICK;
            }
            tokio::time::sleep(DRAIN_TICK).await;
        }
        tracing::info!("drained");
        if let Some(idempotency) = &self.live.serving.load_full().idempotency {
            // Behind the last exchange, whose record would else be lost with the process.
            idempotency.flush().await;
        }
        // The server may have run out by itself.
        let _ = self.ended.lock().send(Ended::InOrder);
    }
}

#[async_trait]
impl BackgroundService for Housekeeping {
    async fn start(&self, shutdown: ShutdownWatch) {
        let hangup = self.hangup.lock().take();
        let Some(_debuted) = self.debut.lock().take().and_then(Debut::make) else {
            let _ = self.ended.lock().send(Ended::Unwanted);
            return;
        };
        self.live.serving.load_full().admission.tokens.refresh_due(Moment::now());
        self.keep(hangup, shutdown).await;
        self.drain().await;
    }
}
