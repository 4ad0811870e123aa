//! The rule of asystole: a heart rate of 0 with a good signal. With a lead off, 0 says nothing.

use super::condition::{Condition, Observation, Verdict};
use crate::reading::{EnrichedReading, Quality};
use crate::vital::Vital;

/// Says whether the heart stands still, when the signal is good enough to say anything.
pub fn observe(enriched: &EnrichedReading, each: &mut impl FnMut(Observation)) {
    if enriched.reading.quality != Quality::Good {
        return;
    }
    if let Some(value) = enriched.reading.vitals.get(Vital::HeartRate) {
        let verdict = if value == 0.0 { Verdict::Critical { limit: 0.0 } } else { Verdict::Normal { recovered: true } };
        each(Observation { condition: Condition::Asystole, value, verdict });
    }
}
