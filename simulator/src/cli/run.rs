//! `simulator run` and `simulator replay`: a fleet with a progress bar, until its time is over or Ctrl-C.

use std::fs::File;
use std::io::{BufWriter, Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{WardOptions, secret};
use crate::broker::Broker;
use crate::episode::{Kind, Script};
use crate::fault::Faults;
use crate::fleet::{Fleet, FleetOptions};
use crate::ledger::Ledger;
use crate::replay::Recording;

/// Where to publish, and for how long.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// The broker; an MQTT 5 listener.
    #[arg(long, default_value = "mqtt://127.0.0.1:1883")]
    broker: Broker,
    /// User name at the broker.
    #[arg(long, requires = "password_file")]
    username: Option<String>,
    /// A file with the password.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A PEM file of the authorities to trust, for mqtts://.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Where to write what was sent and acknowledged, as JSON lines.
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    ward: WardOptions,
    /// How long, as 60s, 10m or 2h; without it until Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// Readings of each bed in a second.
    #[arg(long, default_value_t = 1.0)]
    rate: f64,
    /// Publish as fast as the broker acknowledges.
    #[arg(long)]
    flood: bool,
    /// Beds on one connection: 1 for a device each, more for gateways.
    #[arg(long, default_value_t = 1, value_name = "BEDS")]
    gateway: usize,
    /// What befalls the patients: "all", "none", or some of bradycardia, tachycardia, desaturation, sepsis, asystole,
    /// lead_off, probe_off with commas between them.
    #[arg(long, default_value = "all", value_parser = kinds)]
    episodes: Kinds,
    /// How long an episode lasts.
    #[arg(long, default_value = "30s", value_parser = duration)]
    episode_length: Duration,
    /// From one episode of a bed to the next.
    #[arg(long, default_value = "90s", value_parser = duration)]
    episode_every: Duration,
    /// What devices do wrong: malformed=0.01,duplicate=0.01,swapped=0.01,late=0.01,ahead=0.01 (shares of the messages),
    /// skew=2s (clocks), outage=60s,disconnect=60s (how often).
    #[arg(long, default_value = "")]
    faults: Faults,
    /// The same seed gives the same patients and faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    ward: WardOptions,
    /// The recording: a column time or "Time [s]", and a column for each vital.
    #[arg(long, value_name = "FILE")]
    csv: PathBuf,
}

/// Kinds of episodes.
#[derive(Debug, Clone)]
struct Kinds(Vec<Kind>);

fn kinds(text: &str) -> Result<Kinds, String> {
    let one = |name: &str| Kind::from_name(name.trim()).ok_or_else(|| format!("\"{name}\" is no episode"));
    match text {
        "all" => Ok(Kinds(Kind::ALL.to_vec())),
        "none" => Ok(Kinds(Vec::new())),
        some => some.split(',').map(one).collect::<Result<_, _>>().map(Kinds),
    }
}

/// Reads a time with its unit: 500ms, 60s, 10m, 2h.
///
/// # Errors
/// What is expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    let refused = || format!("\"{text}\" is no time: expected a number with ms, s, m or h, such as 60s");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
    let (number, unit) = text.split_at(digits);
    let number: u32 = number.parse().map_err(|_| refused())?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        _ => return Err(refused()),
    };
    Some(unit * number).filter(|time| !time.is_zero()).ok_or_else(refused)
}

pub(super) async fn run(command: Run) -> anyhow::Result<ExitCode> {
    let Run { target, ward, time, rate, flood, gateway, episodes, episode_length, episode_every, faults, seed } =
        command;
    ensure!(rate > 0.0 && rate <= 400.0, "--rate {rate}: a bed makes more than 0 and at most 400 readings a second");
    ensure!(
        episodes.0.is_empty() || episode_every >= episode_length + Duration::from_secs(20),
        "--episode-every must leave 20 s after --episode-length to recover"
    );
    let script = Script {
        kinds: episodes.0,
        first: 5.0,
        length: episode_length.as_secs_f64(),
        every: episode_every.as_secs_f64(),
    };
    let options = FleetOptions {
        broker: target.broker()?,
        ward: ward.ward()?,
        rate,
        flood,
        recording: None,
        beds_per_connection: gateway,
        script,
        faults,
        seed,
    };
    publish(options, time, &target).await
}

pub(super) async fn replay(command: Replay) -> anyhow::Result<ExitCode> {
    let Replay { target, ward, csv } = command;
    let text = std::fs::read_to_string(&csv).with_context(|| format!("can't read {}", csv.display()))?;
    let recording = Recording::from_csv(&text).with_context(|| csv.display().to_string())?;
    let mut ward = ward.ward()?;
    ward.beds.truncate(1);
    let time = Duration::from_secs_f64(recording.length() + 3.0);
    let options = FleetOptions {
        broker: target.broker()?,
        ward,
        rate: 1.0,
        flood: false,
        recording: Some(Arc::new(recording)),
        beds_per_connection: 1,
        script: Script::healthy(),
        faults: Faults::default(),
        seed: 1,
    };
    publish(options, Some(time), &target).await
}

impl Target {
    fn broker(&self) -> anyhow::Result<Broker> {
        let password = self.password_file.as_deref().map(secret).transpose()?;
        let login = self.username.clone().zip(password);
        Ok(Broker { ca_file: self.ca_file.clone(), login, ..self.broker.clone() })
    }
}

async fn publish(options: FleetOptions, time: Option<Duration>, target: &Target) -> anyhow::Result<ExitCode> {
    // Before anything is sent: a ledger that can't be written is no ledger.
    let file = target
        .ledger
        .as_ref()
        .map(|path| File::create(path).with_context(|| format!("can't write {}", path.display())));
    let file = file.transpose()?;
    let beds = options.ward.beds.len();
    let fleet = Fleet::start(options)?;
    let (begun, bar) = (Instant::now(), bar(time)?);
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut interrupted => break,
        }
        let elapsed = begun.elapsed();
        let now = fleet.snapshot();
        bar.set_position(elapsed.as_secs());
        let rate = now.acknowledged as f64 / elapsed.as_secs_f64().max(0.2);
        let waiting = now.made.saturating_sub(now.acknowledged);
        bar.set_message(format!(
            "{beds} beds, {} connected, {} acknowledged ({rate:.0}/s), {waiting} on the way",
            now.connected, now.acknowledged
        ));
        if time.is_some_and(|time| elapsed >= time) {
            break;
        }
    }
    let ledger = fleet.stop().await;
    bar.finish_and_clear();
    let elapsed = begun.elapsed().as_secs_f64();
    if let (Some(file), Some(path)) = (file, &target.ledger) {
        ledger.write(BufWriter::new(file)).with_context(|| format!("can't write {}", path.display()))?;
    }
    say(&ledger, elapsed)?;
    if let Some(path) = &target.ledger {
        writeln!(stdout(), "ledger        {}", path.display())?;
    }
    let everything = ledger.acknowledged() == ledger.readings.len();
    Ok(if everything { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn bar(time: Option<Duration>) -> anyhow::Result<ProgressBar> {
    Ok(match time {
        Some(time) => {
            let style = ProgressStyle::with_template("{bar:20} {pos}/{len}s  {msg}")?;
            ProgressBar::new(time.as_secs()).with_style(style)
        }
        None => ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {pos}s  {msg}")?),
    })
}

fn say(ledger: &Ledger, elapsed: f64) -> std::io::Result<()> {
    let mut out = stdout().lock();
    let acknowledged = ledger.acknowledged();
    let (made, beds) = (ledger.readings.len(), ledger.devices.len());
    writeln!(out, "published     {made} readings of {beds} beds in {elapsed:.1} s")?;
    writeln!(out, "acknowledged  {acknowledged}, {:.0}/s", acknowledged as f64 / elapsed)?;
    writeln!(out, "no readings   {} messages, {} acknowledged", ledger.refused.sent, ledger.refused.acknowledged)?;
    let must = ledger.episodes.iter().filter(|told| told.must.is_some()).count();
    writeln!(out, "episodes      {}, of which {must} must be told", ledger.episodes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_needs_its_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for text in ["60", "s", "0s", "1.5s", "1d"] {
            assert!(duration(text).is_err_and(|error| error.contains(text)), "{text}");
        }
    }
}
