//! Reconciliation: the ledger against what a store holds and whom people were told of. Pure; the readers of the real
//! stores are beside it.

pub mod alerts;
pub mod influx;

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::Serialize;

use crate::ledger::Ledger;
use crate::values::{NAMES, place};

/// What was found. Everything that must be zero is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Readings that were made.
    pub made: u64,
    /// Readings that the broker acknowledged.
    pub acknowledged: u64,
    /// Messages that are no readings and were acknowledged: as many dead letters must there be, or more when some came twice.
    pub refused: u64,
    /// Readings of the ledger that the store holds.
    pub stored: u64,
    /// Acknowledged and not in the store.
    pub lost: u64,
    /// In the store more than once.
    pub duplicated: u64,
    /// In the store with other values.
    pub altered: u64,
    /// In the store and never sent by a device of the ledger.
    pub unexpected: u64,
    /// What was found of the alerts, when they were looked at.
    pub alerts: Option<Alerts>,
    /// Some of what is wrong, in words.
    pub examples: Vec<String>,
}

/// What was found of the alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Alerts {
    /// Episodes that must be told.
    pub expected: u64,
    /// Alerts of devices of the ledger.
    pub told: u64,
    /// Episodes that nobody was told of.
    pub missing: u64,
    /// Episodes that were told more than once.
    pub duplicated: u64,
    /// Alerts that no episode explains.
    pub unexpected: u64,
}

impl Report {
    /// Whether everything is as it must be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let readings = self.lost + self.duplicated + self.altered + self.unexpected;
        readings == 0 && self.alerts.is_none_or(|alerts| alerts.missing + alerts.duplicated + alerts.unexpected == 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { made, acknowledged, refused, stored, lost, duplicated, altered, unexpected, .. } = self;
        writeln!(f, "readings  made {made}, acknowledged {acknowledged}, stored {stored}")?;
        writeln!(f, "          lost {lost}, duplicated {duplicated}, altered {altered}, unexpected {unexpected}")?;
        write!(f, "refused   {refused} messages that are no readings")?;
        if let Some(Alerts { expected, told, missing, duplicated, unexpected }) = self.alerts {
            writeln!(f, "\nalerts    must be told {expected}, were told {told}")?;
            write!(f, "          missing {missing}, duplicated {duplicated}, unexpected {unexpected}")?;
        }
        for example in &self.examples {
            write!(f, "\n          {example}")?;
        }
        Ok(())
    }
}

/// An alert as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAlert {
    /// The device whose readings showed it.
    pub device: String,
    /// The condition.
    pub condition: String,
    /// When the episode began, milliseconds since the epoch.
    pub begin: i64,
}

/// The ledger while the store is being read.
#[derive(Debug)]
pub struct Reconciliation<'a> {
    ledger: &'a Ledger,
    devices: HashMap<&'a str, u32>,
    readings: HashMap<(u32, i64), usize>,
    seen: Vec<bool>,
    report: Report,
}

/// Clocks of devices may be off by so much, milliseconds.
const SKEW: i64 = 5_000;

/// Examples of what is wrong; a person needs a few.
const EXAMPLES: usize = 10;

impl<'a> Reconciliation<'a> {
    /// Nothing has been read yet.
    #[must_use]
    pub fn new(ledger: &'a Ledger) -> Self {
        let devices = ledger.devices.iter().zip(0..).map(|(device, place)| (device.as_str(), place)).collect();
        let readings =
            ledger.readings.iter().enumerate().map(|(place, sent)| ((sent.device, sent.time), place)).collect();
        let report = Report {
            made: ledger.readings.len() as u64,
            acknowledged: ledger.acknowledged() as u64,
            refused: ledger.refused.acknowledged,
            ..Report::default()
        };
        Self { ledger, devices, readings, seen: vec![false; ledger.readings.len()], report }
    }

    /// A reading that the store holds, with its vitals by name. Those of devices that are not in the ledger are not ours
    /// to judge.
    pub fn stored<'v>(&mut self, device: &str, time: i64, vitals: impl Iterator<Item = (&'v str, f64)>) {
        let Some(place) = self.devices.get(device) else { return };
        let known = self.readings.get(&(*place, time)).copied();
        let Some((known, sent)) = known.and_then(|known| Some((known, self.ledger.readings.get(known)?))) else {
            self.report.unexpected += 1;
            self.example(format!("{device} at {time}: never sent, and stored"));
            return;
        };
        if self.seen.get(known).copied().unwrap_or_default() {
            self.report.duplicated += 1;
            self.example(format!("{device} at {time}: stored twice"));
            return;
        }
        if let Some(seen) = self.seen.get_mut(known) {
            *seen = true;
        }
        self.report.stored += 1;
        let mut held: Vec<(usize, f64)> = vitals.map(|(name, value)| (place_of(name), value)).collect();
        held.sort_by_key(|(place, _)| *place);
        let wanted = sent.values.iter().map(|(place, tenths)| (place, f64::from(tenths) / 10.0));
        if !wanted.eq(held.iter().copied()) {
            self.report.altered += 1;
            self.example(format!("{device} at {time}: stored with other values"));
        }
    }

    /// Everything that the store holds has been given.
    #[must_use]
    pub fn finish(mut self) -> Report {
        for (place, sent) in self.ledger.readings.iter().enumerate() {
            if sent.acknowledged && !self.seen.get(place).copied().unwrap_or_default() {
                self.report.lost += 1;
                let device = self.ledger.devices.get(sent.device as usize).map_or("?", String::as_str);
                self.example(format!("{device} at {}: acknowledged, and not stored", sent.time));
            }
        }
        self.report
    }

    fn example(&mut self, text: String) {
        if self.report.examples.len() < EXAMPLES {
            self.report.examples.push(text);
        }
    }
}

/// A name that is no vital sorts last and equals nothing that was sent.
fn place_of(name: &str) -> usize {
    place(name).unwrap_or(NAMES.len())
}

/// Holds the alerts against the episodes of the ledger, and adds what it finds to the report.
pub fn judge_alerts(ledger: &Ledger, alerts: &[StoredAlert], report: &mut Report) {
    let devices: HashSet<&str> = ledger.devices.iter().map(String::as_str).collect();
    let (first, last) = ledger.span().unwrap_or_default();
    let ours = |alert: &&StoredAlert| devices.contains(alert.device.as_str()) && (first..=last).contains(&alert.begin);
    let alerts: Vec<&StoredAlert> = alerts.iter().filter(ours).collect();
    let mut found = Alerts { told: alerts.len() as u64, ..Alerts::default() };
    let mut wrong = Vec::new();
    let within = |alert: &StoredAlert, told: &crate::ledger::Told| {
        alert.device == told.device && (told.from - SKEW..=told.to + SKEW).contains(&alert.begin)
    };
    for told in &ledger.episodes {
        let Some(must) = &told.must else { continue };
        found.expected += 1;
        let times = alerts.iter().filter(|alert| alert.condition == *must && within(alert, told)).count();
        if times == 0 {
            found.missing += 1;
            wrong.push(format!("{} {} from {}: nobody was told of {must}", told.device, told.kind, told.from));
        } else if times > 1 {
            found.duplicated += 1;
            wrong.push(format!("{} {} from {}: {must} was told {times} times", told.device, told.kind, told.from));
        }
    }
    for alert in alerts.iter().filter(|_| ledger.scripted) {
        let explains = |told: &&crate::ledger::Told| {
            let named = told.must.iter().chain(&told.may).any(|condition| *condition == alert.condition);
            named && within(alert, told)
        };
        if ledger.episodes.iter().find(explains).is_none() {
            found.unexpected += 1;
            wrong.push(format!("{} at {}: told of {} without an episode", alert.device, alert.begin, alert.condition));
        }
    }
    let room = EXAMPLES.saturating_sub(report.examples.len());
    report.examples.extend(wrong.into_iter().take(room));
    report.alerts = Some(found);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;
    use crate::ledger::{Sent, Told};
    use crate::values::Values;

    fn ledger() -> Ledger {
        let mut values = Values::default();
        values.set("heart_rate", 72.0);
        let sent = |time, acknowledged| Sent { device: 0, acknowledged, time, values };
        let told = |kind: &str, must: Option<&str>, may: &[&str]| Told {
            device: "mon-1".to_owned(),
            kind: kind.to_owned(),
            must: must.map(str::to_owned),
            may: may.iter().map(|name| (*name).to_owned()).collect(),
            from: 10_000,
            to: 30_000,
        };
        Ledger {
            scripted: true,
            devices: vec!["mon-1".to_owned()],
            readings: vec![sent(2, true), sent(4, true), sent(6, false), sent(100_000, true)],
            episodes: vec![told("sepsis", Some("resp_rate_high"), &["temperature_high"])],
            ..Ledger::default()
        }
    }

    const GOOD: [(&str, f64); 1] = [("heart_rate", 72.0)];

    #[test]
    fn what_arrived_once_and_unaltered_is_clean_and_what_was_not_acknowledged_may_be_there_or_not() {
        for with_unacknowledged in [false, true] {
            let ledger = ledger();
            let mut reconciliation = Reconciliation::new(&ledger);
            for time in [2, 4, 100_000] {
                reconciliation.stored("mon-1", time, GOOD.into_iter());
            }
            if with_unacknowledged {
                reconciliation.stored("mon-1", 6, GOOD.into_iter());
            }
            reconciliation.stored("somebody-else", 2, GOOD.into_iter());
            let report = reconciliation.finish();
            assert!(report.is_clean(), "{report}");
            assert_eq!((report.made, report.acknowledged), (4, 3));
        }
    }

    #[test]
    fn every_fault_of_a_store_is_seen() {
        let ledger = ledger();
        let mut reconciliation = Reconciliation::new(&ledger);
        reconciliation.stored("mon-1", 2, GOOD.into_iter());
        reconciliation.stored("mon-1", 2, GOOD.into_iter());
        reconciliation.stored("mon-1", 4, [("heart_rate", 72.1)].into_iter());
        reconciliation.stored("mon-1", 8, GOOD.into_iter());
        let report = reconciliation.finish();
        assert_eq!((report.lost, report.duplicated, report.altered, report.unexpected), (1, 1, 1, 1));
        assert_eq!(report.examples.len(), 4);
        assert!(!report.is_clean());
    }

    #[test]
    fn a_vital_too_few_or_too_many_is_an_alteration() {
        for held in [&[][..], &[("heart_rate", 72.0), ("spo2", 97.0)], &[("heart_rate", 72.0), ("mood", 1.0)]] {
            let ledger = ledger();
            let mut reconciliation = Reconciliation::new(&ledger);
            reconciliation.stored("mon-1", 2, held.iter().copied());
            assert_eq!(reconciliation.finish().altered, 1, "{held:?}");
        }
    }

    #[test]
    fn alerts_are_missing_repeated_or_unexplained() {
        let judged = |alerts: &[(&str, i64)]| {
            let stored: Vec<_> = alerts
                .iter()
                .map(|(condition, begin)| StoredAlert {
                    device: "mon-1".to_owned(),
                    condition: (*condition).to_owned(),
                    begin: *begin,
                })
                .collect();
            let mut report = Report::default();
            judge_alerts(&ledger(), &stored, &mut report);
            let alerts = report.alerts.unwrap();
            (alerts.missing, alerts.duplicated, alerts.unexpected)
        };
        assert_eq!(judged(&[("resp_rate_high", 15_000), ("temperature_high", 20_000)]), (0, 0, 0));
        assert_eq!(judged(&[]), (1, 0, 0));
        assert_eq!(judged(&[("resp_rate_high", 15_000), ("resp_rate_high", 22_000)]), (0, 1, 0));
        assert_eq!(judged(&[("resp_rate_high", 15_000), ("asystole", 15_000)]), (0, 0, 1));
        assert_eq!(judged(&[("resp_rate_high", 60_000)]), (1, 0, 1));
    }
}
