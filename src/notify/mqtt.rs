//! The channel of MQTT: `alerts/v1/{region}/{clinician}`, QoS 1, on a connection of its own.
//!
//! Delivered means that the broker has acknowledged it and has somebody to give it to: an answer "no matching
//! subscribers" is tried again, since nobody would ever see the alert. The connection begins clean each time, so that
//! the library repeats nothing by itself: what is repeated is the outbox's to say.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PubAckReason;
use rumqttc::v5::{AsyncClient, Event, Incoming, MqttOptions};
use tokio::sync::{mpsc, oneshot};

use super::SendError;
use super::message::Message;
use super::outbox::Notification;
use crate::config::Backoff;
use crate::intake::event_loop::EventLoop;
use crate::retry::Jitter;

/// Notifications that wait for the connection's task.
const QUEUE: usize = 64;

/// How long a notification may wait for its acknowledgement.
const ANSWER: Duration = Duration::from_secs(10);

type Reply = oneshot::Sender<Result<(), String>>;

/// A message on its way to the connection's task.
#[derive(Debug)]
struct Outbound {
    topic: String,
    body: Vec<u8>,
    reply: Reply,
}

/// Publishes notifications. Its task ends when it is dropped.
#[derive(Debug)]
pub struct MqttChannel {
    out: mpsc::Sender<Outbound>,
}

impl MqttChannel {
    /// Starts the connection's task.
    #[must_use]
    pub fn start(mut options: MqttOptions, backoff: Backoff) -> Self {
        options.set_clean_start(true);
        options.set_outgoing_inflight_upper_limit(QUEUE as u16);
        let (client, events) = EventLoop::new(options, 2 * QUEUE);
        let (out, queue) = mpsc::channel(QUEUE);
        tokio::spawn(Connection::new(client, backoff).run(events, queue));
        Self { out }
    }

    /// Publishes one notification.
    ///
    /// # Errors
    /// When it is not known to be delivered.
    pub async fn send(&self, notification: &Notification) -> Result<(), SendError> {
        let failed = |reason: &str| SendError { reason: format!("mqtt: {reason}"), after: None };
        let topic = format!("alerts/v1/{}/{}", notification.event.alert.region, notification.recipient.address);
        let (reply, answer) = oneshot::channel();
        let outbound = Outbound { topic, body: Message::new(notification).json(), reply };
        self.out.send(outbound).await.map_err(|_| failed("the connection's task has ended"))?;
        match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(answer)) => answer.map_err(|reason| failed(&reason)),
            Ok(Err(_)) => Err(failed("the connection was lost")),
            Err(_) => Err(failed("no acknowledgement in time")),
        }
    }
}

/// What is on its way, until its acknowledgement or the end of the connection.
struct Connection {
    client: AsyncClient,
    connected_at: Option<Instant>,
    /// Handed to the client, in order; it has not given them a packet identifier yet.
    handed: VecDeque<Reply>,
    /// Sent, by packet identifier.
    sent: HashMap<u16, Reply>,
    jitter: Jitter,
}

impl Connection {
    fn new(client: AsyncClient, backoff: Backoff) -> Self {
        let (handed, sent) = (VecDeque::new(), HashMap::new());
        Self { client, connected_at: None, handed, sent, jitter: Jitter::new(backoff) }
    }

    async fn run(mut self, mut events: EventLoop, mut queue: mpsc::Receiver<Outbound>) {
        loop {
            let event = {
                let next = events.poll();
                tokio::pin!(next);
                // The future lives until it has an event: dropping it half-way could lose what it has begun to send.
                loop {
                    tokio::select! {
                        event = &mut next => break event,
                        outbound = queue.recv() => match outbound {
                            Some(outbound) => self.publish(outbound),
                            None => return,
                        },
                    }
                }
            };
            match event {
                Ok(event) => self.take(event),
                Err(error) => {
                    if let Some(at) = self.connected_at.take() {
                        self.jitter.lasted(at.elapsed());
                        tracing::warn!(%error, "the connection for alerts is lost");
                    }
                    // Dropped replies tell the senders, and the outbox tries again.
                    self.handed.clear();
                    self.sent.clear();
                    tokio::time::sleep(self.jitter.next_wait()).await;
                }
            }
        }
    }

    fn publish(&mut self, outbound: Outbound) {
        let Outbound { topic, body, reply } = outbound;
        if self.connected_at.is_none() {
            // The sender may have given up waiting; then nobody needs the answer.
            reply.send(Err("not connected".to_owned())).ok();
        } else if self.client.try_publish(topic, QoS::AtLeastOnce, false, body).is_ok() {
            self.handed.push_back(reply);
        } else {
            reply.send(Err("its topic or the client's queue does not take it".to_owned())).ok();
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Incoming(Incoming::ConnAck(_)) => {
                self.connected_at = Some(Instant::now());
            }
            Event::Outgoing(Outgoing::Publish(packet)) => {
                if let Some(reply) = self.handed.pop_front() {
                    self.sent.insert(packet, reply);
                }
            }
            Event::Incoming(Incoming::PubAck(answer)) => {
                if let Some(reply) = self.sent.remove(&answer.pkid) {
                    let outcome = match answer.reason {
                        PubAckReason::Success => Ok(()),
                        PubAckReason::NoMatchingSubscribers => Err("nobody listens to the topic".to_owned()),
                        other => Err(format!("the broker refuses it: {other:?}")),
                    };
                    reply.send(outcome).ok();
                }
            }
            Event::Incoming(_) | Event::Outgoing(_) => {}
        }
    }
}
