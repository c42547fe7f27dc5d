//! An exchange is dropped, or its caller leaves, at every moment at which it may be: the course itself, over a caller in
//! memory and a server behind a socket. Nothing half is used again, and each exchange ends in one sample.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Version};
use portaria::alarm::Alarm;
use portaria::course::caller::{After, BodyError, Caller, Gone, Length};
use portaria::course::{Arrival, Entrance, ExchangesUnderWay, Gateway, Seat};
use portaria::headers::answer::AnswerFields;
use portaria::measure::{Clock, Outcome, Sample, Sink};
use portaria::report::Metrics;
use portaria::request::RequestHead;
use portaria::route::Exposure;
use portaria::upstream::pool::Pool;

use super::*;

/// A caller in memory, who keeps everybody waiting every other time, and leaves when its patience ends.
#[derive(Default)]
struct Hand {
    body: VecDeque<Bytes>,
    /// How often it is asked before it leaves; for ever, if nothing.
    patience: Option<usize>,
    /// Whether it kept waiting last: for its body, with what it is given, with what leaves, for room.
    balks: [bool; 4],
    status: Option<StatusCode>,
    content: Vec<u8>,
    has_ended: bool,
    is_cut: bool,
}

impl Hand {
    /// Keeps waiting, or says whether it is still there.
    fn ask(&mut self, cx: &mut Context<'_>, what: usize) -> Poll<Result<(), Gone>> {
        if let Some(patience) = &mut self.patience {
            let Some(less) = patience.checked_sub(1) else { return Poll::Ready(Err(Gone)) };
            *patience = less;
        }
        self.balks[what] = !self.balks[what];
        if self.balks[what] {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl Caller for Hand {
    const PIECE: usize = 64 * 1024;

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        let asked = self.ask(cx, 0).map_err(|Gone| BodyError::Gone);
        asked.map_ok(|()| self.body.pop_front())
    }

    fn proceed(&mut self) {}

    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.patience {
            Some(0) => Poll::Ready(()),
            Some(patience) => {
                *patience -= 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Pending,
        }
    }

    fn begin(
        &mut self,
        status: StatusCode,
        _: &AnswerFields<'_>,
        _: Length,
        _: After,
    ) -> Result<(), Gone> {
        assert_eq!(self.status.replace(status), None, "one answer");
        if self.patience == Some(0) { Err(Gone) } else { Ok(()) }
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.ask(cx, 3)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, content: &[u8]) -> Poll<Result<usize, Gone>> {
        let asked = self.ask(cx, 1);
        asked.map_ok(|()| {
            let taken = content.len().min(5);
            self.content.extend_from_slice(&content[..taken]);
            taken
        })
    }

    fn end(&mut self) -> Result<(), Gone> {
        assert!(!std::mem::replace(&mut self.has_ended, true) && !self.is_cut, "one end");
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.ask(cx, 2)
    }

    fn cut(&mut self) {
        self.is_cut = true;
    }

    async fn settle(&mut self) {}
}

#[derive(Default)]
struct Samples(Mutex<Vec<Outcome>>);

impl Sink for Samples {
    fn take(&self, sample: &Sample<'_>) {
        self.0.lock().unwrap().push(sample.outcome);
    }
}

/// What serves, in this process.
struct Stage {
    gateway: Gateway,
    pool: Pool,
    samples: Arc<Samples>,
}

impl Stage {
    /// As `lab` is configured, but for the room: for one exchange at a time, so that one that leaves something behind keeps
    /// out the next.
    fn of(lab: &Lab) -> Self {
        lab.rewrite_config(|config| config + "\n[limits]\nunder_way = { total = 1 }\n");
        let path = lab.directory.path().join("config.toml");
        let loaded = portaria::assembly::load(&path, &Metrics::new().unwrap(), None);
        let serving =
            loaded.unwrap_or_else(|mistakes| panic!("{mistakes:?}")).configuration.serving;
        let samples = Arc::<Samples>::default();
        let gateway = Gateway {
            serving: Arc::new(ArcSwap::from_pointee(serving)),
            entrance: Entrance { listener: "mtls".into(), position: 0, exposure: Exposure::Mutual },
            sink: samples.clone(),
            under_way: ExchangesUnderWay::default(),
        };
        Self { gateway, pool: Pool::default(), samples }
    }

    /// Serves a request, at most with so many polls. Says whether it ended by itself.
    async fn serve(&self, tag: &str, hand: &mut Hand, most: usize) -> bool {
        let target = format!("{THINGS}?do=&tag={tag}");
        let mut fields = HeaderMap::new();
        fields.insert("host", "localhost".parse().unwrap());
        fields.insert("content-type", "application/json".parse().unwrap());
        let head = RequestHead::new(Method::POST, Version::HTTP_11, target.into(), fields);
        let arrival = Arrival {
            head,
            fault: None,
            has_body: true,
            declared: Some(BODY as u64),
            clock: Clock::new(Instant::now()),
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            connection: None,
        };
        let entered = self.gateway.under_way.enter().unwrap();
        let mut alarm = Alarm::default();
        let mut seat = Seat { pool: &self.pool, alarm: &mut alarm, entered: &entered };
        let mut serving = pin!(self.gateway.serve(&arrival, hand, &mut seat));
        let mut polls = 0;
        poll_fn(|cx| {
            if polls == most {
                return Poll::Ready(false);
            }
            polls += 1;
            match serving.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(true),
                Poll::Pending if polls == most => Poll::Ready(false),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// The next exchange gets its own answer, and nothing is left of the one before.
    async fn assert_unharmed(&self, number: usize) {
        assert_eq!(self.gateway.under_way.count(), 0);
        let tag = format!("good-{number}");
        let mut hand = Hand { body: body(), ..Hand::default() };
        assert!(self.serve(&tag, &mut hand, usize::MAX).await);
        assert_eq!(hand.status, Some(StatusCode::OK), "{number}");
        assert_eq!(hand.content, format!("{{\"tag\":\"{tag}\"}}").into_bytes(), "{number}");
        assert!(hand.has_ended && !hand.is_cut);
    }

    fn outcomes(&self) -> Vec<Outcome> {
        std::mem::take(&mut self.samples.0.lock().unwrap())
    }
}

/// Long enough to be sent before it is whole.
const BODY: usize = 70_004;

fn body() -> VecDeque<Bytes> {
    let text = format!("[\"{}\"]", "a".repeat(BODY - 4));
    text.into_bytes().chunks(4_000).map(Bytes::copy_from_slice).collect()
}

/// A server that answers whole requests, and no others.
async fn server() -> Scripted {
    Scripted::start(|mut link| async move {
        while let Some(asked) = link.request().await {
            if !link.answer(&asked).await {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_exchange_that_is_dropped_at_any_poll_leaves_nothing_behind() {
    let backend = server().await;
    let lab = backend.lab(|config| config).await;
    let stage = Stage::of(&lab);
    stage.assert_unharmed(0).await;
    assert_eq!(stage.outcomes(), [Outcome::Answered]);
    for most in 0.. {
        let mut hand = Hand { body: body(), ..Hand::default() };
        let has_ended = stage.serve("odd", &mut hand, most).await;
        assert!(has_ended == hand.has_ended || !has_ended, "{most}");
        // One that was never polled has not begun.
        let outcomes = stage.outcomes();
        assert_eq!(outcomes.len(), usize::from(most > 0), "{most}: {outcomes:?}");
        if has_ended {
            assert!(most > 20, "it may be dropped in many places: {most}");
            break;
        }
        assert!(!outcomes.contains(&Outcome::Answered), "{most}");
        stage.assert_unharmed(most).await;
        assert_eq!(stage.outcomes(), [Outcome::Answered], "{most}");
    }
    drop(stage);
    eventually("no connection is left", || async { backend.open() == 0 }).await;
}

#[tokio::test]
async fn a_caller_that_leaves_at_any_poll_leaves_nothing_behind() {
    let backend = server().await;
    let lab = backend.lab(|config| config).await;
    let stage = Stage::of(&lab);
    for patience in 0.. {
        let mut hand = Hand { body: body(), patience: Some(patience), ..Hand::default() };
        assert!(stage.serve("odd", &mut hand, usize::MAX).await, "{patience}");
        let outcomes = stage.outcomes();
        if outcomes == [Outcome::Answered] {
            assert!(patience > 20, "it may leave in many places: {patience}");
            assert!(hand.has_ended && !hand.is_cut);
            break;
        }
        assert_eq!(outcomes, [Outcome::ClientAbort], "{patience}");
        assert!(hand.status.is_none() || hand.is_cut, "{patience}: what was cut looks cut");
        stage.assert_unharmed(patience).await;
        assert_eq!(stage.outcomes(), [Outcome::Answered], "{patience}");
    }
    drop(stage);
    eventually("no connection is left", || async { backend.open() == 0 }).await;
}
