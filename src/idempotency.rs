//! Idempotency: was this very operation carried out already?
//!
//! Takes an operation that was admitted by every stage (its client, route, path, consent and idempotency
//! key) and the fingerprint of what is asked; gives the caller its turn to have it carried out, or the
//! record of the one who had. Refuses a key that stands for another content, and an operation whose
//! answer was not kept; cannot decide while another caller's is under way for too long, or when the
//! store does not answer. Only an answer of 200 or 201 that came whole makes a record; anything else
//! gives the key back.
//!
//! A record ends with its retention, or earlier if the store is full. It says what was answered, not
//! that the caller may have it: the permit says that, anew for each request.
//!
//! Sources: gateway rules section 15 (behaviour of the OPIN mock's filter); OPIN portal, principle 10.
//! Leaves to others: the form of the key (`request`), which routes take part (`route`), and the lasting
//! word on whether an operation happened, which only the backend has.

pub mod operation;
pub mod seal;
pub mod record;
mod under_way;
pub mod store;
mod writer;
pub mod keeper;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::sync::OwnedSemaphorePermit;

use crate::moment::Moment;
pub use crate::refusal::IdempotencyError;
pub use keeper::{Keeper, StoreStanding};
pub use operation::{AskedContent, Client, Fingerprint, Operation, OperationId};
pub use record::{KeptAnswer, PassingAnswer, Record};
pub use seal::Secrets;
pub use store::{StoreBounds, StoreError, examine};
use under_way::{Claim, FoundOperation};
use writer::{Keep, Occasion};

impl From<keeper::Unavailable> for IdempotencyError {
    fn from(_: keeper::Unavailable) -> Self {
        Self::Store
    }
}

/// What the configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyRules {
    /// How long a record is kept.
    pub retention: Duration,
    /// Bytes of an answer that is kept, fields and body together.
    pub longest_answer: usize,
    /// How much the store holds.
    pub bounds: StoreBounds,
}

/// The stage.
#[derive(Debug)]
pub struct Idempotency {
    rules: IdempotencyRules,
    keeper: Arc<Keeper>,
}

/// How long a caller may wait for another one's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Not at all: what it asks is not here yet, and cannot be kept meanwhile.
    None,
    /// So long at most.
    For(Duration),
}

/// Whose turn it is.
#[derive(Debug)]
pub enum Turn {
    /// The caller's.
    Own(Lead),
    /// It was another's, and this is what is kept of it.
    Past(Arc<Record>),
}

impl Idempotency {
    /// A stage with these rules.
    pub fn new(rules: IdempotencyRules, keeper: Arc<Keeper>) -> Self {
        Self { rules, keeper }
    }

    /// What is known of operations.
    pub fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
    }

    /// The secrets that ids and fingerprints are made with.
    pub fn secrets(&self) -> &Secrets {
        self.keeper.secrets()
    }

    /// Gives the caller its turn, or the record of the one who had it. Says as well whether it had to be
    /// waited for: what was judged before may not hold any more.
    pub async fn take_turn(
        self: &Arc<Self>,
        id: OperationId,
        patience: Patience,
        now: Moment,
    ) -> Result<(Turn, bool), IdempotencyError> {
        match patience {
            Patience::None => self.turn(id, false, now).await,
            Patience::For(longest) => {
                let turn = self.turn(id, true, now);
                // All of it: the look at the disk waits for a lock, too.
                let in_time = tokio::time::timeout(longest, turn).await;
                // Undecided, not wrong, and 409 is no answer of the specifications (decision 9).
                in_time.unwrap_or(Err(IdempotencyError::UnderWay))
            }
        }
    }

    async fn turn(
        self: &Arc<Self>,
        id: OperationId,
        may_wait: bool,
        now: Moment,
    ) -> Result<(Turn, bool), IdempotencyError> {
        let mut has_waited = false;
        loop {
            match self.keeper.under_way.enter(id) {
                FoundOperation::Nothing(claim) => {
                    return Ok((self.look_up(claim, now).await?, has_waited));
                }
                FoundOperation::Done(record) => return Ok((Turn::Past(record), has_waited)),
                FoundOperation::Another(_) if !may_wait => return Err(IdempotencyError::UnderWay),
                FoundOperation::Another(waiting) => {
                    has_waited = true;
                    // Given up without a record: whoever is the first to enter again
                    // leads, the others wait on.
                    if let Some(record) = waiting.fate().await {
                        return Ok((Turn::Past(record), has_waited));
                    }
                }
            }
        }
    }

    async fn look_up(
        self: &Arc<Self>,
        claim: Claim,
        now: Moment,
    ) -> Result<Turn, IdempotencyError> {
        // Behind the claim: two who ask at once must not both find nothing on the disk.
        if let Some(record) = self.keeper.find(claim.id(), now.unix_seconds()).await? {
            claim.was_known(&record);
            return Ok(Turn::Past(record));
        }
        Ok(Turn::Own(Lead { stage: self.clone(), claim, room: None }))
    }

    /// Bytes of an answer that is kept. What cannot be sealed is not kept, however short.
    fn longest_answer(&self) -> Option<usize> {
        self.secrets().can_seal().then_some(self.rules.longest_answer)
    }

    /// Holds what is asked against what was, and gives the answer to it.
    pub fn repeat(record: &Record, asked: Fingerprint) -> Result<&KeptAnswer, IdempotencyError> {
        // No secrets are compared: a fingerprint can only be met by who knows the key and the content.
        if record.asked != asked {
            return Err(IdempotencyError::OtherContent);
        }
        record.answer.as_ref().ok_or(IdempotencyError::AnswerNotKept)
    }

    /// Removes what has expired, and tries again what could not be written.
    pub fn sweep(&self, now: Moment) {
        self.keeper.sweep(self.occasion(now));
    }

    /// Waits until every record is on disk, or cannot be brought there.
    pub async fn flush(&self) {
        self.keeper.flush().await;
    }

    /// What the store holds and has done.
    pub fn standing(&self) -> StoreStanding {
        self.keeper.standing()
    }

    fn occasion(&self, now: Moment) -> Occasion {
        Occasion { now: now.unix_seconds(), bounds: self.rules.bounds }
    }
}

/// An operation that its holder has carried out. Dropped without a record, it gives its key back.
pub struct Lead {
    stage: Arc<Idempotency>,
    claim: Claim,
    room: Option<OwnedSemaphorePermit>,
}

impl fmt::Debug for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lead")
    }
}

impl Lead {
    /// Takes room for the answer; none if the disk does not keep up. Taken before a backend has the whole
    /// request, and not before the caller has sent it: who only announces one must not keep others from theirs.
    pub fn take_room(&mut self) -> Result<(), IdempotencyError> {
        // Without a key file no answer is kept, and its room is that of a hash and a status.
        self.room = Some(self.stage.keeper.room(self.stage.longest_answer().unwrap_or(0))?);
        Ok(())
    }

    /// An answer of which the head has come: to be kept, or nothing if it makes no record.
    pub fn passing(&self, status: u16, fields: HeaderMap) -> Option<PassingAnswer> {
        let longest = self.stage.longest_answer();
        matches!(status, 200 | 201).then(|| PassingAnswer::new(status, fields, longest))
    }

    /// Makes the record of an operation whose answer has passed whole. Those who wait for it have it at
    /// once; the disk, a moment later.
    pub fn settle(self, asked: Fingerprint, answer: PassingAnswer, now: Moment) {
        let Self { stage, claim, room: Some(room) } = self else { return };
        let record = Arc::new(answer.into_record(asked));
        let expires = now.unix_seconds().saturating_add(stage.rules.retention.as_secs());
        let occasion = stage.occasion(now);
        let keep = Keep { id: claim.id(), expires, record: record.clone(), occasion, _room: room };
        // Before the disk has it: the caller has its answer already, and a duplicate
        // must not wait (decision 9).
        claim.becomes(&record);
        stage.keeper.keep(keep);
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::token::ClientId;

    const MIB: usize = 1024 * 1024;

    struct Place {
        stage: Arc<Idempotency>,
        _directory: tempfile::TempDir,
    }

    impl Place {
        fn new(key: Option<&[u8; 32]>) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let secrets = Secrets::new(key).unwrap();
            let keeper = Arc::new(Keeper::new(directory.path().to_owned(), secrets));
            keeper.open().unwrap();
            let bounds = StoreBounds { records: 1000, bytes: 1 << 30 };
            let rules = IdempotencyRules {
                retention: Duration::from_secs(60),
                longest_answer: MIB,
                bounds,
            };
            Self { stage: Arc::new(Idempotency::new(rules, keeper)), _directory: directory }
        }

        fn operation(&self, number: usize) -> (OperationId, AskedContent) {
            let client = ClientId::new("client").unwrap();
            let operation = Operation {
                client: Client { organisation: b"o", software_statement: b"s", id: Some(&client) },
                method: &http::Method::POST,
                template: "/a",
                path: "/a",
                consent: None,
                key: &number.to_be_bytes(),
            };
            (operation.id(self.stage.secrets()), operation.content(None, self.stage.secrets()))
        }

        async fn turn(&self, number: usize, seconds: u64) -> Result<Turn, IdempotencyError> {
            let id = self.operation(number).0;
            let mut turn = self.stage.take_turn(id, Patience::None, at(seconds)).await?.0;
            if let Turn::Own(lead) = &mut turn {
                lead.take_room()?;
            }
            Ok(turn)
        }

        async fn carry_out(&self, number: usize, seconds: u64) {
            let Ok(Turn::Own(lead)) = self.turn(number, seconds).await else { panic!("not ours") };
            let answer = lead.passing(201, HeaderMap::new()).unwrap();
            lead.settle(self.operation(number).1.fingerprint(), answer, at(seconds));
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::ZERO, SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    #[tokio::test]
    async fn a_record_is_found_before_and_after_it_is_written_until_it_expires() {
        let place = Place::new(Some(&[1; 32]));
        place.carry_out(1, 100).await;
        for _ in 0..2 {
            assert!(matches!(place.turn(1, 159).await, Ok(Turn::Past(_))));
            place.stage.flush().await;
            assert_eq!(place.stage.standing().records, 1);
        }
        assert!(matches!(place.turn(1, 160).await, Ok(Turn::Own(_))));
        place.stage.sweep(at(160));
        place.stage.flush().await;
        assert_eq!(place.stage.standing(), StoreStanding::default());
    }

    #[tokio::test]
    async fn what_cannot_wait_is_refused_while_another_is_under_way() {
        let place = Place::new(Some(&[1; 32]));
        let lead = place.turn(1, 0).await.unwrap();
        assert_eq!(place.turn(1, 0).await.unwrap_err(), IdempotencyError::UnderWay);
        let (id, _) = place.operation(1);
        let briefly = Patience::For(Duration::from_millis(1));
        let waited = place.stage.take_turn(id, briefly, at(0)).await;
        assert_eq!(waited.unwrap_err(), IdempotencyError::UnderWay);
        drop(lead);
        assert!(matches!(place.turn(1, 0).await, Ok(Turn::Own(_))));
    }

    #[tokio::test]
    async fn without_room_nothing_is_carried_out_and_what_is_known_is_known() {
        let place = Place::new(Some(&[1; 32]));
        place.carry_out(0, 0).await;
        place.stage.flush().await;
        let mut under_way = Vec::new();
        let refused = loop {
            match place.turn(1 + under_way.len(), 0).await {
                Ok(lead) => under_way.push(lead),
                Err(refused) => break refused,
            }
        };
        assert_eq!((refused, under_way.len()), (IdempotencyError::Store, 255));
        assert!(matches!(place.turn(0, 0).await, Ok(Turn::Past(_))));
        under_way.pop();
        assert!(matches!(place.turn(1000, 0).await, Ok(Turn::Own(_))));
    }

    #[tokio::test]
    async fn a_store_that_is_not_open_decides_nothing() {
        let place = Place::new(Some(&[1; 32]));
        let secrets = Secrets::new(None).unwrap();
        let closed = Arc::new(Keeper::new("/nowhere".into(), secrets));
        let stage = Arc::new(Idempotency::new(place.stage.rules, closed));
        let turn = stage.take_turn(place.operation(1).0, Patience::None, at(0)).await;
        assert_eq!(turn.unwrap_err(), IdempotencyError::Store);
    }

    #[tokio::test]
    async fn only_an_answer_that_can_be_sealed_is_kept() {
        for (key, is_kept) in [(Some(&[1; 32]), true), (None, false)] {
            let place = Place::new(key);
            place.carry_out(1, 0).await;
            let Ok(Turn::Past(record)) = place.turn(1, 0).await else { panic!("not known") };
            let asked = place.operation(1).1;
            let answer = Idempotency::repeat(&record, asked.fingerprint());
            assert_eq!(answer.is_ok(), is_kept);
            let mut other = asked;
            other.update(b"x");
            let answer = Idempotency::repeat(&record, other.fingerprint());
            assert_eq!(answer.unwrap_err(), IdempotencyError::OtherContent);
        }
    }

    #[tokio::test]
    async fn other_statuses_make_no_record() {
        let place = Place::new(Some(&[1; 32]));
        let Ok(Turn::Own(lead)) = place.turn(1, 0).await else { panic!("not ours") };
        for status in [202, 204, 206, 301, 400, 422, 500] {
            assert!(lead.passing(status, HeaderMap::new()).is_none(), "{status}");
        }
    }
}
