//! One patient's body: beat-to-beat variability, breathing that moves the heart, a slow drift, the hour of the day, and
//! vitals that move together. State is floating point throughout; a monitor rounds only what it shows, since rounding
//! the state of such a model makes it drift away.
//!
//! The numbers are plausible, not clinical: baselines fall and rise with age and condition, respiratory sinus arrhythmia
//! is a few beats, fever raises the heart rate by about 8 beats per degree, and falling oxygen raises it too.

use std::f64::consts::TAU;

use crate::episode::Strain;
use crate::values::Values;

/// What a patient brings along.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Constitution {
    /// Years.
    pub age: f64,
    /// Chronic lung disease: lower oxygen, faster breathing.
    pub copd: bool,
    /// High blood pressure.
    pub hypertension: bool,
}

/// The state of one body.
#[derive(Debug, Clone)]
pub struct Body {
    random: fastrand::Rng,
    base: Base,
    /// Seconds since the start.
    clock: f64,
    /// Where in the breath, 0 to 1.
    breath: f64,
    /// Slow drifts around the baseline, in units of their vital.
    heart_drift: f64,
    oxygen_drift: f64,
    pressure_drift: f64,
    warmth_drift: f64,
    /// The average interval between beats as a monitor shows it, seconds.
    interval: f64,
}

#[derive(Debug, Clone, Copy)]
struct Base {
    heart: f64,
    breaths: f64,
    oxygen: f64,
    systolic: f64,
    warmth: f64,
}

/// Seconds of a day.
const DAY: f64 = 86_400.0;

impl Body {
    /// A body at rest; the same seed gives the same life.
    #[must_use]
    pub fn new(constitution: Constitution, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let spread = |random: &mut fastrand::Rng, width: f64| (random.f64() - 0.5) * width;
        let Constitution { age, copd, hypertension } = constitution;
        let heart = if age < 1.0 {
            130.0
        } else if age < 12.0 {
            95.0
        } else {
            74.0
        } + spread(&mut random, 12.0);
        let breaths = if age < 1.0 {
            38.0
        } else if copd {
            19.0
        } else {
            15.0
        } + spread(&mut random, 3.0);
        let oxygen = if copd { 93.5 } else { 97.3 } + spread(&mut random, 1.0);
        let systolic = if hypertension { 142.0 } else { 118.0 } + spread(&mut random, 14.0);
        let warmth = 36.8 + spread(&mut random, 0.5);
        let base = Base { heart, breaths, oxygen, systolic, warmth };
        let (breath, interval) = (random.f64(), 60.0 / heart);
        let (heart_drift, oxygen_drift, pressure_drift, warmth_drift) = (0.0, 0.0, 0.0, 0.0);
        Self { random, base, clock: 0.0, breath, heart_drift, oxygen_drift, pressure_drift, warmth_drift, interval }
    }

    /// Lives on for some seconds under a strain and says what a monitor then shows.
    pub fn live(&mut self, seconds: f64, strain: &Strain) -> Values {
        self.clock += seconds;
        let noise = |random: &mut fastrand::Rng| (0..4).map(|_| random.f64() - 0.5).sum::<f64>();
        // Drifts are pulled back to the baseline within minutes, so that a healthy patient never reaches a limit.
        let pull = (-seconds / 120.0).exp();
        let push = (1.0 - pull * pull).sqrt();
        self.heart_drift = self.heart_drift * pull + 3.0 * push * noise(&mut self.random);
        self.oxygen_drift = self.oxygen_drift * pull + 0.4 * push * noise(&mut self.random);
        self.pressure_drift = self.pressure_drift * pull + 4.0 * push * noise(&mut self.random);
        self.warmth_drift = self.warmth_drift * pull + 0.05 * push * noise(&mut self.random);
        // Warmest and fastest in the afternoon.
        let day = (TAU * (self.clock / DAY)).sin();
        let warmth = self.base.warmth + 0.25 * day + self.warmth_drift + strain.warmth;
        let oxygen = (self.base.oxygen + self.oxygen_drift + strain.oxygen).clamp(40.0, 100.0);
        let breaths = (self.base.breaths + strain.breaths + 1.5 * (warmth - 37.2).max(0.0)).clamp(2.0, 60.0);
        let mean = self.base.heart
            + 3.0 * day
            + self.heart_drift
            + 8.0 * (warmth - 37.2).max(0.0)
            + 0.5 * (92.0 - oxygen).clamp(0.0, 10.0)
            + strain.heart;
        self.beat(seconds, mean.clamp(20.0, 230.0), breaths);
        let systolic = self.base.systolic + 3.0 * day + self.pressure_drift + strain.systolic;
        let mut values = Values::default();
        let heart = if strain.standstill { 0.0 } else { (60.0 / self.interval).round() };
        values.set("heart_rate", heart);
        values.set("resp_rate", breaths.round());
        values.set("spo2", (oxygen * 2.0).round() / 2.0);
        values.set("temperature", warmth);
        values.set("systolic", systolic.round());
        values.set("diastolic", (systolic * 0.62).round());
        values.set("mean_pressure", (systolic * 0.747).round());
        values
    }

    /// Beats for some seconds: each interval is moved by the breath and by chance; a monitor shows a running average.
    fn beat(&mut self, seconds: f64, mean: f64, breaths: f64) {
        let mut left = seconds.min(10.0);
        while left > 0.0 {
            let arrhythmia = 0.03 * (TAU * self.breath).sin();
            let chance = 0.015 * (self.random.f64() - 0.5);
            let interval = 60.0 / mean * (1.0 + arrhythmia + chance);
            self.breath = (self.breath + interval * breaths / 60.0).fract();
            self.interval += (interval - self.interval) * 0.35;
            left -= interval;
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;

    const ADULT: Constitution = Constitution { age: 60.0, copd: false, hypertension: false };

    #[test]
    fn a_healthy_day_stays_inside_the_limits_and_is_not_flat() {
        for seed in 0..20 {
            let mut body = Body::new(ADULT, seed);
            let mut hearts = std::collections::BTreeSet::new();
            for _ in 0..20_000 {
                let values = body.live(4.0, &Strain::default());
                let (heart, oxygen) = (values.get("heart_rate").unwrap(), values.get("spo2").unwrap());
                assert!((51.0..119.0).contains(&heart), "heart {heart}, seed {seed}");
                assert!((91.0..=100.0).contains(&oxygen), "oxygen {oxygen}, seed {seed}");
                assert!((35.5..38.2).contains(&values.get("temperature").unwrap()), "seed {seed}");
                assert!((92.0..178.0).contains(&values.get("systolic").unwrap()), "seed {seed}");
                hearts.insert(heart as i64);
            }
            assert!(hearts.len() > 8, "seed {seed}");
        }
    }

    #[test]
    fn the_same_seed_lives_the_same_life() {
        let life = |seed| {
            let mut body = Body::new(ADULT, seed);
            (0..500).map(|_| body.live(1.0, &Strain::default())).collect::<Vec<_>>()
        };
        assert_eq!(life(7), life(7));
        assert_ne!(life(7), life(8));
    }

    #[test]
    fn fever_and_lack_of_oxygen_drive_the_heart() {
        let heart = |strain: Strain| {
            let mut body = Body::new(ADULT, 3);
            (0..60).map(|_| body.live(1.0, &strain).get("heart_rate").unwrap()).sum::<f64>() / 60.0
        };
        let rest = heart(Strain::default());
        assert!(heart(Strain { warmth: 2.0, ..Strain::default() }) > rest + 8.0);
        assert!(heart(Strain { oxygen: -15.0, ..Strain::default() }) > rest + 3.0);
    }
}
