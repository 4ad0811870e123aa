//! kill -9 at twenty random moments: no message that a device had acknowledged is lost or altered, no alert is missing or
//! repeated, and nobody is told twice under another id.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/beds.rs"]
mod beds;
#[path = "support/wardline.rs"]
mod instance;
#[path = "support/servers.rs"]
mod servers;

use beds::{Beds, Listener};
use instance::{Wardline, until};
use servers::{InfluxDb, MongoDb, Mosquitto, MosquittoOptions, Neo4j};
use simulator::fleet::FleetOptions;

/// How often it is killed.
const KILLS: u64 = 20;

/// Seconds of an episode.
const EPISODE: f64 = 24.0;

#[test]
fn twenty_kills_lose_no_message_and_no_alert() {
    if !servers::wanted("twenty_kills_lose_no_message_and_no_alert") {
        return;
    }
    // What the broker drops while nobody is there is not ours to prove here.
    let config = "max_queued_messages 0\n".to_owned();
    let broker = Mosquitto::start(&MosquittoOptions { config, ..MosquittoOptions::default() });
    let (influxdb, mongodb, neo4j) = (InfluxDb::start(), MongoDb::start(), Neo4j::start());
    let wardline = Wardline::on(&broker.url).influxdb(&influxdb).mongodb(&mongodb.url).neo4j(&neo4j).init();
    let ward = beds::ward(40);
    beds::seed(&ward, &mongodb, &neo4j);
    let listener = Listener::on(&broker.url);
    let mut wardline = wardline.start();
    wardline.ready();
    // Before that a reading may be nobody's, which is another reading than the patient's when it comes again.
    wardline.until_part("mongodb", "ok", "");

    let options = beds::fleet(&broker.url, 1, 10.0);
    let beds = Beds::start(FleetOptions { ward, script: beds::episodes(EPISODE), beds_per_connection: 4, ..options });
    let mut random = fastrand::Rng::with_seed(20_261_123);
    let mut killed_at_work = 0;
    for _ in 0..KILLS {
        // A random number of readings on from here: a moment of work, not of the clock.
        let (before, more) = (beds.snapshot().made, random.u64(1..900));
        until("the beds go on", || beds.snapshot().made >= before + more);
        killed_at_work += u64::from(wardline.metric("wardline_received_total") > 0.0);
        wardline.restart();
    }
    assert!(killed_at_work > KILLS / 2, "most kills met a process that had not begun to work");
    until("the episodes are over", || beds.snapshot().made > 40 * 10 * (2.0 + EPISODE + 12.0) as u64);
    let ledger = beds.stop();

    let report = beds::reconcile(&ledger, &influxdb, Some(&mongodb));
    assert!(report.is_clean(), "{report}");
    assert!(report.alerts.unwrap().expected >= 20, "the beds were too well: {report}");
    let balance = wardline.balance();
    assert!(balance.holds() && balance.quarantined == 0, "{balance:?}");
    // A notification that was sent just before a kill may be sent again, under the same id.
    for (notification, ids) in listener.notifications() {
        assert_eq!(ids.len(), 1, "{notification:?} came under several ids");
    }
}
