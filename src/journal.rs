//! The durable log between intake and the two consumers.
//!
//! # The promise
//!
//! A reading is acknowledged to the broker only after the group that holds it is on disk, and a group is deleted
//! only after both consumers are past it. The journal is one SQLite database in WAL mode with `synchronous=FULL`;
//! one writer thread commits one group (one row) per transaction. What survives:
//!
//! | event | acknowledged readings | what the service does |
//! | --- | --- | --- |
//! | crash of the process (`kill -9`) | all | reopens, goes on at the cursors |
//! | crash of the machine, power loss | all, if the disk keeps what it says it synced | as above; SQLite drops a torn last commit |
//! | full disk, or [`crate::config::Journal::max_size`] reached | all | rolls back, keeps the chunk, stops acknowledging, `/ready` says so, tries again; cursors and dead letters are written from a reserve |
//! | failed write or fsync (`EIO`) | all that were acknowledged | never retries the fsync: poisons the journal and stops the process with a non-zero code |
//! | a damaged group | all but that group's | moves its bytes to `quarantine/`, counts its readings, goes on with the next |
//! | a file that SQLite can't read | those already past both consumers | moves the file to `quarantine/`, says so, starts a new one |
//! | an older cursor | all | replays: both consumers are idempotent |
//!
//! Groups carry a checksum (CRC32C) and a format version; a database of a newer version is refused, never touched.
//! Opening reads a handful of rows, whatever the size of the backlog. The folder is readable by its owner only: the
//! journal holds patient data.
//!
//! Other modules keep tables in the same database (dead letters, directory, outbox, state of the watch) and change them
//! with [`Journal::write`], inside the transaction of the next group, so that their change costs no fsync of its own.

mod cursor;
mod feed;
mod format;
pub mod inspect;
mod open;
mod parking;
mod quarantine;
mod receipt;
mod reserve;
mod tail;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

pub use self::cursor::{Consumer, set_cursor};
pub use self::feed::Feed;
pub use self::format::Group;
pub use self::open::{Opened, Recovery, open};
use self::parking::Readers;
pub use self::receipt::{Committed, Receipt};
use self::tail::Tail;
use self::writer::Job;
pub use self::writer::Reports;
use crate::account::Account;
use crate::dead_letter::DeadLetter;
use crate::reading::EnrichedReading;

/// One item of a message on its way to the disk.
#[derive(Debug)]
pub enum Entry {
    /// A reading for the consumers.
    Reading(EnrichedReading),
    /// A message, or an item of one, that can't be a reading.
    DeadLetter(DeadLetter),
    /// A reading that the journal has already; it only waits for its turn to be acknowledged.
    Duplicate,
}

/// Entries of one session in receive order, and whom to tell when they are on disk.
#[derive(Debug)]
pub struct Chunk {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Told once, after the commit that holds all entries.
    pub receipt: Receipt,
}

/// Why the journal could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// The folder can't be used: correct its path or its permissions.
    #[error("can't use the journal folder {}: {message}", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        message: String,
    },
    /// Another process has it open: stop that one first.
    #[error("the journal in {} is in use by another process", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// Written by a newer wardline: run that one, or name another folder.
    #[error("the journal in {} has format {found}, this wardline knows {known}: run the newer one", path.display())]
    Newer {
        /// The folder.
        path: PathBuf,
        /// The format of the file.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// The disk is full; what was asked is not done and may be asked again later.
    #[error("the disk of the journal is full")]
    Full,
    /// A write or an fsync failed: nothing may be written any more, restart the process.
    #[error("the journal is poisoned: {0}")]
    Poisoned(String),
    /// A statement failed; the transaction goes on without it.
    #[error("journal statement failed: {0}")]
    Statement(String),
    /// The writer has ended.
    #[error("the journal is closed")]
    Closed,
}

impl From<rusqlite::Error> for JournalError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Statement(error.to_string())
    }
}

/// A handle on the journal for its consumers; cheap to clone. The writer ends when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Journal {
    jobs: mpsc::Sender<Job>,
    readers: Arc<Readers>,
    tail: Arc<Tail>,
    dir: Arc<Path>,
    account: Arc<Account>,
}

impl Journal {
    /// Runs `change` inside the transaction of the next group, in a savepoint of its own; resolves after the fsync.
    ///
    /// # Errors
    /// [`JournalError::Statement`] when `change` fails (its part is rolled back), [`JournalError::Full`] when the disk
    /// is (ask again later), [`JournalError::Poisoned`] or [`JournalError::Closed`] when there is no more writing.
    pub async fn write<T, F>(&self, change: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| match change(connection) {
            Ok(value) => (
                true,
                Box::new(move |outcome: Result<(), JournalError>| {
                    // The caller may have gone; the change is made all the same.
                    reply.send(outcome.map(|()| value)).ok();
                }),
            ),
            Err(error) => (
                false,
                Box::new(move |outcome: Result<(), JournalError>| {
                    let failed = if writer::is_full(&error) { JournalError::Full } else { error.into() };
                    reply.send(Err(outcome.err().unwrap_or(failed))).ok();
                }),
            ),
        });
        self.jobs.send(job).await.map_err(|_| self.closed())?;
        answer.await.map_err(|_| self.closed())?
    }

    /// Runs `query` on a read-only connection, off the threads of the async runtime.
    ///
    /// # Errors
    /// [`JournalError::Statement`] when `query` fails.
    pub async fn read<T, F>(&self, query: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let readers = Arc::clone(&self.readers);
        tokio::task::spawn_blocking(move || readers.with(query)).await.map_err(|_| JournalError::Closed)?
    }

    /// The readings from a consumer's cursor on.
    #[must_use]
    pub fn feed(&self, consumer: Consumer) -> Feed {
        self.feed_from(consumer, self.tail.cursors.get(consumer).load(Ordering::Acquire))
    }

    /// The readings from a place on that is not before the consumer's cursor.
    #[must_use]
    pub fn feed_from(&self, consumer: Consumer, seq: u64) -> Feed {
        Feed::new(self.clone(), consumer, seq)
    }

    /// Readings that the consumer is not past yet.
    #[must_use]
    pub fn backlog(&self, consumer: Consumer) -> u64 {
        let end = self.tail.end();
        end.saturating_sub(self.tail.cursors.get(consumer).load(Ordering::Acquire))
    }

    /// Whether the journal takes no appends at the moment, because it or the disk is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.tail.full.load(Ordering::Acquire)
    }

    /// Resolves when the journal is poisoned, with the reason.
    pub async fn poisoned(&self) -> String {
        self.tail.poisoned().await
    }

    fn closed(&self) -> JournalError {
        self.tail.poison().map_or(JournalError::Closed, JournalError::Poisoned)
    }
}

/// A record as JSON for a column of a table; for use inside [`Journal::write`].
///
/// # Errors
/// When it can't be written as JSON.
pub fn json_column(record: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(record).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
