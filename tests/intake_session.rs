//! One session by itself, on a real broker: this file stands where the stages behind it would.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/device.rs"]
mod device;
#[path = "support/wardline.rs"]
mod instance;
#[path = "support/journals.rs"]
mod journals;
#[path = "support/packets.rs"]
mod packets;
#[path = "support/relay.rs"]
mod relay;
#[path = "support/servers.rs"]
mod servers;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use device::Device;
use instance::until;
use relay::{Relay, acknowledgements};
use servers::{Mosquitto, MosquittoOptions};
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wardline::config::Config;
use wardline::intake::link::Links;
use wardline::intake::prepare::Messages;
use wardline::intake::session::Session;
use wardline::intake::{connect, filters};
use wardline::journal::{Chunk, Entry};
use wardline::metrics;

const CLIENT: &str = "wardline-1";
const READINGS: usize = 3;

#[test]
fn what_does_not_reach_the_disk_is_asked_for_again_on_another_connection_and_acknowledged_there() {
    if !servers::wanted("what_does_not_reach_the_disk_is_asked_for_again_on_another_connection_and_acknowledged_there")
    {
        return;
    }
    let broker = Mosquitto::start(&MosquittoOptions::default());
    let relay = Relay::to(broker.process.address());
    let text = format!("[mqtt]\nurl = \"{}\"\nregions = [\"north\"]\nstall_timeout = \"5s\"\n", relay.url);
    let config = Config::from_text(&text, std::iter::empty()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let rig = journals::open(&journals::journal_config(folder.path()));
    let (out, mut received) = mpsc::channel(8);
    let session = Session {
        out: Some(out),
        committed: Arc::clone(&rig.committed),
        link: Links::new(rig.status.part("mqtt")).add(),
        metrics: metrics::intake::Intake::register(),
        filters: filters::filters(&config.mqtt),
        client_id: CLIENT.to_owned(),
        stale_filters: Vec::new(),
        read_interval: config.intake.read_interval,
        max_in_flight: config.intake.max_in_flight,
        stall_timeout: config.mqtt.stall_timeout,
        backoff: config.mqtt.backoff,
        journal: rig.opened.journal.clone(),
    };
    let options = connect::session_options(&config.mqtt, CLIENT).unwrap();
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let running = {
        let (soft, hard) = (soft.clone(), hard.clone());
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        thread::spawn(move || runtime.block_on(session.run(options, soft, hard)))
    };
    until("subscribed", || rig.status.is_ready());
    let device = Device::on(broker.process.address(), "mon-1");
    for number in 0..READINGS as u64 {
        device.read(number);
    }
    // They are held here, as a disk that hangs would hold them, until the broker has delivered them a second time.
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (first, second) = (next(&mut received, READINGS).await, next(&mut received, READINGS).await);
        assert_eq!(first.payloads, second.payloads);
        for held in [first, second] {
            let entries = (0..held.count).map(|_| Entry::Duplicate).collect();
            rig.appends.send(Chunk { entries, receipt: rig.committed.receipt(held.count) }).await.unwrap();
        }
    });
    let acknowledged = |connection: usize| {
        relay.connections_of(CLIENT).get(connection).map_or(0, |records| acknowledgements(records).len())
    };
    until("all are acknowledged", || acknowledged(1) == READINGS);
    assert_eq!(acknowledged(0), 0, "what came on the first connection can't be acknowledged any more");
    assert_eq!(relay.connections_of(CLIENT).len(), 2);

    soft.cancel();
    running.join().unwrap().unwrap();
    rig.close();
}

struct Held {
    count: u64,
    payloads: BTreeSet<Vec<u8>>,
}

/// The next so many messages.
async fn next(received: &mut mpsc::Receiver<Messages>, messages: usize) -> Held {
    let mut held = Held { count: 0, payloads: BTreeSet::new() };
    while held.count < messages as u64 {
        let more = tokio::time::timeout(Duration::from_secs(60), received.recv()).await;
        let more = more.expect("the broker delivers within a minute").expect("the session runs");
        held.count += more.count;
        held.payloads.extend(more.messages.iter().map(|message| message.payload.to_vec()));
    }
    held
}
