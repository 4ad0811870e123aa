//! The bare subscriber: rumqttc as it comes, MQTT 5, QoS 1, which acknowledges at once, counts, and does nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, Event, Incoming, MqttOptions};

/// How often it says its count.
const SAYS: Duration = Duration::from_millis(100);

/// Runs until it is stopped; prints `subscribed`, then its count again and again, one a line.
pub fn run(port: u16) {
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        let mut said = 0;
        loop {
            std::thread::sleep(SAYS);
            let now = counted.load(Ordering::Relaxed);
            if now != said {
                println!("{now}");
                said = now;
            }
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut options = MqttOptions::new("subscriber", "127.0.0.1", port);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        // As wardline's, so that the broker hands on as much at once.
        options.set_receive_maximum(Some(20_000));
        let (client, mut events) = AsyncClient::new(options, 100);
        client.subscribe("vitals/v1/#", QoS::AtLeastOnce).await.unwrap();
        loop {
            match events.poll().await.unwrap() {
                Event::Incoming(Incoming::Publish(_)) => {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                Event::Incoming(Incoming::SubAck(_)) => println!("subscribed"),
                _ => {}
            }
        }
    });
}
