//! From messages to entries of the journal: decode, validate, recognise duplicates, enrich.
//!
//! One task for each session, so that the order of a session's messages is the order of its entries. It waits for two
//! things only: for room in the journal's queue, and, a bounded time, for the store of profiles: at its start for the
//! first load, later for the look-up of a device that nobody knows.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::duplicates::Recent;
use super::payload::{self, Bounds};
use crate::account::Account;
use crate::config;
use crate::dead_letter::DeadLetter;
use crate::enrich::Enricher;
use crate::enrich::lookup::Lookup;
use crate::enrich::records::ProfileStore;
use crate::journal::{Chunk, Committed, Entry};
use crate::metrics::intake::Intake as Metrics;
use crate::reading::{Millis, Reading, Reason, Rejection, Source};
use crate::validate::{Rules, validate};

/// Topics whose parts are remembered; beyond it the memory starts anew.
const MAX_TOPICS: usize = 65_536;

/// One message from the broker.
#[derive(Debug)]
pub struct Message {
    /// The topic as received.
    pub topic: Bytes,
    /// The payload as received.
    pub payload: Bytes,
    /// When it was received.
    pub received: Millis,
}

/// Messages of one session in receive order.
#[derive(Debug, Default)]
pub struct Messages {
    /// Those that are to be taken in.
    pub messages: Vec<Message>,
    /// How many were received, those included that are only to be acknowledged.
    pub count: u64,
}

/// The preparation of one session's messages.
#[derive(Debug)]
pub struct Prepare<P> {
    /// Adds what is known of the patient.
    pub enricher: Enricher,
    /// Asks for devices that are not known.
    pub lookup: Lookup<P>,
    /// Counts what came in.
    pub account: Arc<Account>,
    /// What the session watches to acknowledge.
    pub committed: Arc<Committed>,
    /// Metrics.
    pub metrics: Metrics,
    /// Bounds on one message.
    pub bounds: Bounds,
    /// Bounds on one reading.
    pub rules: Rules,
    recent: Recent,
    sources: HashMap<Bytes, Option<Arc<Source>>>,
}

/// An item of a message after validation.
enum Item {
    Reading(Arc<Source>, Reading),
    Duplicate,
    Rejected(DeadLetter),
}

impl<P: ProfileStore + Send + Sync + 'static> Prepare<P> {
    /// A preparation with nothing remembered yet.
    pub fn new(
        enricher: Enricher,
        lookup: Lookup<P>,
        account: Arc<Account>,
        committed: Arc<Committed>,
        metrics: Metrics,
        intake: &config::Intake,
    ) -> Self {
        let bounds = Bounds { max_payload: intake.max_payload, max_items: intake.max_items };
        let (rules, recent, sources) = (Rules::from(intake), Recent::default(), HashMap::new());
        Self { enricher, lookup, account, committed, metrics, bounds, rules, recent, sources }
    }

    /// Runs until the session has ended. A journal that takes no more is no error here: it says itself why.
    pub async fn run(mut self, mut messages: mpsc::Receiver<Messages>, journal: mpsc::Sender<Chunk>) {
        self.lookup.first_load().await;
        while let Some(received) = messages.recv().await {
            let mut items = Vec::with_capacity(received.messages.len());
            for message in &received.messages {
                self.take(message, &mut items);
            }
            self.account.received(items.len() as u64);
            let sources = items.iter().filter_map(|item| match item {
                Item::Reading(source, _) => Some(&**source),
                Item::Duplicate | Item::Rejected(_) => None,
            });
            let unknown = self.enricher.unknown_devices(sources);
            if !unknown.is_empty() {
                self.lookup.resolve(unknown).await;
            }
            let entries = items.into_iter().map(|item| match item {
                Item::Reading(source, reading) => Entry::Reading(self.enricher.enrich(&source, reading)),
                Item::Duplicate => Entry::Duplicate,
                Item::Rejected(letter) => Entry::DeadLetter(letter),
            });
            let chunk = Chunk { entries: entries.collect(), receipt: self.committed.receipt(received.count) };
            if journal.send(chunk).await.is_err() {
                return;
            }
        }
    }

    fn take(&mut self, message: &Message, items: &mut Vec<Item>) {
        let letter = |rejection: Rejection, bytes: &[u8]| {
            Item::Rejected(DeadLetter {
                at: message.received,
                reason: rejection.reason,
                detail: rejection.detail,
                topic: message.topic.to_vec(),
                payload: bytes.to_vec(),
            })
        };
        let Some(source) = self.source(&message.topic) else {
            let rejection = Rejection::new(Reason::Topic, "expected vitals/v1/{region}/{ward}/{device}");
            return items.push(letter(rejection, &message.payload));
        };
        payload::decode(&message.payload, self.bounds, |item| {
            let valid = item.draft.and_then(|draft| {
                self.metrics.unknown_vitals.increment(draft.unknown_vitals as u64);
                validate(&draft, &source, message.received, &self.rules)
            });
            items.push(match valid {
                Ok(reading) if self.recent.is_duplicate(&source.device, &reading) => Item::Duplicate,
                Ok(reading) => Item::Reading(Arc::clone(&source), reading),
                Err(rejection) => letter(rejection, item.bytes),
            });
        });
    }

    /// The source that a topic names; remembered, since a device's topic never changes.
    fn source(&mut self, topic: &Bytes) -> Option<Arc<Source>> {
        if let Some(known) = self.sources.get(topic) {
            return known.clone();
        }
        if self.sources.len() >= MAX_TOPICS {
            self.sources.clear();
        }
        let source = std::str::from_utf8(topic).ok().and_then(Source::from_topic).map(Arc::new);
        // A copy: the topic as received is part of a much larger buffer.
        self.sources.insert(Bytes::copy_from_slice(topic), source.clone());
        source
    }
}
