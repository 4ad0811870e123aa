//! Takes the events of alerts from the outbox to the alert store, at its pace: it delays no notification.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio_util::sync::CancellationToken;

use super::outbox::{self, Waiting};
use crate::care::{AlertStore, PeerError};
use crate::config::Backoff;
use crate::journal::{Journal, JournalError};
use crate::retry::Jitter;
use crate::status::Part;

/// Events taken at a time.
const AT_ONCE: u32 = 100;

/// How often the outbox is looked at.
const INTERVAL: Duration = Duration::from_millis(250);

/// Alerts on the way to the store at one time.
const AT_A_TIME: usize = 8;

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
    let mut jitter = Jitter::new(backoff);
    loop {
        let waiting = journal.read(|connection| outbox::unkept(connection, AT_ONCE)).await?;
        let more = waiting.len() == AT_ONCE as usize;
        let saving = stream::iter(by_alert(waiting)).map(|events| save(&alerts, events));
        let saving = saving.buffer_unordered(AT_A_TIME).collect::<Vec<_>>();
        let Some(saved) = stop.run_until_cancelled(saving).await else { return Ok(()) };
        let (mut kept, mut failed) = (Vec::new(), None);
        for (saved, error) in saved {
            kept.extend(saved);
            failed = error.or(failed);
        }
        let tried = failed.is_some() || !kept.is_empty();
        if !kept.is_empty() {
            match journal.write(move |connection| outbox::mark_kept(connection, &kept)).await {
                // Saved again when there is room to say that it was.
                Err(JournalError::Full) => {}
                other => other?,
            }
        }
        let wait = match failed {
            Some(error) => {
                part.degraded(format!("alerts are not kept: {error}; tried again, nobody waits for it"));
                jitter.next_wait().max(INTERVAL)
            }
            None => {
                if tried {
                    part.ok();
                    jitter.reset();
                }
                if more { Duration::ZERO } else { INTERVAL }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// The events of each alert together, in their order: a later one knows more.
fn by_alert(waiting: Vec<Waiting>) -> Vec<Vec<Waiting>> {
    let mut alerts: BTreeMap<String, Vec<Waiting>> = BTreeMap::new();
    for waiting in waiting {
        alerts.entry(waiting.event.alert.id.clone()).or_default().push(waiting);
    }
    alerts.into_values().collect()
}

/// Saves the events of one alert; gives those that were saved, and why the next one was not.
async fn save<A: AlertStore>(alerts: &A, events: Vec<Waiting>) -> (Vec<i64>, Option<PeerError>) {
    let mut saved = Vec::new();
    for waiting in events {
        match alerts.save(&waiting.event.alert).await {
            Ok(()) => saved.push(waiting.id),
            Err(error) => return (saved, Some(error)),
        }
    }
    (saved, None)
}
