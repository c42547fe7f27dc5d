//! The exchange of an operation that its idempotency key may name a second time: whose turn it is, and
//! what becomes of the answer.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use http::request::Parts;

use super::Exchange;
use crate::admission::{At, Permit, Refused, Step};
use crate::idempotency::{
    Answer, Client, Content, Idempotency, IdempotencyError, Lead, Operation, OperationId, Passing,
    Patience, Record, Turn,
};
use crate::identity::Peer;
use crate::measure::Outcome;
use crate::moment::Moment;
use crate::refusal::Refusal;
use crate::request::RequestError;
use crate::request::form::{self, IDEMPOTENCY_KEY};

/// The operation of an exchange.
pub(super) struct OwnOperation {
    stage: Arc<Idempotency>,
    id: OperationId,
    content: Content,
    part: Part,
}

/// What the exchange does about its operation.
enum Part {
    /// Nothing yet, or nothing any more.
    None,
    /// Has it carried out.
    Leads(Lead),
    /// The answer passes.
    Passes(Lead, Passing),
}

impl OwnOperation {
    /// The operation of an admitted request, if its route takes part. On an open one nobody is known
    /// whose key it could be.
    pub(super) fn of(
        stage: &Arc<Idempotency>,
        permit: &Permit,
        peer: &Peer,
        head: &Parts,
        now: Moment,
    ) -> Result<Option<Box<Self>>, Refused> {
        let route = permit.route();
        if !route.asks.idempotency_key || route.asks.access.is_open() {
            return Ok(None);
        }
        // In shadow mode a key may be missing, or be none: then nothing can be asked for again by it.
        if permit.is_in_shadow() && form::check_idempotency_key(&head.headers).is_err() {
            return Ok(None);
        }
        let participant = peer.participant(now).at(Step::Participant)?;
        let key = head.headers.get(IDEMPOTENCY_KEY).ok_or(RequestError::IdempotencyKeyMissing);
        let key = key.at(Step::Repetition)?;
        let operation = Operation {
            client: Client {
                organisation: participant.organisation_id().as_value().as_bytes(),
                software_statement: participant.software_statement_id().as_value().as_bytes(),
                id: permit.token().map(|token| token.token().client_id()),
            },
            method: &route.published.method,
            template: &route.published.label,
            path: permit.canonical_path().unwrap_or(head.uri.path()),
            consent: permit.consent_id(),
            key: key.as_bytes(),
        };
        let id = operation.id(stage.secrets());
        let content = operation.content(head.uri.query(), stage.secrets());
        Ok(Some(Box::new(Self { stage: stage.clone(), id, content, part: Part::None })))
    }

    /// Takes the next piece of the body.
    pub(super) fn update(&mut self, piece: &[u8]) {
        self.content.update(piece);
    }

    /// The body will be passed on from its beginning.
    pub(super) fn begin_again(&mut self) {
        self.content.begin_again();
    }
}

impl Exchange {
    /// Gives the exchange its turn, or the record of an earlier one that had it. Without an operation
    /// that could be repeated, every turn is its own.
    pub async fn take_turn(&mut self) -> Result<Option<Arc<Record>>, Refused> {
        let Some(operation) = &self.operation else {
            return self.begins_anew(false).await.map(|()| None);
        };
        let patience = match (self.awaits_body, self.upstream()) {
            (false, Some(upstream)) => Patience::For(upstream.settings().total_timeout),
            _ => Patience::None,
        };
        let (stage, id) = (operation.stage.clone(), operation.id);
        self.course.await_earlier(Instant::now());
        let asked = stage.take_turn(id, patience, self.arrived).await;
        let has_waited = matches!(asked, Ok((_, true)) | Err(IdempotencyError::UnderWay));
        self.course.have_earlier(Instant::now(), has_waited);
        let (turn, has_waited) = asked.at(Step::Operation)?;
        match &turn {
            Turn::Past(_) if has_waited => self.confirm_repetition().await?,
            Turn::Past(_) => {}
            Turn::Own(_) => self.begins_anew(has_waited).await?,
        }
        match (turn, &mut self.operation) {
            (Turn::Own(mut lead), Some(operation)) => {
                if !self.awaits_body {
                    lead.take_room().at(Step::Operation)?;
                }
                operation.part = Part::Leads(lead);
                Ok(None)
            }
            (Turn::Past(record), _) => Ok(Some(record)),
            (Turn::Own(_), None) => Err(Step::Operation.refuse(Refusal::Internal)),
        }
    }

    /// Takes room for the answer to a body that has come whole.
    pub fn take_room(&mut self) -> Result<(), Refused> {
        if let Some(OwnOperation { part: Part::Leads(lead), .. }) = self.operation.as_deref_mut() {
            lead.take_room().at(Step::Operation)?;
        }
        Ok(())
    }

    /// Nothing was answered yet to what is asked here: a consent that is used up does not do any more.
    async fn begins_anew(&mut self, has_waited: bool) -> Result<(), Refused> {
        let permit = self.permit.as_mut().ok_or(Refusal::Internal).at(Step::Operation)?;
        permit.begins_anew()?;
        if has_waited { self.confirm().await } else { Ok(()) }
    }

    /// Judges the permit again, to give the answer that an earlier exchange got.
    pub async fn confirm_repetition(&mut self) -> Result<(), Refused> {
        let permit = self.permit.as_mut().ok_or(Refusal::Internal).at(Step::Operation)?;
        let peer = super::peer_of(self.connection.as_ref());
        self.serving.admission.confirm_repetition(permit, peer, Moment::now()).await
    }

    /// The answer of an earlier exchange to what is asked here, the body of which has been received.
    pub fn repeat<'a>(&mut self, record: &'a Record) -> Result<&'a Answer, Refused> {
        let operation = self.operation.as_ref().ok_or(Refusal::Internal).at(Step::Operation)?;
        let fingerprint = operation.content.fingerprint();
        let answer = Idempotency::repeat(record, fingerprint).at(Step::Operation)?;
        self.replays = true;
        Ok(answer)
    }

    /// Whether the caller gets the answer of an earlier exchange.
    pub fn replays(&self) -> bool {
        self.replays
    }

    /// Whether the answer may be given to later exchanges.
    pub fn may_be_repeated(&self) -> bool {
        self.operation.as_ref().is_some_and(|operation| !matches!(operation.part, Part::None))
    }

    /// Notes the head of the answer that the caller gets. One that makes no record gives the key back.
    pub fn note_answer_head(&mut self, status: u16, fields: HeaderMap) {
        let Some(operation) = &mut self.operation else { return };
        if let Part::Leads(lead) = std::mem::replace(&mut operation.part, Part::None)
            && let Some(passing) = lead.passing(status, fields)
        {
            operation.part = Part::Passes(lead, passing);
        }
    }

    /// Notes a piece of the answer's body, and whether it is the last.
    pub fn note_answer_piece(&mut self, piece: &[u8], is_last: bool) {
        let Some(operation) = &mut self.operation else { return };
        if let Part::Passes(_, passing) = &mut operation.part {
            passing.update(piece);
        }
        if is_last {
            self.note_answer_end();
        }
    }

    /// An answer has come whole. What was asked must be here as well: an answer to half of it is none
    /// to the whole.
    fn note_answer_end(&mut self) {
        let Some(operation) = &mut self.operation else { return };
        if let Part::Passes(lead, passing) = std::mem::replace(&mut operation.part, Part::None)
            && !self.awaits_body
        {
            lead.settle(operation.content.fingerprint(), passing, Moment::now());
        }
    }

    /// The exchange is over. Its operation is settled by now, or its key is given back.
    pub(super) fn end_operation(&mut self, outcome: Outcome) {
        if outcome == Outcome::Answered {
            // An answer without a body has no last piece.
            self.note_answer_end();
        }
        self.operation = None;
    }
}
