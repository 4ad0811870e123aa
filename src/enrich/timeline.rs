//! The contexts of one source, by time: what a lookup per reading must cost next to nothing.

use std::sync::Arc;

use crate::reading::{Context, Millis};

/// For each instant the context of a source's readings.
#[derive(Debug, Clone)]
pub struct Timeline {
    first: Arc<Context>,
    /// In rising order; each holds from its first millisecond to the next.
    rest: Vec<(Millis, Arc<Context>)>,
}

impl Timeline {
    /// One context for all time.
    #[must_use]
    pub fn new(first: Arc<Context>) -> Self {
        Self { first, rest: Vec::new() }
    }

    /// From `from` on, another context. Instants must rise.
    pub fn push(&mut self, from: Millis, context: Arc<Context>) {
        self.rest.push((from, context));
    }

    /// The context of a reading that was taken at `time`.
    #[must_use]
    pub fn at(&self, time: Millis) -> &Arc<Context> {
        let begun = self.rest.partition_point(|(from, _)| *from <= time);
        begun.checked_sub(1).and_then(|last| self.rest.get(last)).map_or(&self.first, |(_, context)| context)
    }
}
