//! The binary under test: `wardline run` with a journal of its own, configured by `WARDLINE_*` variables, seen from outside.
//!
//! It is killed when dropped, also when the test's process is killed; when the test fails, its log is printed. What a test
//! does not name is away: InfluxDB, MongoDB and Neo4j are closed ports until it gives the real ones.
//!
//! Name the module other than the crate: `#[path = "support/wardline.rs"] mod instance;`, beside `mod servers;`.
#![allow(dead_code, reason = "each test binary uses what it needs")]
#![allow(clippy::expect_used, clippy::panic, reason = "a program that can't be run is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::servers::process::guard;
use crate::servers::{InfluxDb, Neo4j, http};

#[path = "disk.rs"]
mod disk;
use disk::Disk;

/// How long anything may take that should be quick. Generous, because the machine may be busy.
pub(crate) const BOUND: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// Nothing listens here: a peer that is away.
const AWAY: &str = "127.0.0.1:9";

/// Waits, bounded, until something is so.
pub(crate) fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + BOUND;
    while !reached() {
        assert!(Instant::now() < end, "not reached within {BOUND:?}: {what}");
        sleep(POLL);
    }
}

/// What `/metrics` says of the conservation of messages, in items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Balance {
    pub(crate) received: u64,
    pub(crate) recovered: u64,
    pub(crate) stored: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) duplicates: u64,
    pub(crate) quarantined: u64,
    pub(crate) in_flight: u64,
}

impl Balance {
    /// The identity that holds at any time.
    pub(crate) fn holds(&self) -> bool {
        let ended = self.stored + self.dead_lettered + self.duplicates + self.quarantined;
        self.received + self.recovered == ended + self.in_flight
    }
}

/// One installation: a journal, a configuration, and at times a process.
pub(crate) struct Wardline {
    folder: TempDir,
    variables: BTreeMap<String, String>,
    child: Option<(Child, Child)>,
    address: Option<SocketAddr>,
    starts: usize,
    disk: Option<Disk>,
    launcher: Vec<String>,
}

impl std::fmt::Debug for Wardline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "wardline in {}", self.folder.path().display())
    }
}

impl Wardline {
    /// An installation on this broker, for the region "north", not running yet.
    pub(crate) fn on(broker_url: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("wardline-").tempdir().expect("a temporary folder");
        let journal = folder.path().join("journal");
        let installation = Self {
            folder,
            variables: BTreeMap::new(),
            child: None,
            address: None,
            starts: 0,
            disk: None,
            launcher: Vec::new(),
        };
        installation
            .set("mqtt.url", broker_url)
            .set("mqtt.regions", "north")
            .set("journal.dir", journal.to_str().expect("temporary folders have plain names"))
            .set("http.listen", "127.0.0.1:0")
            .set("log.format", "json")
            .set("influxdb.url", &format!("http://{AWAY}"))
            .set("mongodb.url", &format!("mongodb://{AWAY}"))
            // It is away in most tests: nobody waits for it.
            .set("mongodb.timeout", "500ms")
            .set("neo4j.url", &format!("bolt://{AWAY}"))
    }

    /// Gives the journal a disk of its own of so many bytes.
    pub(crate) fn on_disk_of(mut self, bytes: u64) -> Self {
        fs::create_dir(self.journal()).expect("the folder can be written");
        self.disk = Some(Disk::mount(&self.journal(), bytes));
        self
    }

    /// Starts the binary by a program that replaces itself by it.
    pub(crate) fn launched_by(mut self, launcher: &[&str]) -> Self {
        self.launcher = launcher.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// The disk that [`Self::on_disk_of`] gave.
    pub(crate) fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("the journal has a disk of its own")
    }

    /// Stores into this server; [`Self::init`] makes the buckets.
    pub(crate) fn influxdb(self, server: &InfluxDb) -> Self {
        let token = self.secret("influxdb-token", &server.token);
        self.set("influxdb.url", &server.url).set("influxdb.org", &server.org).set("influxdb.token_file", &token)
    }

    /// Takes profiles from this server.
    pub(crate) fn mongodb(self, url: &str) -> Self {
        self.set("mongodb.url", url).set("mongodb.timeout", "2s")
    }

    /// Asks this care graph.
    pub(crate) fn neo4j(self, server: &Neo4j) -> Self {
        let password = self.secret("neo4j-password", &server.password);
        self.set("neo4j.url", &server.url).set("neo4j.user", &server.user).set("neo4j.password_file", &password)
    }

    /// Sets a key of the configuration, such as "mqtt.client_id".
    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.change(key, value);
        self
    }

    /// As [`Self::set`], for the next start.
    pub(crate) fn change(&mut self, key: &str, value: &str) {
        let variable = format!("WARDLINE_{}", key.replace('.', "_").to_ascii_uppercase());
        self.variables.insert(variable, value.to_owned());
    }

    /// Writes a secret into a file of this installation; gives its path.
    pub(crate) fn secret(&self, name: &str, content: &str) -> String {
        let file = self.folder.path().join(name);
        fs::write(&file, content).expect("the folder can be written");
        file.into_os_string().into_string().expect("temporary folders have plain names")
    }

    /// Runs `wardline init`; peers that are away fail, which is not looked at, except for InfluxDB.
    pub(crate) fn init(self) -> Self {
        let output = self.command(&["init"]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("influxdb bucket"), "init made no bucket: {said}{output:?}");
        self
    }

    /// Runs a command of the binary with this installation's configuration, to its end.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        self.binary().args(arguments).output().expect("the binary can be run")
    }

    /// Runs a command of the binary without any variable of ours.
    pub(crate) fn plain_command(&self, arguments: &[&str]) -> Output {
        let mut binary = self.binary();
        for variable in self.variables.keys() {
            binary.env_remove(variable);
        }
        binary.args(arguments).output().expect("the binary can be run")
    }

    /// The objects that a command prints with `--json`; the command must succeed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.command(&[&["--json"], arguments].concat());
        assert!(output.status.success(), "{arguments:?} failed: {output:?}");
        let said = String::from_utf8(output.stdout).expect("JSON is UTF-8");
        said.lines().map(|line| serde_json::from_str(line).expect("each line is an object")).collect()
    }

    fn binary(&self) -> Command {
        let binary = env!("CARGO_BIN_EXE_wardline");
        let mut command = match (&self.disk, self.launcher.as_slice()) {
            (Some(disk), _) => disk.command(binary),
            (None, [launcher, arguments @ ..]) => {
                let mut command = Command::new(launcher);
                command.args(arguments).arg(binary);
                command
            }
            (None, []) => Command::new(binary),
        };
        // What the caller's shell exports for a server of its own must not reach us.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WARDLINE_") {
                command.env_remove(name);
            }
        }
        command.envs(&self.variables).stdin(Stdio::null());
        command
    }

    /// Starts the process and waits until its health can be asked.
    pub(crate) fn start(mut self) -> Self {
        self.restart();
        self
    }

    /// Starts the process, on the same journal, after a kill or a stop; kills it first if it runs.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.starts += 1;
        let log = fs::File::create(self.log_file(self.starts)).expect("the log can be written");
        let out = log.try_clone().expect("a file can be shared");
        let child = self.binary().arg("run").stdout(out).stderr(log).spawn().expect("the binary can be run");
        let guard = guard(child.id(), self.folder.path());
        self.child = Some((child, guard));
        let end = Instant::now() + BOUND;
        self.address = loop {
            let told = fs::read_to_string(self.log_file(self.starts)).unwrap_or_default().lines().find_map(listens_on);
            if told.is_some() {
                break told;
            }
            let (child, _) = self.child.as_mut().expect("started above");
            let ended = child.try_wait().expect("the process is our child");
            assert!(ended.is_none() && Instant::now() < end, "wardline does not start: {ended:?}");
            sleep(POLL);
        };
    }

    /// Where health and metrics are; another port at each start.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address.expect("wardline was started")
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(|(child, _)| child.id())
    }

    /// Waits until `/ready` is 200.
    pub(crate) fn ready(&self) {
        until("/ready is 200", || http::is_ok(self.address(), "/ready"));
    }

    /// What `/ready` says: its status and its text.
    pub(crate) fn readiness(&self) -> (u16, String) {
        let answer = http::request(self.address(), "GET", "/ready", &[], "").expect("/ready answers");
        (answer.status, answer.body)
    }

    /// The state and the reason of one part, "mqtt" or "influxdb" for example; the reason is empty when all is well.
    pub(crate) fn part(&self, name: &str) -> (String, String) {
        let (_, body) = self.readiness();
        let body: Value = serde_json::from_str(&body).expect("/ready answers JSON");
        let parts = body.get("parts").and_then(Value::as_array).cloned().unwrap_or_default();
        let part = parts.into_iter().find(|part| part.get("part").is_some_and(|part| part == name));
        let text = |key| {
            let value = part.as_ref().and_then(|part| part.get(key)).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        (text("state"), text("reason"))
    }

    /// Waits until a part says of itself that it is in this state, with these words in its reason.
    pub(crate) fn until_part(&self, name: &str, state: &str, words: &str) {
        until(&format!("{name} is {state}: {words}"), || {
            let (now, reason) = self.part(name);
            now == state && reason.contains(words)
        });
    }

    /// The value of a metric, its series added up; with labels as printed (`name{reason="json"}`) that series alone.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let answer = http::request(self.address(), "GET", "/metrics", &[], "").expect("/metrics answers");
        sum(&answer.body, name)
    }

    /// The account, from one scrape.
    pub(crate) fn balance(&self) -> Balance {
        let answer = http::request(self.address(), "GET", "/metrics", &[], "").expect("/metrics answers");
        let count = |name: &str| sum(&answer.body, name) as u64;
        Balance {
            received: count("wardline_received_total"),
            recovered: count("wardline_recovered_total"),
            stored: count("wardline_stored_total"),
            dead_lettered: count("wardline_dead_lettered_total"),
            duplicates: count("wardline_duplicates_total"),
            quarantined: count("wardline_quarantined_total"),
            in_flight: count("wardline_in_flight"),
        }
    }

    /// SIGKILL; waits for the end. Does nothing when it does not run.
    pub(crate) fn kill(&mut self) {
        if let Some((child, _)) = &mut self.child {
            child.kill().expect("the process is our child");
            self.ended();
        }
    }

    /// Sends SIGTERM, and does not wait.
    pub(crate) fn ask_to_stop(&self) {
        let pid = self.pid().expect("wardline runs").to_string();
        // As a command: a system call would need `unsafe`.
        let status = Command::new("kill").args(["-TERM", &pid]).status().expect("kill can be run");
        assert!(status.success(), "kill -TERM failed");
    }

    /// SIGTERM; waits, bounded, for the end and gives the exit code, `None` when a signal ended it.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.ask_to_stop();
        self.until_ended()
    }

    /// Waits, bounded, until it ends; gives the exit code, `None` when a signal ended it.
    pub(crate) fn until_ended(&mut self) -> Option<i32> {
        until("wardline ends", || {
            let (child, _) = self.child.as_mut().expect("wardline runs");
            child.try_wait().expect("the process is our child").is_some()
        });
        self.ended().code()
    }

    fn ended(&mut self) -> ExitStatus {
        let (mut child, mut guard) = self.child.take().expect("wardline ran");
        let status = child.wait().expect("the process is our child");
        let dismissed = guard.stdin.take().map(|mut stdin| stdin.write_all(b"\n"));
        assert!(matches!(dismissed, Some(Ok(()))), "the guard of {self:?} is gone");
        guard.wait().expect("the guard is our child");
        status
    }

    /// The journal's folder.
    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    /// All that was logged since the first start.
    pub(crate) fn log(&self) -> String {
        let mut all = String::new();
        for start in 1..=self.starts {
            let read = fs::File::open(self.log_file(start)).and_then(|mut log| log.read_to_string(&mut all));
            read.expect("the log can be read");
        }
        all
    }

    fn log_file(&self, start: usize) -> PathBuf {
        Path::new(self.folder.path()).join(format!("log-{start}"))
    }
}

impl Drop for Wardline {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("-- log of {self:?}:\n{}--", self.log());
        }
    }
}

/// The address in the line that says where health is served.
fn listens_on(line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    let health = line.get("message")?.as_str()?.starts_with("health and metrics");
    if health { line.get("address")?.as_str()?.parse().ok() } else { None }
}

/// Adds up the series of a metric in a scrape.
fn sum(scrape: &str, name: &str) -> f64 {
    let series = scrape
        .lines()
        .filter_map(|line| line.rsplit_once(' '))
        .filter(|(series, _)| *series == name || series.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')));
    series.map(|(_, value)| value.parse::<f64>().expect("a metric is a number")).sum()
}
