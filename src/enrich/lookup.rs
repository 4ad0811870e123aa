//! The look-up of devices that nobody knows yet: once, in one query for a chunk of messages, bounded in time.
//!
//! Readings wait for it at most [`Lookup::new`]'s timeout; without an answer they are stored as unassigned. An answer that
//! comes too late still reaches the directory, for the readings after it. A device that nobody knows is not asked for
//! again for a while, and none is while the store of profiles is away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::enrich::records::ProfileStore;
use crate::enrich::shared::SharedDirectory;
use crate::metrics;

/// The most devices remembered as unknown. While it is full, further ones are not looked up: it takes a flood of
/// invented devices to fill it, and a query for each would be what the flood wants.
const MAX_UNKNOWN: usize = 65_536;

/// Looks up devices for one intake task.
#[derive(Debug)]
pub struct Lookup<S> {
    store: Arc<S>,
    shared: SharedDirectory,
    timeout: Duration,
    negative_ttl: Duration,
    /// Until when each device is not asked for.
    unknown: HashMap<Arc<str>, Instant>,
    metrics: metrics::enrich::Enrich,
}

impl<S: ProfileStore + Send + Sync + 'static> Lookup<S> {
    /// A look-up that makes readings wait for `timeout` at most, zero for not at all, and asks for a device again
    /// after `negative_ttl`.
    #[must_use]
    pub fn new(store: Arc<S>, shared: SharedDirectory, timeout: Duration, negative_ttl: Duration) -> Self {
        let metrics = metrics::enrich::Enrich::register();
        Self { store, shared, timeout, negative_ttl, unknown: HashMap::new(), metrics }
    }

    /// Waits a moment for the first load of everything, at most as long as for a look-up.
    pub async fn first_load(&self) {
        self.shared.first_asked(self.timeout).await;
    }

    /// Asks the store for these devices and adds what it knows to the directory. Returns when that is done, or after
    /// the timeout.
    pub async fn resolve(&mut self, devices: Vec<Arc<str>>) {
        let asked = self.admit(devices);
        if asked.is_empty() {
            return;
        }
        let (store, shared, wanted) = (self.store.clone(), self.shared.clone(), asked.clone());
        // A task of its own, so that an answer after the timeout is not lost, and no query is dropped half way.
        let query = tokio::spawn(async move {
            let wanted: Vec<&str> = wanted.iter().map(AsRef::as_ref).collect();
            match store.find_devices(&wanted).await {
                Ok(records) => {
                    shared.merge(records).await;
                    true
                }
                Err(error) => {
                    tracing::debug!(%error, "devices were not looked up");
                    false
                }
            }
        });
        let answered = matches!(tokio::time::timeout(self.timeout, query).await, Ok(Ok(true)));
        if !answered {
            // Until a refresh goes well, nobody waits again.
            self.shared.set_away(true);
        }
        let (_, directory) = self.shared.current();
        let again = Instant::now() + self.negative_ttl;
        for device in asked {
            if directory.knows(&device) {
                self.metrics.lookup_found.increment(1);
                continue;
            }
            let outcome = if answered { &self.metrics.lookup_unknown } else { &self.metrics.lookup_failed };
            outcome.increment(1);
            self.unknown.insert(device, again);
        }
    }

    fn admit(&mut self, mut devices: Vec<Arc<str>>) -> Vec<Arc<str>> {
        if devices.is_empty() || self.timeout.is_zero() || self.shared.is_away() {
            return Vec::new();
        }
        let now = Instant::now();
        devices.retain(|device| self.unknown.get(device).is_none_or(|until| *until <= now));
        if self.unknown.len() + devices.len() > MAX_UNKNOWN {
            self.unknown.retain(|_, until| *until > now);
            devices.truncate(MAX_UNKNOWN.saturating_sub(self.unknown.len()));
        }
        devices
    }
}
