//! The servers around wardline, and the ward in them: every device has a patient, every patient a doctor on duty.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use mongodb::bson::{DateTime, Document, doc};
use neo4rs::{Graph, query};
use tempfile::TempDir;
use wardline::clock::now_ms;

use crate::load::{REGION, WARD, device};
use crate::servers::{InfluxDb, MongoDb, Mosquitto, MosquittoOptions, Neo4j, http};
use crate::subject::Subject;

/// Broker settings, the same for all that is measured. The two queues are what lets a subscriber that pauses for a moment
/// lose nothing; on the defaults (20 and 1,000) only the window of the subscriber would be measured.
const BROKER: &str = "max_inflight_messages 20000\nmax_queued_messages 500000\nset_tcp_nodelay true\n";

/// In milliseconds.
const HOUR: i64 = 3_600_000;

/// The databases, and a folder for what the processes write.
pub struct Ward {
    pub influx: InfluxDb,
    pub folder: TempDir,
    mongo: MongoDb,
    neo4j: Neo4j,
}

/// A wardline with everything on.
pub struct Wardline {
    pub process: Subject,
    /// Where its metrics are.
    pub http: SocketAddr,
}

/// The name of a device that only sends probes.
pub fn probe(number: u64) -> String {
    format!("probe-{number:04}")
}

/// The patient of a device.
pub fn patient(device: &str) -> String {
    format!("p-{device}")
}

/// A fresh broker.
pub fn broker() -> Mosquitto {
    Mosquitto::start(&MosquittoOptions { config: BROKER.to_owned(), ..MosquittoOptions::default() })
}

impl Ward {
    /// Starts the databases with so many devices that make load and so many that send probes.
    pub fn start(devices: u64, probes: u64) -> Self {
        let (influx, mongo, neo4j) = (InfluxDb::start(), MongoDb::start(), Neo4j::start());
        let ward = Self { influx, mongo, neo4j, folder: tempfile::tempdir().unwrap() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let devices: Vec<_> = (0..devices).map(device).chain((0..probes).map(probe)).collect();
        ward.init();
        runtime.block_on(async {
            ward.assign(&devices).await;
            ward.employ(&devices).await;
        });
        ward
    }

    /// A patient's record and an assignment for each device.
    async fn assign(&self, devices: &[String]) {
        let database = mongodb::Client::with_uri_str(&self.mongo.url).await.unwrap().database("wardline");
        let now = DateTime::from_millis(now_ms());
        let patients = devices.iter().map(|device| {
            doc! {
                "_id": patient(device), "region": REGION, "ward": WARD, "bed": device, "name": "A Name",
                "birth_date": DateTime::from_millis(0), "sex": "f", "conditions": [], "spo2_scale": 1,
                "limits": {}, "history": [], "version": 1, "updated_at": now,
            }
        });
        let assignments = devices.iter().map(|device| {
            doc! {
                "_id": format!("a-{device}"), "device": device, "patient": patient(device), "region": REGION,
                "ward": WARD, "bed": device, "since": DateTime::from_millis(now_ms() - HOUR), "until": null,
                "updated_at": now,
            }
        });
        database.collection::<Document>("patients").insert_many(patients).await.unwrap();
        database.collection::<Document>("assignments").insert_many(assignments).await.unwrap();
    }

    /// One doctor who treats all, is on duty, and is told by MQTT.
    async fn employ(&self, devices: &[String]) {
        let graph = Graph::new(&self.neo4j.url, &self.neo4j.user, &self.neo4j.password).unwrap();
        let statement = "CREATE (ward:Ward {id: $ward, region: $region})
            CREATE (doctor:Clinician {id: 'dr-1', name: 'A Name', role: 'doctor', active: true})
            CREATE (doctor)-[:WORKS]->(:Shift {id: 's-1', start: $since, end: $until, tier: 1})-[:COVERS]->(ward)
            CREATE (doctor)-[:REACHABLE_AT {rank: 1}]->(:Endpoint {id: 'e-1', kind: 'mqtt', address: 'dr-1'})
            WITH ward, doctor UNWIND $patients AS id
            CREATE (doctor)-[:TREATS {role: 'attending', since: $since}]->(:Patient {id: id})-[:IN {since: $since}]->(ward)";
        let patients: Vec<_> = devices.iter().map(|device| patient(device)).collect();
        let statement = query(statement).param("ward", WARD).param("region", REGION).param("patients", patients);
        graph.run(statement.param("since", now_ms() - HOUR).param("until", now_ms() + 24 * HOUR)).await.unwrap();
    }

    /// `wardline init`, which makes indexes, constraints and the bucket.
    fn init(&self) {
        let config = self.config("mqtt://127.0.0.1:1", 0);
        let done =
            Command::new(env!("CARGO_BIN_EXE_wardline")).arg("--config").arg(config).arg("init").output().unwrap();
        assert!(
            done.status.success(),
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
    }

    /// Writes a configuration that differs from the defaults only in addresses and folders; gives its path.
    fn config(&self, broker: &str, port: u16) -> PathBuf {
        let folder = self.folder.path();
        let (token, password) = (folder.join("token"), folder.join("password"));
        fs::write(&token, &self.influx.token).unwrap();
        fs::write(&password, &self.neo4j.password).unwrap();
        let text = format!(
            "[mqtt]\nurl = \"{broker}\"\nregions = [\"{REGION}\"]\n[journal]\ndir = {:?}\n\
             [influxdb]\nurl = \"{}\"\norg = \"{}\"\ntoken_file = {token:?}\n[mongodb]\nurl = \"{}\"\n\
             [neo4j]\nurl = \"{}\"\nuser = \"{}\"\npassword_file = {password:?}\n[http]\nlisten = \"127.0.0.1:{port}\"\n",
            folder.join("journal"),
            self.influx.url,
            self.influx.org,
            self.mongo.url,
            self.neo4j.url,
            self.neo4j.user,
        );
        let file = folder.join("wardline.toml");
        fs::write(&file, text).unwrap();
        file
    }

    /// Starts wardline on a broker, with the memory allocator set as `deploy/` does; it is ready when this returns.
    pub fn wardline(&self, broker: &Mosquitto) -> Wardline {
        let http = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_wardline"));
        command.arg("--config").arg(self.config(&broker.url, http.port())).arg("run");
        command.env("MALLOC_ARENA_MAX", std::env::var("MALLOC_ARENA_MAX").unwrap_or_else(|_| "2".to_owned()));
        let mut process = Subject::start("wardline", &mut command, &self.folder.path().join("wardline.log"));
        process.until("ready", |_| all_ok(http));
        Wardline { process, http }
    }

    /// The bucket that wardline writes to.
    pub fn bucket() -> String {
        format!("vitals-{REGION}")
    }

    /// How many readings a bucket holds.
    pub fn stored(&self, bucket: &str) -> u64 {
        let answer = self.influx.query(&format!(
            "from(bucket: \"{bucket}\") |> range(start: -1h, stop: 1h) |> filter(fn: (r) => r._field =~ /heart_rate$/)
             |> group() |> count() |> keep(columns: [\"_value\"])"
        ));
        // A line of names, then at most one of values, each after two columns of InfluxDB's own.
        let value = answer.lines().nth(1).and_then(|line| line.rsplit(',').next());
        value.filter(|value| !value.is_empty()).map_or(0, |value| value.trim().parse().unwrap())
    }
}

/// Whether everything that a reading or an alert needs works; ready, wardline is earlier, without the profiles for one.
fn all_ok(http: SocketAddr) -> bool {
    let answer = http::request(http, "GET", "/ready", &[], "").ok();
    let Some(answer) = answer.and_then(|answer| serde_json::from_str::<serde_json::Value>(&answer.body).ok()) else {
        return false;
    };
    let parts = answer["parts"].as_array().unwrap();
    ["mqtt", "journal", "mongodb", "neo4j"]
        .into_iter()
        .all(|wanted| parts.iter().any(|part| part["part"] == wanted && part["state"] == "ok"))
}
