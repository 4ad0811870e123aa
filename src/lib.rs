//! wardline takes vital signs from bedside devices over MQTT and makes sure that every reading reaches InfluxDB, and
//! that the right doctor hears of the ones that matter.

pub mod config;
pub mod journal;
pub mod limits;
mod metrics;
pub mod reading;
pub mod vital;
