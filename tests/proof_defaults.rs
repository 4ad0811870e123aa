//! On a broker with Mosquitto's default limits (20 in flight, 1,000 queued), where others lose messages: 3,000 readings a
//! second, InfluxDB frozen for twenty seconds, and four kill -9, in one run.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/beds.rs"]
mod beds;
#[path = "support/wardline.rs"]
mod instance;
#[path = "support/servers.rs"]
mod servers;

use std::time::{Duration, Instant};

use beds::Beds;
use instance::{Wardline, until};
use servers::{InfluxDb, Mosquitto, MosquittoOptions};
use simulator::fleet::FleetOptions;

/// How long InfluxDB does not answer.
const FROZEN: Duration = Duration::from_secs(20);

#[test]
fn on_default_limits_a_frozen_store_and_four_kills_lose_nothing() {
    if !servers::wanted("on_default_limits_a_frozen_store_and_four_kills_lose_nothing") {
        return;
    }
    let (broker, influxdb) = (Mosquitto::start(&MosquittoOptions::default()), InfluxDb::start());
    let mut wardline = Wardline::on(&broker.url).influxdb(&influxdb).init().start();
    wardline.ready();
    let options = FleetOptions { beds_per_connection: 25, ..beds::fleet(&broker.url, 300, 10.0) };
    let beds = Beds::start(options);
    until("the load is on", || wardline.metric("wardline_stored_total") > 6_000.0);

    influxdb.process.freeze();
    let (frozen, mut kills) = (Instant::now(), 0);
    let mut behind = 0;
    while frozen.elapsed() < FROZEN {
        // Two kills while it is frozen, two after.
        if kills < 2 && frozen.elapsed() > FROZEN / 3 * (kills + 1) {
            wardline.restart();
            kills += 1;
        }
        behind = behind.max(wardline.balance().in_flight);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(behind > 20_000, "the journal held {behind} readings: the store was not frozen");
    influxdb.process.thaw();
    while kills < 4 {
        let before = beds.snapshot().made;
        until("the beds go on", || beds.snapshot().made > before + 6_000);
        wardline.restart();
        kills += 1;
    }
    let before = beds.snapshot().made;
    until("the beds go on", || beds.snapshot().made > before + 6_000);
    let ledger = beds.stop();
    let rate = ledger.readings.len() as i64 * 1000 / ledger.span().map(|(first, last)| last - first).unwrap();
    assert!(rate > 2_500, "only {rate} readings a second were published");
    let report = beds::reconcile(&ledger, &influxdb, None);
    assert!(report.is_clean(), "{report}");
    assert!(wardline.balance().holds());
}
