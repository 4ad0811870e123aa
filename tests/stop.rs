//! How the program ends: on SIGTERM under load with nothing lost, and at once, with all that is wrong, on a bad configuration.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "support/beds.rs"]
mod beds;
#[path = "support/device.rs"]
mod device;
#[path = "support/wardline.rs"]
mod instance;
#[path = "support/servers.rs"]
mod servers;
#[path = "support/stored.rs"]
mod stored;

use beds::Beds;
use device::Device;
use instance::{Wardline, until};
use servers::{InfluxDb, Mosquitto, MosquittoOptions};
use simulator::fleet::FleetOptions;

/// A closed port in place of the broker: nothing can be delivered again.
const NO_BROKER: &str = "mqtt://127.0.0.1:9";

#[test]
fn a_stop_under_load_is_in_order_and_loses_nothing_that_was_acknowledged() {
    if !servers::wanted("a_stop_under_load_is_in_order_and_loses_nothing_that_was_acknowledged") {
        return;
    }
    // Without a limit of the broker's, nothing is dropped between the device and us: what is missing, we have lost.
    let config = "max_queued_messages 0\n".to_owned();
    let broker = Mosquitto::start(&MosquittoOptions { config, ..MosquittoOptions::default() });
    let influxdb = InfluxDb::start();
    let mut wardline = Wardline::on(&broker.url).influxdb(&influxdb).init().start();
    wardline.ready();

    let beds = Beds::start(FleetOptions { beds_per_connection: 20, ..beds::fleet(&broker.url, 200, 10.0) });
    until("the load is on", || wardline.metric("wardline_stored_total") > 3_000.0);
    assert_eq!(wardline.terminate(), Some(0), "the stop is in order, within its deadline");
    assert!(wardline.log().contains("stopped in order"));

    // What the broker has kept for us meanwhile comes with the next start.
    let made = beds.snapshot().made;
    until("the beds go on", || beds.snapshot().made > made + 1_000);
    wardline.restart();
    wardline.ready();
    beds::assert_all_arrived(&beds.stop(), &influxdb);
}

#[test]
fn a_stop_without_influxdb_keeps_in_the_journal_what_was_acknowledged() {
    if !servers::wanted("a_stop_without_influxdb_keeps_in_the_journal_what_was_acknowledged") {
        return;
    }
    let broker = Mosquitto::start(&MosquittoOptions::default());
    let influxdb = InfluxDb::start();
    let mut wardline = Wardline::on(&broker.url).influxdb(&influxdb).set("shutdown.deadline", "2s").init().start();
    wardline.ready();
    influxdb.process.freeze();

    let device = Device::on(broker.process.address(), "mon-1");
    for number in 0..500 {
        device.read(number);
    }
    until("all is acknowledged to the broker", || wardline.metric("wardline_mqtt_acknowledged_total") >= 500.0);
    assert_eq!(wardline.terminate(), Some(0), "the deadline ends waiting for InfluxDB, and that is in order");

    wardline.change("mqtt.url", NO_BROKER);
    wardline.restart();
    until("the journal gives all of it back", || wardline.balance().recovered == 500);
    influxdb.process.thaw();
    stored::until_stored(&influxdb, "mon-1", &(0..500).collect());
}

#[test]
fn a_stop_with_a_full_journal_is_in_order_and_loses_nothing_that_was_acknowledged() {
    if !servers::wanted("a_stop_with_a_full_journal_is_in_order_and_loses_nothing_that_was_acknowledged") {
        return;
    }
    let config = "max_queued_messages 0\n".to_owned();
    let broker = Mosquitto::start(&MosquittoOptions { config, ..MosquittoOptions::default() });
    let influxdb = InfluxDb::start();
    let wardline = Wardline::on(&broker.url).influxdb(&influxdb).set("shutdown.deadline", "2s").init();
    let wardline = wardline.set("journal.max_size", "2MiB").set("journal.reserve", "1MiB");
    let mut wardline = wardline.set("intake.max_in_flight", "1MiB").start();
    wardline.ready();
    influxdb.process.freeze();

    let beds = Beds::start(FleetOptions { beds_per_connection: 20, ..beds::fleet(&broker.url, 200, 20.0) });
    wardline.until_part("journal", "down", "nothing is acknowledged");
    // As much again as may wait in memory: then every queue is full, and the socket is not read.
    let made = beds.snapshot().made;
    until("all queues are full", || beds.snapshot().made > made + 12_000);
    assert_eq!(wardline.terminate(), Some(0), "the deadline ends waiting for room, and that is in order");

    influxdb.process.thaw();
    wardline.restart();
    beds::assert_all_arrived(&beds.stop(), &influxdb);
    assert!(wardline.balance().holds());
}

#[test]
fn five_mistakes_at_once_are_five_messages_and_exit_code_64() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wardline.toml");
    let text = "[mqtt]\nurl = \"tcp://broker\"\nclient_ide = \"w\"\nkeep_alive = 10\n\n[journal]\nmax_size = \"lots\"\n\n[http]\nlisten = \"nowhere\"\n";
    std::fs::write(&file, text).unwrap();
    let wardline = Wardline::on(NO_BROKER);
    // The keys of the file must not be hidden by variables.
    let output = wardline.plain_command(&["run", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].ends_with("has 5 problems:"), "{said}");
    assert_eq!(lines.len(), 6, "one line for each: {said}");
    let expected = [
        ("mqtt.url: ", "must begin with mqtt:// or mqtts://"),
        ("mqtt.client_ide: ", "did you mean \"client_id\"?"),
        ("mqtt.keep_alive: ", "unit is missing"),
        ("journal.max_size: ", "\"lots\" is refused"),
        ("http.listen: ", "expected an address and a port"),
    ];
    for (key, words) in expected {
        let line = lines.iter().find(|line| line.trim_start().starts_with(key));
        assert!(line.is_some_and(|line| line.contains(words)), "no line with {key}{words}: {said}");
    }
}
