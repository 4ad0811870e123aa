//! All patients at once: which rules apply to a reading, and what each makes of the patient's episodes. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::condition::{Condition, Observation};
use super::episode::{Episode, Phase, step};
use super::{asystole, limits};
use crate::care::{AlertRecord, Priority};
use crate::config;
use crate::reading::{Context, EnrichedReading, Millis};
use crate::vital;

/// Something that people must know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The alert as it stands now.
    pub alert: AlertRecord,
    /// What happened to it.
    pub phase: Phase,
    /// When the reading that showed it was measured.
    pub at: Millis,
    /// When that reading reached us.
    pub received: Millis,
}

/// What is known of one patient, or of a device without one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// The time of the newest reading of each vital; what is not newer is not judged again.
    newest: [Millis; vital::COUNT],
    /// The episodes, most often none.
    episodes: Vec<(Condition, Episode)>,
}

impl Subject {
    fn new() -> Self {
        Self { newest: [Millis::MIN; vital::COUNT], episodes: Vec::new() }
    }

    /// Whether it need not outlive the process.
    fn is_idle(&self) -> bool {
        self.episodes.is_empty()
    }
}

/// Subjects without an episode that are remembered; beyond it they are forgotten, which costs only that a repeated
/// reading may be judged twice.
const MAX_IDLE: usize = 100_000;

/// The state of detection.
#[derive(Debug)]
pub struct Detector {
    config: config::Watch,
    live_within: Millis,
    subjects: HashMap<Arc<str>, Subject>,
    /// Subjects whose state differs from the one on disk.
    changed: HashSet<Arc<str>>,
}

impl Detector {
    /// A detector that goes on from the subjects of an earlier run.
    #[must_use]
    pub fn new(config: config::Watch, live_within: Millis, subjects: HashMap<Arc<str>, Subject>) -> Self {
        Self { config, live_within, subjects, changed: HashSet::new() }
    }

    /// Judges one reading; what people must know is appended to `events`. Gives false for a reading that comes too late for
    /// a live alert.
    ///
    /// Readings that are not newer than the last of their vital have been judged, or have been overtaken.
    pub fn observe(&mut self, enriched: &EnrichedReading, events: &mut Vec<Event>) -> bool {
        let EnrichedReading { reading, context } = enriched;
        if reading.received.saturating_sub(reading.time) > self.live_within {
            return false;
        }
        let (config, changed) = (&self.config, &mut self.changed);
        let name = context.patient.as_ref().unwrap_or(&context.device);
        if !self.subjects.contains_key(name) {
            if self.subjects.len() >= MAX_IDLE {
                self.subjects.retain(|_, subject| !subject.is_idle());
            }
            self.subjects.insert(Arc::clone(name), Subject::new());
        }
        let Some(subject) = self.subjects.get_mut(name) else { return true };
        let newest = subject.newest;
        let mut judge = |observation: Observation| {
            let vital = observation.condition.vital();
            if newest.get(vital.index()).is_none_or(|newest| reading.time <= *newest) {
                return;
            }
            let place = subject.episodes.iter().position(|(condition, _)| *condition == observation.condition);
            let before = place.and_then(|place| subject.episodes.get(place)).map(|(_, episode)| *episode);
            let step = step(before, &observation, reading.time, config);
            if before.is_none() && step.episode.is_none() {
                return;
            }
            changed.insert(Arc::clone(name));
            match (place, step.episode) {
                (Some(place), Some(now)) => {
                    if let Some((_, episode)) = subject.episodes.get_mut(place) {
                        *episode = now;
                    }
                }
                (Some(place), None) => {
                    subject.episodes.swap_remove(place);
                }
                (None, Some(now)) => subject.episodes.push((observation.condition, now)),
                (None, None) => {}
            }
            if let Some((phase, episode)) = step.event {
                let alert = record(name, context, observation.condition, &episode, phase, reading.time);
                events.push(Event { alert, phase, at: reading.time, received: reading.received });
            }
        };
        // The rules, in one list: a new one is a file and a line here.
        limits::observe(enriched, config, &mut judge);
        asystole::observe(enriched, &mut judge);
        for (vital, _) in reading.vitals.iter() {
            if let Some(newest) = subject.newest.get_mut(vital.index()) {
                *newest = (*newest).max(reading.time);
            }
        }
        true
    }

    /// The subjects that changed since the last call: their state, or `None` when it need not be kept any more.
    pub fn take_changed(&mut self) -> Vec<(Arc<str>, Option<Subject>)> {
        let changed = self.changed.drain();
        changed
            .map(|name| {
                let subject = self.subjects.get(&name).filter(|subject| !subject.is_idle()).cloned();
                (name, subject)
            })
            .collect()
    }

    /// How many episodes people know of.
    #[must_use]
    pub fn open_episodes(&self) -> usize {
        let told = |subject: &Subject| subject.episodes.iter().filter(|(_, episode)| episode.told.is_some()).count();
        self.subjects.values().map(told).sum()
    }
}

/// The alert of an episode. Its id is the same however often the readings are replayed.
fn record(
    subject: &str,
    context: &Context,
    condition: Condition,
    episode: &Episode,
    phase: Phase,
    time: Millis,
) -> AlertRecord {
    let condition = condition.name();
    AlertRecord {
        id: format!("{subject}.{condition}.{}", episode.begin),
        patient: context.patient_tag().to_owned(),
        device: context.device.to_string(),
        region: context.region.to_string(),
        ward: context.ward.to_string(),
        bed: context.bed.as_deref().map(str::to_owned),
        condition,
        priority: episode.told.unwrap_or(Priority::Low),
        begin: episode.begin,
        end: (phase == Phase::End).then_some(time),
        value: Some(episode.value),
        limit: Some(episode.limit),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed step is a failed test")]
    use super::*;
    use crate::config::Config;
    use crate::reading::{Quality, Reading};
    use crate::vital::Vital;
    use proptest::prelude::*;

    fn config() -> config::Watch {
        Config::from_text("", std::iter::empty()).unwrap().watch
    }

    fn reading(patient: &str, second: i64, vitals: &[(Vital, f64)], quality: Quality) -> EnrichedReading {
        let context = Context {
            region: "north".into(),
            ward: "icu-1".into(),
            bed: Some("3".into()),
            device: "mon-1".into(),
            patient: Some(patient.into()).filter(|_| !patient.is_empty()),
            age_band: "40-64".into(),
            limits: config().limits,
        };
        let (time, vitals) = (second * 1000, vitals.iter().copied().collect());
        let reading = Reading { seq: None, time, received: time + 40, vitals, quality };
        EnrichedReading { reading, context: Arc::new(context) }
    }

    fn detector() -> Detector {
        Detector::new(config(), 60_000, HashMap::new())
    }

    fn ids(detector: &mut Detector, readings: &[EnrichedReading]) -> Vec<String> {
        let mut events = Vec::new();
        for reading in readings {
            detector.observe(reading, &mut events);
        }
        events.iter().map(|event| format!("{} {}", event.alert.id, event.phase.name())).collect()
    }

    #[test]
    fn asystole_is_an_alert_and_a_lead_off_is_none() {
        let zero = |second, quality| reading("p-1", second, &[(Vital::HeartRate, 0.0)], quality);
        let flat: Vec<_> = (0..5).map(|second| zero(second, Quality::Good)).collect();
        assert_eq!(ids(&mut detector(), &flat), ["p-1.asystole.0 begin"]);
        for quality in [Quality::LeadOff, Quality::Inoperative, Quality::Poor] {
            let off: Vec<_> = (0..60).map(|second| zero(second, quality)).collect();
            assert!(ids(&mut detector(), &off).is_empty(), "{quality:?}");
        }
    }

    #[test]
    fn a_probe_that_is_off_hides_the_saturation_and_not_the_heart() {
        let both: Vec<_> = (0..3)
            .map(|second| reading("p-1", second, &[(Vital::Spo2, 60.0), (Vital::HeartRate, 150.0)], Quality::ProbeOff))
            .collect();
        assert_eq!(ids(&mut detector(), &both), ["p-1.heart_rate_high.0 begin"]);
    }

    #[test]
    fn late_and_repeated_and_overtaken_readings_raise_nothing() {
        let critical = |second| reading("p-1", second, &[(Vital::Spo2, 70.0)], Quality::Good);
        let mut late = critical(0);
        late.reading.received = late.reading.time + 60_001;
        assert!(ids(&mut detector(), &[late.clone(), late.clone()]).is_empty());
        assert!(!detector().observe(&late, &mut Vec::new()), "and that is said");
        assert!(ids(&mut detector(), &[critical(5), critical(5), critical(4), critical(3)]).is_empty());
        assert_eq!(ids(&mut detector(), &[critical(5), critical(5), critical(6)]), ["p-1.spo2_low.5000 begin"]);
    }

    #[test]
    fn a_device_without_a_patient_is_judged_by_the_default_limits() {
        let critical: Vec<_> =
            (0..2).map(|second| reading("", second, &[(Vital::Spo2, 70.0)], Quality::Good)).collect();
        let mut events = Vec::new();
        let mut detector = detector();
        assert!(critical.iter().all(|reading| detector.observe(reading, &mut events)));
        assert_eq!(events[0].alert.id, "mon-1.spo2_low.0");
        assert_eq!(events[0].alert.patient, "unassigned");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// A crash after any checkpoint: state is taken up as it was saved, and everything after it is read again.
        #[test]
        fn a_crash_at_any_checkpoint_repeats_or_loses_no_alert(
            values in proptest::collection::vec((0u8..3, prop_oneof![Just(70.0), Just(88.0), Just(91.0), Just(97.0)]), 1..200),
            checkpoint in any::<prop::sample::Index>(),
            crash in any::<prop::sample::Index>(),
        ) {
            let readings: Vec<_> = values
                .iter()
                .enumerate()
                .map(|(second, (patient, spo2))| reading(&format!("p-{patient}"), second as i64, &[(Vital::Spo2, *spo2)], Quality::Good))
                .collect();
            let expected = ids(&mut detector(), &readings);
            let checkpoint = checkpoint.index(readings.len());
            let crash = checkpoint + crash.index(readings.len() - checkpoint);
            let mut first = detector();
            let told = ids(&mut first, &readings[..checkpoint]);
            let saved: HashMap<_, _> = first.take_changed().into_iter().filter_map(|(name, subject)| Some((name, subject?))).collect();
            // Between checkpoint and crash nothing was told, or there would have been a checkpoint.
            let between = ids(&mut first, &readings[checkpoint..crash]);
            prop_assume!(between.is_empty());
            let mut second = Detector::new(config(), 60_000, saved);
            let after = ids(&mut second, &readings[checkpoint..]);
            prop_assert_eq!([told, after].concat(), expected);
        }
    }
}
