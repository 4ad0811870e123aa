//! What a failure of TLS means for the person who has to mend it.

use rumqttc::TlsError;
use rumqttc::v5::mqttbytes;
use rumqttc::v5::{ConnectionError, StateError};

/// Says which setting to look at when the connection failed because of TLS; `None` for any other failure.
pub(super) fn advice(error: &ConnectionError) -> Option<String> {
    let cause = match error {
        ConnectionError::Tls(TlsError::Io(cause))
        | ConnectionError::Io(cause)
        | ConnectionError::MqttState(
            StateError::Io(cause) | StateError::Deserialization(mqttbytes::Error::Io(cause)),
        ) => cause.get_ref()?.downcast_ref::<rustls::Error>()?,
        _ => return None,
    };
    Some(match cause {
        rustls::Error::InvalidCertificate(why) => format!(
            "the broker's certificate is not trusted ({why:?}): look at mqtt.ca_file, and at the host in mqtt.url"
        ),
        rustls::Error::AlertReceived(alert) => {
            format!("the broker refuses our side of TLS ({alert:?}): look at mqtt.cert_file and mqtt.key_file")
        }
        other => format!("TLS with the broker fails ({other}): look at mqtt.url and at what listens there"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_connection_is_no_failure_of_tls() {
        let broken = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(advice(&ConnectionError::Io(broken())), None);
        assert_eq!(advice(&ConnectionError::Tls(TlsError::Io(broken()))), None);
        let wrapped =
            std::io::Error::other(rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired));
        assert!(advice(&ConnectionError::Io(wrapped)).is_some_and(|advice| advice.contains("mqtt.cert_file")));
    }
}
