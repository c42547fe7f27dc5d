//! Asks the backend: chooses a server, sends the request, and waits for the head of the answer.
//!
//! Takes a [`Leave`] and nothing else. Both directions run beside each other: an answer is read while the rest of the
//! request is still on its way, and a request that cannot be sent does not hide an answer that is there. A request is
//! sent again once at most, and only if nothing was answered: whatever its method if no server saw anything of it, or
//! if its method is idempotent (RFC 9110 section 9.2.2), all of it is here, and the server broke off rather than kept
//! silent. The second time its connection is a new one: the siblings of a dead one are dead, too.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode};

use super::aftermath::ExchangeAftermath;
use super::caller::Caller;
use super::file::ExchangeFile;
use super::leave::Leave;
use super::operation::ExchangeOperation;
use super::received::ReceivedBody;
use super::{Arrival, End, Seat};
use crate::admission::{At, Refused, Step};
use crate::consent::Consent;
use crate::headers::caller::CallerFacts;
use crate::headers::outgoing::{self, Outgoing};
use crate::http1::answer::AnswerHead;
use crate::http1::ledger::Seen;
use crate::measure::Outcome;
use crate::moment::Moment;
use crate::refusal::{Refusal, UpstreamError};
use crate::request::RequestError;
use crate::upstream::line::{Broken, Line};
use crate::upstream::{Chosen, Upstream};

/// Interim answers (1xx) that a backend may send before its answer.
const MOST_INTERIM: u32 = 16;

/// An exchange that asks a backend.
pub(super) struct Forward<'a, 'f, 's, C> {
    pub(super) caller: &'a mut C,
    pub(super) arrival: &'a Arrival,
    pub(super) file: &'a mut ExchangeFile<'f>,
    pub(super) seat: &'a mut Seat<'s>,
    pub(super) upstream: &'a Upstream,
    pub(super) body: ReceivedBody,
    pub(super) operation: ExchangeOperation,
    pub(super) aftermath: ExchangeAftermath,
}

/// What ended an attempt.
enum Trouble {
    /// The exchange is over.
    End(End),
    /// The server gave no answer that can be passed on.
    Backend { error: UpstreamError, seen: Seen, broke_off: bool, is_stale: bool },
}

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Self {
        Self::End(refused.into())
    }
}

/// Why there is no head of an answer.
enum NoHead {
    End(End),
    Backend(UpstreamError),
}

impl From<UpstreamError> for NoHead {
    fn from(error: UpstreamError) -> Self {
        Self::Backend(error)
    }
}

impl From<Broken> for NoHead {
    fn from(broken: Broken) -> Self {
        Self::Backend(match broken {
            Broken::Io(_) => UpstreamError::Broken,
            Broken::Malformed => UpstreamError::Malformed,
        })
    }
}

/// A server that answered: its connection, and the head of its answer, which lies there.
pub(super) struct Answered {
    pub(super) line: Line,
    pub(super) head: AnswerHead,
    /// When the head was read.
    pub(super) heard: Instant,
}

/// What goes on while an answer is awaited.
enum AwaitingEvent {
    /// The last piece of the request's body is here: it is judged before it is sent.
    LastPiece(Bytes),
    /// The answer's head.
    Head(AnswerHead),
}

/// How a wait for a server goes.
pub(super) struct ServerWatch {
    /// When something was last sent or heard.
    pub(super) progress: Instant,
    sent: usize,
    interim: u32,
    /// The connection takes no more; an answer may be there all the same.
    pub(super) is_deaf: bool,
}

impl ServerWatch {
    pub(super) fn begin(now: Instant) -> Self {
        Self { progress: now, sent: 0, interim: 0, is_deaf: false }
    }
}

/// A method that means the same however often it is carried out.
fn is_idempotent(method: &Method) -> bool {
    // TRACE is idempotent, too (RFC 9110 section 9.2.2), and never forwarded (decision 24).
    matches!(*method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS)
}

impl<C: Caller> Forward<'_, '_, '_, C> {
    /// Asks, and gives the caller the answer.
    pub(super) async fn run(&mut self, mut leave: Leave) -> Result<Outcome, End> {
        let mut tried = None;
        loop {
            let now = Instant::now();
            let server = self.upstream.choose(tried, Moment::of(now));
            let server = server.ok_or(Refusal::Internal).at(Step::Upstream)?;
            self.file.note_asked(leave.upstream(), now);
            // Before the first byte may leave: whatever drops the exchange from here on
            // may have changed a consent.
            self.aftermath.note_asked();
            match self.attempt(&leave, &server, tried.is_some(), now).await {
                Ok(answered) => return self.pass(&leave, &server, answered).await,
                Err(Trouble::End(end)) => return Err(end),
                Err(Trouble::Backend { error, seen, broke_off, is_stale }) => {
                    self.note_failure(&server, is_stale);
                    let may_see_it_twice = is_idempotent(&self.arrival.head.method)
                        && self.body.is_kept()
                        && broke_off;
                    let again = match seen {
                        Seen::Nothing => self.body.is_kept(),
                        Seen::Request => may_see_it_twice,
                        Seen::Answered => false,
                    };
                    if tried.is_some() || !again || self.is_overdue() {
                        return Err(Step::Upstream.refuse(error).into());
                    }
                    let serving = self.file.serving.clone();
                    leave = leave.renew(&serving.admission, self.file.peer()).await?;
                    self.file.note_permit(leave.permit());
                    tried = Some(server.place);
                }
            }
        }
    }

    /// Notes that a server gave no usable answer. A connection that was closed while it waited is nobody's fault.
    pub(super) fn note_failure(&mut self, server: &Chosen, is_stale: bool) {
        let now = Instant::now();
        self.file.clock.have_body(now);
        // What this server took counts towards `total_timeout` when another is asked.
        self.file.clock.hear(now, Duration::ZERO);
        if !is_stale {
            self.upstream.note_failure(server.place, Moment::of(now));
        }
    }

    /// Whether the backend, when it was last heard of, had taken longer than its upstream admits.
    fn is_overdue(&self) -> bool {
        let total = self.upstream.settings().total_timeout;
        self.file.clock.backend_so_far().is_some_and(|taken| taken > total)
    }

    async fn attempt(
        &mut self,
        leave: &Leave,
        server: &Chosen,
        anew: bool,
        now: Instant,
    ) -> Result<Answered, Trouble> {
        let pooled = if anew { None } else { self.seat.pool.take(server, now).await };
        let is_reused = pooled.is_some();
        let mut line = match pooled {
            Some(line) => line,
            None => self.connect(server).await?,
        };
        // A connection that waits is there at once; one that is made takes its time.
        let now = if is_reused { now } else { Instant::now() };
        self.write(leave, &mut line, now)?;
        match self.await_head(leave, &mut line, now).await {
            Ok((head, heard)) => Ok(Answered { line, head, heard }),
            Err(NoHead::End(end)) => Err(Trouble::End(end)),
            Err(NoHead::Backend(error)) => {
                let (seen, broke_off) = (line.seen(), error == UpstreamError::Broken);
                let is_stale = is_reused && broke_off && seen != Seen::Answered;
                Err(Trouble::Backend { error, seen, broke_off, is_stale })
            }
        }
    }

    async fn connect(&mut self, server: &Chosen) -> Result<Line, Trouble> {
        let unreachable = || Trouble::Backend {
            error: UpstreamError::Unreachable,
            seen: Seen::Nothing,
            broke_off: true,
            is_stale: false,
        };
        let deadline = Instant::now() + self.upstream.settings().connect_timeout;
        // Boxed, for most exchanges find a connection that waits.
        let mut connecting = pin!(Box::pin(Line::connect(server)));
        poll_fn(|cx| {
            if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
                return Poll::Ready(connected.map_err(|error| {
                    // Not a warning: a server that is down would say it for each request, and that it is left
                    // out is said once.
                    tracing::debug!(%error, "no connection to a server");
                    unreachable()
                }));
            }
            if self.body.is_whole() && self.caller.poll_left(cx).is_ready() {
                return Poll::Ready(Err(Trouble::End(End::Left)));
            }
            ready!(self.seat.alarm.poll(cx, deadline));
            Poll::Ready(Err(unreachable()))
        })
        .await
    }

    /// What the backend is told. A participant that was admitted and is none any more, while a server was awaited, is
    /// refused: no backend gets its request without its name.
    fn write(&mut self, leave: &Leave, line: &mut Line, at: Instant) -> Result<(), Refused> {
        let (permit, now) = (leave.permit(), Moment::of(at));
        let settings = self.upstream.settings();
        let participant = match leave.route().asks.access.needs_participant() {
            true => Some(self.file.peer().participant(now).at(Step::Participant)?),
            false => None,
        };
        let head = &self.arrival.head;
        // Who gets the answer later may not accept what this caller does; and links are rewritten in what can be
        // read.
        let is_plain = self.operation.may_be_repeated() || settings.public_url.is_some();
        // A method that anticipates content says that there is none (RFC 9110 section 8.6).
        let length = self.body.length().or_else(|| {
            matches!(head.method, Method::POST | Method::PUT | Method::PATCH).then_some(0)
        });
        let request = Outgoing {
            head,
            path: permit.canonical_path(),
            length,
            host: settings.host.as_ref(),
            passing: &settings.passing,
            is_plain,
            caller: CallerFacts {
                address: self.file.address(),
                interaction: self.file.interaction().id(),
                participant,
                peer: self.file.peer(),
                now,
                client_id: permit.token().map(|token| token.token().client_id()),
                // None that does not permit: in shadow mode the backend is told of no
                // consent then (decision 11).
                consent: permit.consent().map(Consent::id),
            },
        };
        let written = outgoing::write(line.output(), &request);
        // The stages let nothing pass that reads as more lines: who finds one here has
        // found a fault of theirs.
        written.map_err(|_| Step::Upstream.refuse(Refusal::Internal))?;
        // A reference to it: it may have to be sent once more.
        line.send(self.body.kept().clone());
        if self.body.is_whole() {
            self.file.clock.have_body(at);
        }
        Ok(())
    }

    async fn await_head(
        &mut self,
        leave: &Leave,
        line: &mut Line,
        now: Instant,
    ) -> Result<(AnswerHead, Instant), NoHead> {
        let mut watch = ServerWatch::begin(now);
        loop {
            match poll_fn(|cx| self.poll_event(cx, line, &mut watch)).await? {
                AwaitingEvent::Head(head) => return Ok((head, watch.progress)),
                AwaitingEvent::LastPiece(piece) => {
                    let judged = self.judge_last(leave).await;
                    judged.map_err(|refused| NoHead::End(refused.into()))?;
                    line.send(piece);
                }
            }
        }
    }

    /// What passes last, passes only if the permit still holds: without it, no backend has a whole request.
    pub(super) async fn judge_last(&mut self, leave: &Leave) -> Result<(), Refused> {
        let now = Instant::now();
        self.file.note_whole(now);
        self.file.clock.ask_whole(now);
        // Local before remote: where the disk does not keep up, nobody is asked about the consent.
        self.operation.take_room()?;
        let serving = self.file.serving.clone();
        Box::pin(serving.admission.holds(leave.permit(), self.file.peer(), Moment::now())).await
    }

    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        line: &mut Line,
        watch: &mut ServerWatch,
    ) -> Poll<Result<AwaitingEvent, NoHead>> {
        if let Poll::Ready(last) = self.poll_request(cx, line, watch) {
            return Poll::Ready(last.map(AwaitingEvent::LastPiece).map_err(NoHead::End));
        }
        loop {
            if let Some(head) = line.head()? {
                match self.interim(line, watch, &head)? {
                    true => continue,
                    false => return Poll::Ready(Ok(AwaitingEvent::Head(head))),
                }
            }
            match line.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => {
                    return Poll::Ready(Err(UpstreamError::Broken.into()));
                }
                Poll::Ready(Ok(_)) => watch.progress = Instant::now(),
                Poll::Pending => break,
            }
        }
        if !self.body.is_whole() && line.is_sent() {
            // Then it is the caller who is waited for.
            return Poll::Pending;
        }
        if self.body.is_whole() && self.caller.poll_left(cx).is_ready() {
            return Poll::Ready(Err(NoHead::End(End::Left)));
        }
        ready!(self.poll_deadline(cx, watch.progress));
        Poll::Ready(Err(UpstreamError::Timeout.into()))
    }

    /// Ready when the backend has been silent, or is at it, for too long.
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>, progress: Instant) -> Poll<()> {
        let settings = self.upstream.settings();
        let silence = progress + settings.first_byte_timeout;
        // As long as the request is not whole, the time is its caller's: a slow upload must not use up what the
        // backend has to answer it.
        let total =
            self.file.clock.deadline(settings.total_timeout).filter(|_| self.body.is_whole());
        self.seat.alarm.poll(cx, total.map_or(silence, |total| total.min(silence)))
    }

    /// Whether it is an interim answer, which is passed over. No upgrade was asked for, so 101 answers nothing.
    fn interim(
        &self,
        line: &mut Line,
        watch: &mut ServerWatch,
        head: &AnswerHead,
    ) -> Result<bool, NoHead> {
        // Judged of an interim answer, too: who frames one in two ways is not to be believed about the next.
        head.framing(line.input(), self.arrival.head.method == Method::HEAD)
            .map_err(|_| UpstreamError::Malformed)?;
        if !head.status.is_informational() {
            return Ok(false);
        }
        watch.interim += 1;
        if head.status == StatusCode::SWITCHING_PROTOCOLS || watch.interim > MOST_INTERIM {
            return Err(UpstreamError::Malformed.into());
        }
        line.skip_interim(head);
        Ok(true)
    }

    /// Sends what is to be sent, and reads more of the body when it is. Ready with the last piece of one.
    pub(super) fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        line: &mut Line,
        watch: &mut ServerWatch,
    ) -> Poll<Result<Bytes, End>> {
        while !watch.is_deaf {
            let was_sent = line.is_sent();
            let sent = line.poll_send(cx);
            // A part of it taken is progress: a body of megabytes takes longer than a silence may.
            if line.sent() != watch.sent {
                (watch.sent, watch.progress) = (line.sent(), Instant::now());
            }
            if ready!(sent).is_err() {
                // Not the end: who refuses early may close before it read all, and its answer is there (RFC
                // 9112 section 9.5).
                watch.is_deaf = true;
                break;
            }
            if !was_sent {
                watch.progress = Instant::now();
            }
            if self.body.is_whole() {
                line.end_request();
                break;
            }
            let piece = match ready!(self.body.poll_next(cx, self.caller, self.seat))? {
                Some(piece) => piece,
                // `take` knows the last piece by the declared length, so an end before it is too early.
                None => return Poll::Ready(Err(RequestError::BodyIncomplete.into())),
            };
            self.operation.update(&piece);
            if self.body.take(&piece)? {
                return Poll::Ready(Ok(piece));
            }
            line.send(piece);
        }
        Poll::Pending
    }
}
