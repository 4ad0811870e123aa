//! Read-only connections that wait for the next query.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::JournalError;

/// How many idle connections are kept; the two consumers and one command rarely need more.
const KEPT: usize = 3;

/// Opens read-only connections as they are needed, and keeps a few.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::default() }
    }

    pub(super) fn with<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, JournalError> {
        let parked = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match parked {
            Some(connection) => connection,
            None => self.open()?,
        };
        let answer = query(&connection);
        if let (Err(error), Some(dir)) = (&answer, self.path.parent()) {
            super::quarantine::note_if_damaged(dir, error);
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(connection);
        }
        Ok(answer?)
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(
            &self.path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(Duration::from_secs(5))?;
        // Groups are read once, in order: a cache would only hold what nobody asks for again.
        connection.pragma_update(None, "cache_size", -256)?;
        Ok(connection)
    }
}
