//! wardline takes vital signs from bedside devices over MQTT and makes sure that every reading reaches InfluxDB, and
//! that the right doctor hears of the ones that matter.

pub mod account;
pub mod care;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dead_letter;
pub mod enrich;
pub mod http;
pub mod intake;
pub mod journal;
pub mod limits;
pub mod metrics;
pub mod notify;
pub mod peers;
pub mod pipeline;
pub mod reading;
pub mod retry;
pub mod shutdown;
pub mod stages;
pub mod status;
pub mod store;
pub mod telemetry;
pub mod validate;
pub mod vital;
pub mod watch;
