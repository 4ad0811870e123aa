//! A restart while MongoDB is away goes on where it was: whose a reading is was learnt before and is not forgotten. A
//! message that comes again is stored once, and an episode that people know of is not told anew.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/beds.rs"]
mod beds;
#[path = "support/device.rs"]
mod device;
#[path = "support/wardline.rs"]
mod instance;
#[path = "support/servers.rs"]
mod servers;

use beds::Listener;
use device::Device;
use instance::{Wardline, until};
use servers::{InfluxDb, MongoDb, Mosquitto, MosquittoOptions, Neo4j};

/// The topic of bed 1 of the demo ward.
const TOPIC: &str = "vitals/v1/north/icu-1/mon-0001";

/// A heart that stands still, at a time.
fn asystole(time: i64) -> String {
    format!(r#"{{"time":{time},"vitals":{{"heart_rate":0}}}}"#)
}

/// The times that InfluxDB holds for a patient, in their order.
fn stored_of(influxdb: &InfluxDb, patient: &str) -> Vec<i64> {
    let csv = influxdb.query(&format!(
        r#"from(bucket: "vitals-north") |> range(start: -1h) |> filter(fn: (r) => r._measurement == "vitals" and r.patient == "{patient}")
            |> map(fn: (r) => ({{at: int(v: r._time) / 1000000}})) |> group() |> sort(columns: ["at"])"#,
    ));
    let last = csv.lines().filter_map(|line| line.trim_end().rsplit(',').next());
    last.filter_map(|cell| cell.parse().ok()).collect()
}

#[test]
fn a_restart_without_mongodb_stores_and_tells_nothing_a_second_time() {
    if !servers::wanted("a_restart_without_mongodb_stores_and_tells_nothing_a_second_time") {
        return;
    }
    let (broker, influxdb) = (Mosquitto::start(&MosquittoOptions::default()), InfluxDb::start());
    let (mut mongodb, neo4j) = (MongoDb::start(), Neo4j::start());
    let wardline = Wardline::on(&broker.url).influxdb(&influxdb).mongodb(&mongodb.url).neo4j(&neo4j).init();
    beds::seed(&beds::ward(8), &mongodb, &neo4j);
    let listener = Listener::on(&broker.url);
    let mut wardline = wardline.start();
    wardline.ready();
    wardline.until_part("mongodb", "ok", "");

    let (device, begun) = (Device::on(broker.process.address(), "bed-1"), wardline::clock::now_ms() - 10_000);
    let mut times: Vec<i64> = (0..4).map(|second| begun + second * 1000).collect();
    for time in &times {
        device.publish(TOPIC, asystole(*time));
    }
    until("the readings are the patient's", || stored_of(&influxdb, "p-0001") == times);
    let told = || listener.notifications().into_keys().map(|(_, alert, _)| alert).collect::<Vec<_>>();
    until("the doctors are told", || !told().is_empty());
    let alert = told().pop().unwrap();

    wardline.kill();
    mongodb.process.stop();
    // As the broker sends what was journalled and not acknowledged: the same message again, before anything else.
    device.publish(TOPIC, asystole(begun + 3000));
    times.extend((4..8).map(|second| begun + second * 1000));
    for time in times.iter().skip(4) {
        device.publish(TOPIC, asystole(*time));
    }
    wardline.restart();
    wardline.until_part("mongodb", "degraded", "those of an earlier run serve");

    until("all readings are the patient's", || stored_of(&influxdb, "p-0001") == times);
    assert_eq!(stored_of(&influxdb, "unassigned"), Vec::<i64>::new());
    assert_eq!(wardline.metric("wardline_alerts_total"), 0.0, "the episode began anew");
    assert!(told().iter().all(|other| *other == alert), "{:?}", told());
    assert!(wardline.balance().holds());
}
