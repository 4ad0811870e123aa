//! From the broker to the journal: sessions, payload formats, validation, acknowledgement.

pub mod duplicates;
pub mod json;
pub mod payload;
