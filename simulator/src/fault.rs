//! Faults on demand: what devices and networks do wrong, each with the outcome that it must have.

use std::str::FromStr;
use std::time::Duration;

/// What must become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Stored, once it was acknowledged.
    Stored,
    /// Refused: a dead letter, and nothing in the store.
    Refused,
}

/// How often each fault happens.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Faults {
    /// Share of messages that are no readings.
    pub malformed: f64,
    /// Share of messages that are sent twice, byte for byte.
    pub duplicate: f64,
    /// Share of readings that change places with the next one.
    pub swapped: f64,
    /// Share of readings that come two minutes late.
    pub late: f64,
    /// Share of readings whose clock is a minute ahead.
    pub ahead: f64,
    /// The most that a device's clock is ahead or behind; each device has its own, and a few seconds are no fault yet.
    pub skew: Duration,
    /// Every so often a bed is cut off for a tenth of this time, and sends all it has when it is back.
    pub outage: Option<Duration>,
    /// Every so often a connection is dropped without a word.
    pub disconnect: Option<Duration>,
}

/// A fault that is none, or a share that is no number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no fault: expected malformed=0.01, duplicate=, swapped=, late=, ahead= (shares), skew=2s, outage=60s, disconnect=60s"
)]
pub struct NoFault(String);

impl FromStr for Faults {
    type Err = NoFault;

    fn from_str(text: &str) -> Result<Self, NoFault> {
        let mut faults = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let refused = || NoFault(part.to_owned());
            let (name, value) = part.split_once('=').ok_or_else(refused)?;
            let share = || value.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(refused);
            let seconds = || {
                let seconds =
                    value.strip_suffix('s').and_then(|seconds| seconds.parse().ok()).filter(|seconds| *seconds > 0);
                seconds.map(Duration::from_secs).ok_or_else(refused)
            };
            match name {
                "malformed" => faults.malformed = share()?,
                "duplicate" => faults.duplicate = share()?,
                "swapped" => faults.swapped = share()?,
                "late" => faults.late = share()?,
                "ahead" => faults.ahead = share()?,
                // Beyond this a reading would be refused, and nobody could say what must become of it.
                "skew" => faults.skew = Some(seconds()?).filter(|skew| skew.as_secs() <= 4).ok_or_else(refused)?,
                "outage" => faults.outage = Some(seconds()?),
                "disconnect" => faults.disconnect = Some(seconds()?),
                _ => return Err(refused()),
            }
        }
        Ok(faults)
    }
}

/// Messages that are no readings; `{device}` and `{time}` are filled in.
const MALFORMED: [&str; 8] = [
    "{\"device\":\"{device}\",\"time\":{time},\"vitals\":{\"heart_rate\":72}",
    "not json at all",
    "{\"device\":\"another\",\"time\":{time},\"vitals\":{\"heart_rate\":72}}",
    "{\"device\":\"{device}\",\"vitals\":{\"heart_rate\":72}}",
    "{\"device\":\"{device}\",\"time\":\"2026-11-22T09:15:02\",\"vitals\":{\"heart_rate\":72}}",
    "{\"device\":\"{device}\",\"time\":{time},\"vitals\":{\"heart_rate\":720}}",
    "{\"device\":\"{device}\",\"time\":{time},\"vitals\":{\"heart_rate\":72},\"quality\":\"splendid\"}",
    "{\"device\":\"{device}\",\"time\":{time},\"vitals\":{}}",
];

/// One of the messages that are no readings.
#[must_use]
pub fn malformed(random: &mut fastrand::Rng, device: &str, time: i64) -> String {
    let pick = random.usize(..MALFORMED.len());
    let template = MALFORMED.get(pick).copied().unwrap_or_default();
    template.replace("{device}", device).replace("{time}", &time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_nonsense_is_named() {
        let faults: Result<Faults, _> = "malformed=0.01, outage=60s".parse();
        assert_eq!(faults, Ok(Faults { malformed: 0.01, outage: Some(Duration::from_secs(60)), ..Faults::default() }));
        for text in ["late", "late=2", "gremlins=1", "outage=60", "skew=9s"] {
            assert!(text.parse::<Faults>().is_err_and(|error| error.to_string().contains(text)), "{text}");
        }
    }
}
