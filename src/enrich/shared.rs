//! The one directory that all intake tasks read, and that the refresh and the look-ups replace.
//!
//! A reader keeps the snapshot that it has and asks one atomic whether there is a newer one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::enrich::directory::Directory;
use crate::enrich::records::Records;
use crate::limits::Limits;

/// The current directory, and whether the store behind it answers.
#[derive(Debug, Clone)]
pub struct SharedDirectory(Arc<State>);

#[derive(Debug)]
struct State {
    generation: AtomicU64,
    current: Mutex<Arc<Directory>>,
    away: AtomicBool,
    defaults: Arc<Limits>,
}

impl SharedDirectory {
    /// An empty directory; `defaults` are the limits of everybody whose profile sets none.
    #[must_use]
    pub fn new(defaults: Arc<Limits>) -> Self {
        let current = Mutex::new(Arc::new(Directory::empty(defaults.clone())));
        Self(Arc::new(State { generation: AtomicU64::new(0), current, away: AtomicBool::new(false), defaults }))
    }

    /// Rises with each new snapshot.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// The newest snapshot, with its generation.
    #[must_use]
    pub fn current(&self) -> (u64, Arc<Directory>) {
        let current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        (self.generation(), current.clone())
    }

    /// Puts a directory of these records alone in the place of the current one.
    pub fn replace(&self, records: Records) {
        let empty = Directory::empty(self.0.defaults.clone());
        let next = empty.with(records).unwrap_or(empty);
        self.publish(|_| Some(next));
    }

    /// Adds records to the current directory; whether anything changed.
    pub fn merge(&self, records: Records) -> bool {
        self.publish(|current| current.with(records))
    }

    fn publish(&self, change: impl FnOnce(&Directory) -> Option<Directory>) -> bool {
        let mut current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(next) = change(&current) else { return false };
        *current = Arc::new(next);
        self.0.generation.fetch_add(1, Ordering::Release);
        true
    }

    /// Whether the store of profiles was away when it was last asked.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.0.away.load(Ordering::Relaxed)
    }

    /// Says whether the store of profiles answers.
    pub fn set_away(&self, away: bool) {
        self.0.away.store(away, Ordering::Relaxed);
    }
}
