//! What the journal promises, seen from outside: by appending, closing, damaging and opening it again.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed step is a failed test")]

#[path = "support/journals.rs"]
mod journals;

use std::time::Duration;

use journals::{journal_config, open, reading, readings};
use wardline::dead_letter::{self, DeadLetter};
use wardline::journal::{Consumer, Entry, Feed, Journal, JournalError, Recovery};
use wardline::reading::{EnrichedReading, Reason};

async fn take(feed: &mut Feed, count: usize) -> Vec<EnrichedReading> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let group = tokio::time::timeout(Duration::from_secs(30), feed.next()).await.expect("a group comes");
        taken.extend(group.unwrap().expect("the journal has not ended").readings.iter().cloned());
    }
    taken
}

fn expected(numbers: std::ops::Range<u64>) -> Vec<EnrichedReading> {
    numbers.map(reading).collect()
}

fn sqlite(dir: &std::path::Path) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.join("journal.sqlite")).unwrap()
}

#[tokio::test]
async fn both_consumers_get_every_reading_in_receive_order() {
    let dir = tempfile::tempdir().unwrap();
    let rig = open(&journal_config(dir.path()));
    let (mut store, mut watch) = (rig.opened.journal.feed(Consumer::Store), rig.opened.journal.feed(Consumer::Watch));
    for start in (0..100).step_by(10) {
        rig.append(readings(start..start + 10)).await;
    }
    assert_eq!(take(&mut store, 100).await, expected(0..100));
    assert_eq!(take(&mut watch, 100).await, expected(0..100));
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening_and_consumers_go_on_at_their_cursors() {
    let dir = tempfile::tempdir().unwrap();
    let config = journal_config(dir.path());
    let rig = open(&config);
    rig.append(readings(0..50)).await;
    rig.until_committed(50).await;
    rig.opened.journal.feed(Consumer::Store).advance(20);
    rig.opened.journal.feed(Consumer::Watch).advance(35);
    rig.append(readings(50..60)).await;
    rig.until_committed(60).await;
    rig.close();

    let rig = open(&config);
    assert_eq!(rig.opened.recovery, Recovery { unstored: 40, quarantined: None });
    let mut store = rig.opened.journal.feed(Consumer::Store);
    assert_eq!(take(&mut store, 40).await, expected(20..60));
    assert_eq!(take(&mut rig.opened.journal.feed(Consumer::Watch), 25).await, expected(35..60));
}

#[tokio::test]
async fn a_consumer_that_falls_behind_the_memory_reads_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = journal_config(dir.path());
    config.memory = 4096;
    let rig = open(&config);
    for start in (0..2000).step_by(100) {
        rig.append(readings(start..start + 100)).await;
    }
    rig.until_committed(2000).await;
    assert_eq!(take(&mut rig.opened.journal.feed(Consumer::Store), 2000).await, expected(0..2000));
}

#[tokio::test]
async fn groups_that_both_consumers_are_past_leave_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let rig = open(&journal_config(dir.path()));
    rig.append(readings(0..10)).await;
    rig.until_committed(10).await;
    for consumer in Consumer::ALL {
        rig.opened.journal.feed(consumer).advance(10);
    }
    let journal = rig.opened.journal.clone();
    journal.write(|_| Ok(())).await.unwrap();
    assert_eq!(count_groups(&journal).await, 0);
    assert_eq!(journal.backlog(Consumer::Store), 0);
}

async fn count_groups(journal: &Journal) -> u64 {
    journal.read(|connection| connection.query_row("SELECT count(*) FROM groups", [], |row| row.get(0))).await.unwrap()
}

#[tokio::test]
async fn feeds_end_only_after_everything_was_handed_out() {
    let dir = tempfile::tempdir().unwrap();
    let rig = open(&journal_config(dir.path()));
    let mut store = rig.opened.journal.feed(Consumer::Store);
    rig.append(readings(0..10)).await;
    let journals::Rig { opened, appends, .. } = rig;
    drop(appends);
    assert_eq!(take(&mut store, 10).await.len(), 10);
    let end = tokio::time::timeout(Duration::from_secs(30), store.next()).await.expect("the feed ends");
    assert_eq!(end.unwrap(), None);
    drop((opened.journal, store));
    opened.writer.join().unwrap();
}

#[tokio::test]
async fn a_damaged_group_goes_to_quarantine_and_the_service_goes_on_with_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let config = journal_config(dir.path());
    let rig = open(&config);
    for start in [0, 10, 20] {
        rig.append(readings(start..start + 10)).await;
        rig.until_committed(start + 10).await;
    }
    rig.close();
    let flipped =
        "UPDATE groups SET payload = substr(payload, 1, 40) || X'FF' || substr(payload, 42) WHERE first_seq = 10";
    assert_eq!(sqlite(dir.path()).execute(flipped, []).unwrap(), 1);

    let rig = open(&config);
    let (mut store, mut watch) = (rig.opened.journal.feed(Consumer::Store), rig.opened.journal.feed(Consumer::Watch));
    let left: Vec<_> = expected(0..10).into_iter().chain(expected(20..30)).collect();
    assert_eq!(take(&mut store, 20).await, left);
    assert_eq!(take(&mut watch, 20).await, left);
    assert_eq!(rig.account.balance().quarantined, 10, "both consumers met it, it is counted once");
    assert!(dir.path().join("quarantine/group-10.bin").exists());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_moved_away_and_a_new_one_started() {
    let dir = tempfile::tempdir().unwrap();
    let config = journal_config(dir.path());
    std::fs::write(dir.path().join("journal.sqlite"), vec![7; 100_000]).unwrap();
    let rig = open(&config);
    let moved = rig.opened.recovery.quarantined.clone().expect("the file was moved");
    assert_eq!(std::fs::read(moved.join("journal.sqlite")).unwrap(), vec![7; 100_000]);
    rig.append(readings(0..5)).await;
    assert_eq!(take(&mut rig.opened.journal.feed(Consumer::Store), 5).await, expected(0..5));
}

#[tokio::test]
async fn a_journal_of_a_newer_format_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let config = journal_config(dir.path());
    open(&config).close();
    sqlite(dir.path()).pragma_update(None, "user_version", 99).unwrap();
    let (_appends, queue) = tokio::sync::mpsc::channel(1);
    let reports = wardline::journal::Reports {
        account: Default::default(),
        part: wardline::status::Status::new().part("journal"),
    };
    let refused = wardline::journal::open(&config, &journals::dead_letter_config(), &[], queue, 1, reports);
    assert!(matches!(refused, Err(JournalError::Newer { found: 99, .. })), "{refused:?}");
    assert_eq!(sqlite(dir.path()).pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap(), 99);
}

#[tokio::test]
async fn a_second_process_is_kept_out() {
    let dir = tempfile::tempdir().unwrap();
    let config = journal_config(dir.path());
    let rig = open(&config);
    let (_appends, queue) = tokio::sync::mpsc::channel(1);
    let reports = wardline::journal::Reports { account: Default::default(), part: rig.status.part("journal") };
    let refused = wardline::journal::open(&config, &journals::dead_letter_config(), &[], queue, 1, reports);
    assert!(matches!(refused, Err(JournalError::Locked { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_journal_at_its_bound_takes_no_more_until_the_consumers_catch_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = journal_config(dir.path());
    config.max_size = 2 << 20;
    let rig = open(&config);
    let journal = rig.opened.journal.clone();
    let mut appended = 0;
    while !journal.is_full() {
        rig.append(readings(appended..appended + 500)).await;
        appended += 500;
        // Small appends, each waited for unless the journal has become full.
        let committed = rig.until_committed(appended);
        tokio::pin!(committed);
        while !journal.is_full() {
            tokio::select! {
                () = &mut committed => break,
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
    }
    assert!(!rig.status.is_ready());
    rig.append(readings(appended..appended + 10)).await;
    // A change by a consumer still goes through, and gives the room back.
    for consumer in Consumer::ALL {
        journal.feed(consumer).advance(appended);
    }
    journal.write(|_| Ok(())).await.unwrap();
    rig.until_committed(appended + 10).await;
}

#[tokio::test]
async fn a_change_that_fails_is_rolled_back_alone() {
    let dir = tempfile::tempdir().unwrap();
    let rig = open(&journal_config(dir.path()));
    let journal = &rig.opened.journal;
    let letter = |detail: &str| DeadLetter {
        at: wardline::clock::now_ms(),
        reason: Reason::StoreRefused,
        detail: detail.to_owned(),
        topic: Vec::new(),
        payload: Vec::new(),
    };
    let (bad, good) = (letter("bad"), letter("good"));
    let failing = journal.write(move |connection| {
        dead_letter::insert(connection, &bad, 0)?;
        connection.execute("INSERT INTO no_such_table VALUES (1)", [])
    });
    let standing = journal.write(move |connection| dead_letter::insert(connection, &good, wardline::clock::now_ms()));
    let (failed, stood) = tokio::join!(failing, standing);
    assert!(matches!(failed, Err(JournalError::Statement(_))), "{failed:?}");
    stood.unwrap();
    let kept = journal.read(|connection| dead_letter::list(connection, None, i64::MAX, 9)).await.unwrap();
    assert_eq!(kept.iter().map(|kept| kept.detail.as_str()).collect::<Vec<_>>(), ["good"]);
}

#[tokio::test]
async fn a_rejected_message_is_on_disk_before_it_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let config = journal_config(dir.path());
    let rig = open(&config);
    let letter = DeadLetter {
        at: wardline::clock::now_ms(),
        reason: Reason::Json,
        detail: "not JSON".to_owned(),
        topic: b"vitals/v1/n/w/d".to_vec(),
        payload: b"{nonsense".to_vec(),
    };
    let mut entries = readings(0..1);
    entries.extend([Entry::DeadLetter(letter), Entry::Duplicate]);
    rig.append(entries).await;
    rig.until_committed(3).await;
    let balance = rig.account.balance();
    assert_eq!((balance.dead_lettered, balance.duplicates), (1, 1));
    let kept = dead_letter::show(&sqlite(dir.path()), 1).unwrap().expect("it is kept");
    assert_eq!((kept.reason.as_str(), kept.payload.as_slice()), ("json", b"{nonsense".as_slice()));
}
