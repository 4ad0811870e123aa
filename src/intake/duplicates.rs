//! Recognises a reading that came a short while ago: a device or a broker that sent twice.
//!
//! The memory is small on purpose. It saves work; it is not what makes storage exactly-once, which is the identity of
//! a point (measurement, tags, time). What is remembered is in the journal or before it in the same queue, so a
//! duplicate's acknowledgement, which waits its turn, never comes before the first one is on disk.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher as _, RandomState};
use std::sync::Arc;

use crate::reading::Reading;

/// Readings remembered for each device.
const REMEMBERED: usize = 8;

/// Devices remembered; beyond it the memory starts anew, which costs only missed duplicates.
const MAX_DEVICES: usize = 65_536;

/// The recent readings of each device.
#[derive(Debug, Default)]
pub struct Recent {
    devices: HashMap<Arc<str>, Ring>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Ring {
    hashes: [u64; REMEMBERED],
    next: usize,
}

impl Recent {
    /// Whether this very reading of this device was here a short while ago; remembers it if not.
    pub fn is_duplicate(&mut self, device: &Arc<str>, reading: &Reading) -> bool {
        let mut hasher = self.hasher.build_hasher();
        (reading.time, reading.seq, reading.quality).hash(&mut hasher);
        for (vital, value) in reading.vitals.iter() {
            (vital, value.to_bits()).hash(&mut hasher);
        }
        // 0 stands for an empty place.
        let hash = hasher.finish() | 1;
        if !self.devices.contains_key(device) {
            if self.devices.len() >= MAX_DEVICES {
                self.devices.clear();
            }
            self.devices.insert(Arc::clone(device), Ring::default());
        }
        let Some(ring) = self.devices.get_mut(device) else { return false };
        if ring.hashes.contains(&hash) {
            return true;
        }
        if let Some(place) = ring.hashes.get_mut(ring.next) {
            *place = hash;
        }
        ring.next = (ring.next + 1) % REMEMBERED;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Quality;
    use crate::vital::Vital;

    fn reading(time: i64, heart_rate: f64) -> Reading {
        let vitals = [(Vital::HeartRate, heart_rate)].into_iter().collect();
        Reading { seq: Some(1), time, received: time + 1, vitals, quality: Quality::Good }
    }

    #[test]
    fn the_same_reading_twice_is_a_duplicate_and_any_difference_is_none() {
        let mut recent = Recent::default();
        let (one, two): (Arc<str>, Arc<str>) = ("mon-1".into(), "mon-2".into());
        assert!(!recent.is_duplicate(&one, &reading(1, 72.0)));
        assert!(recent.is_duplicate(&one, &Reading { received: 99, ..reading(1, 72.0) }));
        assert!(!recent.is_duplicate(&one, &reading(1, 73.0)));
        assert!(!recent.is_duplicate(&one, &reading(2, 72.0)));
        assert!(!recent.is_duplicate(&two, &reading(1, 72.0)));
        assert!(!recent.is_duplicate(&one, &Reading { quality: Quality::Poor, ..reading(1, 72.0) }));
    }
}
