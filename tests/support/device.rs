//! A bedside device: publishes at QoS 1 over MQTT 5, keeps the books of what the broker acknowledged, and sends again what
//! it did not, over as many connections as it takes.
//!
//! It knows of a message only two things, as a real device does: that it wants it delivered, and whether the broker has it.
#![allow(dead_code, reason = "each test binary uses what it needs")]
#![allow(clippy::expect_used, reason = "a device that can't run is a failed test")]

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, Event, EventLoop, Incoming, MqttOptions};
use tokio::sync::mpsc;

use crate::instance::until;

/// Messages on the way at one time.
const WINDOW: usize = 100;

/// The time of reading number 0: an hour ago, so that no reading is live and none is refused. The same in one process.
pub(crate) fn epoch() -> i64 {
    static EPOCH: OnceLock<i64> = OnceLock::new();
    *EPOCH.get_or_init(|| wardline::clock::now_ms() - 3_600_000)
}

/// The value that reading `number` has, so that one that was altered on the way is seen.
pub(crate) fn heart_rate(number: u64) -> f64 {
    60.0 + (number % 400) as f64 / 10.0
}

/// A good payload whose time is its number.
pub(crate) fn payload(number: u64) -> Vec<u8> {
    let (time, value) = (epoch() + number as i64, heart_rate(number));
    format!(r#"{{"seq":{number},"time":{time},"vitals":{{"heart_rate":{value}}}}}"#).into_bytes()
}

#[derive(Debug, Clone)]
struct Message {
    topic: String,
    payload: Vec<u8>,
    retain: bool,
}

#[derive(Debug, Default)]
struct Books {
    given: u64,
    acknowledged: BTreeSet<u64>,
}

/// A running device. Messages are counted from 0.
pub(crate) struct Device {
    name: String,
    orders: Option<mpsc::UnboundedSender<Message>>,
    books: Arc<Mutex<Books>>,
    thread: Option<JoinHandle<()>>,
}

impl Device {
    /// Connects, again and again if need be.
    pub(crate) fn on(broker: SocketAddr, name: &str) -> Self {
        let mut options = MqttOptions::new(name, broker.ip().to_string(), broker.port());
        options.set_keep_alive(Duration::from_secs(30));
        options.set_clean_start(true);
        options.set_max_packet_size(Some(1 << 20));
        options.set_outgoing_inflight_upper_limit(WINDOW as u16);
        let (orders, to_send) = mpsc::unbounded_channel();
        let books = Arc::<Mutex<Books>>::default();
        let line = Line { books: Arc::clone(&books), ..Line::default() };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(line.run(options, to_send));
        });
        Self { name: name.to_owned(), orders: Some(orders), books, thread: Some(thread) }
    }

    /// Sends a message, in the background; gives its number.
    pub(crate) fn publish(&self, topic: &str, payload: impl Into<Vec<u8>>) -> u64 {
        self.send(Message { topic: topic.to_owned(), payload: payload.into(), retain: false })
    }

    /// As [`Self::publish`], and the broker keeps it for those who come later.
    pub(crate) fn publish_retained(&self, topic: &str, payload: impl Into<Vec<u8>>) -> u64 {
        self.send(Message { topic: topic.to_owned(), payload: payload.into(), retain: true })
    }

    /// Sends a reading to this device's own topic in the region "north".
    pub(crate) fn read(&self, number: u64) -> u64 {
        self.publish(&format!("vitals/v1/north/icu-1/{}", self.name), payload(number))
    }

    fn send(&self, message: Message) -> u64 {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let number = books.given;
        books.given += 1;
        self.orders.as_ref().expect("open until dropped").send(message).expect("the device runs");
        number
    }

    /// The messages that the broker has taken.
    pub(crate) fn acknowledged(&self) -> BTreeSet<u64> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner).acknowledged.clone()
    }

    /// Waits, bounded, until the broker has taken everything.
    pub(crate) fn delivered(&self) {
        until("the broker has acknowledged everything to the device", || {
            let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
            books.acknowledged.len() as u64 == books.given
        });
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// What the device's connection knows. Each connection begins a new session, so all that is not acknowledged is sent again.
#[derive(Default)]
struct Line {
    books: Arc<Mutex<Books>>,
    taken: u64,
    open: BTreeMap<u64, Message>,
    /// To be handed to the client.
    unsent: VecDeque<u64>,
    /// Handed to the client, in the order in which it will write them.
    handed: VecDeque<u64>,
    /// Written, by packet identifier.
    flying: HashMap<u16, u64>,
    connected: bool,
}

impl Line {
    async fn run(mut self, options: MqttOptions, mut orders: mpsc::UnboundedReceiver<Message>) {
        let (client, mut events) = AsyncClient::new(options, 2 * WINDOW);
        while self.step(&client, &mut events, &mut orders).await.is_some() {}
    }

    /// Up to the next event; `None` when the device is dropped.
    async fn step(
        &mut self,
        client: &AsyncClient,
        events: &mut EventLoop,
        orders: &mut mpsc::UnboundedReceiver<Message>,
    ) -> Option<()> {
        // Never dropped half-way: it may have taken a message that it has not written.
        let next = events.poll();
        tokio::pin!(next);
        let event = loop {
            self.hand_over(client);
            tokio::select! {
                event = &mut next => break event,
                order = orders.recv() => {
                    self.open.insert(self.taken, order?);
                    self.unsent.push_back(self.taken);
                    self.taken += 1;
                }
            }
        };
        match event {
            Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                self.connected = true;
                self.flying.clear();
                self.handed.clear();
                self.unsent = self.open.keys().copied().collect();
            }
            Ok(Event::Outgoing(Outgoing::Publish(packet))) => {
                if let Some(number) = self.handed.pop_front() {
                    self.flying.insert(packet, number);
                }
            }
            Ok(Event::Incoming(Incoming::PubAck(ack))) => {
                if let Some(number) = self.flying.remove(&ack.pkid) {
                    self.open.remove(&number);
                    self.books.lock().unwrap_or_else(PoisonError::into_inner).acknowledged.insert(number);
                }
            }
            Ok(_) => {}
            Err(_) => {
                self.connected = false;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Some(())
    }

    fn hand_over(&mut self, client: &AsyncClient) {
        while self.connected && self.handed.len() + self.flying.len() < WINDOW {
            let Some(number) = self.unsent.pop_front() else { return };
            let Some(message) = self.open.get(&number).cloned() else { continue };
            let given = client.try_publish(message.topic, QoS::AtLeastOnce, message.retain, message.payload);
            given.expect("the topic is one, and the client has room for a window");
            self.handed.push_back(number);
        }
    }
}
