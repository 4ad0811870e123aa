//! From events to people: who is told, over which channel, until it is delivered.
//!
//! High before medium, old before new. Recipients are resolved when notifying, not when detecting, since a shift may have
//! changed; while the care graph is away, events wait in the outbox. A recipient whose channel fails holds up no other.
//! The end of an episode is told to those who were told of its begin.

pub mod keep;
mod message;
pub mod mqtt;
pub mod outbox;
mod recipients;
pub mod webhook;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::mqtt::MqttChannel;
use self::outbox::{Notification, Pending, Waiting};
use self::webhook::Webhook;
use crate::care::{CareGraph, PeerError, Recipient};
use crate::config::{self, Backoff};
use crate::journal::{Journal, JournalError};
use crate::metrics::notify::Notify as Metrics;
use crate::reading::Millis;
use crate::retry::Jitter;
use crate::status::Part;
use crate::watch::detector::Event;
use crate::watch::episode::Phase;

/// Events taken at a time.
const AT_ONCE: u32 = 100;

/// Events whose recipients are looked up before it is the turn of those whose recipients are known.
const RESOLVED_AT_ONCE: u32 = 16;

/// Beyond this age of a notification somebody has to look why it is not delivered.
const LATE: Millis = 30_000;

/// How often the outbox is looked at when nobody wakes us.
const INTERVAL: Duration = Duration::from_secs(1);

/// The age at which a notification that nobody takes is given up: older than that it is history, not an alert.
const EXPIRES: Millis = 24 * 3_600_000;

/// The longest wait that a receiver can ask for: what it answers must not silence an alert.
const LONGEST: Duration = Duration::from_secs(600);

/// A notification is not known to be delivered; it is tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SendError {
    /// What happened, for a person.
    pub reason: String,
    /// The least wait that the receiver asks for.
    pub after: Option<Duration>,
}

/// The channels, one file each.
#[derive(Debug)]
pub struct Channels {
    /// MQTT.
    pub mqtt: MqttChannel,
    /// Webhooks.
    pub webhook: Webhook,
}

impl Channels {
    /// Sends over the recipient's channel: a new channel is a file and a line here and in `recipients::CHANNELS`.
    async fn send(&self, notification: &Notification) -> Result<(), SendError> {
        match notification.recipient.kind.as_str() {
            "mqtt" => self.mqtt.send(notification).await,
            "webhook" => self.webhook.send(notification).await,
            other => Err(SendError { reason: format!("there is no channel \"{other}\""), after: None }),
        }
    }
}

/// The notification stage.
#[derive(Debug)]
pub struct Notifier<C> {
    journal: Journal,
    care: C,
    channels: Arc<Channels>,
    config: config::Notify,
    part: Part,
    metrics: Metrics,
    /// On their way at this moment.
    sending: HashSet<String>,
    /// What became of each.
    sent: JoinSet<(Notification, Result<(), SendError>)>,
    care_jitter: Jitter,
    /// The care graph is not asked before this.
    care_again: tokio::time::Instant,
    /// Why recipients are not known, while they are not.
    care_trouble: Option<String>,
    /// Why the last notification that failed did.
    last_failure: String,
    /// When it was last said how much waits.
    said: Option<tokio::time::Instant>,
}

impl<C: CareGraph> Notifier<C> {
    /// A stage with nothing on its way.
    pub fn new(journal: Journal, care: C, channels: Channels, config: config::Notify, part: Part) -> Self {
        let care_jitter = Jitter::new(config.backoff);
        Self {
            journal,
            care,
            channels: Arc::new(channels),
            config,
            part,
            metrics: Metrics::register(),
            sending: HashSet::new(),
            sent: JoinSet::new(),
            care_jitter,
            care_again: tokio::time::Instant::now(),
            care_trouble: None,
            last_failure: String::new(),
            said: None,
        }
    }

    /// Runs until `stop`; what is not delivered by then waits in the outbox for the next start.
    ///
    /// # Errors
    /// When the outbox can't be read or written.
    pub async fn run(mut self, told: Arc<Notify>, stop: CancellationToken) -> Result<(), JournalError> {
        let mut pruned = tokio::time::Instant::now();
        let (mut next, mut stopping) = (INTERVAL, false);
        loop {
            // After the stop the watch's last events get one try; then only what is on its way is waited for.
            if !stopping {
                stopping = stop.is_cancelled();
                let more = self.resolve().await?;
                next = self.dispatch().await?;
                if more {
                    next = Duration::ZERO;
                }
                self.say().await?;
            }
            if pruned.elapsed() > Duration::from_secs(60) {
                pruned = tokio::time::Instant::now();
                self.write(|connection| outbox::prune(connection, crate::clock::now_ms())).await?;
            }
            if stopping && self.sent.is_empty() {
                return Ok(());
            }
            tokio::select! {
                () = told.notified() => {}
                Some(sent) = self.sent.join_next() => {
                    if let Ok((notification, outcome)) = sent {
                        self.sending.remove(&notification.id);
                        self.settle(notification, outcome).await?;
                    }
                }
                () = tokio::time::sleep(next) => {}
                () = stop.cancelled(), if !stopping => {}
            }
        }
    }

    /// Finds the recipients of events that have none; whether there may be more of them.
    async fn resolve(&mut self) -> Result<bool, JournalError> {
        let waiting = self.journal.read(|connection| outbox::unresolved(connection, RESOLVED_AT_ONCE)).await?;
        if waiting.is_empty() {
            self.care_trouble = None;
        }
        if waiting.is_empty() || tokio::time::Instant::now() < self.care_again {
            return Ok(false);
        }
        let more = waiting.len() == RESOLVED_AT_ONCE as usize;
        for Waiting { id, event } in waiting {
            let found = match self.recipients(&event).await? {
                Ok(found) => found,
                Err(error) => {
                    let wait = self.care_jitter.next_wait();
                    self.care_again = tokio::time::Instant::now() + wait;
                    self.care_trouble = Some(format!("recipients are not known: {error}; alerts wait in the outbox"));
                    return Ok(false);
                }
            };
            self.care_jitter.reset();
            self.care_trouble = None;
            if found.is_empty() {
                self.metrics.nobody.increment(1);
            }
            let plan = recipients::plan(&event, found, &self.config.safety_net, crate::clock::now_ms());
            self.write(move |connection| outbox::resolve(connection, id, &plan.notifications, &plan.follow_up)).await?;
        }
        Ok(more)
    }

    /// Who is to be told: of an end those who were told before, of anything else whom the care graph names now.
    async fn recipients(&self, event: &Event) -> Result<Result<Vec<Recipient>, PeerError>, JournalError> {
        let alert = &event.alert;
        if event.phase == Phase::End {
            let id = alert.id.clone();
            return Ok(Ok(self.journal.read(move |connection| outbox::told(connection, &id)).await?));
        }
        if alert.condition == recipients::NO_RECIPIENT {
            return Ok(Ok(Vec::new()));
        }
        Ok(self.care.recipients(&alert.patient, &alert.region, &alert.ward, crate::clock::now_ms()).await)
    }

    /// Sends what is due; returns how long nothing will be.
    async fn dispatch(&mut self) -> Result<Duration, JournalError> {
        let now = crate::clock::now_ms();
        let (due, next) = self.journal.read(move |connection| outbox::due(connection, now, AT_ONCE)).await?;
        for notification in due {
            if self.sending.len() >= self.config.concurrency.get() {
                break;
            }
            if self.sending.insert(notification.id.clone()) {
                let channels = Arc::clone(&self.channels);
                self.sent.spawn(async move {
                    let outcome = channels.send(&notification).await;
                    (notification, outcome)
                });
            }
        }
        let wait = next.map(|next| Duration::from_millis(u64::try_from(next - now).unwrap_or(0)));
        Ok(wait.map_or(INTERVAL, |wait| wait.min(INTERVAL)))
    }

    /// Says now and then how much waits, and whether somebody has to look.
    async fn say(&mut self) -> Result<(), JournalError> {
        if self.said.is_some_and(|said| said.elapsed() < INTERVAL) {
            return Ok(());
        }
        self.said = Some(tokio::time::Instant::now());
        let Pending { unresolved, undelivered, oldest, unkept } = self.journal.read(outbox::pending).await?;
        self.metrics.unresolved.set(unresolved as f64);
        self.metrics.pending.set(undelivered as f64);
        self.metrics.unkept.set(unkept as f64);
        let late = oldest.map(|oldest| crate::clock::now_ms() - oldest).filter(|age| *age > LATE);
        match (&self.care_trouble, late) {
            (Some(trouble), _) => self.part.degraded(trouble.clone()),
            (None, Some(age)) => self.part.degraded(format!(
                "{undelivered} notifications are not delivered, the oldest for {} s; the last failure: {}",
                age / 1000,
                self.last_failure
            )),
            (None, None) => self.part.ok(),
        }
        Ok(())
    }

    /// Writes down what became of a try.
    async fn settle(&mut self, notification: Notification, outcome: Result<(), SendError>) -> Result<(), JournalError> {
        let now = crate::clock::now_ms();
        let Notification { id, event, attempts, created, recipient } = notification;
        match outcome {
            Ok(()) => {
                let counter = if recipient.kind == "mqtt" { &self.metrics.mqtt } else { &self.metrics.webhook };
                counter.increment(1);
                self.metrics.delay_seconds.record((now - event.received) as f64 / 1000.0);
                self.write(move |connection| outbox::mark_done(connection, &id, now)).await
            }
            Err(error) if now - created > EXPIRES => {
                self.metrics.expired.increment(1);
                tracing::error!(kind = %recipient.kind, %error, attempts, "a notification is given up: nobody took it for a day");
                self.write(move |connection| outbox::mark_done(connection, &id, now)).await
            }
            Err(error) => {
                self.metrics.failed.increment(1);
                self.last_failure.clone_from(&error.reason);
                tracing::warn!(kind = %recipient.kind, %error, attempts, "a notification was not delivered; it is tried again");
                let wait = error.after.unwrap_or_default().min(LONGEST).max(wait(self.config.backoff, attempts));
                let next_try = now.saturating_add(Millis::try_from(wait.as_millis()).unwrap_or(EXPIRES));
                self.write(move |connection| outbox::postpone(connection, &id, next_try)).await
            }
        }
    }

    /// A change of the outbox. On a full disk it is left out: what it would say is found again by the next look.
    async fn write<F>(&self, change: F) -> Result<(), JournalError>
    where
        F: FnOnce(&rusqlite::Connection) -> rusqlite::Result<()> + Send + 'static,
    {
        match self.journal.write(change).await {
            Err(JournalError::Full) => {
                tokio::time::sleep(INTERVAL).await;
                Ok(())
            }
            other => other,
        }
    }
}

/// The wait after a number of tries: full jitter below a bound that doubles.
fn wait(backoff: Backoff, attempts: u32) -> Duration {
    let bound = backoff.min.saturating_mul(1 << attempts.min(16)).min(backoff.max);
    bound.mul_f64(fastrand::f64())
}
