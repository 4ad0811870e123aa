//! wardline takes vital signs from bedside devices over MQTT and makes sure that every reading reaches InfluxDB, and
//! that the right doctor hears of the ones that matter.
//!
//! The modules below are in reading order. [`pipeline`] shows the flow on one screen; `ARCHITECTURE.md` has the picture,
//! the invariants and the decisions.

// What flows: vitals in readings, and the limits that go with them.
pub mod vital;

pub mod limits;

pub mod reading;

// The flow itself, and its stages in the order in which a message meets them.
pub mod pipeline;

pub mod intake;

pub mod validate;

pub mod enrich;

pub mod journal;

pub mod dead_letter;

pub mod store;

pub mod watch;

pub mod notify;

// The databases around it: what the stages ask of the care databases, and the adapters.
pub mod care;

pub mod peers;

// How it is run and seen.
pub mod account;
pub mod cli;
pub mod clock;
pub mod config;
pub mod http;
pub mod metrics;
pub mod retry;
pub mod shutdown;
pub mod stages;
pub mod status;
pub mod telemetry;
