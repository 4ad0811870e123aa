//! The library's event loop, put right where it takes pings too literally. Both of our clients poll this one.

use std::time::Duration;

use rumqttc::v5::{self, AsyncClient, ConnectionError, Event, Incoming, MqttOptions};

/// Makes the connection, and makes it anew when it is lost.
#[expect(missing_debug_implementations, reason = "the library's event loop has none")]
pub struct EventLoop {
    events: v5::EventLoop,
    /// What the configuration wants; the library may have another from the broker.
    keep_alive: Duration,
}

impl EventLoop {
    /// With the client that sends on it, which has room for so many requests. [`Self::poll`] connects.
    #[must_use]
    pub fn new(options: MqttOptions, requests: usize) -> (AsyncClient, Self) {
        let keep_alive = options.keep_alive();
        let (client, events) = AsyncClient::new(options, requests);
        (client, Self { events, keep_alive })
    }

    /// The next event. As the library's, not cancel-safe: it could lose a request that it had taken but not written.
    ///
    /// The broker that was heard is there, whether or not it has answered our last ping. One that can hardly keep up
    /// reads the ping behind all of our acknowledgements and answers behind all of its messages, which takes longer than
    /// the library waits; to end the connection for that would have all of it delivered again. A broker that says nothing
    /// at all is still left after two pings.
    ///
    /// A broker that wants no pings gets ours all the same, at the interval of the configuration, and has to answer them:
    /// without them a dead connection is never noticed. The library would take its "every 0 seconds" at its word.
    ///
    /// # Errors
    /// The connection is lost or refused; the next call makes another.
    pub async fn poll(&mut self) -> Result<Event, ConnectionError> {
        let event = self.events.poll().await?;
        if let Event::Incoming(packet) = &event {
            self.expect_no_answer();
            if let Incoming::ConnAck(connack) = packet
                && connack.properties.as_ref().is_some_and(|properties| properties.server_keep_alive == Some(0))
            {
                self.events.options.set_keep_alive(self.keep_alive);
            }
        }
        Ok(event)
    }

    /// The answer to the last ping may have come while nobody polled: its absence means nothing.
    pub fn expect_no_answer(&mut self) {
        self.events.state.await_pingresp = false;
    }

    /// Leaves the connection; the next [`Self::poll`] makes another.
    pub fn leave(&mut self) {
        self.events.clean();
    }
}
