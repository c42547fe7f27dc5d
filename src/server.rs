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

use pingora::apps::HttpServerOptions;
use pingora::apps::http_app::HttpServer;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use pingora::services::background::background_service;
use thiserror::Error;
use tracing::level_filters::LevelFilter;

use crate::config::{Configuration, Mistake};
use crate::exchange::{Entrance, UnderWay};
use crate::gateway::Gateway;
use crate::idempotency::StoreError;
use crate::listener::handover::HandoverError;
use crate::listener::{Edge, WireLimits, descriptors};
use crate::measure::ResponseTimes;
use crate::moment::Moment;
use crate::report::admin::Admin;
use crate::report::application_log::OPERATOR;
use crate::report::{AccessLog, ApplicationLog, Decisions, Flush, Metrics, Report, build};
use housekeeping::Housekeeping;
use lists::Lists;
use live::{FIRST_LISTS_WITHIN, Fixed, Live, Slot};
use signals::{Ending, Heard};
use start::Sockets;
pub use upgrade::{UpgradeError, Upgraded, upgrade};

/// Requests that one HTTP/2 connection may have under way.
const MOST_STREAMS: u32 = 100;

/// A file without certificates. The servers of an upstream have roots of their own or speak no TLS: the
/// system's would be read in vain, and a process whose environment names none (SSL_CERT_FILE) would not start.
const NO_ROOTS: &str = "/dev/null";

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
    descriptors::raise();
    let settings = Arc::new(server_conf(&configuration));
    if let Some(idempotency) = &configuration.serving.idempotency {
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
        let heard = Heard::listen();
        (heard, lists.begin(&configuration.listeners, FIRST_LISTS_WITHIN).await)
    });
    lists.put_in_force(&configuration.listeners, begun);
    let live = Arc::new(Live::new(path, configuration, log.clone(), metrics.clone(), lists));
    let (report, _flush_on_exit) = report(&live.fixed, log, metrics.clone())?;
    metrics.note_configuration(Moment::now());

    let under_way = UnderWay::default();
    let edges = live.slots.iter().map(|slot| edge(&live, slot, &report, &settings, &under_way));
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
    let mut server = Server::new_with_opt_and_conf(None, server_conf_of(&settings));
    server.bootstrap();
    add_listeners(&mut server, edges, sockets, &settings, Admin::new(report, &live));

    let (ended, end) = channel();
    let hangup = heard.hangup.take();
    let ending = Ending::new(live.fixed.server.upgrade.clone(), duplicates, heard);
    let housekeeping = Housekeeping::new(live, under_way, ended.clone(), hangup, debut);
    let mut housekeeping = background_service("housekeeping", housekeeping);
    housekeeping.threads = Some(1);
    server.add_service(housekeeping);
    let served = wait_for_end(server, ending, ended, &end);
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
    edges: Vec<Edge<HttpProxy<Gateway>>>,
    sockets: Sockets,
    settings: &ServerConf,
    admin: Admin,
) {
    for (edge, socket) in edges.into_iter().zip(sockets.listeners) {
        tracing::info!(listener = &*edge.listener, address = %socket.address, "listening");
        server.add_service(socket.serve(edge.listener.to_string(), edge, settings.threads));
    }
    tracing::info!(listener = "admin", address = %sockets.admin.address, "listening");
    server.add_service(sockets.admin.serve("admin".into(), HttpServer::new_app(admin), 1));
}

/// The process ends when the server has run out, or as soon as a drain has nothing left to wait for.
fn wait_for_end(
    server: Server,
    ending: Ending,
    ended: Sender<Ended>,
    end: &Receiver<Ended>,
) -> Result<(), StartError> {
    panics::expect_requests();
    let serving = std::thread::spawn(move || {
        server.run(RunArgs { shutdown_signal: Box::new(ending) });
        let _ = ended.send(Ended::InOrder);
    });
    let result = match end.recv() {
        Ok(Ended::InOrder) => Ok(()),
        Ok(Ended::Unwanted) => Err(StartError::Unwanted),
        // Nobody is left who could say more.
        Err(_) => Err(StartError::Panic),
    };
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
    let decisions = Decisions::new(fixed.log.decisions);
    let times = ResponseTimes::new();
    Ok((Arc::new(Report { metrics, times, access_log, application_log, decisions }), flush))
}

fn edge(
    live: &Live,
    slot: &Slot,
    report: &Arc<Report>,
    settings: &Arc<ServerConf>,
    under_way: &UnderWay,
) -> Edge<HttpProxy<Gateway>> {
    let gateway = Gateway {
        serving: live.serving.clone(),
        entrance: Entrance {
            listener: slot.name.clone(),
            position: slot.position,
            exposure: slot.exposure,
        },
        sink: report.clone(),
        under_way: under_way.clone(),
    };
    report.metrics.connections().begin(&slot.name);
    let mut proxy = HttpProxy::new(gateway, settings.clone());
    let limits = **live.wire.load();
    let mut options = HttpServerOptions::default();
    // The framework would answer CONNECT itself, without what every answer carries: the route stage
    // refuses it, like any method that no policy lists.
    options.allow_connect_method_proxying = true;
    options.h2_idle_timeout = Some(limits.idle_timeout);
    proxy.server_options = Some(options);
    proxy.h2_options = Some(h2_options(&limits));
    proxy.handle_init_modules();
    Edge {
        listener: slot.name.clone(),
        acceptor: slot.acceptor.clone(),
        balancers: slot.balancers.clone(),
        hops: slot.hops.clone(),
        guests: live.guests.clone(),
        limits: live.wire.clone(),
        application: Arc::new(proxy),
        metrics: report.metrics.clone(),
    }
}

fn h2_options(limits: &WireLimits) -> H2Options {
    let mut options = default_h2_options();
    let head = u32::try_from(limits.head.size).unwrap_or(u32::MAX);
    options.max_header_list_size(head).max_concurrent_streams(MOST_STREAMS);
    options
}

fn server_conf(configuration: &Configuration) -> ServerConf {
    let server = &configuration.server;
    ServerConf {
        threads: server.threads,
        // One thread needs none. Several runtimes of one thread each would watch each other's idle
        // connections to backends, and now and then take one for lost that is wanted just then.
        work_stealing: server.threads > 1,
        grace_period_seconds: Some(server.drain_timeout.as_secs()),
        graceful_shutdown_timeout_seconds: Some(1),
        upstream_keepalive_pool_size: 512,
        max_retries: 2,
        ca_file: Some(NO_ROOTS.to_owned()),
        ..ServerConf::default()
    }
}

/// The server takes its settings by value, the proxies share theirs.
fn server_conf_of(settings: &ServerConf) -> ServerConf {
    ServerConf {
        threads: settings.threads,
        work_stealing: settings.work_stealing,
        grace_period_seconds: settings.grace_period_seconds,
        graceful_shutdown_timeout_seconds: settings.graceful_shutdown_timeout_seconds,
        ..ServerConf::default()
    }
}
