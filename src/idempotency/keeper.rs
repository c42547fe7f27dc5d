//! What is known of operations, wherever it is: under way in this process, waiting for the disk, or on
//! it. One keeper for a directory and its key, however often the configuration is read again.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, oneshot};

use super::operation::OperationId;
use super::record::Record;
use super::seal::Secrets;
use super::store::{self, StoreError, StoreReader};
use super::under_way::OperationsUnderWay;
use super::writer::{self, Counts, Home, Keep, Occasion, Order};

/// What the records of operations that are under way, or wait for the disk, may take of memory, in KiB.
const ROOM: usize = 256 * 1024;
const KIB: usize = 1024;

/// The keeper.
pub struct Keeper {
    directory: PathBuf,
    secrets: Arc<Secrets>,
    pub(super) under_way: Arc<OperationsUnderWay>,
    room: Arc<Semaphore>,
    counts: Arc<Counts>,
    open: OnceLock<OpenStore>,
}

struct OpenStore {
    /// One lookup at a time: each takes some microseconds, and none holds a thread while it waits.
    reading: Arc<Mutex<StoreReader>>,
    orders: Sender<Order>,
}

/// Says nothing of what is kept.
impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// What a store holds and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStanding {
    /// Records in it.
    pub records: u64,
    /// Records that made room for others before their time, since the start.
    pub displaced: u64,
    /// Commits and lookups that failed, since the start.
    pub failures: u64,
}

/// The store could not be asked.
pub(super) struct Unavailable;

impl Keeper {
    /// A keeper whose store is not open yet.
    pub fn new(directory: PathBuf, secrets: Secrets) -> Self {
        Self {
            directory,
            secrets: Arc::new(secrets),
            under_way: Arc::default(),
            room: Arc::new(Semaphore::new(ROOM)),
            counts: Arc::default(),
            open: OnceLock::new(),
        }
    }

    /// Whether this is the keeper of a directory and its secrets.
    pub fn is_of(&self, directory: &Path, secrets: &Secrets) -> bool {
        self.directory == directory && *self.secrets == *secrets
    }

    pub(super) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Opens the store, once; and again, if it failed. Takes as long as the disk does.
    pub fn open(&self) -> Result<(), StoreError> {
        if self.open.get().is_some() {
            return self.open_again();
        }
        let (reading, writing) = store::open(&self.directory, &self.secrets)?;
        let (secrets, under_way) = (self.secrets.clone(), self.under_way.clone());
        let reading = Arc::new(Mutex::new(reading));
        let home = Home { directory: self.directory.clone(), secrets, reading: reading.clone() };
        let orders = writer::start(writing, home, under_way, self.counts.clone())?;
        // Nobody else opens it: if somebody had, the other's would be as good.
        let _ = self.open.set(OpenStore { reading, orders });
        Ok(())
    }

    fn open_again(&self) -> Result<(), StoreError> {
        if self.is_well() {
            return Ok(());
        }
        let (sender, tried) = oneshot::channel();
        self.order(Order::Flush(sender));
        // It says nothing while the disk refuses; whether it did, the next line asks.
        let _ = tried.blocking_recv();
        // What is in the way stands in the log.
        if self.is_well() { Ok(()) } else { Err(std::io::Error::other("it failed").into()) }
    }

    /// Whether the store could be written to and read when it was tried last.
    pub fn is_well(&self) -> bool {
        !self.counts.fails.load(Ordering::Relaxed)
    }

    /// Room for an operation that is to be carried out and whose answer takes `bytes` at most; none if
    /// the disk does not keep up.
    pub(super) fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Unavailable> {
        // One more than the answer needs: the record itself takes room, too.
        let needed = u32::try_from(1 + bytes / KIB).map_err(|_| Unavailable)?;
        // Not waited for: a disk that does not keep up would keep callers waiting without end.
        self.room.clone().try_acquire_many_owned(needed).map_err(|_| Unavailable)
    }

    /// The record of an operation, from the disk.
    pub(super) async fn find(
        &self,
        id: OperationId,
        now: u64,
    ) -> Result<Option<Arc<Record>>, Unavailable> {
        let open = self.open.get().ok_or(Unavailable)?;
        let reading = open.reading.clone().lock_owned().await;
        let secrets = self.secrets.clone();
        // The lock goes along: who stops waiting must not leave the connection to two threads.
        let find = move || reading.find(&id, now, &secrets);
        match tokio::task::spawn_blocking(find).await {
            Ok(Ok(found)) => Ok(found.map(Arc::new)),
            Ok(Err(error)) => {
                // Of each request, while nothing can be read: once is enough.
                if self.counts.note_failure() {
                    tracing::error!(%error, "an idempotent answer cannot be read");
                }
                Err(Unavailable)
            }
            Err(_) => {
                self.counts.note_failure();
                Err(Unavailable)
            }
        }
    }

    /// Hands a record to the disk.
    pub(super) fn keep(&self, keep: Keep) {
        self.order(Order::Keep(keep));
    }

    /// Removes what has expired, and tries again what could not be written.
    pub(super) fn sweep(&self, occasion: Occasion) {
        self.order(Order::Sweep(occasion));
    }

    /// Waits until everything that was handed to the disk is there, or cannot be.
    pub(super) async fn flush(&self) {
        let (sender, flushed) = oneshot::channel();
        self.order(Order::Flush(sender));
        // An error means that the disk refuses: there is nothing to wait for.
        let _ = flushed.await;
    }

    fn order(&self, order: Order) {
        if let Some(open) = self.open.get() {
            // Without its thread the table keeps every record, until there is no room and new operations
            // are refused.
            let _ = open.orders.send(order);
        }
    }

    /// What the store holds and has done.
    pub(super) fn standing(&self) -> StoreStanding {
        StoreStanding {
            records: self.counts.records.load(Ordering::Relaxed),
            displaced: self.counts.displaced.load(Ordering::Relaxed),
            failures: self.counts.failures.load(Ordering::Relaxed),
        }
    }
}
