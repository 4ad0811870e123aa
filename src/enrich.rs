//! stub
use crate::reading::*;
use std::sync::Arc;
#[derive(Debug)]
#[allow(missing_docs, reason = "x")]
pub struct Enricher {
    pub limits: Arc<crate::limits::Limits>,
}
#[allow(missing_docs, reason = "x")]
impl Enricher {
    pub fn unknown_devices<'a>(&self, _: impl Iterator<Item = &'a Source>) -> Vec<Arc<str>> {
        vec![]
    }
    pub fn enrich(&mut self, s: &Source, reading: Reading) -> EnrichedReading {
        EnrichedReading {
            reading,
            context: Arc::new(Context {
                region: s.region.clone(),
                ward: s.ward.clone(),
                bed: None,
                device: s.device.clone(),
                patient: None,
                age_band: UNKNOWN_AGE.into(),
                limits: self.limits.clone(),
            }),
        }
    }
}
#[allow(missing_docs, reason = "x")]
pub trait Lookup: Send {
    fn resolve(&self, d: Vec<Arc<str>>) -> impl Future<Output = ()> + Send;
}
