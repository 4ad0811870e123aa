//! The same load on each subject in turn: what it costs, how much memory it takes, whether it keeps up.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::figures::table;
use crate::load::Load;
use crate::scrape::Scrape;
use crate::servers::Mosquitto;
use crate::subject::Subject;
use crate::ward::{Ward, Wardline};

/// A load before the one that is measured: series are made, caches filled.
const WARM_UP: Duration = Duration::from_secs(3);

/// How long a subject may take to deliver what is left when the load has ended.
const DELIVERED_WITHIN: Duration = Duration::from_secs(90);

/// What is measured with.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Messages a second.
    pub rate: u64,
    pub devices: u64,
    pub lasting: Duration,
    /// How long of it InfluxDB answers nobody.
    pub frozen: Duration,
}

/// What one subject did under the load.
pub struct Measured {
    name: &'static str,
    /// Microseconds of processor time for each message delivered.
    cpu: f64,
    /// Bytes.
    memory: u64,
    /// Messages a second, from the first that was published to the last that was delivered.
    rate: f64,
    published: u64,
    delivered: u64,
}

/// Puts the load on a subject; `meanwhile` happens when it has begun, and `delivered` says how many messages have come
/// through so far.
fn measure(
    name: &'static str,
    plan: Plan,
    broker: &Mosquitto,
    subject: &Subject,
    meanwhile: impl FnOnce(),
    mut delivered: impl FnMut() -> u64,
) -> Measured {
    let broker = broker.process.address();
    let mut until = |wanted: u64| {
        let limit = Instant::now() + DELIVERED_WITHIN;
        loop {
            let (count, now) = (delivered(), Instant::now());
            if count >= wanted || now > limit {
                return count;
            }
            sleep(Duration::from_millis(100));
        }
    };
    let (warm, _) = Load::start(broker, plan.rate, plan.devices, WARM_UP).join();
    let before = until(warm);
    assert_eq!(before, warm, "{name} delivered not all of the warm-up:\n{}", subject.said());
    eprintln!("{name}: the load begins");

    let (cpu, began) = (subject.cpu(), Instant::now());
    let load = Load::start(broker, plan.rate, plan.devices, plan.lasting);
    meanwhile();
    let (published, _) = load.join();
    let delivered = until(warm + published) - before;
    let (took, cpu) = (began.elapsed(), subject.cpu() - cpu);
    Measured {
        name,
        cpu: cpu.as_secs_f64() * 1e6 / delivered as f64,
        memory: subject.peak_memory(),
        rate: delivered as f64 / took.as_secs_f64(),
        published,
        delivered,
    }
}

/// Freezes InfluxDB as planned, a fifth of the load after its begin.
fn freeze(plan: Plan, ward: &Ward) {
    if plan.frozen.is_zero() {
        return;
    }
    sleep(plan.lasting / 5);
    ward.influx.process.freeze();
    sleep(plan.frozen);
    ward.influx.process.thaw();
}

/// A subscriber that only counts.
pub fn subscriber(plan: Plan, broker: &Mosquitto, folder: &Path) -> Measured {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["subscriber", &broker.process.port().to_string()]);
    let mut subject = Subject::start("subscriber", &mut command, &folder.join("subscriber.log"));
    subject.until("subscribed", |subject| subject.said().contains("subscribed"));
    let count = || subject.said().lines().last().and_then(|line| line.parse().ok()).unwrap_or(0);
    measure("bare rumqttc subscriber", plan, broker, &subject, || {}, count)
}

/// Telegraf from the same topics to the same store, and no more.
pub fn telegraf(plan: Plan, program: &Path, broker: &Mosquitto, ward: &Ward) -> Measured {
    const BUCKET: &str = "telegraf";
    ward.influx.make_bucket(BUCKET);
    let config = ward.folder.path().join("telegraf.conf");
    // Batches, compression and the window as wardline has them; the messages are acknowledged when they are stored.
    let text = format!(
        r#"
[agent]
  interval = "1s"
  flush_interval = "1s"
  metric_batch_size = 5000
  metric_buffer_limit = 500000
  precision = "1ms"
  omit_hostname = true
[[inputs.mqtt_consumer]]
  servers = ["tcp://{}"]
  topics = ["vitals/v1/#"]
  topic_tag = ""
  qos = 1
  client_id = "telegraf"
  persistent_session = true
  max_undelivered_messages = 20000
  name_override = "vitals"
  fieldexclude = ["seq"]
  data_format = "json"
  json_time_key = "time"
  json_time_format = "unix_ms"
  [[inputs.mqtt_consumer.topic_parsing]]
    topic = "vitals/v1/+/+/+"
    tags = "_/_/region/ward/device"
[[outputs.influxdb_v2]]
  urls = ["{}"]
  token = "{}"
  organization = "{}"
  bucket = "{BUCKET}"
  content_encoding = "gzip"
"#,
        broker.process.address(),
        ward.influx.url,
        ward.influx.token,
        ward.influx.org,
    );
    fs::write(&config, text).unwrap();
    let mut command = Command::new(program);
    command.arg("--config").arg(&config);
    let mut subject = Subject::start("telegraf", &mut command, &ward.folder.path().join("telegraf.log"));
    subject.until("connected", |subject| subject.said().contains("Connected ["));
    measure("telegraf", plan, broker, &subject, || freeze(plan, ward), || ward.stored(BUCKET))
}

/// wardline with everything on.
pub fn wardline(plan: Plan, broker: &Mosquitto, ward: &Ward, wardline: &Wardline) -> Measured {
    let before = Scrape::of(wardline.http);
    let stored = || ward.stored(&Ward::bucket());
    let measured = measure("wardline", plan, broker, &wardline.process, || freeze(plan, ward), stored);
    let after = Scrape::of(wardline.http);
    let unlike = after.sum("wardline_dead_lettered_total") + after.value("wardline_unassigned_total");
    assert_eq!(unlike, 0.0, "readings that are refused or nobody's are not the load that is meant");

    let since = |series: &str| after.value(series) - before.value(series);
    let commits = since("wardline_journal_commits_total");
    let at = |share| after.quantile(&before, "wardline_journal_commit_seconds", share).unwrap_or_default() * 1e3;
    println!(
        "wardline under the load: {:.0} commits/s of {:.0} readings, each {:.2} ms at the median and {:.2} ms at p99 (by bucket)",
        commits / (WARM_UP + plan.lasting).as_secs_f64(),
        since("wardline_stored_total") / commits,
        at(0.5),
        at(0.99),
    );
    measured
}

/// Prints what was measured, with the last one's shares of the others.
pub fn report(plan: Plan, measured: &[Measured], (cpu, memory): (f64, u64)) {
    let row = |one: &Measured| {
        [
            one.name.to_owned(),
            format!("{:.1}", one.cpu),
            format!("{:.1}", one.memory as f64 / 1e6),
            format!("{:.0}", one.rate),
            format!("{} of {}", one.delivered, one.published),
        ]
    };
    let mut rows: Vec<_> = measured.iter().map(row).collect();
    if let Some((ours, others)) = measured.split_last() {
        rows.extend(others.iter().map(|other| {
            [
                format!("{} / {}", ours.name, other.name),
                format!("{:.2}", ours.cpu / other.cpu),
                format!("{:.2}", ours.memory as f64 / other.memory as f64),
                format!("{:.2}", ours.rate / other.rate),
                String::new(),
            ]
        }));
    }
    let frozen = match plan.frozen.as_secs() {
        0 => String::new(),
        seconds => format!(", InfluxDB frozen for {seconds} s"),
    };
    let headline = format!("{} messages/s of {} bytes, QoS 1{frozen}", plan.rate, crate::load::PAYLOAD);
    table([&headline, "CPU us/message", "peak MB", "sustained/s", "delivered"], &rows);
    if let Some(ours) = measured.last() {
        let word = |met| if met { "met" } else { "missed" };
        println!(
            "target of {cpu} us: {}; of {} MB: {}",
            word(ours.cpu <= cpu),
            memory / 1_000_000,
            word(ours.memory <= memory)
        );
    }
    for one in measured.iter().filter(|one| one.delivered < one.published) {
        println!("warning: {} did not deliver all: the broker dropped what its queue could not hold", one.name);
    }
}
