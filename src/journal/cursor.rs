//! How far each consumer is.

use std::sync::atomic::AtomicU64;

use rusqlite::{Connection, OptionalExtension as _, params};

/// Who reads the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consumer {
    /// Batches for the time-series store.
    Store,
    /// Detection of episodes.
    Watch,
}

impl Consumer {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Store, Self::Watch];

    /// The name in the database and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Watch => "watch",
        }
    }
}

/// The cursors as their consumers last set them; the writer carries them to the disk with its next commit.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    store: AtomicU64,
    watch: AtomicU64,
}

impl Cursors {
    pub(super) fn get(&self, consumer: Consumer) -> &AtomicU64 {
        match consumer {
            Consumer::Store => &self.store,
            Consumer::Watch => &self.watch,
        }
    }
}

/// Moves a cursor: everything below `next_seq` is done. For use inside [`super::Journal::write`], when the cursor must
/// move in the same transaction as something else. A cursor never moves back.
///
/// # Errors
/// When the statement fails.
pub fn set_cursor(connection: &Connection, consumer: Consumer, next_seq: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO cursors (name, seq) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET seq = max(seq, excluded.seq)",
        )?
        .execute(params![consumer.name(), next_seq])?;
    Ok(())
}

/// The cursor on disk; 0 for a consumer that never set one.
pub(super) fn read_cursor(connection: &Connection, consumer: Consumer) -> rusqlite::Result<u64> {
    let seq = connection
        .query_row("SELECT seq FROM cursors WHERE name = ?1", [consumer.name()], |row| row.get(0))
        .optional()?;
    Ok(seq.unwrap_or(0))
}
