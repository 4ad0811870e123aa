//! The rule of limits: each vital against the warning and critical limits that were in force when it was measured.

use super::condition::{Condition, Observation, Verdict};
use super::trusted;
use crate::config;
use crate::reading::EnrichedReading;
use crate::vital::Vital;

/// Says for each trusted vital whether it is below or above its limits.
pub fn observe(enriched: &EnrichedReading, config: &config::Watch, each: &mut impl FnMut(Observation)) {
    for (vital, value) in enriched.reading.vitals.iter() {
        // A heart rate of 0 is the asystole rule's: one condition, one alert.
        if !trusted(vital, enriched.reading.quality) || (vital == Vital::HeartRate && value == 0.0) {
            continue;
        }
        let limit = enriched.context.limits.get(vital);
        let margin = config.margins.get(vital.index()).copied().unwrap_or_default();
        let low =
            verdict(limit.warning_low, limit.critical_low, |bound| value < bound, |bound| value >= bound + margin);
        let high =
            verdict(limit.warning_high, limit.critical_high, |bound| value > bound, |bound| value <= bound - margin);
        if let Some(verdict) = low {
            each(Observation { condition: Condition::Low(vital), value, verdict });
        }
        if let Some(verdict) = high {
            each(Observation { condition: Condition::High(vital), value, verdict });
        }
    }
}

/// `None` where no limit is set.
fn verdict(
    warning: Option<f64>,
    critical: Option<f64>,
    broken: impl Fn(f64) -> bool,
    inside: impl Fn(f64) -> bool,
) -> Option<Verdict> {
    let outer = warning.or(critical)?;
    Some(match (critical.filter(|bound| broken(*bound)), broken(outer)) {
        (Some(limit), _) => Verdict::Critical { limit },
        (None, true) => Verdict::Warning { limit: outer },
        (None, false) => Verdict::Normal { recovered: inside(outer) },
    })
}
