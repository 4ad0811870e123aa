//! What a recipient is told, the same on every channel. No name: who may know it looks the patient up.

use serde::Serialize;

use super::outbox::Notification;

/// The body of a notification.
#[derive(Debug, Serialize)]
pub struct Message<'a> {
    /// Identifies the notification; the same when it is sent again.
    notification: &'a str,
    /// Identifies the episode.
    alert: &'a str,
    /// `begin`, `rise` or `end`.
    phase: &'a str,
    /// `high`, `medium`, `low` or `technical`.
    priority: &'a str,
    /// What is abnormal.
    condition: &'a str,
    /// The pseudonym.
    patient: &'a str,
    region: &'a str,
    ward: &'a str,
    bed: Option<&'a str>,
    device: &'a str,
    /// The value that began it, in the unit of its vital.
    value: Option<f64>,
    /// The limit that it broke.
    limit: Option<f64>,
    /// RFC 3339.
    begin: String,
    end: Option<String>,
    /// When the reading was measured that shows this.
    at: String,
    /// What this is and is not.
    notice: &'static str,
}

impl<'a> Message<'a> {
    /// The message of a notification.
    #[must_use]
    pub fn new(notification: &'a Notification) -> Self {
        let event = &notification.event;
        let alert = &event.alert;
        Self {
            notification: &notification.id,
            alert: &alert.id,
            phase: event.phase.name(),
            priority: alert.priority.name(),
            condition: &alert.condition,
            patient: &alert.patient,
            region: &alert.region,
            ward: &alert.ward,
            bed: alert.bed.as_deref(),
            device: &alert.device,
            value: alert.value,
            limit: alert.limit,
            begin: instant(alert.begin),
            end: alert.end.map(instant),
            at: instant(event.at),
            notice: "secondary notification; the bedside monitor is the primary alarm",
        }
    }

    /// The message as JSON.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        // A struct of texts and numbers; there is nothing in it that JSON could refuse.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn instant(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}
