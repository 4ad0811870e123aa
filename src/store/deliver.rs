//! One batch until every reading of it is stored or refused: what to do with each answer of the store.
//!
//! | answer | what it means | what follows |
//! | --- | --- | --- |
//! | stored | all points are there | on with the next |
//! | retry | the server or the way to it has a problem | the same bytes again, with jitter, for ever; its own wait wins |
//! | hold | the server does not let us: token, bucket, organisation | an alarm, and a try now and then; nothing is dropped |
//! | too large | the request is beyond a limit | two halves; later batches are smaller |
//! | malformed | nothing was written because of some line | two halves, down to the bad line, which is dead-lettered |
//! | partial | the rest was written, some points were refused | the same; writing the good ones again changes nothing |

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::batch::{Batch, Part};
use super::buckets::Bucket;
use super::{VitalStore, WriteError};
use crate::config;
use crate::metrics::store::Store as Metrics;
use crate::reading::EnrichedReading;
use crate::retry::Jitter;

/// What became of a batch.
#[derive(Debug)]
pub(super) struct Delivered<'a> {
    /// How many readings are stored.
    pub(super) stored: u64,
    /// Those that the store refused, with its words.
    pub(super) refused: Vec<(&'a EnrichedReading, String)>,
}

/// Delivers batches of one bucket.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) metrics: Metrics,
    pub(super) bucket: Bucket,
    pub(super) backoff: config::Backoff,
    pub(super) hold_retry: Duration,
    /// The largest request that the server is known to take, bytes; learnt from its refusals.
    pub(super) max_bytes: usize,
}

impl Delivery {
    /// Delivers a batch; `None` when the hard stop came first. Then nothing is lost: the cursor has not moved.
    pub(super) async fn deliver<'a, S: VitalStore>(
        &mut self,
        store: &S,
        batch: &'a Batch,
        stop: &CancellationToken,
    ) -> Option<Delivered<'a>> {
        let mut delivered = Delivered { stored: 0, refused: Vec::new() };
        let mut jitter = Jitter::new(self.backoff);
        let mut stack = vec![batch.whole()];
        while let Some(part) = stack.pop() {
            if part.lines().len() > self.max_bytes && part.len() > 1 {
                split(part, &mut stack);
                continue;
            }
            let answer = tokio::select! {
                answer = store.write(part.clone()) => answer,
                () = stop.cancelled() => return None,
            };
            let wait = match answer {
                Ok(()) => {
                    delivered.stored += part.len() as u64;
                    jitter.reset();
                    self.bucket.ok();
                    continue;
                }
                Err(WriteError::Retry { after, reason }) => {
                    self.metrics.retries.increment(1);
                    let wait = after.unwrap_or_default().max(jitter.next_wait());
                    self.bucket
                        .degraded(format!("{reason}; tried again until it works, the journal holds the readings"));
                    wait
                }
                Err(WriteError::Hold { reason }) => {
                    self.metrics.holds.increment(1);
                    self.bucket
                        .degraded(format!("{reason}; nothing is dropped, tried again every {:?}", self.hold_retry));
                    self.hold_retry
                }
                Err(WriteError::TooLarge { reason }) => {
                    self.bucket.ok();
                    if part.len() > 1 {
                        self.max_bytes = self.max_bytes.min(part.lines().len() / 2);
                    }
                    split_or_refuse(part, reason, &mut stack, &mut delivered);
                    continue;
                }
                Err(WriteError::Malformed { reason }) => {
                    self.bucket.ok();
                    split_or_refuse(part, reason, &mut stack, &mut delivered);
                    continue;
                }
                Err(WriteError::Partial { reason, dropped }) => {
                    self.bucket.ok();
                    if dropped == Some(part.len() as u64) {
                        delivered.refused.extend(part.readings().map(|reading| (reading, reason.clone())));
                    } else {
                        split_or_refuse(part, reason, &mut stack, &mut delivered);
                    }
                    continue;
                }
            };
            stack.push(part);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return None,
            }
        }
        Some(delivered)
    }
}

/// The halves, the first one on top.
fn split<'a>(part: Part<'a>, stack: &mut Vec<Part<'a>>) {
    let [first, rest] = part.halves();
    stack.extend([rest, first]);
}

/// Comes closer to the bad reading by half, or has found it.
fn split_or_refuse<'a>(part: Part<'a>, reason: String, stack: &mut Vec<Part<'a>>, delivered: &mut Delivered<'a>) {
    match part.len() {
        0 => {}
        1 => delivered.refused.extend(part.readings().map(|reading| (reading, reason.clone()))),
        _ => split(part, stack),
    }
}
