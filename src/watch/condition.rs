//! What may be abnormal: the closed list of conditions, and what a rule says of one.

use serde::{Deserialize, Serialize};

use crate::vital::Vital;

/// An abnormal condition of a patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Condition {
    /// A vital below its limit.
    Low(Vital),
    /// A vital above its limit.
    High(Vital),
    /// A heart rate of 0 with a good signal.
    Asystole,
}

impl Condition {
    /// The name in alerts: `spo2_low`, `heart_rate_high`, `asystole`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Low(vital) => format!("{}_low", vital.name()),
            Self::High(vital) => format!("{}_high", vital.name()),
            Self::Asystole => "asystole".to_owned(),
        }
    }

    /// The vital that it is about.
    #[must_use]
    pub const fn vital(self) -> Vital {
        match self {
            Self::Low(vital) | Self::High(vital) => vital,
            Self::Asystole => Vital::HeartRate,
        }
    }
}

/// What a rule says of one condition after one reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// Not abnormal; `recovered` when it is far enough inside the limit to end an episode.
    Normal {
        /// Inside the limit by the margin.
        recovered: bool,
    },
    /// Somebody should look.
    Warning {
        /// The broken limit.
        limit: f64,
    },
    /// Somebody is needed now.
    Critical {
        /// The broken limit.
        limit: f64,
    },
}

/// One rule's word on one condition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// The condition.
    pub condition: Condition,
    /// The value, in the unit of the vital.
    pub value: f64,
    /// The word.
    pub verdict: Verdict,
}
