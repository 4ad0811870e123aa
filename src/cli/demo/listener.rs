//! The clinicians of the demo: one MQTT client that listens to all their topics and says who was told what.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, Event, Incoming, MqttOptions};
use serde::Deserialize;

/// What was heard.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    /// Notifications by their ids: one that comes twice is told once.
    ids: HashSet<String>,
    /// Not shown yet.
    news: VecDeque<String>,
}

/// The part of a notification that the screen shows.
#[derive(Debug, Deserialize)]
struct Notification {
    notification: String,
    phase: String,
    priority: String,
    condition: String,
    bed: Option<String>,
}

impl Heard {
    /// Listens to every clinician's topic from now on; `names` gives their names by their ids.
    pub(super) fn listen(mut options: MqttOptions, names: HashMap<String, String>) -> Self {
        options.set_clean_start(true);
        let (heard, (client, mut events)) = (Self::default(), AsyncClient::new(options, 8));
        let this = heard.clone();
        tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                        client.try_subscribe("alerts/v1/#", QoS::AtLeastOnce).ok();
                    }
                    Ok(Event::Incoming(Incoming::Publish(publish))) => {
                        let topic = String::from_utf8_lossy(&publish.topic);
                        let clinician = topic.rsplit('/').next().unwrap_or_default();
                        let name = names.get(clinician).map_or(clinician, String::as_str);
                        this.take(name, &publish.payload);
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(200)).await,
                }
            }
        });
        heard
    }

    fn take(&self, name: &str, payload: &[u8]) {
        let Ok(notification) = serde_json::from_slice::<Notification>(payload) else { return };
        let Notification { notification, phase, priority, condition, bed } = notification;
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.ids.insert(notification) {
            let bed = bed.map(|bed| format!(" in bed {bed}")).unwrap_or_default();
            told.news.push_back(format!("{name}: {condition} {phase}{bed} ({priority})"));
        }
    }

    /// What was heard since the last call.
    pub(super) fn news(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).news.drain(..).collect()
    }

    /// How many notifications were heard.
    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ids.len()
    }
}
