//! The conservation of messages: what came in is stored, dead-lettered, a duplicate, or still in flight.
//!
//! The unit is the item: one reading, or one message that can't be read as readings. An array of ten is ten.
//! `received + recovered = stored + dead_lettered + duplicates + quarantined + in_flight`, at any time, in one process;
//! `recovered` is what an earlier run left in the journal.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::account::Account as Metrics;
use crate::reading::Reason;

/// The counts of one process.
#[derive(Debug)]
pub struct Account {
    received: AtomicU64,
    recovered: AtomicU64,
    stored: AtomicU64,
    dead_lettered: AtomicU64,
    duplicates: AtomicU64,
    quarantined: AtomicU64,
    metrics: Metrics,
}

/// The counts at one moment, in items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Balance {
    /// Taken from the broker.
    pub received: u64,
    /// Left in the journal by an earlier run.
    pub recovered: u64,
    /// In the time-series store.
    pub stored: u64,
    /// In the store of rejected messages.
    pub dead_lettered: u64,
    /// Readings that the journal had already.
    pub duplicates: u64,
    /// Lost to a damaged file.
    pub quarantined: u64,
}

impl Balance {
    /// Items that have not come to their end.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        let ended = self.stored + self.dead_lettered + self.duplicates + self.quarantined;
        (self.received + self.recovered).saturating_sub(ended)
    }
}

impl Account {
    /// An account at zero, with its metrics registered.
    #[must_use]
    pub fn new() -> Self {
        Self {
            received: AtomicU64::new(0),
            recovered: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            dead_lettered: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            quarantined: AtomicU64::new(0),
            metrics: Metrics::register(),
        }
    }

    /// Items came from the broker.
    pub fn received(&self, items: u64) {
        self.received.fetch_add(items, Ordering::AcqRel);
        self.metrics.received.increment(items);
    }

    /// Readings were found in the journal at start.
    pub fn recovered(&self, items: u64) {
        self.recovered.fetch_add(items, Ordering::AcqRel);
        self.metrics.recovered.increment(items);
    }

    /// Readings are in the time-series store.
    pub fn stored(&self, items: u64) {
        self.stored.fetch_add(items, Ordering::AcqRel);
        self.metrics.stored.increment(items);
    }

    /// An item is a dead letter, on disk.
    pub fn dead_lettered(&self, reason: Reason) {
        self.dead_lettered.fetch_add(1, Ordering::AcqRel);
        if let Some(counter) = self.metrics.dead_lettered.get(reason.index()) {
            counter.increment(1);
        }
    }

    /// Readings were in the journal already.
    pub fn duplicates(&self, items: u64) {
        self.duplicates.fetch_add(items, Ordering::AcqRel);
        self.metrics.duplicates.increment(items);
    }

    /// Readings are lost to a damaged file.
    pub fn quarantined(&self, items: u64) {
        self.quarantined.fetch_add(items, Ordering::AcqRel);
        self.metrics.quarantined.increment(items);
    }

    /// The counts now. Ends are read before beginnings, so that nothing seems to end before it began.
    #[must_use]
    pub fn balance(&self) -> Balance {
        let at = |count: &AtomicU64| count.load(Ordering::Acquire);
        Balance {
            stored: at(&self.stored),
            dead_lettered: at(&self.dead_lettered),
            duplicates: at(&self.duplicates),
            quarantined: at(&self.quarantined),
            received: at(&self.received),
            recovered: at(&self.recovered),
        }
    }

    /// Brings the gauge of items in flight up to date, for a scrape.
    pub fn publish(&self) {
        self.metrics.in_flight.set(self.balance().in_flight() as f64);
    }
}

impl Default for Account {
    fn default() -> Self {
        Self::new()
    }
}
