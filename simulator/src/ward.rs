//! The demo ward: patients, the devices at their beds, and the clinicians who treat them. All of them are made up.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Deserialize;

use crate::physiology::Constitution;

/// The ward that comes with wardline, as text.
pub const DEMO: &str = include_str!("../../config/demo/ward.toml");

/// A ward.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ward {
    /// The region, part of every topic.
    pub region: String,
    /// The ward, part of every topic.
    pub ward: String,
    /// The beds in use.
    pub beds: Vec<WardBed>,
    /// Who works there.
    pub clinicians: Vec<Clinician>,
}

/// A bed, who lies in it and which device is at it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WardBed {
    /// The bed.
    pub bed: String,
    /// The device.
    pub device: String,
    /// The patient's pseudonym.
    pub patient: String,
    /// The patient's name; in the profile only.
    pub name: String,
    /// The birth date.
    pub birth_date: Date,
    /// The sex.
    pub sex: String,
    /// Known conditions; "copd" and "hypertension" shape the vitals.
    #[serde(default)]
    pub conditions: Vec<String>,
    /// Limits of this patient's own: vital, then `critical_low`, `warning_low`, `warning_high`, `critical_high`.
    #[serde(default)]
    pub limits: BTreeMap<String, BTreeMap<String, f64>>,
    /// Ids of the clinicians who treat the patient.
    pub clinicians: Vec<String>,
}

/// Somebody who works on the ward.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clinician {
    /// Identifier, and the last part of the topic of their alerts.
    pub id: String,
    /// Name, for people.
    pub name: String,
    /// "physician" or "nurse".
    pub role: String,
}

/// A ward's file can't be read.
#[derive(Debug, thiserror::Error)]
#[error("the ward can't be read")]
pub struct WardError(#[from] toml::de::Error);

impl Ward {
    /// Reads a ward from its file's text.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn from_toml(text: &str) -> Result<Self, WardError> {
        Ok(toml::from_str(text)?)
    }

    /// The ward with exactly `beds` beds: its own first, then made-up ones, whose patients are adults of 25 to 89 years.
    #[must_use]
    pub fn sized(mut self, beds: usize) -> Self {
        self.beds.truncate(beds);
        for number in self.beds.len() + 1..=beds {
            let mut random = fastrand::Rng::with_seed(number as u64);
            let birth_date =
                Date::new(random.i16(1937..=2000), random.i8(1..=12), random.i8(1..=28)).unwrap_or_default();
            let conditions = if random.f64() < 0.3 { vec!["hypertension".to_owned()] } else { Vec::new() };
            let treating = self.clinicians.get(number % self.clinicians.len().max(1));
            self.beds.push(WardBed {
                bed: number.to_string(),
                device: format!("mon-{number:04}"),
                patient: format!("p-{number:04}"),
                name: format!("Patient {number}"),
                birth_date,
                sex: if random.bool() { "female" } else { "male" }.to_owned(),
                conditions,
                limits: BTreeMap::new(),
                clinicians: treating.map(|clinician| clinician.id.clone()).into_iter().collect(),
            });
        }
        self
    }
}

impl WardBed {
    /// What the patient brings along, at a day.
    #[must_use]
    pub fn constitution(&self, today: Date) -> Constitution {
        let has = |condition: &str| self.conditions.iter().any(|known| known == condition);
        let age = f64::from(today.year()) - f64::from(self.birth_date.year());
        Constitution { age, copd: has("copd"), hypertension: has("hypertension") }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_demo_ward_grows_and_shrinks_and_every_bed_has_a_device_of_its_own() {
        let ward = Ward::from_toml(DEMO).unwrap();
        let own = ward.beds.len();
        for beds in [1, own, 500] {
            let sized = ward.clone().sized(beds);
            let devices: HashSet<_> = sized.beds.iter().map(|bed| &bed.device).collect();
            let patients: HashSet<_> = sized.beds.iter().map(|bed| &bed.patient).collect();
            assert_eq!((sized.beds.len(), devices.len(), patients.len()), (beds, beds, beds));
        }
    }

    #[test]
    fn whoever_treats_a_patient_of_the_demo_ward_works_there() {
        let ward = Ward::from_toml(DEMO).unwrap();
        let staff: HashSet<_> = ward.clinicians.iter().map(|clinician| &clinician.id).collect();
        assert!(ward.beds.iter().flat_map(|bed| &bed.clinicians).all(|id| staff.contains(id)));
    }
}
