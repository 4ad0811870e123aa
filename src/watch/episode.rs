//! One abnormal condition of one patient, from its onset to recovery. Pure: times come with the readings.
//!
//! A breach begins an episode when it has lasted for a time and a number of readings, both; a reading back inside the
//! limit in between starts it anew. An episode ends when the vital has been inside the limit by a margin for a
//! while, so that a value that dances on the limit is one alert. Its priority may rise and never falls. Sustain by
//! time and count together, because a count alone means another time for every device.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::condition::{Observation, Verdict};
use crate::care::Priority;
use crate::config::{self, Sustain};
use crate::reading::Millis;

/// Readings in a row that break a limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Run {
    since: Millis,
    samples: u32,
}

/// Where an episode stands; its absence is the normal state.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// When the first abnormal reading was measured; the episode's identity, with patient and condition.
    pub begin: Millis,
    last: Millis,
    /// Abnormal readings in a row, beyond any limit.
    abnormal: Run,
    /// Readings in a row beyond the critical limit.
    critical: Option<Run>,
    /// What people know; `None` while it has not lasted long enough.
    pub told: Option<Priority>,
    /// Since when the vital is back inside its limit by the margin.
    recovering: Option<Millis>,
    /// The value that began it, or that raised its priority.
    pub value: f64,
    /// The limit that this value broke.
    pub limit: f64,
}

/// What people must now know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// An episode began.
    Begin,
    /// Its priority rose.
    Rise,
    /// It ended.
    End,
}

impl Phase {
    /// The name in alerts and in the outbox.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Rise => "rise",
            Self::End => "end",
        }
    }
}

/// What one observation made of an episode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The episode now; `None` when there is none, or none any more.
    pub episode: Option<Episode>,
    /// What people must know, and the episode that it is about.
    pub event: Option<(Phase, Episode)>,
}

/// Takes one observation at `time` into account.
#[must_use]
pub fn step(episode: Option<Episode>, observation: &Observation, time: Millis, config: &config::Watch) -> Step {
    let (limit, is_critical) = match observation.verdict {
        Verdict::Normal { recovered } => return calm(episode, recovered, time, config),
        Verdict::Warning { limit } => (limit, false),
        Verdict::Critical { limit } => (limit, true),
    };
    let fresh = Episode {
        begin: time,
        last: time,
        abnormal: Run { since: time, samples: 0 },
        critical: None,
        told: None,
        recovering: None,
        value: observation.value,
        limit,
    };
    let mut now = episode.unwrap_or(fresh);
    if time - now.last > millis(config.gap) {
        // Nobody knows what was in between: a breach that nobody was told of starts anew, and so do its runs.
        now = if now.told.is_none() { fresh } else { now };
        now.abnormal = fresh.abnormal;
        now.critical = None;
    }
    now.last = time;
    now.recovering = None;
    now.abnormal.samples += 1;
    now.critical = is_critical.then(|| {
        let run = now.critical.unwrap_or(Run { since: time, samples: 0 });
        Run { samples: run.samples + 1, ..run }
    });
    let lasted =
        |run: Run, sustain: Sustain| run.samples >= sustain.samples && time - run.since >= millis(sustain.time);
    let wanted = if now.critical.is_some_and(|run| lasted(run, config.critical)) {
        Some(Priority::High)
    } else if lasted(now.abnormal, config.warning) {
        Some(Priority::Medium)
    } else {
        None
    };
    let phase = match (now.told, wanted) {
        (None, Some(_)) => Some(Phase::Begin),
        (Some(Priority::Medium), Some(Priority::High)) => Some(Phase::Rise),
        _ => None,
    };
    if phase.is_some() {
        now.told = wanted;
        now.value = observation.value;
        now.limit = limit;
    }
    Step { episode: Some(now), event: phase.map(|phase| (phase, now)) }
}

/// A reading that breaks no limit.
fn calm(episode: Option<Episode>, recovered: bool, time: Millis, config: &config::Watch) -> Step {
    let Some(mut now) = episode.filter(|episode| episode.told.is_some()) else {
        return Step { episode: None, event: None };
    };
    let gap = time - now.last > millis(config.gap);
    now.last = time;
    now.abnormal = Run { since: time, samples: 0 };
    now.critical = None;
    now.recovering = match now.recovering {
        _ if !recovered => None,
        Some(since) if !gap => Some(since),
        _ => Some(time),
    };
    match now.recovering {
        Some(since) if time - since >= millis(config.recovery_for) => {
            Step { episode: None, event: Some((Phase::End, now)) }
        }
        _ => Step { episode: Some(now), event: None },
    }
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;
    use crate::config::Config;
    use crate::vital::Vital;
    use crate::watch::condition::Condition;

    /// One letter for each second: n normal, r recovered, w warning, c critical; a dot is no reading.
    fn events(readings: &str) -> Vec<(usize, Phase, Option<Priority>)> {
        let config = Config::from_text("", std::iter::empty()).unwrap().watch;
        let mut episode = None;
        let mut events = Vec::new();
        for (second, letter) in readings.chars().enumerate() {
            let verdict = match letter {
                'n' => Verdict::Normal { recovered: false },
                'r' => Verdict::Normal { recovered: true },
                'w' => Verdict::Warning { limit: 120.0 },
                'c' => Verdict::Critical { limit: 131.0 },
                _ => continue,
            };
            let observation =
                Observation { condition: Condition::High(Vital::HeartRate), value: second as f64, verdict };
            let step = step(episode, &observation, second as Millis * 1000, &config);
            episode = step.episode;
            events.extend(step.event.map(|(phase, episode)| (second, phase, episode.told)));
        }
        events
    }

    const HIGH: Option<Priority> = Some(Priority::High);
    const MEDIUM: Option<Priority> = Some(Priority::Medium);

    #[test]
    fn a_warning_needs_fifteen_seconds_and_three_readings() {
        assert_eq!(events(&"w".repeat(15)), []);
        assert_eq!(events(&"w".repeat(16)), [(15, Phase::Begin, MEDIUM)]);
        assert_eq!(events("w..............w"), [], "fifteen seconds and two readings");
        assert_eq!(events("w.......w.......w"), [(16, Phase::Begin, MEDIUM)]);
    }

    #[test]
    fn one_normal_reading_starts_a_breach_anew() {
        assert_eq!(events(&format!("{}r{}", "w".repeat(14), "w".repeat(15))), []);
    }

    #[test]
    fn a_critical_value_needs_two_readings_in_a_row() {
        assert_eq!(events("cwcwcn"), []);
        assert_eq!(events("cc"), [(1, Phase::Begin, HIGH)]);
    }

    #[test]
    fn priority_rises_once_and_never_falls() {
        let readings = format!("{}cc{}", "w".repeat(16), "w".repeat(30));
        assert_eq!(events(&readings), [(15, Phase::Begin, MEDIUM), (17, Phase::Rise, HIGH)]);
    }

    #[test]
    fn an_episode_ends_after_ten_seconds_inside_the_margin() {
        assert_eq!(events("ccrrrrrrrrrrr"), [(1, Phase::Begin, HIGH), (12, Phase::End, HIGH)]);
        assert_eq!(events(&format!("cc{}", "n".repeat(60))), [(1, Phase::Begin, HIGH)], "not by the margin");
        assert_eq!(events("ccrrrrrrrrrcrrrrrrrrrr"), [(1, Phase::Begin, HIGH)], "came back in between");
    }

    #[test]
    fn a_value_that_dances_on_the_limit_is_one_alert() {
        assert_eq!(events(&format!("cc{}", "nw".repeat(100))), [(1, Phase::Begin, HIGH)]);
    }

    #[test]
    fn a_silence_starts_a_breach_anew_and_leaves_an_episode_open() {
        let gap = ".".repeat(31);
        assert_eq!(events(&format!("c{gap}c")), []);
        assert_eq!(events(&format!("cc{gap}cc")), [(1, Phase::Begin, HIGH)]);
        assert_eq!(events(&format!("ccr{gap}r")), [(1, Phase::Begin, HIGH)], "the recovery starts anew too");
    }
}
