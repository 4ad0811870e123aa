//! What the store makes of each answer that InfluxDB or something in front of it can give: one claim for each row of
//! the table in `src/store/deliver.rs`, with the real adapter over a real socket and journal, and a double that answers.
//!
//! The clock is paused as soon as the journal is filled: waits of minutes pass at once, and are measured all the same.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed step is a failed test")]

#[path = "support/influx_double.rs"]
mod influx_double;
#[path = "support/journals.rs"]
mod journals;
#[path = "support/stores.rs"]
mod stores;

use std::ops::Range;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use influx_double::{Answer, InfluxDouble, Write, listen, reserve};
use journals::reading;
use stores::{Store, until};
use tokio::time::pause;
use wardline::clock::now_ms;
use wardline::config::Backoff;
use wardline::journal::Entry;
use wardline::reading::{Context, EnrichedReading, Millis};
use wardline::status::State;

const MINUTE: Duration = Duration::from_secs(60);

/// When the first reading was received. Dead letters are kept by their age, so it is not long ago.
static RECEIVED: LazyLock<Millis> = LazyLock::new(now_ms);

fn received(number: u64) -> EnrichedReading {
    let mut enriched = reading(number);
    enriched.reading.received = *RECEIVED + number as i64;
    enriched
}

fn readings(numbers: Range<u64>) -> Vec<Entry> {
    numbers.map(|number| Entry::Reading(received(number))).collect()
}

/// A reading of another region.
fn in_region(region: &str, number: u64) -> Entry {
    let mut enriched = received(number);
    enriched.context = Arc::new(Context { region: region.into(), ..(*enriched.context).clone() });
    Entry::Reading(enriched)
}

/// The numbers of the readings whose lines the double keeps.
fn kept(double: &InfluxDouble) -> Vec<u64> {
    let number = |line: &String| -> u64 {
        let (_, rest) = line.split_once("heart_rate=").unwrap();
        rest.split_once(".0 ").unwrap().0.parse().unwrap()
    };
    let mut numbers: Vec<u64> = double.kept().keys().map(number).collect();
    numbers.sort_unstable();
    numbers
}

fn all_but(bad: &[u64], count: u64) -> Vec<u64> {
    (0..count).filter(|number| !bad.contains(number)).collect()
}

/// The reason, if the state is degraded.
fn trouble(state: &State) -> &str {
    if let State::Degraded(reason) = state { reason } else { "" }
}

fn same_bytes(writes: &[Write]) -> bool {
    writes.windows(2).all(|pair| pair.first().map(|write| &write.bytes) == pair.last().map(|write| &write.bytes))
}

fn gaps(writes: &[Write]) -> Vec<Duration> {
    let times: Vec<_> = writes.iter().map(|write| write.at).collect();
    times.iter().zip(times.iter().skip(1)).map(|(before, after)| *after - *before).collect()
}

#[tokio::test]
async fn a_write_is_gzip_in_milliseconds_with_sorted_tags_under_the_token_for_the_regions_bucket() {
    let mut store = Store::holding(readings(0..3)).await;
    let double = InfluxDouble::start(&store.rig.status, Answer::stored).await;
    pause();
    store.run(&double.url);
    store.until_done(3).await;
    let writes = double.writes();
    assert_eq!(writes.len(), 1);
    let write = writes.first().unwrap();
    let of = |name: &str| write.query.get(name).map(String::as_str);
    assert_eq!((of("org"), of("bucket"), of("precision")), (Some("wardline"), Some("vitals-north"), Some("ms")));
    let header = |name: &str| write.headers.get(name).unwrap().to_str().unwrap();
    assert_eq!(header("authorization"), "Token token-of-a-test");
    assert_eq!(header("content-encoding"), "gzip");
    let expected = |number: u64| {
        format!(
            "vitals,age_band=40-64,device=mon-{number},patient=p-1,region=north,ward=icu-1 heart_rate={number}.0 {}",
            1_700_000_000_000 + number
        )
    };
    assert_eq!(write.lines, [expected(0), expected(1), expected(2)]);
    assert_eq!(store.state(), State::Ok);
}

#[tokio::test]
async fn of_a_malformed_batch_only_the_bad_lines_become_dead_letters() {
    for bad in [&[37][..], &[0, 63], &[10, 11, 40]] {
        let mut store = Store::holding(readings(0..64)).await;
        let double = InfluxDouble::start(&store.rig.status, move |write| match bad.iter().any(|n| write.has(*n)) {
            true => Answer::refused(400, "unable to parse: bad timestamp"),
            false => Answer::stored(write),
        })
        .await;
        pause();
        store.run(&double.url);
        store.until_done(64).await;
        assert_eq!(kept(&double), all_but(bad, 64));
        assert!(double.kept().values().all(|times| *times == 1), "nothing was written by a refused request");
        // Down to one of 64 in six halvings, two requests each.
        assert!(double.writes().len() <= 1 + 12 * bad.len(), "{} requests", double.writes().len());
        let letters = store.dead_letters().await;
        assert_eq!(letters.len(), bad.len());
        for (letter, number) in letters.iter().zip(bad) {
            assert_eq!((letter.reason.as_str(), letter.at), ("store_refused", *RECEIVED + *number as i64));
            assert!(letter.detail.contains("InfluxDB 400: unable to parse: bad timestamp"), "{}", letter.detail);
            assert_eq!(letter.topic, format!("vitals/v1/north/icu-1/mon-{}", number % 7).into_bytes());
            let payload: serde_json::Value = serde_json::from_slice(&letter.payload).unwrap();
            assert_eq!(payload.pointer("/vitals/heart_rate").unwrap(), *number as f64);
            assert_eq!(payload.pointer("/time").unwrap(), 1_700_000_000_000 + number);
        }
        assert_eq!(store.balance().stored, 64 - bad.len() as u64);
        tokio::time::resume();
    }
}

#[tokio::test]
async fn of_a_partial_write_the_rest_counts_as_written_and_the_refused_points_become_dead_letters() {
    // Older servers answer 500 to the same.
    for status in [422, 500] {
        let mut store = Store::holding(readings(0..64)).await;
        let bad = [5, 50];
        let double = InfluxDouble::start(&store.rig.status, move |write| {
            let dropped = bad.iter().filter(|number| write.has(**number)).count();
            let message = format!("partial write: field type conflict dropped={dropped}");
            match dropped {
                0 => Answer::stored(write),
                _ => Answer::refused(status, &message).keeping_all_but(write, &bad),
            }
        })
        .await;
        pause();
        store.run(&double.url);
        store.until_done(64).await;
        assert_eq!(kept(&double), all_but(&bad, 64));
        let letters = store.dead_letters().await;
        let numbers: Vec<_> = letters.iter().map(|letter| letter.at - *RECEIVED).collect();
        assert_eq!(numbers, [5, 50]);
        assert_eq!((store.balance().stored, store.balance().dead_lettered), (62, 2));
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_batch_of_which_the_server_dropped_all_is_not_sent_again() {
    let mut store = Store::holding(readings(0..64)).await;
    let double = InfluxDouble::start(&store.rig.status, |write| {
        Answer::refused(422, &format!("partial write: points beyond retention policy dropped={}", write.lines.len()))
    })
    .await;
    pause();
    store.run(&double.url);
    store.until_done(64).await;
    assert_eq!(double.writes().len(), 1);
    assert_eq!((store.dead_letters().await.len(), store.balance().dead_lettered), (64, 64));
}

#[tokio::test]
async fn a_refusal_that_an_operator_can_mend_holds_everything_and_ends_by_itself() {
    for (status, advice) in
        [(401, "influxdb.token_file"), (403, "permissions"), (404, "wardline init"), (302, "influxdb.url")]
    {
        let mut store = Store::holding(readings(0..20)).await;
        let mut tries = 0;
        let double = InfluxDouble::start(&store.rig.status, move |write| {
            tries += 1;
            if tries <= 5 { Answer::refused(status, "refused") } else { Answer::stored(write) }
        })
        .await;
        pause();
        store.run(&double.url);
        store.until_done(20).await;
        let writes = double.writes();
        assert_eq!(writes.len(), 6);
        assert!(same_bytes(&writes));
        assert!(gaps(&writes).iter().all(|gap| *gap >= store.config.influxdb.hold_retry), "{:?}", gaps(&writes));
        for write in writes.iter().skip(1) {
            let trouble = trouble(&write.state);
            assert!(trouble.contains(advice) && trouble.contains("nothing is dropped"), "{status}: {trouble}");
        }
        assert_eq!((kept(&double), store.state()), (all_but(&[], 20), State::Ok));
        assert_eq!(store.dead_letters().await, []);
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_token_that_is_replaced_in_its_file_is_used_without_a_restart() {
    let mut store = Store::holding(readings(0..20)).await;
    let double = InfluxDouble::start(&store.rig.status, |write| {
        let token = write.headers.get("authorization").unwrap();
        if token == "Token new" { Answer::stored(write) } else { Answer::refused(401, "unauthorized access") }
    })
    .await;
    pause();
    store.run(&double.url);
    until(|| double.writes().len() == 2).await;
    assert_eq!(store.balance().stored, 0);
    store.write_token("new");
    store.until_done(20).await;
    assert_eq!(kept(&double), all_but(&[], 20));
}

#[tokio::test]
async fn a_region_without_its_bucket_holds_up_no_other() {
    let entries = (0..20).map(|number| in_region(if number % 2 == 0 { "north" } else { "south" }, number)).collect();
    let mut store = Store::holding(entries).await;
    let (made, is_made) = tokio::sync::watch::channel(false);
    let double = InfluxDouble::start(&store.rig.status, move |write| {
        let is_south = write.query.get("bucket").unwrap() == "vitals-south";
        if is_south && !*is_made.borrow() { Answer::refused(404, "bucket not found") } else { Answer::stored(write) }
    })
    .await;
    pause();
    store.run(&double.url);
    until(|| store.balance().stored == 10 && !trouble(&store.state()).is_empty()).await;
    assert!(trouble(&store.state()).contains("region south"), "{:?}", store.state());
    store.append((20..30).map(|number| in_region("north", number)).collect()).await;
    until(|| store.balance().stored == 20).await;
    made.send(true).unwrap();
    store.until_done(30).await;
    assert_eq!(kept(&double), all_but(&[], 30));
}

#[tokio::test]
async fn what_was_held_at_a_hard_stop_is_stored_by_the_next_run() {
    let mut store = Store::holding(readings(0..20)).await;
    let away = InfluxDouble::start(&store.rig.status, |_| Answer::refused(401, "unauthorized access")).await;
    pause();
    store.run(&away.url);
    until(|| !away.writes().is_empty()).await;
    store.stop_hard().await;
    assert_eq!(store.balance().stored, 0);
    let back = InfluxDouble::start(&store.rig.status, Answer::stored).await;
    store.run(&back.url);
    store.until_done(20).await;
    assert_eq!(kept(&back), all_but(&[], 20));
}

#[tokio::test]
async fn a_request_that_is_too_large_is_halved_and_the_limit_is_learnt() {
    const LIMIT: usize = 4096;
    let mut store = Store::holding(readings(0..400)).await;
    let double = InfluxDouble::start(&store.rig.status, |write| match write.size() > LIMIT {
        true => Answer::refused(413, "request entity too large"),
        false => Answer::stored(write),
    })
    .await;
    pause();
    store.run(&double.url);
    store.until_done(400).await;
    let refused = || double.writes().iter().filter(|write| write.size() > LIMIT).count();
    let learning = refused();
    assert!((1..10).contains(&learning), "{learning}");
    store.append(readings(400..800)).await;
    store.until_done(800).await;
    assert_eq!(refused(), learning, "no request is too large any more");
    assert_eq!(kept(&double), all_but(&[], 800));
    assert!(double.kept().values().all(|times| *times == 1));
    assert_eq!(store.dead_letters().await, []);
}

#[tokio::test]
async fn a_single_reading_that_is_too_large_becomes_a_dead_letter() {
    let mut store = Store::holding(readings(0..8)).await;
    let double = InfluxDouble::start(&store.rig.status, |write| match write.has(5) {
        true => Answer::refused(413, "request entity too large"),
        false => Answer::stored(write),
    })
    .await;
    pause();
    store.run(&double.url);
    store.until_done(8).await;
    assert_eq!(kept(&double), all_but(&[5], 8));
    let letters = store.dead_letters().await;
    assert_eq!(letters.iter().map(|letter| letter.at - *RECEIVED).collect::<Vec<_>>(), [5]);
}

#[tokio::test]
async fn a_server_that_asks_for_a_wait_gets_it() {
    let date = std::time::SystemTime::now() + 2 * MINUTE;
    let date = jiff::Timestamp::try_from(date).unwrap().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    // The date has whole seconds, and some of the real clock's pass before it is read.
    for (status, header, at_least) in [(429, "60".to_owned(), MINUTE), (503, date, MINUTE + MINUTE / 2)] {
        let mut store = Store::holding(readings(0..20)).await;
        let mut tries = 0;
        let double = InfluxDouble::start(&store.rig.status, move |write| {
            tries += 1;
            match tries {
                1 | 2 => Answer::refused(status, "try later").after(header.as_str()),
                _ => Answer::stored(write),
            }
        })
        .await;
        pause();
        store.run(&double.url);
        store.until_done(20).await;
        let writes = double.writes();
        assert!(same_bytes(&writes));
        let gaps = gaps(&writes);
        assert_eq!(gaps.len(), 2);
        assert!(gaps.iter().all(|gap| *gap >= at_least), "{gaps:?}");
        assert_eq!(kept(&double), all_but(&[], 20));
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_server_in_trouble_is_asked_again_with_the_same_bytes_and_growing_patience() {
    let mut store = Store::holding(readings(0..20)).await;
    // Full jitter: each wait is anything up to a minute; that twelve of them come to less than one has a chance of
    // one in 12!.
    store.config.influxdb.backoff = Backoff { min: MINUTE, max: MINUTE };
    let mut troubles = [500, 502, 503, 504, 408, 429].into_iter().cycle().take(12);
    let double = InfluxDouble::start(&store.rig.status, move |write| match troubles.next() {
        Some(status) => Answer::refused(status, "engine: cache-max-memory-size exceeded"),
        None => Answer::stored(write),
    })
    .await;
    pause();
    store.run(&double.url);
    store.until_done(20).await;
    let writes = double.writes();
    assert_eq!(writes.len(), 13);
    assert!(same_bytes(&writes));
    assert!(gaps(&writes).iter().sum::<Duration>() >= MINUTE, "{:?}", gaps(&writes));
    assert!(writes.iter().skip(1).all(|write| trouble(&write.state).contains("the journal holds the readings")));
    assert_eq!((kept(&double), store.state()), (all_but(&[], 20), State::Ok));
    assert_eq!(store.dead_letters().await, []);
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_is_asked_again_with_the_same_bytes() {
    let mut store = Store::holding(readings(0..20)).await;
    store.config.influxdb.timeout = MINUTE;
    let mut tries = 0;
    let double = InfluxDouble::start(&store.rig.status, move |write| {
        tries += 1;
        if tries <= 3 { Answer::silence() } else { Answer::stored(write) }
    })
    .await;
    pause();
    store.run(&double.url);
    store.until_done(20).await;
    let writes = double.writes();
    assert_eq!(writes.len(), 4);
    assert!(same_bytes(&writes));
    assert!(writes.iter().skip(1).all(|write| trouble(&write.state).contains("no answer in time")));
    assert_eq!(kept(&double), all_but(&[], 20));
}

#[tokio::test]
async fn a_refused_or_broken_connection_is_tried_again() {
    let mut store = Store::holding(readings(0..20)).await;
    let (socket, address) = reserve();
    let double = InfluxDouble::at(address, &store.rig.status, Answer::stored);
    pause();
    store.run(&double.url);
    until(|| trouble(&store.state()).contains("refused")).await;
    let listener = listen(socket);
    for _ in 0..3 {
        drop(listener.accept().await.unwrap());
    }
    assert_eq!(store.balance().stored, 0);
    double.serve(listener);
    store.until_done(20).await;
    assert_eq!((kept(&double), store.state()), (all_but(&[], 20), State::Ok));
}
