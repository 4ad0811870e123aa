//! One bucket: its readings from the journal, batch after batch, one request at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::VitalStore;
use super::batch::Batch;
use super::buckets::Bucket;
use super::deliver::{Delivered, Delivery};
use crate::account::Account;
use crate::config::{self, Config};
use crate::dead_letter::{self, DeadLetter};
use crate::journal::{Feed, Group, Journal, JournalError};
use crate::metrics::store::Store as Metrics;
use crate::reading::{EnrichedReading, Millis, Reason, Source};

/// How long to wait before a dead letter is tried again on a full disk.
const FULL_WAIT: Duration = Duration::from_millis(500);

/// How far one bucket is, for those who look from outside.
#[derive(Debug, Clone)]
pub(super) struct Place {
    done: Arc<AtomicU64>,
    /// When the oldest reading of the batch was received; `NOTHING` while there is no batch.
    oldest: Arc<AtomicI64>,
}

const NOTHING: Millis = Millis::MAX;

impl Place {
    pub(super) fn at(seq: u64) -> Self {
        Self { done: Arc::new(AtomicU64::new(seq)), oldest: Arc::new(AtomicI64::new(NOTHING)) }
    }

    /// Everything below this sequence number is done.
    pub(super) fn get(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }

    /// How long the oldest reading has been waiting, milliseconds; 0 when none does.
    pub(super) fn lag(&self, now: Millis) -> Millis {
        now.saturating_sub(self.oldest.load(Ordering::Relaxed)).max(0)
    }

    fn set(&self, seq: u64) {
        self.done.store(seq, Ordering::Release);
    }

    fn waits_since(&self, received: Millis) {
        self.oldest.fetch_min(received, Ordering::Relaxed);
    }

    fn nothing_waits(&self) {
        self.oldest.store(NOTHING, Ordering::Relaxed);
    }
}

/// The task of one bucket.
#[derive(Debug)]
pub(super) struct BucketTask {
    region: Arc<str>,
    journal: Journal,
    feed: Feed,
    place: Place,
    bounds: config::Store,
    delivery: Delivery,
    account: Arc<Account>,
    batch: Batch,
    /// When the batch must go, whatever its size.
    due: Option<Instant>,
    metrics: Metrics,
}

impl BucketTask {
    pub(super) fn new(
        region: Arc<str>,
        journal: &Journal,
        config: &Config,
        account: &Arc<Account>,
        bucket: Bucket,
        place: Place,
    ) -> Self {
        let metrics = Metrics::register();
        let delivery = Delivery {
            metrics: metrics.clone(),
            bucket,
            backoff: config.influxdb.backoff,
            hold_retry: config.influxdb.hold_retry,
            max_bytes: usize::MAX,
        };
        Self {
            region,
            journal: journal.clone(),
            feed: journal.feed_from(crate::journal::Consumer::Store, place.get()),
            place,
            bounds: config.store.clone(),
            delivery,
            account: Arc::clone(account),
            batch: Batch::default(),
            due: None,
            metrics,
        }
    }

    /// Runs until the journal has ended and everything is stored, or until `stop`.
    pub(super) async fn run<S: VitalStore>(
        mut self,
        store: Arc<S>,
        stop: CancellationToken,
    ) -> Result<(), JournalError> {
        loop {
            let due = self.due;
            let group = tokio::select! {
                biased;
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if self.flush(&*store, &stop).await?.is_none() {
                        return Ok(());
                    }
                    self.place.set(self.feed.position());
                    continue;
                }
                group = self.feed.next() => group?,
                () = stop.cancelled() => return Ok(()),
            };
            let Some(group) = group else { break };
            if self.take(&group, &*store, &stop).await?.is_none() {
                return Ok(());
            }
        }
        if self.flush(&*store, &stop).await?.is_some() {
            self.place.set(self.feed.position());
        }
        Ok(())
    }

    /// Adds a group's readings of this region, and delivers whenever the batch is full. `None`: stopped.
    async fn take<S: VitalStore>(
        &mut self,
        group: &Arc<Group>,
        store: &S,
        stop: &CancellationToken,
    ) -> Result<Option<()>, JournalError> {
        for (index, reading) in group.readings.iter().enumerate() {
            // The same text is nearly always the same allocation.
            if !Arc::ptr_eq(&reading.context.region, &self.region) && reading.context.region != self.region {
                continue;
            }
            self.batch.push(group, index);
            self.place.waits_since(reading.reading.received);
            if self.batch.len() >= self.bounds.max_lines || self.batch.bytes() >= self.bounds.max_bytes {
                if self.flush(store, stop).await?.is_none() {
                    return Ok(None);
                }
                self.place.set(group.first_seq + index as u64 + 1);
            }
        }
        if self.batch.is_empty() {
            self.place.set(group.end());
            self.due = None;
        } else {
            self.due.get_or_insert_with(|| Instant::now() + self.bounds.max_age);
        }
        Ok(Some(()))
    }

    /// Delivers what has been collected. `None`: stopped before it was.
    async fn flush<S: VitalStore>(&mut self, store: &S, stop: &CancellationToken) -> Result<Option<()>, JournalError> {
        self.due = None;
        if self.batch.is_empty() {
            return Ok(Some(()));
        }
        let begun = Instant::now();
        let batch = std::mem::take(&mut self.batch);
        let oldest = batch.whole().readings().map(|enriched| enriched.reading.received).min().unwrap_or_default();
        let Some(Delivered { stored, refused }) = self.delivery.deliver(store, &batch, stop).await else {
            return Ok(None);
        };
        if !refused.is_empty() {
            self.bury(refused).await?;
        }
        self.account.stored(stored);
        self.metrics.batches.increment(1);
        self.metrics.batch_readings.set(batch.len() as f64);
        self.metrics.delivery_seconds.record(begun.elapsed());
        let delay = u64::try_from(crate::clock::now_ms().saturating_sub(oldest)).unwrap_or(0);
        self.metrics.delay_seconds.record(Duration::from_millis(delay));
        self.place.nothing_waits();
        self.batch = batch;
        self.batch.clear();
        Ok(Some(()))
    }

    /// Makes dead letters of what the store refused; the cursor moves only after they are on disk.
    async fn bury(&self, refused: Vec<(&EnrichedReading, String)>) -> Result<(), JournalError> {
        tracing::error!(region = %self.region, readings = refused.len(), reason = %refused.first().map_or("", |(_, reason)| reason),
            "the store refuses readings; they are dead letters now: wardline dead-letter list --reason store_refused");
        let letters: Vec<DeadLetter> = refused.into_iter().map(|(reading, reason)| letter(reading, reason)).collect();
        let count = letters.len();
        let letters = Arc::new(letters);
        loop {
            let letters = Arc::clone(&letters);
            let written = self.journal.write(move |connection| {
                letters.iter().try_for_each(|letter| dead_letter::insert(connection, letter, crate::clock::now_ms()))
            });
            match written.await {
                Err(JournalError::Full) => tokio::time::sleep(FULL_WAIT).await,
                other => break other?,
            }
        }
        (0..count).for_each(|_| self.account.dead_lettered(Reason::StoreRefused));
        Ok(())
    }
}

/// The dead letter of a refused reading: as native JSON on its topic, so that it can be sent again.
fn letter(enriched: &EnrichedReading, detail: String) -> DeadLetter {
    let EnrichedReading { reading, context } = enriched;
    let source = Source {
        region: Arc::clone(&context.region),
        ward: Arc::clone(&context.ward),
        device: Arc::clone(&context.device),
    };
    let vitals: serde_json::Map<_, _> =
        reading.vitals.iter().map(|(vital, value)| (vital.name().to_owned(), value.into())).collect();
    let payload = serde_json::json!({
        "device": &*context.device,
        "seq": reading.seq,
        "time": reading.time,
        "vitals": vitals,
        "quality": reading.quality.name(),
    });
    DeadLetter {
        at: reading.received,
        reason: Reason::StoreRefused,
        detail,
        topic: source.topic().into_bytes(),
        payload: payload.to_string().into_bytes(),
    }
}
