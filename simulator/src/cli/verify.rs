//! `simulator verify`: the ledger against the real stores.

use std::fs::File;
use std::io::{BufReader, Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use mongodb::Client;

use super::secret;
use crate::ledger::Ledger;
use crate::verify::influx::Influx;
use crate::verify::{Reconciliation, Report, alerts, judge_alerts};

/// Found wrong.
const EXIT_WRONG: u8 = 2;

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The ledger that `run` wrote.
    #[arg(long, value_name = "FILE")]
    ledger: PathBuf,
    #[arg(long, default_value = "http://127.0.0.1:8086")]
    influx_url: String,
    #[arg(long, default_value = "wardline")]
    org: String,
    /// A file with a token that may read the bucket.
    #[arg(long, value_name = "FILE", env = "WARDLINE_INFLUXDB_TOKEN_FILE")]
    token_file: PathBuf,
    /// The bucket. Default: vitals- and the ledger's region.
    #[arg(long)]
    bucket: Option<String>,
    /// Where the alerts are, as mongodb://host:27017; without it they are not looked at.
    #[arg(long)]
    mongodb_url: Option<String>,
    #[arg(long, default_value = "wardline")]
    database: String,
    /// How long what is missing may still arrive.
    #[arg(long, default_value = "30s", value_parser = super::run::duration)]
    wait: Duration,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn verify(command: Verify) -> anyhow::Result<ExitCode> {
    let file = File::open(&command.ledger).with_context(|| format!("can't read {}", command.ledger.display()))?;
    let ledger = Ledger::read(BufReader::new(file)).with_context(|| command.ledger.display().to_string())?;
    let influx = Influx {
        url: command.influx_url.trim_end_matches('/').to_owned(),
        org: command.org.clone(),
        token: secret(&command.token_file)?,
        bucket: command.bucket.clone().unwrap_or_else(|| format!("vitals-{}", ledger.region)),
    };
    let client = match &command.mongodb_url {
        Some(url) => Some(Client::with_uri_str(url).await?),
        None => None,
    };
    let begun = Instant::now();
    let report = loop {
        let report = look(&ledger, &influx, client.as_ref(), &command.database).await?;
        // What is missing may be on its way; what is there and wrong stays wrong.
        let missing = report.lost > 0 || report.alerts.is_some_and(|alerts| alerts.missing > 0);
        if !missing || begun.elapsed() >= command.wait {
            break report;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    if command.json {
        writeln!(stdout(), "{}", serde_json::to_string(&report)?)?;
    } else {
        writeln!(stdout(), "{report}")?;
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_WRONG) })
}

async fn look(ledger: &Ledger, influx: &Influx, client: Option<&Client>, database: &str) -> anyhow::Result<Report> {
    let mut reconciliation = Reconciliation::new(ledger);
    influx.read(ledger, &mut reconciliation).await?;
    let mut report = reconciliation.finish();
    if let Some(client) = client {
        judge_alerts(ledger, &alerts::read(client, database, ledger).await?, &mut report);
    }
    Ok(report)
}
