//! A batch: the lines of readings of one region, encoded once, and parts of it that can be sent again as they are.

use std::ops::Range;
use std::sync::Arc;

use super::line;
use crate::journal::Group;
use crate::reading::EnrichedReading;

/// Readings of one region with their lines.
#[derive(Debug, Default)]
pub struct Batch {
    lines: Vec<u8>,
    /// Where each line ends in `lines`.
    ends: Vec<usize>,
    entries: Vec<(Arc<Group>, usize)>,
}

impl Batch {
    /// Adds one reading of a group.
    pub fn push(&mut self, group: &Arc<Group>, index: usize) {
        if let Some(enriched) = group.readings.get(index) {
            line::reading(&mut self.lines, enriched);
            self.ends.push(self.lines.len());
            self.entries.push((Arc::clone(group), index));
        }
    }

    /// How many readings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all lines.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lines.len()
    }

    /// The sequence number of the first reading.
    #[must_use]
    pub fn first_seq(&self) -> Option<u64> {
        self.entries.first().map(|(group, index)| group.first_seq + *index as u64)
    }

    /// Forgets the readings and keeps the memory.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.ends.clear();
        self.entries.clear();
    }

    /// All of it.
    #[must_use]
    pub fn whole(&self) -> Part<'_> {
        Part { batch: self, range: 0..self.len() }
    }
}

/// Some consecutive readings of a batch.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    batch: &'a Batch,
    range: Range<usize>,
}

impl<'a> Part<'a> {
    /// The lines, the same bytes each time.
    #[must_use]
    pub fn lines(&self) -> &'a [u8] {
        let end_of =
            |count: usize| count.checked_sub(1).and_then(|last| self.batch.ends.get(last)).copied().unwrap_or(0);
        self.batch.lines.get(end_of(self.range.start)..end_of(self.range.end)).unwrap_or_default()
    }

    /// How many readings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The readings.
    pub fn readings(&self) -> impl Iterator<Item = &'a EnrichedReading> + use<'a> {
        let entries = self.batch.entries.get(self.range.clone()).unwrap_or_default();
        entries.iter().filter_map(|(group, index)| group.readings.get(*index))
    }

    /// The first half, which is never empty, and the rest.
    #[must_use]
    pub fn halves(&self) -> [Self; 2] {
        let middle = self.range.start + self.range.len().div_ceil(2);
        [self.range.start..middle, middle..self.range.end].map(|range| Part { batch: self.batch, range })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::reading::{Context, Quality, Reading};
    use crate::vital::Vital;
    use proptest::prelude::*;

    fn group(count: usize) -> Arc<Group> {
        let context = Arc::new(Context {
            region: "n".into(),
            ward: "w".into(),
            bed: None,
            device: "d".into(),
            patient: None,
            age_band: "unknown".into(),
            limits: Arc::new(Limits::default()),
        });
        let reading = |number: usize| {
            let vitals = [(Vital::HeartRate, number as f64)].into_iter().collect();
            let (seq, quality, time) = (None, Quality::Good, number as i64);
            EnrichedReading {
                reading: Reading { seq, time, received: 0, vitals, quality },
                context: Arc::clone(&context),
            }
        };
        Arc::new(Group { first_seq: 100, committed: 0, readings: (0..count).map(reading).collect() })
    }

    proptest! {
        #[test]
        fn halves_together_are_the_whole_down_to_single_lines(count in 1usize..50) {
            let group = group(count);
            let mut batch = Batch::default();
            (0..count).for_each(|index| batch.push(&group, index));
            prop_assert_eq!(batch.first_seq(), Some(100));
            let mut stack = vec![batch.whole()];
            let mut singles = Vec::new();
            while let Some(part) = stack.pop() {
                if part.len() == 1 {
                    prop_assert_eq!(part.lines().iter().filter(|byte| **byte == b'\n').count(), 1);
                    singles.extend_from_slice(part.lines());
                    continue;
                }
                let [first, rest] = part.halves();
                prop_assert!(!first.is_empty() && !rest.is_empty());
                stack.extend([rest, first]);
            }
            prop_assert_eq!(singles.as_slice(), batch.whole().lines());
        }
    }
}
