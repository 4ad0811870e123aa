//! Metrics of notification.

use metrics::{Counter, Gauge, Histogram};

use super::{counter, counter_with, gauge, seconds};

/// Handles of the notification stage.
#[derive(Debug, Clone)]
pub struct Notify {
    /// Delivered over MQTT.
    pub mqtt: Counter,
    /// Delivered over a webhook.
    pub webhook: Counter,
    /// Tries that failed.
    pub failed: Counter,
    /// Given up because of their age.
    pub expired: Counter,
    /// Alerts for which the care graph named nobody that can be reached.
    pub nobody: Counter,
    /// Notifications that are not delivered.
    pub pending: Gauge,
    /// Events whose recipients are not known.
    pub unresolved: Gauge,
    /// Events that the alert store does not have.
    pub unkept: Gauge,
    /// From the reception of the reading until the notification is delivered.
    pub delay_seconds: Histogram,
}

impl Notify {
    /// Registers the metrics.
    #[must_use]
    pub fn register() -> Self {
        let delivered = |channel| {
            counter_with("wardline_notifications_total", "Notifications delivered, by channel.", "channel", channel)
        };
        Self {
            mqtt: delivered("mqtt"),
            webhook: delivered("webhook"),
            failed: counter("wardline_notification_failures_total", "Tries to notify that failed."),
            expired: counter("wardline_notifications_expired_total", "Notifications given up because of their age."),
            nobody: counter("wardline_no_recipient_total", "Alerts for which the care graph named nobody to reach."),
            pending: gauge("wardline_notifications_pending", "Notifications that are not delivered."),
            unresolved: gauge("wardline_alerts_unresolved", "Events of alerts whose recipients are not known."),
            unkept: gauge("wardline_alerts_unkept", "Events of alerts that the alert store does not have."),
            delay_seconds: seconds("wardline_notify_delay_seconds", "Reading received to notification delivered."),
        }
    }
}
