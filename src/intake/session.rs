//! One MQTT session: connect, subscribe, receive, acknowledge what is on disk, connect again.
//!
//! The session has a thread and a runtime of its own, for one reason: while messages flow it sleeps between two looks at
//! the socket, and the sleep is the thread's, not the runtime's, so that the packets which arrive meanwhile wake
//! nobody. A broker writes one message at a time; reading each as it comes costs several times the CPU of reading them
//! together. [`crate::config::Intake::read_interval`] bounds the wait.
//!
//! The client's `poll` future is never dropped half-way (it could lose an acknowledgement that it had taken but not
//! written): it lives across turns, and only an error or a fresh event ends it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::poll;
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Publish, RetainForwardRule, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, Incoming, MqttOptions};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use super::acks::{Ack, Acks};
use super::event_loop::EventLoop;
use super::failure::{Failure, Patience};
use super::filters;
use super::link::Link;
use super::prepare::{Message, Messages};
use crate::config;
use crate::journal::{Committed, Journal};
use crate::metrics::intake::Intake as Metrics;
use crate::retry::Jitter;

/// Requests that may wait in the client beside acknowledgements: subscriptions and pings.
const OTHER_REQUESTS: usize = 64;

/// Received messages that are handed on even when more are there.
const CHUNK: u64 = 1_000;

/// How long to wait before taking a session back from another instance: long enough for a person to see that two
/// instances have one client id, which is a mistake that no retry mends.
const TAKEN_OVER_WAIT: Duration = Duration::from_secs(45);

/// How long to wait before asking for a refused subscription again.
const REFUSED_WAIT: Duration = Duration::from_secs(10);

/// How often the watchdog looks when nothing else happens.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// What a session needs beside its options.
#[derive(Debug)]
pub struct Session {
    /// Where received messages go.
    pub out: Option<mpsc::Sender<Messages>>,
    /// What is on disk.
    pub committed: Arc<Committed>,
    /// What `/ready` says of the connection.
    pub link: Link,
    /// Metrics.
    pub metrics: Metrics,
    /// Topic filters of the configuration.
    pub filters: Vec<String>,
    /// The name of the session at the broker.
    pub client_id: String,
    /// Filters that an earlier configuration left at the broker.
    pub stale_filters: Vec<String>,
    /// How often the socket is read while messages flow.
    pub read_interval: Duration,
    /// Bytes that may wait for the disk.
    pub max_in_flight: usize,
    /// Age of the oldest waiting message at which the connection is made anew.
    pub stall_timeout: Duration,
    /// Waits between attempts to connect.
    pub backoff: config::Backoff,
    /// Whether the disk takes nothing at the moment, so that waiting is no stall.
    pub journal: Journal,
}

/// How a turn of the loop ended.
#[expect(clippy::large_enum_variant, reason = "lives on the stack for one turn; a box would be one for each message")]
enum Turn {
    Event(Event),
    Failed(ConnectionError),
    Stalled,
    Stop,
}

/// What changes while a session runs.
struct State {
    client: AsyncClient,
    acks: Acks,
    chunk: Messages,
    jitter: Jitter,
    connected_at: Option<Instant>,
    /// Connections in a row that ended soon.
    short_lived: u32,
    /// Messages came since the last look at the socket.
    flowing: bool,
    /// This process has subscribed in this session.
    subscribed: bool,
    refused: Option<Instant>,
    /// Acknowledgements of this connection that the client has no room for yet, in receive order.
    owed: VecDeque<Ack>,
    /// Acknowledgements handed to the client and not seen to leave; at most [`Self::window`], for which it has room.
    unwritten: usize,
    /// The Receive Maximum. Brokers that send more than it exist, and each message wants its acknowledgement.
    window: usize,
    last_message: Instant,
}

impl State {
    /// The connection is gone, and with it what was to be acknowledged on it.
    fn disconnected(&mut self) {
        self.acks.disconnected();
        self.owed.clear();
        self.unwritten = 0;
    }
}

impl Session {
    /// Runs until `stop`, then acknowledges what it received as it reaches the disk, until `hard_stop`.
    ///
    /// # Errors
    /// When the intake's queue closes before its time: a later stage has ended.
    pub async fn run(
        mut self,
        options: MqttOptions,
        stop: CancellationToken,
        hard_stop: CancellationToken,
    ) -> Result<(), IntakeClosed> {
        let window = usize::from(options.receive_maximum().unwrap_or(u16::MAX));
        let (client, mut events) = EventLoop::new(options, window + OTHER_REQUESTS);
        let mut state = State {
            client,
            acks: Acks::default(),
            chunk: Messages::default(),
            jitter: Jitter::new(self.backoff),
            connected_at: None,
            short_lived: 0,
            flowing: false,
            subscribed: false,
            refused: None,
            owed: VecDeque::new(),
            unwritten: 0,
            window,
            last_message: Instant::now(),
        };
        loop {
            match self.turn(&mut events, &mut state, &stop).await? {
                Turn::Event(event) => self.take(event, &mut state),
                Turn::Failed(error) => {
                    state.disconnected();
                    let wait = self.failed(&error, &mut state);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = stop.cancelled() => {}
                    }
                }
                Turn::Stalled => {
                    tracing::error!("no message reached the disk for too long; the connection is made anew");
                    events.leave();
                    state.disconnected();
                    self.link.down("connecting anew after a stall");
                }
                Turn::Stop => break,
            }
        }
        self.drain(&mut events, &mut state, &hard_stop).await;
        Ok(())
    }

    /// Waits for the next event; meanwhile hands on what was received and acknowledges what is on disk.
    async fn turn(
        &mut self,
        events: &mut EventLoop,
        state: &mut State,
        stop: &CancellationToken,
    ) -> Result<Turn, IntakeClosed> {
        while state.acks.bytes() > self.max_in_flight {
            // The socket is not read: the broker, and behind it the devices, wait.
            tokio::select! {
                handed = self.hand_on(state) => handed?,
                () = stop.cancelled() => return Ok(Turn::Stop),
            }
            tokio::select! {
                () = self.committed.changed() => self.acknowledge(state),
                () = stop.cancelled() => return Ok(Turn::Stop),
            }
            events.expect_no_answer();
        }
        if state.chunk.count >= CHUNK {
            // So many at once that the socket never seems empty.
            self.try_hand_on(state)?;
            self.acknowledge(state);
        }
        let next = events.poll();
        tokio::pin!(next);
        loop {
            if let std::task::Poll::Ready(event) = poll!(&mut next) {
                return Ok(event.map_or_else(Turn::Failed, Turn::Event));
            }
            self.try_hand_on(state)?;
            self.acknowledge(state);
            if std::mem::take(&mut state.flowing) && !self.read_interval.is_zero() {
                std::thread::sleep(self.read_interval);
                // Lets the runtime look at the socket.
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                event = &mut next => return Ok(event.map_or_else(Turn::Failed, Turn::Event)),
                () = self.committed.changed() => {}
                () = stop.cancelled() => return Ok(Turn::Stop),
                () = tokio::time::sleep(WATCH_INTERVAL) => {
                    self.metrics.silence_seconds.set(state.last_message.elapsed().as_secs_f64());
                    let stalled = state.acks.oldest().is_some_and(|oldest| oldest.elapsed() > self.stall_timeout);
                    if stalled && !self.journal.is_full() {
                        return Ok(Turn::Stalled);
                    }
                    if state.refused.is_some_and(|at| at.elapsed() > REFUSED_WAIT) {
                        state.refused = None;
                        self.subscribe(state);
                    }
                }
            }
        }
    }

    fn take(&mut self, event: Event, state: &mut State) {
        match event {
            Event::Incoming(Incoming::Publish(publish)) => self.receive(publish, state),
            Event::Outgoing(Outgoing::PubAck(_) | Outgoing::PubRec(_)) => {
                state.unwritten = state.unwritten.saturating_sub(1);
            }
            Event::Incoming(Incoming::ConnAck(connack)) => {
                state.acks.connected();
                state.connected_at = Some(Instant::now());
                self.metrics.connects.increment(1);
                tracing::info!(session_present = connack.session_present, "connected to the broker");
                if connack.session_present && state.subscribed {
                    self.link.up();
                } else {
                    self.subscribe(state);
                }
            }
            Event::Incoming(Incoming::SubAck(suback)) => self.subscribed(&suback.return_codes, state),
            Event::Incoming(Incoming::UnsubAck(_)) => self.forget_stale_filters(),
            Event::Incoming(_) | Event::Outgoing(_) => {}
        }
    }

    fn receive(&mut self, publish: Publish, state: &mut State) {
        self.metrics.messages.increment(1);
        if publish.dup {
            self.metrics.redelivered.increment(1);
        }
        let now = Instant::now();
        state.acks.received(&publish, now);
        state.last_message = now;
        state.flowing = true;
        state.chunk.count += 1;
        if publish.retain {
            // A stored value shown as live would be a lie; it is acknowledged and forgotten.
            self.metrics.retained.increment(1);
            return;
        }
        let Publish { topic, payload, .. } = publish;
        state.chunk.messages.push(Message { topic, payload, received: crate::clock::now_ms() });
    }

    /// Hands on what was received if there is room; otherwise it waits here, within [`Self::max_in_flight`].
    fn try_hand_on(&mut self, state: &mut State) -> Result<(), IntakeClosed> {
        if state.chunk.count == 0 {
            return Ok(());
        }
        let out = self.out.as_ref().ok_or(IntakeClosed)?;
        match out.try_reserve() {
            Ok(place) => place.send(std::mem::take(&mut state.chunk)),
            Err(TrySendError::Full(())) => {}
            Err(TrySendError::Closed(())) => return Err(IntakeClosed),
        }
        Ok(())
    }

    /// As [`Self::try_hand_on`], and waits for room. Cancel-safe: nothing leaves before there is.
    async fn hand_on(&mut self, state: &mut State) -> Result<(), IntakeClosed> {
        if state.chunk.count == 0 {
            return Ok(());
        }
        let out = self.out.as_ref().ok_or(IntakeClosed)?;
        let place = out.reserve().await.map_err(|_| IntakeClosed)?;
        place.send(std::mem::take(&mut state.chunk));
        Ok(())
    }

    /// Acknowledges what has reached the disk.
    fn acknowledge(&mut self, state: &mut State) {
        state.owed.extend(state.acks.committed(self.committed.count()));
        while state.unwritten < state.window
            && let Some(ack) = state.owed.front()
            && state.client.try_ack(&ack.publish()).is_ok()
        {
            state.owed.pop_front();
            state.unwritten += 1;
            self.metrics.acknowledged.increment(1);
        }
        self.metrics.unacknowledged.set(state.acks.len() as f64);
    }

    fn subscribe(&mut self, state: &mut State) {
        let filters = self.filters.iter().map(|path| Filter {
            path: path.clone(),
            qos: QoS::AtLeastOnce,
            retain_forward_rule: RetainForwardRule::Never,
            ..Filter::default()
        });
        let stale = self.stale_filters.iter().all(|filter| state.client.try_unsubscribe(filter).is_ok());
        if !stale || state.client.try_subscribe_many(filters).is_err() {
            // Asked again when the watchdog sees that nobody answered.
            state.refused = Some(Instant::now());
        }
    }

    fn subscribed(&mut self, codes: &[SubscribeReasonCode], state: &mut State) {
        let refused = self
            .filters
            .iter()
            .zip(codes)
            .find(|(_, code)| !matches!(code, SubscribeReasonCode::Success(QoS::AtLeastOnce | QoS::ExactlyOnce)));
        match refused {
            None if codes.len() == self.filters.len() => {
                state.subscribed = true;
                self.link.up();
            }
            None => self.refused(state, format!("{} answers to {} subscriptions", codes.len(), self.filters.len())),
            Some((filter, code)) => self.refused(
                state,
                format!("the broker refuses the subscription {filter} ({code:?}): look at its access control"),
            ),
        }
    }

    /// The broker has dropped what an earlier configuration had subscribed; the journal need not remember it.
    fn forget_stale_filters(&mut self) {
        let (journal, client_id) = (self.journal.clone(), self.client_id.clone());
        let stale = std::mem::take(&mut self.stale_filters);
        tokio::spawn(async move {
            let forgotten = journal.write(move |connection| filters::forget(connection, &client_id, &stale)).await;
            if let Err(error) = forgotten {
                tracing::warn!(%error, "stale subscriptions could not be forgotten; they are dropped again at the next start");
            }
        });
    }

    fn refused(&mut self, state: &mut State, reason: String) {
        state.refused = Some(Instant::now());
        self.link.down(reason);
    }

    /// Says why the connection is down, and how long to wait before the next attempt.
    fn failed(&mut self, error: &ConnectionError, state: &mut State) -> Duration {
        self.metrics.disconnects.increment(1);
        let lived = state.connected_at.take().map(|at| at.elapsed());
        state.jitter.lasted(lived.unwrap_or_default());
        state.short_lived = match lived {
            Some(lived) if lived < self.backoff.max => state.short_lived + 1,
            _ => 0,
        };
        let Failure { reason, patience } = Failure::of(error, state.short_lived, &self.client_id);
        let wait = match patience {
            Patience::Usual => state.jitter.next_wait(),
            Patience::Longest => self.backoff.max,
            Patience::TakenOver => TAKEN_OVER_WAIT + state.jitter.next_wait(),
        };
        tracing::warn!(%reason, ?wait, "the broker is away");
        self.link.down(reason);
        wait
    }

    /// After the stop: no more reading; what was received reaches the disk and is acknowledged, then good-bye.
    async fn drain(&mut self, events: &mut EventLoop, state: &mut State, hard_stop: &CancellationToken) {
        self.link.stopping();
        let orderly = async {
            if self.hand_on(state).await.is_err() {
                return;
            }
            // The last sender: the stages behind end when they have seen everything.
            self.out = None;
            let mut parting = false;
            loop {
                let next = events.poll();
                tokio::pin!(next);
                let event = loop {
                    self.acknowledge(state);
                    if state.acks.is_empty() && state.owed.is_empty() && state.unwritten == 0 && !parting {
                        parting = true;
                        if state.client.try_disconnect().is_err() {
                            return;
                        }
                    }
                    tokio::select! {
                        event = &mut next => break event,
                        () = self.committed.changed() => {}
                    }
                };
                match event {
                    Ok(Event::Outgoing(Outgoing::PubAck(_) | Outgoing::PubRec(_))) => {
                        state.unwritten = state.unwritten.saturating_sub(1);
                    }
                    Ok(Event::Outgoing(Outgoing::Disconnect)) | Err(_) => return,
                    // Messages that still come are neither taken nor acknowledged: the broker keeps them for us.
                    Ok(_) => {}
                }
            }
        };
        tokio::select! {
            () = orderly => {}
            () = hard_stop.cancelled() => {}
        }
        self.out = None;
    }
}

/// The queue behind the intake has closed: a later stage has ended, and its own error says why.
#[derive(Debug, thiserror::Error)]
#[error("the stage behind the intake has ended")]
pub struct IntakeClosed;
