//! The directory's copy in the journal's database, so that a restart knows whose its readings are before the store of
//! profiles has answered.
//!
//! The patient is part of a reading's identity in the store. A message that was journalled and not acknowledged comes
//! again after a crash; with nobody known by then, it would be stored a second time as nobody's, and an episode that
//! people know of would be told a second time as the device's own. So what the directory learns is on disk before any
//! reading is enriched by it.

use std::sync::Arc;

use rusqlite::{Connection, params};
use serde::de::DeserializeOwned;

use super::directory::{Changes, Directory};
use super::records::Records;
use crate::journal::{Journal, JournalError, json_column};

/// One row for each record.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS directory (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
";

const ASSIGNMENT: &str = "assignment";
const PATIENT: &str = "patient";

/// Follows the directory on disk.
#[derive(Debug)]
pub(super) struct DiskCopy {
    journal: Journal,
    /// What the disk has.
    saved: Arc<Directory>,
}

impl DiskCopy {
    /// The disk has `saved`.
    pub(super) fn new(journal: Journal, saved: Arc<Directory>) -> Self {
        Self { journal, saved }
    }

    /// Brings the disk to `latest`. What can't be written now is written with the next change: a full disk must not keep
    /// the directory from knowing its patients.
    pub(super) async fn follow(&mut self, latest: &Arc<Directory>) {
        if Arc::ptr_eq(latest, &self.saved) {
            return;
        }
        let changes = latest.changes_since(&self.saved);
        match self.journal.write(move |connection| save(connection, &changes)).await {
            Ok(()) => self.saved = Arc::clone(latest),
            // The journal says so itself, on `/ready` or as the reason of the process's end.
            Err(JournalError::Full | JournalError::Poisoned(_) | JournalError::Closed) => {}
            Err(error) => {
                tracing::error!(%error, "who has which device is not on disk; a restart has to ask for it");
            }
        }
    }
}

/// Writes what changed.
fn save(connection: &Connection, changes: &Changes) -> rusqlite::Result<()> {
    let mut insert =
        connection.prepare_cached("INSERT OR REPLACE INTO directory (kind, id, record) VALUES (?1, ?2, ?3)")?;
    for record in &changes.new.patients {
        insert.execute(params![PATIENT, record.id, json_column(record)?])?;
    }
    for record in &changes.new.assignments {
        insert.execute(params![ASSIGNMENT, record.id, json_column(record)?])?;
    }
    let mut delete = connection.prepare_cached("DELETE FROM directory WHERE kind = ?1 AND id = ?2")?;
    for (kind, gone) in [(ASSIGNMENT, &changes.gone_assignments), (PATIENT, &changes.gone_patients)] {
        for id in gone {
            delete.execute(params![kind, id])?;
        }
    }
    Ok(())
}

/// Reads all; a row that can't be read is left out and said: its device will be asked for.
///
/// # Errors
/// When the table can't be read.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<Records> {
    Ok(Records {
        assignments: all(connection, ASSIGNMENT)?,
        patients: all(connection, PATIENT)?,
        unreadable: Vec::new(),
    })
}

fn all<T: DeserializeOwned>(connection: &Connection, kind: &str) -> rusqlite::Result<Vec<T>> {
    let mut statement = connection.prepare("SELECT record FROM directory WHERE kind = ?1")?;
    let mut rows = statement.query([kind])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        match serde_json::from_str(row.get_ref(0)?.as_str().unwrap_or_default()) {
            Ok(record) => found.push(record),
            // Without the error's words, which may quote the record.
            Err(_) => tracing::error!(kind, "a record of the directory's copy can't be read; its device is asked for"),
        }
    }
    Ok(found)
}
