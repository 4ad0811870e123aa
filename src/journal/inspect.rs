//! Looking at a journal from another process, without changing it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::Consumer;
use super::cursor::read_cursor;
use super::format::decode;
use super::open::DATABASE;

/// A journal open for reading only.
#[derive(Debug)]
pub struct Inspection {
    connection: Connection,
    dir: PathBuf,
}

/// What is in a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalStatus {
    /// Bytes of the pages in use.
    pub bytes: u64,
    /// Groups.
    pub groups: u64,
    /// The sequence number of the next reading.
    pub next_seq: u64,
    /// Readings before the store consumer.
    pub before_store: u64,
    /// Readings before the watch consumer.
    pub before_watch: u64,
    /// Rejected messages kept.
    pub dead_letters: u64,
    /// Entries of the quarantine folder.
    pub quarantine_files: usize,
}

/// What a check of every group found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Groups read.
    pub groups: u64,
    /// Readings in sound groups.
    pub readings: u64,
    /// Those that can't be believed.
    pub damaged: Vec<DamagedGroup>,
}

/// A group that can't be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedGroup {
    /// Sequence number of its first reading.
    pub first_seq: u64,
    /// How many readings it had.
    pub count: u64,
    /// What is wrong.
    pub damage: String,
}

impl Inspection {
    /// Opens the journal in a folder.
    ///
    /// # Errors
    /// When there is none, or it can't be read.
    pub fn open(dir: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open_with_flags(dir.join(DATABASE), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        Ok(Self { connection, dir: dir.into() })
    }

    /// The connection, for tables of other modules.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What is in it.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn status(&self) -> rusqlite::Result<JournalStatus> {
        let one = |sql: &str| self.connection.query_row(sql, [], |row| row.get::<_, u64>(0));
        let store = read_cursor(&self.connection, Consumer::Store)?;
        let watch = read_cursor(&self.connection, Consumer::Watch)?;
        let next_seq = one("SELECT coalesce(max(first_seq + count), 0) FROM groups")?.max(store).max(watch);
        let quarantine = std::fs::read_dir(self.dir.join("quarantine"));
        Ok(JournalStatus {
            bytes: super::writer::bytes_in_use(&self.connection)?,
            groups: one("SELECT count(*) FROM groups")?,
            next_seq,
            before_store: next_seq - store,
            before_watch: next_seq - watch,
            dead_letters: crate::dead_letter::totals(&self.connection)?.0,
            // No folder: nothing was ever moved there.
            quarantine_files: quarantine.map_or(0, |entries| entries.count()),
        })
    }

    /// Reads every group and compares its checksum; tells `each` when it is done with one.
    ///
    /// # Errors
    /// When the database can't be read at all.
    pub fn verify(&self, mut each: impl FnMut()) -> rusqlite::Result<Verified> {
        let mut verified = Verified::default();
        let mut statement =
            self.connection.prepare("SELECT first_seq, count, committed, payload FROM groups ORDER BY first_seq")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (first_seq, count): (u64, u64) = (row.get(0)?, row.get(1)?);
            verified.groups += 1;
            match decode(first_seq, count, row.get(2)?, row.get_ref(3)?.as_blob().unwrap_or_default()) {
                Ok(group) => verified.readings += group.readings.len() as u64,
                Err(damage) => {
                    verified.damaged.push(DamagedGroup { first_seq, count, damage: damage.to_string() });
                }
            }
            each();
        }
        Ok(verified)
    }
}
