//! `wardline demo` as its user meets it: one process, nothing else, and another program that publishes to it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS};
use serde_json::{Value, json};

/// The lines of a demo, and its exit code at the end.
struct Demo {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wardline"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WARDLINE_") {
                command.env_remove(name);
            }
        }
        let mut child = command.arg("demo").args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line that holds these words, which must come before the end.
    fn line(&mut self, words: &str) -> String {
        self.lines.by_ref().map(Result::unwrap).find(|line| line.contains(words)).unwrap()
    }

    /// All lines to the end, and the exit code.
    fn finish(mut self) -> (Vec<String>, Option<i32>) {
        let lines = self.lines.by_ref().map(Result::unwrap).collect();
        (lines, self.child.wait().unwrap().code())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn the_demo_stores_everything_tells_the_doctors_and_reconciles() {
    let data = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(&["--for", "32s", "--data", data.path().to_str().unwrap(), "--seed", "3"]);
    assert!(demo.line("broker").contains("mqtt://127.0.0.1:"));
    assert!(demo.line("metrics").contains("http://127.0.0.1:"));
    assert!(demo.line("told").contains("begin in bed"));
    let (lines, code) = demo.finish();
    let summary = lines.join("\n");
    assert!(summary.contains("lost 0, duplicated 0, altered 0, unexpected 0"), "{summary}");
    assert!(summary.contains("missing 0, duplicated 0, unexpected 0"), "{summary}");
    assert!(summary.contains("were told ") && !summary.contains("were told 0"), "nothing happened: {summary}");
    assert_eq!(code, Some(0), "{summary}");
}

#[test]
fn what_another_process_publishes_to_the_demo_is_stored() {
    let data = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(&["--json", "--for", "8s", "--beds", "2", "--data", data.path().to_str().unwrap()]);
    let about: Value = serde_json::from_str(&demo.line("broker")).unwrap();
    let port: u16 = about["broker"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
    demo.line(r#""seconds":1,"#);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // As mosquitto_pub does: MQTT 3.1.1, QoS 1.
        let (client, mut events) = AsyncClient::new(MqttOptions::new("visitor", "127.0.0.1", port), 8);
        let now = jiff::Timestamp::now();
        for body in [format!(r#"{{"time":"{now}","vitals":{{"heart_rate":61.5}}}}"#), "no reading".to_owned()] {
            client.try_publish("vitals/v1/north/icu-1/visitor-1", QoS::AtLeastOnce, false, body).unwrap();
        }
        let mut acknowledged = 0;
        let all = async {
            while acknowledged < 2 {
                acknowledged += u32::from(matches!(events.poll().await.unwrap(), Event::Incoming(Incoming::PubAck(_))));
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all).await.unwrap();
    });
    let (lines, code) = demo.finish();
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.last().unwrap();
    assert_eq!((&summary["dead_lettered"], &summary["reconciliation"]["lost"]), (&json!(1), &json!(0)), "{summary}");
    assert_eq!(code, Some(0), "{summary}");
    let store = rusqlite::Connection::open(data.path().join("demo.sqlite")).unwrap();
    let stored = store.query_row("SELECT heart_rate FROM vitals WHERE device = 'visitor-1'", [], |row| row.get(0));
    assert_eq!(stored, Ok(61.5));
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_demo_without_a_word() {
    let data = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wardline"));
    command.args(["demo", "--for", "60s", "--beds", "1", "--data"]).arg(data.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    // Dropped after a line, as `head -n 1` does.
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("broker"), "{first}");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr)), (Some(1), "".into()));
}

#[test]
fn a_port_that_is_taken_is_said_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_wardline")).args(["demo", "--port", &port]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("choose another with --port"), "{output:?}");
}
