//! From configuration to the options of an MQTT connection: address, login, TLS. Also used by the alert channel.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rumqttc::v5::MqttOptions;
use rumqttc::{NetworkOptions, TlsConfiguration, Transport};
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config;

/// Why a connection can't be prepared. Each names the file to look at.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A file can't be read.
    #[error("can't read {}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        message: String,
    },
    /// A file has no usable certificate or key.
    #[error("{} holds no usable {what}: {message}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The system's store of authorities is empty, and `mqtt.ca_file` is not set.
    #[error("no trusted authorities were found on this system: set mqtt.ca_file")]
    NoAuthorities,
    /// TLS refused the certificate or the key.
    #[error("TLS refuses our certificate: {0}")]
    Identity(String),
}

/// Options for a connection under this client id. Reads the files of password, trust and identity.
///
/// # Errors
/// A file that is missing or of no use.
pub fn options(mqtt: &config::Mqtt, client_id: &str) -> Result<MqttOptions, ConnectError> {
    let mut options = MqttOptions::new(client_id, &mqtt.broker.host, mqtt.broker.port);
    options.set_keep_alive(mqtt.keep_alive);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    options.set_connection_timeout(5);
    if let Some(login) = &mqtt.login {
        options.set_credentials(&login.username, secret(&login.password_file)?);
    }
    if mqtt.broker.tls {
        let client = tls(&mqtt.tls)?;
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(client))));
    }
    Ok(options)
}

/// Messages that a session may have on the way to the broker. It publishes none; the library reserves memory for each, of which
/// its default has 65,535, and draws the packet identifiers of subscriptions from as many.
const MAX_OUTGOING: u16 = 16;

/// Options for a session that takes readings in: one that the broker keeps while we are away, with acknowledgements in
/// our hands and a window that bounds what may be on the way.
///
/// # Errors
/// As [`options`].
pub fn session_options(mqtt: &config::Mqtt, client_id: &str) -> Result<MqttOptions, ConnectError> {
    let mut options = options(mqtt, client_id)?;
    options.set_manual_acks(true);
    // Both are needed for a session that outlives its connection: without an expiry it ends with it.
    options.set_clean_start(false);
    options.set_session_expiry_interval(Some(u32::try_from(mqtt.session_expiry.as_secs()).unwrap_or(u32::MAX)));
    options.set_receive_maximum(Some(mqtt.receive_maximum.get()));
    options.set_outgoing_inflight_upper_limit(MAX_OUTGOING);
    // Announced to the broker; the library's own default of 10 KiB is not, and ends in a loop of reconnections.
    options.set_max_packet_size(Some(mqtt.max_packet_size));
    Ok(options)
}

/// Reads a secret from its file; white space around it is no part of it.
///
/// # Errors
/// When the file can't be read.
pub fn secret(path: &Path) -> Result<String, ConnectError> {
    let text = std::fs::read_to_string(path).map_err(|error| file(path, &error))?;
    Ok(text.trim().to_owned())
}

fn file(path: &Path, error: &io::Error) -> ConnectError {
    ConnectError::File { path: path.into(), message: error.to_string() }
}

fn tls(tls: &config::Tls) -> Result<ClientConfig, ConnectError> {
    let mut roots = RootCertStore::empty();
    match &tls.ca_file {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| pem(path, "certificate", &error))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err(ConnectError::NoAuthorities);
            }
        }
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let Some((certificate, key)) = &tls.identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| pem(key, "private key", &error))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| ConnectError::Identity(error.to_string()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| pem(path, "certificate", &error))?;
    let found: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| pem(path, "certificate", &error))?;
    if found.is_empty() { Err(pem(path, "certificate", &"there is none in it")) } else { Ok(found) }
}

fn pem(path: &Path, what: &'static str, message: &dyn std::fmt::Display) -> ConnectError {
    ConnectError::Pem { path: path.into(), what, message: message.to_string() }
}
