//! The file of a store: made whole or not at all, told from another of its name, brought up to date, and looked at
//! before anything is served from it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};
use thiserror::Error;

use crate::idempotency::seal::Secrets;

pub(super) const FILE: &str = "answers.sqlite";
const FORMAT: i64 = 2;
const SCHEMA: &str = "
    PRAGMA synchronous = OFF;
    PRAGMA journal_mode = WAL;
    CREATE TABLE about (format INTEGER NOT NULL, secrets BLOB NOT NULL);
    CREATE TABLE answers (id BLOB NOT NULL UNIQUE, expires INTEGER NOT NULL, record BLOB NOT NULL,
        holder INTEGER NOT NULL DEFAULT 0);
    CREATE INDEX answers_by_expiry ON answers (expires);
    CREATE INDEX answers_by_holder ON answers (holder);
";
/// The format before did not know whose a record is: those that it left are one holder's.
const FORMAT_BEFORE: i64 = 1;
const FROM_FORMAT_BEFORE: &str = "
    ALTER TABLE answers ADD COLUMN holder INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX answers_by_holder ON answers (holder);
    UPDATE about SET format = 2;
";

/// How long a commit of another process is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a store cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The directory is not there, or not the gateway's to write.
    #[error("cannot be used ({0})")]
    Directory(#[from] io::Error),
    /// The file cannot be read, or is no database.
    #[error("has a store that cannot be read ({0})")]
    Unreadable(#[from] rusqlite::Error),
    /// The file's parts contradict each other.
    #[error("has a store that is damaged")]
    Damaged,
    /// A database of something else, or of a later version.
    #[error("has a store of another kind or version")]
    Unknown,
    /// Written with another key, or with a key where there is none now, or without one.
    #[error("has a store that was written with another key_file or without one")]
    OtherKey,
}

/// Looks at the store of a directory, if there is one, without changing anything. Reads the whole file.
pub fn examine(directory: &Path, secrets: &Secrets) -> Result<(), StoreError> {
    let file = directory.join(FILE);
    if !is_there(directory, &file)? {
        return Ok(());
    }
    let connection = Connection::open_with_flags(&file, flags(OpenFlags::SQLITE_OPEN_READ_ONLY))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Not `integrity_check`, which holds indexes against tables as well and takes far longer on a large file.
    let found: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(damaged)?;
    if found != "ok" {
        return Err(StoreError::Damaged);
    }
    belongs_to(&connection, secrets).map(drop)
}

pub(super) fn is_there(directory: &Path, file: &Path) -> Result<bool, io::Error> {
    if !std::fs::metadata(directory)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    file.try_exists()
}

fn flags(mode: OpenFlags) -> OpenFlags {
    // One thread at a time has a connection: SQLite need not lock it.
    mode | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn damaged(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseCorrupt) => StoreError::Damaged,
        _ => StoreError::Unreadable(error),
    }
}

/// Whether a store is of these secrets, and in which format.
fn belongs_to(connection: &Connection, secrets: &Secrets) -> Result<i64, StoreError> {
    let about = connection.query_row("SELECT format, secrets FROM about", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
    });
    match about {
        Ok((format @ (FORMAT | FORMAT_BEFORE), check)) => match check == secrets.check() {
            true => Ok(format),
            false => Err(StoreError::OtherKey),
        },
        // A file without tables is one that was emptied.
        Ok(_) | Err(_) => Err(StoreError::Unknown),
    }
}

/// Another process may be about to do the same: who comes second finds it done.
pub(super) fn bring_up_to_date(
    connection: &Connection,
    secrets: &Secrets,
) -> Result<(), StoreError> {
    if belongs_to(connection, secrets)? == FORMAT {
        return Ok(());
    }
    let change = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    if belongs_to(&change, secrets)? == FORMAT_BEFORE {
        change.execute_batch(FROM_FORMAT_BEFORE)?;
    }
    Ok(change.commit()?)
}

/// Tells a file from another one that took its name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    pub(super) fn of(file: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(file)?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

pub(super) fn connect(file: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_with_flags(file, flags(OpenFlags::SQLITE_OPEN_READ_WRITE))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Makes an empty store under another name first: what bears the store's name is always whole, and on
/// disk. If another process was faster, its store is the one.
pub(super) fn create(directory: &Path, file: &Path, secrets: &Secrets) -> Result<(), StoreError> {
    let draft = Draft(directory.join(format!("new-{}.sqlite", std::process::id())));
    // Made before SQLite opens it, or its mode would be what the umask leaves.
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft.0)?;
    let connection = connect(&draft.0)?;
    connection.execute_batch(SCHEMA)?;
    connection.execute("INSERT INTO about VALUES (?1, ?2)", params![FORMAT, secrets.check()])?;
    // Closed before it gets its name: that moves what is in the write-ahead log into the file.
    connection.close().map_err(|(_, error)| error)?;
    // Once, for all of it: nobody else looks at a draft.
    File::open(&draft.0)?.sync_all()?;
    // A link and no rename: a rename would put an empty store in the place of one that was there first.
    match std::fs::hard_link(&draft.0, file) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    drop(draft);
    // The name is on the disk when the directory is.
    Ok(File::open(directory)?.sync_all()?)
}

/// A file that is gone when it has served.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        // One that stays is written anew by the next process of that number, and read by nobody.
        let _ = std::fs::remove_file(&self.0);
    }
}
