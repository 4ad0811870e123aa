//! Metrics of intake.

use metrics::{Counter, Gauge};

use super::{counter, gauge};

/// Handles of the sessions and of the preparation of messages.
#[derive(Debug, Clone)]
pub struct Intake {
    /// Messages taken from the broker.
    pub messages: Counter,
    /// Acknowledgements handed to the client.
    pub acknowledged: Counter,
    /// Messages that the broker marked as sent before.
    pub redelivered: Counter,
    /// Retained messages, which are ignored.
    pub retained: Counter,
    /// Connections made.
    pub connects: Counter,
    /// Connections lost or refused.
    pub disconnects: Counter,
    /// Messages that are not on disk.
    pub unacknowledged: Gauge,
    /// Vitals that are in no table of ours.
    pub unknown_vitals: Counter,
    /// Seconds since the last message.
    pub silence_seconds: Gauge,
}

impl Intake {
    /// Registers the metrics.
    #[must_use]
    pub fn register() -> Self {
        Self {
            messages: counter("wardline_mqtt_messages_total", "Messages taken from the broker."),
            acknowledged: counter("wardline_mqtt_acknowledged_total", "Messages acknowledged to the broker."),
            redelivered: counter("wardline_mqtt_redelivered_total", "Messages marked as sent before."),
            retained: counter("wardline_mqtt_retained_total", "Retained messages, which are ignored."),
            connects: counter("wardline_mqtt_connects_total", "Connections made to the broker."),
            disconnects: counter("wardline_mqtt_disconnects_total", "Connections to the broker lost or refused."),
            unacknowledged: gauge("wardline_mqtt_unacknowledged", "Messages received and not on disk."),
            unknown_vitals: counter("wardline_unknown_vitals_total", "Vitals in no table of ours, kept out."),
            silence_seconds: gauge("wardline_mqtt_silence_seconds", "Seconds since the last message."),
        }
    }
}
