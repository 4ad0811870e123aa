//! The commands that a person runs before and beside `run`: set-up, check, and a look into the journal.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "support/device.rs"]
mod device;
#[path = "support/wardline.rs"]
mod instance;
#[path = "support/servers.rs"]
mod servers;

use device::Device;
use instance::{Wardline, until};
use servers::{InfluxDb, MongoDb, Mosquitto, MosquittoOptions, Neo4j};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn init_makes_all_once_and_check_says_of_each_peer_how_it_is() {
    if !servers::wanted("init_makes_all_once_and_check_says_of_each_peer_how_it_is") {
        return;
    }
    let (broker, influxdb) = (Mosquitto::start(&MosquittoOptions::default()), InfluxDb::start());
    let (mut mongodb, neo4j) = (MongoDb::start(), Neo4j::shared());
    let wardline = Wardline::on(&broker.url).influxdb(&influxdb).mongodb(&mongodb.url).neo4j(neo4j);

    // Before the set-up: each says what is missing, and what to do.
    let before = wardline.command(&["check"]);
    assert_eq!(before.status.code(), Some(2), "{before:?}");
    assert_eq!(text(&before.stdout).matches("run `wardline init`").count(), 3, "{before:?}");
    // Nor does it run like that.
    let refused = wardline.command(&["run"]);
    assert_eq!(refused.status.code(), Some(64), "{refused:?}");
    assert!(text(&refused.stdout).contains("not set up") || text(&refused.stderr).contains("not set up"));

    let made = wardline.command(&["init"]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    assert!(!text(&made.stdout).contains("there"), "{made:?}");
    let again = wardline.json(&["init"]);
    assert_eq!(again.len(), text(&made.stdout).lines().count(), "{again:?}");
    assert!(again.iter().all(|row| row["state"] == "there" && row["what"].is_string()), "{again:?}");

    let rows = wardline.json(&["check"]);
    let peers: Vec<_> = rows.iter().map(|row| row["peer"].as_str().unwrap()).collect();
    assert_eq!(peers, ["journal", "http", "mqtt", "influxdb", "mongodb", "neo4j"]);
    assert!(rows.iter().all(|row| row["state"] == "ok"), "{rows:?}");

    // Beside a running one, which has the port and the broker's session.
    let running = wardline.start();
    running.ready();
    let here = running.address().to_string();
    let wardline = running.set("http.listen", &here);
    let beside = wardline.command(&["--json", "check"]);
    assert_eq!(beside.status.code(), Some(0), "{beside:?}");
    assert!(text(&beside.stdout).contains("wardline runs already"), "{beside:?}");

    mongodb.process.stop();
    let away = wardline.command(&["--json", "check"]);
    assert_eq!(away.status.code(), Some(2));
    let wrong: Vec<_> =
        text(&away.stdout).lines().filter(|line| line.contains(r#""wrong""#)).map(str::to_owned).collect();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].contains("mongodb") && !wrong[0].contains(&neo4j.password), "{wrong:?}");
}

#[test]
fn a_damaged_group_is_found_by_verify_and_the_service_goes_on_without_it() {
    if !servers::wanted("a_damaged_group_is_found_by_verify_and_the_service_goes_on_without_it") {
        return;
    }
    let (broker, mut influxdb) = (Mosquitto::start(&MosquittoOptions::default()), InfluxDb::start());
    let mut wardline = Wardline::on(&broker.url).influxdb(&influxdb).init().start();
    wardline.ready();
    influxdb.process.stop();
    let device = Device::on(broker.process.address(), "mon-1");
    for number in 0..300 {
        device.read(number);
        // Apart, so that there are many groups.
        until("it is acknowledged", || device.acknowledged().contains(&number));
    }
    until("it is in the journal", || wardline.metric("wardline_mqtt_acknowledged_total") as u64 == 300);
    wardline.kill();

    let status = &wardline.json(&["journal", "status"])[0];
    assert_eq!(status["before_store"], 300, "{status}");
    let sound = &wardline.json(&["journal", "verify"])[0];
    assert_eq!((&sound["readings"], &sound["damaged_groups"]), (&300.into(), &0.into()));

    let database = rusqlite::Connection::open(wardline.journal().join("journal.sqlite")).unwrap();
    let damage = "UPDATE groups SET payload = substr(payload, 1, length(payload) - 1) || x'ff'
        WHERE first_seq = (SELECT first_seq FROM groups ORDER BY first_seq LIMIT 1 OFFSET 20) RETURNING count";
    let lost: u64 = database.query_row(damage, [], |row| row.get(0)).unwrap();
    drop(database);
    let verify = wardline.command(&["journal", "verify"]);
    assert_eq!(verify.status.code(), Some(2), "{verify:?}");

    influxdb.process.restart();
    wardline.restart();
    until("everything else is stored", || wardline.metric("wardline_stored_total") as u64 == 300 - lost);
    let balance = wardline.balance();
    assert!(balance.holds() && balance.quarantined == lost, "{balance:?}");
    assert_eq!(wardline.json(&["journal", "status"])[0]["quarantine_files"], 1);
}
