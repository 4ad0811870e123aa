//! Several sessions that share the load: parallel ones of one instance, and two instances of one group.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

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
fn sessions_that_share_the_load_store_everything_once_also_when_one_is_killed() {
    if !servers::wanted("sessions_that_share_the_load_store_everything_once_also_when_one_is_killed") {
        return;
    }
    let config = "max_queued_messages 0\n".to_owned();
    let broker = Mosquitto::start(&MosquittoOptions { config, ..MosquittoOptions::default() });
    let influxdb = InfluxDb::start();
    let member = |id: &str| {
        let wardline = Wardline::on(&broker.url).influxdb(&influxdb).init().set("mqtt.share_group", "wardline");
        wardline.set("mqtt.client_id", id).set("mqtt.sessions", "2").start()
    };
    let (first, mut second) = (member("wardline-a"), member("wardline-b"));
    first.ready();
    second.ready();
    let beds = Beds::start(FleetOptions { beds_per_connection: 10, ..beds::fleet(&broker.url, 100, 10.0) });
    for member in [&first, &second] {
        until("each has its share", || member.metric("wardline_stored_total") > 1_000.0);
    }
    // What it has in its journal it stores when it is back; what it had not acknowledged is delivered again.
    second.kill();
    let before = first.metric("wardline_stored_total");
    until("the other goes on", || first.metric("wardline_stored_total") > before + 1_000.0);
    second.restart();
    second.ready();
    let ledger = beds.stop();
    beds::assert_all_arrived(&ledger, &influxdb);
    let total = first.balance().received + second.balance().received + second.balance().recovered;
    assert!(first.balance().holds() && second.balance().holds(), "{total} received");
    assert_eq!(first.metric("wardline_dead_lettered_total"), 0.0);
    let received = first.balance().received;
    assert!(received < ledger.readings.len() as u64, "the first took all {received}");
    assert!(first.part("mqtt").1.is_empty(), "{:?}", first.part("mqtt"));
    assert_eq!(second.terminate().unwrap(), 0);
}
