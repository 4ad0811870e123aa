//! The real servers that integration tests run against, each a process of `deploy/stack/server` of its own.
//!
//! A server is up when its `start` returns: it has answered its own protocol. It listens on a free loopback port, keeps its
//! data in a temporary folder, and is gone with both when dropped, also when the test fails or its process is killed. As a
//! last resort `tests/run.sh` stops what is recorded in `$WARDLINE_RUN_DIR/pids`.
//!
//! Everything here blocks and uses the standard library only, so that sync and async tests can use it alike.
#![allow(dead_code, reason = "each test binary uses the servers it needs")]
#![allow(clippy::expect_used, clippy::panic, reason = "a server that can't start is a failed test")]

#[path = "certificates.rs"]
pub(crate) mod certificates;
#[path = "http.rs"]
pub(crate) mod http;
#[path = "process.rs"]
pub(crate) mod process;
#[path = "wire.rs"]
mod wire;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

pub(crate) use process::Process;
use process::script;

/// Whether to run a test that needs the servers; if not, says on stderr that the test is left to `tests/run.sh`.
///
/// Past the test harness's capture, which hides the output of a test that passes.
pub(crate) fn wanted(test_name: &str) -> bool {
    let wanted = std::env::var_os("WARDLINE_TEST_SERVERS").is_some_and(|value| value == "1");
    if !wanted {
        // In one write, since tests beside it say the same of themselves.
        let line = format!("{test_name} needs servers: left to tests/run.sh\n");
        std::io::stderr().write_all(line.as_bytes()).expect("stderr is open");
    }
    wanted
}

/// How a test wants its broker; the default is Mosquitto's own limits, anonymous clients, no TLS, nothing kept on disk.
#[derive(Debug, Default)]
pub(crate) struct MosquittoOptions {
    /// Lines to add to the configuration; those of a listener apply to the one there is.
    pub(crate) config: String,
    /// Sessions and queues survive a stop (after SIGKILL only what the last save had).
    pub(crate) persistence: bool,
    /// A folder of [`certificates::make`]: the listener speaks TLS.
    pub(crate) tls: Option<PathBuf>,
    /// With `tls`: a client needs no certificate.
    pub(crate) tls_anonymous: bool,
    /// User names and passwords; nobody else gets in. Empty: anyone does.
    pub(crate) users: Vec<(String, String)>,
}

/// An MQTT broker.
#[derive(Debug)]
pub(crate) struct Mosquitto {
    pub(crate) process: Process,
    /// `mqtt://127.0.0.1:PORT`, or `mqtts://localhost:PORT` with TLS.
    pub(crate) url: String,
}

impl Mosquitto {
    pub(crate) fn start(options: &MosquittoOptions) -> Self {
        let tls = options.tls.is_some();
        let process = Process::start(
            "mosquitto",
            |folder| {
                let mut arguments = Vec::new();
                if options.persistence {
                    arguments.push("--persistence".into());
                }
                if !options.config.is_empty() {
                    let file = write(folder, "extra.conf", &options.config);
                    arguments.extend(["--config".into(), file]);
                }
                if let Some(certificates) = &options.tls {
                    arguments.extend(["--tls".into(), certificates.clone().into_os_string()]);
                }
                if options.tls_anonymous {
                    arguments.push("--tls-anonymous".into());
                }
                if !options.users.is_empty() {
                    let lines: String = options.users.iter().map(|(user, word)| format!("{user}:{word}\n")).collect();
                    arguments.extend(["--password-file".into(), write(folder, "users", &lines)]);
                }
                arguments
            },
            // Without a certificate or a password only the port can be asked.
            if tls { wire::listens } else { wire::mosquitto_answers },
        );
        let url = match tls {
            true => format!("mqtts://localhost:{}", process.port()),
            false => format!("mqtt://{}", process.address()),
        };
        Self { process, url }
    }

    /// Publishes one message with `mosquitto_pub` and the given arguments for logging in; or what it says of a refusal.
    pub(crate) fn publish(&self, arguments: &[&str]) -> Result<(), String> {
        self.publish_message("test", "test", arguments)
    }

    /// As [`Self::publish`], with this topic and payload.
    pub(crate) fn publish_message(&self, topic: &str, payload: &str, arguments: &[&str]) -> Result<(), String> {
        let output = Command::new(script("client"))
            .args(["mosquitto_pub", "-q", "1", "-t", topic, "-m", payload])
            .args(["-h", "localhost", "-p", &self.process.port().to_string()])
            .args(arguments)
            .output()
            .expect("deploy/stack/client can be run");
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }
}

/// An InfluxDB 2 with its first user made.
#[derive(Debug)]
pub(crate) struct InfluxDb {
    pub(crate) process: Process,
    pub(crate) url: String,
    pub(crate) org: String,
    /// May do everything.
    pub(crate) token: String,
}

impl InfluxDb {
    pub(crate) fn start() -> Self {
        let process = Process::start("influxdb", |_| Vec::new(), |address| http::is_ok(address, "/health"));
        let url = format!("http://{}", process.address());
        let server = Self { process, url, org: "wardline".into(), token: "token-of-a-test".into() };
        server.set_up();
        server
    }

    /// Stops, wipes the data and starts again on the same port, with the same organisation and token.
    pub(crate) fn restart_fresh(&mut self) {
        self.process.restart_fresh();
        self.set_up();
    }

    fn set_up(&self) {
        let body = format!(
            r#"{{"username":"wardline","password":"password-of-a-test","org":"{}","bucket":"first","token":"{}"}}"#,
            self.org, self.token
        );
        let answer =
            http::request(self.process.address(), "POST", "/api/v2/setup", &[], &body).expect("InfluxDB answers");
        assert_eq!(answer.status, 201, "InfluxDB refuses its first user: {}", answer.body);
    }

    /// Makes a bucket that keeps everything.
    pub(crate) fn make_bucket(&self, name: &str) {
        let organisation = self.ask("GET", &format!("/api/v2/orgs?org={}", self.org), "application/json", "", 200);
        let organisation: serde_json::Value = serde_json::from_str(&organisation).expect("InfluxDB answers JSON");
        let id = organisation.pointer("/orgs/0/id").expect("the organisation is there");
        let body = format!(r#"{{"orgID":{id},"name":"{name}","retentionRules":[]}}"#);
        self.ask("POST", "/api/v2/buckets", "application/json", &body, 201);
    }

    /// The CSV that a Flux query answers.
    pub(crate) fn query(&self, flux: &str) -> String {
        self.ask("POST", &format!("/api/v2/query?org={}", self.org), "application/vnd.flux", flux, 200)
    }

    fn ask(&self, method: &str, path: &str, content_type: &str, body: &str, status: u16) -> String {
        let headers = [("Authorization", format!("Token {}", self.token)), ("Content-Type", content_type.to_owned())];
        let answer = http::request(self.process.address(), method, path, &headers, body).expect("InfluxDB answers");
        assert_eq!(answer.status, status, "InfluxDB refuses {method} {path} {body}: {}", answer.body);
        answer.body
    }
}

/// A server of the MongoDB wire protocol: FerretDB, which has neither replica sets nor transactions.
#[derive(Debug)]
pub(crate) struct MongoDb {
    pub(crate) process: Process,
    pub(crate) url: String,
}

impl MongoDb {
    pub(crate) fn start() -> Self {
        let process = Process::start("mongodb", |_| Vec::new(), wire::mongodb_answers);
        let url = format!("mongodb://{}", process.address());
        Self { process, url }
    }
}

/// A Neo4j; it takes about ten seconds to start.
#[derive(Debug)]
pub(crate) struct Neo4j {
    pub(crate) process: Process,
    pub(crate) url: String,
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Neo4j {
    const PASSWORD: &str = "password-of-a-test";

    pub(crate) fn start() -> Self {
        let process = Process::start(
            "neo4j",
            |_| vec!["--password".into(), Self::PASSWORD.into()],
            |address| wire::neo4j_answers(address, "neo4j", Self::PASSWORD),
        );
        let url = format!("bolt://{}", process.address());
        Self { process, url, user: "neo4j".into(), password: Self::PASSWORD.into() }
    }

    /// One server for all the tests of a binary, which then must not disturb each other; it is stopped when the binary ends.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Neo4j> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }
}

/// A TCP proxy that makes faults between us and a peer.
#[derive(Debug)]
pub(crate) struct Toxiproxy {
    pub(crate) process: Process,
}

impl Toxiproxy {
    pub(crate) fn start() -> Self {
        Self { process: Process::start("toxiproxy", |_| Vec::new(), |address| http::is_ok(address, "/version")) }
    }

    /// Makes a proxy to a server, and gives the address to connect to.
    pub(crate) fn proxy(&self, name: &str, upstream: SocketAddr) -> SocketAddr {
        let body = format!(r#"{{"name":"{name}","listen":"127.0.0.1:0","upstream":"{upstream}"}}"#);
        let answer: serde_json::Value =
            serde_json::from_str(&self.ask("POST", "/proxies", &body)).expect("Toxiproxy answers JSON");
        let listen = answer.get("listen").and_then(serde_json::Value::as_str);
        listen.and_then(|listen| listen.parse().ok()).expect("Toxiproxy names the address")
    }

    /// Adds a fault, e.g. `("influx", "latency", "downstream", r#"{"latency":200}"#)`, which then has the name of its kind.
    pub(crate) fn toxic(&self, proxy: &str, kind: &str, stream: &str, attributes: &str) {
        let body = format!(r#"{{"name":"{kind}","type":"{kind}","stream":"{stream}","attributes":{attributes}}}"#);
        self.ask("POST", &format!("/proxies/{proxy}/toxics"), &body);
    }

    /// Takes a fault away again.
    pub(crate) fn heal(&self, proxy: &str, kind: &str) {
        self.ask("DELETE", &format!("/proxies/{proxy}/toxics/{kind}"), "");
    }

    /// Refuses all connections and cuts those there are (`false`), or serves again (`true`).
    pub(crate) fn enable(&self, proxy: &str, enabled: bool) {
        self.ask("POST", &format!("/proxies/{proxy}"), &format!(r#"{{"enabled":{enabled}}}"#));
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let answer = http::request(self.process.address(), method, path, &[], body).expect("Toxiproxy answers");
        assert!((200..300).contains(&answer.status), "Toxiproxy refuses {method} {path}: {}", answer.body);
        answer.body
    }
}

/// A Prometheus with a configuration of the test's.
#[derive(Debug)]
pub(crate) struct Prometheus {
    pub(crate) process: Process,
    pub(crate) url: String,
}

impl Prometheus {
    pub(crate) fn start(config: &str) -> Self {
        let process = Process::start(
            "prometheus",
            |folder| vec!["--config".into(), write(folder, "prometheus.yml", config)],
            |address| http::is_ok(address, "/-/ready"),
        );
        let url = format!("http://{}", process.address());
        Self { process, url }
    }
}

fn write(folder: &Path, name: &str, content: &str) -> std::ffi::OsString {
    let file = folder.join(name);
    std::fs::write(&file, content).expect("the server's folder can be written");
    file.into_os_string()
}
