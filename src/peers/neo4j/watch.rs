//! Says on `/ready` whether the care graph answers, also while nobody is alerted.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Neo4j;
use crate::care::CareGraph as _;
use crate::clock;
use crate::status::Part;

/// Often enough that a person who looks sees the truth, seldom enough to cost nothing.
const EVERY: Duration = Duration::from_secs(10);

/// No patient and no ward has this name, which is no identifier.
const NOBODY: &str = "";

/// Asks for the constraints now and then until `stop`, and tells `part`.
///
/// A server plans a statement when it first sees it, which takes up to a second: so it sees those that look for
/// recipients as soon as it is there, and not when somebody is to be told.
pub async fn run(graph: Neo4j, part: Part, stop: CancellationToken) {
    let rounds = async {
        let mut planned = false;
        loop {
            match graph.check_constraints().await {
                Ok(()) => {
                    part.ok();
                    planned = planned || graph.recipients(NOBODY, NOBODY, NOBODY, clock::now_ms()).await.is_ok();
                }
                Err(error) if error.retry => {
                    planned = false;
                    part.degraded(format!("{error}; nobody can be looked up who is to be told"));
                }
                Err(error) => part.degraded(error.to_string()),
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    stop.run_until_cancelled(rounds).await;
}
