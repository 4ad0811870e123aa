//! Metrics of the conservation of messages.

use metrics::{Counter, Gauge};

use super::{counter, counter_with, gauge};
use crate::reading::Reason;

/// Handles of [`crate::account::Account`].
#[derive(Debug)]
pub struct Account {
    /// Items received.
    pub received: Counter,
    /// Readings found in the journal at start.
    pub recovered: Counter,
    /// Readings stored.
    pub stored: Counter,
    /// Dead letters, in the order of [`Reason::ALL`].
    pub dead_lettered: [Counter; Reason::ALL.len()],
    /// Duplicates.
    pub duplicates: Counter,
    /// Readings lost to a damaged file.
    pub quarantined: Counter,
    /// Items in flight.
    pub in_flight: Gauge,
}

impl Account {
    /// Registers the metrics.
    #[must_use]
    pub fn register() -> Self {
        let dead = |reason: Reason| {
            counter_with("wardline_dead_lettered_total", "Items dead-lettered, by reason.", "reason", reason.name())
        };
        Self {
            received: counter("wardline_received_total", "Items taken from the broker; an array of ten is ten."),
            recovered: counter("wardline_recovered_total", "Readings that an earlier run left in the journal."),
            stored: counter("wardline_stored_total", "Readings in the time-series store."),
            dead_lettered: Reason::ALL.map(dead),
            duplicates: counter("wardline_duplicates_total", "Readings that the journal had already."),
            quarantined: counter("wardline_quarantined_total", "Readings lost to a damaged journal."),
            in_flight: gauge(
                "wardline_in_flight",
                "received + recovered - stored - dead_lettered - duplicates - quarantined.",
            ),
        }
    }
}
