//! Everything that can't be a reading becomes a dead letter with its reason and its original bytes, and spoils nothing else.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "support/device.rs"]
mod device;
#[path = "support/wardline.rs"]
mod instance;
#[path = "support/servers.rs"]
mod servers;
#[path = "support/stored.rs"]
mod stored;

use std::collections::BTreeSet;

use device::{Device, epoch};
use instance::{Wardline, until};
use serde_json::Value;
use servers::{InfluxDb, Mosquitto, MosquittoOptions};
use wardline::reading::Reason;

const TOPIC: &str = "vitals/v1/north/icu-1/mon-1";

/// One message, and the dead letters that must come of it: each a reason and the bytes that it keeps.
struct Case {
    topic: String,
    payload: Vec<u8>,
    letters: Vec<(Reason, Vec<u8>)>,
}

fn on(topic: &str, payload: impl Into<Vec<u8>>, reason: Reason) -> Case {
    let payload = payload.into();
    Case { topic: topic.to_owned(), letters: vec![(reason, payload.clone())], payload }
}

fn bad(payload: impl Into<Vec<u8>>, reason: Reason) -> Case {
    on(TOPIC, payload, reason)
}

/// An object with a good time and this after it.
fn timed(rest: &str) -> String {
    format!(r#"{{"time":{},{rest}}}"#, epoch())
}

/// A good heart rate with this time.
fn at(time: &str) -> String {
    format!(r#"{{"time":{time},"vitals":{{"heart_rate":72}}}}"#)
}

fn topics() -> Vec<Case> {
    let long = format!("vitals/v1/north/icu-1/{}", "d".repeat(65));
    let topics = [
        "vitals/v1/north",
        "vitals/v1/north/icu-1",
        "vitals/v1/north/icu-1/mon-1/extra",
        "vitals/v1/north//mon-1",
        "vitals/v1/north/icu-1/",
        "vitals/v1/north/icu 1/mon-1",
        "vitals/v1/north/icu-1/mon-1 ",
        "vitals/v1/north/icu-1/mon.1",
        "vitals/v1/north/icu-1/m\u{f6}n-1",
        "vitals/v1/north/icu-1/mon-1,patient=p-2",
        "vitals/v1/north/icu-1/$mon",
        &long,
    ];
    topics.into_iter().map(|topic| on(topic, device::payload(0), Reason::Topic)).collect()
}

fn no_json() -> Vec<Case> {
    let binary: [&[u8]; 6] = [
        b"\xff\xfe",
        b"{\"device\":\"mon-\xff\",\"vitals\":{}}",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
        b"\0",
        b"\xef\xbb\xbf{\"vitals\":{}}",
        &[b'['; 60_000],
    ];
    let text = [
        "not json",
        "{",
        "72,97.5",
        "vitals heart_rate=72",
        "<reading heart_rate=\"72\"/>",
        r#"{"time":1,"vitals":{"heart_rate":72"#,
        r#"{"vitals":{}} x"#,
        r#"{'vitals':{}}"#,
        r#"[{"vitals":{}},]"#,
        &timed(r#""vitals":{"heart_rate":NaN}"#),
        &timed(r#""vitals":{"heart_rate":1e999}"#),
        &timed(r#""vitals":{"heart_rate":072}"#),
    ];
    let binary = binary.into_iter().map(|bytes| bad(bytes, Reason::Json));
    binary.chain(text.into_iter().map(|text| bad(text, Reason::Json))).collect()
}

fn shapes() -> Vec<Case> {
    let shapes = [
        "7",
        "null",
        "\"heart_rate\"",
        "{}",
        r#"{"resourceType":"Observation"}"#,
        &timed(r#""vitals":null"#),
        &timed(r#""vitals":[72]"#),
        &timed(r#""vitals":{"heart_rate":"72"}"#),
        &timed(r#""vitals":{"heart_rate":[72]}"#),
        &timed(r#""vitals":{"heart_rate":true}"#),
        &timed(r#""vitals":{"spo2":97,"spo2":12}"#),
        &timed(r#""time":1,"vitals":{"spo2":97}"#),
        &timed(r#""seq":-1,"vitals":{"spo2":97}"#),
        &timed(r#""seq":1.5,"vitals":{"spo2":97}"#),
    ];
    shapes.into_iter().map(|text| bad(text, Reason::Shape)).collect()
}

fn sizes() -> Vec<Case> {
    let names: Vec<_> = (0..33).map(|number| format!("\"v{number}\":1")).collect();
    vec![
        bad("", Reason::Empty),
        bad(" \r\n\t", Reason::Empty),
        bad("[]", Reason::Empty),
        bad(vec![b' '; 65_537], Reason::TooLarge),
        bad(format!("[{}{{}}]", "{},".repeat(1_000)), Reason::TooManyItems),
        bad(timed(&format!("\"vitals\":{{{}}}", names.join(","))), Reason::TooManyVitals),
    ]
}

fn devices_and_times() -> Vec<Case> {
    let hour_ahead = (wardline::clock::now_ms() + 3_600_000).to_string();
    vec![
        bad(timed(r#""device":"mon-2","vitals":{"spo2":97}"#), Reason::DeviceMismatch),
        bad(timed(r#""device":"","vitals":{"spo2":97}"#), Reason::DeviceMismatch),
        bad(timed(r#""device":7,"vitals":{"spo2":97}"#), Reason::DeviceMismatch),
        bad(r#"{"vitals":{"spo2":97}}"#, Reason::Time),
        bad(at("null"), Reason::Time),
        bad(at("true"), Reason::Time),
        bad(at("1763802902250.5"), Reason::Time),
        bad(at("99999999999999999999"), Reason::Time),
        bad(at("\"2026-11-22T09:15:02.250\""), Reason::Time),
        bad(at("\"2026-02-30T09:15:02Z\""), Reason::Time),
        bad(at("\"yesterday\""), Reason::Time),
        bad(at(&hour_ahead), Reason::Future),
        bad(at("9223372036854775807"), Reason::Future),
        bad(at("\"9999-12-30T00:00:00Z\""), Reason::Future),
        bad(at("0"), Reason::TooOld),
        bad(at("-1"), Reason::TooOld),
        // Seconds where milliseconds are expected.
        bad(at(&(epoch() / 1_000).to_string()), Reason::TooOld),
        bad(at("\"2001-01-01T00:00:00+01:00\""), Reason::TooOld),
    ]
}

fn values() -> Vec<Case> {
    vec![
        bad(timed(r#""vitals":{"heart_rate":-1}"#), Reason::OutOfRange),
        bad(timed(r#""vitals":{"heart_rate":1e308}"#), Reason::OutOfRange),
        bad(timed(r#""vitals":{"spo2":0}"#), Reason::OutOfRange),
        bad(timed(r#""vitals":{"spo2":100.1}"#), Reason::OutOfRange),
        // Fahrenheit.
        bad(timed(r#""vitals":{"temperature":98.6}"#), Reason::OutOfRange),
        // One value out of range, and the others can't be believed either.
        bad(timed(r#""vitals":{"heart_rate":72,"spo2":970}"#), Reason::OutOfRange),
        bad(timed(r#""quality":"excellent","vitals":{"spo2":97}"#), Reason::Quality),
        bad(timed(r#""quality":"GOOD","vitals":{"spo2":97}"#), Reason::Quality),
        bad(timed(r#""quality":7,"vitals":{"spo2":97}"#), Reason::Quality),
        bad(timed(r#""vitals":{}"#), Reason::NoVitals),
        bad(timed(r#""vitals":{"sp02":97}"#), Reason::NoVitals),
        bad(timed(r#""vitals":{"spo2":-100,"heart_rate":8388607,"resp_rate":null}"#), Reason::NoVitals),
    ]
}

/// Arrays whose items have fates of their own; the good ones are stored as readings 900,000 and 900,001.
fn arrays() -> Vec<Case> {
    let good = |number| String::from_utf8(device::payload(number)).unwrap();
    let wrong = timed(r#""vitals":{"spo2":"97"}"#);
    let payload = format!("[{}, {wrong} ,{}]", good(900_000), good(900_001));
    vec![
        Case { topic: TOPIC.to_owned(), payload: payload.into(), letters: vec![(Reason::Shape, wrong.into())] },
        Case {
            topic: TOPIC.to_owned(),
            payload: b"[1, null]".to_vec(),
            letters: vec![(Reason::Shape, b"1".to_vec()), (Reason::Shape, b"null".to_vec())],
        },
    ]
}

fn corpus() -> Vec<Case> {
    [topics(), no_json(), shapes(), sizes(), devices_and_times(), values(), arrays()].into_iter().flatten().collect()
}

/// The dead letters, oldest first.
fn letters(wardline: &Wardline) -> Vec<Value> {
    let mut letters = wardline.json(&["dead-letter", "list", "--limit", "100000"]);
    letters.reverse();
    letters
}

fn id(letter: &Value) -> String {
    letter["id"].as_i64().unwrap().to_string()
}

fn raw(wardline: &Wardline, id: &str) -> Vec<u8> {
    wardline.command(&["dead-letter", "show", "--raw", id]).stdout
}

#[test]
fn each_bad_message_is_a_dead_letter_with_its_reason_and_its_bytes_and_the_good_ones_between_are_stored() {
    if !servers::wanted("each_bad_message_is_a_dead_letter_with_its_reason_and_its_bytes_and_the_good_ones_between") {
        return;
    }
    let (broker, influxdb) = (Mosquitto::start(&MosquittoOptions::default()), InfluxDb::start());
    let wardline = Wardline::on(&broker.url).influxdb(&influxdb).init().start();
    wardline.ready();
    let device = Device::on(broker.process.address(), "mon-1");

    let begun = wardline::clock::now_ms();
    let corpus = corpus();
    let mut good = BTreeSet::from([900_000, 900_001]);
    for (number, case) in (1..).zip(&corpus) {
        device.publish(&case.topic, case.payload.clone());
        device.read(number);
        good.insert(number);
    }
    device.delivered();
    stored::until_stored(&influxdb, "mon-1", &good);
    until("nothing is in flight", || wardline.balance().in_flight == 0);
    let ended = wardline::clock::now_ms();
    assert_eq!(stored::stored(&influxdb).len(), good.len(), "something bad is stored");

    let expected: Vec<_> =
        corpus.iter().flat_map(|case| case.letters.iter().map(|letter| (case.topic.as_str(), letter))).collect();
    assert!(expected.len() >= 40);
    let letters = letters(&wardline);
    assert_eq!(letters.len(), expected.len(), "{letters:#?}");
    for (letter, (topic, (reason, bytes))) in letters.iter().zip(&expected) {
        assert_eq!(letter["reason"], reason.name(), "{letter}: {}", String::from_utf8_lossy(bytes));
        assert_eq!(letter["topic"], *topic);
        assert_eq!(letter["bytes"], bytes.len());
        assert!(!letter["detail"].as_str().unwrap().is_empty(), "{letter}");
        let at: jiff::Timestamp = letter["at"].as_str().unwrap().parse().unwrap();
        assert!((begun..=ended).contains(&at.as_millisecond()), "{letter}");
        assert!(raw(&wardline, &id(letter)) == *bytes, "{letter} does not keep the original bytes");
    }
    let shown = &wardline.json(&["dead-letter", "show", &id(&letters[0])])[0];
    for field in ["id", "at", "reason", "topic", "detail"] {
        assert_eq!(shown[field], letters[0][field]);
    }
    assert_eq!(shown["payload"].as_str().unwrap().as_bytes(), device::payload(0));

    // Every reason but the store's own refusal, which needs a store that refuses.
    for reason in Reason::ALL.into_iter().filter(|reason| *reason != Reason::StoreRefused) {
        let count = expected.iter().filter(|(_, (expected, _))| *expected == reason).count();
        assert!(count > 0, "no case for {reason:?}");
        let series = format!("wardline_dead_lettered_total{{reason=\"{}\"}}", reason.name());
        assert_eq!(wardline.metric(&series), count as f64, "{series}");
    }
    let balance = wardline.balance();
    assert!(balance.holds(), "{balance:?}");
    assert_eq!(balance.received as usize, good.len() + expected.len());
    assert_eq!((balance.stored as usize, balance.dead_lettered as usize), (good.len(), expected.len()));
}

#[test]
fn a_replayed_dead_letter_comes_through_when_its_cause_is_mended_and_is_refused_again_otherwise() {
    if !servers::wanted("a_replayed_dead_letter_comes_through_when_its_cause_is_mended_and_is_refused_again_otherwise")
    {
        return;
    }
    let (broker, influxdb) = (Mosquitto::start(&MosquittoOptions::default()), InfluxDb::start());
    let mut wardline = Wardline::on(&broker.url).influxdb(&influxdb).set("intake.max_payload", "64B").init().start();
    wardline.ready();
    let device = Device::on(broker.process.address(), "mon-1");
    let large = [device::payload(1), vec![b' '; 64]].concat();
    device.publish(TOPIC, large.clone());
    device.publish(TOPIC, "hopeless");
    until("both are dead letters", || wardline.balance().dead_lettered == 2);

    // Somebody finds the bound too small.
    wardline.terminate();
    wardline.change("intake.max_payload", "64KiB");
    wardline.restart();
    wardline.ready();
    let before = letters(&wardline);
    assert_eq!(before[0]["reason"], "too_large");
    let replayed = wardline.json(&["dead-letter", "replay", &id(&before[0]), &id(&before[1])]);
    assert!(replayed.iter().all(|letter| letter["replayed"] == true), "{replayed:?}");
    stored::until_stored(&influxdb, "mon-1", &BTreeSet::from([1]));

    until("the hopeless one is refused again", || letters(&wardline).len() == 3);
    let after = letters(&wardline);
    assert_eq!(after[..2], before, "what was replayed stays in the list");
    assert_eq!((&after[2]["reason"], &after[2]["topic"]), (&before[1]["reason"], &before[1]["topic"]));
    assert_eq!(raw(&wardline, &id(&after[2])), b"hopeless");

    assert_eq!(wardline.json(&["dead-letter", "replay", "--reason", "json"]).len(), 2);
    until("both are refused again", || letters(&wardline).len() == 5);
    assert_eq!(wardline.command(&["dead-letter", "replay", "999"]).status.code(), Some(2));
    assert_eq!(wardline.command(&["dead-letter", "replay"]).status.code(), Some(64));
    until("nothing is in flight", || wardline.balance().in_flight == 0);
    assert!(wardline.balance().holds(), "{:?}", wardline.balance());
}
