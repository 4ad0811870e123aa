//! The live figures of a fleet.

use std::sync::atomic::{AtomicU64, Ordering};

/// What all connections of a fleet count together.
#[derive(Debug, Default)]
pub struct Tally {
    pub(crate) made: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) connected: AtomicU64,
    pub(crate) connections_lost: AtomicU64,
}

/// The figures at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Messages that the devices have made.
    pub made: u64,
    /// Messages that the broker has acknowledged.
    pub acknowledged: u64,
    /// Connections that stand.
    pub connected: u64,
    /// Connections that were lost, by a fault of ours or somebody else's.
    pub connections_lost: u64,
}

impl Tally {
    /// The figures now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let at = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Snapshot {
            acknowledged: at(&self.acknowledged),
            made: at(&self.made),
            connected: at(&self.connected),
            connections_lost: at(&self.connections_lost),
        }
    }

    pub(crate) fn add(count: &AtomicU64, number: u64) {
        count.fetch_add(number, Ordering::Relaxed);
    }
}
