//! Metrics of the watch consumer.

use metrics::{Counter, Gauge};

use super::{counter, counter_with, gauge};
use crate::watch::episode::Phase;

/// Handles of the watch.
#[derive(Debug, Clone)]
pub struct Watch {
    begun: Counter,
    risen: Counter,
    ended: Counter,
    /// Readings that came too late for a live alert.
    pub late: Counter,
    /// Episodes that people know of.
    pub open: Gauge,
    /// Age of the newest reading that was judged.
    pub lag_seconds: Gauge,
}

impl Watch {
    /// Registers the metrics.
    #[must_use]
    pub fn register() -> Self {
        let phase = |phase| counter_with("wardline_alerts_total", "Events of alerts, by phase.", "phase", phase);
        Self {
            begun: phase("begin"),
            risen: phase("rise"),
            ended: phase("end"),
            late: counter(
                "wardline_late_readings_total",
                "Readings older than intake.live_within, which raise no alert.",
            ),
            open: gauge("wardline_episodes_open", "Episodes that people know of."),
            lag_seconds: gauge("wardline_watch_lag_seconds", "Age of the last reading that was judged."),
        }
    }

    /// The counter of one phase.
    pub fn phase(&self, phase: Phase) -> &Counter {
        match phase {
            Phase::Begin => &self.begun,
            Phase::Rise => &self.risen,
            Phase::End => &self.ended,
        }
    }
}
