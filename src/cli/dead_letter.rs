//! `wardline dead-letter`: look at rejected messages, and send them again once their cause is mended.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PubAckReason;
use rumqttc::v5::{AsyncClient, Event, EventLoop, Incoming};
use serde_json::{Value, json};

use super::output::Output;
use super::{EXIT_USAGE, EXIT_WRONG};
use crate::config::Config;
use crate::dead_letter::{self, Kept};
use crate::intake::connect;
use crate::journal::inspect::Inspection;

/// How long a replay waits for the broker's answer to one message.
const ANSWER: Duration = Duration::from_secs(10);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The newest ones, newest first.
    List {
        /// Only those of one reason.
        #[arg(long)]
        reason: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Only those with a smaller number, to page on.
        #[arg(long, default_value_t = i64::MAX, hide_default_value = true)]
        before: i64,
    },
    /// One, with its original bytes.
    Show {
        /// Its number.
        id: i64,
        /// Write the original bytes, and nothing else, to standard output.
        #[arg(long)]
        raw: bool,
    },
    /// Publish original bytes to their original topic again. They stay in the list; what is refused again is a new entry.
    Replay {
        /// Their numbers.
        ids: Vec<i64>,
        /// All of one reason.
        #[arg(long, conflicts_with = "ids")]
        reason: Option<String>,
    },
}

pub(super) fn dead_letter(config: &Config, output: &Output, command: Command) -> anyhow::Result<ExitCode> {
    let dir = &config.journal.dir;
    let journal = Inspection::open(dir).with_context(|| format!("can't open the journal in {}", dir.display()))?;
    let connection = journal.connection();
    match command {
        Command::List { reason, limit, before } => {
            let found = dead_letter::list(connection, reason.as_deref(), before, limit)?;
            let rows: Vec<_> = found.iter().map(row).collect();
            output.table(&["id", "at", "reason", "topic", "bytes", "detail"], &rows)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Show { id, raw } => {
            let Some(kept) = dead_letter::show(connection, id)? else { return Ok(missing(id)) };
            if raw {
                std::io::Write::write_all(&mut std::io::stdout(), &kept.payload)?;
            } else {
                output.object(&[
                    ("id", json!(kept.id)),
                    ("at", json!(instant(kept.at))),
                    ("reason", json!(kept.reason)),
                    ("detail", json!(kept.detail)),
                    ("topic", json!(String::from_utf8_lossy(&kept.topic))),
                    ("payload", json!(String::from_utf8_lossy(&kept.payload))),
                ])?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Replay { ids, reason } => {
            let mut found = Vec::new();
            for id in ids {
                let Some(kept) = dead_letter::show(connection, id)? else { return Ok(missing(id)) };
                found.push(kept);
            }
            if let Some(reason) = reason {
                found = dead_letter::list(connection, Some(&reason), i64::MAX, u32::MAX)?;
                found.reverse();
            }
            if found.is_empty() {
                eprintln!("nothing to replay: name numbers, or a reason with --reason");
                return Ok(ExitCode::from(EXIT_USAGE));
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(replay(config, output, &found))
        }
    }
}

fn missing(id: i64) -> ExitCode {
    eprintln!("there is no dead letter {id}: it may have left because of the bounds; see `wardline dead-letter list`");
    ExitCode::from(EXIT_WRONG)
}

fn row(kept: &Kept) -> Vec<Value> {
    vec![
        json!(kept.id),
        json!(instant(kept.at)),
        json!(kept.reason),
        json!(String::from_utf8_lossy(&kept.topic)),
        json!(kept.payload.len()),
        json!(kept.detail),
    ]
}

fn instant(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}

async fn replay(config: &Config, output: &Output, letters: &[Kept]) -> anyhow::Result<ExitCode> {
    let client_id = format!("{}-replay", config.mqtt.client_id);
    let mut options = connect::options(&config.mqtt, &client_id)?;
    options.set_clean_start(true);
    options.set_max_packet_size(Some(config.mqtt.max_packet_size));
    options.set_outgoing_inflight_upper_limit(1);
    let (client, mut events) = AsyncClient::new(options, 4);
    let (bar, mut accepted) = (output.progress(letters.len() as u64)?, 0);
    for letter in letters {
        let outcome = match std::str::from_utf8(&letter.topic) {
            Ok(topic) => publish(&client, &mut events, topic, &letter.payload).await?,
            Err(_) => Err("its topic is not UTF-8 and can't be published".to_owned()),
        };
        accepted += usize::from(outcome.is_ok());
        bar.suspend(|| {
            output.object(&[
                ("id", json!(letter.id)),
                ("replayed", json!(outcome.is_ok())),
                ("problem", json!(outcome.err())),
            ])
        })?;
        bar.inc(1);
    }
    Ok(if accepted == letters.len() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_WRONG) })
}

/// Publishes one message and waits for its answer; the inner error is the broker's refusal.
async fn publish(
    client: &AsyncClient,
    events: &mut EventLoop,
    topic: &str,
    payload: &[u8],
) -> anyhow::Result<Result<(), String>> {
    if client.try_publish(topic, QoS::AtLeastOnce, false, payload.to_vec()).is_err() {
        return Ok(Err("its topic is no topic".to_owned()));
    }
    let answered = async {
        loop {
            if let Event::Incoming(Incoming::PubAck(answer)) = events.poll().await? {
                return Ok::<_, rumqttc::v5::ConnectionError>(match answer.reason {
                    PubAckReason::Success => Ok(()),
                    PubAckReason::NoMatchingSubscribers => Err("nobody is subscribed: is wardline running?".to_owned()),
                    other => Err(format!("the broker refuses it: {other:?}")),
                });
            }
        }
    };
    Ok(tokio::time::timeout(ANSWER, answered).await.context("no answer from the broker")??)
}
