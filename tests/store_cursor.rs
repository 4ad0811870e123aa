//! The cursor of the store never passes a reading that is not stored, whatever the regions do: a crash right then would
//! lose it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed step is a failed test")]

#[path = "support/journals.rs"]
mod journals;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use journals::{Rig, journal_config, open, reading};
use tokio_util::sync::CancellationToken;
use wardline::config::Config;
use wardline::journal::{Consumer, Entry, Journal};
use wardline::reading::Context;
use wardline::store::batch::Part;
use wardline::store::{self, VitalStore, WriteError};

/// Regions, each new in the journal when the others are already written to.
const REGIONS: u64 = 300;

/// Takes everything at once, and looks at the cursor each time.
struct Watching {
    journal: Journal,
    backlog_before: u64,
    written: AtomicU64,
    /// Where it was beyond a reading that was not stored, and that reading.
    too_early: Mutex<Option<(u64, u64)>>,
}

impl VitalStore for Watching {
    async fn write(&self, part: Part<'_>) -> Result<(), WriteError> {
        let first = part.readings().next().and_then(|enriched| enriched.reading.seq).unwrap();
        // The sequence number of a reading in this journal is the number that it was made from.
        let cursor = self.backlog_before - self.journal.backlog(Consumer::Store);
        if cursor > first {
            self.too_early.lock().unwrap().get_or_insert((cursor, first));
        }
        self.written.fetch_add(part.len() as u64, Ordering::AcqRel);
        Ok(())
    }
}

fn entry(region: u64, number: u64) -> Entry {
    let mut enriched = reading(number);
    let region = format!("r{region}").into();
    enriched.context = Arc::new(Context { region, ..(*enriched.context).clone() });
    Entry::Reading(enriched)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_region_that_is_new_holds_the_cursor_until_its_first_reading_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let rig = open(&journal_config(dir.path()));
    for number in 0..REGIONS {
        rig.append(vec![entry(number, number)]).await;
        rig.until_committed(number + 1).await;
    }
    let Rig { opened, appends, account, status, .. } = rig;
    drop(appends);
    let journal = opened.journal.clone();
    let store = Arc::new(Watching {
        backlog_before: journal.backlog(Consumer::Store),
        journal,
        written: AtomicU64::new(0),
        too_early: Mutex::default(),
    });
    let mut config = Config::from_text("", std::iter::empty()).unwrap();
    // Each batch is one reading, so that the regions are always on their way.
    config.store.max_lines = 1;
    let (journal, part) = (opened.journal.clone(), status.part("influxdb"));
    let run = store::run(journal, Arc::clone(&store), config, account, part, CancellationToken::new());
    tokio::time::timeout(Duration::from_secs(60), run).await.expect("the store ends").unwrap();
    assert_eq!(store.written.load(Ordering::Acquire), REGIONS);
    assert_eq!(*store.too_early.lock().unwrap(), None);
    assert_eq!(opened.journal.backlog(Consumer::Store), 0);
}
