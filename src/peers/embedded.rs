//! Everything around the pipeline in this process, for `wardline demo`: a broker, and one SQLite file in the place of
//! InfluxDB, MongoDB and Neo4j. The adapters have the same shape as the real ones, so the pipeline can't tell.

pub mod broker;
mod care;
mod profiles;
mod vitals;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

pub use self::care::StoredAlert;
pub use self::profiles::{Clinician, Ward};
pub use self::vitals::StoredReading;

/// The tables of all adapters.
const SCHEMA: &str = concat!(
    "CREATE TABLE IF NOT EXISTS vitals (
        age_band TEXT, device TEXT, patient TEXT, region TEXT, ward TEXT, time INTEGER,
        diastolic REAL, etco2 REAL, glucose REAL, heart_rate REAL, mean_pressure REAL, pulse_rate REAL, resp_rate REAL,
        spo2 REAL, systolic REAL, temperature REAL, quality TEXT, writes INTEGER NOT NULL DEFAULT 1,
        PRIMARY KEY (device, time, patient, region, ward, age_band)
    ) WITHOUT ROWID;",
    "CREATE TABLE IF NOT EXISTS patients (id TEXT PRIMARY KEY, birth_date TEXT, limits TEXT NOT NULL) WITHOUT ROWID;",
    "CREATE TABLE IF NOT EXISTS assignments (
        id TEXT PRIMARY KEY, device TEXT NOT NULL, patient TEXT NOT NULL, ward TEXT NOT NULL, bed TEXT,
        since INTEGER NOT NULL, until INTEGER
    ) WITHOUT ROWID;",
    "CREATE TABLE IF NOT EXISTS clinicians (id TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;",
    "CREATE TABLE IF NOT EXISTS treats (clinician TEXT, patient TEXT, PRIMARY KEY (patient, clinician)) WITHOUT ROWID;",
    "CREATE TABLE IF NOT EXISTS alerts (
        id TEXT PRIMARY KEY, device TEXT, patient TEXT, ward TEXT, bed TEXT, condition TEXT, priority TEXT,
        begin INTEGER, end INTEGER, value REAL
    ) WITHOUT ROWID;",
);

/// One SQLite file that stands for three databases.
#[derive(Debug, Clone)]
pub struct Embedded {
    connection: Arc<Mutex<Connection>>,
}

/// The file of the embedded stores could not be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("embedded store: {0}")]
pub struct EmbeddedError(String);

impl From<rusqlite::Error> for EmbeddedError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

impl Embedded {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// When it can't be used.
    pub fn open(path: &Path) -> Result<Self, EmbeddedError> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // The journal in front of it holds everything until the write is done; a demo's store may lose its last moments
        // with the machine.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    /// Runs `work` on the connection, off the threads of the async runtime.
    async fn run<T, F>(&self, work: F) -> Result<T, EmbeddedError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let this = self.clone();
        let done = tokio::task::spawn_blocking(move || this.with(work)).await;
        done.map_err(|error| EmbeddedError(error.to_string()))?
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, EmbeddedError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(work(&connection)?)
    }
}
