//! `wardline demo`: the main job in one process. Broker, stores and beds are ours; the pipeline between them is the one
//! that `run` runs, journal included, over real MQTT on real sockets.

mod listener;
mod screen;
mod ward;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use simulator::broker::Broker;
use simulator::episode::{Kind, Script};
use simulator::fault::Faults;
use simulator::fleet::{Fleet, FleetOptions};
use simulator::ledger::Ledger;
use simulator::verify::{Reconciliation, Report, StoredAlert, judge_alerts};
use simulator::ward::{DEMO, Ward};

use self::listener::Heard;
use self::screen::Screen;
use super::EXIT_WRONG;
use super::output::Output;
use crate::account::Account;
use crate::config::{self, Config};
use crate::http::{self, Shown};
use crate::intake::connect;
use crate::peers::embedded::Embedded;
use crate::peers::embedded::broker::EmbeddedBroker;
use crate::pipeline::{self, Peers};
use crate::shutdown::Shutdown;
use crate::status::Status;
use crate::telemetry;

/// How long the pipeline may take to store what the beds have handed over.
const DRAIN: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// How long, as 60s, 10m or 2h; without it until Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = simulator::cli::duration)]
    time: Option<Duration>,
    /// How many beds; more than the demo ward has are made up.
    #[arg(long, default_value_t = 8)]
    beds: usize,
    /// Readings of each bed in a second.
    #[arg(long, default_value_t = 1.0, value_parser = rate)]
    rate: f64,
    /// The same seed gives the same patients.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the broker listens for MQTT 3.1.1; 0 takes a free port.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Where journal and stores are kept; without it a new folder among the temporary files.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| *rate > 0.0 && *rate <= 400.0);
    rate.ok_or_else(|| format!("\"{text}\" is no rate: expected more than 0 and at most 400 readings a second"))
}

pub(super) fn demo(mut config: Config, output: &Output, demo: Demo) -> anyhow::Result<ExitCode> {
    // The screen belongs to the live line; what the embedded broker says of every connection would bury it.
    config.log.level = "warn,rumqttd=off".to_owned();
    telemetry::log(&config.log)?;
    let data = demo.data.clone().unwrap_or_else(|| {
        std::env::temp_dir().join(format!("wardline-demo-{}-{}", std::process::id(), fastrand::u32(..)))
    });
    std::fs::create_dir_all(&data).with_context(|| format!("can't make {}", data.display()))?;
    let shown = Shown { status: Status::new(), metrics: telemetry::metrics()?, account: Arc::new(Account::new()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(play(config, output, &demo, &data, shown));
    runtime.shutdown_background();
    outcome
}

async fn play(mut config: Config, output: &Output, demo: &Demo, data: &Path, shown: Shown) -> anyhow::Result<ExitCode> {
    let ward = Ward::from_toml(DEMO)?.sized(demo.beds);
    let store = Embedded::open(&data.join("demo.sqlite"))?;
    store.admit(&ward::records(&ward))?;
    let broker = EmbeddedBroker::start(demo.port)?;
    around(&mut config, &ward, broker.v5, data);

    let shutdown = Shutdown::new(config.shutdown.deadline);
    let (status, account, metrics) = (shown.status.clone(), Arc::clone(&shown.account), shown.metrics.clone());
    let address = http::serve(config.http.listen, shown, shutdown.hard.clone()).context("can't listen for metrics")?;
    screen::opening(output, &broker, address, data)?;

    let options = connect::options(&config.mqtt, "demo-clinicians")?;
    let names = ward.clinicians.iter().map(|clinician| (clinician.id.clone(), clinician.name.clone()));
    let heard = Heard::listen(options, names.collect());
    let (fleet_ward, seed, rate) = (ward.clone(), demo.seed, demo.rate);
    let peers = Peers { vitals: store.clone(), profiles: store.clone(), care: store.clone(), alerts: store.clone() };
    let pipeline = {
        let (shutdown, account, status) = (shutdown.clone(), Arc::clone(&account), status.clone());
        tokio::spawn(async move { pipeline::run(&config, peers, &status, account, &shutdown).await })
    };
    // Only then: what beds publish before anybody has subscribed is nobody's.
    let begun = Instant::now();
    while !status.is_ready() && !pipeline.is_finished() && begun.elapsed() < DRAIN {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let screen = Screen::new(output, &account, &metrics, &store, &heard);
    let fleet = Fleet::start(fleet_options(broker.v5, fleet_ward, rate, seed))?;
    screen.watch(demo.time, &pipeline).await?;
    let ledger = fleet.stop().await;
    let begun = Instant::now();
    while account.balance().in_flight() > 0 && begun.elapsed() < DRAIN && !pipeline.is_finished() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    screen.line()?;
    shutdown.soft.cancel();
    pipeline.await??;
    shutdown.hard.cancel();

    let report = reconcile(&ledger, &store)?;
    let balance = account.balance();
    screen.closing(&report, balance, data)?;
    let missing = report.alerts.is_some_and(|alerts| alerts.missing > 0);
    let clean = report.lost == 0 && report.duplicated == 0 && report.altered == 0 && !missing;
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::from(EXIT_WRONG) })
}

/// Points the configuration at what is in this process; all else stays as it was configured.
fn around(config: &mut Config, ward: &Ward, broker: SocketAddr, data: &Path) {
    config.mqtt.broker = config::Broker { host: broker.ip().to_string(), port: broker.port(), tls: false };
    config.mqtt.login = None;
    config.mqtt.regions = vec![ward.region.clone()];
    config.journal.dir = data.to_owned();
    config.http.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
}

fn fleet_options(broker: SocketAddr, ward: Ward, rate: f64, seed: u64) -> FleetOptions {
    FleetOptions {
        broker: Broker { host: broker.ip().to_string(), port: broker.port(), tls: false, ca_file: None, login: None },
        ward,
        rate,
        flood: false,
        recording: None,
        beds_per_connection: 1,
        script: Script { kinds: Kind::ALL.to_vec(), first: 5.0, length: 20.0, every: 60.0 },
        faults: Faults::default(),
        seed,
    }
}

/// Holds what the beds sent against what the store holds.
fn reconcile(ledger: &Ledger, store: &Embedded) -> anyhow::Result<Report> {
    let mut reconciliation = Reconciliation::new(ledger);
    store.each_reading(|reading| {
        let vitals = reading.vitals.iter().map(|(vital, value)| (vital.name(), value));
        reconciliation.stored(&reading.device, reading.time, vitals);
    })?;
    let mut report = reconciliation.finish();
    let alerts = store.alerts()?.into_iter();
    let alerts =
        alerts.map(|alert| StoredAlert { device: alert.device, condition: alert.condition, begin: alert.begin });
    judge_alerts(ledger, &alerts.collect::<Vec<_>>(), &mut report);
    Ok(report)
}
