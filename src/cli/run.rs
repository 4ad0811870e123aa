//! `wardline run`: the pipeline on the real databases, until SIGTERM.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;

use super::EXIT_USAGE;
use crate::account::Account;
use crate::care::PeerError;
use crate::config::Config;
use crate::http::{self, Shown};
use crate::peers::both::Both;
use crate::peers::influx::InfluxDb;
use crate::peers::mongo::Mongo;
use crate::peers::neo4j::{self, Neo4j};
use crate::pipeline::{self, Peers};
use crate::shutdown::Shutdown;
use crate::status::Status;
use crate::telemetry;

pub(super) fn run(config: Config) -> anyhow::Result<ExitCode> {
    telemetry::log(&config.log)?;
    let shown = Shown { status: Status::new(), metrics: telemetry::metrics()?, account: Arc::new(Account::new()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    let outcome = runtime.block_on(pipeline(&config, shown));
    // A peer that does not answer must not hold up the end of the process: what it was asked is in the journal.
    runtime.shutdown_background();
    outcome
}

/// Two: the stages wait far more than they work, and each further thread costs wake-ups.
const WORKERS: usize = 2;

async fn pipeline(config: &Config, shown: Shown) -> anyhow::Result<ExitCode> {
    let shutdown = Shutdown::new(config.shutdown.deadline);
    shutdown.on_signals()?;
    let (status, account) = (shown.status.clone(), Arc::clone(&shown.account));
    let address = http::serve(config.http.listen, shown, shutdown.hard.clone())
        .with_context(|| format!("can't listen on http.listen = \"{}\"", config.http.listen))?;
    tracing::info!(%address, "health and metrics: /live, /ready, /metrics");

    let influx = Arc::new(InfluxDb::new(&config.influxdb)?);
    let (mongo, graph) = (Mongo::new(config.mongodb.clone()), Neo4j::new(config.neo4j.clone()));
    tokio::spawn(neo4j::watch(graph.clone(), status.part("neo4j"), shutdown.hard.clone()));
    let alerts = Both(mongo.clone(), Arc::clone(&influx));
    let peers = Peers { vitals: influx, profiles: mongo.clone(), care: graph.clone(), alerts };
    // Beside the intake, not before it: a broker's queue overflows while a peer that is away is waited for.
    let (outcome, is_set_up) = tokio::join!(
        async {
            let outcome = pipeline::run(config, peers, &status, account, &shutdown).await;
            shutdown.hard.cancel();
            outcome
        },
        is_set_up(&mongo, &graph, &shutdown),
    );
    outcome?;
    if !is_set_up {
        return Ok(ExitCode::from(EXIT_USAGE));
    }
    tracing::info!("stopped in order");
    Ok(ExitCode::SUCCESS)
}

/// Stops what has begun when the databases answer that they lack their indexes or constraints. One that does not answer
/// is looked at when it is back, and then says so on `/ready`.
async fn is_set_up(mongo: &Mongo, graph: &Neo4j, shutdown: &Shutdown) -> bool {
    let checks = async { tokio::join!(mongo.check_indexes(), graph.check_constraints()) };
    let Some((indexes, constraints)) = shutdown.hard.run_until_cancelled(checks).await else { return true };
    let mut is_set_up = true;
    for error in [indexes, constraints].into_iter().filter_map(Result::err) {
        let PeerError { retry, peer, message } = error;
        if retry {
            tracing::warn!(peer, reason = message, "started without it");
        } else {
            tracing::error!(peer, reason = message, "not set up: stopping");
            is_set_up = false;
        }
    }
    if !is_set_up {
        shutdown.soft.cancel();
    }
    is_set_up
}
