//! The command line: one file per command family.
//!
//! Exit codes: 0 done; 1 failed while running; 2 found something wrong (`check`, `demo`, `journal verify`); 64 bad usage or
//! configuration.

mod check;
mod config;
mod dead_letter;
mod demo;
mod init;
mod journal;
pub mod output;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Bad usage or configuration, as BSD's `sysexits` has it.
pub const EXIT_USAGE: u8 = 64;

/// Something was looked at and found wrong.
pub const EXIT_WRONG: u8 = 2;

/// Vital signs from MQTT to InfluxDB without loss, and to the right doctor in time.
///
/// Secondary notification: not a certified medical device. The bedside monitor stays the primary alarm.
#[derive(Debug, Parser)]
#[command(name = "wardline", version, max_term_width = 100)]
pub struct Cli {
    /// The configuration; without it the defaults hold, with WARDLINE_* variables over them.
    #[arg(long, global = true, env = "WARDLINE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON, one object a line, instead of tables.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take readings in, store them, watch them, notify; until SIGTERM.
    Run,
    /// Show the main job in one process: a broker, stores and simulated beds of its own; nothing else is needed.
    Demo(demo::Demo),
    /// Check the configuration and try each peer.
    Check,
    /// Make the buckets, indexes and constraints that `run` needs; may be repeated.
    Init,
    /// Look at rejected messages, or send them again.
    DeadLetter {
        #[command(subcommand)]
        command: dead_letter::Command,
    },
    /// Look at the journal.
    Journal {
        #[command(subcommand)]
        command: journal::Command,
    },
}

/// Runs one command; what went wrong is told on standard error.
pub fn main(cli: Cli) -> anyhow::Result<ExitCode> {
    let output = output::Output { json: cli.json };
    let Some(config) = config::load(cli.config.as_deref())? else { return Ok(ExitCode::from(EXIT_USAGE)) };
    match cli.command {
        Command::Run => run::run(config),
        Command::Demo(demo) => demo::demo(config, &output, demo),
        Command::Check => check::check(&config, &output),
        Command::Init => init::init(&config, &output),
        Command::DeadLetter { command } => dead_letter::dead_letter(&config, &output, command),
        Command::Journal { command } => journal::journal(&config, &output, command),
    }
}

/// Ends with the first SIGTERM or SIGINT.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
    })
}
