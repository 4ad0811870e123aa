//! The command line: one file per command.
//!
//! Exit codes: 0 done; 1 failed while running; 2 `verify` found something wrong, or bad usage.

mod run;
mod seed_ward;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

pub use self::run::duration;
use crate::ward::{self, Ward};

/// Simulated bedside devices for wardline. All patients are made up.
#[derive(Debug, Parser)]
#[command(name = "simulator", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a fleet of beds that publish vitals, and write the ledger of all they sent.
    Run(run::Run),
    /// Publish a CSV of real vitals as one device's readings, at the speed at which they were recorded.
    Replay(run::Replay),
    /// Hold a ledger against what InfluxDB and MongoDB hold; exit code 2 when something is wrong.
    Verify(verify::Verify),
    /// Write the ward's patients, assignments and care graph into MongoDB and Neo4j.
    SeedWard(seed_ward::SeedWard),
}

/// Which ward.
#[derive(Debug, Args)]
struct WardOptions {
    /// The ward's file; without it the demo ward.
    #[arg(long = "ward-file", value_name = "FILE")]
    file: Option<PathBuf>,
    /// How many beds; more than the ward has are made up. Default: the ward's.
    #[arg(long)]
    beds: Option<usize>,
}

impl WardOptions {
    fn ward(&self) -> anyhow::Result<Ward> {
        let text = match &self.file {
            None => ward::DEMO.to_owned(),
            Some(path) => std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?,
        };
        let ward = Ward::from_toml(&text)?;
        let beds = self.beds.unwrap_or(ward.beds.len());
        Ok(ward.sized(beds))
    }
}

/// Reads a secret from its file; white space around it is no part of it.
fn secret(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// Runs one command.
///
/// # Errors
/// What went wrong, for standard error.
pub fn main(cli: Cli) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Run(command) => run::run(command).await,
            Command::Replay(command) => run::replay(command).await,
            Command::Verify(command) => verify::verify(command).await,
            Command::SeedWard(command) => seed_ward::seed_ward(command).await,
        }
    })
}
