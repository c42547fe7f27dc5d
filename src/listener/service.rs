//! Where connections are accepted, and the threads that serve them.
//!
//! The threads share nothing on the way of a request: each has a runtime of its own, and connections to servers of its
//! own. One acceptor for each listener gives every connection to the thread that has the fewest.

use std::io::{Error, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use tokio::net::{TcpListener as TokioListener, TcpStream as TokioStream};
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use super::Bound;
use super::edge::{Edge, Guest};
use crate::course::Entered;
use crate::upstream::pool::Pool;

/// How often connections that waited too long for another exchange are closed.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How long no connection is accepted when the system has no descriptor for one.
const BREATH: Duration = Duration::from_millis(50);

/// What a thread has for all that it serves.
#[derive(Default)]
pub struct Worker {
    /// Its connections to servers.
    pub(super) pool: Pool,
    open: AtomicUsize,
}

/// A connection on its way to a thread. There are no more of them than the ceilings of connections admit.
struct Accepted {
    edge: Arc<Edge>,
    tcp: TcpStream,
    peer: SocketAddr,
    guest: Guest,
    shutdown: ShutdownWatch,
    place: OpenPlace,
    /// Until its first request, or a while after the gateway begins to end: whoever connects is about to ask.
    entered: Entered,
}

/// The threads.
pub struct Workers(Vec<(Arc<Worker>, UnboundedSender<Accepted>)>);

impl Workers {
    /// Starts so many.
    pub fn start(threads: usize) -> std::io::Result<Arc<Self>> {
        let start = |number| {
            let worker = Arc::new(Worker::default());
            let (sender, receiver) = unbounded_channel();
            // Of its own and no work stealing: that cost 11 to 31 % of a request, measured at saturation.
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let served = worker.clone();
            let thread = std::thread::Builder::new().name(format!("serve-{number}"));
            thread.spawn(move || runtime.block_on(serve(served, receiver)))?;
            Ok((worker, sender))
        };
        Ok(Arc::new(Self((0..threads).map(start).collect::<std::io::Result<_>>()?)))
    }

    /// The thread that has the fewest connections.
    fn fewest(&self) -> Option<&(Arc<Worker>, UnboundedSender<Accepted>)> {
        // One acceptor counts: it is a little late at most, and with SO_REUSEPORT the busiest had 1.75 of its
        // share.
        self.0.iter().min_by_key(|(worker, _)| worker.open.load(Ordering::Relaxed))
    }
}

/// A connection that a thread has, or is about to.
struct OpenPlace(Arc<Worker>);

impl OpenPlace {
    fn of(worker: &Arc<Worker>) -> Self {
        // Relaxed: a number to choose by, and nothing is published with it.
        worker.open.fetch_add(1, Ordering::Relaxed);
        Self(worker.clone())
    }
}

impl Drop for OpenPlace {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a thread does.
async fn serve(worker: Arc<Worker>, mut accepted: UnboundedReceiver<Accepted>) {
    let swept = worker.clone();
    tokio::spawn(async move {
        loop {
            // One sweep for all: a task that watches each idle connection cost 0.8 us a request.
            sleep(SWEEP_EVERY).await;
            swept.pool.sweep(Instant::now());
        }
    });
    while let Some(accepted) = accepted.recv().await {
        let Accepted { edge, tcp, peer, guest, shutdown, place, entered } = accepted;
        let worker = worker.clone();
        tokio::spawn(async move {
            edge.serve(tcp, peer, guest, worker, (shutdown, entered)).await;
            drop(place);
        });
    }
    // No more come. Those that are here go on until the process ends.
    std::future::pending::<()>().await;
}

/// A listener, as the framework runs it.
pub struct Listening {
    edge: Arc<Edge>,
    bound: Option<Bound>,
    workers: Arc<Workers>,
    accepting: Option<Entered>,
}

impl Listening {
    /// A listener on a socket, served by these threads.
    pub fn new(edge: Edge, bound: Bound, workers: Arc<Workers>) -> Self {
        let accepting = edge.gateway.under_way.enter();
        Self { edge: Arc::new(edge), bound: Some(bound), workers, accepting }
    }

    /// Gives a connection to a thread. Without a place it is closed at once.
    fn give_away(&self, tcp: TokioStream, peer: SocketAddr, shutdown: &ShutdownWatch) {
        // Here and not in the thread: what waits in its queue is bounded by the places.
        let Some(guest) = self.edge.admit(peer) else { return };
        // Its runtime is that of the thread that serves it.
        let (Some((worker, sender)), Ok(tcp)) = (self.workers.fewest(), tcp.into_std()) else {
            return;
        };
        // The listener is counted itself, so nothing is closed yet.
        let Some(entered) = self.edge.gateway.under_way.enter() else { return };
        let (edge, place) = (self.edge.clone(), OpenPlace::of(worker));
        let shutdown = shutdown.clone();
        let accepted = Accepted { edge, tcp, peer, guest, shutdown, place, entered };
        // A thread ends with the process, and its connections with it.
        let _ = sender.send(accepted);
    }
}

#[async_trait]
impl Service for Listening {
    async fn start_service(&mut self, _: Option<ListenFds>, mut shutdown: ShutdownWatch, _: usize) {
        let Some(bound) = self.bound.take() else { return };
        // Until nothing is accepted any more: what was accepted last is to be served.
        let _accepting = self.accepting.take();
        let socket = match TokioListener::from_std(bound.socket) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(listener = &*self.edge.listener, %error, "cannot accept connections");
                return;
            }
        };
        while !*shutdown.borrow() {
            tokio::select! {
                // The end first, or a flood of connections would keep the listener from hearing of it.
                biased;
                _ = shutdown.changed() => {}
                accepted = socket.accept() => match accepted {
                    Ok((tcp, peer)) => self.give_away(tcp, peer, &shutdown),
                    Err(error) => self.note(&error).await,
                }
            }
        }
    }

    fn name(&self) -> &str {
        &self.edge.listener
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }
}

impl Listening {
    /// A client that left before it was accepted is nothing; without descriptors there is nothing to do but wait.
    async fn note(&self, error: &Error) {
        if matches!(
            error.kind(),
            ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
        ) {
            return;
        }
        tracing::error!(listener = &*self.edge.listener, %error, "a connection cannot be accepted");
        // Otherwise this thread would spin: the connection that could not be accepted stays in the queue.
        sleep(BREATH).await;
    }
}
