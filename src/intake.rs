//! From the broker to the journal: sessions, payload formats, validation, acknowledgement.
//!
//! Nothing is acknowledged before it is on disk, and then in receive order, on the connection that delivered it. The
//! window of unacknowledged messages (Receive Maximum) is what slows a broker down when the disk does.

pub mod acks;
pub mod connect;
pub mod draft;
pub mod duplicates;
pub mod event_loop;
mod failure;
pub mod filters;
mod json;
pub mod link;
pub mod payload;
pub mod prepare;
pub mod session;
mod tls_failure;
