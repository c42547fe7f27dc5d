//! What the process is told by signals, and what becomes of it.
//!
//! SIGTERM drains, SIGINT stops, SIGQUIT hands the listening sockets over. Until somebody took them and
//! serves, the process goes on as if nothing had been said. SIGUSR1 and SIGUSR2 mean nothing here, and are no
//! reason to end.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::listener::handover::{HandoverError, MeetingPlace};

/// Between two attempts to find somebody who takes the sockets.
const AGAIN: Duration = Duration::from_millis(200);

/// Signals that are listened for since before there was anything to do about them: a process that listens does
/// not end by them.
pub(super) struct Signals {
    pub(super) hangup: Option<Signal>,
    quit: Option<Signal>,
    user: [Option<Signal>; 2],
}

impl Signals {
    /// Listens from now on.
    pub(super) fn listen() -> Self {
        Self {
            hangup: listen(SignalKind::hangup(), "SIGHUP"),
            quit: listen(SignalKind::quit(), "SIGQUIT"),
            user: [
                listen(SignalKind::user_defined1(), "SIGUSR1"),
                listen(SignalKind::user_defined2(), "SIGUSR2"),
            ],
        }
    }
}

fn listen(kind: SignalKind, name: &str) -> Option<Signal> {
    let heard = signal(kind);
    if let Err(error) = &heard {
        tracing::error!(%error, "{name} will not be heard");
    }
    heard.ok()
}

/// Waits for a signal; without a handler, for ever.
pub(super) async fn heard(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Waits for the end of the process.
pub(super) struct ProcessEnd {
    place: MeetingPlace,
    /// Duplicates of the listening sockets: gone before the process ends, or connections would wait at sockets
    /// that nobody accepts from.
    sockets: Mutex<Option<Arc<Vec<TcpListener>>>>,
    heard: Mutex<Option<Signals>>,
}

impl ProcessEnd {
    pub(super) fn new(place: MeetingPlace, sockets: Vec<TcpListener>, heard: Signals) -> Self {
        Self { place, sockets: Mutex::new(Some(Arc::new(sockets))), heard: Mutex::new(Some(heard)) }
    }

    async fn await_end(&self) -> ShutdownSignal {
        let mut terminate = listen(SignalKind::terminate(), "SIGTERM");
        let mut interrupt = listen(SignalKind::interrupt(), "SIGINT");
        let heard = self.heard.lock().take();
        tokio::select! {
            biased;
            // If both came, what ends sooner.
            () = self::heard(&mut interrupt) => {
                tracing::info!("SIGINT: stopping at once");
                ShutdownSignal::FastShutdown
            }
            () = self::heard(&mut terminate) => {
                tracing::info!("SIGTERM: no new connections");
                ShutdownSignal::GracefulTerminate
            }
            () = self.hand_over(heard) => ShutdownSignal::GracefulTerminate,
        }
    }

    /// Ends when another process serves.
    async fn hand_over(&self, heard: Option<Signals>) {
        let Some(Signals { mut quit, user: [mut first, mut second], .. }) = heard else {
            return std::future::pending().await;
        };
        loop {
            tokio::select! {
                () = self::heard(&mut quit) => break,
                () = self::heard(&mut first) => mean_nothing("SIGUSR1"),
                () = self::heard(&mut second) => mean_nothing("SIGUSR2"),
            }
        }
        tracing::info!(socket = %self.place.path().display(), "SIGQUIT: handing the sockets over");
        let mut said = String::new();
        loop {
            match self.give().await {
                Ok(pid) => {
                    tracing::info!(pid, "sockets handed over: process {pid} serves");
                    return;
                }
                Err(error) => {
                    let error = error.to_string();
                    if error != said {
                        let socket = self.place.path().display();
                        tracing::warn!(%socket, "sockets not handed over: {error}. This process goes on serving, and hands them over as soon as somebody takes them");
                        said = error;
                    }
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn give(&self) -> Result<i32, HandoverError> {
        let Some(sockets) = self.sockets.lock().clone() else {
            return Err(HandoverError::Nobody);
        };
        let place = self.place.clone();
        let (told, given) = oneshot::channel();
        // A thread that nobody waits for: SIGINT ends the process whatever the other one does.
        std::thread::Builder::new().name("handover".to_owned()).spawn(move || {
            // Nobody waits for it when the process ends.
            let _ = told.send(place.give(&sockets));
        })?;
        match given.await {
            Ok(given) => given.map(|pid| pid.as_raw_pid()),
            Err(_) => Err(HandoverError::Nobody),
        }
    }
}

fn mean_nothing(name: &str) {
    tracing::info!("{name} means nothing to portaria: logs need no reopening, SIGHUP reloads");
}

#[async_trait]
impl ShutdownSignalWatch for ProcessEnd {
    async fn recv(&self) -> ShutdownSignal {
        let signal = self.await_end().await;
        // Before anything drains: who connects from now on must be told that nobody is there.
        *self.sockets.lock() = None;
        signal
    }
}
