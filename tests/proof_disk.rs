//! A full disk: nothing more is acknowledged, `/ready` says so, a kill -9 changes nothing, and when there is room again
//! everything arrives.

#[path = "support/beds.rs"]
mod beds;
#[path = "support/wardline.rs"]
mod instance;
#[path = "support/servers.rs"]
mod servers;

use beds::Beds;
use instance::{Wardline, until};
use servers::{InfluxDb, Mosquitto, MosquittoOptions};
use simulator::fleet::FleetOptions;

#[test]
fn a_full_disk_stops_acknowledgement_and_loses_nothing() {
    if !servers::wanted("a_full_disk_stops_acknowledgement_and_loses_nothing") {
        return;
    }
    // The broker has to keep what we do not take.
    let config = "max_queued_messages 0\n".to_owned();
    let broker = Mosquitto::start(&MosquittoOptions { config, ..MosquittoOptions::default() });
    let influxdb = InfluxDb::start();
    let wardline = Wardline::on(&broker.url).influxdb(&influxdb).init().on_disk_of(48 << 20);
    // A small window, so that a journal that takes nothing is soon seen by the broker.
    let mut wardline = wardline.set("journal.reserve", "4MiB").set("mqtt.receive_maximum", "500").start();
    wardline.ready();
    let beds = Beds::start(FleetOptions { beds_per_connection: 20, ..beds::fleet(&broker.url, 200, 10.0) });
    until("readings are stored", || wardline.metric("wardline_stored_total") > 1_000.0);

    // With the store away the journal needs room, and there is none.
    influxdb.process.freeze();
    wardline.disk().fill();
    wardline.until_part("journal", "down", "the disk is full");
    assert_eq!(wardline.readiness().0, 503);
    let backlog = || wardline.metric(r#"wardline_journal_backlog{consumer="store"}"#);
    let (journalled, made) = (backlog(), beds.snapshot().made);
    until("the beds go on", || beds.snapshot().made > made + 4_000);
    assert!(wardline.balance().holds(), "{:?}", wardline.balance());
    assert_eq!((wardline.part("journal").0.as_str(), backlog()), ("down", journalled), "it still commits readings");

    // Killed and started again on the full disk: it still says so.
    wardline.restart();
    wardline.until_part("journal", "down", "the disk is full");
    wardline.disk().free();
    wardline.until_part("journal", "ok", "");
    influxdb.process.thaw();
    wardline.ready();
    let ledger = beds.stop();
    beds::assert_all_arrived(&ledger, &influxdb);
    assert!(wardline.balance().holds(), "{:?}", wardline.balance());
}
