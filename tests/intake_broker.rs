//! The intake and its broker over a bad day: restarts, a second instance, refusals, TLS, messages that are too large.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "support/device.rs"]
mod device;
#[path = "support/wardline.rs"]
mod instance;
#[path = "support/packets.rs"]
mod packets;
#[path = "support/relay.rs"]
mod relay;
#[path = "support/servers.rs"]
mod servers;
#[path = "support/stored.rs"]
mod stored;

use std::collections::BTreeSet;
use std::path::Path;

use device::Device;
use instance::{Wardline, until};
use packets::Packet;
use relay::{Fate, Relay};
use servers::{InfluxDb, Mosquitto, MosquittoOptions, certificates};

const CLIENT: &str = "wardline-1";

fn broker(persistence: bool) -> Mosquitto {
    let config = "max_queued_messages 0\n".to_owned();
    Mosquitto::start(&MosquittoOptions { config, persistence, ..MosquittoOptions::default() })
}

fn quick(wardline: Wardline) -> Wardline {
    wardline.set("mqtt.backoff_min", "10ms").set("mqtt.backoff_max", "100ms")
}

#[test]
fn a_broker_that_keeps_its_sessions_may_restart_and_nothing_that_a_device_had_acknowledged_is_lost() {
    if !servers::wanted(
        "a_broker_that_keeps_its_sessions_may_restart_and_nothing_that_a_device_had_acknowledged_is_lost",
    ) {
        return;
    }
    const READINGS: u64 = 12_000;
    let (mut broker, influxdb) = (broker(true), InfluxDb::start());
    let mut wardline = quick(Wardline::on(&broker.url)).influxdb(&influxdb).init().start();
    wardline.ready();
    let device = Device::on(broker.process.address(), "mon-1");
    for number in 0..READINGS {
        device.read(number);
    }
    // Under load,
    for share in [1, 2] {
        until("the load is on", || device.acknowledged().len() as u64 > share * READINGS / 4);
        broker.process.restart();
    }
    // and with all that comes in our absence only at the broker.
    wardline.kill();
    let at_the_kill = device.acknowledged().len() as u64;
    assert!(at_the_kill < READINGS, "the load was over before wardline was gone");
    device.delivered();
    broker.process.restart();
    wardline.restart();
    stored::until_stored(&influxdb, "mon-1", &(0..READINGS).collect());
    assert_eq!(stored::stored(&influxdb).len() as u64, READINGS);
    assert!(wardline.balance().holds(), "{:?}", wardline.balance());
}

#[test]
fn a_broker_that_forgets_its_sessions_is_subscribed_to_again() {
    if !servers::wanted("a_broker_that_forgets_its_sessions_is_subscribed_to_again") {
        return;
    }
    let (mut broker, influxdb) = (broker(false), InfluxDb::start());
    let wardline = quick(Wardline::on(&broker.url)).influxdb(&influxdb).init().start();
    wardline.ready();
    let device = Device::on(broker.process.address(), "mon-1");
    device.read(0);
    stored::until_stored(&influxdb, "mon-1", &BTreeSet::from([0]));
    for restart in 1..4 {
        broker.process.stop();
        wardline.until_part("mqtt", "down", "no connection to the broker");
        assert_eq!(wardline.readiness().0, 503);
        broker.process.restart();
        wardline.until_part("mqtt", "ok", "");
        device.read(restart);
        stored::until_stored(&influxdb, "mon-1", &(0..=restart).collect());
    }
}

#[test]
fn two_instances_with_one_client_id_say_so_and_do_not_storm_the_broker() {
    if !servers::wanted("two_instances_with_one_client_id_say_so_and_do_not_storm_the_broker") {
        return;
    }
    let (broker, influxdb) = (broker(false), InfluxDb::start());
    let relay = Relay::to(broker.process.address());
    let instance = || Wardline::on(&relay.url).set("mqtt.backoff_min", "10ms").influxdb(&influxdb);
    let first = instance().init().start();
    first.ready();
    let second = instance().start();
    // Mosquitto 2.0.11 throws the earlier one out without a word, so both are left to guess.
    let told = |wardline: &Wardline| {
        let (state, reason) = wardline.part("mqtt");
        state == "down" && reason.contains("another client with the mqtt.client_id \"wardline-1\"")
    };
    until("one of them says why", || told(&first) || told(&second));

    // Waits that double soon leave the session to one of them for long enough; nothing is lost on the way.
    let device = Device::on(broker.process.address(), "mon-1");
    for number in 0..20 {
        device.read(number);
        stored::until_stored(&influxdb, "mon-1", &(0..=number).collect());
    }
    let connections = relay.connections_of(CLIENT).len();
    assert!(connections < 60, "{connections} connections");
}

#[test]
fn a_session_that_the_broker_gave_to_another_client_is_not_taken_back_at_once() {
    if !servers::wanted("a_session_that_the_broker_gave_to_another_client_is_not_taken_back_at_once") {
        return;
    }
    let broker = broker(false);
    let relay = Relay::to(broker.process.address());
    let wardline = quick(Wardline::on(&relay.url)).start();
    wardline.ready();
    // As other brokers do: DISCONNECT with "session taken over", here in place of the next message.
    relay.judge(|record, _| match record.packet {
        Packet::Publish { .. } if record.from == relay::From::Broker => Fate::Forge(vec![0xe0, 2, 0x8e, 0]),
        _ => Fate::Pass,
    });
    let device = Device::on(broker.process.address(), "mon-1");
    device.read(0);
    wardline.until_part("mqtt", "down", "give every instance a mqtt.client_id of its own");
    assert_eq!(wardline.readiness().0, 503);
    // Each of these would be delivered to a session that is back.
    for number in 1..200 {
        device.read(number);
        device.delivered();
    }
    assert_eq!(relay.connections_of(CLIENT).len(), 1);
}

#[test]
fn a_refused_subscription_is_told_and_asked_for_again() {
    if !servers::wanted("a_refused_subscription_is_told_and_asked_for_again") {
        return;
    }
    let broker = broker(false);
    let relay = Relay::to(broker.process.address());
    // The last byte of a SUBACK for one filter is its code: "not authorized".
    relay.judge(|record, bytes| match record.packet {
        Packet::SubAck { .. } => Fate::Forge([&bytes[..bytes.len() - 1], &[0x87]].concat()),
        _ => Fate::Pass,
    });
    let wardline = quick(Wardline::on(&relay.url)).start();
    wardline.until_part("mqtt", "down", "refuses the subscription vitals/v1/north/# (NotAuthorized)");
    assert_eq!(wardline.readiness().0, 503);
    relay.pass();
    wardline.ready();
    assert_eq!(relay.connections_of(CLIENT).len(), 1, "on the same connection");
}

/// Where a broker with TLS is, and what it wants.
fn secured(authority: &Path, tls_anonymous: bool) -> Mosquitto {
    Mosquitto::start(&MosquittoOptions {
        tls: Some(authority.to_owned()),
        tls_anonymous,
        users: vec![("intake".to_owned(), "open-sesame".to_owned())],
        ..MosquittoOptions::default()
    })
}

fn trusting(broker: &Mosquitto, authority: &Path) -> Wardline {
    let wardline = quick(Wardline::on(&broker.url));
    let password = wardline.secret("mqtt-password", "open-sesame\n");
    wardline
        .set("mqtt.ca_file", authority.join("ca.crt").to_str().unwrap())
        .set("mqtt.username", "intake")
        .set("mqtt.password_file", &password)
}

fn with_certificate(wardline: Wardline, folder: &Path) -> Wardline {
    wardline
        .set("mqtt.cert_file", folder.join("client.crt").to_str().unwrap())
        .set("mqtt.key_file", folder.join("client.key").to_str().unwrap())
}

/// Publishes a reading of now over the broker's TLS, with a client of another make.
fn publish(broker: &Mosquitto, authority: &Path) {
    let file = |name: &str| authority.join(name).into_os_string().into_string().unwrap();
    let payload = String::from_utf8(device::payload(1)).unwrap();
    let (ca, certificate, key) = (file("ca.crt"), file("client.crt"), file("client.key"));
    let login = ["-u", "intake", "-P", "open-sesame", "--cafile", &ca, "--cert", &certificate, "--key", &key];
    assert_eq!(broker.publish_message("vitals/v1/north/icu-1/mon-1", &payload, &login), Ok(()));
}

#[test]
fn readings_come_over_tls_with_a_password_and_with_a_certificate() {
    if !servers::wanted("readings_come_over_tls_with_a_password_and_with_a_certificate") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    certificates::make(folder.path());
    for tls_anonymous in [true, false] {
        let broker = secured(folder.path(), tls_anonymous);
        let wardline = trusting(&broker, folder.path());
        let wardline = if tls_anonymous { wardline } else { with_certificate(wardline, folder.path()) }.start();
        wardline.ready();
        publish(&broker, folder.path());
        until("the reading is acknowledged", || wardline.metric("wardline_mqtt_acknowledged_total") == 1.0);
        assert_eq!(wardline.balance().received, 1);
    }
}

#[test]
fn each_refusal_of_a_secured_broker_is_told_with_what_to_look_at() {
    if !servers::wanted("each_refusal_of_a_secured_broker_is_told_with_what_to_look_at") {
        return;
    }
    let (ours, foreign) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificates::make(ours.path());
    certificates::make(foreign.path());
    let mutual = secured(ours.path(), false);
    let anonymous = secured(ours.path(), true);

    let wrong_authority = trusting(&anonymous, foreign.path()).start();
    wrong_authority.until_part("mqtt", "down", "mqtt.ca_file");
    let no_certificate = trusting(&mutual, ours.path()).start();
    no_certificate.until_part("mqtt", "down", "mqtt.cert_file");
    let foreign_certificate = with_certificate(trusting(&mutual, ours.path()), foreign.path()).start();
    foreign_certificate.until_part("mqtt", "down", "mqtt.cert_file");
    let wrong_password = trusting(&anonymous, ours.path());
    wrong_password.secret("mqtt-password", "close-sesame");
    let wrong_password = wrong_password.start();
    wrong_password.until_part("mqtt", "down", "look at client id, user name and password");

    for wardline in [wrong_authority, no_certificate, foreign_certificate, wrong_password] {
        assert_eq!(wardline.readiness().0, 503);
        assert!(!wardline.log().contains("sesame"), "a password is in the log");
    }
}

#[test]
fn a_message_that_is_too_large_is_a_dead_letter_or_stays_at_the_broker_and_stops_nothing() {
    if !servers::wanted("a_message_that_is_too_large_is_a_dead_letter_or_stays_at_the_broker_and_stops_nothing") {
        return;
    }
    let (broker, influxdb) = (broker(false), InfluxDb::start());
    let wardline = quick(Wardline::on(&broker.url))
        .influxdb(&influxdb)
        .set("intake.max_payload", "4KiB")
        .set("mqtt.max_packet_size", "8KiB")
        .init()
        .start();
    wardline.ready();
    let device = Device::on(broker.process.address(), "mon-1");
    let topic = "vitals/v1/north/icu-1/mon-1";
    device.publish(topic, vec![b' '; 4 * 1024 + 1]);
    device.publish(topic, vec![b' '; 8 * 1024 + 1]);
    device.publish(topic, vec![b' '; 500 * 1024]);
    device.read(1);
    stored::until_stored(&influxdb, "mon-1", &BTreeSet::from([1]));
    assert_eq!(wardline.metric(r#"wardline_dead_lettered_total{reason="too_large"}"#), 1.0);
    assert_eq!(wardline.balance().received, 2, "the broker was told what we take, and keeps the larger ones back");
    assert_eq!(wardline.metric("wardline_mqtt_connects_total"), 1.0);
}
