//! The store: records on disk, in one SQLite file.
//!
//! Decides nothing of requests; finds a record, takes records in, keeps within its bounds. Several
//! processes may have the store open, as the old and the new one have while sockets are handed over.
//! When it is full, whoever holds the most loses its oldest record: no organisation's operations push out those of
//! another that has less. What is committed survives the loss of power: the journal is a write-ahead log that every commit
//! flushes (`synchronous = FULL`), once for all records that came in meanwhile.
//!
//! A store that is damaged, or belongs to another key, is an error and never an empty store: its file is
//! looked at whole before anything is served from it ([`examine`]). The file holds hashes, times and
//! sealed records; it is the owner's alone (mode 600).

mod file;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use thiserror::Error;

use file::{FILE, FileIdentity, bring_up_to_date, connect, create, is_there};
pub use file::{StoreError, examine};

use super::operation::OperationId;
use super::record::Record;
use super::seal::Secrets;

/// Opens the store of a directory for reading and for writing; makes one where there is none.
pub(super) fn open(
    directory: &Path,
    secrets: &Secrets,
) -> Result<(StoreReader, StoreWriter), StoreError> {
    let file = directory.join(FILE);
    if !is_there(directory, &file)? {
        create(directory, &file, secrets)?;
        tracing::info!("a new store of idempotent answers was made");
    }
    // Before it is opened: if it is replaced in between, `is_in_place` finds out.
    let place = FileIdentity::of(&file)?;
    let writer = connect(&file)?;
    bring_up_to_date(&writer, secrets)?;
    let mode: String = writer.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    // Where it cannot be (a network's file system) SQLite does not fail, but keeps the mode that there was.
    if mode != "wal" {
        return Err(io::Error::from(io::ErrorKind::Unsupported).into());
    }
    // Without a limit the log's file stays as long as it ever was.
    writer.execute_batch("PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;")?;
    let reader = connect(&file)?;
    reader.execute_batch("PRAGMA query_only = ON;")?;
    let shares = Shares::default();
    let mut writing = StoreWriter { connection: writer, file, place, shares, version: 0 };
    writing.count()?;
    Ok((StoreReader(reader), writing))
}

/// What a record is bound to: it opens under its own id and expiry only.
fn binding(id: &OperationId, expires: i64) -> Vec<u8> {
    [id.as_bytes(), &expires.to_be_bytes()].concat()
}

fn seconds(unix: u64) -> i64 {
    i64::try_from(unix).unwrap_or(i64::MAX)
}

/// A record could not be read, or is not one.
#[derive(Debug, Error)]
pub(super) enum ReadError {
    #[error("the store cannot be read ({0})")]
    Sqlite(#[from] rusqlite::Error),
    #[error("a record does not open")]
    Sealed,
}

/// The store, to find records in.
pub(super) struct StoreReader(Connection);

impl StoreReader {
    /// The record of an operation, unless it has expired.
    pub(super) fn find(
        &self,
        id: &OperationId,
        now: u64,
        secrets: &Secrets,
    ) -> Result<Option<Record>, ReadError> {
        let mut query =
            self.0.prepare_cached("SELECT expires, record FROM answers WHERE id = ?1")?;
        let row = query.query_row([id.as_bytes()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        });
        let Some((expires, sealed)) = row.optional()?.filter(|row| row.0 > seconds(now)) else {
            return Ok(None);
        };
        let record = secrets.open(&binding(id, expires), sealed).map_err(|_| ReadError::Sealed)?;
        Record::from_bytes(record).map(Some).map_err(|_| ReadError::Sealed)
    }
}

/// How much a store holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreBounds {
    /// Records.
    pub records: u64,
    /// Bytes of the file that are in use.
    pub bytes: u64,
}

/// A record on its way to the disk.
pub(super) struct SealedRecord {
    id: OperationId,
    expires: i64,
    sealed: Vec<u8>,
}

impl SealedRecord {
    /// Seals a record that expires at `expires`, in seconds since 1970.
    pub(super) fn seal(
        id: OperationId,
        expires: u64,
        record: &Record,
        secrets: &Secrets,
    ) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let expires = seconds(expires);
        let sealed = secrets.seal(&binding(&id, expires), record.to_bytes())?;
        Ok(Self { id, expires, sealed })
    }
}

/// The store, to take records in.
pub(super) struct StoreWriter {
    connection: Connection,
    file: PathBuf,
    place: FileIdentity,
    shares: Shares,
    /// Changes whenever another process has written.
    version: i64,
}

impl StoreWriter {
    /// How many records there are.
    pub(super) fn entries(&self) -> u64 {
        self.shares.records()
    }

    /// Whether what bears the store's name is what was opened: it may have been removed, or replaced.
    pub(super) fn is_in_place(&self) -> bool {
        FileIdentity::of(&self.file).is_ok_and(|place| place == self.place)
    }

    fn count(&mut self) -> Result<(), rusqlite::Error> {
        let version =
            self.connection.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0))?;
        if version != self.version {
            self.shares = Shares::read(&self.connection)?;
            self.version = version;
        }
        Ok(())
    }

    /// Takes rows in, removes what has expired, and as much of the oldest as the bounds ask for. Gives
    /// how many records had to go before their time. All of it happens or nothing.
    pub(super) fn commit<'a>(
        &mut self,
        rows: impl IntoIterator<Item = &'a SealedRecord>,
        bounds: StoreBounds,
        now: u64,
    ) -> Result<u64, rusqlite::Error> {
        self.count()?;
        // A copy: what a transaction that fails has counted must not count.
        let mut shares = self.shares.clone();
        // Immediate: a deferred one that another process has overtaken fails at its
        // first write, without a wait.
        let change = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        // First: what is over makes room before anybody's record is displaced.
        remove_expired(&change, &mut shares, now)?;
        insert(&change, &mut shares, rows)?;
        let displaced = displace(&change, &mut shares, bounds)?;
        change.commit()?;
        self.shares = shares;
        Ok(displaced)
    }

    /// Takes in what another store holds, which is nobody's place any more.
    pub(super) fn adopt(&mut self, other: &Self) -> Result<(), rusqlite::Error> {
        let mut query =
            other.connection.prepare("SELECT id, expires, record, holder FROM answers")?;
        let mut rows = query.query([])?;
        let change = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        while let Some(row) = rows.next()? {
            let (id, expires): (Vec<u8>, i64) = (row.get(0)?, row.get(1)?);
            let (record, holder): (Vec<u8>, i64) = (row.get(2)?, row.get(3)?);
            change.prepare_cached(INSERT)?.execute(params![id, expires, record, holder])?;
        }
        change.commit()?;
        self.shares = Shares::read(&self.connection)?;
        Ok(())
    }
}

/// What each organisation holds.
#[derive(Clone, Default)]
struct Shares(HashMap<i64, StoreShare>);

#[derive(Clone, Copy, Default)]
struct StoreShare {
    records: u64,
    bytes: u64,
}

impl Shares {
    fn read(connection: &Connection) -> Result<Self, rusqlite::Error> {
        let sql = "SELECT holder, count(*), sum(length(record)) FROM answers GROUP BY holder";
        let mut query = connection.prepare(sql)?;
        let shares = query.query_map([], |row| {
            let share = StoreShare { records: number(row.get(1)?), bytes: number(row.get(2)?) };
            Ok((row.get(0)?, share))
        })?;
        shares.collect::<Result<_, _>>().map(Self)
    }

    fn holders(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    fn records(&self) -> u64 {
        self.0.values().map(|share| share.records).sum()
    }

    fn add(&mut self, holder: i64, bytes: u64) {
        let share = self.0.entry(holder).or_default();
        share.records += 1;
        share.bytes += bytes;
    }

    fn remove(&mut self, holder: i64, bytes: u64) {
        if let Some(share) = self.0.get_mut(&holder) {
            share.records = share.records.saturating_sub(1);
            share.bytes = share.bytes.saturating_sub(bytes);
            if share.records == 0 {
                self.0.remove(&holder);
            }
        }
    }

    /// Who holds the most.
    fn largest(&self, size: impl Fn(&StoreShare) -> u64) -> Option<(i64, StoreShare)> {
        let largest = self.0.iter().max_by_key(|(_, share)| size(share));
        largest.map(|(holder, share)| (*holder, *share))
    }
}

fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn remove_expired(
    change: &Transaction<'_>,
    shares: &mut Shares,
    now: u64,
) -> Result<(), rusqlite::Error> {
    let sql = "DELETE FROM answers WHERE expires <= ?1 RETURNING holder, length(record)";
    let mut deletion = change.prepare_cached(sql)?;
    let mut gone = deletion.query([seconds(now)])?;
    while let Some(row) = gone.next()? {
        shares.remove(row.get(0)?, number(row.get(1)?));
    }
    Ok(())
}

/// An operation that another process has carried out meanwhile keeps the record that it has.
const INSERT: &str = "INSERT INTO answers (id, expires, record, holder) VALUES (?1, ?2, ?3, ?4) \
                      ON CONFLICT (id) DO NOTHING";

fn insert<'a>(
    change: &Transaction<'_>,
    shares: &mut Shares,
    rows: impl IntoIterator<Item = &'a SealedRecord>,
) -> Result<(), rusqlite::Error> {
    let mut insertion = change.prepare_cached(INSERT)?;
    for row in rows {
        let holder = row.id.holder();
        let taken = params![row.id.as_bytes(), row.expires, row.sealed, holder];
        if insertion.execute(taken)? > 0 {
            shares.add(holder, u64::try_from(row.sealed.len()).unwrap_or(u64::MAX));
        }
    }
    Ok(())
}

/// Removes the oldest records of whoever holds the most until the rest is within the bounds.
fn displace(
    change: &Transaction<'_>,
    shares: &mut Shares,
    bounds: StoreBounds,
) -> Result<u64, rusqlite::Error> {
    let before = shares.records();
    while let excess @ 1.. = shares.records().saturating_sub(bounds.records)
        && let Some((holder, _)) = shares.largest(|share| share.records)
        // Few rounds where the bound was lowered by much, and one record where one is too many.
        && remove_oldest(change, shares, holder, 1 + excess / (1 + shares.holders()))? > 0
    {}
    while bytes_in_use(change)? > bounds.bytes
        && let Some((holder, share)) = shares.largest(|share| share.bytes)
        // A hundredth at a time: few rounds, and little more goes than must.
        && remove_oldest(change, shares, holder, 1 + share.records / 100)? > 0
    {}
    Ok(before.saturating_sub(shares.records()))
}

fn remove_oldest(
    change: &Transaction<'_>,
    shares: &mut Shares,
    holder: i64,
    count: u64,
) -> Result<u64, rusqlite::Error> {
    // By `rowid`, the order in which they came: `expires` follows a clock that may be set and a
    // setting that may change.
    let sql = "DELETE FROM answers WHERE rowid IN (SELECT rowid FROM answers WHERE holder = ?1 \
               ORDER BY rowid LIMIT ?2) RETURNING length(record)";
    let mut deletion = change.prepare_cached(sql)?;
    let mut gone = deletion.query(params![holder, seconds(count)])?;
    let mut removed = 0;
    while let Some(row) = gone.next()? {
        shares.remove(holder, number(row.get(0)?));
        removed += 1;
    }
    Ok(removed)
}

fn bytes_in_use(change: &Transaction<'_>) -> Result<u64, rusqlite::Error> {
    let number = |sql| change.query_row(sql, [], |row| row.get::<_, i64>(0));
    // A file does not shrink: what was deleted is room within it.
    let pages = number("PRAGMA page_count")? - number("PRAGMA freelist_count")?;
    Ok(u64::try_from(pages.saturating_mul(number("PRAGMA page_size")?)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idempotency::operation::{Fingerprint, LENGTH};
    use crate::idempotency::record::KeptAnswer;
    use crate::idempotency::{Client, Operation};
    use crate::token::ClientId;

    const ROOMY: StoreBounds = StoreBounds { records: 1000, bytes: 1 << 30 };

    struct Lab {
        directory: tempfile::TempDir,
        secrets: Secrets,
    }

    impl Lab {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            Self { directory, secrets: Secrets::new(Some(&[1; 32])).unwrap() }
        }

        fn file(&self) -> PathBuf {
            self.directory.path().join(FILE)
        }

        fn open(&self) -> (StoreReader, StoreWriter) {
            open(self.directory.path(), &self.secrets).unwrap()
        }

        fn examine(&self) -> Result<(), StoreError> {
            examine(self.directory.path(), &self.secrets)
        }

        fn id(&self, number: usize) -> OperationId {
            self.id_of("o", number)
        }

        fn id_of(&self, organisation: &str, number: usize) -> OperationId {
            let client = ClientId::new("client").unwrap();
            let operation = Operation {
                client: Client {
                    organisation: organisation.as_bytes(),
                    software_statement: b"s",
                    id: Some(&client),
                },
                method: &http::Method::POST,
                template: "/a",
                path: "/a",
                consent: None,
                key: &number.to_be_bytes(),
            };
            operation.id(&self.secrets)
        }

        fn row(&self, number: usize, expires: u64, record: &Record) -> SealedRecord {
            SealedRecord::seal(self.id(number), expires, record, &self.secrets).unwrap()
        }

        fn has(&self, reading: &StoreReader, number: usize, now: u64) -> bool {
            reading.find(&self.id(number), now, &self.secrets).unwrap().is_some()
        }
    }

    fn record(size: usize) -> Record {
        let body = vec![b'q'; size].into();
        let answer = KeptAnswer { status: 201, fields: http::HeaderMap::new(), body };
        Record { asked: Fingerprint([1; LENGTH]), status: 201, answer: Some(answer) }
    }

    #[test]
    fn a_record_is_found_until_it_expires_also_by_the_next_process() {
        let place = Lab::new();
        let (reading, mut writing) = place.open();
        assert!(!place.has(&reading, 1, 0));
        writing.commit(&[place.row(1, 100, &record(9))], ROOMY, 50).unwrap();
        drop((reading, writing));
        assert!(place.examine().is_ok());
        let (reading, mut writing) = place.open();
        assert_eq!(reading.find(&place.id(1), 99, &place.secrets).unwrap(), Some(record(9)));
        assert!(!place.has(&reading, 1, 100));
        assert_eq!(writing.entries(), 1);
        assert_eq!(writing.commit(&[], ROOMY, 100).unwrap(), 0);
        assert_eq!(writing.entries(), 0);
        assert!(!place.has(&reading, 1, 0), "removed");
    }

    #[test]
    fn two_processes_share_a_store_and_the_first_record_stays() {
        let place = Lab::new();
        let (reading, mut first) = place.open();
        let (_, mut second) = place.open();
        first.commit(&[place.row(1, 100, &record(1))], ROOMY, 0).unwrap();
        second
            .commit(&[place.row(1, 200, &record(2)), place.row(2, 100, &record(2))], ROOMY, 0)
            .unwrap();
        assert_eq!(reading.find(&place.id(1), 0, &place.secrets).unwrap(), Some(record(1)));
        assert!(place.has(&reading, 2, 0));
        first.commit(&[], ROOMY, 0).unwrap();
        assert_eq!((first.entries(), second.entries()), (2, 2));
    }

    #[test]
    fn the_oldest_make_room() {
        let place = Lab::new();
        let (reading, mut writing) = place.open();
        let three = StoreBounds { records: 3, ..ROOMY };
        let rows: Vec<SealedRecord> = (0..5).map(|n| place.row(n, 100, &record(9))).collect();
        assert_eq!(writing.commit(&rows, three, 0).unwrap(), 2);
        assert_eq!(writing.entries(), 3);
        let left: Vec<usize> = (0..5).filter(|n| place.has(&reading, *n, 0)).collect();
        assert_eq!(left, [2, 3, 4]);

        let small = StoreBounds { bytes: 256 * 1024, ..ROOMY };
        for n in 10..110 {
            writing.commit(&[place.row(n, 100, &record(10_000))], small, 0).unwrap();
        }
        assert!(
            bytes_in_use(
                &Transaction::new_unchecked(&writing.connection, TransactionBehavior::Deferred)
                    .unwrap()
            )
            .unwrap()
                <= small.bytes
        );
        assert!((10..40).contains(&writing.entries()), "{}", writing.entries());
        assert!(place.has(&reading, 109, 0) && !place.has(&reading, 10, 0));
        assert!(std::fs::metadata(place.file()).unwrap().len() < 2 * small.bytes);
    }

    #[test]
    fn whoever_holds_the_most_makes_room() {
        let place = Lab::new();
        let (reading, mut writing) = place.open();
        let bounds = StoreBounds { records: 50, ..ROOMY };
        let row = |organisation, number, size| {
            SealedRecord::seal(
                place.id_of(organisation, number),
                100,
                &record(size),
                &place.secrets,
            )
            .unwrap()
        };
        for number in 0..10 {
            writing.commit(&[row("one", number, 9)], bounds, 0).unwrap();
        }
        for number in 0..60 {
            writing.commit(&[row("two", number, 9)], bounds, 0).unwrap();
        }
        let has = |organisation, number| {
            reading.find(&place.id_of(organisation, number), 0, &place.secrets).unwrap().is_some()
        };
        assert!((0..10).all(|number| has("one", number)), "within its share");
        let left: Vec<usize> = (0..60).filter(|number| has("two", *number)).collect();
        assert_eq!(left, (20..60).collect::<Vec<_>>(), "its own oldest made room");
        // The same of bytes: few long records are more than many short ones.
        let small = StoreBounds { bytes: 256 * 1024, ..ROOMY };
        for number in 0..60 {
            writing.commit(&[row("three", number, 10_000)], small, 0).unwrap();
        }
        assert!((0..10).all(|number| has("one", number)));
        assert!(!has("three", 0) && has("three", 59));
        drop(writing);
        let (_, mut next) = place.open();
        let entries = next.entries();
        assert_eq!(next.commit(&[], ROOMY, 0).unwrap(), 0);
        assert_eq!(next.entries(), entries, "it is counted anew");
        assert_eq!(next.commit(&[], ROOMY, 100).unwrap(), 0);
        assert_eq!(next.entries(), 0, "expired");
    }

    #[test]
    fn a_store_of_the_format_before_is_brought_up_to_date_with_what_it_holds() {
        let place = Lab::new();
        let (_, mut writing) = place.open();
        writing.commit(&[place.row(1, 100, &record(9))], ROOMY, 0).unwrap();
        writing
            .connection
            .execute_batch(
                "DROP INDEX answers_by_holder; ALTER TABLE answers DROP COLUMN holder; \
                 UPDATE about SET format = 1;",
            )
            .unwrap();
        drop(writing);
        assert!(place.examine().is_ok());
        let (reading, mut writing) = place.open();
        assert!(place.has(&reading, 1, 0));
        writing.commit(&[place.row(2, 100, &record(9))], ROOMY, 0).unwrap();
        assert_eq!(writing.entries(), 2);
    }

    #[test]
    fn a_record_opens_only_where_it_was_put() {
        let place = Lab::new();
        let (reading, mut writing) = place.open();
        let rows = [place.row(1, 100, &record(1)), place.row(2, 100, &record(2))];
        writing.commit(&rows, ROOMY, 0).unwrap();
        for change in [
            "UPDATE answers SET expires = 200 WHERE rowid = 1",
            "UPDATE answers SET record = (SELECT record FROM answers WHERE rowid = 2), expires = 100 WHERE rowid = 1",
            "UPDATE answers SET record = x'00' WHERE rowid = 1",
        ] {
            writing.connection.execute(change, []).unwrap();
            let found = reading.find(&place.id(1), 0, &place.secrets);
            assert!(matches!(found, Err(ReadError::Sealed)), "{change}");
        }
        assert!(place.has(&reading, 2, 0));
    }

    #[test]
    fn a_store_that_is_not_sound_is_never_an_empty_one() {
        let place = Lab::new();
        let (_, mut writing) = place.open();
        let rows: Vec<SealedRecord> = (0..300).map(|n| place.row(n, 100, &record(900))).collect();
        writing.commit(&rows, ROOMY, 0).unwrap();
        writing.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
        drop(writing);
        let good = std::fs::read(place.file()).unwrap();
        let written = |bytes: &[u8]| {
            std::fs::write(place.file(), bytes).unwrap();
            (place.examine(), open(place.directory.path(), &place.secrets).map(|_| ()))
        };
        assert!(matches!(written(&good), (Ok(()), Ok(()))));
        let halves = [&good[..good.len() / 2], &vec![0xff; good.len() / 2]].concat();
        for (bytes, what) in [
            (&b""[..], "emptied"),
            (b"EHLO", "no database"),
            (&vec![0; good.len()], "zeros"),
            (&good[..good.len() / 2], "cut off"),
            (&halves, "overwritten"),
        ] {
            assert!(written(bytes).0.is_err(), "{what}");
        }
        assert!(matches!(written(b"").1, Err(StoreError::Unknown)), "not served either");
    }

    #[test]
    fn a_store_belongs_to_one_key() {
        let place = Lab::new();
        drop(place.open());
        for other in [Secrets::new(Some(&[2; 32])).unwrap(), Secrets::new(None).unwrap()] {
            let found = examine(place.directory.path(), &other);
            assert!(matches!(found, Err(StoreError::OtherKey)), "{found:?}");
            assert!(matches!(open(place.directory.path(), &other), Err(StoreError::OtherKey)));
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let place = Lab::new();
        for path in [place.directory.path().join("none"), {
            let file = place.directory.path().join("file");
            std::fs::write(&file, "").unwrap();
            file
        }] {
            assert!(matches!(examine(&path, &place.secrets), Err(StoreError::Directory(_))));
            assert!(matches!(open(&path, &place.secrets), Err(StoreError::Directory(_))));
        }
    }

    #[test]
    fn the_files_are_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let place = Lab::new();
        let (_reading, mut writing) = place.open();
        writing.commit(&[place.row(1, 100, &record(1))], ROOMY, 0).unwrap();
        let mut seen = 0;
        for entry in std::fs::read_dir(place.directory.path()).unwrap() {
            let metadata = entry.unwrap().metadata().unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
            seen += 1;
        }
        assert_eq!(seen, 3, "the file, its log and the log's index");
    }
}
