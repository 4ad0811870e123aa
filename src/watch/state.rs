//! The episodes on disk, so that a restart neither forgets nor repeats an alert.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::detector::Subject;

/// One row for each subject that has an episode.
pub const SCHEMA: &str =
    "CREATE TABLE IF NOT EXISTS watch_state (subject TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;";

/// Writes what changed.
///
/// # Errors
/// When a statement fails.
pub fn save(connection: &Connection, changed: &[(Arc<str>, Option<Subject>)]) -> rusqlite::Result<()> {
    for (name, subject) in changed {
        match subject {
            Some(subject) => {
                let state = postcard::to_stdvec(subject)
                    .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
                connection
                    .prepare_cached("INSERT OR REPLACE INTO watch_state (subject, state) VALUES (?1, ?2)")?
                    .execute(params![&**name, state])?;
            }
            None => {
                connection.prepare_cached("DELETE FROM watch_state WHERE subject = ?1")?.execute([&**name])?;
            }
        }
    }
    Ok(())
}

/// Reads all; a row that can't be read is left out and said, since watching the others matters more.
///
/// # Errors
/// When the table can't be read.
pub fn load(connection: &Connection) -> rusqlite::Result<HashMap<Arc<str>, Subject>> {
    let mut statement = connection.prepare("SELECT subject, state FROM watch_state")?;
    let mut rows = statement.query([])?;
    let mut subjects = HashMap::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        match postcard::from_bytes(row.get_ref(1)?.as_blob().unwrap_or_default()) {
            Ok(subject) => {
                subjects.insert(name.into(), subject);
            }
            Err(error) => {
                tracing::error!(%error, "the saved state of one patient can't be read; its episodes begin anew")
            }
        }
    }
    Ok(subjects)
}
