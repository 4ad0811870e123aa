//! Says on `/ready` whether the care graph answers, also while nobody is alerted.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Neo4j;
use crate::status::Part;

/// Often enough that a person who looks sees the truth, seldom enough to cost nothing.
const EVERY: Duration = Duration::from_secs(10);

/// Asks for the constraints now and then until `stop`, and tells `part`.
pub async fn run(graph: Neo4j, part: Part, stop: CancellationToken) {
    let rounds = async {
        loop {
            match graph.check_constraints().await {
                Ok(()) => part.ok(),
                Err(error) if error.retry => {
                    part.degraded(format!("{error}; nobody can be looked up who is to be told"));
                }
                Err(error) => part.degraded(error.to_string()),
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    stop.run_until_cancelled(rounds).await;
}
