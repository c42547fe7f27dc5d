//! The thread that brings records to the disk: off the threads that serve requests, all records that
//! came in meanwhile in one commit.
//!
//! What cannot be written stays in memory, where it is found like any other record, and is tried again
//! with each sweep. How much may wait is bounded by the room that each operation has taken.
//!
//! A store that was removed or replaced under the gateway's hands is opened anew with the next sweep, as soon as
//! it can be, and gets what the one before held: this process knows it still, so no operation is carried out twice
//! for that.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::{Mutex, OwnedSemaphorePermit, oneshot};

use super::operation::OperationId;
use super::record::Record;
use super::seal::Secrets;
use super::store::{self, SealedRecord, StoreBounds, StoreError, StoreReader, StoreWriter};
use super::under_way::OperationsUnderWay;

/// Records of one commit.
const MOST_AT_ONCE: usize = 256;

/// What the thread is told.
pub(super) enum Order {
    /// Take a record in.
    Keep(Keep),
    /// Remove what has expired, and try again what could not be written.
    Sweep(Occasion),
    /// Say when everything before is written, or that it cannot be by not saying anything.
    Flush(oneshot::Sender<()>),
}

/// When, and within which bounds.
#[derive(Clone, Copy)]
pub(super) struct Occasion {
    /// Seconds since 1970.
    pub(super) now: u64,
    /// The bounds.
    pub(super) bounds: StoreBounds,
}

/// A record to take in.
pub(super) struct Keep {
    pub(super) id: OperationId,
    /// Seconds since 1970.
    pub(super) expires: u64,
    pub(super) record: Arc<Record>,
    pub(super) occasion: Occasion,
    /// Given back when the record is on disk.
    pub(super) _room: OwnedSemaphorePermit,
}

/// What the store has done.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Records in it.
    pub(super) records: AtomicU64,
    /// Records that made room before their time.
    pub(super) displaced: AtomicU64,
    /// Commits and lookups that failed.
    pub(super) failures: AtomicU64,
    /// Whether the store cannot be relied on since the last sweep.
    pub(super) fails: AtomicBool,
}

impl Counts {
    /// Notes a failure. Returns whether it is the first since all was well.
    pub(super) fn note_failure(&self) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed);
        !self.fails.swap(true, Ordering::Relaxed)
    }
}

/// Where the store is, and what it is found by.
pub(super) struct Home {
    pub(super) directory: PathBuf,
    pub(super) secrets: Arc<Secrets>,
    pub(super) reading: Arc<Mutex<StoreReader>>,
}

/// Starts the thread; it ends when the last sender is gone.
pub(super) fn start(
    store: StoreWriter,
    home: Home,
    under_way: Arc<OperationsUnderWay>,
    counts: Arc<Counts>,
) -> Result<Sender<Order>, std::io::Error> {
    // Without a bound of its own: each record in it holds its room.
    let (sender, orders) = channel();
    counts.records.store(store.entries(), Ordering::Relaxed);
    let writer = Writer { store, home, under_way, counts, waiting: Vec::new(), last: None };
    let thread = std::thread::Builder::new().name("idempotency".to_owned());
    thread.spawn(move || writer.run(&orders))?;
    Ok(sender)
}

struct Writer {
    store: StoreWriter,
    home: Home,
    under_way: Arc<OperationsUnderWay>,
    counts: Arc<Counts>,
    /// Records and, once they are sealed, their rows.
    waiting: Vec<(Keep, Option<SealedRecord>)>,
    last: Option<Occasion>,
}

/// What a few orders together ask for.
#[derive(Default)]
struct Due {
    occasion: Option<Occasion>,
    /// Whether a disk that refused the last time is to be tried again.
    again: bool,
    flushed: Vec<oneshot::Sender<()>>,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>) {
        while let Ok(order) = orders.recv() {
            let mut due = Due::default();
            self.take(order, &mut due);
            while self.waiting.len() < MOST_AT_ONCE
                && let Ok(order) = orders.try_recv()
            {
                self.take(order, &mut due);
            }
            if due.again {
                self.stand_again();
            }
            let occasion = due.occasion.or(self.waiting.last().map(|(keep, _)| keep.occasion));
            // A flush brings no time of its own.
            let occasion = occasion.or(self.last);
            self.last = occasion;
            if let Some(occasion) = occasion
                // After a failure only sweeps and flushes try again, or each record would wait
                // for a disk that refuses.
                && (due.again || !self.fails())
            {
                self.write(occasion);
            }
            if self.waiting.is_empty() {
                due.flushed.into_iter().for_each(|flushed| {
                    // Whoever asked may have stopped waiting.
                    let _ = flushed.send(());
                });
            }
        }
    }

    fn take(&mut self, order: Order, due: &mut Due) {
        match order {
            Order::Keep(keep) => {
                due.occasion = Some(keep.occasion);
                self.waiting.push((keep, None));
            }
            Order::Sweep(occasion) => {
                due.occasion = Some(occasion);
                due.again = true;
            }
            Order::Flush(sender) => {
                due.flushed.push(sender);
                due.again = true;
            }
        }
    }

    fn fails(&self) -> bool {
        self.counts.fails.load(Ordering::Relaxed)
    }

    /// Opens the store anew if it is not the one that was opened, or failed.
    fn stand_again(&mut self) {
        let is_in_place = self.store.is_in_place();
        if is_in_place && !self.fails() {
            return;
        }
        match store::open(&self.home.directory, &self.home.secrets) {
            Ok((reading, mut writing)) => {
                if !is_in_place && let Err(error) = writing.adopt(&self.store) {
                    tracing::error!(%error, "idempotent answers of a store that was removed are lost");
                }
                self.store = writing;
                // Readers wait for it: what they have open is a file that nobody finds any more.
                *self.home.reading.blocking_lock() = reading;
            }
            Err(error) => self.note_failure(&error),
        }
    }

    fn write(&mut self, occasion: Occasion) {
        match self.commit(occasion) {
            Ok(displaced) => self.note_written(displaced),
            Err(error) => self.note_failure(&error),
        }
    }

    fn commit(&mut self, occasion: Occasion) -> Result<u64, StoreError> {
        // What is written to a file that nobody finds is not kept.
        if !self.store.is_in_place() {
            return Err(std::io::Error::from(std::io::ErrorKind::NotFound).into());
        }
        for (keep, row) in self.waiting.iter_mut().filter(|(_, row)| row.is_none()) {
            let sealed =
                SealedRecord::seal(keep.id, keep.expires, &keep.record, &self.home.secrets);
            // Without randomness for a nonce nothing is sealed, and nothing is written unsealed.
            *row = Some(sealed.map_err(|_| rusqlite::Error::InvalidQuery)?);
        }
        let rows = self.waiting.iter().filter_map(|(_, row)| row.as_ref());
        Ok(self.store.commit(rows, occasion.bounds, occasion.now)?)
    }

    fn note_written(&mut self, displaced: u64) {
        // Only behind the commit: until then the table is where a duplicate finds the record.
        self.waiting.drain(..).for_each(|(keep, _)| self.under_way.forget(&keep.id));
        self.counts.records.store(self.store.entries(), Ordering::Relaxed);
        self.counts.displaced.fetch_add(displaced, Ordering::Relaxed);
        if self.counts.fails.swap(false, Ordering::Relaxed) {
            tracing::info!("the store of idempotent answers is in order again");
        }
    }

    fn note_failure(&mut self, error: &StoreError) {
        if self.counts.note_failure() {
            tracing::error!("the store of idempotent answers {error}: new ones wait in memory");
        }
    }
}
