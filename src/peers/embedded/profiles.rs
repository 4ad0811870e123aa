//! Profiles and assignments in SQLite, as [`ProfileStore`].

use rusqlite::{Connection, Row, params};

use super::Embedded;
use crate::care::PeerError;
use crate::enrich::records::{AssignmentRecord, PatientRecord, ProfileStore, Records};
use crate::limits::Limit;
use crate::reading::Millis;
use crate::vital::Vital;

/// A ward to begin with: who lies where, and who treats them.
#[derive(Debug, Clone, Default)]
pub struct Ward {
    /// The patients.
    pub patients: Vec<PatientRecord>,
    /// Which device is at whose bed.
    pub assignments: Vec<AssignmentRecord>,
    /// The clinicians.
    pub clinicians: Vec<Clinician>,
}

/// Somebody who treats patients.
#[derive(Debug, Clone)]
pub struct Clinician {
    /// Identifier, also the last part of the topic of their alerts.
    pub id: String,
    /// Name, for the screen.
    pub name: String,
    /// Pseudonyms of the patients they treat.
    pub treats: Vec<String>,
}

impl Embedded {
    /// Puts a ward in, over what is there.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn admit(&self, ward: &Ward) -> Result<(), super::EmbeddedError> {
        self.with(|connection| {
            let transaction = connection.unchecked_transaction()?;
            for patient in &ward.patients {
                let limits = serde_json::to_string(&patient.limits).unwrap_or_default();
                let birth_date = patient.birth_date.map(|date| date.to_string());
                transaction.execute(
                    "INSERT OR REPLACE INTO patients VALUES (?1, ?2, ?3)",
                    params![patient.id, birth_date, limits],
                )?;
            }
            for assignment in &ward.assignments {
                let AssignmentRecord { id, device, patient, ward, bed, since, until } = assignment;
                transaction.execute(
                    "INSERT OR REPLACE INTO assignments VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![id, device, patient, ward, bed, since, until],
                )?;
            }
            for clinician in &ward.clinicians {
                transaction.execute(
                    "INSERT OR REPLACE INTO clinicians VALUES (?1, ?2)",
                    params![clinician.id, clinician.name],
                )?;
                for patient in &clinician.treats {
                    transaction
                        .execute("INSERT OR IGNORE INTO treats VALUES (?1, ?2)", params![clinician.id, patient])?;
                }
            }
            transaction.commit()
        })
    }
}

impl ProfileStore for Embedded {
    async fn check(&self) -> Result<(), PeerError> {
        Ok(())
    }

    async fn load_all(&self, ended_from: Millis) -> Result<Records, PeerError> {
        let all = self.run(move |connection| {
            records(connection, "until IS NULL OR until >= ?1", &[&ended_from as &dyn rusqlite::ToSql])
        });
        all.await.map_err(|error| away(&error))
    }

    /// Nothing changes while a demo runs.
    async fn changed_since(&self, _: Millis) -> Result<Records, PeerError> {
        Ok(Records::default())
    }

    async fn find_devices(&self, devices: &[&str]) -> Result<Records, PeerError> {
        let devices = serde_json::to_string(devices).unwrap_or_default();
        let found = self.run(move |connection| {
            records(connection, "device IN (SELECT value FROM json_each(?1))", &[&devices as &dyn rusqlite::ToSql])
        });
        found.await.map_err(|error| away(&error))
    }
}

/// What the stages hear when the file can't be read.
pub(super) fn away(error: &super::EmbeddedError) -> PeerError {
    PeerError { peer: "embedded", message: error.to_string(), retry: true }
}

/// The assignments of a condition (a constant of ours), and all patients: a demo has few.
fn records(connection: &Connection, condition: &str, values: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<Records> {
    let sql = format!("SELECT id, device, patient, ward, bed, since, until FROM assignments WHERE {condition}");
    let mut assignments = connection.prepare_cached(&sql)?;
    let assignments = assignments.query_map(values, assignment)?.collect::<rusqlite::Result<_>>()?;
    let mut patients = connection.prepare_cached("SELECT id, birth_date, limits FROM patients")?;
    let patients = patients.query_map([], patient)?.collect::<rusqlite::Result<_>>()?;
    Ok(Records { assignments, patients, unreadable: Vec::new() })
}

fn assignment(row: &Row<'_>) -> rusqlite::Result<AssignmentRecord> {
    Ok(AssignmentRecord {
        id: row.get(0)?,
        device: row.get(1)?,
        patient: row.get(2)?,
        ward: row.get(3)?,
        bed: row.get(4)?,
        since: row.get(5)?,
        until: row.get(6)?,
    })
}

fn patient(row: &Row<'_>) -> rusqlite::Result<PatientRecord> {
    let birth_date: Option<String> = row.get(1)?;
    let limits: Vec<(Vital, Limit)> = serde_json::from_str(&row.get::<_, String>(2)?).unwrap_or_default();
    Ok(PatientRecord { id: row.get(0)?, birth_date: birth_date.and_then(|date| date.parse().ok()), limits })
}
