//! The watch and the notifier over a journal in a temporary folder, with a care graph that says what a test says.
#![allow(dead_code, reason = "each test binary uses what it needs")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wardline::care::{CareGraph, PeerError, Recipient};
use wardline::clock::now_ms;
use wardline::config::{Backoff, Broker, Config};
use wardline::intake::connect;
use wardline::journal::{Entry, JournalError};
use wardline::notify::mqtt::MqttChannel;
use wardline::notify::webhook::Webhook;
use wardline::notify::{Channels, Notifier, outbox};
use wardline::reading::{Context, EnrichedReading, Millis, Quality, Reading};
use wardline::status::State;
use wardline::vital::Vital;
use wardline::{dead_letter, watch};

use super::journals::{Rig, journal_config, open_with};

/// How long a state may take to come. Generous, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

const SCHEMAS: [&str; 3] = [dead_letter::SCHEMA, watch::state::SCHEMA, outbox::SCHEMA];

type Stage = (JoinHandle<Result<(), JournalError>>, CancellationToken);

/// Who treats whom, or why nobody can say.
#[derive(Clone)]
pub struct Care(Arc<Mutex<Result<Vec<Recipient>, PeerError>>>);

impl Care {
    pub fn names(&self, recipients: Vec<Recipient>) {
        *self.0.lock().expect("no test panics while it holds this") = Ok(recipients);
    }

    pub fn is_away(&self) {
        let message = "no answer within 3s".to_owned();
        let away = PeerError { peer: "neo4j", message, retry: true };
        *self.0.lock().expect("no test panics while it holds this") = Err(away);
    }
}

impl CareGraph for Care {
    async fn recipients(&self, _: &str, _: &str, _: &str, _: Millis) -> Result<Vec<Recipient>, PeerError> {
        self.0.lock().expect("no test panics while it holds this").clone()
    }
}

/// A recipient with one endpoint.
pub fn recipient(clinician: &str, kind: &str, address: &str) -> Recipient {
    Recipient { clinician: clinician.to_owned(), kind: kind.to_owned(), address: address.to_owned(), rank: 0 }
}

/// A running watch, and a notifier when it is started.
pub struct Alerting {
    pub dir: TempDir,
    pub config: Config,
    pub care: Care,
    /// When the episodes of this test begin.
    pub begin: Millis,
    rig: Rig,
    told: Arc<Notify>,
    watching: Stage,
    notifying: Option<Stage>,
}

impl Alerting {
    /// With these recipients, and the alerts' broker on this port of the loopback.
    pub fn start(recipients: Vec<Recipient>, broker: u16) -> Self {
        // The libraries that speak TLS want to be told by whom, as `main` does; an error: another test was first.
        rustls::crypto::ring::default_provider().install_default().ok();
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut config = Config::from_text("", std::iter::empty()).expect("the defaults are valid");
        let fast = Backoff { min: Duration::from_millis(5), max: Duration::from_millis(50) };
        config.mqtt.broker = Broker { host: "127.0.0.1".to_owned(), port: broker, tls: false };
        (config.mqtt.backoff, config.notify.backoff) = (fast, fast);
        config.journal = journal_config(dir.path());
        let care = Care(Arc::new(Mutex::new(Ok(recipients))));
        let (rig, told) = (open_with(&config.journal, &SCHEMAS), Arc::default());
        let watching = watching(&rig, &config, &told);
        Self { dir, config, care, begin: now_ms() - 40_000, rig, told, watching, notifying: None }
    }

    /// A saturation, some seconds after the begin.
    pub async fn measure(&self, patient: &str, readings: &[(i64, f64)]) {
        let context = Arc::new(Context {
            region: "north".into(),
            ward: "icu-1".into(),
            bed: Some("7".into()),
            device: format!("mon-of-{patient}").into(),
            patient: Some(patient.into()),
            age_band: "40-64".into(),
            limits: Arc::clone(&self.config.watch.limits),
        });
        let entry = |(second, spo2): &(i64, f64)| {
            let vitals = [(Vital::Spo2, *spo2)].into_iter().collect();
            let (time, received) = (self.begin + second * 1000, now_ms());
            let reading = Reading { seq: None, time, received, vitals, quality: Quality::Good };
            Entry::Reading(EnrichedReading { reading, context: Arc::clone(&context) })
        };
        self.rig.append(readings.iter().map(entry).collect()).await;
    }

    /// An episode of high priority begins; returns the alert's id.
    pub async fn desaturate(&self, patient: &str) -> String {
        self.measure(patient, &[(0, 80.0), (1, 79.0)]).await;
        format!("{patient}.spo2_low.{}", self.begin)
    }

    /// It ends.
    pub async fn recover(&self, patient: &str) {
        let inside: Vec<_> = (2..=13).map(|second| (second, 98.0)).collect();
        self.measure(patient, &inside).await;
    }

    /// Starts a notifier with channels of its own.
    pub fn notify(&mut self) {
        let (mqtt, notify) = (&self.config.mqtt, &self.config.notify);
        let options = connect::options(mqtt, &notify.mqtt_client_id).expect("there are no files to read");
        let webhook = Webhook::new(notify).expect("the key can be read");
        let channels = Channels { mqtt: MqttChannel::start(options, mqtt.backoff), webhook };
        let (journal, part) = (self.rig.opened.journal.clone(), self.rig.status.part("notify"));
        let notifier = Notifier::new(journal, self.care.clone(), channels, notify.clone(), part);
        let stop = CancellationToken::new();
        self.notifying = Some((tokio::spawn(notifier.run(Arc::clone(&self.told), stop.clone())), stop));
    }

    /// Asks the notifier to stop, without waiting for it.
    pub fn ask_to_stop(&self) {
        self.notifying.as_ref().expect("the notifier runs").1.cancel();
    }

    /// Stops the notifier and waits for its end.
    pub async fn stop_notifying(&mut self) {
        stop(self.notifying.take().expect("the notifier runs")).await;
    }

    /// Stops everything that runs and opens the journal again, as a new process does.
    pub async fn restart(self) -> Self {
        let Self { dir, config, care, begin, rig, watching: watch, notifying, .. } = self;
        for stage in [Some(watch), notifying].into_iter().flatten() {
            stop(stage).await;
        }
        tokio::task::spawn_blocking(|| rig.close()).await.expect("the journal closes");
        let (rig, told) = (open_with(&config.journal, &SCHEMAS), Arc::default());
        let watching = watching(&rig, &config, &told);
        Self { dir, config, care, begin, rig, told, watching, notifying: None }
    }

    /// Events whose recipients are not known, and notifications that are not delivered.
    pub async fn pending(&self) -> (u64, u64) {
        let pending = self.rig.opened.journal.read(outbox::pending).await.expect("the outbox can be read");
        (pending.unresolved, pending.undelivered)
    }

    /// Waits, bounded, until as many are pending.
    pub async fn until_pending(&self, events: u64, notifications: u64) {
        let begun = Instant::now();
        while self.pending().await != (events, notifications) {
            assert!(begun.elapsed() < PATIENCE, "pending: {:?}", self.pending().await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the outbox has had so many events, and nothing in it waits for anybody.
    pub async fn until_delivered(&self, events: u64) {
        let begun = Instant::now();
        let sql = "SELECT count(*) FROM alert_events";
        while self.one(sql).await < events as i64 || self.pending().await != (0, 0) {
            assert!(begun.elapsed() < PATIENCE, "pending: {:?}", self.pending().await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// One number of the outbox.
    pub async fn one(&self, sql: &'static str) -> i64 {
        let journal = &self.rig.opened.journal;
        journal
            .read(|connection| connection.query_row(sql, [], |row| row.get(0)))
            .await
            .expect("the outbox can be read")
    }

    pub fn state(&self) -> State {
        let all = self.rig.status.all();
        all.into_iter().find(|(name, _)| *name == "notify").expect("the notifier has a part").1
    }
}

fn watching(rig: &Rig, config: &Config, told: &Arc<Notify>) -> Stage {
    let stop = CancellationToken::new();
    let run = watch::run(rig.opened.journal.clone(), config.clone(), Arc::clone(told), stop.clone());
    (tokio::spawn(run), stop)
}

async fn stop((task, stop): Stage) {
    stop.cancel();
    let ended = tokio::time::timeout(PATIENCE, task).await.expect("the stage ends");
    ended.expect("the stage does not panic").expect("the journal works");
}

/// Waits, bounded, until something holds.
pub async fn until(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "what was waited for did not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
