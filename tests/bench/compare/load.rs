//! Devices that publish at a fixed rate over raw sockets, so that the load costs little beside what is measured.
//!
//! MQTT 3.1.1, QoS 1. Every message is a reading of exactly [`PAYLOAD`] bytes with a time of its own: a device never has two
//! in one millisecond, or the store would keep one point of two.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use wardline::clock::now_ms;

/// Bytes of one payload.
pub const PAYLOAD: usize = 120;

/// Connections that share the load.
const CONNECTIONS: u64 = 4;

/// How often a connection writes what is due.
const TICK: Duration = Duration::from_millis(2);

/// How long the broker may take to acknowledge what it was sent.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(30);

/// The topic of a device.
pub fn topic(device: &str) -> String {
    format!("vitals/v1/{REGION}/{WARD}/{device}")
}

/// The region and the ward of all devices.
pub const REGION: &str = "north";
pub const WARD: &str = "icu-1";

/// The name of a device that makes load.
pub fn device(number: u64) -> String {
    format!("mon-{number:04}")
}

/// A reading whose payload has [`PAYLOAD`] bytes; its values are well inside the limits and differ from one to the next.
pub fn well(time: i64, number: u64) -> String {
    payload(time, number, 60 + number % 40)
}

/// The same with a heart rate beyond the critical limit.
pub fn critical(time: i64, number: u64) -> String {
    payload(time, number, 150)
}

fn payload(time: i64, number: u64, heart_rate: u64) -> String {
    let seq = 1_000_000 + number % 1_000_000;
    let (tenths, breaths) = (number % 10, 12 + number % 8);
    let reading = format!(
        r#"{{"seq":{seq},"time":{time},"vitals":{{"heart_rate":{heart_rate}.25,"spo2":97.{tenths},"resp_rate":{breaths}}},"quality":"good"}}"#
    );
    // White space is part of JSON, and of what devices send.
    format!("{reading:<PAYLOAD$}")
}

/// One connection to the broker.
pub struct Publisher {
    stream: TcpStream,
    packet: u16,
    sent: u64,
    acknowledged: Arc<AtomicU64>,
    buffer: Vec<u8>,
}

impl Publisher {
    /// Connects with a clean session.
    pub fn connect(broker: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(broker).unwrap();
        stream.set_nodelay(true).unwrap();
        // CONNECT without a name, a keep-alive of 600 s; CONNACK.
        stream.write_all(b"\x10\x0c\x00\x04MQTT\x04\x02\x02\x58\x00\x00").unwrap();
        let mut connack = [0; 4];
        stream.read_exact(&mut connack).unwrap();
        assert_eq!(connack, [0x20, 2, 0, 0], "the broker refuses a publisher");
        let acknowledged = Arc::new(AtomicU64::new(0));
        let (mut acks, count) = (stream.try_clone().unwrap(), Arc::clone(&acknowledged));
        thread::spawn(move || {
            let (mut buffer, mut bytes) = ([0; 1 << 14], 0);
            // Ends with the connection. Each PUBACK has four bytes.
            while let Ok(read @ 1..) = acks.read(&mut buffer) {
                bytes += read as u64;
                count.store(bytes / 4, Ordering::Release);
            }
        });
        Self { stream, packet: 0, sent: 0, acknowledged, buffer: Vec::new() }
    }

    /// Adds a message to those that [`Self::flush`] writes.
    pub fn add(&mut self, topic: &str, payload: &str) {
        self.packet = self.packet.checked_add(1).unwrap_or(1);
        self.sent += 1;
        let length = 2 + topic.len() + 2 + payload.len();
        assert!((128..16_384).contains(&length), "a remaining length of two bytes");
        self.buffer.extend_from_slice(&[0x32, (length % 128) as u8 | 0x80, (length / 128) as u8]);
        self.buffer.extend_from_slice(&(topic.len() as u16).to_be_bytes());
        self.buffer.extend_from_slice(topic.as_bytes());
        self.buffer.extend_from_slice(&self.packet.to_be_bytes());
        self.buffer.extend_from_slice(payload.as_bytes());
    }

    /// Sends what was added.
    pub fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Waits until the broker has acknowledged everything; bounded.
    pub fn settle(&self) {
        let until = Instant::now() + ACKNOWLEDGED_WITHIN;
        while self.acknowledged.load(Ordering::Acquire) < self.sent {
            assert!(Instant::now() < until, "the broker does not acknowledge");
            sleep(TICK);
        }
    }
}

/// A load on its way.
pub struct Load {
    threads: Vec<JoinHandle<u64>>,
    began: Instant,
}

impl Load {
    /// Starts `rate` messages a second for so long, by so many devices in turn.
    pub fn start(broker: SocketAddr, rate: u64, devices: u64, lasting: Duration) -> Self {
        assert!(rate <= devices * 1_000, "a device can send one reading a millisecond: take more devices");
        assert_eq!(devices % CONNECTIONS, 0, "each connection carries the same devices all the time");
        let (began, first_time) = (Instant::now(), now_ms());
        let total = (rate as f64 * lasting.as_secs_f64()) as u64;
        let connection = move |connection: u64| {
            let mut publisher = Publisher::connect(broker);
            let topics: Vec<_> = (0..devices).map(|number| topic(&device(number))).collect();
            let mut next = connection;
            while next < total {
                let due = (began.elapsed().as_secs_f64() * rate as f64) as u64;
                while next < total.min(due) {
                    let time = first_time + (next * 1_000 / rate) as i64;
                    let topic = topics.get((next % devices) as usize).unwrap();
                    publisher.add(topic, &well(time, next));
                    next += CONNECTIONS;
                }
                publisher.flush().unwrap();
                sleep(TICK);
            }
            publisher.settle();
            publisher.sent
        };
        let threads = (0..CONNECTIONS).map(|number| thread::spawn(move || connection(number))).collect();
        Self { threads, began }
    }

    /// Waits for its end: how many messages the broker has acknowledged, and how long that took.
    pub fn join(self) -> (u64, Duration) {
        let sent = self.threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        (sent, self.began.elapsed())
    }
}
