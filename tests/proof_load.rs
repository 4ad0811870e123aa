//! The claim of the whole: under load, with everything on and devices that do all that devices do, every reading arrives
//! once and unaltered, everything that is no reading is a dead letter, and every episode is told, once, and nothing else.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/beds.rs"]
mod beds;
#[path = "support/wardline.rs"]
mod instance;
#[path = "support/servers.rs"]
mod servers;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use beds::{Beds, Listener};
use instance::{Wardline, until};
use servers::{InfluxDb, MongoDb, Mosquitto, MosquittoOptions, Neo4j};
use simulator::fault::Faults;
use simulator::fleet::FleetOptions;

/// Seconds of an episode; the run is long enough for each to end.
const EPISODE: f64 = 16.0;

#[test]
fn under_load_everything_arrives_once_unaltered_and_every_episode_is_told_once() {
    if !servers::wanted("under_load_everything_arrives_once_unaltered_and_every_episode_is_told_once") {
        return;
    }
    let (broker, influxdb) = (Mosquitto::start(&MosquittoOptions::default()), InfluxDb::start());
    let (mongodb, neo4j) = (MongoDb::start(), Neo4j::start());
    let wardline = Wardline::on(&broker.url).influxdb(&influxdb).mongodb(&mongodb.url).neo4j(&neo4j).init();
    // Well and ill beds on connections of their own, and behind them a crowd on gateways for the load.
    let ward = beds::ward(150);
    beds::seed(&ward, &mongodb, &neo4j);
    let listener = Listener::on(&broker.url);
    let wardline = wardline.start();
    wardline.ready();
    until("the profiles are loaded", || wardline.part("mongodb").0 == "ok");

    let faults = Faults {
        malformed: 0.01,
        duplicate: 0.01,
        swapped: 0.02,
        late: 0.01,
        ahead: 0.01,
        skew: Duration::from_secs(2),
        disconnect: Some(Duration::from_secs(10)),
        ..Faults::default()
    };
    let (mut ill, mut crowd) = (ward.clone(), ward);
    ill.beds.truncate(16);
    crowd.beds.drain(..16);
    let options = beds::fleet(&broker.url, 1, 4.0);
    let ill = Beds::start(FleetOptions { ward: ill, faults, script: beds::episodes(EPISODE), ..options.clone() });
    let crowd = Beds::start(FleetOptions { ward: crowd, rate: 10.0, beds_per_connection: 20, faults, ..options });
    until("the episodes are over", || ill.snapshot().made > 16 * 4 * (2.0 + EPISODE + 12.0) as u64);
    let (mut ledger, crowd) = (ill.stop(), crowd.stop());
    ledger.merge(crowd);

    let report = beds::reconcile(&ledger, &influxdb, Some(&mongodb));
    assert!(report.is_clean(), "{report}");
    let alerts = report.alerts.unwrap();
    assert!(alerts.expected >= 10, "the beds were too well: {report}");
    let balance = wardline.balance();
    assert!(balance.holds(), "{balance:?}");
    assert!(balance.dead_lettered >= ledger.refused.acknowledged, "{balance:?} {report}");
    assert!(ledger.refused.acknowledged > 100 && balance.duplicates > 0, "the devices were too good: {balance:?}");
    assert_everybody_is_told_once(&listener, &ledger);
    for stage in ["journal", "store", "notify"] {
        let measured = wardline.metric(&format!("wardline_{stage}_delay_seconds_count"));
        assert!(measured > 0.0, "the delay of {stage} is not measured");
    }
    assert!(wardline.metric("wardline_late_readings_total") > 0.0, "the late readings are not counted");
    nobody_is_named(&wardline, &listener, &influxdb);
    the_command_verifies_the_same(&ledger, &influxdb, &mongodb);
}

/// Who treats a patient hears of each of the patient's episodes, under one notification id.
fn assert_everybody_is_told_once(listener: &Listener, ledger: &simulator::ledger::Ledger) {
    let ward = beds::ward(16);
    for told in ledger.episodes.iter().filter(|told| told.must.is_some()) {
        let bed = ward.beds.iter().find(|bed| bed.device == told.device).unwrap();
        for clinician in &bed.clinicians {
            let topic = format!("alerts/v1/north/{clinician}");
            let alert = format!("{}.{}.", bed.patient, told.must.as_deref().unwrap());
            until(&format!("{clinician} hears of {alert}"), || {
                let heard = listener.notifications();
                heard.keys().any(|(to, id, phase)| *to == topic && id.starts_with(&alert) && phase == "begin")
            });
        }
    }
    for (notification, ids) in listener.notifications() {
        assert_eq!(ids.len(), 1, "{notification:?} came under several ids");
    }
}

/// Names and birth dates stay in MongoDB; logs and metrics know not even pseudonyms.
fn nobody_is_named(wardline: &Wardline, listener: &Listener, influxdb: &InfluxDb) {
    let metrics = servers::http::request(wardline.address(), "GET", "/metrics", &[], "").unwrap().body;
    let stored = influxdb.query(r#"from(bucket: "vitals-north") |> range(start: -1h) |> last()"#);
    assert!(stored.contains("p-0001"), "nothing was looked at");
    let told = listener.everything();
    for bed in beds::ward(16).beds {
        for (place, text) in [("logs", wardline.log()), ("metrics", metrics.clone())] {
            assert!(!text.contains(&bed.name) && !text.contains(&bed.patient), "{place} tell of a patient");
        }
        for (place, text) in [("InfluxDB", &stored), ("notifications", &told)] {
            assert!(!text.contains(&bed.name), "{place}: a patient's name");
            assert!(!text.contains(&bed.birth_date.to_string()), "{place}: a patient's birth date");
        }
    }
}

/// What a person runs comes to the same end.
fn the_command_verifies_the_same(ledger: &simulator::ledger::Ledger, influxdb: &InfluxDb, mongodb: &MongoDb) {
    let folder = tempfile::tempdir().unwrap();
    let (file, token) = (folder.path().join("ledger.jsonl"), folder.path().join("token"));
    ledger.write(std::fs::File::create(&file).unwrap()).unwrap();
    std::fs::write(&token, &influxdb.token).unwrap();
    let simulator = Path::new(env!("CARGO_BIN_EXE_wardline")).with_file_name("simulator");
    let mut command = Command::new(simulator);
    command.arg("verify").arg("--ledger").arg(&file).arg("--token-file").arg(&token);
    command.args(["--influx-url", &influxdb.url, "--mongodb-url", &mongodb.url, "--json"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report.get("lost"), Some(&0.into()), "{report}");

    // A ledger with a reading more than there is: found, and said by the exit code.
    let mut more = ledger.clone();
    let mut last = *more.readings.last().unwrap();
    last.time += 1_000_000_001;
    more.readings.push(last);
    more.write(std::fs::File::create(&file).unwrap()).unwrap();
    let output = command.args(["--wait", "1ms"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
