//! `wardline init`: makes in each peer what wardline relies on there. May be run again at any time.
//!
//! Each peer is tried even when one before it failed, so that one run says all that is wrong.

use std::future::Future;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use super::EXIT_WRONG;
use super::output::Output;
use crate::care::PeerError;
use crate::config::{self, Config};
use crate::peers::Made;
use crate::peers::influx::{InfluxDb, InfluxError};
use crate::peers::mongo::Mongo;
use crate::peers::neo4j::Neo4j;

/// How long Neo4j may take for one statement of the set-up, at least.
const FIRST_STATEMENT: Duration = Duration::from_secs(30);

/// Sets up all peers, and prints one line for each thing made or already there.
pub(super) fn init(config: &Config, output: &Output) -> anyhow::Result<ExitCode> {
    // A server that has just started takes many seconds for its first statement.
    let neo4j = config::Neo4j { timeout: config.neo4j.timeout.max(FIRST_STATEMENT), ..config.neo4j.clone() };
    let (mongo, neo4j) = (Mongo::new(config.mongodb.clone()), Neo4j::new(neo4j));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let went_well = runtime.block_on(async {
        let mongo = set_up(output, mongo.init()).await?;
        let neo4j = set_up(output, neo4j.init()).await?;
        let influx = set_up(output, buckets(config)).await?;
        io::Result::Ok(mongo && neo4j && influx)
    });
    runtime.shutdown_background();
    Ok(if went_well? { ExitCode::SUCCESS } else { ExitCode::from(EXIT_WRONG) })
}

/// The bucket of each configured region.
async fn buckets(config: &Config) -> Result<Vec<Made>, PeerError> {
    let failed = |error: &InfluxError| PeerError { peer: "influxdb", message: error.to_string(), retry: true };
    if config.mqtt.regions.is_empty() {
        let message = "mqtt.regions is empty: name the regions, so that their buckets can be made".to_owned();
        return Err(PeerError { peer: "influxdb", message, retry: false });
    }
    let influx = InfluxDb::new(&config.influxdb).map_err(|error| failed(&error))?;
    let new = influx.ensure_buckets(&config.mqtt.regions).await.map_err(|error| failed(&error))?;
    let made = config.mqtt.regions.iter().map(|region| {
        let bucket = influx.bucket(region);
        Made { new: new.contains(&bucket), what: format!("influxdb bucket {bucket}") }
    });
    Ok(made.collect())
}

/// One peer: prints what was made, or why it was not; whether it went well.
async fn set_up(output: &Output, init: impl Future<Output = Result<Vec<Made>, PeerError>>) -> io::Result<bool> {
    match init.await {
        Ok(made) => {
            for Made { what, new } in made {
                output.state(if new { "made" } else { "there" }, &what)?;
            }
            Ok(true)
        }
        Err(error) => {
            output.state("failed", &error.to_string())?;
            Ok(false)
        }
    }
}
