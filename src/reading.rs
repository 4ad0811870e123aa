//! The types a message passes through: source, reading, context, enriched reading, rejection.
//!
//! Each stage has its own type, so that a value that skipped a stage can't reach the next: a [`Reading`] has passed
//! validation, an [`EnrichedReading`] has its context frozen and is what the journal holds.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::vital::Vitals;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// The longest identifier, in bytes.
pub const MAX_ID: usize = 64;

/// Whether a text is an identifier: ASCII `[A-Za-z0-9_-]{1,64}`. Anything else is refused, never repaired.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// Where a reading comes from, as its topic says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    /// The region, which chooses the bucket.
    pub region: Arc<str>,
    /// The ward whose network the device is on.
    pub ward: Arc<str>,
    /// The device.
    pub device: Arc<str>,
}

impl Source {
    /// Reads `vitals/v1/{region}/{ward}/{device}`; `None` for any other topic and for parts that are no identifiers.
    #[must_use]
    pub fn from_topic(topic: &str) -> Option<Self> {
        let mut parts = topic.strip_prefix("vitals/v1/")?.split('/');
        let (region, ward, device) = (parts.next()?, parts.next()?, parts.next()?);
        let whole = parts.next().is_none() && [region, ward, device].into_iter().all(is_id);
        whole.then(|| Self { region: region.into(), ward: ward.into(), device: device.into() })
    }

    /// The topic that this source publishes its readings on.
    #[must_use]
    pub fn topic(&self) -> String {
        format!("vitals/v1/{}/{}/{}", self.region, self.ward, self.device)
    }
}

/// How far a device trusts its own measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// The signal is good; also when a device says nothing.
    #[default]
    Good,
    /// The signal is weak or disturbed.
    Poor,
    /// An electrode is off: a heart rate of 0 is then not asystole.
    LeadOff,
    /// The oximeter probe is off.
    ProbeOff,
    /// The device can't measure.
    Inoperative,
}

impl Quality {
    /// The name in payloads and in the store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Poor => "poor",
            Self::LeadOff => "lead_off",
            Self::ProbeOff => "probe_off",
            Self::Inoperative => "inoperative",
        }
    }
}

/// What one device measured at one instant, decoded and validated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// The device's own count of its readings, if it keeps one.
    pub seq: Option<u64>,
    /// When it was measured, by the device's clock.
    pub time: Millis,
    /// When it reached us.
    pub received: Millis,
    /// The measured values; possibly none, when the quality says why.
    pub vitals: Vitals,
    /// The device's word on the measurement.
    pub quality: Quality,
}

/// The tag value of a reading whose device is assigned to nobody at its time.
pub const UNASSIGNED: &str = "unassigned";

/// The age band of somebody whose birth date is not known.
pub const UNKNOWN_AGE: &str = "unknown";

/// What enrichment adds to a reading. One context serves all readings of one device under one assignment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// The region of the topic.
    pub region: Arc<str>,
    /// The ward of the assignment, or of the topic when there is none.
    pub ward: Arc<str>,
    /// The bed of the assignment.
    pub bed: Option<Arc<str>>,
    /// The device.
    pub device: Arc<str>,
    /// The patient's pseudonym; `None` is stored as [`UNASSIGNED`].
    pub patient: Option<Arc<str>>,
    /// The patient's age band at the time of the reading; see `enrich`.
    pub age_band: Arc<str>,
    /// The limits in force.
    pub limits: Arc<Limits>,
}

impl Context {
    /// The patient tag: the pseudonym, or [`UNASSIGNED`].
    #[must_use]
    pub fn patient_tag(&self) -> &str {
        self.patient.as_deref().unwrap_or(UNASSIGNED)
    }
}

/// A reading with its context, as it is frozen in the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct EnrichedReading {
    /// The measurement.
    pub reading: Reading,
    /// Whose it is and what is normal for them.
    pub context: Arc<Context>,
}

/// Why a message, or an item of one, cannot be a reading. The list is closed: it labels a counter and a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The topic is not `vitals/v1/{region}/{ward}/{device}` with identifiers.
    Topic,
    /// The payload is larger than the limit.
    TooLarge,
    /// The payload is empty.
    Empty,
    /// The payload is not JSON, or not UTF-8, or nested too deep.
    Json,
    /// The JSON has none of the known shapes.
    Shape,
    /// An array holds more items than the limit.
    TooManyItems,
    /// A reading holds more vitals than the limit.
    TooManyVitals,
    /// The payload names another device than the topic.
    DeviceMismatch,
    /// The time is missing, has no zone, or is not a time.
    Time,
    /// The time is further in the future than clocks may differ.
    Future,
    /// The time is older than the retention.
    TooOld,
    /// A vital is outside its plausible range.
    OutOfRange,
    /// The quality is none of the known words.
    Quality,
    /// No vital has a value, and the quality does not say why.
    NoVitals,
    /// The store refused the reading.
    StoreRefused,
}

impl Reason {
    /// All reasons, for metrics and documentation.
    pub const ALL: [Self; 15] = [
        Self::Topic,
        Self::TooLarge,
        Self::Empty,
        Self::Json,
        Self::Shape,
        Self::TooManyItems,
        Self::TooManyVitals,
        Self::DeviceMismatch,
        Self::Time,
        Self::Future,
        Self::TooOld,
        Self::OutOfRange,
        Self::Quality,
        Self::NoVitals,
        Self::StoreRefused,
    ];

    /// The name in metrics, dead letters and documentation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::TooLarge => "too_large",
            Self::Empty => "empty",
            Self::Json => "json",
            Self::Shape => "shape",
            Self::TooManyItems => "too_many_items",
            Self::TooManyVitals => "too_many_vitals",
            Self::DeviceMismatch => "device_mismatch",
            Self::Time => "time",
            Self::Future => "future",
            Self::TooOld => "too_old",
            Self::OutOfRange => "out_of_range",
            Self::Quality => "quality",
            Self::NoVitals => "no_vitals",
            Self::StoreRefused => "store_refused",
        }
    }

    /// The place of this reason in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// A message, or an item of one, that cannot be a reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The reason, from the closed list.
    pub reason: Reason,
    /// What exactly is wrong, for a person; holds no more of the payload than a short name or number.
    pub detail: String,
}

impl Rejection {
    /// A rejection with a detail for a person.
    pub fn new(reason: Reason, detail: impl fmt::Display) -> Self {
        Self { reason, detail: detail.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_gives_its_source_and_the_source_its_topic() {
        let topic = "vitals/v1/north/icu-1/mon-0042";
        assert_eq!(Source::from_topic(topic).map(|source| source.topic()).as_deref(), Some(topic));
    }

    #[test]
    fn anything_but_the_exact_topic_is_refused() {
        for topic in
            ["vitals/v1/north/icu-1", "vitals/v1/n/w/d/x", "vitals/v2/n/w/d", "vitals/v1//w/d", "vitals/v1/n/w/d é", ""]
        {
            assert_eq!(Source::from_topic(topic), None, "{topic}");
        }
        assert!(!is_id(&"x".repeat(65)));
        assert!(is_id(&"x".repeat(64)));
    }

    #[test]
    fn every_reason_is_listed_at_its_own_index() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
    }
}
