//! One MQTT connection, of one device or of a gateway that carries many: QoS 1, sent again until it is acknowledged.
//!
//! Each connection to the broker is a session of its own. What was not acknowledged on it is sent again on the next, in
//! its order: so nothing that the ledger calls acknowledged was acknowledged by chance.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, PubAckReason};
use rumqttc::v5::{AsyncClient, Event, EventLoop, Incoming, MqttOptions};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::bed::{Bed, Message};
use crate::fault::{Faults, Outcome};
use crate::ledger::{Ledger, Sent};
use crate::tally::Tally;

/// Messages on their way to the broker at one time.
pub const WINDOW: u16 = 100;

/// Messages that a device keeps while it is cut off; beyond them it measures no more.
const MEMORY: usize = 100_000;

/// How long a connection may take to hand over the rest when it is asked to stop.
const DRAIN: Duration = Duration::from_secs(20);

/// How long to wait after the broker would not take a message.
const REFUSED: Duration = Duration::from_millis(200);

/// What becomes of an acknowledged message.
#[derive(Debug, Clone, Copy)]
enum Entry {
    /// The reading at this place of the ledger.
    Reading(usize),
    /// No reading.
    Refused,
    /// Presence.
    Presence,
}

/// A message until it is acknowledged.
#[derive(Debug)]
struct Item {
    topic: Arc<str>,
    payload: String,
    entry: Entry,
}

/// How a life of a connection ended.
enum End {
    /// Everything is handed over, or time is up.
    Done,
    /// It is to be taken up again after a while.
    Lost(Duration),
}

/// A connection and its beds.
pub(crate) struct Connection {
    options: MqttOptions,
    beds: Vec<Lively>,
    faults: Faults,
    flood: bool,
    tally: Arc<Tally>,
    stop: CancellationToken,
    /// By when the rest must be handed over, once asked to stop.
    deadline: Option<Instant>,
    /// Nothing is handed to the client before this.
    paused: Instant,
    /// Not handed to the client yet.
    queue: VecDeque<Item>,
    ledger: Ledger,
    random: fastrand::Rng,
    /// Clock time at the beginning, milliseconds since the epoch, and the same moment.
    begun: (i64, Instant),
}

/// A bed and when it measures next.
struct Lively {
    bed: Bed,
    due: Instant,
}

/// The messages of one life of a connection.
struct Window {
    client: AsyncClient,
    connected: bool,
    /// Handed to the client, which has not given them a packet identifier yet.
    handed: VecDeque<Item>,
    /// On their way, by packet identifier, with their number in the order of sending.
    sent: HashMap<u16, (u64, Item)>,
    number: u64,
}

impl Connection {
    pub(crate) fn new(
        mut options: MqttOptions,
        beds: Vec<Bed>,
        (faults, flood): (Faults, bool),
        tally: Arc<Tally>,
        stop: CancellationToken,
        seed: u64,
    ) -> Self {
        if let Some(first) = beds.first() {
            options.set_last_will(LastWill::new(first.presence(), "offline", QoS::AtLeastOnce, true, None));
        }
        let devices = beds.iter().map(|bed| bed.device().to_owned()).collect();
        let mut random = fastrand::Rng::with_seed(seed);
        let begun = (jiff::Timestamp::now().as_millisecond(), Instant::now());
        let lively = |bed: Bed| {
            // Beds do not measure in step.
            let due = begun.1 + Duration::from_secs_f64(bed.period() * random.f64());
            Lively { bed, due }
        };
        let beds = beds.into_iter().map(lively).collect();
        let ledger = Ledger { devices, ..Ledger::default() };
        let queue = VecDeque::new();
        Self {
            options,
            beds,
            faults,
            flood,
            tally,
            stop,
            deadline: None,
            paused: begun.1,
            queue,
            ledger,
            random,
            begun,
        }
    }

    /// Publishes until it is asked to stop and everything is acknowledged, or the time for that is over.
    pub(crate) async fn run(mut self, delay: Duration) -> Ledger {
        sleep(delay).await;
        let mut failures = 0u32;
        loop {
            let (client, events) = AsyncClient::new(self.options.clone(), usize::from(WINDOW) * 2);
            let (handed, sent) = (VecDeque::new(), HashMap::new());
            let mut window = Window { client, connected: false, handed, sent, number: 0 };
            let end = self.live(&mut window, events).await;
            failures = if window.connected { 0 } else { failures + 1 };
            if window.connected {
                self.tally.connected.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
                Tally::add(&self.tally.connections_lost, u64::from(matches!(end, End::Lost(_))));
            }
            match end {
                End::Done => break,
                End::Lost(away) => {
                    self.take_back(window);
                    let longest = Duration::from_millis(100 << failures.min(6));
                    let wait = away.max(longest.mul_f64(self.random.f64()));
                    tokio::select! { () = sleep(wait) => {} () = self.stop.cancelled(), if self.deadline.is_none() => {} }
                }
            }
        }
        for lively in &self.beds {
            self.ledger.episodes.extend(lively.bed.told());
        }
        self.ledger
    }

    async fn live(&mut self, window: &mut Window, mut events: EventLoop) -> End {
        let outage = self.random_time(self.faults.outage);
        let cut = [outage, self.random_time(self.faults.disconnect)].into_iter().flatten().min();
        loop {
            let event = {
                let next = events.poll();
                tokio::pin!(next);
                // The future lives until it has an event: dropping it half-way could lose what it has begun to send.
                loop {
                    self.measure(window);
                    self.hand_over(window);
                    if let Some(deadline) = self.deadline {
                        let empty = self.queue.is_empty() && window.handed.is_empty() && window.sent.is_empty();
                        if empty || Instant::now() >= deadline {
                            break None;
                        }
                    }
                    tokio::select! {
                        event = &mut next => break Some(event),
                        () = sleep_until(self.next_due()) => {}
                        () = sleep_until(cut.unwrap_or_else(Instant::now)), if cut.is_some() => {
                            let away = if cut == outage { self.faults.outage.unwrap_or_default() / 10 } else { Duration::ZERO };
                            return End::Lost(away);
                        }
                        () = self.stop.cancelled(), if self.deadline.is_none() => self.stop_measuring(),
                    }
                }
            };
            match event {
                None => {
                    Self::say_goodbye(&self.beds, window, &mut events).await;
                    return End::Done;
                }
                Some(Ok(event)) => self.take(window, event),
                Some(Err(error)) => {
                    tracing::debug!(%error, "a device's connection is lost");
                    return End::Lost(Duration::ZERO);
                }
            }
        }
    }

    /// Makes the messages that are due.
    fn measure(&mut self, window: &Window) {
        if self.deadline.is_some() {
            return;
        }
        let mut made: Vec<Message> = Vec::new();
        let now = Instant::now();
        for place in 0..self.beds.len() {
            let Some(Lively { bed, due }) = self.beds.get_mut(place) else { break };
            if self.flood {
                let wall = jiff::Timestamp::now().as_millisecond();
                if window.connected && self.queue.len() < usize::from(WINDOW) && !bed.must_pause(wall) {
                    bed.measure(wall, &mut made);
                }
            } else {
                while *due <= now {
                    let wall = self.begun.0 + due.duration_since(self.begun.1).as_millis() as i64;
                    *due += Duration::from_secs_f64(bed.period());
                    if self.queue.len() + made.len() < MEMORY {
                        bed.measure(wall, &mut made);
                    }
                }
            }
            made.drain(..).for_each(|message| self.note(place, message));
        }
    }

    /// Writes a message into the ledger and queues it.
    fn note(&mut self, place: usize, message: Message) {
        let Message { topic, payload, outcome, time, values, twice } = message;
        let copies = if twice { 2 } else { 1 };
        let entry = match outcome {
            Outcome::Stored => {
                self.ledger.readings.push(Sent { device: place as u32, acknowledged: false, time, values });
                Entry::Reading(self.ledger.readings.len() - 1)
            }
            Outcome::Refused => {
                self.ledger.refused.sent += copies;
                Entry::Refused
            }
        };
        Tally::add(&self.tally.made, copies);
        for _ in 0..copies {
            self.queue.push_back(Item { topic: Arc::clone(&topic), payload: payload.clone(), entry });
        }
    }

    fn hand_over(&mut self, window: &mut Window) {
        if Instant::now() < self.paused {
            return;
        }
        while window.connected && window.handed.len() + window.sent.len() < usize::from(WINDOW) {
            let Some(item) = self.queue.pop_front() else { return };
            let retain = matches!(item.entry, Entry::Presence);
            let topic = item.topic.to_string();
            if window.client.try_publish(topic, QoS::AtLeastOnce, retain, item.payload.clone()).is_err() {
                self.queue.push_front(item);
                return;
            }
            window.handed.push_back(item);
        }
    }

    fn take(&mut self, window: &mut Window, event: Event) {
        match event {
            Event::Incoming(Incoming::ConnAck(_)) => {
                window.connected = true;
                Tally::add(&self.tally.connected, 1);
                for Lively { bed, .. } in self.beds.iter().rev() {
                    let (topic, payload) = (bed.presence().into(), "online".to_owned());
                    self.queue.push_front(Item { topic, payload, entry: Entry::Presence });
                }
            }
            Event::Outgoing(Outgoing::Publish(packet)) => {
                if let Some(item) = window.handed.pop_front() {
                    window.number += 1;
                    window.sent.insert(packet, (window.number, item));
                }
            }
            Event::Incoming(Incoming::PubAck(answer)) => {
                let Some((_, item)) = window.sent.remove(&answer.pkid) else { return };
                match (answer.reason, item.entry) {
                    (PubAckReason::Success, entry) => self.acknowledged(entry),
                    // Presence is kept by the broker whether anybody listens or not.
                    (PubAckReason::NoMatchingSubscribers, Entry::Presence) => {}
                    // Nobody has a session, so the broker has thrown it away: it must be sent again.
                    _ => {
                        self.queue.push_back(item);
                        self.paused = Instant::now() + REFUSED;
                    }
                }
            }
            Event::Incoming(_) | Event::Outgoing(_) => {}
        }
    }

    fn acknowledged(&mut self, entry: Entry) {
        match entry {
            Entry::Presence => return,
            Entry::Refused => self.ledger.refused.acknowledged += 1,
            Entry::Reading(place) => {
                if let Some(reading) = self.ledger.readings.get_mut(place) {
                    reading.acknowledged = true;
                }
            }
        }
        Tally::add(&self.tally.acknowledged, 1);
    }

    /// What was not acknowledged goes back to the head of the queue, in its order.
    fn take_back(&mut self, window: Window) {
        let mut sent: Vec<_> = window.sent.into_values().collect();
        sent.sort_by_key(|(number, _)| *number);
        let unacknowledged = sent.into_iter().map(|(_, item)| item).chain(window.handed);
        let unacknowledged: Vec<_> = unacknowledged.filter(|item| !matches!(item.entry, Entry::Presence)).collect();
        for item in unacknowledged.into_iter().rev() {
            self.queue.push_front(item);
        }
        self.queue.retain(|item| !matches!(item.entry, Entry::Presence));
    }

    fn stop_measuring(&mut self) {
        self.deadline = Some(Instant::now() + DRAIN);
        let mut rest = Vec::new();
        for place in 0..self.beds.len() {
            if let Some(Lively { bed, .. }) = self.beds.get_mut(place) {
                bed.finish(&mut rest);
            }
            rest.drain(..).for_each(|message| self.note(place, message));
        }
    }

    /// Takes the presence back and leaves in order, for as long as the broker listens.
    async fn say_goodbye(beds: &[Lively], window: &mut Window, events: &mut EventLoop) {
        for Lively { bed, .. } in beds {
            window.client.try_publish(bed.presence(), QoS::AtMostOnce, true, "offline").ok();
        }
        window.client.try_disconnect().ok();
        let leave = async {
            while let Ok(event) = events.poll().await {
                if matches!(event, Event::Outgoing(Outgoing::Disconnect)) {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(2), leave).await.ok();
    }

    fn next_due(&self) -> Instant {
        let now = Instant::now();
        let pause = if self.flood { Duration::from_millis(2) } else { Duration::from_secs(1) };
        let latest = if self.paused > now { self.paused } else { now + pause };
        if self.flood || self.deadline.is_some() {
            return latest;
        }
        self.beds.iter().map(|lively| lively.due).min().map_or(latest, |due| due.min(latest))
    }

    /// A moment from now on that comes on average after `every`.
    fn random_time(&mut self, every: Option<Duration>) -> Option<Instant> {
        every.map(|every| Instant::now() + every.mul_f64(0.5 + self.random.f64()))
    }
}
