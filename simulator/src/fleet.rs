//! A fleet: the beds of a ward, each on a connection of its own or many on one, until it is stopped.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::MqttOptions;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bed::{Bed, BedOptions, Source};
use crate::broker::{Broker, BrokerError};
use crate::connection::{Connection, WINDOW};
use crate::episode::Script;
use crate::fault::Faults;
use crate::ledger::Ledger;
use crate::replay::Recording;
use crate::tally::{Snapshot, Tally};
use crate::ward::Ward;

/// What a fleet does.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// Where the devices publish to.
    pub broker: Broker,
    /// The beds.
    pub ward: Ward,
    /// Readings of each bed in a second.
    pub rate: f64,
    /// As fast as the broker acknowledges; `rate` then only sets how fast the patients live.
    pub flood: bool,
    /// Real vitals for every bed in the place of simulated ones; then no episode is scripted.
    pub recording: Option<Arc<Recording>>,
    /// Beds on one connection: 1 for a device each, more for gateways.
    pub beds_per_connection: usize,
    /// What befalls the patients.
    pub script: Script,
    /// What the devices do wrong.
    pub faults: Faults,
    /// The same seed gives the same lives.
    pub seed: u64,
}

/// A fleet at work.
#[derive(Debug)]
pub struct Fleet {
    connections: JoinSet<Ledger>,
    tally: Arc<Tally>,
    stop: CancellationToken,
    /// Region and ward, and whether the episodes are scripted; without any reading yet.
    ledger: Ledger,
}

impl Fleet {
    /// Starts all connections, one each millisecond.
    ///
    /// # Errors
    /// When the connections can't be prepared.
    pub fn start(options: FleetOptions) -> Result<Self, BrokerError> {
        let FleetOptions { broker, ward, rate, flood, recording, beds_per_connection, script, faults, seed } = options;
        let scripted = recording.is_none();
        let script = if scripted { script } else { Script::healthy() };
        let (tally, stop) = (Arc::<Tally>::default(), CancellationToken::new());
        let (today, script) = (jiff::Zoned::now().date(), Arc::new(script));
        let bed = |(number, bed): (usize, &crate::ward::WardBed)| {
            Bed::new(BedOptions {
                device: bed.device.clone(),
                region: ward.region.clone(),
                ward: ward.ward.clone(),
                number,
                source: match &recording {
                    None => Source::Body(bed.constitution(today)),
                    Some(recording) => Source::Recording(Arc::clone(recording)),
                },
                period: 1.0 / rate,
                script: Arc::clone(&script),
                faults,
                seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number as u64),
            })
        };
        let beds: Vec<Bed> = ward.beds.iter().enumerate().map(bed).collect();
        let mut connections = JoinSet::new();
        let mut beds = beds.into_iter().peekable();
        while let Some(first) = beds.peek() {
            let options: MqttOptions = broker.options(&format!("device-{}", first.device()), WINDOW)?;
            let carried: Vec<Bed> = beds.by_ref().take(beds_per_connection.max(1)).collect();
            let number = connections.len() as u64;
            let seed = seed.wrapping_add(number);
            let connection = Connection::new(options, carried, (faults, flood), Arc::clone(&tally), stop.clone(), seed);
            connections.spawn(connection.run(Duration::from_millis(number)));
        }
        let ledger = Ledger { region: ward.region, ward: ward.ward, scripted, ..Ledger::default() };
        Ok(Self { connections, tally, stop, ledger })
    }

    /// The live figures.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.tally.snapshot()
    }

    /// Stops measuring, hands over what is left, and gives the ledger of it all.
    pub async fn stop(mut self) -> Ledger {
        self.stop.cancel();
        let mut ledger = self.ledger;
        while let Some(part) = self.connections.join_next().await {
            match part {
                Ok(part) => ledger.merge(part),
                Err(error) => tracing::error!(%error, "the ledger of a connection is lost"),
            }
        }
        ledger
    }
}
