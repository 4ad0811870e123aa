//! Readings in SQLite, as [`VitalStore`].

use rusqlite::{ToSql, params_from_iter};

use super::{Embedded, EmbeddedError};
use crate::reading::{EnrichedReading, Millis};
use crate::store::batch::Part;
use crate::store::{VitalStore, WriteError};
use crate::vital::{self, Vitals};

/// A reading as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredReading {
    /// The device.
    pub device: String,
    /// The time of the measurement.
    pub time: Millis,
    /// The vitals.
    pub vitals: Vitals,
}

/// A point with the same identity takes the new values, as InfluxDB does.
const UPSERT: &str = "INSERT INTO vitals (age_band, device, patient, region, ward, time, quality,
        diastolic, etco2, glucose, heart_rate, mean_pressure, pulse_rate, resp_rate, spo2, systolic, temperature)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
    ON CONFLICT DO UPDATE SET writes = writes + 1, quality = excluded.quality,
        diastolic = coalesce(excluded.diastolic, diastolic), etco2 = coalesce(excluded.etco2, etco2),
        glucose = coalesce(excluded.glucose, glucose), heart_rate = coalesce(excluded.heart_rate, heart_rate),
        mean_pressure = coalesce(excluded.mean_pressure, mean_pressure),
        pulse_rate = coalesce(excluded.pulse_rate, pulse_rate), resp_rate = coalesce(excluded.resp_rate, resp_rate),
        spo2 = coalesce(excluded.spo2, spo2), systolic = coalesce(excluded.systolic, systolic),
        temperature = coalesce(excluded.temperature, temperature)";

impl VitalStore for Embedded {
    async fn write(&self, part: Part<'_>) -> Result<(), WriteError> {
        let readings: Vec<EnrichedReading> = part.readings().cloned().collect();
        let written = self.run(move |connection| {
            let transaction = connection.unchecked_transaction()?;
            let mut statement = transaction.prepare_cached(UPSERT)?;
            for EnrichedReading { reading, context } in &readings {
                let quality = reading.quality.name();
                let values = vital::ALL.map(|vital| reading.vitals.get(vital));
                let patient = context.patient_tag();
                let fixed: [&dyn ToSql; 7] = [
                    &&*context.age_band,
                    &&*context.device,
                    &patient,
                    &&*context.region,
                    &&*context.ward,
                    &reading.time,
                    &quality,
                ];
                statement.execute(params_from_iter(fixed.into_iter().chain(values.iter().map(|v| v as &dyn ToSql))))?;
            }
            drop(statement);
            transaction.commit()
        });
        written.await.map_err(|error| WriteError::Retry { after: None, reason: error.to_string() })
    }
}

impl Embedded {
    /// Hands every stored reading to `each`, by device and time.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn each_reading(&self, mut each: impl FnMut(StoredReading)) -> Result<(), EmbeddedError> {
        self.with(|connection| {
            let mut statement = connection.prepare(
                "SELECT device, time, diastolic, etco2, glucose, heart_rate, mean_pressure, pulse_rate, resp_rate,
                        spo2, systolic, temperature FROM vitals ORDER BY device, time",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let mut vitals = Vitals::default();
                for (place, vital) in vital::ALL.into_iter().enumerate() {
                    if let Some(value) = row.get(place + 2)? {
                        vitals.set(vital, value);
                    }
                }
                each(StoredReading { device: row.get(0)?, time: row.get(1)?, vitals });
            }
            Ok(())
        })
    }
}
