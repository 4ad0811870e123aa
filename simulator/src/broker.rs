//! Where the devices publish to: address, login, TLS.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use rumqttc::v5::MqttOptions;
use rumqttc::{NetworkOptions, TlsConfiguration, Transport};

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Host name or address.
    pub host: String,
    /// Port of an MQTT 5 listener.
    pub port: u16,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// PEM file of the authorities to trust; needed with `tls`.
    pub ca_file: Option<PathBuf>,
    /// User name and password.
    pub login: Option<(String, String)>,
}

/// Why a broker can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The text is no address of a broker.
    #[error("\"{0}\" is no broker: expected mqtt://host:1883 or mqtts://host:8883")]
    Address(String),
    /// TLS without an authority to trust.
    #[error("an mqtts:// broker needs --ca-file")]
    NoAuthority,
    /// The file of the authorities can't be read.
    #[error("can't read {path}: {error}")]
    Authority {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
}

impl FromStr for Broker {
    type Err = BrokerError;

    fn from_str(text: &str) -> Result<Self, BrokerError> {
        let refused = || BrokerError::Address(text.to_owned());
        let (tls, rest) = match text.split_once("://") {
            Some(("mqtt", rest)) => (false, rest),
            Some(("mqtts", rest)) => (true, rest),
            _ => return Err(refused()),
        };
        let (host, port) = match rest.trim_end_matches('/').rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| refused())?),
            None => (rest.trim_end_matches('/'), if tls { 8883 } else { 1883 }),
        };
        if host.is_empty() {
            return Err(refused());
        }
        Ok(Self { host: host.to_owned(), port, tls, ca_file: None, login: None })
    }
}

impl Broker {
    /// Options of one connection: a session that ends with it, so that what must be sent again is in our hands only.
    ///
    /// # Errors
    /// When the file of the authorities can't be read.
    pub fn options(&self, client_id: &str, window: u16) -> Result<MqttOptions, BrokerError> {
        let mut options = MqttOptions::new(client_id, &self.host, self.port);
        options.set_keep_alive(Duration::from_secs(10));
        options.set_clean_start(true);
        // The default reserves memory for 65,535 messages, for each of thousands of devices.
        options.set_outgoing_inflight_upper_limit(window);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        if let Some((user, password)) = &self.login {
            options.set_credentials(user, password);
        }
        if self.tls {
            let path = self.ca_file.clone().ok_or(BrokerError::NoAuthority)?;
            let ca = std::fs::read(&path).map_err(|error| BrokerError::Authority { path, error })?;
            let tls = TlsConfiguration::Simple { ca, alpn: None, client_auth: None };
            options.set_transport(Transport::tls_with_config(tls));
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_read_from_its_address() {
        let read = |text: &str| text.parse::<Broker>().map(|broker| (broker.host, broker.port, broker.tls)).ok();
        assert_eq!(read("mqtt://127.0.0.1:1884"), Some(("127.0.0.1".to_owned(), 1884, false)));
        assert_eq!(read("mqtts://broker.example/"), Some(("broker.example".to_owned(), 8883, true)));
        for text in ["broker", "http://broker", "mqtt://", "mqtt://broker:port"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
