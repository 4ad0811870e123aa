//! A disk that refuses a write for another reason than being full: the journal is not trusted any more, the process ends
//! with its name and a non-zero code, and a new start has everything that was acknowledged.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/beds.rs"]
mod beds;
#[path = "support/wardline.rs"]
mod instance;
#[path = "support/servers.rs"]
mod servers;

use std::process::Command;

use beds::Beds;
use instance::{Wardline, until};
use servers::{InfluxDb, Mosquitto, MosquittoOptions};
use simulator::fleet::FleetOptions;

#[test]
fn a_failed_write_ends_the_process_and_loses_nothing_that_was_acknowledged() {
    if !servers::wanted("a_failed_write_ends_the_process_and_loses_nothing_that_was_acknowledged") {
        return;
    }
    let config = "max_queued_messages 0\n".to_owned();
    let broker = Mosquitto::start(&MosquittoOptions { config, ..MosquittoOptions::default() });
    let influxdb = InfluxDb::start();
    let wardline = Wardline::on(&broker.url).influxdb(&influxdb).init();
    // Otherwise the signal that goes with the error would end the process before it sees the error.
    let mut wardline = wardline.launched_by(&["env", "--ignore-signal=XFSZ"]).start();
    wardline.ready();
    let beds = Beds::start(FleetOptions { beds_per_connection: 20, ..beds::fleet(&broker.url, 100, 10.0) });
    until("readings are stored", || wardline.metric("wardline_stored_total") > 1_000.0);

    // From here on no file of the process may grow beyond a page: writes fail with EFBIG, at a place of chance.
    let pid = wardline.pid().unwrap().to_string();
    let limited = Command::new("prlimit").args(["--pid", &pid, "--fsize=4096:4096"]).status().unwrap();
    assert!(limited.success());
    assert_eq!(wardline.until_ended(), Some(1), "a journal that can't be written ends the process");
    let log = wardline.log();
    assert!(log.contains("the journal can't be written any more"), "it does not say why it ended");
    assert!(log.contains("a stage did not end in order"), "it does not say which stage ended it");

    let made = beds.snapshot().made;
    until("the beds go on", || beds.snapshot().made > made + 1_000);
    wardline.restart();
    wardline.ready();
    assert_eq!(wardline.json(&["journal", "status"]).first().unwrap().get("quarantine_files"), Some(&0.into()));
    beds::assert_all_arrived(&beds.stop(), &influxdb);
    assert!(wardline.balance().holds());
}
