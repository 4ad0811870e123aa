//! Enrichment: whose a reading is, and what is normal for them, frozen into it.
//!
//! A reading belongs to the patient whose assignment of the device holds the reading's time, so late data after a bed
//! swap is filed right. A reading outside all assignments is kept as unassigned, never held back. [`Enricher`] is pure:
//! it works on a snapshot of the profiles in memory ([`directory`]), which [`refresh`] and [`lookup`] keep fresh, and
//! which a restart takes from the disk ([`copy`]).
//!
//! The ward and the bed come from the assignment, the region from the topic, since it chooses the bucket.

pub mod age;
pub mod copy;
pub mod directory;
pub mod interval;
pub mod lookup;
pub mod records;
pub mod refresh;
pub mod shared;
pub mod timeline;

use std::collections::HashMap;
use std::sync::Arc;

use crate::enrich::directory::Directory;
use crate::enrich::shared::SharedDirectory;
use crate::enrich::timeline::Timeline;
use crate::metrics;
use crate::reading::{EnrichedReading, Reading, Source};

/// The most sources whose timelines are kept; beyond it all are forgotten and built again as they are needed. Bounds
/// what somebody who may publish can make us keep.
const MAX_SOURCES: usize = 65_536;

/// Enriches the readings of one intake task.
#[derive(Debug)]
pub struct Enricher {
    shared: SharedDirectory,
    generation: u64,
    directory: Arc<Directory>,
    timelines: HashMap<Source, Timeline>,
    metrics: metrics::enrich::Enrich,
}

impl Enricher {
    /// An enricher that follows a directory.
    #[must_use]
    pub fn new(shared: SharedDirectory) -> Self {
        let (generation, directory) = shared.current();
        let metrics = metrics::enrich::Enrich::register();
        Self { shared, generation, directory, timelines: HashMap::new(), metrics }
    }

    /// The devices among these sources of which no assignment is known, each once; for [`lookup::Lookup::resolve`].
    pub fn unknown_devices<'a>(&mut self, sources: impl IntoIterator<Item = &'a Source>) -> Vec<Arc<str>> {
        self.follow();
        let unknown = sources.into_iter().filter(|source| !self.directory.knows(&source.device));
        let mut devices: Vec<_> = unknown.map(|source| source.device.clone()).collect();
        devices.sort_unstable();
        devices.dedup();
        devices
    }

    /// Adds to a reading what is known of its device at its time.
    pub fn enrich(&mut self, source: &Source, reading: Reading) -> EnrichedReading {
        self.follow();
        let context = match self.timelines.get(source) {
            Some(timeline) => timeline.at(reading.time).clone(),
            None => {
                if self.timelines.len() >= MAX_SOURCES {
                    self.timelines.clear();
                }
                let timeline = self.directory.timeline(source);
                let context = timeline.at(reading.time).clone();
                self.timelines.insert(source.clone(), timeline);
                context
            }
        };
        if context.patient.is_none() {
            self.metrics.unassigned.increment(1);
        }
        EnrichedReading { reading, context }
    }

    fn follow(&mut self) {
        if self.shared.generation() != self.generation {
            (self.generation, self.directory) = self.shared.current();
            self.timelines.clear();
        }
    }
}

#[cfg(test)]
mod tests;
