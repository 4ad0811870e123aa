//! Which messages may be acknowledged, in which order, on which connection. Pure: no socket, no clock.
//!
//! MQTT 5 wants acknowledgements in receive order [MQTT-4.6.0-2], and an acknowledgement counts only on the connection
//! that delivered the message: on the next one the same packet identifier may stand for another message. So each
//! message remembers the connection it came on, the oldest ones leave first, and those of an earlier connection leave
//! without an acknowledgement: the broker sends them again.

use std::collections::VecDeque;
use std::time::Instant;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Publish;

/// What is kept of a message until it is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pending {
    ack: Ack,
    /// `None` when it was delivered between two connections and must not be acknowledged on either.
    connection: Option<u64>,
    bytes: usize,
    at: Instant,
}

/// The acknowledgement of one message. Small, because a broker that floods us is owed hundreds of thousands of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    packet: u16,
    qos: QoS,
}

impl Ack {
    /// The message as far as the client wants to see it for an acknowledgement.
    #[must_use]
    pub fn publish(self) -> Publish {
        Publish { pkid: self.packet, qos: self.qos, ..Publish::default() }
    }
}

/// The messages of one session that are not on disk yet, in receive order.
#[derive(Debug, Default)]
pub struct Acks {
    pending: VecDeque<Pending>,
    connection: u64,
    connected: bool,
    committed: u64,
    bytes: usize,
}

impl Acks {
    /// A connection is up: what comes from now on may be acknowledged on it.
    pub fn connected(&mut self) {
        self.connection += 1;
        self.connected = true;
    }

    /// The connection is down. The client may still hand out messages that it had read before: they are taken in,
    /// because a lost session will not send them again, and never acknowledged.
    pub fn disconnected(&mut self) {
        self.connected = false;
    }

    /// A message was received.
    pub fn received(&mut self, publish: &Publish, at: Instant) {
        let connection = self.connected.then_some(self.connection);
        let bytes = publish.topic.len() + publish.payload.len();
        self.bytes += bytes;
        let ack = Ack { packet: publish.pkid, qos: publish.qos };
        self.pending.push_back(Pending { ack, connection, bytes, at });
    }

    /// The first `total` messages since the start are on disk: gives the acknowledgements that may be sent now, in
    /// receive order.
    pub fn committed(&mut self, total: u64) -> impl Iterator<Item = Ack> + '_ {
        let newly = usize::try_from(total.saturating_sub(self.committed)).unwrap_or(usize::MAX);
        self.committed = self.committed.max(total);
        let current = self.connected.then_some(self.connection);
        let leaving = self.pending.drain(..newly.min(self.pending.len()));
        let bytes = &mut self.bytes;
        leaving.filter_map(move |pending| {
            *bytes = bytes.saturating_sub(pending.bytes);
            let wants = pending.ack.qos != QoS::AtMostOnce && current.is_some() && pending.connection == current;
            wants.then_some(pending.ack)
        })
    }

    /// Messages that are not on disk.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether every message is on disk.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Bytes of messages that are not on disk.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the oldest message of this connection that is not on disk was received. Those of earlier connections do not
    /// count: a new connection has been made since.
    #[must_use]
    pub fn oldest(&self) -> Option<Instant> {
        let current = self.connected.then_some(self.connection)?;
        self.pending.iter().find(|pending| pending.connection == Some(current)).map(|pending| pending.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn publish(packet: u16) -> Publish {
        Publish { pkid: packet, qos: QoS::AtLeastOnce, ..Publish::default() }
    }

    fn acked(acks: &mut Acks, total: u64) -> Vec<u16> {
        acks.committed(total).map(|ack| ack.packet).collect()
    }

    #[test]
    fn messages_are_acknowledged_in_receive_order_once_they_are_on_disk() {
        let mut acks = Acks::default();
        acks.connected();
        for packet in [3, 1, 2] {
            acks.received(&publish(packet), Instant::now());
        }
        assert_eq!(acked(&mut acks, 2), [3, 1]);
        assert!(acked(&mut acks, 2).is_empty());
        assert_eq!(acked(&mut acks, 3), [2]);
        assert!(acks.is_empty());
    }

    #[test]
    fn nothing_of_an_earlier_connection_is_acknowledged_on_a_later_one() {
        let mut acks = Acks::default();
        acks.connected();
        acks.received(&publish(1), Instant::now());
        acks.disconnected();
        acks.received(&publish(2), Instant::now());
        acks.connected();
        acks.received(&publish(1), Instant::now());
        assert_eq!(acked(&mut acks, 3), [1], "only the one that came on this connection");
    }

    #[test]
    fn what_waits_from_an_earlier_connection_is_no_stall_of_this_one() {
        let (mut acks, begin) = (Acks::default(), Instant::now());
        let later = begin + std::time::Duration::from_secs(1);
        acks.connected();
        acks.received(&publish(1), begin);
        acks.received(&publish(2), later);
        assert_eq!(acks.oldest(), Some(begin));
        acks.disconnected();
        assert_eq!(acks.oldest(), None);
        acks.connected();
        assert_eq!(acks.oldest(), None);
        acks.received(&publish(1), later);
        assert_eq!((acks.oldest(), acks.len()), (Some(later), 3));
    }

    #[test]
    fn a_message_without_quality_of_service_is_never_acknowledged() {
        let mut acks = Acks::default();
        acks.connected();
        acks.received(&Publish { qos: QoS::AtMostOnce, ..publish(0) }, Instant::now());
        assert!(acked(&mut acks, 1).is_empty());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Receive,
        Commit(u8),
        Drop,
        Connect,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Receive),
            2 => (0u8..5).prop_map(Step::Commit),
            1 => Just(Step::Drop),
            1 => Just(Step::Connect),
        ]
    }

    proptest! {
        /// Packet identifiers are the positions of messages here, so a model can say which may be acknowledged.
        #[test]
        fn acknowledgements_are_a_subsequence_of_this_connections_committed_messages(steps in proptest::collection::vec(step(), 0..200)) {
            let mut acks = Acks::default();
            let (mut received, mut committed, mut begun) = (0u16, 0u64, 0u16);
            let mut connected = false;
            let mut last = None;
            for step in steps {
                match step {
                    Step::Receive => { acks.received(&publish(received), Instant::now()); received += 1; }
                    Step::Commit(more) => {
                        committed = (committed + u64::from(more)).min(u64::from(received));
                        for packet in acked(&mut acks, committed) {
                            prop_assert!(connected && packet >= begun && u64::from(packet) < committed);
                            prop_assert!(last.is_none_or(|last| packet > last));
                            last = Some(packet);
                        }
                    }
                    Step::Drop => { acks.disconnected(); connected = false; }
                    Step::Connect => { acks.disconnected(); acks.connected(); connected = true; begun = received; last = None; }
                }
            }
            prop_assert_eq!(acks.len() as u64, u64::from(received) - committed);
        }
    }
}
