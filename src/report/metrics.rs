//! The metrics: counters and histograms in base units under the prefix `portaria_`.
//!
//! Labels are api, route template, class, status class, outcome, stage and refusal code: closed sets,
//! never an address, a client, a token or a consent. The histogram edges contain the legal targets
//! 1.0, 1.5 and 4.0 s. Handles are kept per route, so that an exchange looks nothing up.

use std::sync::OnceLock;
use std::time::Duration;

use http::StatusCode;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    Opts, Registry, TextEncoder,
};

use super::build;
use super::connections::ConnectionMetrics;
use super::key_sets::KeySetMetrics;
use super::services::ServiceMetrics;
use crate::idempotency::Standing;
use crate::identity::RevocationList;
use crate::measure::{Meter, Outcome, ResponseTimes, Sample, Share, Times};
use crate::moment::Moment;
use crate::route::{PriorityClass, Route};

const EDGES: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 4.0, 10.0];

/// All metrics.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    refusals: IntCounterVec,
    would_refuse: IntCounterVec,
    over_limit: IntCounterVec,
    client_aborts: IntCounter,
    response: HistogramVec,
    gateway: HistogramVec,
    backend: HistogramVec,
    caller: [Histogram; 3],
    p95: GaugeVec,
    handshakes: IntCounterVec,
    certificate_refusals: IntCounterVec,
    certificate_findings: IntCounterVec,
    certificate_expiry: GaugeVec,
    list_this_update: GaugeVec,
    list_next_update: GaugeVec,
    list_entries: GaugeVec,
    list_fetches: IntCounterVec,
    key_sets: KeySetMetrics,
    services: ServiceMetrics,
    connections: ConnectionMetrics,
    answers: IntGauge,
    displaced_answers: IntGauge,
    answer_failures: IntGauge,
    reloads: IntCounterVec,
    configured_at: Gauge,
    dropped_access_lines: IntGauge,
    dropped_log_lines: IntGauge,
}

/// Lines that were lost because nobody took them, since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct DroppedLines {
    /// Of the access log.
    pub access: usize,
    /// Of the application log.
    pub application: usize,
}

/// Name, help and labels of a metric.
pub(super) struct Described(
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) &'static [&'static str],
);

const REQUESTS: Described = Described(
    "portaria_requests_total",
    "Exchanges by route, class, status class and outcome.",
    &["api", "route", "class", "status_class", "outcome"],
);
const REFUSALS: Described =
    Described("portaria_refusals_total", "Refused requests by stage and code.", &["stage", "code"]);
const WOULD_REFUSE: Described = Described(
    "portaria_would_refuse_total",
    "Requests that went on in shadow mode, by api and by the stage and code of what would have refused them.",
    &["api", "stage", "code"],
);
const OVER_LIMIT: Described = Described(
    "portaria_over_limit_requests_total",
    "Requests over a quota: outside the response-time statistics.",
    &["code"],
);
const CLIENT_ABORTS: Described =
    Described("portaria_client_aborts_total", "Exchanges that the client gave up.", &[]);
const RESPONSE: Described = Described(
    "portaria_response_time_seconds",
    "From a whole head to the last byte written, without what passed waiting for the caller.",
    &["api", "class"],
);
const GATEWAY: Described = Described(
    "portaria_gateway_time_seconds",
    "The part of the response time that is the gateway's own.",
    &["api", "class"],
);
const BACKEND: Described = Described(
    "portaria_backend_time_seconds",
    "The part of the response time that is the backend's.",
    &["api", "class"],
);
const CALLER: Described = Described(
    "portaria_caller_time_seconds",
    "Time that passed waiting for callers: for the rest of a head, for a body, for room for an answer.",
    &["part"],
);
const P95: Described = Described(
    "portaria_response_time_p95_seconds",
    "95th percentile of the response time by class, for the day (UTC) and the last minute.",
    &["class", "window"],
);
const TARGET: Described = Described(
    "portaria_response_time_target_seconds",
    "The legal 95th percentile of each class.",
    &["class"],
);
const HANDSHAKES: Described = Described(
    "portaria_handshakes_total",
    "TLS handshakes by listener and result.",
    &["listener", "result"],
);
const CERTIFICATE_REFUSALS: Described = Described(
    "portaria_client_certificate_refusals_total",
    "Client certificates refused by listener and reason, in handshakes and on open connections.",
    &["listener", "reason"],
);
const CERTIFICATE_FINDINGS: Described = Described(
    "portaria_client_certificate_findings_total",
    "Rules of the profile that client certificates break, by listener, rule and level, once a connection.",
    &["listener", "rule", "level"],
);
const CERTIFICATE_EXPIRY: Described = Described(
    "portaria_certificate_expiry_timestamp_seconds",
    "When the server certificate of a listener, or the first of its trust anchors, expires.",
    &["listener", "certificate"],
);
const LIST_THIS_UPDATE: Described = Described(
    "portaria_crl_this_update_timestamp_seconds",
    "When a revocation list was issued.",
    &["listener", "list", "source"],
);
const LIST_NEXT_UPDATE: Described = Described(
    "portaria_crl_next_update_timestamp_seconds",
    "When the next revocation list is due.",
    &["listener", "list", "source"],
);
const LIST_ENTRIES: Described = Described(
    "portaria_crl_entries",
    "Certificates that a revocation list names.",
    &["listener", "list", "source"],
);
const ANSWERS: Described = Described(
    "portaria_idempotency_records",
    "Operations in the store of idempotent answers.",
    &[],
);
const DISPLACED_ANSWERS: Described = Described(
    "portaria_idempotency_displaced_records",
    "Operations that the store forgot before their time, because it was full, since the start.",
    &[],
);
const ANSWER_FAILURES: Described = Described(
    "portaria_idempotency_store_failures",
    "Reads and writes of the store that failed, since the start.",
    &[],
);
const LIST_FETCHES: Described = Described(
    "portaria_crl_fetches_total",
    "Fetches of revocation lists by distribution point and result.",
    &["point", "result"],
);
const RELOADS: Described =
    Described("portaria_reloads_total", "Reloads of the configuration by result.", &["result"]);
const CONFIGURED_AT: Described = Described(
    "portaria_configuration_timestamp_seconds",
    "When the configuration in force was loaded.",
    &[],
);
const DROPPED_ACCESS_LINES: Described = Described(
    "portaria_access_log_dropped_lines",
    "Access-log lines dropped because the writer could not keep up.",
    &[],
);
const DROPPED_LOG_LINES: Described = Described(
    "portaria_log_dropped_lines",
    "Lines of the application log dropped because the writer could not keep up.",
    &[],
);
const BUILD: Described =
    Described("portaria_build_info", "Always 1.", &["version", "commit", "commit_date"]);

impl Metrics {
    /// Registers every metric.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let caller = histograms(&registry, &CALLER)?;
        let metrics = Self {
            requests: counters(&registry, &REQUESTS)?,
            refusals: counters(&registry, &REFUSALS)?,
            would_refuse: counters(&registry, &WOULD_REFUSE)?,
            over_limit: counters(&registry, &OVER_LIMIT)?,
            client_aborts: IntCounter::new(CLIENT_ABORTS.0, CLIENT_ABORTS.1)?,
            response: histograms(&registry, &RESPONSE)?,
            gateway: histograms(&registry, &GATEWAY)?,
            backend: histograms(&registry, &BACKEND)?,
            caller: ["head", "body", "answer"].map(|part| caller.with_label_values(&[part])),
            p95: gauges(&registry, &P95)?,
            handshakes: counters(&registry, &HANDSHAKES)?,
            certificate_refusals: counters(&registry, &CERTIFICATE_REFUSALS)?,
            certificate_findings: counters(&registry, &CERTIFICATE_FINDINGS)?,
            certificate_expiry: gauges(&registry, &CERTIFICATE_EXPIRY)?,
            list_this_update: gauges(&registry, &LIST_THIS_UPDATE)?,
            list_next_update: gauges(&registry, &LIST_NEXT_UPDATE)?,
            list_entries: gauges(&registry, &LIST_ENTRIES)?,
            list_fetches: counters(&registry, &LIST_FETCHES)?,
            key_sets: KeySetMetrics::new(&registry)?,
            services: ServiceMetrics::new(&registry)?,
            connections: ConnectionMetrics::new(&registry)?,
            answers: IntGauge::new(ANSWERS.0, ANSWERS.1)?,
            displaced_answers: IntGauge::new(DISPLACED_ANSWERS.0, DISPLACED_ANSWERS.1)?,
            answer_failures: IntGauge::new(ANSWER_FAILURES.0, ANSWER_FAILURES.1)?,
            reloads: counters(&registry, &RELOADS)?,
            configured_at: Gauge::new(CONFIGURED_AT.0, CONFIGURED_AT.1)?,
            dropped_access_lines: IntGauge::new(DROPPED_ACCESS_LINES.0, DROPPED_ACCESS_LINES.1)?,
            dropped_log_lines: IntGauge::new(DROPPED_LOG_LINES.0, DROPPED_LOG_LINES.1)?,
            registry,
        };
        metrics.register_rest()?;
        Ok(metrics)
    }

    fn register_rest(&self) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(self.client_aborts.clone()))?;
        self.registry.register(Box::new(self.configured_at.clone()))?;
        for gauge in [&self.answers, &self.displaced_answers, &self.answer_failures] {
            self.registry.register(Box::new(gauge.clone()))?;
        }
        self.registry.register(Box::new(self.dropped_access_lines.clone()))?;
        self.registry.register(Box::new(self.dropped_log_lines.clone()))?;
        let targets = gauges(&self.registry, &TARGET)?;
        for class in PriorityClass::ALL {
            let target = Duration::from_millis(class.target_ms());
            targets.with_label_values(&[class.as_str()]).set(target.as_secs_f64());
        }
        let info = gauges(&self.registry, &BUILD)?;
        info.with_label_values(&[build::VERSION, build::COMMIT, build::COMMIT_DATE]).set(1.0);
        Ok(())
    }

    /// The handles of a route.
    pub fn meter(&self, route: &Route) -> RouteMeter {
        let labels = [&*route.api, route.class.as_str()];
        RouteMeter {
            requests: self.requests.clone(),
            cells: Default::default(),
            response: self.response.with_label_values(&labels),
            gateway: self.gateway.with_label_values(&labels),
            backend: self.backend.with_label_values(&labels),
        }
    }

    /// Counts what is not counted per route.
    pub fn note(&self, sample: &Sample<'_>) {
        self.note_caller(sample.times);
        if sample.outcome == Outcome::ClientAbort {
            self.client_aborts.inc();
        }
        if sample.route.is_none() {
            let status_class = status_class(sample.status);
            let labels = ["none", "none", "none", status_class, sample.outcome.as_str()];
            self.requests.with_label_values(&labels).inc();
        }
        if let (Some(refusal), Some(route)) = (sample.would_refuse, sample.route) {
            let labels = [&*route.api, refusal.stage(), refusal.verdict().code];
            self.would_refuse.with_label_values(&labels).inc();
        }
        if let Some(refusal) = sample.refusal {
            let code = refusal.verdict().code;
            self.refusals.with_label_values(&[refusal.stage(), code]).inc();
            if sample.outcome == Outcome::OverLimit {
                self.over_limit.with_label_values(&[code]).inc();
            }
        }
    }

    fn note_caller(&self, times: Times) {
        let [head, body, answer] = &self.caller;
        head.observe(times.head.as_secs_f64());
        if let Some(time) = times.body {
            body.observe(time.as_secs_f64());
        }
        answer.observe(times.answer.as_secs_f64());
    }

    /// Forgets the certificates that were in force.
    pub fn forget_certificates(&self) {
        self.certificate_expiry.reset();
    }

    /// Forgets the revocation lists that were in force.
    pub fn forget_lists(&self) {
        self.list_this_update.reset();
        self.list_next_update.reset();
        self.list_entries.reset();
    }

    /// Notes when a certificate in force expires, in seconds since 1970.
    pub fn note_certificate(&self, listener: &str, certificate: &str, expiry: i64) {
        self.certificate_expiry.with_label_values(&[listener, certificate]).set(expiry as f64);
    }

    /// Notes a revocation list in force.
    pub fn note_list(&self, listener: &str, list: &RevocationList) {
        let labels = [listener, list.source.as_str(), list.origin.as_str()];
        self.list_this_update.with_label_values(&labels).set(list.this_update as f64);
        self.list_next_update.with_label_values(&labels).set(list.next_update as f64);
        self.list_entries.with_label_values(&labels).set(list.entries() as f64);
    }

    /// Counts a fetch of a revocation list.
    pub fn note_list_fetch(&self, point: &str, result: &str) {
        self.list_fetches.with_label_values(&[point, result]).inc();
    }

    /// The counter of client certificates that are refused.
    pub fn certificate_refusals(&self) -> IntCounterVec {
        self.certificate_refusals.clone()
    }

    /// The counter of rules that client certificates break.
    pub fn certificate_findings(&self) -> IntCounterVec {
        self.certificate_findings.clone()
    }

    /// The metrics of the services that are asked about tokens and consents.
    pub fn services(&self) -> &ServiceMetrics {
        &self.services
    }

    /// The metrics of connections.
    pub fn connections(&self) -> &ConnectionMetrics {
        &self.connections
    }

    /// Counts a handshake.
    pub fn note_handshake(&self, listener: &str, result: &str) {
        self.handshakes.with_label_values(&[listener, result]).inc();
    }

    /// The metrics of key sets.
    pub fn key_sets(&self) -> KeySetMetrics {
        self.key_sets.clone()
    }

    /// Notes how the store of idempotent answers does.
    pub fn note_idempotency(&self, standing: Standing) {
        let as_value = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.answers.set(as_value(standing.records));
        self.displaced_answers.set(as_value(standing.displaced));
        self.answer_failures.set(as_value(standing.failures));
    }

    /// Counts a reload.
    pub fn note_reload(&self, succeeded: bool) {
        self.reloads.with_label_values(&[if succeeded { "ok" } else { "refused" }]).inc();
    }

    /// Notes when the configuration in force was loaded.
    pub fn note_configuration(&self, now: Moment) {
        self.configured_at.set(now.since_epoch().as_secs_f64());
    }

    /// The text that Prometheus scrapes.
    pub fn scrape(&self, times: &ResponseTimes, dropped: DroppedLines, now: Moment) -> String {
        for class in PriorityClass::ALL {
            let p95 = times.p95(class, now);
            for (window, value) in [("day", p95.day), ("minute", p95.minute)] {
                // Without exchanges there is no percentile: NaN, as Prometheus has it.
                let seconds = value.map_or(f64::NAN, |value| value.as_secs_f64());
                self.p95.with_label_values(&[class.as_str(), window]).set(seconds);
            }
        }
        let lines = |lines: usize| i64::try_from(lines).unwrap_or(i64::MAX);
        self.dropped_access_lines.set(lines(dropped.access));
        self.dropped_log_lines.set(lines(dropped.application));
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

pub(super) fn counters(
    registry: &Registry,
    metric: &Described,
) -> Result<IntCounterVec, prometheus::Error> {
    let counters = IntCounterVec::new(Opts::new(metric.0, metric.1), metric.2)?;
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}

pub(super) fn gauges(
    registry: &Registry,
    metric: &Described,
) -> Result<GaugeVec, prometheus::Error> {
    let gauges = GaugeVec::new(Opts::new(metric.0, metric.1), metric.2)?;
    registry.register(Box::new(gauges.clone()))?;
    Ok(gauges)
}

fn histograms(registry: &Registry, metric: &Described) -> Result<HistogramVec, prometheus::Error> {
    let options = HistogramOpts::new(metric.0, metric.1).buckets(EDGES.to_vec());
    let histograms = HistogramVec::new(options, metric.2)?;
    registry.register(Box::new(histograms.clone()))?;
    Ok(histograms)
}

fn status_class(status: Option<StatusCode>) -> &'static str {
    ["none", "1xx", "2xx", "3xx", "4xx", "5xx"].get(place_of(status)).copied().unwrap_or("none")
}

fn place_of(status: Option<StatusCode>) -> usize {
    status.map_or(0, |status| usize::from(status.as_u16() / 100))
}

/// The handles of one route. A counter exists once it has something to count.
pub struct RouteMeter {
    requests: IntCounterVec,
    cells: [[OnceLock<IntCounter>; 6]; Outcome::ALL.len()],
    response: Histogram,
    gateway: Histogram,
    backend: Histogram,
}

impl RouteMeter {
    fn counter(&self, sample: &Sample<'_>, route: &Route) -> Option<&IntCounter> {
        let outcome = Outcome::ALL.iter().position(|outcome| *outcome == sample.outcome)?;
        let cell = self.cells.get(outcome)?.get(place_of(sample.status))?;
        Some(cell.get_or_init(|| {
            let (class, outcome) = (route.class.as_str(), sample.outcome.as_str());
            let labels = [&*route.api, &*route.label, class, status_class(sample.status), outcome];
            self.requests.with_label_values(&labels)
        }))
    }
}

impl Meter for RouteMeter {
    fn note(&self, sample: &Sample<'_>) {
        let Some(route) = sample.route else { return };
        if let Some(counter) = self.counter(sample, route) {
            counter.inc();
        }
        if sample.share() != Share::Apart {
            let times = sample.times;
            let backend = times.backend.unwrap_or_default();
            self.response.observe(times.response.as_secs_f64());
            self.gateway.observe(times.response.saturating_sub(backend).as_secs_f64());
            if times.backend.is_some() {
                self.backend.observe(backend.as_secs_f64());
            }
        }
    }
}
