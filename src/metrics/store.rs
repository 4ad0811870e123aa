//! Metrics of the store consumer.

use metrics::{Counter, Gauge, Histogram};

use super::{counter, gauge, seconds};

/// The gauge of [`register_lag`].
const LAG: &str = "wardline_store_lag_seconds";

/// The gauge of how long the oldest reading that is not stored has been waiting, over all buckets.
pub fn register_lag() -> Gauge {
    gauge(LAG, "Age of the oldest reading that is not stored.")
}

/// Seconds of [`register_lag`] in a rendered scrape.
#[must_use]
pub fn lag(scrape: &str) -> f64 {
    let value = scrape.lines().find_map(|line| line.strip_prefix(LAG)?.trim().parse().ok());
    value.unwrap_or_default()
}

/// Handles of one bucket's delivery; all buckets share the series.
#[derive(Debug, Clone)]
pub struct Store {
    /// Batches stored.
    pub batches: Counter,
    /// Readings of the last batch.
    pub batch_readings: Gauge,
    /// One batch from its first try until it is stored.
    pub delivery_seconds: Histogram,
    /// From the reception of a batch's oldest reading until it is stored.
    pub delay_seconds: Histogram,
    /// Tries that were answered with a passing problem.
    pub retries: Counter,
    /// Tries that the server did not let us make.
    pub holds: Counter,
}

impl Store {
    /// Registers the metrics.
    #[must_use]
    pub fn register() -> Self {
        Self {
            batches: counter("wardline_store_batches_total", "Batches stored."),
            batch_readings: gauge("wardline_store_batch_readings", "Readings of the last batch."),
            delivery_seconds: seconds("wardline_store_delivery_seconds", "One batch, first try to stored."),
            delay_seconds: seconds("wardline_store_delay_seconds", "Oldest reading of a batch, received to stored."),
            retries: counter("wardline_store_retries_total", "Tries that met a passing problem."),
            holds: counter("wardline_store_holds_total", "Tries that the server refused: token, bucket, organisation."),
        }
    }
}
