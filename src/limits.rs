//! Limits in force for one patient: what is abnormal for each vital.
//!
//! The defaults come from the configuration (adults); a patient's profile may override single limits. Limits are
//! frozen into each enriched reading, so that a reading is judged by what held when it was taken.

use serde::{Deserialize, Serialize};

use crate::vital::{self, Vital};

/// The limits of one vital, in its unit. A value strictly below a low or strictly above a high limit is abnormal.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Limit {
    /// Below this the patient needs somebody now.
    pub critical_low: Option<f64>,
    /// Below this somebody should look.
    pub warning_low: Option<f64>,
    /// Above this somebody should look.
    pub warning_high: Option<f64>,
    /// Above this the patient needs somebody now.
    pub critical_high: Option<f64>,
}

impl Limit {
    /// These limits with every limit that `other` sets put in its place.
    #[must_use]
    pub fn overridden_by(self, other: Self) -> Self {
        Self {
            critical_low: other.critical_low.or(self.critical_low),
            warning_low: other.warning_low.or(self.warning_low),
            warning_high: other.warning_high.or(self.warning_high),
            critical_high: other.critical_high.or(self.critical_high),
        }
    }

    /// The first pair of neighbours that are not in rising order, by name; `None` when all are.
    #[must_use]
    pub fn disorder(&self) -> Option<(&'static str, &'static str)> {
        let named = [
            ("critical_low", self.critical_low),
            ("warning_low", self.warning_low),
            ("warning_high", self.warning_high),
            ("critical_high", self.critical_high),
        ];
        let set: Vec<_> = named.iter().filter_map(|(name, value)| value.map(|value| (*name, value))).collect();
        set.windows(2).find_map(|pair| match pair {
            [(lower, low), (upper, high)] if low > high => Some((*lower, *upper)),
            _ => None,
        })
    }
}

/// The limits of every vital.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Limits([Limit; vital::COUNT]);

impl Limits {
    /// The limits of one vital.
    #[must_use]
    pub fn get(&self, vital: Vital) -> Limit {
        self.0.get(vital.index()).copied().unwrap_or_default()
    }

    /// Sets the limits of one vital.
    pub fn set(&mut self, vital: Vital, limit: Limit) {
        if let Some(slot) = self.0.get_mut(vital.index()) {
            *slot = limit;
        }
    }
}
