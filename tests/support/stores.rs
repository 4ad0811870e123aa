//! The store consumer over a journal in a temporary folder, with the adapter of InfluxDB.
#![allow(clippy::expect_used, clippy::panic, reason = "a store that can't be driven is a failed test")]
#![allow(dead_code, reason = "each test binary uses what it needs")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wardline::account::Balance;
use wardline::config::Config;
use wardline::dead_letter::{self, Kept};
use wardline::journal::{Consumer, Entry, JournalError};
use wardline::peers::influx::InfluxDb;
use wardline::status::State;
use wardline::store;

use super::journals::{self, Rig, journal_config};

/// How long a state may take to come. Generous, because the machine may be busy; of the real clock, because the
/// runtime's may be paused.
const PATIENCE: Duration = Duration::from_secs(60);

/// A journal and the store that empties it.
pub struct Store {
    pub dir: TempDir,
    pub config: Config,
    pub rig: Rig,
    hard_stop: CancellationToken,
    task: Option<JoinHandle<Result<(), JournalError>>>,
}

impl Store {
    /// A journal with a batch in it; the store does not run yet. The token is "token-of-a-test".
    pub async fn holding(entries: Vec<Entry>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut config = config();
        config.journal = journal_config(dir.path());
        config.influxdb.token_file = Some(token_file(dir.path()));
        write_token(dir.path(), "token-of-a-test");
        let rig = journals::open(&config.journal);
        let store = Self { dir, config, rig, hard_stop: CancellationToken::new(), task: None };
        store.append(entries).await;
        store
    }

    /// Waits until the entries are in the journal.
    pub async fn append(&self, entries: Vec<Entry>) {
        let count = self.rig.committed.count() + entries.len() as u64;
        self.rig.append(entries).await;
        until(|| self.rig.committed.count() == count).await;
    }

    /// Starts the store towards this server.
    pub fn run(&mut self, url: &str) {
        tls_provider();
        self.config.influxdb.url = url.to_owned();
        let influx = Arc::new(InfluxDb::new(&self.config.influxdb).expect("the token can be read"));
        let (journal, account) = (self.rig.opened.journal.clone(), Arc::clone(&self.rig.account));
        let (config, part) = (self.config.clone(), self.rig.status.part("influxdb"));
        let run = store::run(journal, Arc::new(influx), config, account, part, self.hard_stop.clone());
        self.task = Some(tokio::spawn(run));
    }

    pub fn balance(&self) -> Balance {
        self.rig.account.balance()
    }

    /// Waits until so many readings are stored or dead letters, and the cursor is past all.
    pub async fn until_done(&self, readings: u64) {
        until(|| self.balance().stored + self.balance().dead_lettered == readings).await;
        until(|| self.rig.opened.journal.backlog(Consumer::Store) == 0).await;
    }

    pub fn state(&self) -> State {
        let all = self.rig.status.all();
        all.into_iter().find(|(name, _)| *name == "influxdb").expect("the store has a part").1
    }

    /// Oldest first.
    pub async fn dead_letters(&self) -> Vec<Kept> {
        let journal = &self.rig.opened.journal;
        let mut letters = journal
            .read(|connection| dead_letter::list(connection, None, i64::MAX, 1000))
            .await
            .expect("dead letters can be read");
        letters.reverse();
        letters
    }

    /// Ends the waiting for the server, and waits for the end of the store.
    pub async fn stop_hard(&mut self) {
        self.hard_stop.cancel();
        let task = self.task.take().expect("the store runs");
        until(|| task.is_finished()).await;
        task.await.expect("the store does not panic").expect("the journal works");
        self.hard_stop = CancellationToken::new();
    }

    /// Replaces the content of the token's file.
    pub fn write_token(&self, token: &str) {
        write_token(self.dir.path(), token);
    }
}

/// The defaults, with a timeout that a paused clock does not reach by chance.
fn config() -> Config {
    let mut config = Config::from_text("", std::iter::empty()).expect("the defaults are valid");
    config.influxdb.timeout = Duration::from_secs(24 * 3600);
    config
}

pub fn token_file(dir: &Path) -> std::path::PathBuf {
    dir.join("token")
}

pub fn write_token(dir: &Path, token: &str) {
    std::fs::write(token_file(dir), format!("{token}\n")).expect("the temporary folder can be written");
}

/// The libraries that speak TLS want to be told by whom, as `main` does.
pub fn tls_provider() {
    // An error: another test of this process was first.
    rustls::crypto::ring::default_provider().install_default().ok();
}

/// Waits, bounded, until something holds.
pub async fn until(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "what was waited for did not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
