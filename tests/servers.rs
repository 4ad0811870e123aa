//! The servers that the other integration tests build on start, answer, can be faulted, and leave nothing behind.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/servers.rs"]
mod servers;

use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use servers::{InfluxDb, MongoDb, Mosquitto, MosquittoOptions, Neo4j, Process, Prometheus, Toxiproxy};

/// Stops a server and checks that its process and its port are gone.
fn ends_without_a_trace(process: &mut Process) {
    let pid = process.pid().unwrap();
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    process.stop();
    assert_eq!(process.pid(), None);
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{process:?} still runs");
    assert!(TcpStream::connect(process.address()).is_err(), "{process:?} still listens");
}

#[test]
fn servers_start_answer_and_stop() {
    if !servers::wanted("servers_start_answer_and_stop") {
        return;
    }
    ends_without_a_trace(&mut Mosquitto::start(&MosquittoOptions::default()).process);
    ends_without_a_trace(&mut MongoDb::start().process);
    ends_without_a_trace(&mut Neo4j::start().process);
    ends_without_a_trace(&mut Prometheus::start("scrape_configs: []\n").process);

    let mut influxdb = InfluxDb::start();
    assert!(influxdb.query("buckets()").contains("first"));
    ends_without_a_trace(&mut influxdb.process);
}

#[test]
fn a_restart_keeps_the_data_and_a_fresh_one_does_not() {
    if !servers::wanted("a_restart_keeps_the_data_and_a_fresh_one_does_not") {
        return;
    }
    let mut influxdb = InfluxDb::start();
    let address = influxdb.process.address();
    let marks =
        |influxdb: &InfluxDb| influxdb.query("buckets() |> filter(fn: (r) => r.name == \"mark\")").contains("mark");
    influxdb.make_bucket("mark");
    assert!(marks(&influxdb));

    influxdb.process.kill();
    influxdb.process.restart();
    assert_eq!(influxdb.process.address(), address);
    assert!(marks(&influxdb));

    influxdb.restart_fresh();
    assert_eq!(influxdb.process.address(), address);
    assert!(!marks(&influxdb));
}

#[test]
fn a_frozen_server_is_stopped_too() {
    if !servers::wanted("a_frozen_server_is_stopped_too") {
        return;
    }
    let mut broker = Mosquitto::start(&MosquittoOptions::default());
    broker.process.freeze();
    ends_without_a_trace(&mut broker.process);
}

#[test]
fn a_proxy_passes_on_delays_and_cuts() {
    if !servers::wanted("a_proxy_passes_on_delays_and_cuts") {
        return;
    }
    let influxdb = InfluxDb::start();
    let faults = Toxiproxy::start();
    let through: SocketAddr = faults.proxy("influxdb", influxdb.process.address());
    let is_ok = || servers::http::is_ok(through, "/health");
    assert!(is_ok());

    // Closes each connection before the first byte of the answer is through.
    faults.toxic("influxdb", "limit_data", "downstream", r#"{"bytes":1}"#);
    assert!(!is_ok());
    faults.heal("influxdb", "limit_data");
    assert!(is_ok());

    faults.enable("influxdb", false);
    assert!(TcpStream::connect(through).is_err());
    faults.enable("influxdb", true);
    assert!(is_ok());
}

#[test]
fn a_broker_wants_the_password_or_the_certificate_that_it_was_told_of() {
    if !servers::wanted("a_broker_wants_the_password_or_the_certificate_that_it_was_told_of") {
        return;
    }
    let users = vec![("bed".to_owned(), "word".to_owned())];
    let broker = Mosquitto::start(&MosquittoOptions { users, ..MosquittoOptions::default() });
    assert_eq!(broker.publish(&["-u", "bed", "-P", "word"]), Ok(()));
    assert!(broker.publish(&["-u", "bed", "-P", "wrong"]).is_err());
    assert!(broker.publish(&[]).is_err());

    let folder = tempfile::tempdir().unwrap();
    servers::certificates::make(folder.path());
    let file = |name: &str| folder.path().join(name).into_os_string().into_string().unwrap();
    let tls = Some(folder.path().to_owned());
    let broker = Mosquitto::start(&MosquittoOptions { tls, ..MosquittoOptions::default() });
    let (authority, certificate, key) = (file("ca.crt"), file("client.crt"), file("client.key"));
    assert_eq!(broker.publish(&["--cafile", &authority, "--cert", &certificate, "--key", &key]), Ok(()));
    assert!(broker.publish(&["--cafile", &authority]).is_err());
}
