//! The operation that an idempotency key may name a second time: whose turn it is, and what becomes of the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;

use super::file::ExchangeFile;
use super::leave::OwnTurn;
use crate::admission::{At, Permit, Refused, Step};
use crate::idempotency::{
    AskedContent, Client, Idempotency, IdempotencyError, KeptAnswer, Lead, OperationId,
    PassingAnswer, Patience, Record, Turn,
};
use crate::identity::Peer;
use crate::moment::Moment;
use crate::refusal::Refusal;
use crate::request::form::{self, IDEMPOTENCY_KEY};
use crate::request::{RequestError, RequestHead};

/// The operation of an exchange: none, where nothing could be asked for a second time.
pub(super) struct ExchangeOperation(Option<Box<NamedOperation>>);

struct NamedOperation {
    stage: Arc<Idempotency>,
    id: OperationId,
    content: AskedContent,
    role: OperationRole,
}

/// What the exchange does about its operation.
enum OperationRole {
    /// Nothing yet, or nothing any more.
    None,
    /// Has it carried out.
    Leads(Lead),
    /// The answer passes.
    Passes(Lead, PassingAnswer),
}

/// Whose turn it is.
pub(super) enum WhoseTurn {
    /// This request's.
    Own(OwnTurn),
    /// It was another's, and this is what is kept of it.
    Past(Arc<Record>),
}

impl ExchangeOperation {
    /// The operation of an admitted request, if its route takes part. On an open one nobody is known
    /// whose key it could be.
    pub(super) fn of(
        stage: Option<&Arc<Idempotency>>,
        permit: &Permit,
        peer: &Peer,
        head: &RequestHead,
        now: Moment,
    ) -> Result<Self, Refused> {
        let route = permit.route();
        let Some(stage) =
            stage.filter(|_| route.asks.idempotency_key && !route.asks.access.is_open())
        else {
            return Ok(Self(None));
        };
        // In shadow mode a key may be missing, or be none: then nothing can be asked for again by it.
        if permit.is_in_shadow() && form::check_idempotency_key(&head.fields).is_err() {
            return Ok(Self(None));
        }
        let participant = peer.participant(now).at(Step::Participant)?;
        let key = head.fields.get(IDEMPOTENCY_KEY).ok_or(RequestError::IdempotencyKeyMissing);
        let key = key.at(Step::Repetition)?;
        let operation = crate::idempotency::Operation {
            client: Client {
                organisation: participant.organisation_id().as_value().as_bytes(),
                software_statement: participant.software_statement_id().as_value().as_bytes(),
                id: permit.token().map(|token| token.token().client_id()),
            },
            method: &route.published.method,
            template: &route.published.label,
            // The canonical one: a path spelt otherwise must not carry the operation out a second time.
            path: permit.canonical_path().unwrap_or(head.path()),
            consent: permit.consent_id(),
            key: key.as_bytes(),
        };
        let id = operation.id(stage.secrets());
        let content = operation.content(head.query(), stage.secrets());
        Ok(Self(Some(Box::new(NamedOperation {
            stage: stage.clone(),
            id,
            content,
            role: OperationRole::None,
        }))))
    }

    /// Takes the next piece of the body.
    pub(super) fn update(&mut self, piece: &[u8]) {
        if let Some(named) = &mut self.0 {
            named.content.update(piece);
        }
    }

    /// Whose turn it is, and whether another's was waited for. Without an operation that could be repeated, every turn
    /// is its own. One whose body is not whole cannot be kept waiting.
    pub(super) async fn take_turn(
        &mut self,
        is_whole: bool,
        longest: Duration,
        file: &mut ExchangeFile<'_>,
    ) -> Result<(WhoseTurn, bool), Refused> {
        let Some(named) = &mut self.0 else {
            return Ok((WhoseTurn::Own(OwnTurn::given()), false));
        };
        let patience = if is_whole { Patience::For(longest) } else { Patience::None };
        file.clock.await_earlier(Instant::now());
        let asked = named.stage.take_turn(named.id, patience, file.arrived).await;
        // Who waited in vain waited, too: that time is the earlier request's (decision 20).
        let has_waited = matches!(asked, Ok((_, true)) | Err(IdempotencyError::UnderWay));
        file.clock.have_earlier(Instant::now(), has_waited);
        let (turn, has_waited) = asked.at(Step::Operation)?;
        match turn {
            Turn::Past(record) => Ok((WhoseTurn::Past(record), has_waited)),
            Turn::Own(mut lead) => {
                if is_whole {
                    lead.take_room().at(Step::Operation)?;
                }
                named.role = OperationRole::Leads(lead);
                Ok((WhoseTurn::Own(OwnTurn::given()), has_waited))
            }
        }
    }

    /// Takes room for the answer to a body that has come whole.
    pub(super) fn take_room(&mut self) -> Result<(), Refused> {
        let Some(named) = self.0.as_deref_mut() else { return Ok(()) };
        match &mut named.role {
            // A backend may answer before it has the whole body: its answer passes already.
            OperationRole::Leads(lead) | OperationRole::Passes(lead, _) => {
                lead.take_room().at(Step::Operation)
            }
            OperationRole::None => Ok(()),
        }
    }

    /// The answer of an earlier exchange to what is asked here, the body of which has been received.
    pub(super) fn repeat<'a>(&self, record: &'a Record) -> Result<&'a KeptAnswer, Refused> {
        let named = self.0.as_ref().ok_or(Refusal::Internal).at(Step::Operation)?;
        Idempotency::repeat(record, named.content.fingerprint()).at(Step::Operation)
    }

    /// Whether the answer may be given to later exchanges.
    pub(super) fn may_be_repeated(&self) -> bool {
        self.0.as_ref().is_some_and(|named| !matches!(named.role, OperationRole::None))
    }

    /// Notes the head of the answer that the caller gets. One that makes no record gives the key back.
    pub(super) fn note_answer_head(&mut self, status: u16, fields: HeaderMap) {
        let Some(named) = &mut self.0 else { return };
        if let OperationRole::Leads(lead) = std::mem::replace(&mut named.role, OperationRole::None)
            && let Some(passing) = lead.passing(status, fields)
        {
            named.role = OperationRole::Passes(lead, passing);
        }
    }

    /// Notes a piece of the answer's content, as the caller gets it.
    pub(super) fn note_answer_piece(&mut self, piece: &[u8]) {
        if let Some(NamedOperation { role: OperationRole::Passes(_, passing), .. }) =
            self.0.as_deref_mut()
        {
            passing.update(piece);
        }
    }

    /// An answer has come whole. What was asked must be here as well: an answer to half of it is none
    /// to the whole.
    pub(super) fn note_answer_end(&mut self, is_whole: bool) {
        let Some(named) = &mut self.0 else { return };
        if let OperationRole::Passes(lead, passing) =
            std::mem::replace(&mut named.role, OperationRole::None)
            && is_whole
        {
            lead.settle(named.content.fingerprint(), passing, Moment::now());
        }
    }
}
