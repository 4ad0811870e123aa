//! Metrics of enrichment.

use metrics::{Counter, Gauge};

use super::{counter, counter_with, gauge};

/// Handles of the enricher, the refresh and the look-ups.
#[derive(Debug, Clone)]
pub struct Enrich {
    /// Readings that belong to nobody.
    pub unassigned: Counter,
    /// Refreshes of the directory that went well.
    pub refreshed: Counter,
    /// Refreshes that failed.
    pub refresh_failed: Counter,
    /// When the directory was last refreshed, seconds since the epoch.
    pub refreshed_at: Gauge,
    /// Devices in the directory.
    pub devices: Gauge,
    /// Patients in the directory.
    pub patients: Gauge,
    /// Assigned patients whose profile is not there.
    pub without_profile: Gauge,
    /// Documents that can't be understood.
    pub unreadable: Gauge,
    /// Unknown devices that were looked up and found.
    pub lookup_found: Counter,
    /// Unknown devices that nobody knows.
    pub lookup_unknown: Counter,
    /// Unknown devices without an answer in time, or with an error.
    pub lookup_failed: Counter,
}

impl Enrich {
    /// Registers the metrics.
    #[must_use]
    pub fn register() -> Self {
        let refreshes = |outcome| {
            counter_with(
                "wardline_profile_refreshes_total",
                "Refreshes of the profiles, by outcome.",
                "outcome",
                outcome,
            )
        };
        let lookups = |outcome| {
            counter_with("wardline_device_lookups_total", "Unknown devices looked up, by outcome.", "outcome", outcome)
        };
        Self {
            unassigned: counter("wardline_unassigned_total", "Readings whose device was nobody's at their time."),
            refreshed: refreshes("ok"),
            refresh_failed: refreshes("failed"),
            refreshed_at: gauge("wardline_profiles_refreshed_timestamp_seconds", "Last refresh of the profiles."),
            devices: gauge("wardline_directory_devices", "Devices with an assignment in memory."),
            patients: gauge("wardline_directory_patients", "Profiles in memory."),
            without_profile: gauge("wardline_directory_without_profile", "Assigned patients without a profile."),
            unreadable: gauge("wardline_profiles_unreadable", "Kinds of documents that can't be understood."),
            lookup_found: lookups("found"),
            lookup_unknown: lookups("unknown"),
            lookup_failed: lookups("failed"),
        }
    }
}
