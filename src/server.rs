//! The process: what runs, from start-up to the last exchange.
//!
//! Takes a configuration that can serve; gives pingora a service per listener, the admin endpoint and
//! the housekeeping (`housekeeping`); fetches revocation lists beside them (`lists`). Holds what a reload
//! swaps (`live`). SIGHUP reloads; what ends the process is in `signals`, how another takes its place in
//! `upgrade`.

mod housekeeping;
mod lists;
mod live;
mod panics;
mod signals;
mod start;
mod upgrade;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Once};
use std::time::Duration;

use pingora::apps::http_app::HttpServer;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use pingora::services::background::background_service;
use thiserror::Error;
use tracing::level_filters::LevelFilter;

use crate::admin::Admin;
use crate::assembly::Configuration;
use crate::config::Mistake;
use crate::course::{Entrance, ExchangesUnderWay, Gateway};
use crate::idempotency::StoreError;
use crate::listener::handover::HandoverError;
use crate::listener::{Edge, Listening, Workers, descriptors};
use crate::measure::ResponseTimes;
use crate::moment::Moment;
use crate::report::application_log::OPERATOR;
use crate::report::{AccessLog, ApplicationLog, Flush, Metrics, RefusalLog, Report, build};
use housekeeping::Housekeeping;
use lists::Lists;
use live::{FIRST_LISTS_WITHIN, Fixed, Live, LiveListener};
use signals::{ProcessEnd, Signals};
use start::Sockets;
pub use upgrade::{UpgradeError, Upgraded, upgrade};

/// Why the process cannot run.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address is not to be had.
    #[error("{name}: cannot listen on {address} ({error})")]
    Bind {
        /// The listener.
        name: String,
        /// Its address.
        address: std::net::SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// There is no thread for the revocation lists.
    #[error("cannot start the thread that fetches revocation lists ({0})")]
    Lists(std::io::Error),
    /// There is no thread for requests.
    #[error("cannot start the threads that serve requests ({0})")]
    Workers(std::io::Error),
    /// There is no thread for the access log.
    #[error("cannot start the thread that writes the access log ({0})")]
    AccessLog(std::io::Error),
    /// The process before did not hand its sockets over.
    #[error("no sockets were handed over at {path}: {error}")]
    Handover {
        /// Where.
        path: String,
        /// Why not.
        error: HandoverError,
    },
    /// A request could not be decided here that the process before can.
    #[error("not ready to take over, without {0}")]
    Unready(String),
    /// The sockets cannot be kept for the process that comes after.
    #[error("cannot keep the listening sockets for a later upgrade ({0})")]
    Keep(std::io::Error),
    /// The process before goes on serving.
    #[error("the process before goes on serving")]
    Unwanted,
    /// The framework gave up; the log says where.
    #[error("the server ended by a panic")]
    Panic,
    /// What was carried out already cannot be known.
    #[error("idempotency.directory: {0}")]
    Store(#[from] StoreError),
}

/// How to start.
pub struct Start {
    /// The configuration file, read again on reload.
    pub path: PathBuf,
    /// Whether to take over the sockets of a process that runs.
    pub upgrade: bool,
    /// The log of the process.
    pub log: ApplicationLog,
    /// The metrics that the configuration was loaded with.
    pub metrics: Arc<Metrics>,
    /// The configuration.
    pub configuration: Configuration,
}

/// Makes aws-lc-rs the cryptography of every TLS connection of the process, before the framework
/// installs another.
pub fn install_cryptography() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // A provider that is there already is ours: nothing else runs before.
        let _ = crate::listener::tls::provider().install_default();
    });
}

/// Begins the log of the process, on standard error, and the guard that writes what is left.
pub fn begin_log(level: LevelFilter) -> std::io::Result<(ApplicationLog, Flush)> {
    let log = ApplicationLog::begin(level, std::io::stderr())?;
    panics::tell();
    Ok(log)
}

/// Says in the log what a load found.
pub fn log_mistakes(mistakes: &[Mistake]) {
    for mistake in mistakes {
        match mistake.severity {
            crate::config::Severity::Error => tracing::error!(target: OPERATOR, "{mistake}"),
            crate::config::Severity::Warning => tracing::warn!(target: OPERATOR, "{mistake}"),
        }
    }
}

/// Runs until the process is told to end and the exchanges under way have ended.
pub fn run(start: Start) -> Result<(), StartError> {
    let Start { path, upgrade, log, metrics, configuration } = start;
    announce(&path, &configuration);
    // Before anything is opened, or the soft limit would be the ceiling (decision 21).
    descriptors::raise();
    if let Some(idempotency) = &configuration.serving.idempotency {
        // Before an address is bound: a start that fails must not have taken connections.
        idempotency.keeper().open()?;
    }
    let bound = match upgrade {
        false => Some(Sockets::bind(&live::fixed(&configuration))?),
        true => None,
    };
    // Whoever connects meanwhile waits, and is not refused for a list that is on its way.
    let fetching = lists::runtime().map_err(StartError::Lists)?;
    let lists = Lists::new(fetching.handle().clone(), metrics.clone());
    let (mut heard, begun) = fetching.block_on(async {
        // First, for a SIGHUP may come while the lists do.
        let heard = Signals::listen();
        (heard, lists.begin(&configuration.listeners, FIRST_LISTS_WITHIN).await)
    });
    lists.put_in_force(&configuration.listeners, begun);
    let live = Arc::new(Live::new(path, configuration, log.clone(), metrics.clone(), lists));
    let (report, _flush_on_exit) = report(&live.fixed, log, metrics.clone())?;
    metrics.note_configuration(Moment::now());

    let under_way = ExchangesUnderWay::default();
    let edges = live.listeners.iter().map(|listener| edge(&live, listener, &report, &under_way));
    let edges: Vec<_> = edges.collect();
    let mut sockets = match bound {
        Some(bound) => bound,
        // Last, for until then the process before is the better one.
        None => {
            fetching.block_on(live.get_ready()).and_then(|()| Sockets::take_over(&live.fixed))?
        }
    };
    let duplicates = sockets.duplicates().map_err(StartError::Keep)?;
    let debut = sockets.debut(live.fixed.server.upgrade.clone());
    let fixed = &live.fixed.server;
    let mut server = Server::new_with_opt_and_conf(None, server_conf(fixed.drain_timeout));
    server.bootstrap();
    let workers = Workers::start(fixed.threads).map_err(StartError::Workers)?;
    add_listeners(&mut server, edges, sockets, workers, Admin::new(report, &live));

    let (ended, end) = channel();
    let hangup = heard.hangup.take();
    let ending = ProcessEnd::new(live.fixed.server.upgrade.clone(), duplicates, heard);
    let housekeeping = Housekeeping::new(live, under_way, ended.clone(), hangup, debut);
    let mut housekeeping = background_service("housekeeping", housekeeping);
    housekeeping.threads = Some(1);
    server.add_service(housekeeping);
    let served = wait_for_end(server, ending, ended, &end);
    // Dropped, it would wait for threads that ask a name server.
    fetching.shutdown_background();
    served
}

fn announce(path: &Path, configuration: &Configuration) {
    tracing::info!(
        version = build::VERSION,
        commit = build::COMMIT,
        commit_date = build::COMMIT_DATE,
        configuration = %path.display(),
        listeners = configuration.listeners.len(),
        routes = configuration.serving.admission.routes.all().len(),
        "portaria starts"
    );
}

fn add_listeners(
    server: &mut Server,
    edges: Vec<Edge>,
    sockets: Sockets,
    workers: Arc<Workers>,
    admin: Admin,
) {
    for (edge, socket) in edges.into_iter().zip(sockets.listeners) {
        tracing::info!(listener = &*edge.listener, address = %socket.address, "listening");
        server.add_service(Listening::new(edge, socket, workers.clone()));
    }
    tracing::info!(listener = "admin", address = %sockets.admin.address, "listening");
    server.add_service(sockets.admin.serve("admin".into(), HttpServer::new_app(admin), 1));
}

/// The process ends when the server has run out, or as soon as a drain has nothing left to wait for.
fn wait_for_end(
    server: Server,
    ending: ProcessEnd,
    ended: Sender<Ended>,
    end: &Receiver<Ended>,
) -> Result<(), StartError> {
    panics::expect_requests();
    let serving = std::thread::spawn(move || {
        server.run(RunArgs { shutdown_signal: Box::new(ending) });
        // A drain may have said so before, and nobody listens then.
        let _ = ended.send(Ended::InOrder);
    });
    let result = match end.recv() {
        Ok(Ended::InOrder) => Ok(()),
        Ok(Ended::Unwanted) => Err(StartError::Unwanted),
        // Nobody is left who could say more.
        Err(_) => Err(StartError::Panic),
    };
    // Not joined: the framework waits its grace period out, whatever is left to wait for.
    drop(serving);
    tracing::info!("ended");
    result
}

/// How the process ends.
enum Ended {
    InOrder,
    /// The process before goes on.
    Unwanted,
}

fn report(
    fixed: &Fixed,
    application_log: ApplicationLog,
    metrics: Arc<Metrics>,
) -> Result<(Arc<Report>, Option<Flush>), StartError> {
    let log = fixed.log.access.then(|| AccessLog::new(std::io::stdout()));
    let log = log.transpose().map_err(StartError::AccessLog)?;
    let (access_log, flush) = log.map_or((None, None), |(log, flush)| (Some(log), Some(flush)));
    let decisions = RefusalLog::new(fixed.log.decisions);
    let times = ResponseTimes::new();
    Ok((
        Arc::new(Report { metrics, times, access_log, application_log, refusal_log: decisions }),
        flush,
    ))
}

fn edge(
    live: &Live,
    listener: &LiveListener,
    report: &Arc<Report>,
    under_way: &ExchangesUnderWay,
) -> Edge {
    let gateway = Gateway {
        serving: live.serving.clone(),
        entrance: Entrance {
            listener: listener.name.clone(),
            position: listener.position,
            exposure: listener.exposure,
        },
        sink: report.clone(),
        under_way: under_way.clone(),
    };
    report.metrics.connections().begin(&listener.name);
    Edge {
        listener: listener.name.clone(),
        acceptor: listener.acceptor.clone(),
        balancers: listener.balancers.clone(),
        hops: listener.hops.clone(),
        guests: live.guests.clone(),
        limits: live.wire.clone(),
        gateway: Arc::new(gateway),
        metrics: report.metrics.clone(),
    }
}

/// The framework's own threads accept connections and keep house; requests are served by [`Workers`].
fn server_conf(drain_timeout: Duration) -> ServerConf {
    ServerConf {
        threads: 1,
        work_stealing: false,
        grace_period_seconds: Some(drain_timeout.as_secs()),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    }
}
