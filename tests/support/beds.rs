//! Simulated beds beside a test: a fleet on a runtime of its own, and the reconciliation of its ledger with the servers.
#![allow(dead_code, reason = "each test binary uses what it needs")]
#![allow(clippy::expect_used, clippy::panic, reason = "a fleet that can't run is a failed test")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mongodb::Client;
use neo4rs::{ConfigBuilder, Graph};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, Event, Incoming, MqttOptions};
use serde_json::Value;
use simulator::broker::Broker;
use simulator::episode::{Kind, Script};
use simulator::fault::Faults;
use simulator::fleet::{Fleet, FleetOptions};
use simulator::ledger::Ledger;
use simulator::seed;
use simulator::tally::Snapshot;
use simulator::verify::influx::Influx;
use simulator::verify::{Reconciliation, Report, alerts, judge_alerts};
use simulator::ward::{DEMO, Ward};
use tokio::runtime::Runtime;

use crate::servers::{InfluxDb, MongoDb, Neo4j};

/// How long what was acknowledged may take to arrive, after an outage also.
const ARRIVE: Duration = Duration::from_secs(120);

/// A fleet at work.
pub(crate) struct Beds {
    runtime: Runtime,
    fleet: Fleet,
}

/// Everybody stays well; one connection each; no faults.
pub(crate) fn fleet(broker_url: &str, beds: usize, rate: f64) -> FleetOptions {
    FleetOptions {
        broker: broker_url.parse::<Broker>().expect("a broker's address"),
        ward: ward(beds),
        rate,
        flood: false,
        recording: None,
        beds_per_connection: 1,
        script: Script::healthy(),
        faults: Faults::default(),
        seed: 1,
    }
}

/// Every kind of episode, once in each bed's turn.
pub(crate) fn episodes(length: f64) -> Script {
    Script { kinds: Kind::ALL.to_vec(), first: 2.0, length, every: length + 40.0 }
}

/// The demo ward with this many beds.
pub(crate) fn ward(beds: usize) -> Ward {
    Ward::from_toml(DEMO).expect("the demo ward is sound").sized(beds)
}

fn runtime() -> Runtime {
    // A second call finds it installed, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

impl Beds {
    pub(crate) fn start(options: FleetOptions) -> Self {
        let runtime = runtime();
        let fleet = {
            let _inside = runtime.enter();
            Fleet::start(options).expect("the fleet starts")
        };
        Self { runtime, fleet }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.fleet.snapshot()
    }

    /// Stops, and gives the ledger; by then everything must be acknowledged, so that nothing is left to be excused.
    pub(crate) fn stop(self) -> Ledger {
        let ledger = self.runtime.block_on(self.fleet.stop());
        assert_eq!(ledger.acknowledged(), ledger.readings.len(), "some readings were never acknowledged");
        assert!(!ledger.readings.is_empty(), "the beds sent nothing");
        ledger
    }
}

/// Writes the ward into the databases.
pub(crate) fn seed(ward: &Ward, mongodb: &MongoDb, neo4j: &Neo4j) {
    runtime().block_on(async {
        let now = jiff::Timestamp::now().as_millisecond();
        let client = Client::with_uri_str(&mongodb.url).await.expect("MongoDB answers");
        seed::profiles(&client, "wardline", ward, now).await.expect("MongoDB takes the ward");
        let config = ConfigBuilder::default().uri(&neo4j.url).user(&neo4j.user).password(&neo4j.password).build();
        let graph = Graph::connect(config.expect("a configuration")).expect("a graph");
        seed::care_graph(&graph, ward, now).await.expect("Neo4j takes the ward");
    });
}

/// Waits, bounded, until everything is there that must be, and says what was found.
pub(crate) fn reconcile(ledger: &Ledger, influxdb: &InfluxDb, mongodb: Option<&MongoDb>) -> Report {
    let influx = Influx {
        url: influxdb.url.clone(),
        org: influxdb.org.clone(),
        token: influxdb.token.clone(),
        bucket: "vitals-north".to_owned(),
    };
    let end = Instant::now() + ARRIVE;
    runtime().block_on(async {
        loop {
            let mut reconciliation = Reconciliation::new(ledger);
            influx.read(ledger, &mut reconciliation).await.expect("InfluxDB answers");
            let mut report = reconciliation.finish();
            if let Some(mongodb) = mongodb {
                let client = Client::with_uri_str(&mongodb.url).await.expect("MongoDB answers");
                let stored = alerts::read(&client, "wardline", ledger).await.expect("MongoDB answers");
                judge_alerts(ledger, &stored, &mut report);
            }
            let missing = report.lost > 0 || report.alerts.is_some_and(|alerts| alerts.missing > 0);
            if !missing || Instant::now() >= end {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    })
}

/// Asserts that a ledger and the store agree to the last reading.
pub(crate) fn assert_all_arrived(ledger: &Ledger, influxdb: &InfluxDb) {
    let report = reconcile(ledger, influxdb, None);
    assert!(report.is_clean(), "{report}");
}

/// Somebody who hears all notifications over MQTT.
pub(crate) struct Listener {
    _runtime: Runtime,
    heard: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Listener {
    /// Listens from now on; the broker keeps the session over a lost connection.
    pub(crate) fn on(broker_url: &str) -> Self {
        let (runtime, heard) = (runtime(), Arc::<Mutex<Vec<_>>>::default());
        let broker: Broker = broker_url.parse().expect("a broker's address");
        let mut options = MqttOptions::new("listener", broker.host, broker.port);
        options.set_keep_alive(Duration::from_secs(5)).set_clean_start(false);
        options.set_session_expiry_interval(Some(3600));
        let (client, mut events) = AsyncClient::new(options, 8);
        let (into, (subscribed, ready)) = (Arc::clone(&heard), std::sync::mpsc::channel());
        runtime.spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                        client.try_subscribe("alerts/v1/#", QoS::AtLeastOnce).expect("room for one request");
                    }
                    Ok(Event::Incoming(Incoming::SubAck(_))) => {
                        subscribed.send(()).ok();
                    }
                    Ok(Event::Incoming(Incoming::Publish(publish))) => {
                        let topic = String::from_utf8(publish.topic.to_vec()).expect("topics are UTF-8");
                        let body = serde_json::from_slice(&publish.payload).expect("a notification is JSON");
                        into.lock().expect("nobody panics in here").push((topic, body));
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
        ready.recv_timeout(Duration::from_secs(30)).expect("the broker lets us listen");
        Self { _runtime: runtime, heard }
    }

    /// All that was heard, as text.
    pub(crate) fn everything(&self) -> String {
        format!("{:?}", self.heard.lock().expect("nobody panics in here"))
    }

    /// The distinct notification ids for each topic, alert and phase.
    pub(crate) fn notifications(&self) -> BTreeMap<(String, String, String), Vec<String>> {
        let mut found: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for (topic, body) in self.heard.lock().expect("nobody panics in here").iter() {
            let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let ids = found.entry((topic.clone(), text("alert"), text("phase"))).or_default();
            if !ids.contains(&text("notification")) {
                ids.push(text("notification"));
            }
        }
        found
    }
}
