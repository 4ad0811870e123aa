//! Opening: the folder, the lock, the database, what an earlier run left; a file that can't be read moves away.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _};
use tokio::sync::mpsc;

use super::cursor::read_cursor;
use super::parking::Readers;
use super::tail::Tail;
use super::writer::{Reports, Writer};
use super::{Chunk, Consumer, Journal, JournalError, quarantine, reserve};
use crate::config;

/// The version of the tables, in SQLite's `user_version`.
const FORMAT: i64 = 1;

/// The database, in the journal's folder.
pub(super) const DATABASE: &str = "journal.sqlite";

/// The tables of the journal itself.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS groups (
    first_seq INTEGER PRIMARY KEY,
    count INTEGER NOT NULL,
    committed INTEGER NOT NULL,
    payload BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS cursors (name TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
";

/// What an earlier run left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Readings that the store consumer has before it.
    pub unstored: u64,
    /// Where a database went that could not be read.
    pub quarantined: Option<PathBuf>,
}

/// An open journal.
#[derive(Debug)]
pub struct Opened {
    /// The handle for consumers.
    pub journal: Journal,
    /// What an earlier run left.
    pub recovery: Recovery,
    /// The writer; ends when all handles and the appending side are gone.
    pub writer: thread::JoinHandle<()>,
}

/// Opens the journal and starts its writer, which commits what comes out of `appends` and runs what comes out of a
/// queue of `jobs` places. `schemas` are the tables of other modules.
///
/// # Errors
/// [`JournalError::Folder`], [`JournalError::Locked`] or [`JournalError::Newer`]; each says what to do. Damage is no
/// error: the file moves to quarantine and a new one is started.
pub fn open(
    config: &config::Journal,
    dead_letters: &config::DeadLetter,
    schemas: &[&str],
    appends: mpsc::Receiver<Chunk>,
    jobs: usize,
    reports: Reports,
) -> Result<Opened, JournalError> {
    let now = crate::clock::now_ms();
    let dir = config.dir.as_path();
    let folder_error =
        |error: &dyn std::fmt::Display| JournalError::Folder { path: dir.into(), message: error.to_string() };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| folder_error(&error))?;
    let lock = lock(dir)?;
    let disk_full = !reserve::make(dir, config.reserve).map_err(|error| folder_error(&error))?;
    let database = dir.join(DATABASE);
    let mut quarantined = None;
    let noted = match quarantine::noted(dir) {
        Some(why) => Err(Unusable::Damaged(why)),
        None => prepare(&database, schemas),
    };
    let (connection, state) = match noted {
        Err(Unusable::Damaged(why)) => {
            let to = quarantine::database(&database, now).map_err(|error| folder_error(&error))?;
            tracing::error!(%why, moved_to = %to.display(),
                "the journal could not be read and was moved to quarantine; a new one is started");
            quarantined = Some(to);
            prepare(&database, schemas).map_err(|unusable| unusable.into_error(dir))?
        }
        other => other.map_err(|unusable| unusable.into_error(dir))?,
    };
    let tail = Arc::new(Tail::new(state.end, config.memory));
    for (consumer, seq) in Consumer::ALL.into_iter().zip(state.cursors) {
        tail.cursors.get(consumer).store(seq, Ordering::Release);
    }
    let (jobs_tx, jobs_rx) = mpsc::channel(jobs);
    let journal = Journal {
        jobs: jobs_tx,
        readers: Arc::new(Readers::new(database)),
        tail: Arc::clone(&tail),
        dir: dir.into(),
        account: Arc::clone(&reports.account),
    };
    let recovery = Recovery { unstored: journal.backlog(Consumer::Store), quarantined };
    reports.account.recovered(recovery.unstored);
    let writer = Writer::new(connection, (config.clone(), dead_letters.clone()), tail, reports, disk_full)
        .map_err(|error| folder_error(&error))?;
    let writer = thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || {
            writer.run(appends, jobs_rx);
            // Not by closing alone: a child process that is being started at this moment has a copy of the file. If it
            // fails, the lock goes with the process.
            lock.unlock().ok();
        })
        .map_err(|error| folder_error(&error))?;
    Ok(Opened { journal, recovery, writer })
}

/// The file that keeps a second process out; the lock goes with the process.
fn lock(dir: &Path) -> Result<File, JournalError> {
    let path = dir.join("lock");
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = opened.map_err(|error| JournalError::Folder { path: path.clone(), message: error.to_string() })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::Locked { path: dir.into() }),
        Err(TryLockError::Error(error)) => Err(JournalError::Folder { path, message: error.to_string() }),
    }
}

/// Where the database stands.
struct State {
    end: u64,
    cursors: [u64; 2],
}

/// Why a database can't be used as it is.
enum Unusable {
    Damaged(String),
    Newer(i64),
    Other(rusqlite::Error),
}

impl From<rusqlite::Error> for Unusable {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error.to_string()),
            _ => Self::Other(error),
        }
    }
}

impl Unusable {
    fn into_error(self, dir: &Path) -> JournalError {
        let path = dir.to_owned();
        match self {
            Self::Newer(found) => JournalError::Newer { path, found, known: FORMAT },
            Self::Damaged(message) => JournalError::Folder { path, message },
            Self::Other(error) => JournalError::Folder { path, message: error.to_string() },
        }
    }
}

fn prepare(database: &Path, schemas: &[&str]) -> Result<(Connection, State), Unusable> {
    // Created by us first, so that nobody else may read it; SQLite gives its WAL the same mode.
    if let Err(error) = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(database) {
        return Err(Unusable::Other(rusqlite::Error::ToSqlConversionFailure(Box::new(error))));
    }
    let connection = Connection::open(database)?;
    connection.pragma_update(None, "page_size", 8192)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -4096)?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > FORMAT {
        return Err(Unusable::Newer(found));
    }
    connection.execute_batch(SCHEMA)?;
    for schema in schemas {
        connection.execute_batch(schema)?;
    }
    connection.pragma_update(None, "user_version", FORMAT)?;
    let mut cursors = [0; 2];
    for (consumer, slot) in Consumer::ALL.into_iter().zip(&mut cursors) {
        *slot = read_cursor(&connection, consumer)?;
    }
    let last: Option<u64> = connection
        .query_row("SELECT first_seq + count FROM groups ORDER BY first_seq DESC LIMIT 1", [], |row| row.get(0))
        .optional()?;
    let end = cursors.into_iter().fold(last.unwrap_or(0), u64::max);
    Ok((connection, State { end, cursors }))
}
