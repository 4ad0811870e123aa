//! The cursor of the store never passes a reading that is not stored, whatever the regions do: a crash right then would
//! lose it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed step is a failed test")]

#[path = "support/journals.rs"]
mod journals;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use journals::{journal_config, open, reading};
use tokio_util::sync::CancellationToken;
use wardline::config::Config;
use wardline::journal::{Consumer, Entry, Journal};
use wardline::reading::Context;
use wardline::store::batch::Part;
use wardline::store::{self, VitalStore, WriteError};

/// Regions, each new in the journal when the others are already written to.
const REGIONS: u64 = 200;

/// Takes everything at once, and looks at the cursor each time.
struct Watching {
    journal: Journal,
    /// The number of the next reading that will be appended.
    end: AtomicU64,
    written: AtomicU64,
    /// Where it was beyond a reading that was not stored, and that reading.
    too_early: Mutex<Option<(u64, u64)>>,
}

impl VitalStore for Watching {
    async fn write(&self, part: Part<'_>) -> Result<(), WriteError> {
        let first = part.readings().next().and_then(|enriched| enriched.reading.seq).unwrap();
        // The sequence number of a reading in this journal is the number that it was made from.
        let cursor = self.end.load(Ordering::Acquire) - self.journal.backlog(Consumer::Store);
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

#[tokio::test(start_paused = true)]
async fn a_region_that_is_new_holds_the_cursor_until_its_first_reading_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let rig = open(&journal_config(dir.path()));
    let journal = rig.opened.journal.clone();
    let (written, too_early) = (AtomicU64::new(0), Mutex::default());
    let store = Arc::new(Watching { journal, end: AtomicU64::new(0), written, too_early });
    let mut config = Config::from_text("", std::iter::empty()).unwrap();
    config.store.max_lines = 1;
    let (journal, part) = (rig.opened.journal.clone(), rig.status.part("influxdb"));
    let stop = CancellationToken::new();
    let run = store::run(journal, Arc::clone(&store), config, Arc::clone(&rig.account), part, stop.clone());
    let run = tokio::spawn(run);
    for number in 0..REGIONS {
        store.end.store(number + 1, Ordering::Release);
        rig.append(vec![entry(number, number)]).await;
        let begun = Instant::now();
        // The clock runs, so that the store moves its cursor at every turn and not only ten times a second.
        while store.written.load(Ordering::Acquire) <= number {
            assert!(begun.elapsed() < Duration::from_secs(60), "reading {number} is not stored");
            tokio::time::advance(Duration::from_millis(100)).await;
        }
    }
    stop.cancel();
    run.await.expect("the store does not panic").unwrap();
    assert_eq!(*store.too_early.lock().unwrap(), None);
    assert_eq!(rig.opened.journal.backlog(Consumer::Store), 0);
}
