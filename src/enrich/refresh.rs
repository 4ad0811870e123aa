//! Keeps the directory fresh: everything at start and now and then, what changed every few seconds.
//!
//! Intake never waits for it. While the store is away the last directory serves, however old, and `/ready` says how old.
//! Changes are found by `updated_at`, which works on every server; each time, the last [`OVERLAP`] before the last refresh
//! is asked for again, so that writers whose clocks differ by less, and writes that became visible late, are not
//! missed. What this can't see (a removed document, a clock further off) is seen at the next full load.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::care::PeerError;
use crate::clock;
use crate::config;
use crate::enrich::records::{ProfileStore, Records};
use crate::enrich::shared::SharedDirectory;
use crate::metrics;
use crate::reading::Millis;
use crate::status::Part;

/// How far back each refresh looks beyond the last one: clocks that are set by NTP differ by less than a second, those
/// of neglected machines by less than a minute.
pub const OVERLAP: Duration = Duration::from_secs(60);

/// How often, and how far back.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// How often changes are fetched.
    pub refresh: Duration,
    /// How often everything is fetched.
    pub reload: Duration,
    /// The age at which readings are refused; assignments that ended before it are of no use.
    pub retention: Duration,
}

impl Schedule {
    /// The schedule of a configuration.
    #[must_use]
    pub fn new(config: &config::Config) -> Self {
        let config::MongoDb { refresh, reload, .. } = config.mongodb;
        Self { refresh, reload, retention: config.intake.retention }
    }
}

/// Refreshes until `stop`.
pub async fn run<S>(store: Arc<S>, shared: SharedDirectory, schedule: Schedule, part: Part, stop: CancellationToken)
where
    S: ProfileStore + Send + Sync,
{
    let mut refresh = Refresh {
        store,
        shared,
        schedule,
        part,
        metrics: metrics::enrich::Enrich::register(),
        set_up: false,
        loaded: None,
        last: None,
        unreadable: BTreeSet::new(),
    };
    let steps = async {
        loop {
            refresh.step().await;
            // Jitter, so that instances that started together do not ask together.
            tokio::time::sleep(refresh.schedule.refresh.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        }
    };
    stop.run_until_cancelled(steps).await;
}

struct Refresh<S> {
    store: Arc<S>,
    shared: SharedDirectory,
    schedule: Schedule,
    part: Part,
    metrics: metrics::enrich::Enrich,
    /// Whether the store was found to be set up.
    set_up: bool,
    /// When everything was last loaded.
    loaded: Option<Instant>,
    /// When the last refresh that went well began, by both clocks.
    last: Option<(Instant, Millis)>,
    /// What can't be understood.
    unreadable: BTreeSet<String>,
}

impl<S: ProfileStore> Refresh<S> {
    async fn step(&mut self) {
        let began = (Instant::now(), clock::now_ms());
        let outcome = self.fetch(began.1).await;
        self.shared.set_away(outcome.is_err());
        match outcome {
            Ok(()) => {
                self.last = Some(began);
                self.metrics.refreshed.increment(1);
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "milliseconds since the epoch fit until the year 287396"
                )]
                self.metrics.refreshed_at.set(began.1 as f64 / 1000.0);
                self.tell().await;
            }
            Err(error) => {
                self.metrics.refresh_failed.increment(1);
                let (known, _) = self.shared.current().1.size();
                let age = match self.last {
                    Some((last, _)) => format!("profiles are {} s old", last.elapsed().as_secs()),
                    None if known > 0 => "no profiles were loaded yet, those of an earlier run serve".to_owned(),
                    None => "no profiles were loaded yet".to_owned(),
                };
                self.part.degraded(format!("{age}: {error}; readings of unknown devices are stored as unassigned"));
            }
        }
    }

    async fn fetch(&mut self, now: Millis) -> Result<(), PeerError> {
        match self.last {
            Some((_, last)) if self.loaded.is_some_and(|loaded| loaded.elapsed() < self.schedule.reload) => {
                let records = self.store.changed_since(last - millis(OVERLAP)).await?;
                self.note(&records);
                if self.shared.merge(records).await {
                    self.measure();
                }
            }
            _ => {
                let began = Instant::now();
                let records = self.store.load_all(now - millis(self.schedule.retention)).await?;
                self.unreadable.clear();
                self.note(&records);
                self.shared.replace(records).await;
                self.loaded = Some(began);
                self.measure();
            }
        }
        Ok(())
    }

    /// Says how the store is, now that it answers.
    async fn tell(&mut self) {
        if !self.set_up {
            match self.store.check().await {
                Ok(()) => self.set_up = true,
                Err(error) => return self.part.degraded(error.to_string()),
            }
        }
        if self.unreadable.is_empty() {
            return self.part.ok();
        }
        let what: Vec<_> = self.unreadable.iter().take(5).map(String::as_str).collect();
        self.part
            .degraded(format!("documents can't be understood and are left out: {}; correct them", what.join(", ")));
    }

    fn note(&mut self, records: &Records) {
        self.unreadable.extend(records.unreadable.iter().map(|unreadable| unreadable.what.clone()));
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        self.metrics.unreadable.set(self.unreadable.len() as f64);
    }

    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    fn measure(&self) {
        let (_, directory) = self.shared.current();
        let (devices, patients) = directory.size();
        self.metrics.devices.set(devices as f64);
        self.metrics.patients.set(patients as f64);
        self.metrics.without_profile.set(directory.without_profile() as f64);
    }
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}
