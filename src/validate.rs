//! From a draft to a reading, or to a rejection with its reason. Pure: the time is an argument.
//!
//! Nothing is repaired: a value out of range is not clamped, a missing one not imputed, a wrong device not renamed. An
//! invented measurement in the path of an alarm is worse than none.

use crate::config;
use crate::intake::draft::{Draft, Time};
use crate::reading::{Millis, Quality, Reading, Reason, Rejection, Source};

/// The bounds that a reading must keep.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Vitals of one reading, unknown ones included.
    pub max_vitals: usize,
    /// How far ahead of ours a device's clock may be.
    pub max_future: Millis,
    /// Age at which a reading is refused.
    pub retention: Millis,
}

impl From<&config::Intake> for Rules {
    fn from(intake: &config::Intake) -> Self {
        let millis = |duration: std::time::Duration| Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX);
        Self {
            max_vitals: intake.max_vitals,
            max_future: millis(intake.max_future),
            retention: millis(intake.retention),
        }
    }
}

/// Validates one draft that came from `source` at `received`.
///
/// # Errors
/// The first rule that the draft breaks.
pub fn validate(draft: &Draft, source: &Source, received: Millis, rules: &Rules) -> Result<Reading, Rejection> {
    if let Some(device) = draft.device.as_deref().filter(|device| *device != &*source.device) {
        return Err(Rejection::new(Reason::DeviceMismatch, format_args!("names device {:?}", clip(device))));
    }
    if draft.named_vitals > rules.max_vitals {
        let detail = format!("{} vitals, at most {} are taken", draft.named_vitals, rules.max_vitals);
        return Err(Rejection::new(Reason::TooManyVitals, detail));
    }
    let time = time(draft.time.as_ref())?;
    if time > received.saturating_add(rules.max_future) {
        let ahead = time.saturating_sub(received);
        return Err(Rejection::new(Reason::Future, format_args!("{ahead} ms ahead of our clock")));
    }
    if time < received.saturating_sub(rules.retention) {
        let age = received.saturating_sub(time) / 1000;
        return Err(Rejection::new(Reason::TooOld, format_args!("{age} s old, older than the retention")));
    }
    let quality = quality(draft.quality.as_deref())?;
    for (vital, value) in draft.vitals.iter() {
        let facts = vital.facts();
        if !(facts.low..=facts.high).contains(&value) {
            let detail = format!("{} {value} is not within {} to {} {}", facts.name, facts.low, facts.high, facts.unit);
            return Err(Rejection::new(Reason::OutOfRange, detail));
        }
    }
    if draft.vitals.is_empty() && matches!(quality, Quality::Good | Quality::Poor) {
        return Err(Rejection::new(Reason::NoVitals, "no known vital has a value"));
    }
    Ok(Reading { seq: draft.seq, time, received, vitals: draft.vitals, quality })
}

fn time(time: Option<&Time>) -> Result<Millis, Rejection> {
    match time {
        None => Err(Rejection::new(Reason::Time, "\"time\" is missing")),
        Some(Time::Millis(millis)) => Ok(*millis),
        // A text without a zone is no instant: jiff refuses it, and so do we.
        Some(Time::Text(text)) => text
            .parse::<jiff::Timestamp>()
            .map(jiff::Timestamp::as_millisecond)
            .map_err(|_| Rejection::new(Reason::Time, format_args!("{:?} is not RFC 3339 with a zone", clip(text)))),
    }
}

fn quality(text: Option<&str>) -> Result<Quality, Rejection> {
    Ok(match text {
        None | Some("good") => Quality::Good,
        Some("poor") => Quality::Poor,
        Some("lead_off") => Quality::LeadOff,
        Some("probe_off") => Quality::ProbeOff,
        Some("inoperative") => Quality::Inoperative,
        Some(other) => {
            return Err(Rejection::new(Reason::Quality, format_args!("quality {:?} is not known", clip(other))));
        }
    })
}

/// The beginning of a text from a payload, for a message to a person.
fn clip(text: &str) -> &str {
    let end = text.char_indices().nth(40).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;
    use crate::vital::{self, Vital};
    use proptest::prelude::*;

    const RULES: Rules = Rules { max_vitals: 12, max_future: 5_000, retention: 3_600_000 };
    const NOW: Millis = 1_780_000_000_000;

    fn source() -> Source {
        Source::from_topic("vitals/v1/north/icu-1/mon-1").unwrap()
    }

    fn draft(vital: Vital, value: f64) -> Draft {
        let vitals = [(vital, value)].into_iter().collect();
        Draft { time: Some(Time::Millis(NOW)), vitals, named_vitals: 1, ..Draft::default() }
    }

    fn reason(draft: &Draft) -> Option<Reason> {
        validate(draft, &source(), NOW, &RULES).err().map(|rejection| rejection.reason)
    }

    #[test]
    fn every_edge_of_every_range_is_in_and_the_next_value_is_out() {
        for vital in vital::ALL {
            let facts = vital.facts();
            assert_eq!(reason(&draft(vital, facts.low)), None, "{}", facts.name);
            assert_eq!(reason(&draft(vital, facts.high)), None, "{}", facts.name);
            assert_eq!(reason(&draft(vital, facts.low.next_down())), Some(Reason::OutOfRange), "{}", facts.name);
            assert_eq!(reason(&draft(vital, facts.high.next_up())), Some(Reason::OutOfRange), "{}", facts.name);
        }
    }

    #[test]
    fn a_heart_rate_of_zero_is_data_and_a_saturation_of_zero_is_not() {
        assert_eq!(reason(&draft(Vital::HeartRate, 0.0)), None);
        assert_eq!(reason(&draft(Vital::Spo2, 0.0)), Some(Reason::OutOfRange));
    }

    #[test]
    fn times_are_taken_from_the_retention_up_to_five_seconds_ahead() {
        let at = |millis| Draft { time: Some(Time::Millis(millis)), ..draft(Vital::Spo2, 97.0) };
        assert_eq!(reason(&at(NOW + 5_000)), None);
        assert_eq!(reason(&at(NOW + 5_001)), Some(Reason::Future));
        assert_eq!(reason(&at(NOW - 3_600_000)), None);
        assert_eq!(reason(&at(NOW - 3_600_001)), Some(Reason::TooOld));
        assert_eq!(reason(&at(i64::MIN)), Some(Reason::TooOld));
        assert_eq!(reason(&at(i64::MAX)), Some(Reason::Future));
        assert_eq!(reason(&Draft { time: None, ..draft(Vital::Spo2, 97.0) }), Some(Reason::Time));
    }

    #[test]
    fn a_text_time_needs_a_zone() {
        let at = |text: &str| Draft { time: Some(Time::Text(text.to_owned())), ..draft(Vital::Spo2, 97.0) };
        let zoned = validate(&at("2026-05-28T21:26:40.250+02:00"), &source(), NOW, &RULES).unwrap();
        assert_eq!(zoned.time, 1_779_996_400_250);
        assert_eq!(reason(&at("2026-05-28T21:26:40.250")), Some(Reason::Time));
        assert_eq!(reason(&at("yesterday")), Some(Reason::Time));
    }

    #[test]
    fn a_reading_without_values_is_refused_unless_its_quality_says_why() {
        let empty = |quality: &str| Draft {
            time: Some(Time::Millis(NOW)),
            quality: Some(quality.to_owned()),
            ..Draft::default()
        };
        assert_eq!(reason(&empty("good")), Some(Reason::NoVitals));
        assert_eq!(reason(&empty("poor")), Some(Reason::NoVitals));
        for quality in ["lead_off", "probe_off", "inoperative"] {
            assert_eq!(reason(&empty(quality)), None);
        }
        assert_eq!(reason(&empty("excellent")), Some(Reason::Quality));
    }

    #[test]
    fn a_payload_of_another_device_and_one_with_too_many_vitals_are_refused() {
        let other = Draft { device: Some("mon-2".to_owned()), ..draft(Vital::Spo2, 97.0) };
        assert_eq!(reason(&other), Some(Reason::DeviceMismatch));
        assert_eq!(reason(&Draft { named_vitals: 13, ..draft(Vital::Spo2, 97.0) }), Some(Reason::TooManyVitals));
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_stored_as_it_was_sent(value in any::<f64>(), vital in proptest::sample::select(vital::ALL.to_vec()), time in any::<i64>()) {
            let draft = Draft { time: Some(Time::Millis(time)), ..draft(vital, value) };
            if let Ok(reading) = validate(&draft, &source(), NOW, &RULES) {
                prop_assert_eq!(reading.vitals, draft.vitals);
                prop_assert_eq!(reading.time, time);
            }
        }
    }
}
