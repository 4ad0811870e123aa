//! The store towards a real InfluxDB: what our encoder writes is accepted and reads back equal, refused points are found,
//! a repeated batch changes nothing, and buckets are made once.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed step is a failed test")]

#[path = "support/journals.rs"]
mod journals;
#[path = "support/servers.rs"]
mod servers;
#[path = "support/stores.rs"]
mod stores;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config as Runs, TestRunner};
use servers::InfluxDb as Server;
use stores::{Store, tls_provider};
use wardline::clock::now_ms;
use wardline::config::{self, Config};
use wardline::journal::Entry;
use wardline::limits::Limits;
use wardline::peers::influx::InfluxDb;
use wardline::reading::{Context, EnrichedReading, Millis, Quality, Reading};
use wardline::vital::{self, Vital, Vitals};

const DAY: Millis = 86_400_000;

/// Device, patient, ward, time.
type Identity = (String, String, String, Millis);
/// What is stored under each identity: the vitals by name, and the quality if it is not good.
type Points = BTreeMap<Identity, (BTreeMap<String, f64>, Option<String>)>;

fn reading(names: [&str; 3], time: Millis, vitals: Vitals, quality: Quality) -> EnrichedReading {
    let [device, patient, ward] = names;
    let context = Context {
        region: "north".into(),
        ward: ward.into(),
        bed: None,
        device: device.into(),
        patient: Some(patient.into()),
        age_band: "40-64".into(),
        limits: Arc::new(Limits::default()),
    };
    let reading = Reading { seq: None, time, received: now_ms(), vitals, quality };
    EnrichedReading { reading, context: Arc::new(context) }
}

/// Texts that line protocol gives a meaning to, and any others. Within types: the profile's texts are not ours.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9_-]{1,64}",
        "[ ,=\"'\\\\#\\n\\r\\t\u{0}\u{7f}a]{1,12}",
        ".{1,24}",
        Just("x\\".to_owned()),
        Just(" ".to_owned()),
        Just("\u{1f3e5} Zoë, Ward=7 ".to_owned()),
    ]
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-100.0..500.0f64),
        any::<f64>().prop_filter("finite", |value| value.is_finite()),
        prop_oneof![Just(0.0), Just(f64::MIN_POSITIVE), Just(f64::MAX), Just(f64::MIN), Just(5e-324), Just(1e21)],
    ]
}

fn any_reading() -> impl Strategy<Value = EnrichedReading> {
    let quality = prop_oneof![
        Just(Quality::Good),
        Just(Quality::Poor),
        Just(Quality::LeadOff),
        Just(Quality::ProbeOff),
        Just(Quality::Inoperative)
    ];
    let values = proptest::collection::vec(proptest::option::of(value()), vital::COUNT);
    (name(), name(), name(), 0..DAY, values, quality).prop_map(|(device, patient, ward, ago, values, quality)| {
        let measured = vital::ALL.into_iter().zip(values).filter_map(|(vital, value)| Some((vital, value?)));
        let vitals: Vitals = measured.collect();
        // Without a value, only a quality makes a reading.
        let quality = if vitals.is_empty() && quality == Quality::Good { Quality::LeadOff } else { quality };
        reading([&device, &patient, &ward], now_ms() - DAY - ago, vitals, quality)
    })
}

/// What the encoder documents: control characters and backslashes become underscores.
fn tame(text: &str) -> String {
    text.chars().map(|c| if c == '\\' || c.is_ascii_control() { '_' } else { c }).collect()
}

/// What must be stored; of two readings with one identity, the later fields win one by one.
fn expected(readings: &[EnrichedReading]) -> Points {
    let mut points = Points::new();
    for EnrichedReading { reading, context } in readings {
        let identity = (tame(&context.device), tame(context.patient_tag()), tame(&context.ward), reading.time);
        let (vitals, quality) = points.entry(identity).or_default();
        vitals.extend(reading.vitals.iter().map(|(vital, value)| (vital.name().to_owned(), value)));
        if reading.quality != Quality::Good {
            *quality = Some(reading.quality.name().to_owned());
        }
    }
    points
}

/// Everything of ours in the bucket of the region: what has a patient.
fn stored(server: &Server) -> Points {
    let query = |fields: &str| {
        server.query(&format!(
            r#"from(bucket: "vitals-north") |> range(start: -30d) |> filter(fn: (r) => r._measurement == "vitals" and exists r.patient and {fields}) |> group()"#
        ))
    };
    let mut points = Points::new();
    for (fields, is_text) in [(r#"r._field != "quality""#, false), (r#"r._field == "quality""#, true)] {
        for row in rows(&query(fields)) {
            let time = row["_time"].parse::<jiff::Timestamp>().unwrap().as_millisecond();
            let identity = (row["device"].clone(), row["patient"].clone(), row["ward"].clone(), time);
            let (vitals, quality) = points.entry(identity).or_default();
            if is_text {
                *quality = Some(row["_value"].clone());
            } else {
                let value = row["_value"].parse().unwrap();
                assert!(vitals.insert(row["_field"].clone(), value).is_none(), "one point has one value");
            }
        }
    }
    points
}

/// The rows of InfluxDB's CSV, by column.
fn rows(text: &str) -> Vec<BTreeMap<String, String>> {
    let (mut table, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if quoted && rest.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                table.push(std::mem::take(&mut row));
            }
            _ => cell.push(c),
        }
    }
    let mut table = table.into_iter().filter(|row| row.len() > 1);
    let Some(head) = table.next() else { return Vec::new() };
    table.map(|row| head.iter().cloned().zip(row).collect()).collect()
}

fn entries(readings: &[EnrichedReading]) -> Vec<Entry> {
    readings.iter().cloned().map(Entry::Reading).collect()
}

/// A store of these readings that is to run towards this server.
async fn holding(server: &Server, readings: &[EnrichedReading]) -> Store {
    let store = Store::holding(entries(readings)).await;
    store.write_token(&server.token);
    store
}

fn adapter(server: &Server, dir: &tempfile::TempDir) -> InfluxDb {
    tls_provider();
    stores::write_token(dir.path(), &server.token);
    let defaults = Config::from_text("", std::iter::empty()).unwrap().influxdb;
    let token_file = Some(stores::token_file(dir.path()));
    let bucket_retention = Duration::from_secs(7 * 86_400);
    let config =
        config::InfluxDb { url: server.url.clone(), org: server.org.clone(), token_file, bucket_retention, ..defaults };
    InfluxDb::new(&config).unwrap()
}

#[tokio::test]
async fn whatever_the_types_permit_is_accepted_and_reads_back_equal() {
    if !servers::wanted("whatever_the_types_permit_is_accepted_and_reads_back_equal") {
        return;
    }
    let server = Server::start();
    server.make_bucket("vitals-north");
    let mut runner = TestRunner::new(Runs::default());
    let readings: Vec<_> = (0..1000).map(|_| any_reading().new_tree(&mut runner).unwrap().current()).collect();
    let mut store = holding(&server, &readings).await;
    store.run(&server.url);
    store.until_done(1000).await;
    let letters = store.dead_letters().await;
    assert_eq!(letters, [], "InfluxDB refuses what we encode");
    let (stored, expected) = (stored(&server), expected(&readings));
    for (identity, point) in &expected {
        assert_eq!(stored.get(identity), Some(point), "{identity:?}");
    }
    assert_eq!(stored.len(), expected.len());
}

#[tokio::test]
async fn a_type_conflict_costs_only_the_points_that_have_it() {
    if !servers::wanted("a_type_conflict_costs_only_the_points_that_have_it") {
        return;
    }
    let server = Server::start();
    server.make_bucket("vitals-north");
    let begin = now_ms() - 60_000;
    // Somebody else wrote this vital as an integer; from then on InfluxDB takes no float for it.
    let authorization =
        [("Authorization", format!("Token {}", server.token)), ("Content-Type", "text/plain".to_owned())];
    let path = "/api/v2/write?org=wardline&bucket=vitals-north&precision=ms";
    let line = format!("vitals,device=another glucose=5i {begin}");
    let answer = servers::http::request(server.process.address(), "POST", path, &authorization, &line).unwrap();
    assert_eq!(answer.status, 204, "{}", answer.body);

    let one = |number: i64| {
        let vital = if number % 20 == 7 { Vital::Glucose } else { Vital::HeartRate };
        let vitals = [(vital, 5.5 + number as f64)].into_iter().collect();
        reading(["mon-1", "p-1", "icu-1"], begin + number, vitals, Quality::Good)
    };
    let readings: Vec<_> = (0..100).map(one).collect();
    let mut store = holding(&server, &readings).await;
    store.run(&server.url);
    store.until_done(100).await;
    assert_eq!((store.balance().stored, store.balance().dead_lettered), (95, 5));
    for letter in store.dead_letters().await {
        assert!(letter.detail.contains("InfluxDB 422") && letter.detail.contains("glucose"), "{}", letter.detail);
        assert!(String::from_utf8(letter.payload).unwrap().contains("glucose"));
    }
    let good: Vec<_> = (0..100).filter(|number| number % 20 != 7).map(one).collect();
    assert_eq!(stored(&server), expected(&good));
}

#[tokio::test]
async fn points_beyond_the_retention_become_dead_letters_and_the_others_are_stored() {
    if !servers::wanted("points_beyond_the_retention_become_dead_letters_and_the_others_are_stored") {
        return;
    }
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let made = adapter(&server, &dir).ensure_buckets(&["north".to_owned()]).await.unwrap();
    assert_eq!(made, ["vitals-north"]);
    let one = |number: i64, ago: Millis| {
        let vitals = [(Vital::HeartRate, number as f64)].into_iter().collect();
        reading(["mon-1", "p-1", "icu-1"], now_ms() - ago - number, vitals, Quality::Good)
    };
    let recent: Vec<_> = (0..20).map(|number| one(number, DAY)).collect();
    let old: Vec<_> = (0..3).map(|number| one(number, 25 * DAY)).collect();
    let mut store = holding(&server, &[recent.clone(), old].concat()).await;
    store.run(&server.url);
    store.until_done(23).await;
    assert_eq!((store.balance().stored, store.balance().dead_lettered), (20, 3));
    assert_eq!(stored(&server), expected(&recent));
}

#[tokio::test]
async fn a_batch_that_is_written_twice_leaves_one_point_each() {
    if !servers::wanted("a_batch_that_is_written_twice_leaves_one_point_each") {
        return;
    }
    let server = Server::start();
    server.make_bucket("vitals-north");
    let mut runner = TestRunner::deterministic();
    let readings: Vec<_> = (0..200).map(|_| any_reading().new_tree(&mut runner).unwrap().current()).collect();
    for _ in 0..2 {
        // A journal of its own each time, as after a crash before the cursor was on disk.
        let mut store = holding(&server, &readings).await;
        store.run(&server.url);
        store.until_done(200).await;
        assert_eq!(store.balance().stored, 200);
    }
    assert_eq!(stored(&server), expected(&readings));
}

#[tokio::test]
async fn readings_wait_for_their_bucket_and_are_stored_when_init_has_made_it() {
    if !servers::wanted("readings_wait_for_their_bucket_and_are_stored_when_init_has_made_it") {
        return;
    }
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let adapter = adapter(&server, &dir);
    adapter.health().await.unwrap();
    let vitals = [(Vital::HeartRate, 72.0)].into_iter().collect();
    let readings = [reading(["mon-1", "p-1", "icu-1"], now_ms() - DAY, vitals, Quality::Good)];
    let mut store = holding(&server, &readings).await;
    store.config.influxdb.hold_retry = Duration::from_millis(20);
    store.run(&server.url);
    stores::until(|| format!("{:?}", store.state()).contains("wardline init")).await;
    let regions = ["north".to_owned(), "south".to_owned(), "north".to_owned()];
    assert_eq!(adapter.ensure_buckets(&regions).await.unwrap(), ["vitals-north", "vitals-south"]);
    store.until_done(1).await;
    assert_eq!(stored(&server), expected(&readings));
}

#[tokio::test]
async fn buckets_are_made_once_also_among_hundreds_of_others() {
    if !servers::wanted("buckets_are_made_once_also_among_hundreds_of_others") {
        return;
    }
    let server = Server::start();
    // More than InfluxDB lists at once, and in front of ours in its order.
    (0..120).for_each(|number| server.make_bucket(&format!("another-{number:03}")));
    let dir = tempfile::tempdir().unwrap();
    let adapter = adapter(&server, &dir);
    let regions = ["north".to_owned(), "south".to_owned()];
    assert_eq!(adapter.ensure_buckets(&regions).await.unwrap(), ["vitals-north", "vitals-south"]);
    assert_eq!(adapter.ensure_buckets(&regions).await.unwrap(), Vec::<String>::new());
    let buckets = adapter.buckets().await.unwrap();
    assert!(buckets.contains(&"vitals-south".to_owned()) && buckets.len() > 120, "{}", buckets.len());
}
