//! The metrics: counters and histograms in base units under the prefix `portaria_`.
//!
//! Labels are api, route template, class, status class, outcome, stage and refusal code: closed sets,
//! never an address, a client, a token or a consent. The histogram edges contain the legal targets
//! 1.0, 1.5 and 4.0 s. Handles are kept per route, so that an exchange looks nothing up.

mod described;

use std::sync::OnceLock;
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    Opts, Registry, TextEncoder,
};

use super::build;
use super::connections::ConnectionMetrics;
use super::key_sets::KeySetMetrics;
use super::services::ServiceMetrics;
use crate::admission::Refused;
use crate::idempotency::StoreStanding;
use crate::identity::RevocationList;
use crate::measure::{Meter, Outcome, ResponseTimes, Sample, Share, Times};
use crate::moment::Moment;
use crate::refusal::codes;
use crate::route::{PriorityClass, Route};
pub(super) use described::Described;
use described::*;

// With each legal p95 (1.0, 1.5 and 4.0 s): only of an edge does a histogram tell exactly.
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
    caller: [Histogram; 4],
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
    displaced_answers: IntCounter,
    answer_failures: IntCounter,
    /// What the store had done when it was last noted: another store begins anew.
    noted: Mutex<StoreStanding>,
    reloads: IntCounterVec,
    configured_at: Gauge,
    dropped_access_lines: IntCounter,
    dropped_log_lines: IntCounter,
}

/// Lines that were lost because nobody took them, since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct DroppedLines {
    /// Of the access log.
    pub access: usize,
    /// Of the application log.
    pub application: usize,
}

impl Metrics {
    /// Registers every metric.
    pub fn new() -> Result<Self, prometheus::Error> {
        // Not the library's default, to which whatever is linked in may add.
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
            caller: ["head", "body", "answer", "earlier"]
                .map(|part| caller.with_label_values(&[part])),
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
            displaced_answers: IntCounter::new(DISPLACED_ANSWERS.0, DISPLACED_ANSWERS.1)?,
            answer_failures: IntCounter::new(ANSWER_FAILURES.0, ANSWER_FAILURES.1)?,
            noted: Mutex::default(),
            reloads: counters(&registry, &RELOADS)?,
            configured_at: Gauge::new(CONFIGURED_AT.0, CONFIGURED_AT.1)?,
            dropped_access_lines: IntCounter::new(DROPPED_ACCESS_LINES.0, DROPPED_ACCESS_LINES.1)?,
            dropped_log_lines: IntCounter::new(DROPPED_LOG_LINES.0, DROPPED_LOG_LINES.1)?,
            registry,
        };
        metrics.register_rest()?;
        Ok(metrics)
    }

    fn register_rest(&self) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(self.client_aborts.clone()))?;
        self.registry.register(Box::new(self.configured_at.clone()))?;
        self.registry.register(Box::new(self.answers.clone()))?;
        for counter in [
            &self.displaced_answers,
            &self.answer_failures,
            &self.dropped_access_lines,
            &self.dropped_log_lines,
        ] {
            self.registry.register(Box::new(counter.clone()))?;
        }
        // There from the start, so that the first of a kind is an increase that an alert sees.
        for row in codes::own_faults() {
            self.refusals.with_label_values(&[row.stage.as_str(), row.code]);
        }
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
        let labels = [&*route.published.api, route.published.class.as_str()];
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
            // A path that no policy lists is the caller's own text: one series for all of them.
            let labels = ["none", "none", "none", status_class, sample.outcome.as_str()];
            self.requests.with_label_values(&labels).inc();
        }
        if let (Some(Refused { refusal, .. }), Some(route)) = (sample.would_refuse, sample.route) {
            // By API and not by route: each code of each route would be a series.
            let labels = [&*route.published.api, refusal.stage().as_str(), refusal.code()];
            self.would_refuse.with_label_values(&labels).inc();
        }
        if let Some(Refused { refusal, .. }) = sample.refused {
            let code = refusal.code();
            self.refusals.with_label_values(&[refusal.stage().as_str(), code]).inc();
            if sample.outcome == Outcome::OverLimit {
                self.over_limit.with_label_values(&[code]).inc();
            }
        }
    }

    fn note_caller(&self, times: Times) {
        let [head, body, answer, earlier] = &self.caller;
        head.observe(times.head.as_secs_f64());
        if let Some(time) = times.body {
            body.observe(time.as_secs_f64());
        }
        answer.observe(times.answer.as_secs_f64());
        if times.earlier > Duration::ZERO {
            earlier.observe(times.earlier.as_secs_f64());
        }
    }

    /// Forgets the certificates that were in force.
    pub fn forget_certificates(&self) {
        // A certificate that is gone would else go on expiring in an alert.
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
    pub fn note_idempotency(&self, standing: StoreStanding) {
        self.answers.set(i64::try_from(standing.records).unwrap_or(i64::MAX));
        let before = std::mem::replace(&mut *self.noted.lock(), standing);
        // Less than before means another store, which counts from zero.
        let since = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
        self.displaced_answers.inc_by(since(standing.displaced, before.displaced));
        self.answer_failures.inc_by(since(standing.failures, before.failures));
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
        raise(&self.dropped_access_lines, dropped.access);
        raise(&self.dropped_log_lines, dropped.application);
        // Fails of a metric without series only, and `gather` leaves those out.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

/// Brings a counter to what was counted elsewhere.
fn raise(counter: &IntCounter, counted: usize) {
    let counted = u64::try_from(counted).unwrap_or(u64::MAX);
    // A counter can only be raised; one thread answers all scrapes, so that nothing is added twice.
    counter.inc_by(counted.saturating_sub(counter.get()));
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
            let (class, outcome) = (route.published.class.as_str(), sample.outcome.as_str());
            let labels = [
                &*route.published.api,
                &*route.published.label,
                class,
                status_class(sample.status),
                outcome,
            ];
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
        // Who gave up counts with its wait, for these histograms know no lower bounds (decision 20).
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
