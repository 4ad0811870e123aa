//! The store consumer: from the journal's cursor to batches in the time-series store, bucket by bucket.
//!
//! Each region has a bucket, and each bucket a task with a feed of its own, so that one that is slow or refuses delays no
//! other and nothing is held in memory for it: its readings stay in the journal. The cursor is the place that every
//! bucket is past. Batches are encoded once and sent again with the same bytes; a reading's identity (measurement,
//! tags, time) makes that harmless.

pub mod batch;
mod bucket;
mod buckets;
mod deliver;
pub mod line;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::bucket::{BucketTask, Place};
use self::buckets::Buckets;
use crate::account::Account;
use crate::config::Config;
use crate::journal::{Consumer, Journal, JournalError};
use crate::metrics::store::register_lag;
use crate::status::Part;

/// Why a write did not do all that was asked. Each kind says what the caller must do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Send the same again, after the server's own wait if it gave one.
    #[error("{reason}")]
    Retry {
        /// The least wait.
        after: Option<Duration>,
        /// What happened, for a person.
        reason: String,
    },
    /// Somebody must change a setting first; hold everything and try now and then.
    #[error("{reason}")]
    Hold {
        /// What happened and what to do, for a person.
        reason: String,
    },
    /// Send less at once.
    #[error("{reason}")]
    TooLarge {
        /// What happened, for a person.
        reason: String,
    },
    /// Nothing was written because of some line; find it.
    #[error("{reason}")]
    Malformed {
        /// What the server says of it.
        reason: String,
    },
    /// All but some points were written; find them.
    #[error("{reason}")]
    Partial {
        /// What the server says of them.
        reason: String,
        /// How many, if it says so.
        dropped: Option<u64>,
    },
}

/// Where readings are stored.
pub trait VitalStore {
    /// Writes the readings of one region; when it returns `Ok`, all are durable and can be queried.
    fn write(&self, part: batch::Part<'_>) -> impl Future<Output = Result<(), WriteError>> + Send;
}

/// Runs until the journal has ended and everything is stored, or until `hard_stop`.
///
/// # Errors
/// When the journal can't be read or written.
pub async fn run<S>(
    journal: Journal,
    store: Arc<S>,
    config: Config,
    account: Arc<Account>,
    part: Part,
    hard_stop: CancellationToken,
) -> Result<(), JournalError>
where
    S: VitalStore + Send + Sync + 'static,
{
    let buckets = Buckets::new(part);
    let mut tasks: JoinSet<Result<(), JournalError>> = JoinSet::new();
    let mut places: HashMap<Arc<str>, Place> = HashMap::new();
    // This feed only looks for regions; each bucket's own feed brings it its readings.
    let mut scout = journal.feed(Consumer::Store);
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let (lag, mut ended) = (register_lag(), false);
    while !ended {
        tokio::select! {
            group = scout.next() => match group? {
                None => ended = true,
                Some(group) => {
                    for reading in &group.readings {
                        let region = &reading.context.region;
                        if !places.contains_key(region) {
                            let place = Place::at(group.first_seq);
                            places.insert(Arc::clone(region), place.clone());
                            let task = BucketTask::new(
                                Arc::clone(region), &journal, &config, &account, buckets.of(Arc::clone(region)), place,
                            );
                            tasks.spawn(task.run(Arc::clone(&store), hard_stop.clone()));
                        }
                    }
                }
            },
            Some(ended) = tasks.join_next() => flatten(ended)?,
            () = hard_stop.cancelled() => break,
            _ = tick.tick() => {
                let now = crate::clock::now_ms();
                let longest = places.values().map(|place| place.lag(now)).max();
                lag.set(longest.unwrap_or_default() as f64 / 1000.0);
            }
        }
        advance(&scout, &places);
    }
    while let Some(ended) = tasks.join_next().await {
        flatten(ended)?;
    }
    advance(&scout, &places);
    Ok(())
}

/// The cursor is where every bucket is past, and the search for regions too: a bucket that is ahead of it may have
/// passed the first reading of a region that has no bucket's task yet.
fn advance(scout: &crate::journal::Feed, places: &HashMap<Arc<str>, Place>) {
    if let Some(done) = places.values().map(Place::get).min() {
        scout.advance(done.min(scout.position()));
    }
}

fn flatten(ended: Result<Result<(), JournalError>, tokio::task::JoinError>) -> Result<(), JournalError> {
    ended.unwrap_or_else(|error| Err(JournalError::Statement(format!("a bucket's task ended: {error}"))))
}
