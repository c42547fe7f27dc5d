//! The process: what runs, from start-up to the last exchange.
//!
//! Takes a configuration that can serve; gives pingora a service per listener, the admin endpoint and
//! the housekeeping (`housekeeping`); fetches revocation lists beside them (`lists`). Holds what a reload
//! swaps (`live`). SIGHUP reloads, SIGTERM drains and exits, SIGINT stops, SIGQUIT hands the listening
//! sockets to a new process.

mod housekeeping;
mod lists;
mod live;

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Once};

use pingora::apps::HttpServerOptions;
use pingora::apps::http_app::HttpServer;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::proxy::HttpProxy;
use pingora::server::configuration::{Opt, ServerConf};
use pingora::server::{RunArgs, Server};
use pingora::services::background::background_service;
use thiserror::Error;

use crate::config::{Configuration, Mistake};
use crate::exchange::{Entrance, UnderWay};
use crate::gateway::Gateway;
use crate::idempotency::StoreError;
use crate::listener::{Bound, Edge, WireLimits};
use crate::measure::ResponseTimes;
use crate::moment::Moment;
use crate::report::admin::Admin;
use crate::report::application_log::OPERATOR;
use crate::report::{AccessLog, ApplicationLog, Decisions, Flush, Metrics, Report};
use housekeeping::Housekeeping;
use lists::Lists;
use live::{FIRST_LISTS_WITHIN, Fixed, Live, Slot};

/// Requests that one HTTP/2 connection may have under way.
const MOST_STREAMS: u32 = 100;

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
    let settings = Arc::new(server_conf(&configuration));
    if let Some(idempotency) = &configuration.serving.idempotency {
        idempotency.keeper().open()?;
    }
    let (admin, sockets) = bind_all(&live::fixed(&configuration), upgrade)?;
    // Whoever connects meanwhile waits, and is not refused for a list that is on its way.
    let fetching = lists::runtime().map_err(StartError::Lists)?;
    let lists = Lists::new(fetching.handle().clone(), metrics.clone());
    let (hangup, begun) = fetching.block_on(async {
        // First, for a SIGHUP may come while the lists do.
        let hangup = housekeeping::listen_for_hangup();
        (hangup, lists.begin(&configuration.listeners, FIRST_LISTS_WITHIN).await)
    });
    lists.put_in_force(&configuration.listeners, begun);
    let live = Arc::new(Live::new(path, configuration, metrics.clone(), lists));
    let (report, _flush_on_exit) = report(&live.fixed, log, metrics.clone())?;
    metrics.note_configuration(Moment::now());

    let opt = Opt { upgrade, ..Opt::default() };
    let mut server = Server::new_with_opt_and_conf(opt, server_conf_of(&settings));
    server.bootstrap();
    let under_way = UnderWay::default();
    for (slot, socket) in live.slots.iter().zip(sockets) {
        tracing::info!(listener = &*slot.name, address = %socket.address, "listening");
        let edge = edge(&live, slot, &report, &settings, &under_way);
        server.add_service(socket.serve(slot.name.to_string(), edge, settings.threads));
    }
    tracing::info!(listener = "admin", address = %admin.address, "listening");
    let application = Admin { report, readiness: live.clone(), purge: live.clone() };
    server.add_service(admin.serve("admin".into(), HttpServer::new_app(application), 1));

    let (ended, end) = channel();
    let housekeeping = Housekeeping::new(live, under_way, ended.clone(), hangup);
    let mut housekeeping = background_service("housekeeping", housekeeping);
    housekeeping.threads = Some(1);
    server.add_service(housekeeping);
    wait_for_end(server, ended, &end);
    fetching.shutdown_background();
    Ok(())
}

/// The process ends when the server has run out, or as soon as a drain has nothing left to wait for.
fn wait_for_end(server: Server, ended: std::sync::mpsc::Sender<()>, end: &Receiver<()>) {
    let serving = std::thread::spawn(move || {
        server.run(RunArgs::default());
        let _ = ended.send(());
    });
    // An error means that nobody is left who could say more.
    let _ = end.recv();
    drop(serving);
    tracing::info!("ended");
}

type Sockets = (Bound, Vec<Bound>);

fn bind_all(fixed: &Fixed, upgrade: bool) -> Result<Sockets, StartError> {
    let bind = |name: &str, address| match upgrade {
        true => Ok(Bound::inherit(address)),
        false => Bound::bind(address).map_err(|error| StartError::Bind {
            name: name.to_owned(),
            address,
            error,
        }),
    };
    let admin = bind("admin", fixed.admin)?;
    let listeners = fixed.listeners.iter().map(|(name, address, _)| bind(name, *address));
    let sockets: Result<Vec<Bound>, StartError> = listeners.collect();
    Ok((admin, sockets?))
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
        upgrade_sock: server.upgrade_socket.display().to_string(),
        grace_period_seconds: Some(server.drain_timeout.as_secs()),
        graceful_shutdown_timeout_seconds: Some(1),
        upstream_keepalive_pool_size: 512,
        max_retries: 2,
        ..ServerConf::default()
    }
}

/// The server takes its settings by value, the proxies share theirs.
fn server_conf_of(settings: &ServerConf) -> ServerConf {
    ServerConf {
        threads: settings.threads,
        work_stealing: settings.work_stealing,
        upgrade_sock: settings.upgrade_sock.clone(),
        grace_period_seconds: settings.grace_period_seconds,
        graceful_shutdown_timeout_seconds: settings.graceful_shutdown_timeout_seconds,
        ..ServerConf::default()
    }
}
