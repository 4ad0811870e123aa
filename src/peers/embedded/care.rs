//! Who treats whom, and the life of alerts, in SQLite: [`CareGraph`] and [`AlertStore`].

use rusqlite::params;

use super::profiles::away;
use super::{Embedded, EmbeddedError};
use crate::care::{AlertRecord, AlertStore, CareGraph, PeerError, Recipient};
use crate::reading::Millis;

impl CareGraph for Embedded {
    /// Everybody of a demo ward is always on duty and listens to MQTT.
    async fn recipients(&self, patient: &str, _: &str, _: &str, _: Millis) -> Result<Vec<Recipient>, PeerError> {
        let patient = patient.to_owned();
        let found = self.run(move |connection| {
            let mut treating =
                connection.prepare_cached("SELECT clinician FROM treats WHERE patient = ?1 ORDER BY clinician")?;
            let recipients = treating.query_map([patient], |row| {
                let clinician: String = row.get(0)?;
                Ok(Recipient { address: clinician.clone(), clinician, kind: "mqtt".to_owned(), rank: 0 })
            })?;
            recipients.collect::<rusqlite::Result<_>>()
        });
        found.await.map_err(|error| away(&error))
    }
}

impl AlertStore for Embedded {
    async fn save(&self, alert: &AlertRecord) -> Result<(), PeerError> {
        let alert = alert.clone();
        let saved = self.run(move |connection| {
            connection.execute(
                "INSERT INTO alerts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                 ON CONFLICT (id) DO UPDATE SET end = coalesce(excluded.end, end), priority = excluded.priority",
                params![
                    alert.id,
                    alert.device,
                    alert.patient,
                    alert.ward,
                    alert.bed,
                    alert.condition,
                    alert.priority.name(),
                    alert.begin,
                    alert.end,
                    alert.value
                ],
            )
        });
        saved.await.map(|_| ()).map_err(|error| away(&error))
    }
}

/// An alert as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAlert {
    /// The device whose readings showed it.
    pub device: String,
    /// What is abnormal.
    pub condition: String,
    /// When the episode began.
    pub begin: Millis,
}

impl Embedded {
    /// All alerts.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn alerts(&self) -> Result<Vec<StoredAlert>, EmbeddedError> {
        self.with(|connection| {
            let mut statement = connection.prepare("SELECT device, condition, begin FROM alerts ORDER BY begin")?;
            let alerts = statement.query_map([], |row| {
                Ok(StoredAlert { device: row.get(0)?, condition: row.get(1)?, begin: row.get(2)? })
            })?;
            alerts.collect()
        })
    }

    /// How many alerts there are.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn count_alerts(&self) -> Result<u64, EmbeddedError> {
        self.with(|connection| connection.query_row("SELECT count(*) FROM alerts", [], |row| row.get(0)))
    }
}
