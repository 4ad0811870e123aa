//! `wardline init`: makes in each peer what wardline relies on there. May be run again at any time.
//!
//! Each peer is tried even when one before it failed, so that one run says all that is wrong.

use std::future::Future;
use std::io::{self, Write};

use crate::care::PeerError;
use crate::config::Config;
use crate::peers::Made;
use crate::peers::mongo::Mongo;
use crate::peers::neo4j::Neo4j;

/// Why `init` did not do all it should.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Some peers could not be set up; each was named in a line of the output.
    #[error("{0} of the peers could not be set up; see above")]
    Peers(usize),
    /// The output could not be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
}

/// Sets up all peers, and prints one line for each thing made or already there.
pub async fn run(config: &Config, output: &mut impl Write) -> Result<(), InitError> {
    let (mongo, neo4j) = (Mongo::new(config.mongodb.clone()), Neo4j::new(config.neo4j.clone()));
    let mut failed = 0;
    failed += usize::from(!set_up(output, mongo.init()).await?);
    failed += usize::from(!set_up(output, neo4j.init()).await?);
    if failed == 0 { Ok(()) } else { Err(InitError::Peers(failed)) }
}

/// One peer: prints what was made, or why it was not; whether it went well.
async fn set_up(output: &mut impl Write, init: impl Future<Output = Result<Vec<Made>, PeerError>>) -> io::Result<bool> {
    match init.await {
        Ok(made) => {
            for Made { what, new } in made {
                writeln!(output, "{:<8} {what}", if new { "made" } else { "there" })?;
            }
            Ok(true)
        }
        Err(error) => {
            writeln!(output, "{:<8} {error}", "failed")?;
            Ok(false)
        }
    }
}
