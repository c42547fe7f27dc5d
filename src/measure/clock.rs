//! The course of one exchange: whose time passes.
//!
//! The clock runs from the moment at which a request's head is whole, over either version of HTTP. What passes
//! while the caller has yet to send its body, or to take its answer, is the caller's: it is measured, and is no part
//! of the response time, or a caller could make the gateway look as slow as it likes. Takes the time of each turn,
//! reads no clock.

use std::time::{Duration, Instant};

/// Whose time it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// From a whole head to the last byte of the answer, without what was the caller's.
    pub response: Duration,
    /// Of that, waiting for the backend.
    pub backend: Option<Duration>,
    /// Waiting for the caller: for the rest of its head, from its first byte on.
    pub head: Duration,
    /// Waiting for the caller: for its body. Nothing where it has none.
    pub body: Option<Duration>,
    /// Waiting for the caller: for room for its answer.
    pub answer: Duration,
    /// Waiting for an earlier request of the caller's to the same operation.
    pub earlier: Duration,
}

/// The turns of one exchange so far.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
    head: Duration,
    /// From when to when a body was awaited.
    body: Option<(Instant, Option<Instant>)>,
    /// When a backend was asked.
    asked: Option<Instant>,
    /// When it was last heard of, and how much of the time until then writes had waited for the caller.
    heard: Option<(Instant, Duration)>,
    /// When the last piece of the answer was handed to whom writes it.
    handed: Option<Instant>,
    /// How long the pieces before it waited for the caller.
    stalled: Duration,
    /// Since when an earlier request to the same operation is waited for.
    queued: Option<Instant>,
    /// How long one was.
    earlier: Duration,
}

impl Clock {
    /// A head is whole.
    pub fn new(now: Instant) -> Self {
        Self {
            began: now,
            head: Duration::ZERO,
            body: None,
            asked: None,
            heard: None,
            handed: None,
            stalled: Duration::ZERO,
            queued: None,
            earlier: Duration::ZERO,
        }
    }

    /// When the head was whole.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// How long the head took from its first byte.
    pub fn note_head(&mut self, took: Duration) {
        self.head = took;
    }

    /// The caller is to send its body.
    pub fn await_body(&mut self, now: Instant) {
        self.body.get_or_insert((now, None));
    }

    /// The body is here, or of no interest any more.
    pub fn have_body(&mut self, now: Instant) {
        if let Some((_, end)) = &mut self.body {
            end.get_or_insert(now);
        }
    }

    /// An earlier request of the caller's to the same operation may be under way. Whoever sends its body slowly, or
    /// takes its answer slowly, keeps all that come after it waiting.
    pub fn await_earlier(&mut self, now: Instant) {
        self.queued = Some(now);
    }

    /// Nothing is waited for any more. Without an earlier one, what passed was the gateway's.
    pub fn have_earlier(&mut self, now: Instant, has_waited: bool) {
        let waited = self.queued.take().filter(|_| has_waited);
        self.earlier += waited.map_or(Duration::ZERO, |from| now.saturating_duration_since(from));
    }

    /// Whether nothing of the request is still to come.
    pub fn is_whole(&self) -> bool {
        !matches!(self.body, Some((_, None)))
    }

    /// A backend is asked, for the first time or again.
    pub fn ask(&mut self, now: Instant) {
        // The first time only: a second try is part of what the backend took.
        self.asked.get_or_insert(now);
    }

    /// The backend that was asked has the whole request only now: its time runs from here.
    pub fn ask_whole(&mut self, now: Instant) {
        self.asked = Some(now);
    }

    /// Whether a backend was asked.
    pub fn has_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// The backend failed, or something of it is read. It may have been here for a while, `there_for`, if the
    /// caller took the piece before only now.
    pub fn hear(&mut self, now: Instant, there_for: Duration) {
        // No longer than since it was handed over: what passed before was the backend's.
        self.stalled += there_for.min(self.since_handed(now).unwrap_or_default());
        self.heard = Some((now, self.stalled));
    }

    /// From the question to the last that was heard.
    pub fn backend_so_far(&self) -> Option<Duration> {
        let (asked, (heard, stalled)) = (self.asked?, self.heard?);
        Some(heard.saturating_duration_since(asked).saturating_sub(stalled))
    }

    /// When the backend will have taken as long as it may, if nothing of the answer waits for the caller.
    pub fn deadline(&self, most: Duration) -> Option<Instant> {
        self.asked?.checked_add(most)?.checked_add(self.stalled)
    }

    /// A piece of the answer is handed to whom writes it.
    pub fn hand_over(&mut self, now: Instant) {
        self.handed = Some(now);
    }

    /// How long ago the last piece of the answer was handed over.
    pub fn since_handed(&self, now: Instant) -> Option<Duration> {
        Some(now.saturating_duration_since(self.handed?))
    }

    /// Whose time it was, now that it is over. `is_taking` says that what was handed over last was the end of
    /// the answer or was not taken: what came after is the caller's. Otherwise more was awaited of the backend.
    pub fn end(&self, now: Instant, is_taking: bool) -> Times {
        let last = self.since_handed(now).filter(|_| is_taking);
        let is_taking = last.is_some();
        let answer = self.stalled + last.unwrap_or_default();
        let body = self.body.map(|(from, to)| to.unwrap_or(now).saturating_duration_since(from));
        // Who left while it waited has not been told that it may go on.
        let queued = self.queued.map(|from| now.saturating_duration_since(from));
        let earlier = self.earlier + queued.unwrap_or_default();
        let callers = answer + earlier + body.unwrap_or_default();
        let response = now.saturating_duration_since(self.began).saturating_sub(callers);
        let backend = match is_taking {
            true => self.backend_so_far(),
            false => self.asked.map(|asked| now.saturating_duration_since(asked)),
        };
        // A part of it: taken at two instants, the part could be longer than the whole.
        let backend = backend.map(|time| time.min(response));
        Times { response, backend, head: self.head, body, answer, earlier }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn what_passes_while_the_caller_sends_is_the_callers() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        clock.note_head(ms(6000));
        clock.await_body(start + ms(1));
        assert!(!clock.is_whole());
        clock.have_body(start + ms(9001));
        assert!(clock.is_whole());
        clock.ask(start + ms(9002));
        clock.hear(start + ms(9006), NONE);
        clock.hand_over(start + ms(9007));
        let times = clock.end(start + ms(9007), true);
        assert_eq!((times.head, times.body), (ms(6000), Some(ms(9000))));
        assert_eq!((times.response, times.backend, times.answer), (ms(7), Some(ms(4)), NONE));
    }

    #[test]
    fn what_passes_while_the_caller_takes_is_neither_the_gateways_nor_the_backends() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        clock.ask(start + ms(1));
        clock.hear(start + ms(5), NONE);
        clock.hand_over(start + ms(5));
        // The next piece was there long before there was room for it.
        clock.hear(start + ms(8005), ms(8000));
        clock.hand_over(start + ms(8005));
        // It came only now: that was the backend.
        clock.hear(start + ms(8007), NONE);
        clock.hand_over(start + ms(8007));
        let times = clock.end(start + ms(12_007), true);
        assert_eq!((times.response, times.backend), (ms(7), Some(ms(6))));
        assert_eq!(times.answer, ms(12_000));
    }

    #[test]
    fn whoever_leaves_has_waited_for_whom_the_gateway_waited() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        clock.ask(start + ms(1));
        let times = clock.end(start + ms(1900), false);
        assert_eq!((times.response, times.backend), (ms(1900), Some(ms(1899))));
        // Part of an answer came, and then nothing of the backend.
        clock.hear(start + ms(10), NONE);
        clock.hand_over(start + ms(10));
        let times = clock.end(start + ms(1900), false);
        assert_eq!((times.response, times.backend), (ms(1900), Some(ms(1899))));
        let times = clock.end(start + ms(1900), true);
        assert_eq!((times.response, times.backend, times.answer), (ms(10), Some(ms(9)), ms(1890)));
    }

    #[test]
    fn a_body_that_passes_through_is_the_callers_until_the_backend_has_it() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        clock.ask(start);
        clock.await_body(start + ms(2));
        assert_eq!(clock.end(start + ms(502), false).response, ms(2));
        clock.have_body(start + ms(502));
        clock.ask_whole(start + ms(502));
        clock.hear(start + ms(512), NONE);
        clock.hand_over(start + ms(512));
        let times = clock.end(start + ms(512), true);
        assert_eq!((times.response, times.backend), (ms(12), Some(ms(10))));
    }

    #[test]
    fn an_earlier_request_that_is_waited_for_is_the_callers() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        clock.await_earlier(start + ms(1));
        assert_eq!(clock.end(start + ms(501), false).response, ms(1), "it left meanwhile");
        let mut alone = clock;
        clock.have_earlier(start + ms(501), true);
        let times = clock.end(start + ms(503), true);
        assert_eq!((times.response, times.earlier), (ms(3), ms(500)));
        alone.have_earlier(start + ms(501), false);
        let times = alone.end(start + ms(503), true);
        assert_eq!((times.response, times.earlier), (ms(503), NONE), "the store was slow");
    }
}
