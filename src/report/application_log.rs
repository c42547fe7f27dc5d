//! The application log: JSON lines of the gateway's own events on standard error.
//!
//! Nobody who serves waits for it: lines go where the access log's go, into batches that a thread of their own
//! writes (`batches`). Most of them a stranger can cause, so that only so many of a kind are written
//! in a second, and then how many more there were. A kind is a place in the source. The frameworks' own lines
//! are left out, for they may contain what a caller sent; but for those of the accepting of connections, which
//! contain what the system says.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::Serialize;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime as Clock};
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use super::batches::{BatchBounds, Batches, Flush, Pass};

/// Whose lines are not bounded: nobody but the operator causes them.
pub const OPERATOR: &str = "portaria::operator";

/// Lines of one kind in a second.
const MOST_A_SECOND: u64 = 20;
/// Its lines are few, and what is said last may be why the process ended: none waits for others.
const BOUNDS: BatchBounds = BatchBounds { enough: 1, most: 1024 * 1024 };
/// Characters of a line that stand for its kind.
const LONGEST_MESSAGE: usize = 200;
/// Where the framework says that it could not accept a connection.
const ACCEPTING: &str = "pingora_core::services::listening";

/// The log, as others see it.
#[derive(Clone)]
pub struct ApplicationLog {
    batches: Batches,
    level: Arc<ArcSwap<LevelFilter>>,
}

impl ApplicationLog {
    /// A log on `target` that takes the events of the process from now on, and the guard that writes what is
    /// left.
    pub fn begin(
        level: LevelFilter,
        target: impl Write + Send + 'static,
    ) -> std::io::Result<(Self, Flush)> {
        let kinds = Arc::new(Kinds::default());
        let told = kinds.clone();
        let add = move |batch: &mut Vec<u8>, pass: Pass| told.tell(batch, pass);
        let (batches, flush) = Batches::to("log", target, BOUNDS, add)?;
        let level = Arc::new(ArcSwap::from_pointee(level));
        // The library would write what fails to standard error by itself, and wait for its reader.
        let lines = tracing_subscriber::fmt::layer().json().log_internal_errors(false);
        let lines = lines.with_writer(LogLines(batches.clone()));
        let wanted = Wanted { level: level.clone(), kinds };
        // Whoever has a subscriber already keeps it.
        let _ = tracing_subscriber::registry().with(lines.with_filter(wanted)).try_init();
        Ok((Self { batches, level }, flush))
    }

    /// Changes the least severe level.
    pub fn set_level(&self, level: LevelFilter) {
        if **self.level.load() != level {
            self.level.store(Arc::new(level));
            // Each place in the source keeps whether it is wanted: only new ones would heed the level.
            tracing::callsite::rebuild_interest_cache();
        }
    }

    /// How many lines were dropped, because nobody took them.
    pub fn dropped(&self) -> usize {
        self.batches.dropped()
    }
}

/// Writes each event whole into the batches.
struct LogLines(Batches);

impl<'a> MakeWriter<'a> for LogLines {
    type Writer = &'a Batches;

    fn make_writer(&'a self) -> &'a Batches {
        &self.0
    }
}

impl Write for &Batches {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Which events are written.
struct Wanted {
    level: Arc<ArcSwap<LevelFilter>>,
    kinds: Arc<Kinds>,
}

impl<S: Subscriber> Filter<S> for Wanted {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        let target = metadata.target();
        // With the colons: another crate may be called `portaria_something`.
        let is_own = target == "portaria" || target.starts_with("portaria::");
        let is_accepting = target == ACCEPTING && *metadata.level() == Level::ERROR;
        (is_own || is_accepting) && *metadata.level() <= **self.level.load()
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        event.metadata().target() == OPERATOR || self.kinds.admit(event, Instant::now())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(**self.level.load())
    }
}

/// What was written of each kind lately. As many as there are places in the source that say something.
#[derive(Default)]
struct Kinds(Mutex<HashMap<Identifier, LineKind>>);

struct LineKind {
    level: Level,
    target: &'static str,
    since: Instant,
    lines: u64,
    /// What would have been written since, and what it said first.
    more: u64,
    message: String,
    /// They belong to a second that is over.
    is_due: bool,
}

impl LineKind {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= Duration::from_secs(1)
    }
}

impl Kinds {
    fn admit(&self, event: &Event<'_>, now: Instant) -> bool {
        let metadata = event.metadata();
        let mut kinds = self.0.lock();
        let kind = kinds.entry(metadata.callsite()).or_insert_with(|| LineKind {
            level: *metadata.level(),
            target: metadata.target(),
            since: now,
            lines: 0,
            more: 0,
            message: String::new(),
            is_due: false,
        });
        if kind.is_over(now) {
            (kind.since, kind.lines, kind.is_due) = (now, 0, kind.more > 0);
        }
        kind.lines += 1;
        if kind.lines <= MOST_A_SECOND {
            return true;
        }
        kind.more += 1;
        if kind.more == 1 {
            event.record(&mut Message(&mut kind.message));
        }
        false
    }

    /// Adds what was left out to a batch.
    fn tell(&self, batch: &mut Vec<u8>, pass: Pass) {
        if pass.lost > 0 {
            let message = "lines of this log were lost: nobody took them";
            tell(batch, &Level::ERROR, "portaria", LogFields { message, more: pass.lost });
        }
        let now = Instant::now();
        for kind in self.0.lock().values_mut() {
            if kind.more > 0 && (pass.is_last || kind.is_due || kind.is_over(now)) {
                let message = format!("… {} more: {}", kind.more, kind.message);
                let said = LogFields { message: &message, more: kind.more };
                tell(batch, &kind.level, kind.target, said);
                (kind.more, kind.is_due) = (0, false);
                kind.message.clear();
            }
        }
    }
}

/// A line of the form that the events have.
#[derive(Serialize)]
struct LogLine<'a> {
    timestamp: String,
    level: &'a str,
    fields: LogFields<'a>,
    target: &'a str,
}

#[derive(Serialize)]
struct LogFields<'a> {
    message: &'a str,
    more: u64,
}

fn tell(batch: &mut Vec<u8>, level: &Level, target: &str, fields: LogFields<'_>) {
    let mut timestamp = String::new();
    let mut writer = tracing_subscriber::fmt::format::Writer::new(&mut timestamp);
    // Into a string nothing fails; and a line without its time is better than none.
    let _ = Clock.format_time(&mut writer);
    let line = LogLine { timestamp, level: level.as_str(), fields, target };
    if serde_json::to_writer(&mut *batch, &line).is_ok() {
        batch.push(b'\n');
    }
}

/// The message of an event.
struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            // Cut: it is kept until its second is over, and what a stranger sent may be in it.
            self.0.extend(format!("{value:?}").chars().take(LONGEST_MESSAGE));
        }
    }
}
