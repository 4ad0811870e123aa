//! A relay between wardline and its broker that takes down every packet, and can cut, withhold or forge at any one of them.
//!
//! A packet from the broker is noted before wardline can have it, and one from wardline when it is read: so an
//! acknowledgement stands after the delivery that it answers, or it is false.
#![allow(dead_code, reason = "each test binary uses what it needs")]
#![allow(clippy::expect_used, reason = "a relay that can't run is a failed test")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::packets::{self, Packet};

/// Who sent a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Wardline,
    Broker,
}

/// One packet: on which connection, from whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) connection: usize,
    pub(crate) from: From,
    pub(crate) packet: Packet,
}

/// The identifiers that wardline has acknowledged, in their order.
pub(crate) fn acknowledgements(records: &[Record]) -> Vec<u16> {
    let ids = records.iter().filter_map(|record| match record.packet {
        Packet::PubAck { id, code } if record.from == From::Wardline => {
            assert_eq!(code, 0, "every message is taken, a bad one as a dead letter");
            Some(id)
        }
        _ => None,
    });
    ids.collect()
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass,
    /// It arrives, and then the connection is gone.
    CutAfter,
    /// It does not arrive, and the connection is gone.
    Cut,
    /// These bytes arrive in its place.
    Forge(Vec<u8>),
}

/// Decides on each packet, whose bytes it is given too.
type Judge = Box<dyn FnMut(&Record, &[u8]) -> Fate + Send>;

struct Shared {
    broker: SocketAddr,
    records: Mutex<Vec<Record>>,
    judge: Mutex<Judge>,
    streams: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
    closed: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running relay.
pub(crate) struct Relay {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
    /// For `mqtt.url`.
    pub(crate) url: String,
}

impl Relay {
    pub(crate) fn to(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            broker,
            records: Mutex::default(),
            judge: Mutex::new(Box::new(|_, _| Fate::Pass)),
            streams: Mutex::default(),
            connections: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        });
        let accepting = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if shared.closed.load(Ordering::Acquire) {
                        return;
                    }
                    join(&shared, stream);
                }
            })
        };
        Self { shared, address, accepting: Some(accepting), url: format!("mqtt://{address}") }
    }

    /// From now on this decides on each packet.
    pub(crate) fn judge(&self, judge: impl FnMut(&Record, &[u8]) -> Fate + Send + 'static) {
        *lock(&self.shared.judge) = Box::new(judge);
    }

    /// From now on everything passes.
    pub(crate) fn pass(&self) {
        self.judge(|_, _| Fate::Pass);
    }

    /// Ends every connection there is.
    pub(crate) fn cut(&self) {
        for stream in lock(&self.shared.streams).drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Everything so far.
    pub(crate) fn records(&self) -> Vec<Record> {
        lock(&self.shared.records).clone()
    }

    /// The connections of one client, in their order, each with its packets in theirs.
    pub(crate) fn connections_of(&self, client: &str) -> Vec<Vec<Record>> {
        let records = self.records();
        let opens = records
            .iter()
            .filter(|record| matches!(&record.packet, Packet::Connect { client_id, .. } if client_id == client));
        let of = |connection| records.iter().filter(|record| record.connection == connection).cloned().collect();
        opens.map(|open| of(open.connection)).collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        // Wakes the listener up.
        TcpStream::connect(self.address).ok();
        if let Some(accepting) = self.accepting.take() {
            accepting.join().ok();
        }
        self.cut();
    }
}

/// Joins a client to the broker, each way in a thread that ends with the connection.
fn join(shared: &Arc<Shared>, client: TcpStream) {
    let Ok(broker) = TcpStream::connect(shared.broker) else { return };
    let connection = shared.connections.fetch_add(1, Ordering::AcqRel);
    client.set_nodelay(true).expect("TCP has the option");
    broker.set_nodelay(true).expect("TCP has the option");
    let copy = |stream: &TcpStream| stream.try_clone().expect("a socket can be shared");
    lock(&shared.streams).extend([copy(&client), copy(&broker)]);
    for (from, input, output) in [(From::Wardline, copy(&client), copy(&broker)), (From::Broker, broker, client)] {
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            pump(&shared, connection, from, &input, &output);
            // The other way ends with this one.
            input.shutdown(Shutdown::Both).ok();
            output.shutdown(Shutdown::Both).ok();
        });
    }
}

/// Passes packets on until the connection ends, whoever ends it.
fn pump(shared: &Shared, connection: usize, from: From, mut input: &TcpStream, mut output: &TcpStream) {
    let mut stream = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = input.read(&mut chunk) {
        stream.extend_from_slice(chunk.get(..length).unwrap_or_default());
        while let Some((packet, length)) = packets::first(&stream) {
            let bytes: Vec<u8> = stream.drain(..length).collect();
            let record = Record { connection, from, packet };
            lock(&shared.records).push(record.clone());
            let fate = (lock(&shared.judge))(&record, &bytes);
            let arrives = match &fate {
                Fate::Pass | Fate::CutAfter => bytes,
                Fate::Forge(others) => others.clone(),
                Fate::Cut => return,
            };
            if output.write_all(&arrives).is_err() || fate == Fate::CutAfter {
                return;
            }
        }
    }
}
