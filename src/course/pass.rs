//! Passes the backend's answer on: its fields made the ecosystem's, its content as the caller takes it.
//!
//! One piece is in flight: nothing is read from the backend before the caller took what came before, so that whoever
//! takes nothing holds one piece and no more. A piece is as much as is there at once, within [`Caller::PIECE`]. What was
//! given is flushed when the backend pauses. The rest of a request that is answered early goes on beside the answer,
//! unless the answer refuses it.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::End;
use super::caller::{After, Caller, Gone, Length};
use super::forward::{Answered, Forward, ServerWatch};
use super::leave::Leave;
use super::reply;
use crate::admission::{Refused, Step};
use crate::headers::{self, answer::AnswerFields, answer::Own};
use crate::http1::answer::{AnswerHead, has_no_content};
use crate::http1::body::Framing;
use crate::http1::line::parse_length;
use crate::links::{self, LinkRewriter};
use crate::measure::Outcome;
use crate::refusal::{UpstreamError, foreign};
use crate::request::media::Media;
use crate::upstream::line::{Line, Piece};
use crate::upstream::{Chosen, UpstreamSettings};

/// An answer as the caller gets it.
struct Prepared {
    status: StatusCode,
    /// Its own fields, if they are not those that came.
    own: Option<HeaderMap>,
    length: Length,
    links: Option<LinkRewriter>,
    /// What the caller gets instead of the backend's content.
    replacement: Option<Vec<u8>>,
}

/// What is changed of an answer.
#[derive(Default)]
struct AnswerChanges {
    own: Option<HeaderMap>,
    links: Option<LinkRewriter>,
    replacement: Option<(StatusCode, Vec<u8>)>,
}

/// How the passing goes.
struct Passage {
    /// Bytes at the beginning of what came that are content, and not yet given.
    content: usize,
    /// Content that was rewritten, and not yet given.
    rewritten: Bytes,
    links: Option<LinkRewriter>,
    watch: ServerWatch,
    /// When something came last.
    heard: Instant,
    /// The whole content came.
    is_over: bool,
    has_ended: bool,
    /// Since when the caller has no room.
    blocked: Option<Instant>,
    /// How long it had none since something was last heard.
    waited: Duration,
}

/// What the passing came to.
enum PassingEvent {
    LastPiece(Bytes),
    Done,
}

impl<C: Caller> Forward<'_, '_, '_, C> {
    /// Gives the caller the answer whose head is here.
    pub(super) async fn pass(
        &mut self,
        leave: &Leave,
        server: &Chosen,
        answered: Answered,
    ) -> Result<Outcome, End> {
        let Answered { mut line, head, heard: now } = answered;
        self.note_answer(server, head.status, now);
        let prepared = self.prepare(leave, &line, &head)?;
        let is_head = self.arrival.head.method == Method::HEAD;
        if !self.body.is_whole() && !goes_on(head.status) {
            // A server that refuses reads no more; to go on would hold its caller to an upload for nobody.
            line.stop_sending();
            self.body = super::received::ReceivedBody::none();
            self.file.note_whole(now);
        }
        self.begin(&line, &head, &prepared, now)?;
        // Cannot fail any more, or the caller would get two answers: `prepare` read the
        // framing of the same head.
        line.begin_body(&head, is_head).map_err(|_| malformed())?;
        let Prepared { links, replacement, .. } = prepared;
        if let Some(content) = replacement {
            return self.replace(server, line, &content).await;
        }
        let mut passage = Passage::begin(links, now);
        loop {
            match poll_fn(|cx| self.poll_passage(cx, &mut line, &mut passage)).await {
                Ok(PassingEvent::Done) => break,
                Ok(PassingEvent::LastPiece(piece)) => {
                    self.judge_last(leave).await.map_err(|refused| self.cut_by(refused))?;
                    line.send(piece);
                }
                Err(End::Cut(Outcome::Interrupted, is_taking)) => {
                    self.note_failure(server, false);
                    return Err(End::Cut(Outcome::Interrupted, is_taking));
                }
                Err(end) => return Err(end),
            }
        }
        // From when it was heard: its patience does not wait until a slow caller has taken the last byte.
        self.seat.pool.give_back(server, line, passage.heard);
        Ok(Outcome::Answered)
    }

    /// Begins the answer.
    fn begin(
        &mut self,
        line: &Line,
        head: &AnswerHead,
        prepared: &Prepared,
        now: Instant,
    ) -> Result<(), End> {
        self.file.note_status(prepared.status, now);
        let own = match &prepared.own {
            Some(own) => Own::These(own),
            None => Own::Passed {
                head,
                buffer: line.input(),
                keeps_cookies: self.upstream.settings().keeps_cookies,
            },
        };
        let fields = AnswerFields { own, facts: self.file.answer_facts(&self.arrival.head) };
        let begun = self.caller.begin(prepared.status, &fields, prepared.length, After::Stays);
        begun.map_err(|Gone| End::Cut(Outcome::ClientAbort, true))
    }

    /// Notes the head of the backend's answer: what may have changed is over before the caller sees it.
    fn note_answer(&mut self, server: &Chosen, status: StatusCode, now: Instant) {
        // One that answers early wants no more of the body.
        self.file.clock.have_body(now);
        self.file.clock.hear(now, Duration::ZERO);
        self.aftermath.note_answer(status);
        self.upstream.note_answer(server.place);
    }

    /// Makes the answer the ecosystem's.
    fn prepare(&mut self, leave: &Leave, line: &Line, head: &AnswerHead) -> Result<Prepared, End> {
        let settings = self.upstream.settings();
        let is_head = self.arrival.head.method == Method::HEAD;
        let framing = head.framing(line.input(), is_head).map_err(|_| malformed())?;
        let said = head.values(line.input(), "content-length").next().and_then(parse_length);
        let is_changed = settings.public_url.is_some()
            || (settings.replaces_errors && !head.status.is_success())
            || self.operation.may_be_repeated();
        let AnswerChanges { own, links, replacement } = match is_changed {
            true => self.change(leave, line, head)?,
            false => AnswerChanges::default(),
        };
        let status = replacement.as_ref().map_or(head.status, |(status, _)| *status);
        let replacement = replacement.map(|(_, content)| content);
        let length = match (framing, &replacement) {
            // A 204 must not have a Content-Length (RFC 9110 section 8.6), whatever the backend wrote.
            _ if status == StatusCode::NO_CONTENT => Length::None,
            (_, Some(content)) if is_head => Length::Said(u64::try_from(content.len()).ok()),
            (_, Some(content)) => Length::Known(u64::try_from(content.len()).unwrap_or(0)),
            _ if is_head || has_no_content(status) => {
                // Rewritten, a GET would have another length: rather none is said than a wrong one.
                Length::Said(said.filter(|_| links.is_none()))
            }
            // It is passed on before all of it was rewritten, so nobody knows how long it gets.
            _ if links.is_some() => Length::Open,
            (Framing::Length(length), None) => Length::Known(length),
            (Framing::Chunked | Framing::UntilClose, None) => Length::Open,
        };
        // Measured all the same: HEAD is told the fields of the GET (RFC 9110 section 9.3.2).
        let replacement = replacement.filter(|_| !is_head);
        Ok(Prepared { status, own, length, links, replacement })
    }

    /// Changes the fields of an answer that is not passed as it is, and notes those of one that may be given again.
    fn change(
        &mut self,
        leave: &Leave,
        line: &Line,
        head: &AnswerHead,
    ) -> Result<AnswerChanges, End> {
        let settings = self.upstream.settings();
        let mut own = head.to_map(line.input()).map_err(|_| malformed())?;
        let links = settings.public_url.clone().filter(|_| links::are_in(head.status, &own));
        let replacement = self.replacement(leave, settings, head.status, &own);
        headers::answer::clear(&mut own, settings.keeps_cookies);
        if let Some((_, content)) = &replacement {
            foreign::dress(&mut own, content.len());
        }
        lead_outside(&mut own, settings, self.arrival.head.host());
        if self.operation.may_be_repeated() {
            let status = replacement.as_ref().map_or(head.status, |(status, _)| *status);
            self.operation.note_answer_head(status.as_u16(), headers::lasting(&own));
        }
        // Whoever writes the answer says how long it is, and two lengths are two
        // messages (RFC 9112 section 6.3).
        own.remove(header::CONTENT_LENGTH);
        Ok(AnswerChanges { own: Some(own), links: links.map(LinkRewriter::new), replacement })
    }

    /// The status and content that the caller gets instead of an error that the backend tells in a form of its own;
    /// nothing if it is the backend's word. What an authorization server says to forms has its own form.
    fn replacement(
        &self,
        leave: &Leave,
        settings: &UpstreamSettings,
        answered: StatusCode,
        fields: &HeaderMap,
    ) -> Option<(StatusCode, Vec<u8>)> {
        let route = leave.route();
        let replaces = settings.replaces_errors && route.asks.media != Media::Form;
        if !replaces || !foreign::is_foreign(answered, fields) {
            return None;
        }
        let status = foreign::status_for(answered);
        Some((status, foreign::body(status, route.answers.errors, self.file.arrived)))
    }

    /// Gives the caller other content. The backend's is of no interest, and its connection with it, unless it is here.
    async fn replace(
        &mut self,
        server: &Chosen,
        mut line: Line,
        content: &[u8],
    ) -> Result<Outcome, End> {
        let given = async {
            reply::give(&mut *self.caller, content).await?;
            self.caller.end()?;
            poll_fn(|cx| self.caller.poll_flush(cx)).await
        };
        given.await.map_err(|Gone| End::Cut(Outcome::ClientAbort, true))?;
        while let Ok(Piece::Content(bytes)) = line.piece() {
            line.take(bytes);
        }
        self.operation.note_answer_end(self.body.is_whole());
        self.seat.pool.give_back(server, line, Instant::now());
        Ok(Outcome::Answered)
    }

    /// A refusal that comes too late to be told: the answer has begun.
    fn cut_by(&mut self, refused: Refused) -> End {
        self.file.refuse(refused);
        End::Cut(self.file.refused(), true)
    }

    fn poll_passage(
        &mut self,
        cx: &mut Context<'_>,
        line: &mut Line,
        passage: &mut Passage,
    ) -> Poll<Result<PassingEvent, End>> {
        // The rest of the request goes on beside the answer: a server that awaits it would else not say more.
        if (!self.body.is_whole() || !line.is_sent())
            && let Poll::Ready(piece) = self.poll_request(cx, line, &mut passage.watch)
        {
            return Poll::Ready(match piece {
                Ok(piece) => Ok(PassingEvent::LastPiece(piece)),
                Err(End::Refused(refused)) => Err(self.cut_by(refused)),
                Err(End::Left) => Err(End::Cut(Outcome::ClientAbort, true)),
                Err(cut) => Err(cut),
            });
        }
        loop {
            if passage.has_content() {
                ready!(self.poll_give(cx, line, passage))?;
            } else if passage.is_over {
                return self.poll_end(cx, passage).map_ok(|()| PassingEvent::Done);
            } else {
                ready!(self.poll_room(cx, passage))?;
                if line.read_ahead(cx, C::PIECE) {
                    passage.heard = Instant::now();
                }
                if !self.take_piece(line, passage)? {
                    ready!(self.poll_more(cx, line, passage))?;
                }
            }
        }
    }

    /// Waits until what was given leaves room: nothing more is read before.
    fn poll_room(&mut self, cx: &mut Context<'_>, passage: &mut Passage) -> Poll<Result<(), End>> {
        let polled = self.caller.poll_room(cx);
        match &polled {
            Poll::Ready(_) => passage.note_room(),
            Poll::Pending => passage.note_no_room(),
        }
        polled.map_err(|Gone| End::Cut(Outcome::ClientAbort, true))
    }

    /// Gives content.
    fn poll_give(
        &mut self,
        cx: &mut Context<'_>,
        line: &mut Line,
        passage: &mut Passage,
    ) -> Poll<Result<(), End>> {
        let content = match passage.rewritten.is_empty() {
            true => line.input().get(..passage.content).unwrap_or_default(),
            false => &passage.rewritten,
        };
        match self.caller.poll_write(cx, content) {
            Poll::Ready(Ok(taken)) => {
                passage.note_room();
                if passage.rewritten.is_empty() {
                    passage.content = passage.content.saturating_sub(taken);
                    line.take(taken);
                } else {
                    passage.rewritten.advance(taken.min(passage.rewritten.len()));
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(Gone)) => Poll::Ready(Err(End::Cut(Outcome::ClientAbort, true))),
            Poll::Pending => {
                passage.note_no_room();
                Poll::Pending
            }
        }
    }

    /// Takes what of the content is here; false, if more must be read.
    fn take_piece(&mut self, line: &mut Line, passage: &mut Passage) -> Result<bool, End> {
        let piece = match line.piece() {
            Ok(Piece::More) => return Ok(false),
            Ok(Piece::Content(bytes)) => Some(bytes),
            Ok(Piece::End) => None,
            Err(_) => return Err(End::Cut(Outcome::Interrupted, false)),
        };
        let now = passage.heard;
        self.file.clock.hear(now, std::mem::take(&mut passage.waited));
        passage.watch.progress = now;
        passage.is_over = piece.is_none();
        let content = line.input().get(..piece.unwrap_or(0)).unwrap_or_default();
        // What is kept for a repetition is what the caller gets.
        match &mut passage.links {
            Some(links) => {
                passage.rewritten = links.rewrite(content, passage.is_over).unwrap_or_default();
                self.operation.note_answer_piece(&passage.rewritten);
                line.take(piece.unwrap_or(0));
            }
            None => {
                self.operation.note_answer_piece(content);
                passage.content = content.len();
            }
        }
        if passage.is_over {
            self.operation.note_answer_end(self.body.is_whole());
        }
        self.file.clock.hand_over(now);
        Ok(true)
    }

    /// Reads more, once what was given has left.
    fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        line: &mut Line,
        passage: &mut Passage,
    ) -> Poll<Result<(), End>> {
        match line.poll_fill(cx) {
            Poll::Ready(Ok(0)) if line.ends_whole() => {
                // The next piece is the end.
                passage.heard = Instant::now();
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Ok(0) | Err(_)) => {
                return Poll::Ready(Err(End::Cut(Outcome::Interrupted, false)));
            }
            Poll::Ready(Ok(_)) => {
                passage.heard = Instant::now();
                return Poll::Ready(Ok(()));
            }
            Poll::Pending => {}
        }
        // The backend pauses: what the caller was given leaves.
        if let Poll::Ready(Err(Gone)) = self.caller.poll_flush(cx) {
            return Poll::Ready(Err(End::Cut(Outcome::ClientAbort, true)));
        }
        if self.body.is_whole() && self.caller.poll_left(cx).is_ready() {
            return Poll::Ready(Err(End::Cut(Outcome::ClientAbort, false)));
        }
        if !self.body.is_whole() && line.is_sent() {
            // Then it is the caller who is waited for.
            return Poll::Pending;
        }
        ready!(self.poll_deadline(cx, passage.watch.progress));
        Poll::Ready(Err(End::Cut(Outcome::Interrupted, false)))
    }

    /// Says that the content is whole, and sees it leave.
    fn poll_end(&mut self, cx: &mut Context<'_>, passage: &mut Passage) -> Poll<Result<(), End>> {
        if !std::mem::replace(&mut passage.has_ended, true) && self.caller.end().is_err() {
            // It was told of more, or of less.
            return Poll::Ready(Err(End::Cut(Outcome::Interrupted, false)));
        }
        let flushed = ready!(self.caller.poll_flush(cx));
        Poll::Ready(flushed.map_err(|Gone| End::Cut(Outcome::ClientAbort, true)))
    }
}

impl Passage {
    fn begin(links: Option<LinkRewriter>, now: Instant) -> Self {
        Self {
            content: 0,
            rewritten: Bytes::new(),
            links,
            watch: ServerWatch::begin(now),
            heard: now,
            is_over: false,
            has_ended: false,
            blocked: None,
            waited: Duration::ZERO,
        }
    }

    fn has_content(&self) -> bool {
        self.content > 0 || !self.rewritten.is_empty()
    }

    fn note_no_room(&mut self) {
        self.blocked.get_or_insert_with(Instant::now);
    }

    fn note_room(&mut self) {
        if let Some(since) = self.blocked.take() {
            let now = Instant::now();
            self.waited += now.saturating_duration_since(since);
            // What was there meanwhile is read only now.
            self.heard = now;
        }
    }
}

fn malformed() -> End {
    Step::Upstream.refuse(UpstreamError::Malformed).into()
}

/// Whether a caller goes on sending after an early answer of this status: one that refuses the request wants no more.
fn goes_on(status: StatusCode) -> bool {
    !status.is_client_error() && !status.is_server_error()
}

/// The fields that name a place lead callers to the public host. `asked` is the host that the caller asked for,
/// which the servers get unless they have one of their own.
fn lead_outside(answer: &mut HeaderMap, settings: &UpstreamSettings, asked: Option<&[u8]>) {
    let Some(public) = &settings.public_url else { return };
    let is_internal = |host: &str| {
        let is_asked = |asked: &[u8]| asked.eq_ignore_ascii_case(host.as_bytes());
        settings.is_internal(host) || asked.is_some_and(is_asked)
    };
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let place = answer.get(&name).and_then(|place| place.to_str().ok());
        let outside = place.and_then(|place| public.translate(place, is_internal));
        let outside = outside.and_then(|outside| HeaderValue::try_from(outside).ok());
        if let Some(outside) = outside {
            answer.insert(name, outside);
        }
    }
}
