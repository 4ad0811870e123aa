//! What `/ready` says of the store, over all its buckets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::status::Part;

/// The buckets that are written to.
#[derive(Debug, Clone)]
pub(super) struct Buckets {
    part: Part,
    troubled: Arc<Mutex<BTreeMap<Arc<str>, String>>>,
}

/// One bucket's handle.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    buckets: Buckets,
    region: Arc<str>,
}

impl Buckets {
    pub(super) fn new(part: Part) -> Self {
        Self { part, troubled: Arc::default() }
    }

    pub(super) fn of(&self, region: Arc<str>) -> Bucket {
        Bucket { buckets: self.clone(), region }
    }
}

impl Bucket {
    pub(super) fn ok(&self) {
        let mut troubled = self.buckets.troubled.lock().unwrap_or_else(PoisonError::into_inner);
        troubled.remove(&self.region);
        match troubled.iter().next() {
            None => self.buckets.part.ok(),
            Some((region, reason)) => self.buckets.part.degraded(format!("region {region}: {reason}")),
        }
    }

    pub(super) fn degraded(&self, reason: String) {
        let mut troubled = self.buckets.troubled.lock().unwrap_or_else(PoisonError::into_inner);
        self.buckets.part.degraded(format!("region {}: {reason}", self.region));
        troubled.insert(Arc::clone(&self.region), reason);
    }
}
