//! Each database away, for a while or from the start: intake goes on, says so, and nothing is lost.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/beds.rs"]
mod beds;
#[path = "support/wardline.rs"]
mod instance;
#[path = "support/servers.rs"]
mod servers;

use beds::{Beds, Listener};
use instance::{Wardline, until};
use servers::{InfluxDb, MongoDb, Mosquitto, MosquittoOptions, Neo4j, Toxiproxy};
use simulator::fleet::FleetOptions;

#[test]
fn influxdb_is_away_at_full_rate_and_everything_is_stored_when_it_is_back() {
    if !servers::wanted("influxdb_is_away_at_full_rate_and_everything_is_stored_when_it_is_back") {
        return;
    }
    let (broker, mut influxdb) = (Mosquitto::start(&MosquittoOptions::default()), InfluxDb::start());
    let wardline = Wardline::on(&broker.url).influxdb(&influxdb).init().start();
    wardline.ready();
    let beds = Beds::start(FleetOptions { beds_per_connection: 20, ..beds::fleet(&broker.url, 200, 10.0) });
    until("readings are stored", || wardline.metric("wardline_stored_total") > 2_000.0);

    influxdb.process.stop();
    wardline.until_part("influxdb", "degraded", "");
    let before = wardline.metric("wardline_received_total");
    until("intake goes on", || wardline.metric("wardline_received_total") > before + 15_000.0);
    assert_eq!(wardline.readiness().0, 200, "a store that is away does not stop intake");
    assert!(wardline.metric("wardline_store_lag_seconds") > 3.0, "the lag does not grow");
    influxdb.process.restart();
    wardline.until_part("influxdb", "ok", "");
    beds::assert_all_arrived(&beds.stop(), &influxdb);
    assert!(wardline.balance().holds());
}

#[test]
fn mongodb_and_neo4j_are_away_at_the_start_and_later_and_nothing_is_lost() {
    if !servers::wanted("mongodb_and_neo4j_are_away_at_the_start_and_later_and_nothing_is_lost") {
        return;
    }
    let (broker, influxdb) = (Mosquitto::start(&MosquittoOptions::default()), InfluxDb::start());
    let (mut mongodb, mut neo4j) = (MongoDb::start(), Neo4j::start());
    let wardline = Wardline::on(&broker.url).influxdb(&influxdb).mongodb(&mongodb.url).neo4j(&neo4j).init();
    let ward = beds::ward(16);
    beds::seed(&ward, &mongodb, &neo4j);
    let listener = Listener::on(&broker.url);
    mongodb.process.stop();
    neo4j.process.stop();

    // Away at the start: readings are stored as nobody's, and never held back.
    let wardline = wardline.start();
    wardline.ready();
    wardline.until_part("mongodb", "degraded", "");
    wardline.until_part("neo4j", "degraded", "");
    let script = simulator::episode::Script { first: 30.0, ..beds::episodes(20.0) };
    let beds = Beds::start(FleetOptions { ward, script, ..beds::fleet(&broker.url, 1, 4.0) });
    let stored_as = |patient: &str| {
        let flux = format!(
            r#"from(bucket:"vitals-north") |> range(start:-1h) |> filter(fn:(r)=>r.patient{patient} and r._field=="heart_rate")
               |> group() |> count()"#
        );
        influxdb.query(&flux).contains(",_result,")
    };
    until("readings are stored as unassigned", || stored_as(r#"=="unassigned""#));
    mongodb.process.restart();
    wardline.until_part("mongodb", "ok", "");
    until("readings are stored for patients", || stored_as(r#"!="unassigned""#));

    // Away again in mid-run: what is known stays known. Episodes begin meanwhile, and nobody can be looked up.
    mongodb.process.stop();
    wardline.until_part("mongodb", "degraded", "");
    until("episodes wait for the care graph", || wardline.metric("wardline_alerts_unresolved") > 0.0);
    assert!(listener.notifications().is_empty(), "somebody was told without a care graph");
    neo4j.process.restart();
    mongodb.process.restart();
    wardline.until_part("neo4j", "ok", "");
    until("the doctors are told", || listener.notifications().len() > 5);
    until("the episodes are over", || beds.snapshot().made > 16 * 4 * 66);
    let ledger = beds.stop();
    let report = beds::reconcile(&ledger, &influxdb, Some(&mongodb));
    assert!(report.is_clean(), "{report}");
    assert!(report.alerts.unwrap().expected >= 10, "{report}");
}

#[test]
fn a_network_that_is_slow_and_breaks_everywhere_loses_nothing() {
    if !servers::wanted("a_network_that_is_slow_and_breaks_everywhere_loses_nothing") {
        return;
    }
    let config = "max_queued_messages 0\n".to_owned();
    let broker = Mosquitto::start(&MosquittoOptions { config, ..MosquittoOptions::default() });
    let (influxdb, network) = (InfluxDb::start(), Toxiproxy::start());
    let mqtt = network.proxy("mqtt", broker.process.address());
    let http = network.proxy("http", influxdb.process.address());
    let wardline = Wardline::on(&format!("mqtt://{mqtt}")).influxdb(&influxdb).init();
    let wardline = wardline.set("influxdb.url", &format!("http://{http}")).set("influxdb.timeout", "1s").start();
    wardline.ready();
    let beds = Beds::start(FleetOptions { beds_per_connection: 10, ..beds::fleet(&broker.url, 100, 10.0) });
    let goes_on = || {
        let before = wardline.metric("wardline_stored_total");
        until("readings are stored again", || wardline.metric("wardline_stored_total") > before + 1_000.0);
    };
    goes_on();

    // Answers that come too late: what was written is written again, to the same effect.
    network.toxic("http", "latency", "downstream", r#"{"latency":1500}"#);
    wardline.until_part("influxdb", "degraded", "");
    network.heal("http", "latency");
    goes_on();
    // Connections that break in the middle of a batch, and of a packet.
    network.toxic("http", "limit_data", "upstream", r#"{"bytes":2000}"#);
    wardline.until_part("influxdb", "degraded", "");
    network.heal("http", "limit_data");
    network.toxic("mqtt", "limit_data", "downstream", r#"{"bytes":30011}"#);
    until("the connection breaks some times", || wardline.log().matches("connected to the broker").count() > 4);
    network.heal("mqtt", "limit_data");
    goes_on();
    // A line that is cut, and one on which nothing moves though it stands.
    network.enable("mqtt", false);
    wardline.until_part("mqtt", "down", "");
    network.enable("mqtt", true);
    goes_on();
    network.toxic("mqtt", "timeout", "downstream", r#"{"timeout":0}"#);
    wardline.until_part("mqtt", "down", "");
    network.heal("mqtt", "timeout");
    goes_on();
    beds::assert_all_arrived(&beds.stop(), &influxdb);
    assert!(wardline.balance().holds());
}
