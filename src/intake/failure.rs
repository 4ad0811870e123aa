//! What a connection that failed means for the person who has to mend it, and how patient to be. Pure: no socket, no clock.

use rumqttc::v5::mqttbytes;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode};
use rumqttc::v5::{ConnectionError, StateError};

use super::tls_failure;

/// So many connections in a row that ended soon are no accident.
const TOO_MANY_SHORT: u32 = 3;

/// How long to wait before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// A random part of a bound that doubles.
    Usual,
    /// Waiting alone can't help: somebody has to change a setting.
    Longest,
    /// Another instance has the session, and would lose it to us as we have to it.
    TakenOver,
}

/// Why there is no connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// What happened, and what to look at.
    pub reason: String,
    pub patience: Patience,
}

impl Failure {
    /// Judges an error of the client after `short_lived` connections in a row that ended soon.
    pub fn of(error: &ConnectionError, short_lived: u32, client_id: &str) -> Self {
        let usual = |reason| Self { reason, patience: Patience::Usual };
        match error {
            ConnectionError::ConnectionRefused(code)
            | ConnectionError::MqttState(StateError::ConnFail { reason: code }) => Self {
                reason: format!(
                    "the broker refuses the connection ({code:?}): look at client id, user name and password"
                ),
                patience: if is_about_us(*code) { Patience::Longest } else { Patience::Usual },
            },
            ConnectionError::MqttState(StateError::ServerDisconnect {
                reason_code: DisconnectReasonCode::SessionTakenOver,
                ..
            }) => Self {
                reason: "another client took the session over: give every instance a mqtt.client_id of its own".into(),
                patience: Patience::TakenOver,
            },
            // The library calls an error of the socket by the same name.
            ConnectionError::MqttState(StateError::Deserialization(error))
                if !matches!(error, mqttbytes::Error::Io(_)) =>
            {
                usual(format!(
                    "the broker sent a packet that can't be read ({error}); it will send it again: look at who publishes it"
                ))
            }
            // A broker that is silent about why it ends a connection: Mosquitto up to 2.0.11 at least, at a take-over.
            ConnectionError::MqttState(StateError::ConnectionAborted) if short_lived >= TOO_MANY_SHORT => {
                usual(format!(
                    "the broker ended {short_lived} connections in a row soon after they began: is there another \
                     client with the mqtt.client_id \"{client_id}\"? give every instance one of its own"
                ))
            }
            other => {
                usual(tls_failure::advice(other).unwrap_or_else(|| format!("no connection to the broker: {other}")))
            }
        }
    }
}

fn is_about_us(code: ConnectReturnCode) -> bool {
    matches!(
        code,
        ConnectReturnCode::BadUserNamePassword
            | ConnectReturnCode::NotAuthorized
            | ConnectReturnCode::ClientIdentifierNotValid
            | ConnectReturnCode::BadClientId
            | ConnectReturnCode::Banned
            | ConnectReturnCode::BadAuthenticationMethod
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: StateError, short_lived: u32) -> Failure {
        Failure::of(&ConnectionError::MqttState(error), short_lived, "wardline-1")
    }

    #[test]
    fn only_what_somebody_has_to_change_is_waited_for_longest() {
        let refused = |code| Failure::of(&ConnectionError::ConnectionRefused(code), 0, "wardline-1").patience;
        assert_eq!(refused(ConnectReturnCode::NotAuthorized), Patience::Longest);
        assert_eq!(refused(ConnectReturnCode::ServerBusy), Patience::Usual);
    }

    #[test]
    fn one_connection_that_ends_is_an_accident_and_several_in_a_row_are_another_client() {
        assert!(!of(StateError::ConnectionAborted, 2).reason.contains("another client"));
        let failure = of(StateError::ConnectionAborted, 3);
        assert!(failure.reason.contains("another client with the mqtt.client_id \"wardline-1\""), "{failure:?}");
    }

    #[test]
    fn a_broken_socket_is_no_packet_that_somebody_has_to_look_at() {
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let socket = of(StateError::Deserialization(mqttbytes::Error::Io(broken)), 0);
        assert!(!socket.reason.contains("can't be read"), "{socket:?}");
        let packet = of(StateError::Deserialization(mqttbytes::Error::TopicNotUtf8), 0);
        assert!(packet.reason.contains("can't be read"), "{packet:?}");
    }
}
