//! Metrics of the journal.

use metrics::{Counter, Gauge, Histogram};

use super::{counter, gauge, gauge_with, seconds};
use crate::journal::Consumer;

/// Handles of the journal's writer.
#[derive(Debug)]
pub struct Journal {
    /// Transactions committed.
    pub commits: Counter,
    /// One commit, fsync included.
    pub commit_seconds: Histogram,
    /// From the reception of a group's oldest reading until it is on disk.
    pub delay_seconds: Histogram,
    /// Readings of the last group.
    pub group_readings: Gauge,
    /// Bytes in use.
    pub bytes: Gauge,
    /// Whether appends wait for room.
    pub full: Gauge,
    /// Readings before each consumer, in the order of [`Consumer::ALL`].
    pub backlog: [Gauge; Consumer::ALL.len()],
    /// Dead letters evicted because of the bounds.
    pub evicted: Counter,
}

impl Journal {
    /// Registers the metrics.
    #[must_use]
    pub fn register() -> Self {
        let backlog = |consumer: Consumer| {
            gauge_with("wardline_journal_backlog", "Readings before a consumer.", "consumer", consumer.name())
        };
        Self {
            commits: counter("wardline_journal_commits_total", "Transactions committed."),
            commit_seconds: seconds("wardline_journal_commit_seconds", "One commit, fsync included."),
            delay_seconds: seconds("wardline_journal_delay_seconds", "Oldest reading of a group, received to on disk."),
            group_readings: gauge("wardline_journal_group_readings", "Readings of the last group."),
            bytes: gauge("wardline_journal_bytes", "Bytes of the journal in use."),
            full: gauge("wardline_journal_full", "1 while the journal takes no readings."),
            backlog: Consumer::ALL.map(backlog),
            evicted: counter("wardline_dead_letters_evicted_total", "Dead letters removed because of the bounds."),
        }
    }
}
