//! A CSV of real vitals, published as one device's readings. Columns are found by their names: wardline's, or those of
//! the numerics of PhysioNet's BIDMC set (`Time [s], HR, PULSE, RESP, SpO2`).

use crate::values::Values;

/// The rows of a file: seconds since its first row, and the values.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// Seconds from the first row, and what was measured.
    pub rows: Vec<(f64, Values)>,
}

/// Why a file can't be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// No column of time.
    #[error("no column is called time or Time [s]: {0}")]
    NoTime(String),
    /// No column of a vital.
    #[error("no column is a vital: {0}")]
    NoVital(String),
    /// A time that is none.
    #[error("row {row}: \"{text}\" is no time in seconds")]
    Time {
        /// The first row after the names is 1.
        row: usize,
        /// What is there.
        text: String,
    },
    /// Nothing to replay.
    #[error("there is no row with a value")]
    Empty,
}

/// The vital of a column.
fn vital(column: &str) -> Option<&'static str> {
    let known = match column.to_ascii_lowercase().as_str() {
        "hr" => "heart_rate",
        "pulse" => "pulse_rate",
        "resp" => "resp_rate",
        other => other,
    }
    .to_owned();
    crate::values::NAMES.into_iter().find(|name| *name == known)
}

impl Recording {
    /// Reads a file's text. A cell that is empty or no number is no value; a row without values is left out.
    ///
    /// # Errors
    /// What the file lacks.
    pub fn from_csv(text: &str) -> Result<Self, RecordingError> {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let names: Vec<&str> = lines.next().unwrap_or_default().split(',').map(str::trim).collect();
        let is_time = |name: &&str| name.eq_ignore_ascii_case("time") || name.eq_ignore_ascii_case("time [s]");
        let time = names.iter().position(is_time).ok_or_else(|| RecordingError::NoTime(names.join(", ")))?;
        let vitals: Vec<Option<&str>> = names.iter().copied().map(vital).collect();
        if vitals.iter().all(Option::is_none) {
            return Err(RecordingError::NoVital(names.join(", ")));
        }
        let mut rows = Vec::new();
        for (number, line) in lines.enumerate() {
            let cells: Vec<&str> = line.split(',').map(str::trim).collect();
            let text = cells.get(time).copied().unwrap_or_default();
            let refused = || RecordingError::Time { row: number + 1, text: text.to_owned() };
            let seconds: f64 = text.parse().ok().filter(|seconds: &f64| seconds.is_finite()).ok_or_else(refused)?;
            let mut values = Values::default();
            for (vital, cell) in vitals.iter().zip(&cells) {
                if let (Some(vital), Some(value)) = (vital, cell.parse::<f64>().ok().filter(|value| value.is_finite()))
                {
                    values.set(vital, value);
                }
            }
            if !values.is_empty() {
                rows.push((seconds, values));
            }
        }
        let first = rows.first().map(|(seconds, _)| *seconds).ok_or(RecordingError::Empty)?;
        rows.iter_mut().for_each(|(seconds, _)| *seconds -= first);
        rows.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        Ok(Self { rows })
    }

    /// What was measured last at a time in seconds from the first row; `None` when the recording is over.
    #[must_use]
    pub fn at(&self, clock: f64) -> Option<Values> {
        let next = self.rows.partition_point(|(seconds, _)| *seconds <= clock);
        let last = self.rows.last().is_none_or(|(seconds, _)| clock >= *seconds + 1.0);
        self.rows.get(next.saturating_sub(1)).filter(|_| !last).map(|(_, values)| *values)
    }

    /// Seconds from the first row to the last.
    #[must_use]
    pub fn length(&self) -> f64 {
        self.rows.last().map_or(0.0, |(seconds, _)| *seconds)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed step is a failed test")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_recording_of_bidmc_and_one_of_our_own_are_read() {
        let bidmc = "Time [s], HR, PULSE, RESP, SpO2\n0,94,93,25,97\n1,94,93,25,NaN\n2,,,,\n";
        let recording = Recording::from_csv(bidmc).unwrap();
        assert_eq!(recording.rows.len(), 2);
        assert_eq!(recording.rows[0].1.get("pulse_rate"), Some(93.0));
        assert_eq!(recording.rows[1].1.get("spo2"), None);
        let own = Recording::from_csv("time,heart_rate,temperature\n10,72,36.6\n11.5,73,36.7").unwrap();
        assert_eq!(own.rows[1].0, 1.5);
        assert_eq!(own.rows[1].1.get("temperature"), Some(36.7));
        assert_eq!(own.at(1.0).unwrap().get("heart_rate"), Some(72.0));
        assert_eq!(own.at(1.5).unwrap().get("heart_rate"), Some(73.0));
        assert_eq!((own.at(2.6), own.length()), (None, 1.5));
    }

    #[test]
    fn what_a_file_lacks_is_said() {
        assert!(matches!(Recording::from_csv("HR\n70"), Err(RecordingError::NoTime(_))));
        assert!(matches!(Recording::from_csv("time,mood\n0,good"), Err(RecordingError::NoVital(_))));
        assert!(matches!(Recording::from_csv("time,hr\nnoon,70"), Err(RecordingError::Time { row: 1, .. })));
        assert_eq!(Recording::from_csv("time,hr\n0,"), Err(RecordingError::Empty));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ -~\n]{0,300}") {
            let _recording = Recording::from_csv(&text);
        }
    }
}
