//! A reading as a payload states it, whatever its format, before anything is checked.

use crate::vital::Vitals;

/// A reading as a payload states it, not yet validated.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Draft {
    /// The device that the payload names, if it names one.
    pub device: Option<String>,
    /// The device's own count.
    pub seq: Option<u64>,
    /// When it was measured.
    pub time: Option<Time>,
    /// The known vitals that have a value, in or out of range.
    pub vitals: Vitals,
    /// How many vitals the payload names, known or not, with a value or without.
    pub named_vitals: usize,
    /// How many of them are in no table of ours.
    pub unknown_vitals: usize,
    /// The quality, as written.
    pub quality: Option<String>,
}

/// A time as payloads write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Time {
    /// Milliseconds since the epoch.
    Millis(i64),
    /// RFC 3339 text.
    Text(String),
}
