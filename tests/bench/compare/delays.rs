//! What a reading's way takes at a light load: until a query sees it, and until its alert is in a doctor's hands.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, Event, Incoming, MqttOptions};
use wardline::clock::now_ms;

use crate::figures::{ms, quantile, table};
use crate::load::{Load, Publisher, critical, topic, well};
use crate::scrape::Scrape;
use crate::servers::Mosquitto;
use crate::ward::{Ward, Wardline, patient, probe};

/// Probes of each kind, so that the 99th percentile is the second-worst of them.
pub const PROBES: u64 = 100;

/// Messages a second meanwhile.
const LIGHT: u64 = 200;

/// How long a probe may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Measures and prints. The ward needs `PROBES` devices for probes.
pub fn report(ward: &Ward, wardline: &Wardline, broker: &Mosquitto, devices: u64) {
    let address = broker.process.address();
    let before = Scrape::of(wardline.http);
    let load = Load::start(address, LIGHT, devices, Duration::from_secs(45));
    let mut stored = until_stored(ward, address);
    let mut notified = until_notified(address);
    let after = Scrape::of(wardline.http);
    load.join();
    let own = |name: &str| {
        let at = |share| {
            after.quantile(&before, name, share).map_or_else(|| "-".to_owned(), |at| format!("{:.0}", at * 1e3))
        };
        [at(0.5), at(0.99)]
    };
    let row = |name: &str, [p50, p99]: [String; 2]| [name.to_owned(), p50, p99];
    let probed = |durations: &mut [Duration]| [0.5, 0.99].map(|share| ms(quantile(durations, share)));
    table(
        [&format!("delays in ms at {LIGHT} messages/s"), "p50", "p99"],
        &[
            row(&format!("published to seen by a query ({} probes)", stored.len()), probed(&mut stored)),
            row(
                "received to stored, oldest of each batch (wardline's metric, by bucket)",
                own("wardline_store_delay_seconds"),
            ),
            row(&format!("published to alert received ({} probes)", notified.len()), probed(&mut notified)),
            row("received to notified (wardline's metric, by bucket)", own("wardline_notify_delay_seconds")),
        ],
    );
}

/// One reading after the other, each looked for until a query finds it.
fn until_stored(ward: &Ward, broker: SocketAddr) -> Vec<Duration> {
    let mut publisher = Publisher::connect(broker);
    let device = probe(0);
    let one = |number| {
        let (time, began) = (now_ms(), Instant::now());
        publisher.add(&topic(&device), &well(time, number));
        publisher.flush().unwrap();
        let flux = format!(
            "import \"date\" from(bucket: \"{}\") |> range(start: time(v: {time}000000), stop: time(v: {}000000))
             |> filter(fn: (r) => r.device == \"{device}\" and r._field == \"heart_rate\")",
            Ward::bucket(),
            time + 1,
        );
        while !ward.influx.query(&flux).contains(&device) {
            assert!(began.elapsed() < LIMIT, "a probe is not stored");
            sleep(Duration::from_millis(1));
        }
        let took = began.elapsed();
        // Another moment of the batch's age for each.
        sleep(Duration::from_millis(fastrand::u64(20..120)));
        took
    };
    (0..PROBES).map(one).collect()
}

/// Two critical readings of one patient after the other, each waited for until the doctor's client has the alert.
fn until_notified(broker: SocketAddr) -> Vec<Duration> {
    let (said, alerts) = mpsc::channel();
    thread::spawn(move || listen(broker, &said));
    assert_eq!(alerts.recv_timeout(LIMIT).unwrap(), Heard::Subscribed);
    let mut publisher = Publisher::connect(broker);
    let one = |number| {
        let (device, time) = (probe(number), now_ms());
        publisher.add(&topic(&device), &critical(time, 1));
        publisher.add(&topic(&device), &critical(time + 1, 2));
        let began = Instant::now();
        publisher.flush().unwrap();
        let wanted = patient(&device);
        let heard = loop {
            match alerts.recv_timeout(LIMIT).unwrap() {
                Heard::Alert(patient, at) if patient == wanted => break at,
                Heard::Alert(..) | Heard::Subscribed => {}
            }
        };
        sleep(Duration::from_millis(fastrand::u64(20..120)));
        heard - began
    };
    (0..PROBES).map(one).collect()
}

/// What the doctor's client hears.
#[derive(Debug, PartialEq)]
enum Heard {
    Subscribed,
    /// The patient of an alert, and when it came.
    Alert(String, Instant),
}

/// Ends when nobody wants to hear any more.
fn listen(broker: SocketAddr, said: &mpsc::Sender<Heard>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = MqttOptions::new("doctor", "127.0.0.1", broker.port());
        let (client, mut events) = AsyncClient::new(options, 100);
        client.subscribe("alerts/v1/#", QoS::AtLeastOnce).await.unwrap();
        // An error ends it too: the broker has been stopped.
        while let Ok(event) = events.poll().await {
            let heard = match event {
                Event::Incoming(Incoming::SubAck(_)) => Heard::Subscribed,
                Event::Incoming(Incoming::Publish(publish)) => {
                    let at = Instant::now();
                    let alert: serde_json::Value = serde_json::from_slice(&publish.payload).unwrap();
                    let patient = alert.get("patient").and_then(|patient| patient.as_str()).unwrap();
                    Heard::Alert(patient.to_owned(), at)
                }
                _ => continue,
            };
            if said.send(heard).is_err() {
                return;
            }
        }
    });
}
