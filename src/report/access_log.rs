//! The access log: one JSON line per exchange on standard output.
//!
//! An allow-list of fields, named as in OpenTelemetry where it has a name: the route's template and
//! never the path (OPIN paths carry policy ids), keyed pseudonyms for consents and clients. Lines are
//! written in batches; when the target cannot keep up, lines are dropped and counted rather than requests
//! delayed. Refusals of one address are drawn together beyond a rate (`refusals`).

use std::cell::RefCell;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Version};
use time::OffsetDateTime;
use time::macros::format_description;

use super::batches::{BatchBounds, Batches, Flush, Pass};
use super::members::{MemberWriter, name};
use super::refusals::Refusals;
use crate::measure::{Sample, Times};
use crate::moment::Moment;
use crate::scope::ConsentId;
use crate::token::ClientId;

// Both numbers are those of decision 12.
const BOUNDS: BatchBounds = BatchBounds { enough: 64 * 1024, most: 32 * 1024 * 1024 };

/// How often those that are drawn together are looked through.
const REFUSALS_EVERY: Duration = Duration::from_secs(1);

/// Writes the lines.
pub struct AccessLog {
    batches: Batches,
    refusals: Arc<Refusals>,
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
        // What reached a backend always has its line (decision 19).
        if let (Some(refused), None) = (sample.refused, sample.times.backend) {
            let code = refused.refusal.code();
            let route = sample.route.map(|route| route.index);
            if !self.refusals.admit(sample.address, code, route, Instant::now()) {
                return;
            }
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            write_line(line, sample);
            self.batches.push(line);
        });
    }
}

thread_local! {
    /// The line that is written: what was one is the room of the next.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn write_line(out: &mut Vec<u8>, sample: &Sample<'_>) {
    let mut line = MemberWriter::begin(out);
    line.timestamp(name!("timestamp"), sample.arrived);
    line.word(name!("event"), "exchange");
    line.text(name!("portaria.listener"), sample.listener);
    line.address(name!("client.address"), sample.address);
    line.word(name!("network.protocol.version"), version(sample.version));
    line.word(name!("http.request.method"), method(sample.method));
    line.or_null(name!("http.route"), sample.route.map(|route| &*route.published.label));
    match sample.status {
        Some(status) => line.number(name!("http.response.status_code"), status.as_u16().into()),
        None => line.or_null(name!("http.response.status_code"), None),
    }
    line.word(name!("portaria.outcome"), sample.outcome.as_str());
    if let Some(route) = sample.route {
        line.text(name!("portaria.api"), &route.published.api);
        line.word(name!("portaria.class"), route.published.class.as_str());
    }
    write_refusal(&mut line, sample);
    line.value(name!("portaria.interaction_id"), sample.interaction.as_value());
    if let Some(participant) = sample.participant {
        let (organisation, software) =
            (participant.organisation_id(), participant.software_statement_id());
        line.value(name!("portaria.organisation_id"), organisation.as_value());
        line.value(name!("portaria.software_statement_id"), software.as_value());
    }
    line.pseudonym(name!("portaria.client.pseudonym"), sample.client_id.map(ClientId::as_value));
    line.pseudonym(name!("portaria.consent.pseudonym"), sample.consent.map(ConsentId::as_value));
    line.some(name!("portaria.upstream"), sample.upstream);
    write_times(&mut line, sample.times);
    line.end();
}

fn write_refusal(line: &mut MemberWriter<'_>, sample: &Sample<'_>) {
    let [refusal, shadow] =
        [sample.refused, sample.would_refuse].map(|refused| Some(&refused?.refusal));
    line.some(name!("portaria.refusal.stage"), refusal.map(|refusal| refusal.stage().as_str()));
    line.or_null(name!("portaria.refusal.code"), refusal.map(|refusal| refusal.code()));
    if let Some(refusal) = refusal {
        line.shown(name!("portaria.refusal.reason"), refusal);
        line.word(name!("portaria.refusal.fault"), refusal.fault().as_str());
    }
    if let Some(refusal) = shadow {
        line.word(name!("portaria.would_refuse.stage"), refusal.stage().as_str());
        line.word(name!("portaria.would_refuse.code"), refusal.code());
        line.shown(name!("portaria.would_refuse.reason"), refusal);
    }
}

fn write_times(line: &mut MemberWriter<'_>, times: Times) {
    line.time(name!("portaria.duration_us"), times.response);
    if let Some(backend) = times.backend {
        line.time(name!("portaria.backend_duration_us"), backend);
    }
    line.time(name!("portaria.head_wait_us"), times.head);
    if let Some(body) = times.body {
        line.time(name!("portaria.body_wait_us"), body);
    }
    line.time(name!("portaria.answer_wait_us"), times.answer);
    if times.earlier >= Duration::from_micros(1) {
        line.time(name!("portaria.earlier_wait_us"), times.earlier);
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
        // No listener speaks any other.
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
