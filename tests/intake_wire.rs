//! The intake as the broker sees it, packet by packet: what is acknowledged, when, in which order, on which connection.
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

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use device::Device;
use instance::{Wardline, until};
use packets::Packet;
use relay::{Fate, Record, Relay, acknowledgements};
use servers::{InfluxDb, Mosquitto, MosquittoOptions};

const CLIENT: &str = "wardline-1";

/// A broker that drops nothing between a device and us: what is missing, we have lost.
fn broker() -> Mosquitto {
    let config = "max_queued_messages 0\n".to_owned();
    Mosquitto::start(&MosquittoOptions { config, ..MosquittoOptions::default() })
}

fn deliveries(records: &[Record]) -> Vec<u16> {
    let ids = records.iter().filter_map(|record| match record.packet {
        Packet::Publish { id, .. } if record.from == relay::From::Broker => id,
        _ => None,
    });
    ids.collect()
}

fn pings(records: &[Record]) -> usize {
    records.iter().filter(|record| record.packet == Packet::PingReq).count()
}

fn subscriptions(records: &[Record]) -> usize {
    records.iter().filter(|record| matches!(record.packet, Packet::Subscribe { .. })).count()
}

/// Every acknowledgement answers the oldest delivery of its connection that none has answered yet.
fn assert_in_receive_order(records: &[Record]) {
    let mut open = std::collections::VecDeque::new();
    for record in records {
        match record.packet {
            Packet::Publish { id: Some(id), .. } if record.from == relay::From::Broker => open.push_back(id),
            Packet::PubAck { id, .. } if record.from == relay::From::Wardline => {
                assert_eq!(open.pop_front(), Some(id), "acknowledged out of order, or not delivered here");
            }
            _ => {}
        }
    }
}

#[test]
fn acknowledgements_come_in_receive_order_and_only_on_the_connection_that_delivered() {
    if !servers::wanted("acknowledgements_come_in_receive_order_and_only_on_the_connection_that_delivered") {
        return;
    }
    const READINGS: u64 = 10_000;
    const CUTS: usize = 12;
    let (broker, influxdb) = (broker(), InfluxDb::start());
    let relay = Relay::to(broker.process.address());
    let wardline = Wardline::on(&relay.url)
        .influxdb(&influxdb)
        .set("mqtt.backoff_min", "5ms")
        .set("mqtt.backoff_max", "20ms")
        .init()
        .start();
    wardline.ready();

    // In turn, a connection is gone right after its 700th delivery, with whatever was not acknowledged then, or instead
    // of its 300th acknowledgement, which wardline believes to have sent.
    let (mut counts, mut cuts) = (BTreeMap::new(), 0);
    relay.judge(move |record, _| {
        let (bound, fate) = match (&record.packet, record.from) {
            (Packet::Publish { id: Some(_), .. }, relay::From::Broker) if cuts % 2 == 0 => (700, Fate::CutAfter),
            (Packet::PubAck { .. }, relay::From::Wardline) if cuts % 2 == 1 => (300, Fate::Cut),
            _ => return Fate::Pass,
        };
        let count = counts.entry(record.connection).or_insert(0);
        *count += 1;
        if *count != bound || cuts == CUTS {
            return Fate::Pass;
        }
        cuts += 1;
        fate
    });
    let device = Device::on(broker.process.address(), "mon-1");
    for number in 0..READINGS {
        device.read(number);
    }
    device.delivered();
    stored::until_stored(&influxdb, "mon-1", &(0..READINGS).collect());

    let connections = relay.connections_of(CLIENT);
    assert!(connections.len() > CUTS, "{} connections", connections.len());
    for records in &connections {
        assert_in_receive_order(records);
    }
    let left_open = connections.iter().filter(|records| deliveries(records).len() > acknowledgements(records).len());
    assert!(left_open.count() > 0, "no cut ever met a message that was not acknowledged");
    let again =
        relay.records().iter().filter(|record| matches!(record.packet, Packet::Publish { dup: true, .. })).count();
    assert!(again > 0, "the broker never had to deliver again");
    assert_eq!(stored::stored(&influxdb).len() as u64, READINGS);
    // A write into a connection that is gone is no packet that somebody has to look at.
    assert!(!wardline.log().contains("can't be read"), "a cut is taken for a bad packet");
    until("the account is closed", || wardline.balance().in_flight == 0);
    assert!(wardline.balance().holds(), "{:?}", wardline.balance());
}

#[test]
fn what_was_acknowledged_outlives_a_kill_at_that_very_moment() {
    if !servers::wanted("what_was_acknowledged_outlives_a_kill_at_that_very_moment") {
        return;
    }
    let (broker, influxdb) = (broker(), InfluxDb::start());
    let relay = Relay::to(broker.process.address());
    let mut wardline = Wardline::on(&relay.url).influxdb(&influxdb).init();
    let device = Device::on(broker.process.address(), "mon-1");
    let mut next = 0;
    let mut before = 0;
    for kill_at in [1, 37, 150, 600, 1_500] {
        wardline.change("mqtt.url", &relay.url);
        wardline.restart();
        wardline.ready();
        let pid = wardline.pid().unwrap().to_string();
        let mut seen = 0;
        relay.judge(move |record, _| {
            if !matches!(record.packet, Packet::PubAck { .. }) || record.from != relay::From::Wardline {
                return Fate::Pass;
            }
            seen += 1;
            if seen == kill_at {
                assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
            }
            // From there on the broker hears nothing of it, as after a power cut.
            if seen >= kill_at { Fate::Cut } else { Fate::Pass }
        });
        for _ in 0..2_000 {
            device.read(next);
            next += 1;
        }
        let said = || acknowledged_readings(&relay.connections_of(CLIENT)[before..]);
        until("wardline is killed", || said().len() >= kill_at);
        wardline.kill();
        before = relay.connections_of(CLIENT).len();
        // Up again without a broker that could deliver anything a second time.
        let acknowledged = acknowledged_readings(&relay.connections_of(CLIENT));
        wardline.change("mqtt.url", "mqtt://127.0.0.1:9");
        wardline.restart();
        stored::until_stored(&influxdb, "mon-1", &acknowledged);
        relay.pass();
    }
    wardline.change("mqtt.url", &relay.url);
    wardline.restart();
    device.delivered();
    stored::until_stored(&influxdb, "mon-1", &(0..next).collect());
}

/// The numbers of the readings that wardline has acknowledged on these connections.
fn acknowledged_readings(connections: &[Vec<Record>]) -> BTreeSet<u64> {
    let mut numbers = BTreeSet::new();
    for records in connections {
        let mut open = BTreeMap::new();
        for record in records {
            match &record.packet {
                Packet::Publish { id: Some(id), payload, .. } if record.from == relay::From::Broker => {
                    let reading: serde_json::Value = serde_json::from_slice(payload).unwrap();
                    open.insert(*id, reading["seq"].as_u64().unwrap());
                }
                Packet::PubAck { id, .. } if record.from == relay::From::Wardline => {
                    numbers.insert(open.remove(id).unwrap());
                }
                _ => {}
            }
        }
    }
    numbers
}

#[test]
fn the_connection_announces_its_window_and_outlasts_a_broker_that_does_not_keep_to_it() {
    if !servers::wanted("the_connection_announces_its_window_and_outlasts_a_broker_that_does_not_keep_to_it") {
        return;
    }
    let broker = broker();
    let relay = Relay::to(broker.process.address());
    // The broker reads 1,000 where wardline wrote 7. (Mosquitto 2.0.11 exceeds even what it read.)
    relay.judge(|record, bytes| match &record.packet {
        Packet::Connect { client_id, .. } if client_id == CLIENT => {
            let mut bytes = bytes.to_vec();
            let at = bytes.windows(3).position(|three| three == [packets::RECEIVE_MAXIMUM, 0, 7]).unwrap();
            bytes[at + 1..at + 3].copy_from_slice(&1_000u16.to_be_bytes());
            Fate::Forge(bytes)
        }
        _ => Fate::Pass,
    });
    let wardline = Wardline::on(&relay.url)
        .set("mqtt.receive_maximum", "7")
        .set("mqtt.session_expiry", "90m")
        .set("mqtt.max_packet_size", "97KiB")
        .start();
    wardline.ready();
    let device = Device::on(broker.process.address(), "mon-1");
    for number in 0..2_000 {
        device.read(number);
    }
    let connections = || relay.connections_of(CLIENT);
    until("everything is acknowledged", || acknowledgements(&connections()[0]).len() == 2_000);

    let connections = connections();
    assert_eq!(connections.len(), 1);
    assert_in_receive_order(&connections[0]);
    let Some(Packet::Connect { clean_start, properties, .. }) = connections[0].first().map(|record| &record.packet)
    else {
        unreachable!("connections begin with it")
    };
    assert!(!clean_start, "the broker is asked to go on with the session that it keeps");
    let expected =
        [(packets::RECEIVE_MAXIMUM, 7), (packets::SESSION_EXPIRY, 90 * 60), (packets::MAXIMUM_PACKET_SIZE, 97 * 1024)];
    for (property, value) in expected {
        assert_eq!(properties.get(&property), Some(&value), "property {property:#x}");
    }
    let mut open = 0;
    let mut most = 0;
    for record in &connections[0] {
        match record.packet {
            Packet::Publish { id: Some(_), .. } => open += 1,
            Packet::PubAck { .. } => open -= 1,
            _ => {}
        }
        most = most.max(open);
    }
    assert!(most > 7, "the broker kept to the window");
}

#[test]
fn a_ping_without_an_answer_ends_no_connection_on_which_messages_come_and_ends_a_silent_one() {
    if !servers::wanted("a_ping_without_an_answer_ends_no_connection_on_which_messages_come_and_ends_a_silent_one") {
        return;
    }
    let (broker, influxdb) = (broker(), InfluxDb::start());
    let relay = Relay::to(broker.process.address());
    // As of a broker that is far behind: its answers to pings are not seen.
    let mut ours = BTreeSet::new();
    relay.judge(move |record, _| match &record.packet {
        Packet::Connect { client_id, .. } if client_id == CLIENT => {
            ours.insert(record.connection);
            Fate::Pass
        }
        Packet::PingResp if ours.contains(&record.connection) => Fate::Forge(Vec::new()),
        _ => Fate::Pass,
    });
    let wardline = Wardline::on(&relay.url).influxdb(&influxdb).set("mqtt.keep_alive", "5s").init().start();
    wardline.ready();
    let device = Device::on(broker.process.address(), "mon-1");
    let mut next = 0;
    until("three pings without an answer, or another connection", || {
        device.read(next);
        next += 1;
        let connections = relay.connections_of(CLIENT);
        pings(&connections[0]) == 3 || connections.len() > 1
    });
    device.delivered();
    assert_eq!(relay.connections_of(CLIENT).len(), 1, "the broker was heard all the time");
    assert_eq!(wardline.metric("wardline_mqtt_disconnects_total"), 0.0);

    until("the silent connection is left", || relay.connections_of(CLIENT).len() > 1);
    relay.pass();
    device.read(next);
    stored::until_stored(&influxdb, "mon-1", &(0..=next).collect());
}

#[test]
fn a_broker_that_wants_no_pings_gets_ours_at_our_interval() {
    if !servers::wanted("a_broker_that_wants_no_pings_gets_ours_at_our_interval") {
        return;
    }
    let (broker, influxdb) = (broker(), InfluxDb::start());
    let relay = Relay::to(broker.process.address());
    // Server Keep Alive 0, put behind the other properties of CONNACK.
    relay.judge(|record, bytes| match record.packet {
        Packet::ConnAck { .. } => {
            let mut bytes = [bytes, &[packets::SERVER_KEEP_ALIVE, 0, 0]].concat();
            bytes[1] += 3;
            bytes[4] += 3;
            Fate::Forge(bytes)
        }
        _ => Fate::Pass,
    });
    let wardline = Wardline::on(&relay.url).influxdb(&influxdb).set("mqtt.keep_alive", "5s").init().start();
    wardline.ready();
    let device = Device::on(broker.process.address(), "mon-1");
    let connections = || relay.connections_of(CLIENT);
    let first_pings = || pings(&connections()[0]);
    let mut next = 0;
    // One ping at once, in the client, then one each 5 seconds.
    until("a ping at our interval", || {
        device.read(next);
        next += 1;
        first_pings() >= 2 || connections().len() > 1
    });
    stored::until_stored(&influxdb, "mon-1", &(0..next).collect());
    assert_eq!(connections().len(), 1);
    assert_eq!(relay.connections_of("wardline-1-alerts").len(), 1, "the connection for alerts holds too");
    assert!(next > 10 && first_pings() <= 3, "{} pings while {next} readings came", first_pings());
}

#[test]
fn a_packet_that_can_not_be_read_is_told_and_what_is_behind_it_waits_at_the_broker() {
    if !servers::wanted("a_packet_that_can_not_be_read_is_told_and_what_is_behind_it_waits_at_the_broker") {
        return;
    }
    let (broker, influxdb) = (broker(), InfluxDb::start());
    let relay = Relay::to(broker.process.address());
    // A user property whose name is no UTF-8, put before the payload: a broker that checks nothing would pass it on.
    relay.judge(|record, bytes| match &record.packet {
        Packet::Publish { payload, .. } if *payload == device::payload(2) => {
            let mut bytes = bytes.to_vec();
            let properties = bytes.len() - payload.len() - 1;
            assert_eq!((bytes[1] < 0x80 - 7, bytes[properties]), (true, 0), "a short packet without properties");
            bytes.splice(properties..=properties, [7, packets::USER_PROPERTY, 0, 1, 0xff, 0, 1, b'x']);
            bytes[1] += 7;
            Fate::Forge(bytes)
        }
        _ => Fate::Pass,
    });
    let wardline = Wardline::on(&relay.url).influxdb(&influxdb).set("mqtt.backoff_min", "10ms").init().start();
    wardline.ready();
    let device = Device::on(broker.process.address(), "mon-1");
    device.read(1);
    stored::until_stored(&influxdb, "mon-1", &BTreeSet::from([1]));
    device.read(2);
    device.read(3);
    wardline.until_part("mqtt", "down", "sent a packet that can't be read");
    until("it is tried again", || relay.connections_of(CLIENT).len() > 3);
    relay.pass();
    stored::until_stored(&influxdb, "mon-1", &BTreeSet::from([1, 2, 3]));
    wardline.ready();
}

#[test]
fn a_lost_session_is_subscribed_again_and_a_kept_one_is_not() {
    if !servers::wanted("a_lost_session_is_subscribed_again_and_a_kept_one_is_not") {
        return;
    }
    let (mut broker, influxdb) = (broker(), InfluxDb::start());
    let relay = Relay::to(broker.process.address());
    let wardline = Wardline::on(&relay.url).influxdb(&influxdb).init().start();
    wardline.ready();
    let device = Device::on(broker.process.address(), "mon-1");
    let expected = |filter: &str| vec![(filter.to_owned(), 1 | 2 << 4)];

    // Quality of service 1, and no retained messages (retain handling 2).
    let first = relay.connections_of(CLIENT);
    let asked = first[0].iter().find_map(|record| match &record.packet {
        Packet::Subscribe { filters } => Some(filters.clone()),
        _ => None,
    });
    assert_eq!(asked, Some(expected("vitals/v1/north/#")));

    relay.cut();
    device.read(1);
    stored::until_stored(&influxdb, "mon-1", &BTreeSet::from([1]));
    let kept = relay.connections_of(CLIENT).last().unwrap().clone();
    assert!(kept.iter().any(|record| record.packet == Packet::ConnAck { session_present: true, code: 0 }));
    assert_eq!(subscriptions(&kept), 0, "{kept:?}");

    broker.process.restart();
    let subscribed_anew = || {
        let last = relay.connections_of(CLIENT).last().unwrap().clone();
        last.iter().any(|record| record.packet == Packet::ConnAck { session_present: false, code: 0 })
            && subscriptions(&last) == 1
    };
    until("the session that was lost is subscribed again", subscribed_anew);
    wardline.ready();
    device.read(2);
    stored::until_stored(&influxdb, "mon-1", &BTreeSet::from([1, 2]));
}

#[test]
fn a_retained_message_is_acknowledged_and_is_no_reading() {
    if !servers::wanted("a_retained_message_is_acknowledged_and_is_no_reading") {
        return;
    }
    let (broker, influxdb) = (broker(), InfluxDb::start());
    let relay = Relay::to(broker.process.address());
    let device = Device::on(broker.process.address(), "mon-1");
    // What a broker has kept from before: asked for by nobody, so it does not come.
    device.publish_retained("vitals/v1/north/icu-1/mon-1", device::payload(1));
    device.delivered();
    let wardline = Wardline::on(&relay.url).influxdb(&influxdb).init().start();
    wardline.ready();
    device.read(2);
    stored::until_stored(&influxdb, "mon-1", &BTreeSet::from([2]));
    assert_eq!(deliveries(&relay.connections_of(CLIENT)[0]).len(), 1);

    // A broker that sends it all the same: the lowest bit of a PUBLISH says that it is retained.
    relay.judge(|record, bytes| match &record.packet {
        Packet::Publish { payload, .. } if *payload == device::payload(3) => {
            let mut bytes = bytes.to_vec();
            bytes[0] |= 1;
            Fate::Forge(bytes)
        }
        _ => Fate::Pass,
    });
    device.read(3);
    device.read(4);
    stored::until_stored(&influxdb, "mon-1", &BTreeSet::from([2, 4]));
    assert_eq!(stored::stored(&influxdb).len(), 2, "the retained one is not stored");
    assert_eq!(wardline.metric("wardline_mqtt_retained_total"), 1.0);
    until("all three are acknowledged", || acknowledgements(&relay.connections_of(CLIENT)[0]).len() == 3);
    assert!(wardline.balance().holds(), "{:?}", wardline.balance());
    assert_eq!(wardline.balance().received, 2);
}
