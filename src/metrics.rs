//! Every metric: its name, its help, its labels and its buckets. Nothing outside this module names a metric.
//!
//! Each stage has a struct of handles, registered once at start; a handle is two atomic operations, a look-up by name
//! is a hash and a lock. Labels come from closed lists only: never a device, a patient or an error text.

pub mod account;
pub mod enrich;
pub mod intake;
pub mod journal;
pub mod notify;
pub mod store;
pub mod watch;

use metrics::{Counter, Gauge, Histogram, Label};

/// Buckets for delays, in seconds: from a fast commit to a long outage.
pub const SECONDS: [f64; 18] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 600.0];

fn counter(name: &'static str, help: &'static str) -> Counter {
    metrics::describe_counter!(name, help);
    metrics::counter!(name)
}

fn counter_with(name: &'static str, help: &'static str, label: &'static str, value: &'static str) -> Counter {
    metrics::describe_counter!(name, help);
    metrics::counter!(name, vec![Label::from_static_parts(label, value)])
}

fn gauge(name: &'static str, help: &'static str) -> Gauge {
    metrics::describe_gauge!(name, help);
    metrics::gauge!(name)
}

fn gauge_with(name: &'static str, help: &'static str, label: &'static str, value: &'static str) -> Gauge {
    metrics::describe_gauge!(name, help);
    metrics::gauge!(name, vec![Label::from_static_parts(label, value)])
}

/// Delays in seconds, in the buckets of [`SECONDS`]. Record one value per group or batch, not one per message:
/// each record is kept in memory until the next scrape.
fn seconds(name: &'static str, help: &'static str) -> Histogram {
    metrics::describe_histogram!(name, help);
    metrics::histogram!(name)
}
