//! The simulator's commands as a person runs them, heard by a subscriber of the test's own: what the ledger says is what
//! was on the wire.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/servers.rs"]
mod servers;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{Client, Event, Incoming, MqttOptions};
use serde_json::{Value, json};
use servers::{Mosquitto, MosquittoOptions};
use simulator::ledger::Ledger;

/// A message as the broker handed it on: topic, payload, retained.
type Heard = (String, Vec<u8>, bool);

/// Hears everything, from now on.
fn listen(broker: &Mosquitto) -> mpsc::Receiver<Heard> {
    let mut options = MqttOptions::new("listener", "127.0.0.1", broker.process.port());
    options.set_keep_alive(Duration::from_secs(5));
    let (client, mut connection) = Client::new(options, 8);
    client.subscribe("#", QoS::AtLeastOnce).unwrap();
    let (heard, hears) = mpsc::channel();
    let (subscribed, ready) = mpsc::channel();
    std::thread::spawn(move || {
        // Ends with the broker.
        for event in connection.iter().map_while(Result::ok) {
            match event {
                Event::Incoming(Incoming::SubAck(_)) => subscribed.send(()).unwrap_or_default(),
                Event::Incoming(Incoming::Publish(publish)) => {
                    let topic = String::from_utf8(publish.topic.to_vec()).unwrap_or_default();
                    heard.send((topic, publish.payload.to_vec(), publish.retain)).unwrap_or_default();
                }
                _ => {}
            }
        }
    });
    ready.recv_timeout(Duration::from_secs(30)).unwrap();
    hears
}

/// All that was said by a simulator that has ended, until the last word of each device's presence is "offline".
fn until_offline(hears: &mpsc::Receiver<Heard>, devices: usize, broker: &Mosquitto) -> Vec<Heard> {
    broker.publish(&["-t", "end"]).unwrap();
    let (mut all, mut gone, mut ended) = (Vec::new(), BTreeSet::new(), false);
    let end = Instant::now() + Duration::from_secs(30);
    while !ended || gone.len() < devices {
        let message = hears.recv_timeout(end.saturating_duration_since(Instant::now())).unwrap();
        ended |= message.0 == "end";
        if message.0.starts_with("presence/") {
            if message.1 == b"offline" {
                gone.insert(message.0.clone());
            } else {
                gone.remove(&message.0);
            }
        }
        all.push(message);
    }
    all
}

fn simulator(arguments: &[&str]) -> Output {
    let simulator = Path::new(env!("CARGO_BIN_EXE_wardline")).with_file_name("simulator");
    Command::new(simulator).args(arguments).output().unwrap()
}

#[test]
fn the_ledger_holds_what_was_on_the_wire_and_presence_comes_and_goes() {
    if !servers::wanted("the_ledger_holds_what_was_on_the_wire_and_presence_comes_and_goes") {
        return;
    }
    let broker = Mosquitto::start(&MosquittoOptions::default());
    let hears = listen(&broker);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.jsonl");
    let output = simulator(&[
        "run",
        "--broker",
        &broker.url,
        "--for",
        "3s",
        "--beds",
        "3",
        "--rate",
        "20",
        "--faults",
        "malformed=0.1,duplicate=0.1,swapped=0.1,late=0.1,ahead=0.1,disconnect=1s",
        "--ledger",
        file.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let ledger = Ledger::read(BufReader::new(File::open(&file).unwrap())).unwrap();
    let heard = until_offline(&hears, 3, &broker);

    let online = heard.iter().filter(|(topic, payload, _)| topic.starts_with("presence/") && payload == b"online");
    assert!(online.count() > 3, "a device that connects again says so again");
    let mut readings: BTreeMap<(String, i64), Value> = BTreeMap::new();
    let mut refused = 0;
    for (topic, payload, retained) in heard.iter().filter(|(topic, ..)| topic.starts_with("vitals/")) {
        assert!(!retained, "a reading was retained");
        let device = topic.rsplit('/').next().unwrap();
        match serde_json::from_slice::<Value>(payload) {
            Ok(reading) => {
                let time = match reading.get("time") {
                    Some(Value::String(text)) => text.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond()),
                    time => time.and_then(Value::as_i64),
                };
                readings.extend(time.map(|time| ((device.to_owned(), time), reading)));
            }
            Err(_) => refused += 1,
        }
    }
    for sent in &ledger.readings {
        assert!(sent.acknowledged);
        let device = ledger.devices.get(sent.device as usize).unwrap();
        let reading = readings.get(&(device.clone(), sent.time)).unwrap();
        let vitals = reading.get("vitals").and_then(Value::as_object).unwrap();
        let wanted: BTreeSet<_> =
            sent.values.iter().map(|(place, _)| simulator::values::NAMES.get(place).copied()).collect();
        assert_eq!(vitals.keys().map(|name| Some(name.as_str())).collect::<BTreeSet<_>>(), wanted);
        for (name, value) in vitals {
            assert_eq!(value.as_f64(), sent.values.get(name), "{device} {} {name}", sent.time);
        }
    }
    assert!(ledger.readings.len() > 100, "{} readings", ledger.readings.len());
    assert!(refused > 0 && ledger.refused.sent > refused, "{:?} of which {refused} are no JSON", ledger.refused);
}

#[test]
fn a_recording_is_replayed_with_its_values_in_their_order() {
    if !servers::wanted("a_recording_is_replayed_with_its_values_in_their_order") {
        return;
    }
    let broker = Mosquitto::start(&MosquittoOptions::default());
    let hears = listen(&broker);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bidmc_01_Numerics.csv");
    std::fs::write(&file, "Time [s], HR, PULSE, RESP, SpO2\n0,94,93,25,97\n1,95,94,25,NaN\n2,96,94,24,98\n").unwrap();
    let output = simulator(&["replay", "--broker", &broker.url, "--csv", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let heard = until_offline(&hears, 1, &broker);
    let vitals: Vec<Value> = heard
        .iter()
        .filter(|(topic, ..)| topic.starts_with("vitals/"))
        .map(|(_, payload, _)| serde_json::from_slice::<Value>(payload).unwrap().get("vitals").unwrap().clone())
        .collect();
    let rows = [
        json!({"heart_rate": 94, "pulse_rate": 93, "resp_rate": 25, "spo2": 97}),
        json!({"heart_rate": 95, "pulse_rate": 94, "resp_rate": 25}),
        json!({"heart_rate": 96, "pulse_rate": 94, "resp_rate": 24, "spo2": 98}),
    ];
    assert_eq!(vitals, rows);
}

#[test]
fn a_file_that_is_no_recording_is_refused_with_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.csv");
    std::fs::write(&file, "patient,mood\n1,good\n").unwrap();
    let output = simulator(&["replay", "--csv", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no column is called time"), "{output:?}");
}
