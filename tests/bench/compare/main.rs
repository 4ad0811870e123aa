//! wardline beside a bare subscriber and beside Telegraf, under the same load on the same real servers, in one run.
//!
//! Absolute figures say something of the machine; the ratios say something of wardline. `tests/bench/run.sh` runs it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement that fails says so by panicking")]

mod commits;
mod delays;
mod figures;
mod load;
mod scrape;
mod subject;
mod subscriber;
mod throughput;
mod ward;

#[path = "../../support/journals.rs"]
mod journals;
#[path = "../../support/servers.rs"]
mod servers;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::throughput::Plan;
use crate::ward::Ward;

/// The first target: microseconds of processor time for each message, and bytes of memory.
const TARGET: (f64, u64) = (25.0, 64_000_000);

/// The backlog that must open in under two seconds, bytes.
const BACKLOG: u64 = 1_000_000_000;

/// Measures wardline beside others.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    part: Option<Part>,
    /// The program of Telegraf; without it, it is left out.
    #[arg(long, global = true)]
    telegraf: Option<PathBuf>,
    /// Messages a second.
    #[arg(long, global = true, default_value_t = 30_000)]
    rate: u64,
    /// How long the load on each subject lasts.
    #[arg(long, global = true, default_value_t = 20)]
    seconds: u64,
    /// Devices that share the load.
    #[arg(long, global = true, default_value_t = 200)]
    devices: u64,
    /// How many seconds of the load InfluxDB is frozen, for those that store.
    #[arg(long, global = true, default_value_t = 0)]
    frozen: u64,
    /// Given by `cargo bench`.
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Part {
    /// The load on each subject, and the delays at a light load.
    Load,
    /// Commits beside raw appends.
    Commits,
    /// The opening of a long backlog.
    Backlog,
    /// Counts messages until it is stopped.
    #[command(hide = true)]
    Subscriber { port: u16 },
    /// Fills a journal, and waits to be killed.
    #[command(hide = true)]
    Fill { dir: PathBuf, bytes: u64 },
}

fn main() {
    let options = Options::parse();
    match &options.part {
        Some(Part::Subscriber { port }) => subscriber::run(*port),
        Some(Part::Fill { dir, bytes }) => commits::fill(dir, *bytes),
        Some(Part::Load) => load(&options),
        Some(Part::Commits) => commits::report_commits(),
        Some(Part::Backlog) => commits::report_backlog(BACKLOG),
        None => {
            load(&options);
            commits::report_commits();
            commits::report_backlog(BACKLOG);
        }
    }
}

fn load(options: &Options) {
    let plan = Plan {
        rate: options.rate,
        devices: options.devices,
        lasting: Duration::from_secs(options.seconds),
        frozen: Duration::from_secs(options.frozen),
    };
    let ward = Ward::start(plan.devices, delays::PROBES);
    let mut measured = vec![throughput::subscriber(plan, &ward::broker(), ward.folder.path())];
    if let Some(program) = &options.telegraf {
        measured.push(throughput::telegraf(plan, program, &ward::broker(), &ward));
    }
    let broker = ward::broker();
    let wardline = ward.wardline(&broker);
    measured.push(throughput::wardline(plan, &broker, &ward, &wardline));
    throughput::report(plan, &measured, TARGET);
    delays::report(&ward, &wardline, &broker, plan.devices);
}
