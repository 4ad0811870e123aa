//! What was sent, what the broker acknowledged, and which alerts must follow: the oracle. Kept in memory while a fleet
//! runs and written as JSON, one object a line.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::values::{NAMES, Values, place};

/// Everything that one fleet has done.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ledger {
    /// The region of all devices.
    pub region: String,
    /// The ward of all devices.
    pub ward: String,
    /// Whether all that can alarm was scripted: then an alert that no episode explains is an error.
    pub scripted: bool,
    /// The devices.
    pub devices: Vec<String>,
    /// Readings that must be stored, once they are acknowledged.
    pub readings: Vec<Sent>,
    /// Messages that are no readings: how many were sent, and how many of them acknowledged.
    pub refused: Refused,
    /// The scripted episodes.
    pub episodes: Vec<Told>,
}

/// A reading that was sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sent {
    /// The place of its device in [`Ledger::devices`].
    pub device: u32,
    /// Whether the broker acknowledged it, so that it must not be lost.
    pub acknowledged: bool,
    /// Time of measurement, milliseconds since the epoch; no other reading of the device has it.
    pub time: i64,
    /// The values.
    pub values: Values,
}

/// Messages that must become dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Refused {
    /// Sent, counting each once.
    pub sent: u64,
    /// Acknowledged by the broker.
    pub acknowledged: u64,
}

/// An episode as it was played, with what must and what may be told of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The device.
    pub device: String,
    /// What was played.
    pub kind: String,
    /// The condition that must be told, once; `None` for a fault of a sensor or an episode cut short.
    pub must: Option<String>,
    /// Conditions that may be told.
    pub may: Vec<String>,
    /// First millisecond of the episode.
    pub from: i64,
    /// Last millisecond of the episode.
    pub to: i64,
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
enum Line {
    Fleet { region: String, ward: String, scripted: bool, refused: Refused },
    Reading { device: String, time: i64, acknowledged: bool, vitals: BTreeMap<String, f64> },
    Episode(Told),
}

/// A ledger's file can't be read.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It can't be opened or read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is none of a ledger's.
    #[error("line {number} is none of a ledger's: {reason}")]
    Line {
        /// The first line is 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl Ledger {
    /// How many readings are acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.readings.iter().filter(|reading| reading.acknowledged).count()
    }

    /// First and last time of measurement; `None` without readings.
    #[must_use]
    pub fn span(&self) -> Option<(i64, i64)> {
        let times = self.readings.iter().map(|reading| reading.time);
        Some((times.clone().min()?, times.max()?))
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, mut out: impl Write) -> io::Result<()> {
        let mut line = |line: &Line| -> io::Result<()> {
            serde_json::to_writer(&mut out, line)?;
            out.write_all(b"\n")
        };
        let (region, ward) = (self.region.clone(), self.ward.clone());
        line(&Line::Fleet { region, ward, scripted: self.scripted, refused: self.refused })?;
        for Sent { device, acknowledged, time, values } in &self.readings {
            let device = self.devices.get(*device as usize).cloned().unwrap_or_default();
            let named = |(place, tenths)| Some(((*NAMES.get::<usize>(place)?).to_owned(), f64::from(tenths) / 10.0));
            let vitals = values.iter().filter_map(|(place, tenths): (usize, i16)| named((place, tenths))).collect();
            line(&Line::Reading { device, time: *time, acknowledged: *acknowledged, vitals })?;
        }
        for episode in &self.episodes {
            line(&Line::Episode(episode.clone()))?;
        }
        out.flush()
    }

    /// Reads the file.
    ///
    /// # Errors
    /// When it can't be read, or is no ledger.
    pub fn read(input: impl BufRead) -> Result<Self, LedgerError> {
        let mut ledger = Self::default();
        let mut places: BTreeMap<String, u32> = BTreeMap::new();
        for (number, text) in input.lines().enumerate() {
            let refused = |reason: String| LedgerError::Line { number: number + 1, reason };
            match serde_json::from_str(&text?).map_err(|error| refused(error.to_string()))? {
                Line::Fleet { region, ward, scripted, refused } => {
                    ledger = Self { region, ward, scripted, refused, ..ledger };
                }
                Line::Reading { device, time, acknowledged, vitals } => {
                    let next = places.len() as u32;
                    let device = *places.entry(device.clone()).or_insert_with(|| {
                        ledger.devices.push(device);
                        next
                    });
                    let mut values = Values::default();
                    for (name, value) in vitals {
                        place(&name).ok_or_else(|| refused(format!("\"{name}\" is no vital")))?;
                        values.set(&name, value);
                    }
                    ledger.readings.push(Sent { device, acknowledged, time, values });
                }
                Line::Episode(episode) => ledger.episodes.push(episode),
            }
        }
        Ok(ledger)
    }

    /// Takes another fleet's part in: the same region, other devices.
    pub fn merge(&mut self, other: Self) {
        let offset = self.devices.len() as u32;
        self.devices.extend(other.devices);
        self.readings.extend(other.readings.into_iter().map(|sent| Sent { device: sent.device + offset, ..sent }));
        self.refused.sent += other.refused.sent;
        self.refused.acknowledged += other.refused.acknowledged;
        self.episodes.extend(other.episodes);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;
    use proptest::prelude::*;

    fn sent() -> impl Strategy<Value = Sent> {
        let values = proptest::collection::btree_map(0..NAMES.len(), any::<i16>(), 1..NAMES.len());
        (0u32..3, any::<bool>(), 0i64..4_000_000_000_000, values).prop_map(|(device, acknowledged, time, tenths)| {
            let mut values = Values::default();
            tenths.into_iter().for_each(|(place, tenths)| values.set_tenths(place, tenths));
            Sent { device, acknowledged, time, values }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(mut readings in proptest::collection::vec(sent(), 0..30)) {
            // A device is known by its readings; the first to come is the first in the list.
            readings.sort_by_key(|sent| sent.device);
            let mut places: Vec<u32> = readings.iter().map(|sent| sent.device).collect();
            places.dedup();
            let devices = places.iter().map(|place| format!("mon-{place}")).collect();
            for sent in &mut readings {
                sent.device = places.iter().position(|place| *place == sent.device).unwrap() as u32;
            }
            let episode = Told {
                device: "mon-0".into(), kind: "asystole".into(), must: Some("asystole".into()), may: vec![], from: 1, to: 2,
            };
            let refused = Refused { sent: 3, acknowledged: 2 };
            let ledger = Ledger {
                region: "north".into(), ward: "icu-1".into(), scripted: true, devices, readings, refused,
                episodes: vec![episode],
            };
            let mut file = Vec::new();
            ledger.write(&mut file).unwrap();
            prop_assert_eq!(Ledger::read(file.as_slice()).unwrap(), ledger);
        }
    }

    #[test]
    fn a_line_of_something_else_is_named() {
        let error = Ledger::read("{\"line\":\"fleet\"".as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with("line 1 "), "{error}");
    }
}
