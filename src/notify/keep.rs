//! Takes the events of alerts from the outbox to the alert store, at its pace: it delays no notification.

use tokio_util::sync::CancellationToken;

use super::outbox;
use crate::care::AlertStore;
use crate::config::Backoff;
use crate::journal::{Journal, JournalError};
use crate::metrics::notify::Notify as Metrics;
use crate::retry::Jitter;
use crate::status::Part;

/// Events taken at a time.
const AT_ONCE: u32 = 100;

/// How often the outbox is looked at.
const INTERVAL: std::time::Duration = std::time::Duration::from_millis(250);

/// Runs until `stop`.
///
/// # Errors
/// When the outbox can't be read or written.
pub async fn run<A: AlertStore>(
    journal: Journal,
    alerts: A,
    backoff: Backoff,
    part: Part,
    stop: CancellationToken,
) -> Result<(), JournalError> {
    let metrics = Metrics::register();
    let mut jitter = Jitter::new(backoff);
    loop {
        let waiting = journal.read(|connection| outbox::unkept(connection, AT_ONCE)).await?;
        metrics.unkept.set(waiting.len() as f64);
        let mut wait = INTERVAL;
        for waiting in waiting {
            let saved = tokio::select! {
                saved = alerts.save(&waiting.event.alert) => saved,
                () = stop.cancelled() => return Ok(()),
            };
            match saved {
                Ok(()) => {
                    jitter.reset();
                    part.ok();
                    match journal.write(move |connection| outbox::mark_kept(connection, waiting.id)).await {
                        Err(JournalError::Full) => break,
                        other => other?,
                    }
                }
                Err(error) => {
                    part.degraded(format!("alerts are not kept: {error}; tried again, nobody waits for it"));
                    wait = jitter.next_wait().max(INTERVAL);
                    break;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}
