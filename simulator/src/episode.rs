//! Scripted episodes: what goes wrong with a patient or a sensor, when, and which alert must follow.
//!
//! An episode goes well beyond a limit or stays well inside: what is expected of it must not hang on one reading.

/// What pulls on a body, on top of its own life.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Strain {
    /// Beats per minute.
    pub heart: f64,
    /// Breaths per minute.
    pub breaths: f64,
    /// Percent.
    pub oxygen: f64,
    /// Degrees.
    pub warmth: f64,
    /// mmHg.
    pub systolic: f64,
    /// The heart stands still.
    pub standstill: bool,
}

/// The kinds of episodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The heart slows to well below 40.
    Bradycardia,
    /// The heart races well beyond 131.
    Tachycardia,
    /// Oxygen falls to the seventies within the first half, then comes back.
    Desaturation,
    /// Fever, fast breathing, falling pressure: hours in the length of the episode.
    Sepsis,
    /// The heart stands still, with a good signal.
    Asystole,
    /// The electrode is off: the monitor shows 0, which is no asystole.
    LeadOff,
    /// The oximeter probe is off.
    ProbeOff,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Bradycardia,
        Self::Tachycardia,
        Self::Desaturation,
        Self::Sepsis,
        Self::Asystole,
        Self::LeadOff,
        Self::ProbeOff,
    ];

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bradycardia => "bradycardia",
            Self::Tachycardia => "tachycardia",
            Self::Desaturation => "desaturation",
            Self::Sepsis => "sepsis",
            Self::Asystole => "asystole",
            Self::LeadOff => "lead_off",
            Self::ProbeOff => "probe_off",
        }
    }

    /// A kind by its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The condition that must be told; `None` for a fault of a sensor, which must not be.
    #[must_use]
    pub const fn expected(self) -> Option<&'static str> {
        match self {
            Self::Bradycardia => Some("heart_rate_low"),
            Self::Tachycardia => Some("heart_rate_high"),
            Self::Desaturation => Some("spo2_low"),
            Self::Sepsis => Some("resp_rate_high"),
            Self::Asystole => Some("asystole"),
            Self::LeadOff | Self::ProbeOff => None,
        }
    }

    /// Other conditions that the episode may raise on its way.
    #[must_use]
    pub const fn possible(self) -> &'static [&'static str] {
        match self {
            Self::Sepsis => &["heart_rate_high", "systolic_low", "temperature_high", "spo2_low"],
            Self::Desaturation => &["heart_rate_high"],
            Self::Bradycardia | Self::Tachycardia | Self::Asystole | Self::LeadOff | Self::ProbeOff => &[],
        }
    }

    /// The quality that the monitor reports.
    #[must_use]
    pub const fn quality(self) -> &'static str {
        match self {
            Self::LeadOff => "lead_off",
            Self::ProbeOff => "probe_off",
            _ => "good",
        }
    }
}

/// An episode of one bed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Episode {
    /// What happens.
    pub kind: Kind,
    /// Seconds after the bed's start.
    pub start: f64,
    /// Seconds.
    pub length: f64,
}

impl Episode {
    /// Whether it is under way.
    #[must_use]
    pub fn is_on(&self, clock: f64) -> bool {
        (self.start..self.start + self.length).contains(&clock)
    }

    /// The strain at a time; none outside the episode.
    #[must_use]
    pub fn strain(&self, clock: f64) -> Strain {
        if !self.is_on(clock) {
            return Strain::default();
        }
        let part = (clock - self.start) / self.length;
        // Full strength from a quarter on, easing off in the last fifth.
        let strength = (part * 4.0).min(1.0).min((1.0 - part) * 5.0).max(0.0);
        match self.kind {
            Kind::Bradycardia => Strain { heart: -50.0 * strength, ..Strain::default() },
            Kind::Tachycardia => Strain { heart: 85.0 * strength, ..Strain::default() },
            Kind::Desaturation => Strain { oxygen: -24.0 * strength, ..Strain::default() },
            Kind::Sepsis => Strain {
                warmth: 2.6 * strength,
                breaths: 24.0 * strength,
                oxygen: -4.0 * strength,
                systolic: -35.0 * strength,
                heart: 15.0 * strength,
                standstill: false,
            },
            Kind::Asystole => Strain { standstill: true, ..Strain::default() },
            Kind::LeadOff => Strain { standstill: true, ..Strain::default() },
            Kind::ProbeOff => Strain::default(),
        }
    }
}

/// Which episodes a fleet plays, and when: bed by bed another kind, and each bed another kind each time. One bed in
/// each round of the kinds stays well.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// The kinds to play; none for a healthy ward.
    pub kinds: Vec<Kind>,
    /// Seconds after the start at which the first begins.
    pub first: f64,
    /// Seconds that an episode lasts.
    pub length: f64,
    /// Seconds from the begin of one episode of a bed to the next; leave room to recover.
    pub every: f64,
}

impl Script {
    /// Nobody falls ill.
    #[must_use]
    pub const fn healthy() -> Self {
        Self { kinds: Vec::new(), first: 0.0, length: 0.0, every: f64::INFINITY }
    }

    /// The bed's last episode that has begun.
    #[must_use]
    pub fn at(&self, bed: usize, clock: f64) -> Option<Episode> {
        if self.kinds.is_empty() || clock < self.first {
            return None;
        }
        let number = ((clock - self.first) / self.every).floor();
        let turn = (bed + number as usize) % (self.kinds.len() + 1);
        let start = self.first + if number > 0.0 { number * self.every } else { 0.0 };
        self.kinds.get(turn).map(|kind| Episode { kind: *kind, start, length: self.length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_comes_to_every_bed_and_ends_before_the_next() {
        let script = Script { kinds: Kind::ALL.to_vec(), first: 5.0, length: 20.0, every: 60.0 };
        for bed in 0..9 {
            let played: Vec<_> = (0..8).filter_map(|number| script.at(bed, 5.0 + 60.0 * f64::from(number))).collect();
            assert_eq!(played.len(), 7);
            assert!(Kind::ALL.iter().all(|kind| played.iter().any(|episode| episode.kind == *kind)));
        }
        assert_eq!(script.at(0, 4.9), None);
        assert!(script.at(0, 24.9).is_some_and(|episode| episode.is_on(24.9) && !episode.is_on(25.0)));
        assert_eq!(Script::healthy().at(3, 1e9), None);
    }

    #[test]
    fn an_asystole_and_a_lead_off_show_the_same_number_and_another_quality() {
        let episode = |kind| Episode { kind, start: 0.0, length: 10.0 };
        assert_eq!(episode(Kind::Asystole).strain(5.0), episode(Kind::LeadOff).strain(5.0));
        assert_ne!(Kind::Asystole.quality(), Kind::LeadOff.quality());
    }
}
