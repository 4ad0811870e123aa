//! Journals in temporary folders, and readings to put into them.
#![allow(dead_code, reason = "each test binary uses what it needs")]
#![allow(clippy::expect_used, clippy::panic, reason = "a journal that can't be opened is a failed test")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use wardline::account::Account;
use wardline::config::{self, Config};
use wardline::journal::{self, Chunk, Committed, Entry, Opened, Reports};
use wardline::limits::Limits;
use wardline::reading::{Context, EnrichedReading, Quality, Reading};
use wardline::status::Status;
use wardline::vital::Vital;

/// An open journal with the side that appends to it.
pub struct Rig {
    pub opened: Opened,
    pub appends: mpsc::Sender<Chunk>,
    pub account: Arc<Account>,
    pub status: Status,
    pub committed: Arc<Committed>,
}

/// The default configuration with another folder and small bounds.
pub fn journal_config(dir: &Path) -> config::Journal {
    let mut journal = Config::from_text("", std::iter::empty()).expect("the defaults are valid").journal;
    journal.dir = dir.into();
    journal.reserve = 1 << 20;
    journal
}

/// The default bounds of dead letters.
pub fn dead_letter_config() -> config::DeadLetter {
    Config::from_text("", std::iter::empty()).expect("the defaults are valid").dead_letter
}

pub fn open(config: &config::Journal) -> Rig {
    open_with(config, &[wardline::dead_letter::SCHEMA])
}

/// With the tables of other stages.
pub fn open_with(config: &config::Journal, schemas: &[&'static str]) -> Rig {
    let (appends, queue) = mpsc::channel(8);
    let account = Arc::new(Account::new());
    let status = Status::new();
    let reports = Reports { account: Arc::clone(&account), part: status.part("journal") };
    let opened = journal::open(config, &dead_letter_config(), schemas, queue, 8, reports).expect("the journal opens");
    Rig { opened, appends, account, status, committed: Arc::default() }
}

impl Rig {
    pub async fn append(&self, entries: Vec<Entry>) {
        let receipt = self.committed.receipt(entries.len() as u64);
        self.appends.send(Chunk { entries, receipt }).await.expect("the writer runs");
    }

    /// Waits, bounded, until so many messages are on disk.
    pub async fn until_committed(&self, messages: u64) {
        let all = async {
            while self.committed.count() < messages {
                self.committed.changed().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), all).await.expect("the group is committed");
    }

    /// Ends the journal as an orderly stop does.
    pub fn close(self) {
        let Rig { opened, appends, .. } = self;
        drop(appends);
        drop(opened.journal);
        opened.writer.join().expect("the writer ends");
    }
}

/// A reading whose heart rate is its number.
pub fn reading(number: u64) -> EnrichedReading {
    let context = Context {
        region: "north".into(),
        ward: "icu-1".into(),
        bed: Some("1".into()),
        device: format!("mon-{}", number % 7).into(),
        patient: Some("p-1".into()),
        age_band: "40-64".into(),
        limits: Arc::new(Limits::default()),
    };
    let vitals = [(Vital::HeartRate, number as f64)].into_iter().collect();
    let time = 1_700_000_000_000 + number as i64;
    let reading = Reading { seq: Some(number), time, received: time + 3, vitals, quality: Quality::Good };
    EnrichedReading { reading, context: Arc::new(context) }
}

pub fn readings(numbers: std::ops::Range<u64>) -> Vec<Entry> {
    numbers.map(|number| Entry::Reading(reading(number))).collect()
}
