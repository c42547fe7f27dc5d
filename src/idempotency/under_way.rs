//! The operations that are under way in this process: each is asked of a backend once at a time.
//!
//! Who comes first holds a [`Claim`]; whoever comes later waits for what the claim becomes. A claim that
//! is dropped, for whatever reason, gives its key back, and one of those who wait takes it. A claim
//! that became a record stays in the table until the record is on disk, so that there is no moment in
//! which an operation is neither under way nor known.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::operation::OperationId;
use super::record::Record;

/// What became of an operation: nothing yet, or its record.
type OperationFate = Option<Arc<Record>>;

/// The table.
#[derive(Default)]
pub(super) struct OperationsUnderWay(Mutex<HashMap<OperationId, watch::Receiver<OperationFate>>>);

/// How a caller finds an operation.
pub(super) enum FoundOperation {
    /// Nobody else asks for it: it is the caller's.
    Nothing(Claim),
    /// Another caller's is under way.
    Another(OthersOperation),
    /// It was carried out.
    Done(Arc<Record>),
}

impl OperationsUnderWay {
    /// Looks for an operation, and claims it if nobody else has.
    pub(super) fn enter(self: &Arc<Self>, id: OperationId) -> FoundOperation {
        // One lock for the look and the claim: between two of them another could claim the same.
        let mut table = self.0.lock();
        if let Some(receiver) = table.get(&id) {
            let fate = receiver.borrow().clone();
            return fate.map_or_else(
                || FoundOperation::Another(OthersOperation(receiver.clone())),
                FoundOperation::Done,
            );
        }
        let (sender, receiver) = watch::channel(None);
        table.insert(id, receiver);
        FoundOperation::Nothing(Claim { table: self.clone(), id, sender, stays: false })
    }

    /// Forgets an operation: its record is on disk, or its claim was given up.
    pub(super) fn forget(&self, id: &OperationId) {
        self.0.lock().remove(id);
    }
}

/// An operation of another caller.
pub(super) struct OthersOperation(watch::Receiver<OperationFate>);

impl OthersOperation {
    /// The record that it became; nothing if its claim was given up.
    pub(super) async fn fate(mut self) -> OperationFate {
        // An error says that the sender is gone: it was dropped without a record.
        self.0.wait_for(Option::is_some).await.ok().and_then(|fate| fate.clone())
    }
}

/// An operation that is the holder's until this is dropped.
pub(super) struct Claim {
    table: Arc<OperationsUnderWay>,
    id: OperationId,
    sender: watch::Sender<OperationFate>,
    stays: bool,
}

impl Claim {
    /// The operation.
    pub(super) fn id(&self) -> OperationId {
        self.id
    }

    /// Tells those who wait what was known of the operation already.
    pub(super) fn was_known(self, record: &Arc<Record>) {
        self.sender.send_replace(Some(record.clone()));
    }

    /// Tells those who wait what it became. The record stays in the table until it is forgotten.
    pub(super) fn becomes(mut self, record: &Arc<Record>) {
        self.stays = true;
        self.sender.send_replace(Some(record.clone()));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.stays {
            // First out of the table: who wakes up when the sender goes must not find it there.
            self.table.forget(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idempotency::operation::{Fingerprint, LENGTH};
    use crate::idempotency::{Client, Operation, Secrets};
    use crate::token::ClientId;

    fn id() -> OperationId {
        let client = ClientId::new("client").unwrap();
        let operation = Operation {
            client: Client { organisation: b"o", software_statement: b"s", id: Some(&client) },
            method: &http::Method::POST,
            template: "/a",
            path: "/a",
            consent: None,
            key: b"k",
        };
        operation.id(&Secrets::new(None).unwrap())
    }

    fn record() -> Arc<Record> {
        Arc::new(Record { asked: Fingerprint([1; LENGTH]), status: 201, answer: None })
    }

    fn claim(table: &Arc<OperationsUnderWay>) -> Claim {
        let FoundOperation::Nothing(claim) = table.enter(id()) else {
            panic!("claimed by another")
        };
        claim
    }

    fn waiting(table: &Arc<OperationsUnderWay>) -> OthersOperation {
        let FoundOperation::Another(waiting) = table.enter(id()) else { panic!("not under way") };
        waiting
    }

    #[tokio::test]
    async fn a_claim_that_is_dropped_gives_its_key_back() {
        let table = Arc::new(OperationsUnderWay::default());
        let (first, waiting) = (claim(&table), waiting(&table));
        drop(first);
        assert!(waiting.fate().await.is_none());
        claim(&table);
    }

    #[tokio::test]
    async fn a_record_is_told_to_all_who_wait_and_stays_until_it_is_forgotten() {
        let table = Arc::new(OperationsUnderWay::default());
        let (first, second, third) = (claim(&table), waiting(&table), waiting(&table));
        first.becomes(&record());
        for waiting in [second, third] {
            assert_eq!(waiting.fate().await, Some(record()));
        }
        assert!(matches!(table.enter(id()), FoundOperation::Done(_)));
        table.forget(&id());
        claim(&table);
    }

    #[tokio::test]
    async fn what_was_known_is_told_and_does_not_stay() {
        let table = Arc::new(OperationsUnderWay::default());
        let (first, waiting) = (claim(&table), waiting(&table));
        first.was_known(&record());
        assert_eq!(waiting.fate().await, Some(record()));
        claim(&table);
    }
}
