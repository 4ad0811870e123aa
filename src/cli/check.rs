//! `wardline check`: the configuration was read and is in order; now each peer is tried, one line each.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use rumqttc::v5::{AsyncClient, Event, Incoming};
use serde_json::json;

use super::EXIT_WRONG;
use super::output::Output;
use crate::config::Config;
use crate::intake::connect;
use crate::peers::influx::InfluxDb;
use crate::peers::mongo::Mongo;
use crate::peers::neo4j::Neo4j;

/// How long the broker may take to answer.
const BROKER: Duration = Duration::from_secs(6);

/// How long our own health may take to answer.
const LIVE: Duration = Duration::from_secs(1);

pub(super) fn check(config: &Config, output: &Output) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let found = runtime.block_on(async {
        let (journal, http) = (journal(config), http(config));
        let (broker, influx, mongo, graph) = tokio::join!(broker(config), influx(config), mongo(config), graph(config));
        [
            ("journal", journal),
            ("http", http),
            ("mqtt", broker),
            ("influxdb", influx),
            ("mongodb", mongo),
            ("neo4j", graph),
        ]
    });
    runtime.shutdown_background();
    let rows: Vec<_> = found
        .iter()
        .map(|(peer, outcome)| match outcome {
            Ok(what) => vec![json!(peer), json!("ok"), json!(what)],
            Err(problem) => vec![json!(peer), json!("wrong"), json!(format!("{problem:#}"))],
        })
        .collect();
    output.table(&["peer", "state", "detail"], &rows)?;
    Ok(if found.iter().all(|(_, outcome)| outcome.is_ok()) { ExitCode::SUCCESS } else { ExitCode::from(EXIT_WRONG) })
}

fn journal(config: &Config) -> anyhow::Result<String> {
    let dir = &config.journal.dir;
    std::fs::create_dir_all(dir).with_context(|| format!("can't make {}", dir.display()))?;
    tempfile_in(dir).with_context(|| format!("can't write in {}", dir.display()))?;
    Ok(format!("{} can be written", dir.display()))
}

/// Writes and removes a small file.
fn tempfile_in(dir: &std::path::Path) -> std::io::Result<()> {
    let path = dir.join(format!("check-{}", std::process::id()));
    std::fs::write(&path, b"wardline check")?;
    std::fs::remove_file(&path)
}

fn http(config: &Config) -> anyhow::Result<String> {
    let listen = config.http.listen;
    match std::net::TcpListener::bind(listen) {
        Ok(_) => Ok(format!("{listen} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_live(listen).unwrap_or(false) => {
            Ok(format!("{listen} is live: wardline runs already"))
        }
        Err(error) => Err(error).with_context(|| format!("can't listen on {listen}")),
    }
}

/// Whether something at this address answers as wardline does.
fn is_live(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, LIVE)?;
    stream.set_read_timeout(Some(LIVE))?;
    stream.write_all(b"GET /live HTTP/1.0\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(answer.ends_with(b" 200"))
}

async fn broker(config: &Config) -> anyhow::Result<String> {
    let id = format!("{}-check", config.mqtt.client_id);
    let mut options = connect::options(&config.mqtt, &id)?;
    options.set_clean_start(true);
    let (client, mut events) = AsyncClient::new(options, 2);
    let connected = async {
        loop {
            if let Event::Incoming(Incoming::ConnAck(_)) = events.poll().await? {
                return Ok::<_, rumqttc::v5::ConnectionError>(());
            }
        }
    };
    let broker = &config.mqtt.broker;
    tokio::time::timeout(BROKER, connected)
        .await
        .with_context(|| format!("no answer from {}:{} within {BROKER:?}", broker.host, broker.port))?
        .with_context(|| format!("{}:{}", broker.host, broker.port))?;
    // Good manners; that it was let in is all that was asked.
    client.try_disconnect().ok();
    Ok(format!("{}:{} lets us in{}", broker.host, broker.port, if broker.tls { " over TLS" } else { "" }))
}

async fn influx(config: &Config) -> anyhow::Result<String> {
    let influx = InfluxDb::new(&config.influxdb)?;
    influx.health().await?;
    let buckets = influx.buckets().await?;
    let wanted: Vec<_> = config.mqtt.regions.iter().map(|region| influx.bucket(region)).collect();
    let missing: Vec<_> = wanted.iter().filter(|bucket| !buckets.contains(bucket)).cloned().collect();
    anyhow::ensure!(missing.is_empty(), "no bucket {}: run `wardline init`", missing.join(", "));
    let url = &config.influxdb.url;
    Ok(match wanted.as_slice() {
        [] => format!("{url} is well; mqtt.regions is empty, so no bucket was looked for"),
        buckets => format!("{url} is well and has {}", buckets.join(", ")),
    })
}

async fn mongo(config: &Config) -> anyhow::Result<String> {
    let mongo = Mongo::new(config.mongodb.clone());
    mongo.ping().await?;
    mongo.check_indexes().await?;
    Ok(format!("database {} has its indexes", config.mongodb.database))
}

async fn graph(config: &Config) -> anyhow::Result<String> {
    Neo4j::new(config.neo4j.clone()).check_constraints().await?;
    Ok(format!("{} has its constraints", config.neo4j.url))
}
