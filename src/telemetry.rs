//! Logs and the recorder of metrics.

mod limit;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use self::limit::Limit;
use crate::config;
use crate::metrics::SECONDS;

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.level` is no filter.
    #[error("log.level: \"{given}\" is no level and no filter: {message}")]
    Level {
        /// What was given.
        given: String,
        /// What is wrong with it.
        message: String,
    },
    /// Set up twice.
    #[error("logging is set up already")]
    Twice,
    /// The recorder of metrics.
    #[error("metrics can't be set up: {0}")]
    Metrics(String),
}

/// Starts logging to standard error, rate limited.
///
/// # Errors
/// A level that is none, or a second call in one process.
pub fn log(config: &config::Log) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&config.level)
        .map_err(|error| TelemetryError::Level { given: config.level.clone(), message: error.to_string() })?;
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = if config.json {
        lines.json().flatten_event(true).boxed()
    } else {
        lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed()
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines.with_filter(Limit::default()));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError::Twice)
}

/// Installs the recorder of metrics; the handle renders them for a scrape. Its owner calls `run_upkeep` now and then.
///
/// # Errors
/// A second call in one process.
pub fn metrics() -> Result<PrometheusHandle, TelemetryError> {
    let failed = |error: BuildError| TelemetryError::Metrics(error.to_string());
    let builder = PrometheusBuilder::new();
    let builder = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS).map_err(failed)?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    ::metrics::set_global_recorder(recorder).map_err(|error| TelemetryError::Metrics(error.to_string()))?;
    Ok(handle)
}
