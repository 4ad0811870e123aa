//! Simulated bedside devices: patients with a physiology, devices that publish over real MQTT, faults on demand, and a
//! ledger of everything that was sent, which is the oracle of what must be stored and who must be told.
//!
//! It knows wardline only by its contracts (topics, payload, measurement), never by its code: an oracle that shared code
//! with what it judges would share its mistakes.

pub mod bed;
pub mod broker;
pub mod cli;
mod connection;
pub mod episode;
pub mod fault;
pub mod fleet;
pub mod ledger;
pub mod payload;
pub mod physiology;
pub mod replay;
pub mod seed;
pub mod tally;
pub mod values;
pub mod verify;
pub mod ward;
