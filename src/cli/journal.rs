//! `wardline journal`: what is in it, and whether it can be read. Works while the service runs, and when it does not.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;

use super::EXIT_WRONG;
use super::output::Output;
use crate::config::Config;
use crate::journal::inspect;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// How much is in it, how far the consumers are, what is in quarantine.
    Status,
    /// Read every group and compare its checksum; exit code 2 when one is damaged.
    Verify,
}

pub(super) fn journal(config: &Config, output: &Output, command: Command) -> anyhow::Result<ExitCode> {
    let dir = &config.journal.dir;
    let journal =
        inspect::Inspection::open(dir).with_context(|| format!("can't open the journal in {}", dir.display()))?;
    match command {
        Command::Status => {
            let status = journal.status()?;
            output.object(&[
                ("folder", json!(dir.display().to_string())),
                ("bytes", json!(status.bytes)),
                ("max_bytes", json!(config.journal.max_size)),
                ("groups", json!(status.groups)),
                ("next_seq", json!(status.next_seq)),
                ("before_store", json!(status.before_store)),
                ("before_watch", json!(status.before_watch)),
                ("dead_letters", json!(status.dead_letters)),
                ("quarantine_files", json!(status.quarantine_files)),
            ])?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Verify => {
            let bar = output.progress(journal.status()?.groups)?;
            let found = journal.verify(|| bar.inc(1))?;
            bar.finish_using_style();
            let rows: Vec<_> = found
                .damaged
                .iter()
                .map(|group| vec![json!(group.first_seq), json!(group.count), json!(group.damage)])
                .collect();
            if !rows.is_empty() {
                output.table(&["first_seq", "readings", "damage"], &rows)?;
            }
            output.object(&[
                ("groups", json!(found.groups)),
                ("readings", json!(found.readings)),
                ("damaged_groups", json!(found.damaged.len())),
            ])?;
            Ok(if found.damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_WRONG) })
        }
    }
}
