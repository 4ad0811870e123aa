//! One bed: a patient, the device beside them, and the faults of that device. Makes messages; sends nothing.

use std::sync::Arc;

use crate::episode::{Kind, Script};
use crate::fault::{self, Faults, Outcome};
use crate::ledger::Told;
use crate::payload::{self, TimeFormat};
use crate::physiology::{Body, Constitution};
use crate::replay::Recording;
use crate::values::Values;

/// What shapes a bed.
#[derive(Debug, Clone)]
pub struct BedOptions {
    /// The device.
    pub device: String,
    /// The region, part of the topic.
    pub region: String,
    /// The ward, part of the topic.
    pub ward: String,
    /// The number of the bed in its fleet.
    pub number: usize,
    /// Where the vitals come from.
    pub source: Source,
    /// Seconds between two readings.
    pub period: f64,
    /// What befalls the patient.
    pub script: Arc<Script>,
    /// What the device does wrong.
    pub faults: Faults,
    /// The same seed gives the same life and the same faults.
    pub seed: u64,
}

/// Where a bed's vitals come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A body with this constitution.
    Body(Constitution),
    /// A recording of real vitals; the bed falls silent when it is over.
    Recording(Arc<Recording>),
}

/// What gives the next values.
#[derive(Debug)]
enum Vitals {
    Body(Box<Body>),
    Recording(Arc<Recording>),
}

/// A message to be published with QoS 1.
#[derive(Debug, Clone)]
pub struct Message {
    /// The topic.
    pub topic: Arc<str>,
    /// The payload.
    pub payload: String,
    /// What must become of it.
    pub outcome: Outcome,
    /// Time of measurement, milliseconds since the epoch.
    pub time: i64,
    /// The values.
    pub values: Values,
    /// Whether it is sent twice.
    pub twice: bool,
}

/// A bed in its life.
#[derive(Debug)]
pub struct Bed {
    options: BedOptions,
    topic: Arc<str>,
    vitals: Vitals,
    random: fastrand::Rng,
    seq: u64,
    /// Milliseconds that the device's clock is ahead of ours; negative when behind.
    skew: i64,
    /// Seconds of the patient's life so far.
    clock: f64,
    /// The last time of a reading on time, and of one that is late; no two readings of a device share a time.
    last: i64,
    last_late: i64,
    /// Changes places with the next.
    held: Option<Message>,
    /// The episodes that were played, with their end in seconds of the bed's clock.
    played: Vec<(f64, Told)>,
}

/// How late a late reading is, milliseconds: stored, and too old for a live alert.
const LATE: i64 = 120_000;

/// How far ahead a clock that is wrong runs, milliseconds: refused.
const AHEAD: i64 = 60_000;

impl Bed {
    /// A bed before its first reading.
    #[must_use]
    pub fn new(options: BedOptions) -> Self {
        let BedOptions { device, region, ward, .. } = &options;
        let topic = format!("vitals/v1/{region}/{ward}/{device}").into();
        let mut random = fastrand::Rng::with_seed(options.seed);
        let vitals = match &options.source {
            Source::Body(constitution) => Vitals::Body(Box::new(Body::new(*constitution, random.u64(..)))),
            Source::Recording(recording) => Vitals::Recording(Arc::clone(recording)),
        };
        let most = i64::try_from(options.faults.skew.as_millis()).unwrap_or(0);
        let skew = random.i64(-most..=most);
        Self {
            options,
            topic,
            vitals,
            random,
            seq: 0,
            skew,
            clock: 0.0,
            last: 0,
            last_late: 0,
            held: None,
            played: Vec::new(),
        }
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.options.device
    }

    /// The topic of its presence.
    #[must_use]
    pub fn presence(&self) -> String {
        let BedOptions { device, region, ward, .. } = &self.options;
        format!("presence/v1/{region}/{ward}/{device}")
    }

    /// Whether its readings are so many that their times have run ahead of the clock, and it has to pause.
    #[must_use]
    pub fn must_pause(&self, now: i64) -> bool {
        self.last > now + 1000
    }

    /// Seconds between two readings.
    #[must_use]
    pub fn period(&self) -> f64 {
        self.options.period
    }

    /// Lives on for one period up to `now`, milliseconds since the epoch, and appends what the device sends.
    pub fn measure(&mut self, now: i64, out: &mut Vec<Message>) {
        self.clock += self.options.period;
        let episode = self.options.script.at(self.options.number, self.clock);
        let current = episode.filter(|episode| episode.is_on(self.clock));
        if let Some(episode) = current {
            self.play(now, episode.kind, episode.start + episode.length);
        }
        let strain = current.map(|episode| episode.strain(self.clock)).unwrap_or_default();
        let mut values = match &mut self.vitals {
            Vitals::Body(body) => body.live(self.options.period, &strain),
            Vitals::Recording(recording) => match recording.at(self.clock - self.options.period) {
                Some(values) => values,
                None => return,
            },
        };
        let mut quality = "good";
        if let Some(episode) = current {
            quality = episode.kind.quality();
            if episode.kind == Kind::ProbeOff {
                // What an oximeter shows that lies on the blanket: a number, and not the patient's.
                values.set("spo2", 52.0);
            }
        }
        self.send(now, values, quality, out);
    }

    /// What is left when the device stops.
    pub fn finish(&mut self, out: &mut Vec<Message>) {
        out.extend(self.held.take());
    }

    /// The episodes so far. One that was cut short may be told, but need not.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        let all = self.played.iter().map(|(end, told)| {
            let whole = self.clock >= *end;
            let mut told = told.clone();
            if !whole {
                told.may.extend(told.must.take());
            }
            told
        });
        all.collect()
    }

    /// Notes an episode when it begins, and how far it has come.
    fn play(&mut self, now: i64, kind: Kind, end: f64) {
        match self.played.last_mut() {
            Some((last, told)) if *last == end => told.to = now,
            _ => {
                let may = kind.possible().iter().map(|name| (*name).to_owned()).collect();
                let must = kind.expected().map(str::to_owned);
                let device = self.options.device.clone();
                self.played.push((end, Told { device, kind: kind.name().to_owned(), must, may, from: now, to: now }));
            }
        }
    }

    /// Writes one reading down, with the faults of the device.
    fn send(&mut self, now: i64, values: Values, quality: &str, out: &mut Vec<Message>) {
        let Faults { malformed, duplicate, swapped, late, ahead, .. } = self.options.faults;
        let mut chance = |share: f64| share > 0.0 && self.random.f64() < share;
        let (malformed, twice, swapped, late, ahead) =
            (chance(malformed), chance(duplicate), chance(swapped), chance(late), chance(ahead));
        // Readings on time have even milliseconds and all others odd ones, so that they never meet.
        let time = if late {
            self.last_late = ((now - LATE) | 1).max(self.last_late + 2);
            self.last_late
        } else if ahead {
            (now + AHEAD) | 1
        } else {
            self.last = ((now + self.skew) & !1).max(self.last + 2);
            self.last
        };
        self.seq += 1;
        let format = if self.options.number.is_multiple_of(2) { TimeFormat::Text } else { TimeFormat::Millis };
        let device = &self.options.device;
        let (payload, outcome) = if malformed {
            (fault::malformed(&mut self.random, device, time), Outcome::Refused)
        } else {
            let outcome = if ahead && !late { Outcome::Refused } else { Outcome::Stored };
            (payload::json(device, self.seq, time, format, &values, quality), outcome)
        };
        let message = Message { topic: Arc::clone(&self.topic), payload, outcome, time, values, twice };
        match self.held.take() {
            Some(held) => out.extend([message, held]),
            None if swapped => self.held = Some(message),
            None => out.push(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn bed(faults: Faults, script: Script) -> Bed {
        let constitution = Constitution { age: 50.0, copd: false, hypertension: false };
        let (region, ward) = ("north".to_owned(), "icu-1".to_owned());
        let script = Arc::new(script);
        Bed::new(BedOptions {
            device: "mon-1".to_owned(),
            region,
            ward,
            number: 0,
            source: Source::Body(constitution),
            period: 1.0,
            script,
            faults,
            seed: 5,
        })
    }

    fn run(bed: &mut Bed, seconds: i64) -> Vec<Message> {
        let mut out = Vec::new();
        (0..seconds).for_each(|second| bed.measure(1_000_000 + second * 1000, &mut out));
        bed.finish(&mut out);
        out
    }

    #[test]
    fn no_two_readings_share_a_time_whatever_goes_wrong() {
        let faults =
            Faults { malformed: 0.1, duplicate: 0.1, swapped: 0.3, late: 0.3, ahead: 0.1, ..Faults::default() };
        let mut bed = bed(faults, Script::healthy());
        let messages = run(&mut bed, 2000);
        assert_eq!(messages.len(), 2000);
        let stored = messages.iter().filter(|message| message.outcome == Outcome::Stored);
        let times: Vec<_> = stored.map(|message| message.time).collect();
        assert_eq!(times.iter().collect::<HashSet<_>>().len(), times.len());
        assert!(times.windows(2).any(|pair| matches!(pair, [first, second] if first > second)), "some are swapped");
    }

    #[test]
    fn a_whole_episode_must_be_told_and_one_cut_short_may_be() {
        let script = Script { kinds: vec![Kind::Tachycardia], first: 5.0, length: 20.0, every: 100.0 };
        let mut cut = bed(Faults::default(), script.clone());
        run(&mut cut, 12);
        let told = cut.told();
        assert!(
            matches!(told.as_slice(), [one] if one.must.is_none() && one.may.contains(&"heart_rate_high".to_owned()))
        );
        let mut whole = bed(Faults::default(), script);
        run(&mut whole, 40);
        let told = whole.told();
        assert!(matches!(told.as_slice(), [one] if one.must.as_deref() == Some("heart_rate_high")), "{told:?}");
        assert!(told.iter().all(|one| one.to - one.from >= 18_000));
    }
}
