//! The table of vitals: names, codes, units and plausible ranges.
//!
//! A vital is one kind of measurement. The table is closed: a name that is not in it is kept out of a reading and
//! counted, because a field that nobody declared would end up in the store with a unit that nobody knows.
//!
//! Ranges are for refusal only. A value outside its range is a fault of the sensor or of the transmission; it is
//! never clamped and never imputed, since either would invent a measurement in the path of an alarm. Sources: the
//! outlier bounds of MIMIC-Extract's `variable_ranges.csv`, narrowed where our own notes say so.

use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize};

/// How many vitals there are; the length of every per-vital array.
pub const COUNT: usize = 10;

/// One kind of measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Vital {
    /// Diastolic arterial pressure, mmHg.
    Diastolic,
    /// End-tidal carbon dioxide, mmHg.
    Etco2,
    /// Blood glucose, mg/dL.
    Glucose,
    /// Heart rate from the ECG, beats per minute.
    HeartRate,
    /// Mean arterial pressure, mmHg.
    MeanPressure,
    /// Pulse rate from the oximeter, beats per minute.
    PulseRate,
    /// Respiratory rate, breaths per minute.
    RespRate,
    /// Peripheral oxygen saturation, percent.
    Spo2,
    /// Systolic arterial pressure, mmHg.
    Systolic,
    /// Body temperature, degrees Celsius.
    Temperature,
}

/// What is known of a vital, beside its name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facts {
    /// The name in payloads, configuration and the store.
    pub name: &'static str,
    /// LOINC code of the observation.
    pub loinc: &'static str,
    /// UCUM unit in which values are carried.
    pub unit: &'static str,
    /// Smallest plausible value, inclusive.
    pub low: f64,
    /// Largest plausible value, inclusive.
    pub high: f64,
}

/// The vitals in the order of their names, which is the order of the fields in the store.
pub const ALL: [Vital; COUNT] = [
    Vital::Diastolic,
    Vital::Etco2,
    Vital::Glucose,
    Vital::HeartRate,
    Vital::MeanPressure,
    Vital::PulseRate,
    Vital::RespRate,
    Vital::Spo2,
    Vital::Systolic,
    Vital::Temperature,
];

/// The smallest pressure or concentration that is not "no value": these vitals are refused at zero.
const ABOVE_ZERO: f64 = f64::MIN_POSITIVE;

impl Vital {
    /// The row of the table for this vital.
    #[must_use]
    pub const fn facts(self) -> Facts {
        const fn row(name: &'static str, loinc: &'static str, unit: &'static str, low: f64, high: f64) -> Facts {
            Facts { name, loinc, unit, low, high }
        }
        match self {
            Self::Diastolic => row("diastolic", "8462-4", "mm[Hg]", ABOVE_ZERO, 375.0),
            Self::Etco2 => row("etco2", "19889-5", "mm[Hg]", 0.0, 150.0),
            Self::Glucose => row("glucose", "41653-7", "mg/dL", ABOVE_ZERO, 2200.0),
            // Zero is data: a heart rate of 0 with good quality is asystole.
            Self::HeartRate => row("heart_rate", "8867-4", "/min", 0.0, 350.0),
            Self::MeanPressure => row("mean_pressure", "8478-0", "mm[Hg]", 14.0, 330.0),
            Self::PulseRate => row("pulse_rate", "8889-8", "/min", 0.0, 350.0),
            Self::RespRate => row("resp_rate", "9279-1", "/min", 0.0, 120.0),
            Self::Spo2 => row("spo2", "59408-5", "%", ABOVE_ZERO, 100.0),
            Self::Systolic => row("systolic", "8480-6", "mm[Hg]", ABOVE_ZERO, 375.0),
            Self::Temperature => row("temperature", "8310-5", "Cel", 26.0, 45.0),
        }
    }

    /// The name in payloads, configuration and the store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// The place of this vital in [`ALL`] and in per-vital arrays.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Finds a vital by its name; `None` for a name that is not in the table.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "heart_rate" => Self::HeartRate,
            "spo2" => Self::Spo2,
            "resp_rate" => Self::RespRate,
            "systolic" => Self::Systolic,
            "diastolic" => Self::Diastolic,
            "mean_pressure" => Self::MeanPressure,
            "temperature" => Self::Temperature,
            "pulse_rate" => Self::PulseRate,
            "glucose" => Self::Glucose,
            "etco2" => Self::Etco2,
            _ => return None,
        })
    }
}

/// The values of one reading: at most one finite number for each vital.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Vitals {
    present: u16,
    values: [f64; COUNT],
}

impl Vitals {
    /// The value of a vital, in the unit of its row.
    #[must_use]
    pub fn get(&self, vital: Vital) -> Option<f64> {
        let there = self.present & (1 << vital.index()) != 0;
        self.values.get(vital.index()).copied().filter(|_| there)
    }

    /// Sets a vital; a value that is not finite is ignored, so that none can reach the store.
    pub fn set(&mut self, vital: Vital, value: f64) {
        if let Some(slot) = self.values.get_mut(vital.index()).filter(|_| value.is_finite()) {
            // `-0.0` and `0.0` are one value; keeping one of them keeps retries byte-identical.
            *slot = value + 0.0;
            self.present |= 1 << vital.index();
        }
    }

    /// How many vitals have a value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.present.count_ones() as usize
    }

    /// Whether no vital has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.present == 0
    }

    /// The vitals that have a value, in the order of [`ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Vital, f64)> + '_ {
        ALL.into_iter().filter_map(|vital| self.get(vital).map(|value| (vital, value)))
    }
}

impl FromIterator<(Vital, f64)> for Vitals {
    fn from_iter<I: IntoIterator<Item = (Vital, f64)>>(values: I) -> Self {
        let mut vitals = Self::default();
        for (vital, value) in values {
            vitals.set(vital, value);
        }
        vitals
    }
}

impl Serialize for Vitals {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(self.len()))?;
        for (vital, value) in self.iter() {
            sequence.serialize_element(&(vital.index() as u8, value))?;
        }
        sequence.end()
    }
}

impl<'de> Deserialize<'de> for Vitals {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = Vec::<(u8, f64)>::deserialize(deserializer)?;
        let mut vitals = Self::default();
        for (index, value) in pairs {
            let vital = ALL.get(usize::from(index)).ok_or_else(|| serde::de::Error::custom("unknown vital"))?;
            vitals.set(*vital, value);
        }
        Ok(vitals)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_names_and_finds_each_by_name() {
        let names: Vec<_> = ALL.iter().map(|vital| vital.name()).collect();
        assert!(names.is_sorted());
        for (index, vital) in ALL.iter().enumerate() {
            assert_eq!(Vital::from_name(vital.name()), Some(*vital));
            assert_eq!(vital.index(), index);
        }
        assert_eq!(Vital::from_name("sp02"), None);
    }

    #[test]
    fn vitals_survive_the_journal_encoding() {
        let vitals: Vitals = [(Vital::HeartRate, 0.0), (Vital::Spo2, 97.5)].into_iter().collect();
        let bytes = postcard::to_stdvec(&vitals).unwrap();
        assert_eq!(postcard::from_bytes::<Vitals>(&bytes).unwrap(), vitals);
    }

    #[test]
    fn a_value_that_is_not_finite_never_gets_in() {
        let vitals: Vitals = [(Vital::HeartRate, f64::NAN), (Vital::Spo2, f64::INFINITY)].into_iter().collect();
        assert!(vitals.is_empty());
    }
}
