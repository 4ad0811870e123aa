//! What enrichment is told by the store of profiles: plain records, free of any driver's types, and the port.

use std::future::Future;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::care::PeerError;
use crate::limits::Limit;
use crate::reading::Millis;
use crate::vital::Vital;

/// What enrichment uses of a patient's profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PatientRecord {
    /// The pseudonym.
    pub id: String,
    /// The birth date, if known.
    pub birth_date: Option<Date>,
    /// The limits that differ from the defaults; unset parts of a limit keep the default.
    pub limits: Vec<(Vital, Limit)>,
}

/// A device was at a patient's bed for a while: from `since`, inclusive, to `until`, exclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignmentRecord {
    /// Identifies the assignment.
    pub id: String,
    /// The device.
    pub device: String,
    /// The patient's pseudonym.
    pub patient: String,
    /// The ward.
    pub ward: String,
    /// The bed, if known.
    pub bed: Option<String>,
    /// First millisecond that belongs to it.
    pub since: Millis,
    /// First millisecond that no longer does; `None` while it lasts.
    pub until: Option<Millis>,
}

/// An answer of the store of profiles.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Records {
    /// The assignments.
    pub assignments: Vec<AssignmentRecord>,
    /// The profiles, at least of the patients of these assignments.
    pub patients: Vec<PatientRecord>,
    /// Ids of documents that can't be understood, and why; the rest of the answer holds all the same.
    pub unreadable: Vec<Unreadable>,
}

/// A document that can't be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The collection and the field at fault; no value of the document.
    pub what: String,
}

/// Where profiles and assignments are kept.
pub trait ProfileStore {
    /// Whether the store is set up; an error with `retry: false` means that `wardline init` must be run.
    fn check(&self) -> impl Future<Output = Result<(), PeerError>> + Send;

    /// Every assignment that has not ended before `ended_from`, with its patient. Older ones are of no use: no reading
    /// of their time is accepted any more.
    fn load_all(&self, ended_from: Millis) -> impl Future<Output = Result<Records, PeerError>> + Send;

    /// The assignments and profiles whose `updated_at` is `since` or later, and the patients of these assignments.
    fn changed_since(&self, since: Millis) -> impl Future<Output = Result<Records, PeerError>> + Send;

    /// The assignments of some devices, with their patients, in one query for all the devices.
    fn find_devices(&self, devices: &[&str]) -> impl Future<Output = Result<Records, PeerError>> + Send;
}
