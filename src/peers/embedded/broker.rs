//! An MQTT broker in this process, for `wardline demo` only: it keeps everything in memory and can't be stopped.
//!
//! rumqttd gives each protocol version a listener of its own, so there are two ports: MQTT 3.1.1, which most devices
//! and `mosquitto_pub` speak, and MQTT 5, which wardline's own intake needs.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};

/// Where the broker listens.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddedBroker {
    /// MQTT 3.1.1.
    pub v4: SocketAddr,
    /// MQTT 5.
    pub v5: SocketAddr,
}

/// Why the broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The port is taken, or not ours to take.
    #[error("can't listen on {address}: {error}; choose another with --port")]
    Port {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// It does not answer.
    #[error("the embedded broker did not start within {0:?}")]
    Silent(Duration),
}

/// How long to wait for the listeners.
const START: Duration = Duration::from_secs(10);

/// Connections at one time: a demo's beds, and some visitors.
const CONNECTIONS: usize = 10_000;

impl EmbeddedBroker {
    /// Starts the broker: MQTT 3.1.1 on `port`, or on a free one for 0; MQTT 5 on a free one.
    ///
    /// # Errors
    /// When the port can't be had, or the broker does not answer.
    pub fn start(port: u16) -> Result<Self, BrokerError> {
        let addresses = Self { v4: free(port)?, v5: free(0)? };
        let server = |name: &str, listen| {
            let settings = ServerSettings {
                name: name.to_owned(),
                listen,
                tls: None,
                // The default of one a millisecond would make a large ward wait.
                next_connection_delay_ms: 0,
                connections: ConnectionSettings {
                    connection_timeout_ms: 5_000,
                    max_payload_size: 1 << 20,
                    max_inflight_count: 100,
                    auth: None,
                    external_auth: None,
                    // Otherwise it disconnects whoever publishes to a topic that nobody has subscribed to.
                    dynamic_filters: true,
                },
            };
            Some(HashMap::from([(name.to_owned(), settings)]))
        };
        let router = RouterConfig {
            max_connections: CONNECTIONS,
            max_outgoing_packet_count: 200,
            max_segment_size: 16 << 20,
            max_segment_count: 32,
            ..RouterConfig::default()
        };
        let config = Config {
            id: 0,
            router,
            v4: server("mqtt-3", addresses.v4),
            v5: server("mqtt-5", addresses.v5),
            ws: None,
            cluster: None,
            console: None,
            bridge: None,
            prometheus: None,
            metrics: None,
        };
        let started = std::thread::Builder::new().name("broker".to_owned()).spawn(move || {
            if let Err(error) = Broker::new(config).start() {
                tracing::error!(%error, "the embedded broker has ended");
            }
        });
        started.map_err(|error| BrokerError::Port { address: addresses.v4, error })?;
        addresses.wait()?;
        Ok(addresses)
    }

    /// Waits until both listeners accept.
    fn wait(self) -> Result<(), BrokerError> {
        let begun = Instant::now();
        for address in [self.v4, self.v5] {
            while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
                if begun.elapsed() > START {
                    return Err(BrokerError::Silent(START));
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(())
    }
}

/// An address that can be listened on. The broker does not say which port it took, so it has to be told one; between
/// the look and the taking somebody else may come, which then shows as a broker that does not start.
fn free(port: u16) -> Result<SocketAddr, BrokerError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address).and_then(|listener| listener.local_addr());
    listener.map_err(|error| BrokerError::Port { address, error })
}
