//! Who is told of an event: pure decisions on what the care graph and the outbox say.

use super::outbox::Notification;
use crate::care::{Priority, Recipient};
use crate::config::SafetyNet;
use crate::reading::Millis;
use crate::watch::detector::Event;
use crate::watch::episode::Phase;

/// The condition of the alert that says that nobody could be told.
pub const NO_RECIPIENT: &str = "no_recipient";

/// The channels there are.
pub const CHANNELS: [&str; 2] = ["mqtt", "webhook"];

/// The notifications of an event, and the events that follow from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// To be sent.
    pub notifications: Vec<Notification>,
    /// To be told and kept as well.
    pub follow_up: Vec<Event>,
}

/// The endpoint of last resort as a recipient.
#[must_use]
pub fn safety_net(net: &SafetyNet) -> Recipient {
    Recipient { clinician: "safety-net".to_owned(), kind: net.kind.to_owned(), address: net.address.clone(), rank: 0 }
}

/// Plans an event for the recipients that were found: each clinician at the first endpoint that we have a channel for.
///
/// With nobody to reach, the safety net is told, and that nobody was found is an alert of its own.
#[must_use]
pub fn plan(event: &Event, found: Vec<Recipient>, net: &SafetyNet, now: Millis) -> Plan {
    let mut reachable: Vec<Recipient> = Vec::new();
    for recipient in found {
        let known = CHANNELS.contains(&recipient.kind.as_str());
        if known && !reachable.iter().any(|other| other.clinician == recipient.clinician) {
            reachable.push(recipient);
        }
    }
    if !reachable.is_empty() {
        let notifications = reachable.into_iter().map(|recipient| Notification::new(event, recipient, now)).collect();
        return Plan { notifications, follow_up: Vec::new() };
    }
    let mut follow_up = Vec::new();
    if event.phase != Phase::End && event.alert.condition != NO_RECIPIENT {
        let mut alert = event.alert.clone();
        alert.id = format!("{}.{NO_RECIPIENT}", alert.id);
        alert.condition = NO_RECIPIENT.to_owned();
        alert.priority = Priority::Technical;
        (alert.begin, alert.end, alert.value, alert.limit) = (event.at, Some(event.at), None, None);
        follow_up.push(Event { alert, phase: Phase::Begin, at: event.at, received: event.received });
    }
    Plan { notifications: vec![Notification::new(event, safety_net(net), now)], follow_up }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::care::AlertRecord;

    fn event(condition: &str) -> Event {
        let alert = AlertRecord {
            id: "a".to_owned(),
            patient: "p-1".to_owned(),
            device: "mon-1".to_owned(),
            region: "north".to_owned(),
            ward: "icu-1".to_owned(),
            bed: None,
            condition: condition.to_owned(),
            priority: Priority::High,
            begin: 1,
            end: None,
            value: None,
            limit: None,
        };
        Event { alert, phase: Phase::Begin, at: 1, received: 2 }
    }

    fn recipient(clinician: &str, kind: &str, rank: i64) -> Recipient {
        let (clinician, kind, address) = (clinician.to_owned(), kind.to_owned(), format!("{clinician}-{rank}"));
        Recipient { clinician, kind, address, rank }
    }

    const NET: fn() -> SafetyNet = || SafetyNet { kind: "mqtt", address: "desk".to_owned() };

    #[test]
    fn each_clinician_is_told_once_at_the_first_endpoint_we_can_reach() {
        let found = vec![
            recipient("dr-1", "pager", 0),
            recipient("dr-1", "mqtt", 1),
            recipient("dr-1", "webhook", 2),
            recipient("dr-2", "webhook", 0),
        ];
        let plan = plan(&event("spo2_low"), found, &NET(), 9);
        let ids: Vec<_> = plan.notifications.iter().map(|notification| notification.id.as_str()).collect();
        assert_eq!(ids, ["a.begin.mqtt.dr-1", "a.begin.webhook.dr-2"]);
        assert!(plan.follow_up.is_empty());
    }

    #[test]
    fn with_nobody_to_reach_the_safety_net_hears_of_the_alert_and_of_the_gap() {
        for found in [vec![], vec![recipient("dr-1", "pager", 0)]] {
            let first = plan(&event("spo2_low"), found, &NET(), 9);
            assert_eq!(first.notifications.first().map(|n| n.recipient.address.as_str()), Some("desk"));
            let gap = first.follow_up.first().cloned().unwrap_or_else(|| event("spo2_low"));
            assert_eq!((gap.alert.condition.as_str(), gap.alert.priority), (NO_RECIPIENT, Priority::Technical));
            let second = plan(&gap, vec![], &NET(), 9);
            assert!(second.follow_up.is_empty(), "the gap of a gap is no news");
        }
    }
}
