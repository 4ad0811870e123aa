//! The directory: who had which device when, and who they are. An immutable snapshot.
//!
//! A change makes a new snapshot, so that a reader never sees half of one; most of it is shared with the one before.
//! Nothing here does IO or reads a clock.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::enrich::age;
use crate::enrich::interval;
use crate::enrich::records::{AssignmentRecord, PatientRecord, Records};
use crate::enrich::timeline::Timeline;
use crate::limits::Limits;
use crate::reading::{Context, Millis, Source, UNKNOWN_AGE};

/// One state of the assignments and profiles.
#[derive(Debug, Clone)]
pub struct Directory {
    defaults: Arc<Limits>,
    device_of: HashMap<String, Arc<str>>,
    devices: HashMap<Arc<str>, Arc<Vec<Arc<AssignmentRecord>>>>,
    patients: HashMap<String, Arc<Profile>>,
}

/// What one directory has and an earlier one has not.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// Records that are new or other.
    pub new: Records,
    /// Ids of assignments that are gone.
    pub gone_assignments: Vec<String>,
    /// Ids of patients who are gone.
    pub gone_patients: Vec<String>,
}

/// A patient, with the limits in force for them.
#[derive(Debug)]
struct Profile {
    record: PatientRecord,
    /// The age bands, worked out once: each new snapshot has the timelines of all sources built anew.
    bands: Vec<(Millis, &'static str)>,
    /// The directory's defaults themselves, not a copy, for a patient without overrides: a context that shares them
    /// is journalled without repeating them.
    limits: Arc<Limits>,
}

impl Directory {
    /// A directory that knows nobody.
    #[must_use]
    pub fn empty(defaults: Arc<Limits>) -> Self {
        Self { defaults, device_of: HashMap::new(), devices: HashMap::new(), patients: HashMap::new() }
    }

    /// This directory with some records added, or in the place of those with the same id; `None` when nothing differs.
    #[must_use]
    pub fn with(&self, records: Records) -> Option<Self> {
        let assignments: Vec<_> = records.assignments.into_iter().filter(|a| self.differs(a)).collect();
        let patients: Vec<_> = records.patients.into_iter().filter(|patient| self.is_new(patient)).collect();
        if assignments.is_empty() && patients.is_empty() {
            return None;
        }
        let mut next = self.clone();
        for assignment in assignments {
            next.assign(assignment);
        }
        for patient in patients {
            next.introduce(patient);
        }
        Some(next)
    }

    /// What differs from an earlier directory.
    #[must_use]
    pub fn changes_since(&self, earlier: &Self) -> Changes {
        let all = |directory: &Self| -> Vec<Arc<AssignmentRecord>> {
            directory.devices.values().flat_map(|list| list.iter().cloned()).collect()
        };
        let mut changes = Changes::default();
        let new = all(self).into_iter().filter(|assignment| earlier.differs(assignment));
        changes.new.assignments = new.map(|assignment| (*assignment).clone()).collect();
        let gone = all(earlier).into_iter().filter(|assignment| !self.device_of.contains_key(&assignment.id));
        changes.gone_assignments = gone.map(|assignment| assignment.id.clone()).collect();
        let records = self.patients.values().map(|profile| &profile.record);
        changes.new.patients = records.filter(|patient| earlier.is_new(patient)).cloned().collect();
        let gone = earlier.patients.keys().filter(|patient| !self.patients.contains_key(*patient));
        changes.gone_patients = gone.cloned().collect();
        changes
    }

    /// Whether there is any assignment of a device, past ones included.
    #[must_use]
    pub fn knows(&self, device: &str) -> bool {
        self.devices.contains_key(device)
    }

    /// How many devices and patients there are.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.devices.len(), self.patients.len())
    }

    /// The contexts of a source's readings, for all time.
    #[must_use]
    pub fn timeline(&self, source: &Source) -> Timeline {
        let mut timeline = Timeline::new(Arc::new(self.unassigned(source)));
        let assignments = self.devices.get(&source.device).map(|list| list.as_slice()).unwrap_or_default();
        let pieces = interval::pieces(assignments);
        for (index, (from, holder)) in pieces.iter().enumerate() {
            let to = pieces.get(index + 1).map_or(Millis::MAX, |(next, _)| *next);
            match holder {
                Some(assignment) => self.add(&mut timeline, source, assignment, *from, to),
                None => timeline.push(*from, Arc::new(self.unassigned(source))),
            }
        }
        timeline
    }

    fn add(&self, timeline: &mut Timeline, source: &Source, assignment: &AssignmentRecord, from: Millis, to: Millis) {
        let profile = self.patients.get(&assignment.patient);
        let unknown = [(Millis::MIN, UNKNOWN_AGE)];
        let bands = profile.map_or(unknown.as_slice(), |profile| &profile.bands);
        let (patient, ward): (Arc<str>, Arc<str>) =
            (assignment.patient.as_str().into(), assignment.ward.as_str().into());
        let bed: Option<Arc<str>> = assignment.bed.as_deref().map(Into::into);
        for (index, (band_from, age_band)) in bands.iter().enumerate() {
            let band_to = bands.get(index + 1).map_or(Millis::MAX, |(next, _)| *next);
            if from.max(*band_from) < to.min(band_to) {
                let context = Context {
                    region: source.region.clone(),
                    ward: ward.clone(),
                    bed: bed.clone(),
                    device: source.device.clone(),
                    patient: Some(patient.clone()),
                    age_band: (*age_band).into(),
                    limits: profile.map_or(&self.defaults, |profile| &profile.limits).clone(),
                };
                timeline.push(from.max(*band_from), Arc::new(context));
            }
        }
    }

    fn unassigned(&self, source: &Source) -> Context {
        Context {
            region: source.region.clone(),
            ward: source.ward.clone(),
            bed: None,
            device: source.device.clone(),
            patient: None,
            age_band: UNKNOWN_AGE.into(),
            limits: self.defaults.clone(),
        }
    }

    fn differs(&self, assignment: &AssignmentRecord) -> bool {
        let device = self.device_of.get(&assignment.id);
        let known = device.and_then(|device| self.devices.get(device)?.iter().find(|known| known.id == assignment.id));
        known.is_none_or(|known| **known != *assignment)
    }

    fn is_new(&self, patient: &PatientRecord) -> bool {
        self.patients.get(&patient.id).is_none_or(|known| known.record != *patient)
    }

    fn assign(&mut self, assignment: AssignmentRecord) {
        // A corrected assignment may have been of another device before.
        if let Some(device) = self.device_of.remove(&assignment.id)
            && let Some(list) = self.devices.get_mut(&device)
        {
            Arc::make_mut(list).retain(|known| known.id != assignment.id);
            if list.is_empty() {
                self.devices.remove(&device);
            }
        }
        let device: Arc<str> = assignment.device.as_str().into();
        self.device_of.insert(assignment.id.clone(), device.clone());
        Arc::make_mut(self.devices.entry(device).or_default()).push(Arc::new(assignment));
    }

    fn introduce(&mut self, record: PatientRecord) {
        let limits = if record.limits.is_empty() {
            self.defaults.clone()
        } else {
            let mut limits = (*self.defaults).clone();
            for (vital, limit) in &record.limits {
                limits.set(*vital, limits.get(*vital).overridden_by(*limit));
            }
            Arc::new(limits)
        };
        self.patients.insert(
            record.id.clone(),
            Arc::new(Profile { bands: age::bands(record.birth_date).collect(), record, limits }),
        );
    }

    /// The patients who have an assignment but no profile; their readings have default limits and no age.
    #[must_use]
    pub fn without_profile(&self) -> usize {
        let assigned: HashSet<&str> =
            self.devices.values().flat_map(|list| list.iter()).map(|a| a.patient.as_str()).collect();
        assigned.into_iter().filter(|patient| !self.patients.contains_key(*patient)).count()
    }
}
