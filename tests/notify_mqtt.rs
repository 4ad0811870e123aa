//! Alerts over a real broker, from the reading to the clinician's client: the topic, what counts as delivered, the broker
//! or the recipients away, and a restart of wardline.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed step is a failed test")]

#[path = "support/alerts.rs"]
mod alerts;
#[path = "support/journals.rs"]
mod journals;
#[path = "support/servers.rs"]
mod servers;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alerts::{Alerting, recipient, until};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Filter;
use rumqttc::v5::{AsyncClient, Event, Incoming, MqttOptions};
use servers::{Mosquitto, MosquittoOptions};
use tokio::task::JoinHandle;
use wardline::status::State;

/// Somebody who listens to all alerts, and again after each loss of the connection.
struct Listener {
    heard: Arc<Mutex<Vec<Heard>>>,
    subscribed: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Heard {
    topic: String,
    qos: QoS,
    retained: bool,
    body: serde_json::Value,
}

impl Heard {
    fn text(&self, field: &str) -> &str {
        self.body.get(field).unwrap().as_str().unwrap()
    }
}

impl Listener {
    fn start(port: u16) -> Self {
        let (heard, subscribed) = (Arc::<Mutex<Vec<Heard>>>::default(), Arc::<Mutex<usize>>::default());
        let (hears, subscribes) = (Arc::clone(&heard), Arc::clone(&subscribed));
        let task = tokio::spawn(async move {
            let mut options = MqttOptions::new("clinicians", "127.0.0.1", port);
            options.set_clean_start(false);
            options.set_session_expiry_interval(Some(3600));
            let (client, mut events) = AsyncClient::new(options, 8);
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                        let filters = ["alerts/#", "test"].map(|topic| Filter::new(topic, QoS::AtLeastOnce));
                        client.subscribe_many(filters).await.unwrap();
                    }
                    Ok(Event::Incoming(Incoming::SubAck(_))) => *subscribes.lock().unwrap() += 1,
                    Ok(Event::Incoming(Incoming::Publish(publish))) => hears.lock().unwrap().push(Heard {
                        topic: String::from_utf8(publish.topic.to_vec()).unwrap(),
                        qos: publish.qos,
                        retained: publish.retain,
                        body: serde_json::from_slice(&publish.payload).unwrap_or_default(),
                    }),
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        });
        Self { heard, subscribed, task }
    }

    /// Waits until it has subscribed so many times.
    async fn until_subscribed(&self, times: usize) {
        until(|| *self.subscribed.lock().unwrap() >= times).await;
    }

    /// Waits until it has heard so many alerts: what a broker has acknowledged may be lost with the broker.
    async fn until_heard(&self, count: usize) {
        until(|| self.heard.lock().unwrap().len() >= count).await;
    }

    /// The alerts, up to a last message that is sent now: nothing is on its way any more.
    async fn all(&self, broker: &Mosquitto) -> Vec<Heard> {
        broker.publish(&[]).unwrap();
        until(|| self.heard.lock().unwrap().iter().any(|heard| heard.topic == "test")).await;
        let mut heard = self.heard.lock().unwrap();
        heard.retain(|heard| heard.topic != "test");
        heard.clone()
    }

    /// How often each notification came.
    async fn ids(&self, broker: &Mosquitto) -> BTreeMap<String, usize> {
        let mut ids = BTreeMap::new();
        self.all(broker)
            .await
            .iter()
            .for_each(|heard| *ids.entry(heard.text("notification").to_owned()).or_default() += 1);
        ids
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn once(ids: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    ids.into_iter().map(|id| (id, 1)).collect()
}

fn dr_1() -> Vec<wardline::care::Recipient> {
    vec![recipient("dr-1", "mqtt", "dr-1")]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_episode_is_told_on_the_clinicians_topic_with_qos_1_at_its_begin_and_at_its_end() {
    if !servers::wanted("an_episode_is_told_on_the_clinicians_topic_with_qos_1_at_its_begin_and_at_its_end") {
        return;
    }
    let broker = Mosquitto::start(&MosquittoOptions::default());
    let listener = Listener::start(broker.process.port());
    listener.until_subscribed(1).await;
    let mut alerting = Alerting::start(dr_1(), broker.process.port());
    alerting.notify();
    let alert = alerting.desaturate("p-1").await;
    alerting.recover("p-1").await;
    alerting.until_delivered(2).await;
    let heard = listener.all(&broker).await;
    let told: Vec<_> = heard.iter().map(|heard| (heard.topic.as_str(), heard.qos, heard.text("phase"))).collect();
    let topic = "alerts/v1/north/dr-1";
    assert_eq!(told, [(topic, QoS::AtLeastOnce, "begin"), (topic, QoS::AtLeastOnce, "end")]);
    assert!(
        heard.iter().all(|heard| !heard.retained && heard.text("alert") == alert && heard.text("patient") == "p-1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_while_the_broker_is_away_is_delivered_once_when_it_is_back() {
    if !servers::wanted("an_alert_while_the_broker_is_away_is_delivered_once_when_it_is_back") {
        return;
    }
    let mut broker = Mosquitto::start(&MosquittoOptions::default());
    let listener = Listener::start(broker.process.port());
    listener.until_subscribed(1).await;
    let mut alerting = Alerting::start(dr_1(), broker.process.port());
    alerting.notify();
    let before = alerting.desaturate("p-1").await;
    alerting.until_delivered(1).await;
    // Twice, so that a connection is lost that was itself a second one.
    let mut alerts = vec![before];
    for (round, patient) in ["p-2", "p-3"].into_iter().enumerate() {
        listener.until_heard(alerts.len()).await;
        broker.process.stop();
        alerts.push(alerting.desaturate(patient).await);
        alerting.until_pending(0, 1).await;
        broker.process.restart();
        listener.until_subscribed(round + 2).await;
        alerting.until_delivered(alerts.len() as u64).await;
    }
    let expected = once(alerts.iter().map(|alert| format!("{alert}.begin.mqtt.dr-1")));
    assert_eq!(listener.ids(&broker).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_alerts_across_restarts_of_the_broker_are_all_heard() {
    if !servers::wanted("many_alerts_across_restarts_of_the_broker_are_all_heard") {
        return;
    }
    const PATIENTS: usize = 120;
    // The broker keeps what it has acknowledged, so that all that can be lost is lost by us.
    let mut broker = Mosquitto::start(&MosquittoOptions { persistence: true, ..MosquittoOptions::default() });
    let listener = Listener::start(broker.process.port());
    listener.until_subscribed(1).await;
    let mut alerting = Alerting::start(dr_1(), broker.process.port());
    alerting.notify();
    let mut alerts = Vec::new();
    for patient in 0..PATIENTS {
        alerts.push(alerting.desaturate(&format!("p-{patient}")).await);
        if patient % 40 == 20 {
            // In the midst of what is on its way.
            broker.process.stop();
        }
        if patient % 40 == 39 {
            broker.process.restart();
        }
    }
    alerting.until_delivered(PATIENTS as u64).await;
    let ids = listener.ids(&broker).await;
    let expected = once(alerts.iter().map(|alert| format!("{alert}.begin.mqtt.dr-1")));
    // One whose acknowledgement was lost with the connection may come again, under its own id.
    assert_eq!(ids.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_nobody_listens_to_is_not_delivered_until_somebody_does() {
    if !servers::wanted("an_alert_that_nobody_listens_to_is_not_delivered_until_somebody_does") {
        return;
    }
    let broker = Mosquitto::start(&MosquittoOptions::default());
    let mut alerting = Alerting::start(dr_1(), broker.process.port());
    alerting.notify();
    let alert = alerting.desaturate("p-1").await;
    alerting.until_pending(0, 1).await;
    while alerting.one("SELECT max(attempts) FROM notifications").await < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let listener = Listener::start(broker.process.port());
    alerting.until_delivered(1).await;
    assert_eq!(listener.ids(&broker).await, once([format!("{alert}.begin.mqtt.dr-1")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_recipient_the_safety_net_hears_of_the_alert_and_of_the_gap() {
    if !servers::wanted("with_no_recipient_the_safety_net_hears_of_the_alert_and_of_the_gap") {
        return;
    }
    let broker = Mosquitto::start(&MosquittoOptions::default());
    let listener = Listener::start(broker.process.port());
    listener.until_subscribed(1).await;
    // An endpoint of a kind that we have no channel for is as good as none.
    let mut alerting = Alerting::start(vec![recipient("dr-1", "pager", "555")], broker.process.port());
    alerting.notify();
    alerting.desaturate("p-1").await;
    alerting.until_delivered(2).await;
    let heard = listener.all(&broker).await;
    let mut told: Vec<_> =
        heard.iter().map(|heard| (heard.topic.as_str(), heard.text("condition"), heard.text("priority"))).collect();
    told.sort_unstable();
    let net = "alerts/v1/north/safety-net";
    assert_eq!(told, [(net, "no_recipient", "technical"), (net, "spo2_low", "high")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_repeats_nothing_that_was_delivered_and_delivers_what_was_not() {
    if !servers::wanted("a_restart_repeats_nothing_that_was_delivered_and_delivers_what_was_not") {
        return;
    }
    let mut broker = Mosquitto::start(&MosquittoOptions::default());
    let listener = Listener::start(broker.process.port());
    listener.until_subscribed(1).await;
    let mut alerting = Alerting::start(dr_1(), broker.process.port());
    alerting.notify();
    let delivered = alerting.desaturate("p-1").await;
    alerting.until_delivered(1).await;
    listener.until_heard(1).await;
    broker.process.stop();
    // One with a recipient and one without, at the moment of the stop.
    let resolved = alerting.desaturate("p-2").await;
    alerting.until_pending(0, 1).await;
    alerting.care.is_away();
    let unresolved = alerting.desaturate("p-3").await;
    alerting.until_pending(1, 1).await;
    until(|| matches!(alerting.state(), State::Degraded(_))).await;

    let mut alerting = alerting.restart().await;
    broker.process.restart();
    listener.until_subscribed(2).await;
    alerting.care.names(dr_1());
    alerting.notify();
    alerting.until_delivered(3).await;
    // The end of the first episode, which began before the restart.
    alerting.recover("p-1").await;
    alerting.until_delivered(4).await;
    let mut expected = once([&delivered, &resolved, &unresolved].map(|alert| format!("{alert}.begin.mqtt.dr-1")));
    expected.insert(format!("{delivered}.end.mqtt.dr-1"), 1);
    assert_eq!(listener.ids(&broker).await, expected);
}
