//! What the demo shows: where things are, a line a second, and the reconciliation.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use simulator::verify::Report;

use super::listener::Heard;
use crate::account::{Account, Balance};
use crate::cli::output::Output;
use crate::cli::stop_signal;
use crate::metrics;
use crate::peers::embedded::Embedded;
use crate::peers::embedded::broker::EmbeddedBroker;

/// Says where the broker, the metrics and the data are.
pub(super) fn opening(output: &Output, broker: &EmbeddedBroker, http: SocketAddr, data: &Path) -> io::Result<()> {
    if output.json {
        return output.object(&[
            ("broker", json!(format!("mqtt://{}", broker.v4))),
            ("broker_mqtt5", json!(format!("mqtt://{}", broker.v5))),
            ("metrics", json!(format!("http://{http}/metrics"))),
            ("data", json!(data.display().to_string())),
        ]);
    }
    output.text(format_args!("broker   mqtt://{}  (MQTT 5: mqtt://{})", broker.v4, broker.v5))?;
    output.text(format_args!("metrics  http://{http}/metrics, /ready, /live"))?;
    output.text(format_args!("data     {}", data.display()))?;
    output.text("This is a demonstration with made-up patients, and no medical device.\n")
}

/// What the live line is made from.
pub(super) struct Screen<'a> {
    output: &'a Output,
    account: &'a Account,
    metrics: &'a PrometheusHandle,
    store: &'a Embedded,
    heard: &'a Heard,
    begun: Instant,
}

impl<'a> Screen<'a> {
    /// The clock begins now.
    pub(super) fn new(
        output: &'a Output,
        account: &'a Account,
        metrics: &'a PrometheusHandle,
        store: &'a Embedded,
        heard: &'a Heard,
    ) -> Self {
        Self { output, account, metrics, store, heard, begun: Instant::now() }
    }

    /// A line a second until the time is over, Ctrl-C, or the pipeline ends by itself.
    pub(super) async fn watch<T>(
        &self,
        time: Option<Duration>,
        pipeline: &tokio::task::JoinHandle<T>,
    ) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.tick().await;
        let stop = stop_signal()?;
        tokio::pin!(stop);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.line()?,
                () = &mut stop => return Ok(()),
            }
            let elapsed = self.begun.elapsed() + Duration::from_millis(500);
            if pipeline.is_finished() || time.is_some_and(|time| elapsed >= time) {
                return Ok(());
            }
        }
    }

    /// How it stands, and who was told since the last line.
    pub(super) fn line(&self) -> anyhow::Result<()> {
        let (balance, seconds) = (self.account.balance(), self.begun.elapsed().as_secs());
        let (lag, alerts) = (metrics::store::lag(&self.metrics.render()), self.store.count_alerts()?);
        let news = self.heard.news();
        let Balance { received, stored, dead_lettered, .. } = balance;
        if self.output.json {
            self.output.object(&[
                ("seconds", json!(seconds)),
                ("received", json!(received)),
                ("stored", json!(stored)),
                ("lag_seconds", json!(lag)),
                ("dead_lettered", json!(dead_lettered)),
                ("alerts", json!(alerts)),
                ("told", json!(news)),
            ])?;
            return Ok(());
        }
        let (minutes, seconds) = (seconds / 60, seconds % 60);
        self.output.text(format_args!(
            "{minutes:02}:{seconds:02}  received {received}  stored {stored}  lag {lag:.1} s  \
             dead-lettered {dead_lettered}  alerts {alerts}"
        ))?;
        for news in news {
            self.output.text(format_args!("       told {news}"))?;
        }
        Ok(())
    }

    /// What became of everything.
    pub(super) fn closing(&self, report: &Report, balance: Balance, data: &Path) -> io::Result<()> {
        if self.output.json {
            return self.output.object(&[
                ("reconciliation", json!(report)),
                ("dead_lettered", json!(balance.dead_lettered)),
                ("notifications", json!(self.heard.count())),
                ("data", json!(data.display().to_string())),
            ]);
        }
        self.output.text(format_args!("\n{report}"))?;
        self.output.text(format_args!("dead      {} messages", balance.dead_lettered))?;
        self.output.text(format_args!("told      {} notifications", self.heard.count()))?;
        let data = data.display();
        self.output.text(format_args!("data      {data} is kept: look with sqlite3, remove it when you are done"))
    }
}
