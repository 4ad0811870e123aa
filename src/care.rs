//! What the two care databases are asked: who is to be told, and where the life of an alert is kept.
//!
//! Plain types and two small ports. The adapters are in `peers`; the stage that asks is `notify`. Nothing here knows
//! the query language or the driver of a peer.

use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::reading::Millis;

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Somebody is needed now.
    High,
    /// Somebody should come soon.
    Medium,
    /// Somebody should know.
    Low,
    /// A device or the pipeline is at fault, not the patient.
    Technical,
}

impl Priority {
    /// The name in alerts, metrics and the databases.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::Technical => "technical",
        }
    }
}

/// One alert as it is kept: an episode from its onset to its recovery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertRecord {
    /// Identifies the episode; the same at every try.
    pub id: String,
    /// The patient's pseudonym.
    pub patient: String,
    /// The device whose reading began the episode.
    pub device: String,
    /// The region of the device.
    pub region: String,
    /// The ward of the patient.
    pub ward: String,
    /// The bed of the patient, if known.
    pub bed: Option<String>,
    /// What is abnormal, in the words of the rule that found it.
    pub condition: String,
    /// How urgent it is.
    pub priority: Priority,
    /// When the episode began, milliseconds since the epoch.
    pub begin: Millis,
    /// When it ended; `None` while it lasts.
    pub end: Option<Millis>,
    /// The value that began it, in the unit of its vital.
    pub value: Option<f64>,
    /// The limit that was broken, in the unit of its vital.
    pub limit: Option<f64>,
}

/// An endpoint of a clinician who is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Recipient {
    /// The clinician's id.
    pub clinician: String,
    /// The channel: "mqtt" or "webhook".
    pub kind: String,
    /// Where on that channel: a clinician id, or a URL.
    pub address: String,
    /// Which of a clinician's endpoints comes first; the lowest does.
    pub rank: i64,
}

/// A care database did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{peer}: {message}")]
pub struct PeerError {
    /// Which database: "mongodb" or "neo4j".
    pub peer: &'static str,
    /// What happened, for a person; without addresses' credentials and without personal data.
    pub message: String,
    /// Whether the same call may work later. `false`: somebody must change something first.
    pub retry: bool,
}

impl PeerError {
    /// The database has not answered in time; it may later.
    #[must_use]
    pub fn silent(peer: &'static str, timeout: Duration) -> Self {
        Self { peer, message: format!("no answer within {} ms", timeout.as_millis()), retry: true }
    }
}

/// Who is to be told of a patient.
pub trait CareGraph {
    /// The endpoints of everybody who answers for `patient` at `at`, lowest rank first, each once. An empty list is an
    /// answer, not an error: the caller then turns to the safety net.
    fn recipients(
        &self,
        patient: &str,
        region: &str,
        ward: &str,
        at: Millis,
    ) -> impl Future<Output = Result<Vec<Recipient>, PeerError>> + Send;
}

/// Where the life of an alert is kept.
pub trait AlertStore {
    /// Keeps what is known of an alert. Begin and end may each come twice and in any order: the end, once known,
    /// stays.
    fn save(&self, alert: &AlertRecord) -> impl Future<Output = Result<(), PeerError>> + Send;
}
