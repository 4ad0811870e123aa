//! The durable log.

use std::sync::Arc;

use crate::reading::EnrichedReading;

/// A group: the readings committed by one fsync; reading `i` has the sequence number `first_seq + i`.
#[derive(Debug)]
pub struct Group {
    /// Sequence number of the first reading.
    pub first_seq: u64,
    /// When the group was committed, milliseconds since the epoch.
    pub committed: crate::reading::Millis,
    /// The readings, in receive order.
    pub readings: Vec<EnrichedReading>,
}

/// A shared group.
pub type SharedGroup = Arc<Group>;
