//! The access log: one JSON line per exchange on standard output.
//!
//! An allow-list of fields, named as in OpenTelemetry where it has a name: the route's template and
//! never the path (OPIN paths carry policy ids), keyed pseudonyms for consents and clients. Lines are
//! written in batches; when the target cannot keep up, lines are dropped and counted rather than requests
//! delayed. Refusals of one address are drawn together beyond a rate (`refusals`).

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Version};
use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

use super::batches::{Batches, Bounds, Flush, Pass};
use super::refusals::Refusals;
use crate::measure::{Outcome, Sample};
use crate::moment::Moment;
use crate::pseudonym;

const BOUNDS: Bounds = Bounds { enough: 64 * 1024, most: 32 * 1024 * 1024 };

/// How often those that are drawn together are looked through.
const REFUSALS_EVERY: Duration = Duration::from_secs(1);

/// Writes the lines.
pub struct AccessLog {
    batches: Batches,
    refusals: Arc<Refusals>,
}

#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    event: &'static str,
    #[serde(rename = "portaria.listener")]
    listener: &'a str,
    #[serde(rename = "client.address")]
    address: String,
    #[serde(rename = "network.protocol.version")]
    version: &'static str,
    #[serde(rename = "http.request.method")]
    method: &'static str,
    #[serde(rename = "http.route")]
    route: Option<&'a str>,
    #[serde(rename = "http.response.status_code")]
    status: Option<u16>,
    #[serde(rename = "portaria.outcome")]
    outcome: &'static str,
    #[serde(rename = "portaria.api", skip_serializing_if = "Option::is_none")]
    api: Option<&'a str>,
    #[serde(rename = "portaria.class", skip_serializing_if = "Option::is_none")]
    class: Option<&'static str>,
    #[serde(rename = "portaria.refusal.stage", skip_serializing_if = "Option::is_none")]
    stage: Option<&'static str>,
    #[serde(rename = "portaria.refusal.code")]
    code: Option<&'static str>,
    #[serde(rename = "portaria.refusal.reason", skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(rename = "portaria.refusal.fault", skip_serializing_if = "Option::is_none")]
    fault: Option<&'static str>,
    #[serde(rename = "portaria.would_refuse.stage", skip_serializing_if = "Option::is_none")]
    shadow_stage: Option<&'static str>,
    #[serde(rename = "portaria.would_refuse.code", skip_serializing_if = "Option::is_none")]
    shadow_code: Option<&'static str>,
    #[serde(rename = "portaria.would_refuse.reason", skip_serializing_if = "Option::is_none")]
    shadow_reason: Option<String>,
    #[serde(rename = "portaria.interaction_id")]
    interaction: &'a str,
    #[serde(rename = "portaria.organisation_id", skip_serializing_if = "Option::is_none")]
    organisation: Option<&'a str>,
    #[serde(rename = "portaria.software_statement_id", skip_serializing_if = "Option::is_none")]
    software_statement: Option<&'a str>,
    #[serde(rename = "portaria.client.pseudonym", skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(rename = "portaria.consent.pseudonym", skip_serializing_if = "Option::is_none")]
    consent: Option<String>,
    #[serde(rename = "portaria.upstream", skip_serializing_if = "Option::is_none")]
    upstream: Option<&'a str>,
    #[serde(rename = "portaria.duration_us")]
    response: u128,
    #[serde(rename = "portaria.backend_duration_us", skip_serializing_if = "Option::is_none")]
    backend: Option<u128>,
    #[serde(rename = "portaria.head_wait_us")]
    head_wait: u128,
    #[serde(rename = "portaria.body_wait_us", skip_serializing_if = "Option::is_none")]
    body_wait: Option<u128>,
    #[serde(rename = "portaria.answer_wait_us")]
    answer_wait: u128,
    #[serde(rename = "portaria.earlier_wait_us", skip_serializing_if = "Option::is_none")]
    earlier_wait: Option<u128>,
}

impl AccessLog {
    /// A log on `target`, and the guard that writes what is buffered when it is dropped.
    pub fn new(target: impl Write + Send + 'static) -> std::io::Result<(Self, Flush)> {
        let refusals = Arc::new(Refusals::default());
        let told = refusals.clone();
        let mut due = Instant::now();
        let add = move |batch: &mut Vec<u8>, pass: Pass| {
            let now = Instant::now();
            if pass.is_last || due <= now {
                told.tell(batch, pass, now);
                due = now + REFUSALS_EVERY;
            }
        };
        let (batches, flush) = Batches::to("access-log", target, BOUNDS, add)?;
        Ok((Self { batches, refusals }, flush))
    }

    /// How many lines were dropped.
    pub fn dropped(&self) -> usize {
        self.batches.dropped()
    }

    /// Writes the line of one exchange.
    pub fn write(&self, sample: &Sample<'_>) {
        if let (Some(refused), None) = (sample.refused, sample.times.backend) {
            let code = refused.refusal.code();
            let route = sample.route.map(|route| route.index);
            if !self.refusals.admit(sample.address, code, route, Instant::now()) {
                return;
            }
        }
        let Ok(mut line) = serde_json::to_vec(&Self::line(sample)) else {
            return;
        };
        line.push(b'\n');
        self.batches.push(&line);
    }

    fn line<'a>(sample: &Sample<'a>) -> Line<'a> {
        let [refusal, shadow] =
            [sample.refused, sample.would_refuse].map(|refused| Some(&refused?.refusal));
        let (participant, times) = (sample.participant, sample.times);
        Line {
            timestamp: timestamp(sample.arrived),
            event: "exchange",
            listener: sample.listener,
            address: sample.address.to_string(),
            version: version(sample.version),
            method: method(sample.method),
            route: sample.route.map(|route| &*route.published.label),
            status: sample.status.map(|status| status.as_u16()),
            outcome: Outcome::as_str(sample.outcome),
            api: sample.route.map(|route| &*route.published.api),
            class: sample.route.map(|route| route.published.class.as_str()),
            stage: refusal.map(|refusal| refusal.stage().as_str()),
            code: refusal.map(|refusal| refusal.code()),
            reason: refusal.map(ToString::to_string),
            fault: refusal.map(|refusal| refusal.fault().as_str()),
            shadow_stage: shadow.map(|refusal| refusal.stage().as_str()),
            shadow_code: shadow.map(|refusal| refusal.code()),
            shadow_reason: shadow.map(ToString::to_string),
            interaction: sample.interaction.as_str(),
            organisation: participant.and_then(|p| p.organisation_id().as_value().to_str().ok()),
            software_statement: participant
                .and_then(|p| p.software_statement_id().as_value().to_str().ok()),
            client: sample.client_id.map(|id| pseudonym::of(id.reveal())),
            consent: sample.consent.map(|id| pseudonym::of(id.reveal())),
            upstream: sample.upstream,
            response: times.response.as_micros(),
            backend: times.backend.map(|backend| backend.as_micros()),
            head_wait: times.head.as_micros(),
            body_wait: times.body.map(|body| body.as_micros()),
            answer_wait: times.answer.as_micros(),
            earlier_wait: Some(times.earlier.as_micros()).filter(|waited| *waited > 0),
        }
    }
}

pub(super) fn timestamp(moment: Moment) -> String {
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let time = OffsetDateTime::UNIX_EPOCH + moment.since_epoch();
    time.format(&format).unwrap_or_default()
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}

/// A method outside the registered ones is the caller's own text: `_OTHER`, as in OpenTelemetry.
pub(super) fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        "TRACE" => "TRACE",
        "CONNECT" => "CONNECT",
        _ => "_OTHER",
    }
}
