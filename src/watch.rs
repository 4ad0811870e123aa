//! The watch consumer: from the journal's cursor to what people must know.
//!
//! Alerts, the state that led to them and the cursor are written in one transaction. A crash before it replays the
//! readings, and since detection depends on nothing but readings and state, it comes to the same alerts with the same
//! ids; a crash after it replays nothing. Without alerts there is a checkpoint each second.

mod asystole;
pub mod condition;
pub mod detector;
pub mod episode;
mod limits;
pub mod state;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::detector::{Detector, Event};
use crate::config::Config;
use crate::journal::{Consumer, Journal, JournalError, set_cursor};
use crate::metrics::watch::Watch as Metrics;
use crate::notify::outbox;
use crate::reading::{Millis, Quality};
use crate::vital::Vital;

/// How often the cursor and the state are saved when nothing happens.
const CHECKPOINT: Duration = Duration::from_secs(1);

/// How long to wait before a checkpoint is tried again on a full disk.
const FULL_WAIT: Duration = Duration::from_millis(500);

/// Whether a vital means anything under a quality. A poor signal is judged: a false alarm costs less than a missed one.
fn trusted(vital: Vital, quality: Quality) -> bool {
    match quality {
        Quality::Good | Quality::Poor => true,
        Quality::LeadOff => !matches!(vital, Vital::HeartRate | Vital::RespRate),
        Quality::ProbeOff => !matches!(vital, Vital::Spo2 | Vital::PulseRate),
        Quality::Inoperative => false,
    }
}

/// Runs until the journal has ended; `told` wakes whoever notifies.
///
/// # Errors
/// When the journal can't be read or written.
pub async fn run(
    journal: Journal,
    config: Config,
    told: Arc<Notify>,
    hard_stop: CancellationToken,
) -> Result<(), JournalError> {
    let metrics = Metrics::register();
    let live_within = Millis::try_from(config.intake.live_within.as_millis()).unwrap_or(Millis::MAX);
    let subjects = journal.read(state::load).await?;
    let mut detector = Detector::new(config.watch, live_within, subjects);
    let mut feed = journal.feed(Consumer::Watch);
    let mut events = Vec::new();
    let mut saved = Instant::now();
    loop {
        let group = tokio::select! {
            group = feed.next() => group?,
            () = tokio::time::sleep_until(saved + CHECKPOINT), if feed.position() > feed.cursor() => {
                checkpoint(&journal, &mut detector, &mut events, feed.position()).await?;
                feed.advance(feed.position());
                saved = Instant::now();
                continue;
            }
            () = hard_stop.cancelled() => return Ok(()),
        };
        let Some(group) = group else { break };
        for reading in &group.readings {
            if !detector.observe(reading, &mut events) {
                metrics.late.increment(1);
            }
        }
        if let Some(last) = group.readings.last() {
            let age = crate::clock::now_ms().saturating_sub(last.reading.received);
            metrics.lag_seconds.set(age as f64 / 1000.0);
        }
        if !events.is_empty() || saved.elapsed() >= CHECKPOINT {
            events.iter().for_each(|event| metrics.phase(event.phase).increment(1));
            let news = !events.is_empty();
            checkpoint(&journal, &mut detector, &mut events, group.end()).await?;
            feed.advance(group.end());
            saved = Instant::now();
            if news {
                told.notify_one();
            }
            metrics.open.set(detector.open_episodes() as f64);
        }
    }
    checkpoint(&journal, &mut detector, &mut events, feed.position()).await?;
    feed.advance(feed.position());
    Ok(())
}

/// One transaction: what people must know, the state, the cursor.
async fn checkpoint(
    journal: &Journal,
    detector: &mut Detector,
    events: &mut Vec<Event>,
    next_seq: u64,
) -> Result<(), JournalError> {
    let work = Arc::new((std::mem::take(events), detector.take_changed()));
    loop {
        let this = Arc::clone(&work);
        let written = journal.write(move |connection| {
            let (events, changed) = &*this;
            outbox::add(connection, events)?;
            state::save(connection, changed)?;
            set_cursor(connection, Consumer::Watch, next_seq)
        });
        match written.await {
            // Alerts are kept in memory until there is room; the reserve makes that soon.
            Err(JournalError::Full) => tokio::time::sleep(FULL_WAIT).await,
            other => return other,
        }
    }
}
