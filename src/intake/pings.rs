//! Pings, where the client takes them too literally. Every connection of ours goes through here with what it hears.

use std::time::Duration;

use rumqttc::v5::{EventLoop, Incoming};

/// The broker was heard, so it is there, whether or not it has answered our last ping. A broker that can hardly keep up
/// reads the ping behind all of our acknowledgements and answers behind all of its messages, which takes longer than the
/// client waits; to end the connection for that would have all of it delivered again. A broker that says nothing at all
/// is still left after two pings.
///
/// A broker that wants no pings gets ours all the same, at the interval of the configuration, and has to answer them:
/// without them a dead connection is never noticed. The client would take its "every 0 seconds" at its word.
pub fn heard(events: &mut EventLoop, packet: &Incoming, keep_alive: Duration) {
    not_awaited(events);
    if let Incoming::ConnAck(connack) = packet
        && connack.properties.as_ref().is_some_and(|properties| properties.server_keep_alive == Some(0))
    {
        events.options.set_keep_alive(keep_alive);
    }
}

/// The answer to the last ping may have come while nobody looked: its absence means nothing.
pub fn not_awaited(events: &mut EventLoop) {
    events.state.await_pingresp = false;
}
