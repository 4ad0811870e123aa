//! The adapters: each speaks to one peer, implements the ports of the stages that need it, and keeps the peer's own types
//! to itself. Every call is bounded in time.

pub mod both;
pub mod embedded;
pub mod influx;
pub mod mongo;
pub mod neo4j;

/// One thing that `wardline init` sees to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// What it is, for a person.
    pub what: String,
    /// Whether it was made now; otherwise it was there.
    pub new: bool,
}
